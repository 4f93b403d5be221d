// What both blind tests share: their forms, their bar of players, and their results.

const CHOICES_AT_MOST = 12; // signals on one screen, ITU-R BS.1534-3

function freshSeed() {
  return String(crypto.getRandomValues(new Uint32Array(1))[0] % 100000);
}

function field(text, input) {
  return h("label", { class: "field" }, h("span", {}, text), input);
}

function numberInput(value, min, max) {
  return h("input", { type: "number", value, min, max, step: 1, inputmode: "numeric" });
}

/** Return the input's whole number, kept within its bounds. */
function wholeNumber(input) {
  const value = Math.round(Number(input.value));
  const [min, max] = [Number(input.min), Number(input.max)];
  return Number.isFinite(value) ? Math.max(min, Math.min(max, value)) : min;
}

/** Return every version that all clips together have, by label: {label, role}. */
function allVersions() {
  const found = new Map();
  for (const clip of LISTENING.clips) {
    for (const version of clip.versions) {
      const label = versionLabel(version);
      if (!found.has(label)) found.set(label, { label, role: version.role });
    }
  }
  return [...found.values()];
}

function versionIndex(clip, label) {
  return clip.versions.findIndex((version) => versionLabel(version) === label);
}

/** A play button, a position and one button for each hidden version. */
class BlindBar {
  constructor() {
    this.player = new Player(() => this.update());
    this.plays = [];
    this.playButton = h("button", { type: "button", class: "primary", click: () => this.player.toggle() }, "Play");
    this.time = h("progress", { max: 1, value: 0, "aria-label": "Position" });
    this.choices = h("div", { class: "choices", role: "group", "aria-label": "What you hear" });
    this.element = h("div", { class: "blind-bar" }, this.playButton, this.choices, this.time);
  }

  /** Take tracks and the letters that stand for them. */
  load(tracks, names) {
    this.buttons = names.map((name, i) => h("button", { type: "button", class: "choice", "aria-pressed": "false",
      click: () => this.choose(i) }, name));
    this.choices.replaceChildren(...this.buttons);
    this.plays = names.map(() => 0);
    this.player.load(tracks, 0);
  }

  choose(index) {
    if (!this.buttons || index < 0 || index >= this.buttons.length) return;
    if (this.player.playing) this.plays[index] += 1;
    this.player.select(index);
    if (!this.player.playing) this.start();
  }

  start() {
    this.plays[this.player.selected] += 1;
    this.player.play();
  }

  update() {
    if (!this.buttons) return;
    const { player } = this;
    this.playButton.textContent = player.playing ? "Pause" : "Play";
    if (player.playing && !this.plays[player.selected]) this.plays[player.selected] = 1;
    this.buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === player.selected)));
    this.follow();
  }

  follow() {
    this.time.value = this.player.position / (this.player.duration || 1);
    if (!this.player.playing) return;
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.follow());
  }
}

/** Let a card take its own keys while the focus is in it. */
function cardKeys(card, keys) {
  card.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key === " " && event.target.closest("button:not(.choice)")) return;
    const action = keys(key);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/** Show results as text that can be copied and as a file to save. */
function resultsBox(name, rows, again) {
  const text = csvText(rows);
  return h("div", { class: "results" },
    h("div", { class: "row" },
      h("button", { type: "button", class: "primary", click: () => saveFile(name, text) }, "Save as CSV"),
      h("button", { type: "button", class: "quiet", click: again }, "Start again")),
    h("details", {}, h("summary", {}, "Show the CSV"),
      h("textarea", { readonly: true, rows: 6, "aria-label": "Results as CSV", class: "csv" }, text)));
}

let runningTests = 0;

function testStarts() { runningTests += 1; }

function testEnds() { runningTests = Math.max(0, runningTests - 1); }

window.addEventListener("beforeunload", (event) => { if (runningTests) event.preventDefault(); });
