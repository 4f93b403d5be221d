// A MUSHRA-like test (ITU-R BS.1534-3): a reference, and versions to rate from 0 to 100, among
// them the hidden reference and a 3.5 kHz low-pass anchor.

const MUSHRA_HEAD = ["test", "seed", "screen", "clip", "category", "bitrate_kbps", "letter", "condition", "kind",
  "rating", "plays", "seconds"];
const REFERENCE = "Hidden reference";
const ANCHOR = "Anchor, 3.5 kHz";
const WORDS = ["Bad", "Poor", "Fair", "Good", "Excellent"];

/** Draw the order of clips and of versions from the seed. */
function drawMushra(seed, clips, conditionsOf) {
  const random = seededRandom(`mushra ${seed}`);
  return shuffled(clips, random).map((clip) => ({ clip, conditions: shuffled(conditionsOf(clip), random) }));
}

class MushraTest {
  constructor(card) {
    this.card = card;
    this.bar = new BlindBar();
    this.boxes = allVersions().filter(({ role }) => role !== "target").map(({ label, role }, i) => {
      const box = h("input", { type: "checkbox", value: label });
      box.checked = i < 6;
      return { box, label, role };
    });
    this.count = numberInput(Math.min(6, LISTENING.clips.length), 1, LISTENING.clips.length);
    this.seed = h("input", { type: "text", value: freshSeed(), maxlength: 40, spellcheck: "false" });
    cardKeys(card, (key) => this.key(key));
    this.setUp();
  }

  setUp(message) {
    this.screens = null;
    this.card.replaceChildren(h("h3", { id: "mushra-heading" }, "Rating (MUSHRA)"),
      h("p", {}, "How close does each version come to the reference? One of them is the reference itself, one is " +
        "low-passed at 3.5 kHz. Like MUSHRA (ITU-R BS.1534-3)."),
      h("form", { class: "form", submit: (event) => { event.preventDefault(); this.start(); } },
        h("fieldset", {}, h("legend", {}, "Versions"),
          this.boxes.map(({ box, label }) => h("label", { class: "check" }, box, label))),
        h("div", { class: "pair" }, field("Clips", this.count), field("Seed", this.seed)),
        h("p", { class: "problem", role: "alert" }, message || ""),
        h("button", { type: "submit", class: "primary" }, "Start the rating")));
  }

  start() {
    const chosen = this.boxes.filter(({ box }) => box.checked);
    if (!chosen.length || chosen.length + 2 > CHOICES_AT_MOST) {
      this.setUp(`Choose 1 to ${CHOICES_AT_MOST - 2} versions.`);
      return;
    }
    this.seedUsed = this.seed.value.trim() || "0";
    const usable = LISTENING.clips.map((_, i) => i).filter((i) => LISTENING.clips[i].versions[0].role === "target");
    if (!usable.length) { this.setUp("No clip has its clean target."); return; }
    const conditionsOf = (clip) => [{ label: REFERENCE, kind: "reference" }, { label: ANCHOR, kind: "anchor" },
      ...chosen.filter(({ label }) => versionIndex(LISTENING.clips[clip], label) >= 0).map(({ label, role }) => ({ label, kind: role }))];
    const clips = shuffled(usable, seededRandom(`clips ${this.seedUsed}`)).slice(0, wholeNumber(this.count));
    this.screens = drawMushra(this.seedUsed, clips, conditionsOf);
    this.ratings = [];
    testStarts();
    this.next();
  }

  async next() {
    const screen = this.screens[this.ratings.length];
    this.card.replaceChildren(h("h3", { id: "mushra-heading" }, "Rating (MUSHRA)"), h("p", { class: "hint" }, "Preparing the clip\u2026"));
    const tracks = await clipTracks(screen.clip);
    const anchor = await lowPassed(tracks[0].buffer);
    if (!this.screens || this.screens[this.ratings.length] !== screen) return;
    const clip = LISTENING.clips[screen.clip];
    const trackOf = ({ label, kind }) => {
      if (kind === "reference") return tracks[0];
      if (kind === "anchor") return { buffer: anchor, gain: 1, peak: peakOf(anchor) };
      return tracks[versionIndex(clip, label)];
    };
    const letters = screen.conditions.map((_, i) => String.fromCharCode(65 + i));
    this.bar.load([tracks[0], ...screen.conditions.map(trackOf)], ["Reference", ...letters]);
    this.began = performance.now();
    this.show(screen, letters);
  }

