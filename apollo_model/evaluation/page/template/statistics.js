// Seeded chance and the statistics of the blind tests.

/** Return a generator of numbers in [0, 1) that depends on the text alone (FNV-1a, mulberry32). */
function seededRandom(text) {
  let state = 2166136261;
  for (const character of String(text)) {
    state = Math.imul(state ^ character.codePointAt(0), 16777619);
  }
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Return the items in a random order (Fisher and Yates). */
function shuffled(items, random) {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Return the chance of `correct` or more right answers in `trials` by guessing (exact, one-sided). */
function guessingChance(correct, trials) {
  let logTerm = -trials * Math.LN2;
  let sum = 0;
  for (let k = 0; k <= trials; k += 1) {
    if (k >= correct) sum += Math.exp(logTerm);
    logTerm += Math.log((trials - k) / (k + 1));
  }
  return Math.min(1, sum);
}

// Two-sided 95 % points of Student's t for 1 to 30 degrees of freedom.
const T_95 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145,
  2.131, 2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042];

/** Return {mean, half} of values; `half` is half of the 95 % interval, null for one value. */
function meanInterval(values) {
  const n = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  if (n < 2) return { mean, half: null };
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n - 1);
  const t = T_95[n - 2] || 1.96 + 2.5 / (n - 1);
  return { mean, half: t * Math.sqrt(variance / n) };
}
