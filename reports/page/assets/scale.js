// Scales of axes: from values to pixels and back, and where ticks stand.
export function makeScale(log, low, high, from, to) {
  const [forth, back] = log ? [Math.log10, (x) => 10 ** x] : [(x) => x, (x) => x];
  let a = forth(low), b = forth(high);
  if (!(b > a)) {
    const room = log ? 0.1 : Math.abs(a) * 0.05 || 1;
    [a, b] = [a - room, b + room];
  }
  return {
    log,
    low: back(a),
    high: back(b),
    at: (number) => from + ((forth(number) - a) / (b - a)) * (to - from),
    value: (pixel) => back(a + ((pixel - from) / (to - from)) * (b - a)),
    ticks: (most) => (log ? logTicks(a, b, most) : evenTicks(a, b, most)),
  };
}

// A little room on both sides, so that no point lies on the frame.
export function padded(log, low, high, share = 0.05) {
  if (log) {
    const room = Math.max(high / low, 1.05) ** share;
    return [low / room, high * room];
  }
  const room = (high - low || Math.abs(low) || 1) * share;
  return [low - room, high + room];
}

function evenTicks(low, high, most) {
  const rough = (high - low) / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) found.push(Number((n * step).toPrecision(12)));
  return found;
}

function logTicks(low, high, most) {
  for (const within of [[1, 2, 5], [1, 3], [1]]) {
    const found = [];
    for (let power = Math.floor(low); power <= Math.ceil(high); power++) {
      for (const one of within) {
        const number = Number((one * 10 ** power).toPrecision(3));
        if (Math.log10(number) >= low - 1e-9 && Math.log10(number) <= high + 1e-9) found.push(number);
      }
    }
    if (found.length < 2) return evenTicks(10 ** low, 10 ** high, most);
    if (found.length <= most) return found;
    if (within.length === 1) {
      const step = Math.ceil(found.length / most);
      return found.filter((_, place) => place % step === 0);
    }
  }
  return [];
}
