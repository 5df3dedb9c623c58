// Two objectives as a plane, a third as the size of markers; the front as a line.
import { byId, colours, make, options, outline, say, sized, svg } from "./dom.js";
import { counted, tick, title, withUnit } from "./format.js";
import { beyond, better, columns, count, familyOf, model, pointName, range, value } from "./model.js";
import { makeScale, padded } from "./scale.js";
import { front, frontOrigin, objectives, onFront, pass, passing } from "./select.js";
import { axisNames, state, update } from "./state.js";

const EDGE = { top: 14, right: 14, bottom: 42, left: 62 };
const NEAR = 14, SIZES = [1.8, 7.2];
let box, canvas, overlay, tip, controls, size = { width: 0, height: 0 }, places = null;

export function startScatter() {
  box = byId("scatter");
  canvas = make("canvas", { "aria-hidden": "true" });
  overlay = svg("svg", {
    tabindex: "0",
    role: "application",
    "aria-label": "Scatter plot. Arrow keys walk along the front.",
    pointerdown: down,
    pointermove: hover,
    pointerleave: () => { tip.hidden = true; },
    keydown: walk,
  });
  tip = make("div", { class: "tip", hidden: true });
  box.append(canvas, overlay, tip);
  controls = axisControls();
  new ResizeObserver(drawScatter).observe(box);
}

function axisControls() {
  const names = axisNames();
  const select = (key, label) => make("select", { id: `axis-${key}`, "aria-label": label, change: (event) => update({ [key]: event.target.value }) });
  const log = (key, label) => make("input", { type: "checkbox", id: `axis-${key}`, "aria-label": label, change: (event) => update({ [key]: event.target.checked }) });
  const made = {
    x: select("x", "Horizontal axis"), y: select("y", "Vertical axis"), z: select("z", "Size of markers"),
    xlog: log("xlog", "Horizontal axis logarithmic"), ylog: log("ylog", "Vertical axis logarithmic"),
    fit: select("fit", "What the plot shows"),
  };
  const label = (name) => columns.get(name).label;
  options(made.x, names, label, state.x);
  options(made.y, names, label, state.y);
  options(made.z, ["", ...names], (name) => (name ? label(name) : "–"), state.z);
  const views = { front: "the front", selected: "selection", all: "all points" };
  options(made.fit, Object.keys(views), (name) => views[name], state.fit);
  const group = (text, ...elements) => make("div", { class: "axis" }, make("span", { text }), ...elements);
  const logical = (element) => make("label", { class: "switch" }, element, "log");
  byId("axes").append(
    group("x", made.x, logical(made.xlog)),
    group("y", made.y, logical(made.ylog)),
    group("size", made.z),
  );
  byId("view").append(group("view", made.fit));
  return made;
}

function shownRange(name, log) {
  const whole = range(name);
  const among = state.fit === "all" ? null : state.fit === "selected" || !front.length ? pass : onFront;
  let low = Infinity, high = -Infinity;
  for (let index = 0; index < count; index++) {
    const number = value(name, index);
    if (number === null || (among && !among[index]) || (log && number <= 0)) continue;
    low = Math.min(low, number);
    high = Math.max(high, number);
  }
  if (!(high >= low)) [low, high] = [log ? whole.above : whole.low, whole.high];
  if (among === onFront) {
    // What lies near the front tells what it costs to leave it; what lies far off would only stretch the axes.
    const least = log ? whole.above : whole.low;
    if (log) [low, high] = [Math.max(least, low / 4), Math.min(whole.high, high * 4)];
    else [low, high] = [Math.max(least, low - (high - low) / 3), Math.min(whole.high, high + (high - low) / 3)];
  }
  return padded(log, low, high);
}

export function drawScatter() {
  const width = box.clientWidth, height = box.clientHeight;
  if (!width || !height) return;
  size = { width, height };
  for (const key of ["x", "y", "z", "fit"]) controls[key].value = state[key];
  for (const key of ["x", "y"]) {
    const able = range(state[key]).low > 0;
    controls[`${key}log`].checked = able && state[`${key}log`];
    controls[`${key}log`].disabled = !able;
  }
  const logs = ["x", "y"].map((key) => state[`${key}log`] && range(state[key]).low > 0);
  const x = makeScale(logs[0], ...shownRange(state.x, logs[0]), EDGE.left, width - EDGE.right);
  const y = makeScale(logs[1], ...shownRange(state.y, logs[1]), height - EDGE.bottom, EDGE.top);
  places = { x, y, px: new Float64Array(count).fill(NaN), py: new Float64Array(count).fill(NaN) };
  points(x, y);
  frame(x, y);
  mark();
  caption();
}

