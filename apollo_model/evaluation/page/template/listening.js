// The listening part: choose a clip, play it, switch its versions in place.

const LISTENING = DATA.listening || { clips: [], notes: [], format: "" };

function clipTitle(clip) {
  const bitrate = bitrateText(clip);
  return [bitrate, labelOf(DATA.categories, clip.category)].filter(Boolean).join(" \u00b7 ");
}

function bitrateText(clip) {
  if (clip.bitrate === null || clip.bitrate === undefined) return clip.codec;
  return typeof clip.bitrate === "number" ? `${clip.bitrate} kbit/s` : String(clip.bitrate);
}

function versionLabel(version) {
  if (version.role === "target") return "Clean target";
  return version.role === "codec" ? "Codec, unrestored" : version.name;
}

function scoresText(version) {
  const metrics = ["sdr", "si_snr", "visqol"].map((id) => METRIC.get(id))
    .filter((metric) => metric && isNumber(version.scores[metric.id]));
  return metrics.map((metric) => `${metric.label} ${format(version.scores[metric.id], metric.digits)}`).join(" \u00b7 ");
}

class ListeningPart {
  constructor(root) {
    this.root = root;
    this.current = 0;
    this.loading = 0;
    this.player = new Player(() => this.update());
    this.clipButtons = LISTENING.clips.map((clip, i) => this.clipButton(clip, i));
    this.buildStage();
    root.replaceChildren(h("div", { class: "clip-list", role: "group", "aria-label": "Clips" }, this.clipButtons), this.stage);
    document.addEventListener("keydown", (event) => this.key(event));
    drawToWidth(this.canvas, () => this.drawPictures());
    whenNear(root, () => { if (!this.buffers) this.open(0); });
  }

  clipButton(clip, index) {
    return h("button", { type: "button", class: "clip", "aria-pressed": "false", click: () => this.open(index) },
      h("b", {}, bitrateText(clip)), h("span", {}, labelOf(DATA.categories, clip.category)),
      /worst/.test(clip.why) ? h("small", {}, clip.why) : null);
  }

  buildStage() {
    const toggle = (text, checked, change) => {
      const box = h("input", { type: "checkbox", change: () => change(box.checked) });
      box.checked = checked;
      return [h("label", { class: "check" }, box, text), box];
    };
    this.heading = h("h3", { class: "now", "aria-live": "polite" });
    this.song = h("p", { class: "hint song" });
    this.canvas = h("canvas", { class: "spectrogram", role: "img" });
    this.head = h("div", { class: "playhead" });
    this.regionBox = h("div", { class: "region" });
    this.view = h("div", { class: "view" }, this.canvas, this.regionBox, this.head);
    this.playButton = h("button", { type: "button", class: "primary", click: () => this.player.toggle() }, "Play");
    this.time = h("span", { class: "time" });
    const [loopLabel, loopBox] = toggle("Loop", true, (on) => this.player.setLooping(on));
    const [matchLabel] = toggle("Equal loudness", true, (on) => this.player.setMatched(on));
    const [allLabel, allBox] = toggle("Side by side", false, (on) => { this.all.hidden = !on; this.drawPictures(); });
    [this.loopBox, this.allBox] = [loopBox, allBox];
    this.wholeButton = h("button", { type: "button", class: "quiet", click: () => this.player.setRegion(null) }, "Whole clip");
    this.versions = h("div", { class: "versions", role: "radiogroup", "aria-label": "Versions" });
    this.all = h("div", { class: "all", hidden: true });
    this.stage = h("div", { class: "card stage" },
      h("div", { class: "stage-head" }, this.heading, this.song), this.view,
      h("div", { class: "transport" }, this.playButton, this.time, loopLabel, this.wholeButton, matchLabel, allLabel),
      this.versions, this.all, keyboardHelp());
    this.view.addEventListener("pointerdown", (event) => this.drag(event));
  }

