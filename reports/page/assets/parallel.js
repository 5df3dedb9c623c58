// Parallel coordinates: a line a point across all axes; a stretch of an axis is a filter.
import { byId, colours, make, sized, svg } from "./dom.js";
import { cell, tick, title } from "./format.js";
import { better, columns, count, families, familyOf, numbers, range, value, wantsLog } from "./model.js";
import { makeScale } from "./scale.js";
import { onFront, pass } from "./select.js";
import { setRange, state, update } from "./state.js";

const ROOM = { top: 54, bottom: 14 }, LEAST = 62;
let host, sheet, rails, inner, axes = [];

export function startParallel() {
  host = byId("parallel");
  sheet = make("canvas", { "aria-hidden": "true" });
  rails = svg("svg", { class: "rails" });
  inner = make("div", { class: "inner" }, sheet, rails);
  host.append(inner);
  byId("dims").append(menu());
  new ResizeObserver(drawParallel).observe(host);
}

function menu() {
  const list = make("div", { class: "choices" });
  for (const name of ["pe", ...numbers]) {
    const input = make("input", {
      type: "checkbox", value: name, checked: state.dims.includes(name),
      change: (event) => {
        const dims = event.target.checked ? [...state.dims, name] : state.dims.filter((one) => one !== name);
        if (dims.length > 1) update({ dims });
        else event.target.checked = true;
      },
    });
    list.append(make("label", { class: "switch" }, input, columns.get(name).label));
  }
  return make("details", { class: "menu" }, make("summary", { text: "Axes" }), list);
}

export function drawParallel() {
  const height = host.clientHeight, width = Math.max(host.clientWidth, LEAST * state.dims.length);
  if (!host.clientWidth) return;
  for (const input of document.querySelectorAll("#dims input")) input.checked = state.dims.includes(input.value);
  inner.style.width = `${width}px`;
  const room = width / state.dims.length;
  axes = state.dims.map((name, place) => ({ name, x: room * (place + 0.5), scale: scaleOf(name, height) }));
  lines(width, height);
  rails.setAttribute("viewBox", `0 0 ${width} ${height}`);
  rails.setAttribute("width", width);
  rails.setAttribute("height", height);
  const focused = document.activeElement?.id;
  rails.replaceChildren(...axes.map((axis) => axisOf(axis, height, room)));
  if (focused?.startsWith("end-")) byId(focused)?.focus();
}

// Better is up, whichever way that is; a name has its place in the list.
function scaleOf(name, height) {
  const ends = better(name) < 0 ? [ROOM.top, height - ROOM.bottom] : [height - ROOM.bottom, ROOM.top];
  if (name === "pe") return makeScale(false, -0.5, families.length - 0.5, ROOM.top, height - ROOM.bottom);
  const { low, high } = range(name);
  return makeScale(wantsLog(name), low, high, ...ends);
}

function lines(width, height) {
  const context = sized(sheet, width, height), ink = colours();
  const order = [[], [], []];
  for (let index = 0; index < count; index++) order[onFront[index] ? 2 : pass[index] ? 1 : 0].push(index);
  const trace = (index) => {
    const path = new Path2D();
    let drawn = false;
    for (const { name, x, scale } of axes) {
      const number = name === "pe" ? familyOf[index] + (((index * 0.618) % 1) - 0.5) * 0.5 : value(name, index);
      if (number === null) {
        drawn = false;
        continue;
      }
      if (drawn) path.lineTo(x, scale.at(number));
      else path.moveTo(x, scale.at(number));
      drawn = true;
    }
    return path;
  };
  const many = order[1].length;
  const looks = [[0.35, 0.6], [Math.min(0.5, Math.max(0.06, 60 / many)), 1], [0.95, 1.6]];
  order.forEach((rows, layer) => {
    [context.globalAlpha, context.lineWidth] = looks[layer];
    for (const index of rows) {
      context.strokeStyle = layer ? ink.families[familyOf[index] % ink.families.length] : ink.faint;
      context.stroke(trace(index));
    }
  });
  context.globalAlpha = 1;
  if (pass[state.point]) {
    context.lineWidth = 3.2;
    context.strokeStyle = ink.ink;
    context.stroke(trace(state.point));
  }
}