  show(screen, letters) {
    this.touched = letters.map(() => false);
    this.sliders = letters.map((letter, i) => this.slider(letter, i));
    this.nextButton = h("button", { type: "button", class: "primary next", click: () => this.finishScreen() },
      this.ratings.length + 1 < this.screens.length ? "Next clip" : "Finish");
    this.missing = h("p", { class: "hint", "aria-live": "polite" });
    this.card.replaceChildren(h("h3", { id: "mushra-heading" }, "Rating (MUSHRA)"),
      h("p", { class: "hint" }, `Clip ${this.ratings.length + 1} of ${this.screens.length}. ${clipTitle(LISTENING.clips[screen.clip])}`),
      this.bar.element,
      h("div", { class: "ratings" },
        h("div", { class: "scale", "aria-hidden": "true" }, WORDS.map((word) => h("span", {}, word))),
        this.sliders.map(({ row }) => row)),
      this.missing,
      h("p", { class: "hint" }, "Keys: 0 for the reference, 1 to 9 for A to I, Space to play; arrows move a slider."),
      h("div", { class: "row" }, this.nextButton,
        h("button", { type: "button", class: "quiet", click: () => this.stop() }, "Stop the test")));
    this.check();
    this.bar.buttons[0].focus({ preventScroll: true });
  }

  slider(letter, index) {
    const number = h("output", {}, DASH);
    const input = h("input", { type: "range", min: 0, max: 100, step: 1, value: 50, "aria-label": `Rating of ${letter}` });
    const rate = () => {
      this.touched[index] = true;
      number.textContent = input.value;
      input.setAttribute("aria-valuetext", `${input.value}, ${WORDS[Math.min(4, Math.floor(input.value / 20))]}`);
      this.check();
    };
    input.addEventListener("input", rate);
    input.addEventListener("change", rate);
    input.addEventListener("focus", () => { if (this.bar.player.playing) this.bar.choose(index + 1); });
    const listen = this.bar.buttons[index + 1];
    listen.setAttribute("aria-label", `Listen to ${letter}`);
    return { input, row: h("div", { class: "rating" }, listen, input, number) };
  }

  check() {
    const left = this.touched.filter((done) => !done).length;
    this.nextButton.disabled = left > 0;
    this.missing.textContent = left ? `${left} still to rate. The best one should get 100.` : "All rated.";
  }

  finishScreen() {
    if (!this.touched.every(Boolean)) return;
    this.bar.player.pause();
    this.ratings.push({
      values: this.sliders.map(({ input }) => Number(input.value)),
      plays: this.bar.plays.slice(1),
      seconds: (performance.now() - this.began) / 1000,
    });
    if (this.ratings.length < this.screens.length) this.next();
    else this.finish();
  }

  rows() {
    return [MUSHRA_HEAD, ...this.ratings.flatMap(({ values, plays, seconds }, s) => {
      const about = LISTENING.clips[this.screens[s].clip];
      return this.screens[s].conditions.map(({ label, kind }, i) => ["mushra", this.seedUsed, s + 1, about.id, about.category,
        about.bitrate, String.fromCharCode(65 + i), label, kind, values[i], plays[i], seconds.toFixed(2)]);
    })];
  }

  finish() {
    testEnds();
    const rows = this.rows();
    this.screens = null;
    const byCondition = new Map();
    for (const row of rows.slice(1)) byCondition.set(row[7], [...(byCondition.get(row[7]) || []), row[9]]);
    const means = [...byCondition].map(([label, values]) => ({ label, n: values.length, ...meanInterval(values) }))
      .sort((a, b) => b.mean - a.mean);
    const missed = byCondition.get(REFERENCE).filter((value) => value < 90).length;
    const strict = missed > 0.15 * byCondition.get(REFERENCE).length;
    this.card.replaceChildren(h("h3", { id: "mushra-heading" }, "Rating (MUSHRA)"),
      h("table", { class: "outcome-table", tabindex: "-1" }, h("caption", { class: "hidden" }, "Mean ratings"),
        h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "name" }, "Version"), h("th", { scope: "col" }, "Mean"), h("th", { scope: "col" }, "95 %"))),
        h("tbody", {}, means.map(({ label, mean, half }) => h("tr", {}, h("th", { scope: "row", class: "name" }, label),
          h("td", { class: "number" }, format(mean, 1)), h("td", { class: "number" }, half === null ? DASH : `\u00b1 ${format(half, 1)}`))))),
      h("p", {}, strict ? `The hidden reference was rated below 90 on ${missed} of ${byCondition.get(REFERENCE).length} clips. ` +
        "BS.1534-3 leaves out a listener who does so on more than 15 %." : "The hidden reference was found as BS.1534-3 asks."),
      resultsBox(`mushra-${this.seedUsed.replace(/[^\w-]/g, "_")}.csv`, rows, () => { this.seed.value = freshSeed(); this.setUp(); }));
    this.card.querySelector(".outcome-table").focus({ preventScroll: true });
  }

  stop() {
    testEnds();
    this.bar.player.pause();
    this.setUp();
  }

  key(key) {
    if (!this.screens || !this.bar.buttons) return null;
    if (/^[0-9]$/.test(key) && Number(key) < this.bar.buttons.length) return () => this.bar.choose(Number(key));
    return key === " " ? () => this.bar.player.toggle() : null;
  }
}
