"use strict";
// What a reader chose, and drawing it anew.

const state = {
  labelSet: 0, cls: -1, colour: "true", show: "all", judge: 0, split: -1, country: -1, search: "",
  selected: -1, active: 0, tab: "patch", order: "high",
};
const MANY = 1e5; // patches above which two panels are drawn at first, since a machine may have no graphics card
let shown = new Uint32Array();
const byId = (id) => document.getElementById(id);

function passes(patch) {
  const { labelSet: set, cls, judge } = state;
  if (state.split >= 0 && columns.split[patch] !== state.split) return false;
  if (state.country >= 0 && columns.country[patch] !== state.country) return false;
  if (state.search && !columns.ids[patch].toLowerCase().includes(state.search)) return false;
  if (state.show === "all") return true;
  const numbers = cls >= 0 ? [cls] : classesOf(set).keys();
  if (state.show === "has") return [...numbers].some((number) => has(set, patch, number));
  if (!isScored(set, judge, patch)) return false;
  let [right, missed, alarm, predicted] = [true, false, false, false];
  for (const number of numbers) {
    const [one, other] = [has(set, patch, number), predicts(set, judge, patch, number)];
    right &&= one === other;
    missed ||= one > other;
    alarm ||= one < other;
    predicted ||= other === 1;
  }
  return { right, missed, false: alarm, predicted }[state.show];
}

const scoredIn = (split) =>
  columns.split.some((value, patch) => value === split && isScored(state.labelSet, state.judge, patch));

function filter() {
  const rows = new Uint32Array(meta.count);
  let length = 0;
  for (let patch = 0; patch < meta.count; patch++) if (passes(patch)) rows[length++] = patch;
  shown = rows.slice(0, length);
  const unscored = !length && !["all", "has"].includes(state.show) && state.split >= 0 && !scoredIn(state.split);
  const why = unscored ? ` (${meta.split[state.split]} has no scores)` : "";
  byId("count").textContent = `${length.toLocaleString()} of ${meta.count.toLocaleString()} patches${why}`;
}

function drawLegend() {
  const legend = byId("legend");
  legend.replaceChildren();
  const views = panels.map((panel) => judgeOf(panel, state));
  const { entries, ramp, unscored, hint } = scheme(state, views[state.active] ?? 0);
  const entry = (text, background, className = "") => {
    const element = make("span");
    const mark = make("i", "", className);
    mark.style.background = background;
    element.append(mark, text);
    legend.append(element);
  };
  if (ramp) {
    legend.append(ramp[0]);
    entry(ramp[1], `linear-gradient(90deg, ${VIRIDIS.join()})`, "ramp");
    entry(...unscored);
  } else {
    entries.forEach(([text, colour]) => entry(text, colour));
    if (hint) legend.append(`(${hint})`);
  }
  if (panels.some((panel) => panel.view === "map") && ["predicted", "right", "score"].includes(state.colour)) {
    legend.append(`map: by ${meta.features[state.judge].name}`);
  }
}

function drawSide() {
  const side = byId("side");
  side.replaceChildren();
  for (const tab of ["patch", "list", "doubts"]) byId(`tab-${tab}`).ariaSelected = String(tab === state.tab);
  if (state.tab === "patch") showPatch(side, state, { pick });
  if (state.tab === "list") showList(side, state, shown, { pick, order: (order) => choose({ order }) });
  if (state.tab === "doubts") showDoubts(side, state, { pick, chooseClass });
}

function draw({ points = true } = {}) {
  if (points) filter();
  panels.forEach((panel) => drawPanel(panel, state, shown, points));
  drawLegend();
  drawSide();
}

function choose(changes) {
  Object.assign(state, changes);
  draw();
}

function pick(patch) {
  Object.assign(state, { selected: patch, tab: "patch" });
  draw({ points: false });
  byId("side").scrollTop = 0;
}

function chooseClass(cls) {
  byId("class").value = cls;
  choose({ cls });
}

// A class by the only name that the text is a part of; else the patches whose ids have it. Without text all as before.
let searched = -1;
function search(text) {
  const part = text.toLowerCase();
  const named = classesOf(state.labelSet).map((name) => name.toLowerCase());
  const fitting = [...named.keys()].filter((number) => named[number].includes(part));
  const whole = named.indexOf(part);
  const cls = !part ? -1 : whole >= 0 ? whole : fitting.length === 1 ? fitting[0] : -1;
  if (searched >= 0 && cls < 0) chooseClass(-1);
  searched = cls;
  if (cls >= 0) {
    Object.assign(state, { search: "", show: state.show === "all" ? "has" : state.show });
    byId("show").value = state.show;
    chooseClass(cls);
    return;
  }
  const exact = columns.ids.indexOf(text);
  if (exact >= 0) {
    state.search = "";
    pick(exact);
    draw();
  } else choose({ search: part });
  if (part && fitting.length > 1 && !shown.length) {
    byId("count").textContent = `${fitting.length} classes have “${text}” in their names`;
  }
}