  async open(index) {
    this.current = index;
    this.loading += 1;
    const turn = this.loading;
    const clip = LISTENING.clips[index];
    this.player.pause();
    this.clipButtons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
    this.song.textContent = [clipTitle(clip), clip.codec, clip.song].filter(Boolean).join(" \u00b7 ");
    try {
      const tracks = await clipTracks(index);
      if (turn !== this.loading) return;
      const name = this.buffers && this.names[this.player.selected];
      this.buffers = tracks.map((track) => track.buffer);
      this.names = clip.versions.map(versionLabel);
      this.showVersions(clip);
      const codec = clip.versions.findIndex((version) => version.role === "codec");
      this.player.load(tracks, Math.max(0, this.names.includes(name) ? this.names.indexOf(name) : codec));
    } catch (error) {
      this.song.textContent = `This browser cannot decode the sounds (${LISTENING.format}): ${error.message}`;
    }
  }

  showVersions(clip) {
    this.buttons = clip.versions.map((version, i) => h("button", { type: "button", role: "radio", class: "version",
      "aria-checked": "false", click: () => this.player.select(i) },
      i < 9 ? h("kbd", { "aria-hidden": "true" }, String(i + 1)) : h("kbd", { class: "none", "aria-hidden": "true" }),
      h("span", { class: "version-name" }, versionLabel(version)), h("span", { class: "version-scores" }, scoresText(version))));
    this.versions.replaceChildren(...this.buttons);
    this.allCanvases = clip.versions.map((version) =>
      h("canvas", { role: "img", "aria-label": `Spectrogram: ${versionLabel(version)}` }));
    this.all.replaceChildren(...this.allCanvases.map((canvas, i) =>
      h("figure", {}, canvas, h("figcaption", {}, versionLabel(clip.versions[i])))));
    this.drawn = null;
  }

  /** Draw what changed; the position itself is drawn by `follow`. */
  update() {
    if (!this.buffers) return;
    const { player } = this;
    this.playButton.textContent = player.playing ? "Pause" : "Play";
    this.loopBox.checked = player.looping;
    this.wholeButton.disabled = !player.region;
    this.heading.textContent = this.names[player.selected] || "";
    this.buttons.forEach((button, i) => {
      button.setAttribute("aria-checked", String(i === player.selected));
      button.tabIndex = i === player.selected ? 0 : -1;
    });
    const [from, to] = player.bounds;
    this.regionBox.hidden = !player.region;
    Object.assign(this.regionBox.style, { left: `${(100 * from) / player.duration}%`, width: `${(100 * (to - from)) / player.duration}%` });
    this.drawPictures();
    this.follow();
  }

  follow() {
    const { player } = this;
    this.head.style.left = `${(100 * player.position) / (player.duration || 1)}%`;
    this.time.textContent = `${player.position.toFixed(2)} / ${player.duration.toFixed(2)} s`;
    if (player.playing) { cancelAnimationFrame(this.frame); this.frame = requestAnimationFrame(() => this.follow()); }
  }

  drawPictures() {
    if (!this.buffers || !this.buttons || !this.canvas.clientWidth) return;
    const { selected, duration } = this.player;
    const state = [this.current, selected, this.canvas.clientWidth, this.all.hidden].join();
    if (state === this.drawn) return;
    this.drawn = state;
    const rate = this.buffers[0].sampleRate;
    const draw = (canvas, i) => paint(canvas, pictureOf(this.buffers[i], this.buffers[0]), rate, duration);
    draw(this.canvas, selected);
    this.canvas.setAttribute("aria-label", `Spectrogram: ${this.names[selected]}`);
    if (!this.all.hidden) this.allCanvases.forEach(draw);
  }

