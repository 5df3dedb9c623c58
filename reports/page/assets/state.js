// What the reader has asked for. All of it is in the URL's hash, so that a view can be sent to somebody.
import { better, columns, count, families, formats, metrics, model, numbers, wantsLog } from "./model.js";

const swept = model.objectives.map((name) => name.replace(/^-/, ""));
const offered = [...new Set([...swept, ...model.keys, ...metrics.map((column) => column.name), ...numbers])];

function usual() {
  const [x, y] = [offered[0] ?? numbers[0], offered[1] ?? offered[0]];
  return {
    x, y,
    z: swept.length > 2 ? swept[2] : "",
    xlog: wantsLog(x),
    ylog: wantsLog(y),
    fit: "front",
    families: new Set(families),
    formats: new Set(formats.keys()),
    measured: false,
    ranges: new Map(),
    dims: usualDims(),
    frontOnly: false,
    sort: swept[0],
    down: false,
    page: 0,
    point: model.chosen,
  };
}

// Axes of the parallel coordinates: what tiles are, then what they are good for.
function usualDims() {
  const shape = ["m", "n", "k", "weight_bits", "bus_bits"].filter((name) => numbers.includes(name));
  return ["pe", ...shape.slice(0, 4), ...model.keys.filter((name) => numbers.includes(name))].slice(0, 9);
}

export const state = usual();
const listeners = [];

// Called after each change, once a frame, with the names of what has changed.
export function onChange(listener) {
  listeners.push(listener);
}

let pending = new Set();
export function update(patch) {
  if (patch.x && patch.x !== state.x && !("xlog" in patch)) patch.xlog = wantsLog(patch.x);
  if (patch.y && patch.y !== state.y && !("ylog" in patch)) patch.ylog = wantsLog(patch.y);
  if (["families", "formats", "ranges", "measured", "frontOnly", "sort", "down"].some((key) => key in patch)) patch.page ??= 0;
  Object.assign(state, patch);
  if (!pending.size) requestAnimationFrame(flush);
  Object.keys(patch).forEach((key) => pending.add(key));
}

function flush() {
  const keys = pending;
  pending = new Set();
  for (const listener of listeners) listener(keys);
  const wanted = hash();
  if (wanted !== location.hash.slice(1)) history.replaceState(null, "", wanted ? `#${wanted}` : location.pathname + location.search);
}

export function setRange(name, low, high) {
  const ranges = new Map(state.ranges);
  if (low === null && high === null) ranges.delete(name);
  else ranges.set(name, [low, high]);
  update({ ranges });
}

export function reset() {
  const { point } = state;
  update({ ...usual(), point });
}

export function filterCount() {
  return state.ranges.size + (state.families.size < families.length) + (state.formats.size < formats.length) + state.measured;
}

const same = (a, b) => String(a) === String(b);
const number = (x) => (x === null ? "" : String(Number(x.toPrecision(6))));

// Only what differs from the usual view.
export function hash() {
  const first = usual(), said = new URLSearchParams();
  for (const key of ["x", "y", "z", "fit", "sort", "point"]) if (!same(state[key], first[key])) said.set(key, state[key]);
  if (state.xlog !== wantsLog(state.x)) said.set("xlog", Number(state.xlog));
  if (state.ylog !== wantsLog(state.y)) said.set("ylog", Number(state.ylog));
  for (const key of ["measured", "frontOnly", "down"]) if (state[key]) said.set(key, 1);
  if (state.page) said.set("page", state.page);
  if (state.families.size < families.length) said.set("families", [...state.families].join(","));
  if (state.formats.size < formats.length) said.set("formats", [...state.formats].map((place) => formats[place].text).join("|"));
  if (state.ranges.size) said.set("ranges", [...state.ranges].map(([name, [low, high]]) => `${name}:${number(low)}..${number(high)}`).join(","));
  if (!same(state.dims, first.dims)) said.set("dims", state.dims.join(","));
  return said.toString();
}

// A view from a hash; what it names and this page has not is left out.
export function read(text) {
  const said = new URLSearchParams(text), found = usual();
  for (const key of ["x", "y"]) if (numbers.includes(said.get(key))) found[key] = said.get(key);
  const z = said.get("z");
  if (said.has("z") && (z === "" || numbers.includes(z))) found.z = z;
  for (const key of ["xlog", "ylog"]) found[key] = said.has(key) ? said.get(key) === "1" : wantsLog(found[key[0]]);
  if (["all", "front", "selected"].includes(said.get("fit"))) found.fit = said.get("fit");
  if (said.get("sort") === "#formats" || columns.has(said.get("sort"))) found.sort = said.get("sort");
  for (const key of ["measured", "frontOnly", "down"]) found[key] = said.get(key) === "1";
  for (const [key, most] of [["page", count], ["point", count - 1]]) {
    const given = Number(said.get(key));
    if (said.has(key) && Number.isInteger(given) && given >= 0 && given <= most) found[key] = given;
  }
  if (said.has("families")) found.families = new Set(said.get("families").split(",").filter((name) => families.includes(name)));
  if (said.has("formats")) {
    const texts = said.get("formats").split("|");
    found.formats = new Set([...formats.keys()].filter((place) => texts.includes(formats[place].text)));
  }
  for (const one of (said.get("ranges") ?? "").split(",")) {
    const match = /^(\w+):(.*)\.\.(.*)$/.exec(one);
    if (!match || !numbers.includes(match[1])) continue;
    const [low, high] = [match[2], match[3]].map((end) => (end === "" || !Number.isFinite(Number(end)) ? null : Number(end)));
    if (low !== null || high !== null) found.ranges.set(match[1], [low, high]);
  }
  const dims = (said.get("dims") ?? "").split(",").filter((name) => name === "pe" || numbers.includes(name));
  if (dims.length > 1) found.dims = dims;
  return found;
}

export function startFromHash() {
  Object.assign(state, read(location.hash.slice(1)));
  addEventListener("hashchange", () => update(read(location.hash.slice(1))));
}

export function axisNames() {
  return offered;
}

// The end of a range that is no limit: what is better than all is always allowed.
export function openEnd(name) {
  return better(name) > 0 ? 1 : 0;
}
