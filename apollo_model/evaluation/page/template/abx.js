// ABX: is X the same as A or the same as B? Answers against guessing, with the exact p-value.

const ABX_HEAD = ["test", "seed", "trial", "clip", "category", "bitrate_kbps", "version_a", "version_b",
  "x_is", "answer", "correct", "seconds", "correct_so_far", "p_value_so_far"];

/** Draw a series from its seed: a clip and the place of X for each trial. */
function drawAbx(seed, count, clips) {
  const random = seededRandom(`abx ${seed}`);
  let order = [];
  return Array.from({ length: count }, () => {
    if (!order.length) order = shuffled(clips, random);
    return { clip: order.pop(), x: random() < 0.5 ? "A" : "B" };
  });
}

class AbxTest {
  constructor(card) {
    this.card = card;
    this.bar = new BlindBar();
    const versions = allVersions();
    const options = versions.map(({ label }) => [label, label]);
    [this.a, this.b] = [h("select"), h("select")];
    fillSelect(this.a, options);
    fillSelect(this.b, options);
    const system = versions.find(({ role }) => role === "system") || versions.find(({ role }) => role === "codec");
    this.a.value = versions[0].label;
    this.b.value = (system || versions[versions.length - 1]).label;
    this.clip = h("select");
    fillSelect(this.clip, [["", "all, in a drawn order"],
      ...LISTENING.clips.map((clip, i) => [i, `${i + 1}: ${clipTitle(clip)}`])]);
    this.count = numberInput(10, 5, 100);
    this.seed = h("input", { type: "text", value: freshSeed(), maxlength: 40, spellcheck: "false" });
    cardKeys(card, (key) => this.key(key));
    this.setUp();
  }

  setUp(message) {
    this.trials = null;
    this.card.replaceChildren(h("h3", { id: "abx-heading" }, "ABX"),
      h("p", {}, "Can you hear a difference at all? X is either A or B. Listen, then say which."),
      h("form", { class: "form", submit: (event) => { event.preventDefault(); this.start(); } },
        field("A", this.a), field("B", this.b), field("Clips", this.clip),
        h("div", { class: "pair" }, field("Trials", this.count), field("Seed", this.seed)),
        h("p", { class: "problem", role: "alert" }, message || ""),
        h("button", { type: "submit", class: "primary" }, "Start ABX")));
  }

  start() {
    const labels = [this.a.value, this.b.value];
    const clips = LISTENING.clips.map((_, i) => i).filter((i) => (this.clip.value === "" || Number(this.clip.value) === i) &&
      labels.every((label) => versionIndex(LISTENING.clips[i], label) >= 0));
    if (labels[0] === labels[1]) { this.setUp("Choose two different versions."); return; }
    if (!clips.length) { this.setUp("No clip has both versions."); return; }
    this.labels = labels;
    this.seedUsed = this.seed.value.trim() || "0";
    this.trials = drawAbx(this.seedUsed, wholeNumber(this.count), clips);
    this.answers = [];
    testStarts();
    this.show();
    this.next();
  }

  show() {
    this.progress = h("p", { class: "hint", "aria-live": "polite" });
    this.answerButtons = ["A", "B"].map((name) =>
      h("button", { type: "button", class: "answer", click: () => this.answer(name) }, `X is ${name}`));
    this.card.replaceChildren(h("h3", { id: "abx-heading" }, "ABX"), this.progress, this.bar.element,
      h("div", { class: "row answers" }, this.answerButtons),
      h("p", { class: "hint" }, "Keys: A, B, X to listen, Space to play, 1 for \u201cX is A\u201d, 2 for \u201cX is B\u201d."),
      h("button", { type: "button", class: "quiet", click: () => this.stop() }, "Stop the test"));
  }

  async next() {
    const number = this.answers.length;
    const trial = this.trials[number];
    this.progress.textContent = `Trial ${number + 1} of ${this.trials.length}`;
    this.answerButtons.forEach((button) => { button.disabled = true; });
    const tracks = await clipTracks(trial.clip);
    if (!this.trials || this.trials[this.answers.length] !== trial) return;
    const clip = LISTENING.clips[trial.clip];
    const [a, b] = this.labels.map((label) => tracks[versionIndex(clip, label)]);
    this.bar.load([a, b, trial.x === "A" ? a : b], ["A", "B", "X"]);
    this.began = performance.now();
    this.answerButtons.forEach((button) => { button.disabled = false; });
    this.bar.buttons[2].focus({ preventScroll: true });
  }

  answer(name) {
    if (!this.trials || this.answerButtons[0].disabled) return;
    this.bar.player.pause();
    this.answers.push({ answer: name, seconds: (performance.now() - this.began) / 1000 });
    if (this.answers.length < this.trials.length) this.next();
    else this.finish();
  }

  rows() {
    let correct = 0;
    return [ABX_HEAD, ...this.answers.map(({ answer, seconds }, i) => {
      const { clip, x } = this.trials[i];
      const about = LISTENING.clips[clip];
      const right = answer === x;
      correct += right ? 1 : 0;
      return ["abx", this.seedUsed, i + 1, about.id, about.category, about.bitrate, ...this.labels, x, answer,
        right ? 1 : 0, seconds.toFixed(2), correct, guessingChance(correct, i + 1).toPrecision(4)];
    })];
  }

  finish() {
    testEnds();
    const rows = this.rows();
    const correct = rows.slice(1).filter((row) => row[10] === 1).length;
    const count = this.answers.length;
    const p = guessingChance(correct, count);
    this.trials = null;
    const told = p < 0.05 ? "A difference was heard: guessing would seldom do as well."
      : "No difference is shown: guessing would often do as well.";
    this.card.replaceChildren(h("h3", { id: "abx-heading" }, "ABX"),
      h("p", { class: "outcome", tabindex: "-1" }, h("b", {}, `${correct} of ${count} correct`),
        h("span", {}, `p = ${p < 0.0001 ? p.toExponential(1) : p < 0.01 ? p.toPrecision(2) : p.toFixed(3)}`)),
      h("p", {}, `${told} A: ${this.labels[0]}. B: ${this.labels[1]}. Exact binomial test, one-sided.`),
      resultsBox(`abx-${this.seedUsed.replace(/[^\w-]/g, "_")}.csv`, rows, () => this.again()));
    this.card.querySelector(".outcome").focus({ preventScroll: true });
  }

  again() {
    this.seed.value = freshSeed();
    this.setUp();
  }

  stop() {
    testEnds();
    this.bar.player.pause();
    this.setUp();
  }

  key(key) {
    if (!this.trials) return null;
    if ("abx".includes(key) && key.length === 1) return () => this.bar.choose("abx".indexOf(key));
    if (key === "1" || key === "2") return () => this.answer("AB"[key - 1]);
    return key === " " ? () => this.bar.player.toggle() : null;
  }
}
