// The points that pass, as a table that sorts, and as CSV.
import { byId, make, say, swatch } from "./dom.js";
import { cell, counted } from "./format.js";
import { columns, count, familyOf, formatName, model, pointName, range, value } from "./model.js";
import { onFront, pass, passing } from "./select.js";
import { state, update } from "./state.js";

const ROWS = 20;
let shown = [];

export function startTable() {
  shown = tableColumns();
  byId("front-only").addEventListener("change", (event) => update({ frontOnly: event.target.checked }));
  byId("csv").addEventListener("click", saveCsv);
}

// What differs, numbers that matter first.
function tableColumns() {
  const known = (name) => columns.has(name);
  const differs = (column) => (column.numeric ? range(column.name).varies : "texts" in model.data[column.name]);
  const parameters = model.columns.filter((column) => !column.metric && column.name !== "pe" && column.name !== "bits" && differs(column)).map((column) => column.name);
  const shape = ["m", "n", "k"].filter(known);
  const rest = parameters.filter((name) => !shape.includes(name));
  const others = ["utilization", "bound", "cycles_exact"].filter((name) => known(name) && differs(columns.get(name)));
  return ["pe", "#formats", ...shape, ...model.keys.filter(known), ...others, ...rest];
}

function content(name, index) {
  return name === "#formats" ? formatName(index) : value(name, index);
}

export function rows() {
  const found = [];
  for (let index = 0; index < count; index++) if (pass[index] && (!state.frontOnly || onFront[index])) found.push(index);
  const name = state.sort, way = state.down ? -1 : 1;
  return found.sort((a, b) => {
    const [one, other] = [content(name, a), content(name, b)];
    if (one === other) return a - b;
    if (one === null) return 1;
    if (other === null) return -1;
    return way * (typeof one === "number" ? one - other : String(one).localeCompare(String(other), "en", { numeric: true }));
  });
}

export function drawTable() {
  const found = rows(), pages = Math.max(Math.ceil(found.length / ROWS), 1), page = Math.min(state.page, pages - 1);
  byId("front-only").checked = state.frontOnly;
  byId("table-count").textContent = state.frontOnly ? `${counted(found.length, "point")} on the front` : `${counted(passing, "point")} of ${count.toLocaleString("en")}`;
  const focused = document.activeElement?.dataset?.sort;
  byId("table").replaceChildren(make("table", {}, head(), make("tbody", {}, found.slice(page * ROWS, (page + 1) * ROWS).map(row))));
  if (focused) byId("table").querySelector(`[data-sort="${CSS.escape(focused)}"]`)?.focus();
  const step = (text, label, to, able) => make("button", { type: "button", text, "aria-label": label, disabled: !able, click: () => update({ page: to }) });
  byId("pager").replaceChildren(
    ...(pages > 1 ? [step("←", "Previous page", page - 1, page > 0), make("span", { text: `${page + 1} of ${pages}` }), step("→", "Next page", page + 1, page < pages - 1)] : []),
  );
}

function head() {
  const cells = shown.map((name) => {
    const column = columns.get(name), sorted = state.sort === name;
    const label = column?.label ?? "formats", unit = column?.unit;
    const button = make("button", {
      type: "button", "data-sort": name, title: column?.doc ?? "",
      click: () => update(sorted ? { down: !state.down } : { sort: name, down: (column?.better ?? 0) > 0 }),
    }, make("span", { text: label }), make("small", { text: unit ?? "" }), make("i", { "aria-hidden": "true", text: sorted ? (state.down ? "↓" : "↑") : "" }));
    return make("th", { scope: "col", class: column?.numeric ? "right" : "", "aria-sort": sorted ? (state.down ? "descending" : "ascending") : "none" }, button);
  });
  return make("thead", {}, make("tr", {}, ...cells));
}

function row(index) {
  const cells = shown.map((name, place) => {
    const text = name === "#formats" ? formatName(index) : cell(name, value(name, index));
    if (place) return make("td", { class: columns.get(name)?.numeric ? "right" : "", text });
    const open = make("button", { type: "button", class: "open", "aria-label": `Open ${pointName(index)}`, click: () => update({ point: index }) }, swatch(familyOf[index]), text, onFront[index] ? make("b", { title: "on the front", text: "front" }) : null);
    return make("th", { scope: "row" }, open);
  });
  return make("tr", { "data-point": index, class: index === state.point ? "chosen" : "", click: (event) => { if (!event.target.closest("button")) update({ point: index }); } }, ...cells);
}

// All columns of the rows that the table has, in its order.
export function csv() {
  const names = model.columns.map((column) => column.name);
  const quoted = (one) => (one === null ? "" : /[",\n]/.test(String(one)) ? `"${String(one).replaceAll('"', '""')}"` : String(one));
  const lines = rows().map((index) => [...names.map((name) => quoted(value(name, index))), onFront[index]].join(","));
  return `${[[...names, "on_front"].join(","), ...lines].join("\n")}\n`;
}

function saveCsv() {
  const address = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  make("a", { href: address, download: "points.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
  say(`Saved ${counted(rows().length, "point")}.`);
}
