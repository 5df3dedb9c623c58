// Which points pass the filters, which of them are the front of the axes, and whether that front is whole.
import { beyond, better, count, families, familyOf, formatOf, formats, model, value } from "./model.js";
import { state } from "./state.js";

export const pass = new Uint8Array(count);
export const onFront = new Uint8Array(count);
export let passing = 0;
export let front = [];

export function select() {
  const ranges = [...state.ranges];
  passing = 0;
  for (let index = 0; index < count; index++) {
    let kept = state.families.has(families[familyOf[index]]) && state.formats.has(formatOf[index]);
    kept &&= !(state.measured && beyond[index]);
    for (const [name, [low, high]] of ranges) {
      if (!kept) break;
      const number = value(name, index);
      kept = number !== null && within(number, low, high);
    }
    pass[index] = kept ? 1 : 0;
    passing += pass[index];
  }
  front = frontOf(objectives());
  onFront.fill(0);
  for (const index of front) onFront[index] = 1;
}

// Ends are printed with six digits: what lies on them is meant to be in.
function within(number, low, high) {
  const room = Math.abs(number) * 1e-5;
  return (low === null || number >= low - room) && (high === null || number <= high + room);
}

// Axes as objectives: smaller is better, unless a minus stands in front. Of axes that are neither, smaller.
export function objectives() {
  const names = [...new Set([state.x, state.y, state.z].filter(Boolean))];
  return names.map((name) => (better(name) > 0 ? `-${name}` : name));
}

// Points that no other passing one is as good as everywhere, and better than somewhere; of equal ones the first.
export function frontOf(names) {
  const axes = names.map((name) => name.replace(/^-/, ""));
  const signs = names.map((name) => (name.startsWith("-") ? -1 : 1));
  const rows = [];
  for (let index = 0; index < count; index++) {
    if (!pass[index]) continue;
    const row = axes.map((name, place) => {
      const number = value(name, index);
      return number === null ? NaN : signs[place] * number;
    });
    if (!row.some(Number.isNaN)) rows.push({ index, row });
  }
  rows.sort((a, b) => {
    for (let place = 0; place < axes.length; place++) if (a.row[place] !== b.row[place]) return a.row[place] - b.row[place];
    return a.index - b.index;
  });
  const kept = [];
  for (const one of rows) {
    if (!kept.some((other) => other.row.every((number, place) => number <= one.row[place]))) kept.push(one);
  }
  return kept.map(({ index }) => index);
}

// What the front is a front of, in words.
export function frontOrigin() {
  const names = objectives();
  const is = (sets) => sets.some((set) => set.length === names.length && names.every((name) => set.includes(name)));
  const [whole, byGroup] = model.whole.map(is);
  // A limit on an axis cuts a front, and adds nothing to it.
  const limited = [...state.ranges].every(([name, [low, high]]) => {
    const axis = names.find((one) => one.replace(/^-/, "") === name);
    return axis && (axis.startsWith("-") ? high === null : low === null);
  });
  const grouped = state.families.size < families.length || state.formats.size < formats.length;
  if (limited && !state.measured && (byGroup || (whole && !grouped))) return "whole";
  return "shown";
}