  /** A press goes to that place; a drag marks what to loop. */
  drag(event) {
    if (!this.buffers) return;
    const box = this.view.getBoundingClientRect();
    const at = (e) => Math.max(0, Math.min(1, (e.clientX - box.left) / box.width)) * this.player.duration;
    const from = at(event);
    this.view.setPointerCapture(event.pointerId);
    const move = (e) => {
      const [a, b] = [Math.min(from, at(e)), Math.max(from, at(e))];
      if (b - a < 0.05) return;
      this.regionBox.hidden = false;
      Object.assign(this.regionBox.style, { left: `${(100 * a) / this.player.duration}%`, width: `${(100 * (b - a)) / this.player.duration}%` });
    };
    const end = (e) => {
      this.view.removeEventListener("pointermove", move);
      this.view.removeEventListener("pointerup", end);
      this.view.removeEventListener("pointercancel", end);
      const [a, b] = [Math.min(from, at(e)), Math.max(from, at(e))];
      if (e.type === "pointerup" && b - a >= 0.05) this.player.setRegion([a, b]);
      else if (e.type === "pointerup") this.player.seek(from);
      this.update();
    };
    this.view.addEventListener("pointermove", move);
    this.view.addEventListener("pointerup", end);
    this.view.addEventListener("pointercancel", end);
  }

  key(event) {
    if (!this.buffers || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.target.closest(".tests") || !inView(this.stage)) return;
    const { player } = this;
    const [from, to] = player.bounds;
    const actions = {
      " ": () => this.player.toggle(),
      ArrowLeft: () => player.seek(player.position - 0.5),
      ArrowRight: () => player.seek(player.position + 0.5),
      l: () => player.setLooping(!player.looping),
      "[": () => player.setRegion([player.position, Math.max(to, player.position + 0.05)]),
      "]": () => player.setRegion([Math.min(from, player.position - 0.05), Math.max(0.05, player.position)]),
      w: () => player.setRegion(null),
      n: () => this.open((this.current + 1) % LISTENING.clips.length),
      p: () => this.open((this.current + LISTENING.clips.length - 1) % LISTENING.clips.length),
    };
    if (event.target.closest(".versions")) {
      actions.ArrowDown = () => this.step(1);
      actions.ArrowUp = () => this.step(-1);
    }
    const own = /^[1-9]$/.test(event.key) ? () => player.select(Number(event.key) - 1)
      : Object.hasOwn(actions, event.key) ? actions[event.key] : null;
    const pressesButton = event.key === " " && event.target.closest("button:not(.version), a, input, summary");
    if (!own || pressesButton) return;
    event.preventDefault();
    own();
  }

  step(by) {
    const count = this.buttons.length;
    this.player.select((this.player.selected + by + count) % count);
    this.buttons[this.player.selected].focus();
  }
}

function keyboardHelp() {
  const keys = [["1 \u2013 9", "version"], ["Space", "play, pause"], ["\u2190 \u2192", "half a second back, on"],
    ["[ ]", "loop from here, to here"], ["L", "loop on, off"], ["W", "loop the whole clip"], ["N P", "next, previous clip"]];
  return h("details", { class: "keys" }, h("summary", {}, "Keyboard and pointer"),
    h("dl", {}, keys.map(([key, what]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)))),
    h("p", {}, "Press the spectrogram to go to a place; drag over it to loop a part."));
}

function typing(target) {
  return target.matches("select, textarea, input:not([type=checkbox], [type=range])");
}

function inView(element) {
  const box = element.getBoundingClientRect();
  return box.bottom > 0 && box.top < window.innerHeight;
}

/** Call once when the element comes near the window. */
function whenNear(element, call) {
  const watch = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) { watch.disconnect(); call(); }
  }, { rootMargin: "600px" });
  watch.observe(element);
}

function showListening() {
  if (!LISTENING.clips.length) {
    byId("listen-lead").textContent = "This evaluation has no clips to listen to.";
    byId("blind").hidden = true;
    return null;
  }
  const lossless = LISTENING.format === "FLAC";
  byId("listen-lead").textContent = `${LISTENING.clips.length} clips. All versions play at once and in time; you choose which one you hear. ` +
    (lossless ? "The sounds are stored without loss (FLAC)." : `To keep the page small, the sounds are stored as ${LISTENING.format}, the clean target too.`);
  return new ListeningPart(byId("listen-body"));
}