function radii() {
  const radius = new Float64Array(count).fill(3.2);
  if (!state.z) return radius;
  const { low, high } = range(state.z), log = low > 0 && high / low > 10;
  const scale = makeScale(log, low, high, ...SIZES);
  for (let index = 0; index < count; index++) {
    const number = value(state.z, index);
    radius[index] = number === null ? 1.5 : scale.at(number);
  }
  return radius;
}

function points(x, y) {
  const context = sized(canvas, size.width, size.height), ink = colours(), radius = radii();
  grid(context, x, y, ink.line);
  context.save();
  context.beginPath();
  context.rect(EDGE.left - 8, EDGE.top - 8, size.width - EDGE.left - EDGE.right + 16, size.height - EDGE.top - EDGE.bottom + 16);
  context.clip();
  const layers = [[], [], []];
  for (let index = 0; index < count; index++) {
    const a = value(state.x, index), b = value(state.y, index);
    if (a === null || b === null) continue;
    const px = x.at(a), py = y.at(b);
    if (px < EDGE.left - 8 || px > size.width - EDGE.right + 8 || py < EDGE.top - 8 || py > size.height - EDGE.bottom + 8) continue;
    places.px[index] = px;
    places.py[index] = py;
    layers[onFront[index] ? 2 : pass[index] ? 1 : 0].push(index);
  }
  const path = (index, grown) => new Path2D(outline(familyOf[index], radius[index] + grown, places.px[index], places.py[index]));
  context.fillStyle = ink.faint;
  for (const index of layers[0]) context.fill(path(index, -1));
  context.globalAlpha = layers[1].length > 800 ? 0.38 : 0.5;
  for (const index of layers[1]) {
    context.fillStyle = ink.families[familyOf[index] % ink.families.length];
    context.fill(path(index, -0.4));
  }
  context.globalAlpha = 1;
  for (const index of layers[2]) {
    const colour = ink.families[familyOf[index] % ink.families.length], marker = path(index, 1.6);
    context.fillStyle = beyond[index] ? ink.ground : colour;
    context.strokeStyle = beyond[index] ? colour : ink.ground;
    context.lineWidth = beyond[index] ? 2 : 1.4;
    context.fill(marker);
    context.stroke(marker);
  }
  context.restore();
}

const ticksOf = { x: (scale) => scale.ticks(Math.max(3, Math.floor(size.width / 80))), y: (scale) => scale.ticks(Math.max(3, Math.floor(size.height / 52))) };

function grid(context, x, y, colour) {
  const [left, right, top, bottom] = [EDGE.left, size.width - EDGE.right, EDGE.top, size.height - EDGE.bottom];
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.beginPath();
  for (const at of ticksOf.x(x).map((number) => Math.round(x.at(number)) + 0.5)) context.moveTo(at, top), context.lineTo(at, bottom);
  for (const at of ticksOf.y(y).map((number) => Math.round(y.at(number)) + 0.5)) context.moveTo(left, at), context.lineTo(right, at);
  context.stroke();
}

