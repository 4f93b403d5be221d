// Spectrograms: short-time Fourier transform in the page, drawn in colours of equal steps.

const FFT_SIZE = 2048;
const COLUMNS = 640;
const ROWS = 320;
const RANGE_DB = 90;

/** Colours from black over violet and orange to light yellow, rising evenly in lightness. */
const COLOUR_STOPS = [[4, 5, 18], [38, 18, 82], [97, 25, 110], [158, 43, 99], [212, 72, 66], [243, 124, 35], [250, 190, 66], [252, 252, 190]];
const COLOURS = Array.from({ length: 256 }, (_, i) => {
  const at = (i / 255) * (COLOUR_STOPS.length - 1);
  const k = Math.min(COLOUR_STOPS.length - 2, Math.floor(at));
  return COLOUR_STOPS[k].map((c, j) => Math.round(c + (COLOUR_STOPS[k + 1][j] - c) * (at - k)));
});

const HANN = Float32Array.from({ length: FFT_SIZE }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / FFT_SIZE));
const COSINES = Float32Array.from({ length: FFT_SIZE / 2 }, (_, n) => Math.cos((2 * Math.PI * n) / FFT_SIZE));
const SINES = Float32Array.from({ length: FFT_SIZE / 2 }, (_, n) => -Math.sin((2 * Math.PI * n) / FFT_SIZE));

/** Fast Fourier transform in place, radix 2. */
function transform(re, im) {
  const n = FFT_SIZE;
  for (let i = 1, j = 0; i < n; i += 1) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    const step = n / size;
    for (let start = 0; start < n; start += size) {
      for (let k = 0; k < half; k += 1) {
        const [c, s] = [COSINES[k * step], SINES[k * step]];
        const [a, b] = [start + k, start + k + half];
        const tr = re[b] * c - im[b] * s;
        const ti = re[b] * s + im[b] * c;
        re[b] = re[a] - tr; im[b] = im[a] - ti;
        re[a] += tr; im[a] += ti;
      }
    }
  }
}

/** Return levels in dB, (COLUMNS, ROWS), the loudest bin of each row; channels in one transform. */
function levelsOf(buffer) {
  const first = buffer.getChannelData(0);
  const second = buffer.getChannelData(Math.min(1, buffer.numberOfChannels - 1));
  const levels = new Float32Array(COLUMNS * ROWS).fill(-200);
  const [re, im] = [new Float32Array(FFT_SIZE), new Float32Array(FFT_SIZE)];
  for (let column = 0; column < COLUMNS; column += 1) {
    // Windows stay inside the clip: its cut ends would show as clicks.
    const middle = Math.round(((column + 0.5) / COLUMNS) * buffer.length - FFT_SIZE / 2);
    const start = Math.max(0, Math.min(buffer.length - FFT_SIZE, middle));
    for (let n = 0; n < FFT_SIZE; n += 1) {
      re[n] = (first[start + n] || 0) * HANN[n];
      im[n] = (second[start + n] || 0) * HANN[n];
    }
    transform(re, im);
    for (let bin = 1; bin < FFT_SIZE / 2; bin += 1) {
      // Both channels at once: their powers' sum is half of the power at +bin and -bin.
      const power = (re[bin] ** 2 + im[bin] ** 2 + re[FFT_SIZE - bin] ** 2 + im[FFT_SIZE - bin] ** 2) / 2;
      const place = column * ROWS + Math.floor((bin * ROWS) / (FFT_SIZE / 2));
      levels[place] = Math.max(levels[place], 10 * Math.log10(power + 1e-20));
    }
  }
  return levels;
}

const pictures = new WeakMap();

/** Return a canvas with a buffer's spectrogram; `reference` gives the loudest level of all. */
function pictureOf(buffer, reference) {
  if (pictures.has(buffer)) return pictures.get(buffer);
  const levels = levelsOf(buffer);
  const top = reference && reference !== buffer ? pictureOf(reference).loudest
    : levels.reduce((a, b) => Math.max(a, b), -150);
  const canvas = h("canvas", { width: COLUMNS, height: ROWS });
  const context = canvas.getContext("2d");
  const image = context.createImageData(COLUMNS, ROWS);
  for (let column = 0; column < COLUMNS; column += 1) {
    for (let row = 0; row < ROWS; row += 1) {
      const share = (levels[column * ROWS + row] - top + RANGE_DB) / RANGE_DB;
      const colour = COLOURS[Math.max(0, Math.min(255, Math.round(share * 255)))];
      image.data.set([...colour, 255], ((ROWS - 1 - row) * COLUMNS + column) * 4);
    }
  }
  context.putImageData(image, 0, 0);
  const picture = { canvas, loudest: top };
  pictures.set(buffer, picture);
  return picture;
}

/** Draw a picture with its frequencies into a canvas that fills its box. */
function paint(canvas, picture, rate, seconds) {
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.imageSmoothingQuality = "high";
  context.drawImage(picture.canvas, 0, 0, width, height);
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = "rgba(255,255,255,.82)";
  context.shadowColor = "#000";
  context.shadowBlur = 3;
  const step = height < 120 ? 10 : 5;
  for (let khz = step; khz < rate / 2000 - 0.5; khz += step) {
    const y = height * (1 - (khz * 2000) / rate);
    context.fillRect(0, y, 5, 1);
    context.fillText(`${khz} kHz`, 8, y + 4);
  }
  const { values, digits } = ticks(0, seconds, 6);
  for (const second of values.slice(1)) {
    const x = (width * second) / seconds;
    if (x > width - 30) continue;
    context.fillRect(x, height - 5, 1, 5);
    context.fillText(`${second.toFixed(digits)} s`, x + 3, height - 6);
  }
}
