// Puts the page together and keeps its views in step.
import { byId, make } from "./dom.js";
import { copy, drawDetail } from "./detail.js";
import { drawFilters, startFilters } from "./filters.js";
import { columns, model, pointName } from "./model.js";
import { drawParallel, startParallel } from "./parallel.js";
import { drawScatter, mark, startScatter } from "./scatter.js";
import { select } from "./select.js";
import { onChange, startFromHash, state } from "./state.js";
import { drawTable, startTable } from "./table.js";

const THEMES = { "": "Auto", light: "Light", dark: "Dark" };

function figures() {
  const { points, front, looked_at: lookedAt, shown } = model.counts, large = (number) => number.toLocaleString("en");
  const made = [[large(lookedAt), "points looked at"], [large(points), "legal"], [large(front), "on the sweep's front"], [large(shown), "on this page"]];
  byId("figures").append(...made.map(([number, text]) => make("div", {}, make("dt", { text }), make("dd", { text: number }))));
  const words = model.objectives.map((name) => (name.startsWith("-") ? `most ${columns.get(name.slice(1)).label}` : `least ${columns.get(name).label}`));
  byId("subtitle").textContent = `${words.join(", ")} · ${model.status}`;
  byId("provenance").append(...model.provenance.map(([name, text]) => make("div", {}, make("dt", { text: name }), make("dd", { text }))));
}

// A choice of the reader's own machine, not of the view.
function theme() {
  const button = byId("theme");
  const kept = () => { try { return localStorage.getItem("hwgen-theme") ?? ""; } catch { return ""; } };
  const keep = (name) => { try { localStorage.setItem("hwgen-theme", name); } catch { /* private windows keep nothing */ } };
  const apply = (name) => {
    if (name) document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
    button.textContent = THEMES[name];
    button.setAttribute("aria-label", `Theme: ${name || "as the system"}`);
  };
  apply(kept() in THEMES ? kept() : "");
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES), now = document.documentElement.dataset.theme ?? "";
    const next = names[(names.indexOf(now) + 1) % names.length];
    keep(next);
    apply(next);
    drawAll();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
}

function drawAll() {
  drawFilters();
  drawScatter();
  drawParallel();
  drawTable();
  drawDetail();
}

const OF_POINT = new Set(["point"]), OF_TABLE = new Set(["sort", "down", "page", "frontOnly"]);

function changed(keys) {
  const only = (set) => [...keys].every((key) => set.has(key));
  if (only(OF_TABLE)) {
    drawTable();
    return;
  }
  if (only(OF_POINT)) {
    mark();
    drawParallel();
    drawTable();
    drawDetail();
    return;
  }
  select();
  drawAll();
}

figures();
theme();
startFromHash();
select();
startFilters();
startScatter();
startParallel();
startTable();
onChange(changed);
byId("share").addEventListener("click", () => copy(location.href, byId("share")));
drawAll();
document.documentElement.dataset.ready = pointName(state.point);
