// Elements, and what all views draw alike.
export const byId = (id) => document.getElementById(id);

// An element with attributes; functions are listeners, children may be texts.
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, content] of Object.entries(attributes)) {
    if (content === null || content === undefined || content === false) continue;
    if (typeof content === "function") element.addEventListener(name, content);
    else if (name === "text") element.textContent = content;
    else if (name in element && typeof content === "boolean") element[name] = content;
    else element.setAttribute(name, content);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// Outlines of markers about the origin, of radius 1: one a family, so that colour is not all that tells them apart.
const star = Array.from({ length: 10 }, (_, n) => {
  const radius = n % 2 ? 0.5 : 1.25, angle = (Math.PI * n) / 5 - Math.PI / 2;
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
});
const OUTLINES = [
  null,
  [[-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]],
  [[0, -1.15], [1.05, 0.75], [-1.05, 0.75]],
  [[0, -1.25], [1.05, 0], [0, 1.25], [-1.05, 0]],
  [[0, 1.15], [1.05, -0.75], [-1.05, -0.75]],
  [[-0.4, -1.1], [0.4, -1.1], [0.4, -0.4], [1.1, -0.4], [1.1, 0.4], [0.4, 0.4], [0.4, 1.1], [-0.4, 1.1], [-0.4, 0.4], [-1.1, 0.4], [-1.1, -0.4], [-0.4, -0.4]],
  star,
  [[-1.1, 0], [-0.55, -0.95], [0.55, -0.95], [1.1, 0], [0.55, 0.95], [-0.55, 0.95]],
];
export const COLOURS = 8;

export function outline(family, radius, x = 0, y = 0) {
  const corners = OUTLINES[family % OUTLINES.length];
  const near = (number) => Number(number.toFixed(2));
  if (!corners) return `M${near(x - radius)} ${near(y)}a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0Z`;
  return `M${corners.map(([a, b]) => `${near(x + a * radius)} ${near(y + b * radius)}`).join("L")}Z`;
}

// The marker of a family as a small picture.
export function swatch(family) {
  return svg(
    "svg",
    { class: "swatch", viewBox: "-8 -8 16 16", "aria-hidden": "true" },
    svg("path", { d: outline(family, 5.5), style: `fill:var(--f${family % COLOURS})` }),
  );
}

export function colours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    families: Array.from({ length: COLOURS }, (_, place) => read(`--f${place}`)),
    faint: read("--faint"),
    ink: read("--ink"),
    line: read("--line"),
    ground: read("--panel"),
  };
}

// A canvas of a size in CSS pixels, sharp on any screen.
export function sized(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

export function say(text) {
  byId("live").textContent = text;
}

export function options(select, names, label, chosen) {
  select.replaceChildren(...names.map((name) => make("option", { value: name, text: label(name) })));
  select.value = chosen;
}