function axisOf(axis, height, room) {
  const { name, x, scale } = axis, column = columns.get(name), group = svg("g", { transform: `translate(${x} 0)` });
  const label = [...broken(column.label, Math.max(6, Math.floor(room / 6.4))), ...(column.unit ? [column.unit] : [])];
  group.append(svg("title", { text: `${title(name)}${column.doc ? `: ${column.doc}` : ""}` }));
  label.forEach((text, line) => group.append(svg("text", { class: text === column.unit ? "tick" : "name", y: ROOM.top - 14 - 13 * (label.length - 1 - line), "text-anchor": "middle", text })));
  group.append(svg("line", { class: "axis", y1: ROOM.top, y2: height - ROOM.bottom }));
  const stops = name === "pe" ? families.map((_, place) => place) : few(name) ?? scale.ticks(5);
  for (const number of stops) {
    const text = name === "pe" ? families[number] : tick(name, number);
    group.append(svg("text", { class: "tick cast", x: 5, y: scale.at(number) + 3.5, text }));
  }
  if (name === "pe") {
    group.append(svg("rect", { class: "grip", x: -16, y: ROOM.top, width: 32, height: height - ROOM.top - ROOM.bottom, pointerdown: (event) => brush(event, axis) }));
    return group;
  }
  const [low, high] = state.ranges.get(name) ?? [null, null];
  const { low: least, high: most_ } = range(name);
  const ends = [["low", low ?? least], ["high", high ?? most_]];
  const pixels = ends.map(([, number]) => Math.min(Math.max(scale.at(number), ROOM.top), height - ROOM.bottom));
  if (low !== null || high !== null) group.append(svg("rect", { class: "band", x: -5, y: Math.min(...pixels), width: 10, height: Math.max(Math.abs(pixels[0] - pixels[1]), 2) }));
  group.append(svg("rect", { class: "grip", x: -16, y: ROOM.top - 8, width: 32, height: height - ROOM.top - ROOM.bottom + 16, pointerdown: (event) => brush(event, axis) }));
  ends.forEach(([which, number], place) => group.append(svg("path", {
    id: `end-${which}-${name}`, class: "end", tabindex: "0", role: "slider",
    "aria-label": `${column.label}, ${which === "low" ? "least" : "most"}`,
    "aria-valuemin": least, "aria-valuemax": most_, "aria-valuenow": number, "aria-valuetext": cell(name, number),
    "aria-orientation": "vertical",
    transform: `translate(0 ${pixels[place]})`,
    // Points away from what is kept.
    d: pixels[place] <= pixels[1 - place] && (place || pixels[0] < pixels[1]) ? "M-7 -7H7L0 0Z" : "M-7 7H7L0 0Z",
    keydown: (event) => nudge(event, axis, which),
    pointerdown: (event) => brush(event, axis),
  })));
  return group;
}

// Values of a parameter that has few.
const known = new Map();
function few(name) {
  if (!known.has(name)) {
    const found = new Set();
    for (let index = 0; index < count && found.size < 9; index++) if (value(name, index) !== null) found.add(value(name, index));
    known.set(name, found.size < 9 ? [...found] : null);
  }
  return known.get(name);
}

// A label on two lines at most.
function broken(text, most) {
  if (text.length <= most) return [text];
  const words = text.split(" "), first = [words.shift()];
  while (words.length > 1 && [...first, words[0]].join(" ").length <= most) first.push(words.shift());
  return [first.join(" "), words.join(" ")].filter(Boolean).map((line) => (line.length > most + 3 ? `${line.slice(0, most + 2)}…` : line));
}

function nudge(event, { name, scale }, which) {
  const { low: least, high: most } = range(name), [low, high] = state.ranges.get(name) ?? [null, null];
  const steps = { ArrowUp: -1, ArrowRight: -1, ArrowDown: 1, ArrowLeft: 1, PageUp: -5, PageDown: 5 };
  if (event.key === "Escape" || event.key === "Delete") setRange(name, null, null);
  else if (event.key in steps) {
    const now = which === "low" ? low ?? least : high ?? most;
    const span = Math.abs(scale.at(most) - scale.at(least));
    const moved = Math.min(Math.max(scale.value(scale.at(now) + (steps[event.key] * span) / 25), least), most);
    keep(name, which === "low" ? moved : low, which === "high" ? moved : high);
  } else return;
  event.preventDefault();
}

// Ends at or beyond those of the axis are no filter.
function keep(name, low, high) {
  const { low: least, high: most } = range(name), room = (most - least) * 1e-6;
  if (low !== null && high !== null && low > high) [low, high] = [high, low];
  setRange(name, low === null || low <= least + room ? null : low, high === null || high >= most - room ? null : high);
}

function brush(event, { name, scale }) {
  if (event.button) return;
  event.preventDefault();
  const frame = rails.getBoundingClientRect(), at = (one) => one.clientY - frame.top;
  const start = at(event), pair = state.ranges.get(name);
  let anchor = start, moved = false;
  if (name !== "pe") {
    const { low: least, high: most } = range(name);
    const ends = [pair?.[0] ?? least, pair?.[1] ?? most].map((number) => scale.at(number));
    const near = ends.findIndex((end) => Math.abs(end - start) < 9);
    if (near >= 0) anchor = ends[1 - near];
  }
  const apply = (now) => {
    const [a, b] = [scale.value(anchor), scale.value(now)].sort((one, other) => one - other);
    if (name === "pe") {
      const kept = families.filter((_, place) => place >= a - 0.5 && place <= b + 0.5 && place + 0.5 > a && place - 0.5 < b);
      if (kept.length) update({ families: new Set(kept) });
    } else keep(name, a, b);
  };
  const move = (one) => {
    moved ||= Math.abs(at(one) - start) > 4;
    if (moved) apply(at(one));
  };
  const stop = (one) => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", stop);
    removeEventListener("pointercancel", stop);
    if (moved || one.type === "pointercancel") return;
    if (name === "pe") update({ families: new Set(families) });
    else setRange(name, null, null);
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", stop);
  addEventListener("pointercancel", stop);
}
