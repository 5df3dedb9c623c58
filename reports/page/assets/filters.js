// Families, formats, and limits as sliders.
import { byId, make, swatch } from "./dom.js";
import { withUnit } from "./format.js";
import { beyond, better, columns, count, families, familyOf, formatOf, formats, model, numbers, range, wantsLog } from "./model.js";
import { makeScale } from "./scale.js";
import { pass, passing } from "./select.js";
import { filterCount, reset, setRange, state, update } from "./state.js";

const STEPS = 200;
let sliders = [], boxes = [], measured = null;

export function startFilters() {
  const box = byId("filters");
  box.append(
    make("div", { class: "passing" }, make("strong", { id: "passing" }), make("button", { type: "button", id: "reset", text: "Reset", click: reset })),
  );
  const limits = model.keys.filter((name) => numbers.includes(name) && better(name));
  if (limits.length) box.append(group("Limits", ...limits.map(slider)));
  box.append(group("Families", ...families.map((name, place) => choice("families", name, name, tally(familyOf, place), swatch(place)))));
  const list = formats.map(({ text }, place) => choice("formats", place, text, tally(formatOf, place)));
  box.append(group("Formats, weights × activations", make("div", { class: formats.length > 9 ? "tall" : "", ...(formats.length > 9 ? { tabindex: "0", role: "group", "aria-label": "Formats" } : {}) }, ...list)));
  if (beyond.some(Boolean)) {
    measured = make("input", { type: "checkbox", id: "measured", change: (event) => update({ measured: event.target.checked }) });
    box.append(group("Trust", make("label", { class: "choice" }, measured, make("span", { text: "without extrapolated points" }))));
  }
  const narrow = matchMedia("(max-width: 899px)");
  const fold = () => { byId("filter-box").open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
}

function group(title, ...content) {
  return make("fieldset", {}, make("legend", { text: title }), ...content);
}

function tally(of, place) {
  let found = 0;
  for (let index = 0; index < count; index++) found += of[index] === place;
  return found;
}

function choice(key, item, text, number, ...before) {
  const input = make("input", {
    type: "checkbox", "data-key": key, "data-item": item,
    change: (event) => {
      const kept = new Set(state[key]);
      if (event.target.checked) kept.add(item);
      else kept.delete(item);
      update({ [key]: kept });
    },
  });
  // Of many one is what is wanted most often.
  const only = make("button", { type: "button", class: "only", text: "only", "aria-label": `only ${text}`, click: () => update({ [key]: new Set([item]) }) });
  boxes.push({ input, key, item });
  return make("div", { class: "choice" }, make("label", {}, input, ...before, make("span", { class: "text", text })), only, make("span", { class: "number", text: number.toLocaleString("en") }));
}

// A limit on the bad side; a stretch that an axis was brushed to is kept on its other.
function slider(name) {
  const most = better(name) < 0, log = wantsLog(name), { low, high } = range(name);
  const scale = makeScale(log, low, high, 0, STEPS);
  const output = make("output", { for: `limit-${name}` });
  const input = make("input", {
    type: "range", id: `limit-${name}`, min: "0", max: String(STEPS), step: "1",
    input: (event) => {
      const place = Number(event.target.value), [below, above] = state.ranges.get(name) ?? [null, null];
      const end = place === (most ? STEPS : 0) ? null : scale.value(place);
      setRange(name, most ? below : end, most ? end : above);
    },
  });
  sliders.push({ name, input, output, scale, most });
  return make("div", { class: "slider" }, make("label", { for: `limit-${name}`, text: `${columns.get(name).label} ${most ? "≤" : "≥"}` }), output, input);
}

export function drawFilters() {
  for (const { input, key, item } of boxes) input.checked = state[key].has(item);
  for (const { name, input, output, scale, most } of sliders) {
    const end = (state.ranges.get(name) ?? [null, null])[most ? 1 : 0], { low, high } = range(name);
    const number = end ?? (most ? high : low);
    const place = Math.round(Math.min(Math.max(scale.at(number), 0), STEPS));
    if (document.activeElement !== input || Number(input.value) !== place) input.value = String(place);
    output.textContent = end === null ? "any" : withUnit(name, end);
    input.setAttribute("aria-valuetext", output.textContent);
    input.style.setProperty("--at", `${(100 * place) / STEPS}%`);
    input.classList.toggle("least", !most);
  }
  if (measured) measured.checked = state.measured;
  byId("passing").textContent = `${passing.toLocaleString("en")} of ${count.toLocaleString("en")}`;
  const active = filterCount(), badge = byId("filter-count");
  badge.hidden = !active;
  badge.textContent = active ? String(active) : "";
  byId("reset").disabled = !active;
}
