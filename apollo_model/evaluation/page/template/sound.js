// Sounds of the page: from base64 to audio buffers of one length, and the low-pass anchor.

const ANCHOR_HZ = 3500;
const kept = new Map();

function bytesOf(clip, version) {
  const text = atob(byId(`sound-${clip}-${version}`).textContent);
  return Uint8Array.from(text, (character) => character.charCodeAt(0)).buffer;
}

async function decodeAll(index) {
  const clip = DATA.listening.clips[index];
  const context = new OfflineAudioContext(2, 1, clip.rate);
  const buffers = await Promise.all(clip.versions.map((_, v) => context.decodeAudioData(bytesOf(index, v))));
  const frames = Math.round(clip.seconds * clip.rate);
  return buffers.map((buffer) => ofLength(context, buffer, frames));
}

/** Cut or pad to the length of the target, so that all versions loop together. */
function ofLength(context, buffer, frames) {
  if (buffer.length === frames) return buffer;
  const cut = context.createBuffer(buffer.numberOfChannels, frames, buffer.sampleRate);
  for (let c = 0; c < buffer.numberOfChannels; c += 1) {
    cut.copyToChannel(buffer.getChannelData(c).subarray(0, frames), c);
  }
  return cut;
}

/** Return the buffers of a clip, one for each version. The last three clips stay decoded. */
function clipBuffers(index) {
  const found = kept.get(index) || decodeAll(index);
  kept.delete(index);
  kept.set(index, found);
  found.catch(() => kept.delete(index));
  if (kept.size > 3) kept.delete(kept.keys().next().value);
  return found;
}

function peakOf(buffer) {
  let peak = 0;
  for (let c = 0; c < buffer.numberOfChannels; c += 1) {
    for (const sample of buffer.getChannelData(c)) peak = Math.max(peak, Math.abs(sample));
  }
  return peak;
}

/** Return tracks for the player: each buffer with its gain to the target's loudness. */
async function clipTracks(index) {
  const buffers = await clipBuffers(index);
  const { versions } = DATA.listening.clips[index];
  return buffers.map((buffer, v) => ({ buffer, gain: 10 ** (versions[v].gain_db / 20), peak: peakOf(buffer) }));
}

/**
 * Return the 3.5 kHz anchor of ITU-R BS.1534-3: flat to 3.5 kHz, at least 25 dB down at 4 kHz
 * and 50 dB at 4.5 kHz. The filter is symmetric and its delay is taken out.
 */
async function lowPassed(buffer) {
  const rate = buffer.sampleRate;
  const half = Math.round(0.00585 * rate);
  const cutoff = (ANCHOR_HZ + 250) / rate;
  const offline = new OfflineAudioContext(buffer.numberOfChannels, buffer.length + half, rate);
  const taps = offline.createBuffer(1, 2 * half + 1, rate);
  const values = taps.getChannelData(0);
  for (let n = -half; n <= half; n += 1) {
    const sinc = n === 0 ? 2 * cutoff : Math.sin(2 * Math.PI * cutoff * n) / (Math.PI * n);
    const phase = Math.PI * (n + half) / half;
    values[n + half] = sinc * (0.42 - 0.5 * Math.cos(phase) + 0.08 * Math.cos(2 * phase));
  }
  const filter = new ConvolverNode(offline, { buffer: taps, disableNormalization: true });
  const source = new AudioBufferSourceNode(offline, { buffer });
  source.connect(filter).connect(offline.destination);
  source.start();
  const late = await offline.startRendering();
  const anchor = offline.createBuffer(buffer.numberOfChannels, buffer.length, rate);
  for (let c = 0; c < buffer.numberOfChannels; c += 1) {
    anchor.copyToChannel(late.getChannelData(c).subarray(half), c);
  }
  return anchor;
}
