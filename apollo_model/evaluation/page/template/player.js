// Plays all versions of a clip at once, in time to the sample, and lets one of them be heard.

const SWITCH_SECONDS = 0.0015; // time constant: 96 % of a switch are done after 5 ms
const START_SECONDS = 0.03; // so that all versions start in one block of samples

/**
 * Connect one source and gain for each track; all start together at `when`.
 * `play` holds {when, offset, loop: [start, end] or null, levels}.
 */
function connectTracks(context, tracks, play, destination) {
  return tracks.map(({ buffer }, i) => {
    const source = new AudioBufferSourceNode(context, { buffer, loop: play.loop !== null });
    if (play.loop) [source.loopStart, source.loopEnd] = play.loop;
    const gain = new GainNode(context, { gain: play.levels[i] });
    source.connect(gain).connect(destination);
    source.start(play.when, play.offset);
    return { source, gain };
  });
}

function setLevels(playing, levels, when) {
  playing.forEach(({ gain }, i) => gain.gain.setTargetAtTime(levels[i], when, SWITCH_SECONDS));
}

/** Every player of the page; when one starts, the others pause. */
const PLAYERS = [];

class Player {
  constructor(changed) {
    PLAYERS.push(this);
    this.changed = changed;
    this.context = null;
    this.tracks = [];
    this.selected = 0;
    this.matched = true;
    this.looping = true;
    this.region = null;
    this.rest = 0;
    this.playing = null;
  }

  get duration() {
    return this.tracks.length ? this.tracks[0].buffer.duration : 0;
  }

  /** Return the loop's bounds in seconds. */
  get bounds() {
    return this.region || [0, this.duration];
  }

  /** Return the position in seconds. */
  get position() {
    if (!this.playing) return this.rest;
    const { when, offset, loop } = this.playing;
    const at = offset + Math.max(0, this.context.currentTime - when);
    if (!loop || at < loop[1]) return Math.min(at, this.duration);
    return loop[0] + ((at - loop[0]) % (loop[1] - loop[0]));
  }

  /** Take new tracks, all of one length. */
  load(tracks, selected = 0) {
    this.pause();
    this.tracks = tracks;
    this.selected = selected;
    this.region = null;
    this.rest = 0;
    this.changed();
  }

  /** Return each track's gain: matched in loudness, never above full scale, one audible. */
  levels() {
    const gains = this.tracks.map(({ gain }) => (this.matched ? gain : 1));
    const peak = Math.max(...this.tracks.map((track, i) => track.peak * gains[i]), 1e-9);
    const headroom = Math.min(1, 0.99 / peak);
    return gains.map((gain, i) => (i === this.selected ? gain * headroom : 0));
  }

  play() {
    if (this.playing || !this.tracks.length) return;
    PLAYERS.filter((other) => other !== this).forEach((other) => other.pause());
    const rate = this.tracks[0].buffer.sampleRate;
    if (!this.context || this.context.sampleRate !== rate) {
      if (this.context) this.context.close();
      this.context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
    }
    this.context.resume();
    const loop = this.looping ? this.bounds : null;
    const [start, end] = loop || [0, this.duration];
    const offset = this.rest >= start && this.rest < end - 0.005 ? this.rest : start;
    const when = this.context.currentTime + START_SECONDS;
    const master = new GainNode(this.context);
    master.connect(this.context.destination);
    const play = { when, offset, loop, levels: this.levels() };
    const nodes = connectTracks(this.context, this.tracks, play, master);
    this.playing = { when, offset, loop, master, nodes };
    nodes[0].source.onended = () => this.ended(nodes);
    this.changed();
  }

  ended(nodes) {
    if (!this.playing || this.playing.nodes !== nodes) return;
    this.playing = null;
    this.rest = 0;
    this.changed();
  }

  pause() {
    if (!this.playing) return;
    this.rest = this.position;
    const { master, nodes } = this.playing;
    const now = this.context.currentTime;
    master.gain.setTargetAtTime(0, now, SWITCH_SECONDS);
    nodes.forEach(({ source }) => source.stop(now + 10 * SWITCH_SECONDS));
    this.playing = null;
    this.changed();
  }

  toggle() {
    if (this.playing) this.pause(); else this.play();
  }

  /** Change something that needs new sources, and go on where it was. */
  restart(change) {
    const wasPlaying = Boolean(this.playing);
    this.pause();
    change();
    if (wasPlaying) this.play();
    this.changed();
  }

  seek(seconds) {
    this.restart(() => { this.rest = Math.max(0, Math.min(this.duration - 0.01, seconds)); });
  }

  setLooping(on) {
    this.restart(() => { this.looping = on; });
  }

  /** Loop from `a` to `b` seconds, or over the whole clip for null. */
  setRegion(region) {
    this.restart(() => { this.region = region; });
  }

  select(index) {
    if (index < 0 || index >= this.tracks.length) return;
    this.selected = index;
    this.applyLevels();
  }

  setMatched(on) {
    this.matched = on;
    this.applyLevels();
  }

  applyLevels() {
    if (this.playing) setLevels(this.playing.nodes, this.levels(), this.context.currentTime);
    this.changed();
  }
}