function frame(x, y) {
  const { width, height } = size, right = width - EDGE.right, bottom = height - EDGE.bottom;
  const parts = [];
  for (const number of ticksOf.x(x)) {
    const at = x.at(number);
    parts.push(svg("text", { class: "tick", x: at, y: bottom + 15, "text-anchor": "middle", text: tick(state.x, number) }));
  }
  for (const number of ticksOf.y(y)) {
    const at = y.at(number);
    parts.push(svg("text", { class: "tick", x: EDGE.left - 7, y: at + 4, "text-anchor": "end", text: tick(state.y, number) }));
  }
  const arrow = (name, less, more) => (better(name) ? (better(name) > 0 ? ` ${more}` : ` ${less}`) : "");
  parts.push(svg("text", { class: "name", x: right, y: height - 6, "text-anchor": "end", text: `${title(state.x)}${arrow(state.x, "← better", "→ better")}` }));
  parts.push(svg("text", { class: "name", transform: `translate(13 ${EDGE.top}) rotate(-90)`, "text-anchor": "end", text: `${title(state.y)}${arrow(state.y, "← better", "→ better")}` }));
  if (!state.z) parts.push(edge());
  parts.push(limits(x, y));
  overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  overlay.replaceChildren(
    svg("clipPath", { id: "inside" }, svg("rect", { x: EDGE.left, y: EDGE.top, width: Math.max(right - EDGE.left, 0), height: Math.max(bottom - EDGE.top, 0) })),
    ...parts,
    svg("g", { id: "marks" }),
    svg("rect", { id: "rubber", class: "rubber", hidden: "" }),
  );
}

// The front as a staircase: what is reached at least so far.
function edge() {
  const rows = front.filter((index) => value(state.x, index) !== null).map((index) => [value(state.x, index), index]).sort((a, b) => a[0] - b[0]).map(([, index]) => index);
  if (rows.length < 2) return null;
  const risesFirst = better(state.x) > 0;
  let d = "";
  rows.forEach((index, place) => {
    const px = places.x.at(value(state.x, index)), py = places.y.at(value(state.y, index));
    d += !place ? `M${px} ${py}` : risesFirst ? `V${py}H${px}` : `H${px}V${py}`;
  });
  return svg("path", { class: "edge", d, "clip-path": "url(#inside)" });
}

// Limits on the axes, as shade over what they shut out.
function limits(x, y) {
  const { width, height } = size, parts = [];
  const shade = (at) => parts.push(svg("rect", { class: "shade", "clip-path": "url(#inside)", ...at }));
  const [xlow, xhigh] = state.ranges.get(state.x) ?? [null, null], [ylow, yhigh] = state.ranges.get(state.y) ?? [null, null];
  const inside = (pixel) => (Number.isFinite(pixel) ? pixel : -1e4);
  if (xlow !== null) shade({ x: 0, y: 0, width: Math.max(inside(x.at(xlow)), 0), height });
  if (xhigh !== null && inside(x.at(xhigh)) < width) shade({ x: Math.max(inside(x.at(xhigh)), 0), y: 0, width, height });
  if (ylow !== null && inside(y.at(ylow)) < height) shade({ x: 0, y: Math.max(inside(y.at(ylow)), 0), width, height });
  if (yhigh !== null) shade({ x: 0, y: 0, width, height: Math.max(inside(y.at(yhigh)), 0) });
  return svg("g", {}, ...parts);
}

function sizes() {
  const { low, high } = range(state.z), scale = makeScale(low > 0 && high / low > 10, low, high, ...SIZES);
  const group = svg("svg", { class: "sizes", viewBox: "-4 0 330 18", "aria-hidden": "true" });
  let x = 4;
  for (const pixel of [2.6, 4.5, 6.4]) {
    const text = withUnit(state.z, scale.value(pixel));
    group.append(svg("circle", { cx: x, cy: 9, r: pixel }), svg("text", { class: "tick", x: x + pixel + 4, y: 13, text }));
    x += pixel + 24 + 6.4 * text.length;
  }
  return group;
}

// Ring around the open point.
export function mark() {
  const marks = overlay.querySelector("#marks");
  if (!marks || !places) return;
  marks.replaceChildren();
  const px = places.px[state.point], py = places.py[state.point];
  if (Number.isNaN(px)) return;
  marks.append(svg("circle", { class: "ring", cx: px, cy: py, r: 11 }), svg("circle", { class: "ring halo", cx: px, cy: py, r: 13 }));
}

