"use strict";
// What is said of a patch, the list of those that are shown, and the labels that are doubted.

const LISTED = 90;

function make(tag, text = "", className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

function large(patch, size) {
  const row = make("div", "", "large");
  for (const sensor of meta.pictures) {
    const figure = make("figure");
    figure.append(picture(patch, sensor, size), make("figcaption", sensor.colours || sensor.sensor));
    row.append(figure);
  }
  return row;
}

const facts = (patch) =>
  [
    meta.split[columns.split[patch]],
    meta.country[columns.country[patch]],
    dateOf(patch)?.toISOString().slice(0, 10) ?? "no date",
    `group ${meta.group[columns.group[patch]]}`,
  ].join(", ");

const names = (set, patch) => labelsOf(set, patch).map((number) => classesOf(set)[number]).join(", ") || "no label";

function card(patch, text, onPick) {
  const element = make("button", "", "card");
  element.type = "button";
  element.dataset.patch = patch;
  const sensor = meta.pictures.find((one) => columns[`picture-${one.sensor}`][patch] >= 0) ?? meta.pictures[0];
  if (sensor) element.append(picture(patch, sensor, 104));
  element.append(make("span", text));
  element.title = columns.ids[patch];
  element.onclick = () => onPick(patch);
  return element;
}

function cards(entries, onPick) {
  const grid = make("div", "", "grid");
  grid.append(...entries.map(([patch, text]) => card(patch, text, onPick)));
  return grid;
}

function scoresTable(patch, state) {
  const set = state.labelSet;
  const looked = new Set(panels.map((panel) => judgeOf(panel, state))); // more do not fit beside each other
  const scored = [...looked].filter((f) => isScored(set, f, patch)).sort((a, b) => a - b);
  const best = (number) => Math.max(0, ...scored.map((f) => score(set, f, patch, number)));
  const rows = classesOf(set).map((_, number) => number);
  rows.sort((a, b) => has(set, patch, b) - has(set, patch, a) || best(b) - best(a));
  const labelled = labelsOf(set, patch).length;
  const said = (number) => scored.some((f) => predicts(set, f, patch, number));
  const kept = rows.filter((number, place) => has(set, patch, number) || said(number) || place < labelled + 3);
  const table = make("table");
  const head = table.createTHead().insertRow();
  const probes = meta.labelSets[set].probes;
  head.append(make("th", "class"), make("th", "label"));
  // Long names may break where they have an underscore.
  const heading = ({ name }) => `${name} (${probes[name]})`.replaceAll("_", "_\u200b");
  scored.forEach((f) => head.append(make("th", heading(meta.features[f]))));
  const body = table.createTBody();
  for (const number of kept) {
    const row = body.insertRow();
    row.append(make("td", classesOf(set)[number]), make("td", has(set, patch, number) ? "●" : ""));
    for (const f of scored) {
      const predicted = predicts(set, f, patch, number);
      const cell = make("td", score(set, f, patch, number).toFixed(2), "number");
      cell.classList.toggle("said", predicted === 1);
      cell.classList.toggle("wrong", predicted !== has(set, patch, number));
      row.append(cell);
    }
  }
  return table;
}

function showPatch(side, state, on) {
  const patch = state.selected;
  if (patch < 0) {
    side.append(make("p", "Click a point to see its patch, its labels and scores, and the patches nearest to it."));
    return;
  }
  const set = state.labelSet;
  side.append(large(patch, 170), make("p", columns.ids[patch], "id"), make("p", facts(patch)));
  if (meta.features.some((_, f) => isScored(set, f, patch))) {
    side.append(make("h2", "Labels and scores"), scoresTable(patch, state));
    side.append(make("p", `bold: predicted (above ${meta.threshold}); orange: wrong; by the feature sets of the panels`));
  } else {
    side.append(make("h2", "Labels"), make("p", names(set, patch)));
    side.append(make("p", "No scores: probes were fitted on this patch."));
  }
  const features = judgeOf(panels[state.active], state);
  const near = nearestOf(features, patch);
  side.append(make("h2", `Nearest by ${meta.features[features].name}`));
  if (!near.length) {
    side.append(make("p", "None: the feature set lacks this patch, or it is not in the sample."));
    return;
  }
  const mine = new Set(labelsOf(set, patch));
  const entries = near.map(([other, cosine]) => {
    const shared = labelsOf(set, other).filter((number) => mine.has(number)).length;
    return [other, `cosine ${cosine.toFixed(3)}, ${shared} of ${mine.size} labels`];
  });
  side.append(make("p", "by cosine in all dimensions, among the patches of this page"), cards(entries, on.pick));
}

function showList(side, state, shown, on) {
  const set = state.labelSet;
  const { cls, judge } = state;
  let rows = Array.from(shown);
  let how = "";
  if (cls >= 0) {
    const order = make("select");
    order.append(new Option("highest score first", "high"), new Option("lowest score first", "low"));
    order.value = state.order;
    order.onchange = () => on.order(order.value);
    rows = rows.filter((patch) => isScored(set, judge, patch));
    const sign = state.order === "high" ? -1 : 1;
    rows.sort((a, b) => sign * (score(set, judge, a, cls) - score(set, judge, b, cls)));
    how = ` with a score of ${classesOf(set)[cls]} by ${meta.features[judge].name}`;
    side.append(order);
  }
  const text = (patch) =>
    cls >= 0 ? `${score(set, judge, patch, cls).toFixed(2)} ${has(set, patch, cls) ? "has it" : "lacks it"}` : names(set, patch);
  const first = rows.length > LISTED ? `the first ${LISTED} of ` : "";
  side.append(make("p", `${first}${rows.length.toLocaleString()} patches${how}`));
  side.append(cards(rows.slice(0, LISTED).map((patch) => [patch, text(patch)]), on.pick));
}

function showDoubts(side, state, on) {
  const set = state.labelSet;
  const { doubts, classes } = meta.labelSets[set];
  side.append(make("p", "Test patches whose label the probes doubt most, by confident learning. A list to look at: a doubt is no proof."));
  if (state.cls < 0) {
    side.append(make("p", "Choose a class:"));
    const list = make("table");
    classes.forEach((name, number) => {
      const row = list.insertRow();
      const button = make("button", name);
      button.type = "button";
      button.onclick = () => on.chooseClass(number);
      row.insertCell().append(button);
      const all = doubts[number].flat();
      const agreed = all.filter(([, , by, of]) => by === of).length;
      row.append(make("td", all.length ? `${agreed} doubted by all feature sets` : "none listed", "number"));
    });
    side.append(list);
    return;
  }
  const titles = ["Has the label, and the probes do not see it", "Lacks the label, and the probes see it"];
  doubts[state.cls].forEach((entries, kind) => {
    if (!entries.length) return;
    side.append(make("h2", titles[kind]));
    const text = ([, quality, by, of]) => `label right with probability ${quality.toFixed(2)}; doubted by ${by} of ${of}`;
    side.append(cards(entries.map((entry) => [entry[0], text(entry)]), on.pick));
  });
}