function fill(id, entries, value) {
  byId(id).replaceChildren(...entries.map(([text, number]) => new Option(text, number)));
  byId(id).value = value;
}

function fillClasses() {
  fill("class", [["any class", -1], ...classesOf(state.labelSet).map((name, number) => [name, number])], state.cls);
  byId("found").replaceChildren(...classesOf(state.labelSet).map((name) => new Option(name)));
}

function listen() {
  const number = (id, key) => (byId(id).onchange = () => choose({ [key]: Number(byId(id).value) }));
  byId("labelSet").onchange = () => {
    const name = classesOf(state.labelSet)[state.cls];
    state.labelSet = Number(byId("labelSet").value);
    state.cls = classesOf(state.labelSet).indexOf(name); // many classes are in several sets
    fillClasses();
    draw();
  };
  number("class", "cls");
  number("judge", "judge");
  number("split", "split");
  number("country", "country");
  byId("colour").onchange = () => choose({ colour: byId("colour").value });
  byId("show").onchange = () => choose({ show: byId("show").value });
  byId("search").oninput = () => search(byId("search").value.trim());
  for (const tab of ["patch", "list", "doubts"]) {
    byId(`tab-${tab}`).onclick = () => {
      state.tab = tab;
      drawSide();
    };
  }
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => panels.forEach((panel) => panel.deck.setProps({ initialViewState: wholeView(panel) })), 200);
  });
}

function hover(patch, panel, x, y) {
  const box = byId("hover");
  box.hidden = patch < 0;
  if (patch < 0) return;
  box.replaceChildren(large(patch, 120), make("div", names(state.labelSet, patch)), make("div", facts(patch)));
  const frame = panel.canvas.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = box;
  box.style.left = `${Math.max(0, Math.min(frame.left + x + 14, innerWidth - width - 6))}px`;
  box.style.top = `${Math.max(0, Math.min(frame.top + y + 14, innerHeight - height - 6))}px`;
}

function start() {
  byId("title").textContent = `Explorer: ${meta.title}`;
  byId("warning").textContent = meta.warning;
  fill("labelSet", meta.labelSets.map(({ name }, number) => [/^[0-9]+$/.test(name) ? `${name} classes` : name, number]), 0);
  fillClasses();
  fill("judge", meta.features.map(({ name }, number) => [name, number]), 0);
  fill("split", [["all", -1], ...meta.split.map((name, number) => [name, number])], -1);
  const countries = meta.country.map((name, number) => [name, number]);
  fill("country", [["all", -1], ...countries], -1);
  const views = [...meta.features.keys(), ...(hasMap() ? ["map"] : [])];
  const most = meta.count > MANY ? 1 : 3;
  const first = [...views.slice(0, Math.min(most, meta.features.length)), ...(hasMap() ? ["map"] : [])];
  const across = first.length > 1 ? 2 : 1;
  byId("panels").style.gridTemplateColumns = `repeat(${across}, minmax(0, 1fr))`;
  byId("panels").style.gridTemplateRows = `repeat(${Math.ceil(first.length / across)}, minmax(0, 1fr))`;
  Points = pointsLayer();
  const waiting = new Set();
  const on = {
    hover,
    drawn: (panel) => waiting.delete(panel) && !waiting.size && requestAnimationFrame(() => (explorer.ready = performance.now())),
    click: (patch, panel) => {
      state.active = panel.number;
      pick(patch);
    },
    change: (panel) => {
      state.active = panel.number;
      draw();
    },
  };
  first.forEach((view) => waiting.add(addPanel(view, views, on)));
  listen();
  draw();
}

// What tests and curious readers ask the page.
const explorer = {
  state,
  panels,
  meta,
  shown: () => shown,
  pixelOf(number, patch) {
    const [x, y] = panels[number].deck.getViewports()[0].project(spot(panels[number].view, patch));
    const frame = panels[number].canvas.getBoundingClientRect();
    return [frame.left + x, frame.top + y];
  },
};
globalThis.explorer = explorer;

if (!document.createElement("canvas").getContext("webgl2")) {
  byId("warning").textContent = "This browser has no WebGL 2, which draws the points. Another browser, or another setting, has.";
} else if (!("DecompressionStream" in globalThis)) {
  byId("warning").textContent = "This browser is older than 2023 and cannot read the page's data.";
} else {
  load().then(start);
}