// How far the front can be trusted depends on which of the sweep's points are here.
function caption() {
  const names = objectives().map((name) => columns.get(name.replace(/^-/, "")).label), whole = frontOrigin() === "whole";
  const every = passing === count ? `all ${counted(model.counts.points, "point")}` : "all points of the sweep that pass";
  const of = whole ? every : `the ${counted(passing, "point")} of this page that pass; others of the sweep may be better`;
  const hollow = front.some((index) => beyond[index]) ? " Hollow: extrapolated." : "";
  const text = front.length ? `${counted(front.length, "marker")} with a rim: the front in ${list(names)} of ${of}.${hollow}` : "No point passes the filters.";
  const key = state.z ? [make("span", { class: "key" }, `Size: ${columns.get(state.z).label}`, sizes())] : [];
  byId("scatter-caption").replaceChildren(text, ...key);
}

function list(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function at(event) {
  const frame = overlay.getBoundingClientRect();
  return [event.clientX - frame.left, event.clientY - frame.top];
}

// Nearest point, those of the front before others.
function nearest(x, y) {
  let best = -1, least = Infinity;
  for (let index = 0; index < count; index++) {
    if (!pass[index]) continue;
    const far = Math.hypot(places.px[index] - x, places.py[index] - y) - (onFront[index] ? 4 : 0);
    if (far < least) [best, least] = [index, far];
  }
  return least <= NEAR ? best : -1;
}

function hover(event) {
  if (!places || event.pointerType === "touch") return;
  const [x, y] = at(event), index = nearest(x, y);
  overlay.style.cursor = index < 0 ? "crosshair" : "pointer";
  tip.hidden = index < 0;
  if (index < 0) return;
  const rows = [...new Set([state.x, state.y, state.z].filter(Boolean))].map((name) => make("span", { text: `${columns.get(name).label} ${withUnit(name, value(name, index))}` }));
  tip.replaceChildren(make("strong", { text: pointName(index) }), ...rows);
  const left = places.px[index] > size.width / 2;
  tip.style.left = `${places.px[index] + (left ? -14 : 14)}px`;
  tip.style.top = `${Math.min(places.py[index], size.height - 90)}px`;
  tip.classList.toggle("left", left);
}

function down(event) {
  if (event.button || !places) return;
  const start = at(event), rubber = overlay.querySelector("#rubber");
  let moved = false;
  const move = (one) => {
    const now = at(one);
    moved ||= Math.hypot(now[0] - start[0], now[1] - start[1]) > 6;
    if (!moved) return;
    rubber.removeAttribute("hidden");
    rubber.setAttribute("x", Math.min(start[0], now[0]));
    rubber.setAttribute("y", Math.min(start[1], now[1]));
    rubber.setAttribute("width", Math.abs(now[0] - start[0]));
    rubber.setAttribute("height", Math.abs(now[1] - start[1]));
  };
  const stop = (one) => {
    overlay.removeEventListener("pointermove", move);
    overlay.removeEventListener("pointerup", stop);
    overlay.removeEventListener("pointercancel", stop);
    rubber.setAttribute("hidden", "");
    if (one.type === "pointercancel") return;
    const end = at(one);
    if (!moved) {
      const index = nearest(...end);
      if (index >= 0) update({ point: index });
      return;
    }
    const ranges = new Map(state.ranges);
    for (const [axis, a, b] of [["x", start[0], end[0]], ["y", start[1], end[1]]]) {
      const ends = [a, b].map((pixel) => places[axis].value(pixel)).sort((one, other) => one - other);
      ranges.set(state[axis], ends);
    }
    update({ ranges });
    say("Selected the region.");
  };
  if (event.pointerType !== "touch") overlay.setPointerCapture(event.pointerId);
  overlay.addEventListener("pointermove", move);
  overlay.addEventListener("pointerup", stop);
  overlay.addEventListener("pointercancel", stop);
}

function walk(event) {
  if (event.key === "Escape") {
    const ranges = new Map(state.ranges);
    ranges.delete(state.x);
    ranges.delete(state.y);
    update({ ranges });
    return;
  }
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
  if (!step || !front.length) return;
  event.preventDefault();
  alongFront(step);
}

// Opens the next point of the front.
export function alongFront(step) {
  const order = [...front].sort((a, b) => value(state.x, a) - value(state.x, b));
  const place = order.indexOf(state.point);
  const next = place < 0 ? 0 : Math.min(Math.max(place + step, 0), order.length - 1);
  update({ point: order[next] });
  say(`${pointName(order[next])}, ${next + 1} of ${order.length} on the front`);
}
