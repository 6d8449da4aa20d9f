"use strict";
// Layouts side by side: a feature set's UMAP or the map, each drawn by deck.gl.

const SPAN = 100; // the side of a layout's square
const panels = [];
let Points; // the layer, once deck.gl is there
let coast; // the rings of the map, once it is drawn

const nameOf = (view) => (view === "map" ? "map" : meta.features[view].name);
const judgeOf = (panel, state) => (panel.view === "map" ? state.judge : panel.view);

// Where a patch is in a view; null where it is not.
function spot(view, patch) {
  const source = view === "map" ? columns.place : columns[`xy-${view}`];
  const [x, y] = [source[2 * patch], source[2 * patch + 1]];
  if (view === "map") return Number.isFinite(x) && Number.isFinite(y) ? [x, y] : null;
  return x === meta.nowhere ? null : [(SPAN * x) / meta.nowhere, (SPAN * y) / meta.nowhere];
}

function bounds(view) {
  if (view !== "map") return [0, 0, SPAN, SPAN];
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let patch = 0; patch < meta.count; patch++) {
    const at = spot("map", patch);
    if (!at) continue;
    box[0] = Math.min(box[0], at[0]);
    box[1] = Math.min(box[1], at[1]);
    box[2] = Math.max(box[2], at[0]);
    box[3] = Math.max(box[3], at[1]);
  }
  return box;
}

function wholeView(panel) {
  const [west, south, east, north] = bounds(panel.view);
  const { clientWidth: width, clientHeight: height } = panel.canvas;
  const scale = Math.min(width / Math.max(east - west, 0.1), (height - 40) / Math.max(north - south, 0.1));
  return { target: [(west + east) / 2, (south + north) / 2, 0], zoom: Math.log2(0.92 * scale), minZoom: -10, maxZoom: 20 };
}

function addPanel(view, views, on) {
  const element = document.createElement("div");
  element.className = "panel";
  const select = document.createElement("select");
  select.ariaLabel = "what this panel shows";
  views.forEach((v) => select.add(new Option(v === "map" ? "Map" : `UMAP of ${nameOf(v)}`, v)));
  select.value = view;
  const canvas = document.createElement("div");
  canvas.className = "canvas";
  const note = document.createElement("p");
  element.append(canvas, select, note);
  document.getElementById("panels").append(element);
  const panel = { element, select, canvas, note, view, number: panels.length };
  select.onchange = () => {
    panel.view = select.value === "map" ? "map" : Number(select.value);
    panel.deck.setProps({ initialViewState: wholeView(panel) });
    on.change(panel);
  };
  panels.push(panel);
  panel.deck = new deck.Deck({
    parent: canvas,
    views: new deck.OrthographicView({ flipY: false }),
    initialViewState: wholeView(panel),
    controller: { doubleClickZoom: false },
    getCursor: ({ isDragging }) => (isDragging ? "grabbing" : panel.pointed ? "pointer" : "grab"),
    onHover: ({ x, y }) => {
      const patch = x < 0 ? -1 : patchAt(panel, x, y);
      panel.pointed = patch >= 0;
      on.hover(patch, panel, x, y);
    },
    onClick: ({ x, y }) => on.click(patchAt(panel, x, y), panel),
    onAfterRender: () => on.drawn(panel),
    layers: [],
  });
  return panel;
}

// Positions and colours of patches as deck.gl takes them, those in front last.
function packed(view, patches, colours) {
  const rows = new Uint32Array(patches.length);
  const positions = new Float32Array(3 * patches.length);
  const fills = new Uint8Array(4 * patches.length);
  let length = 0;
  const put = (patch, fill) => {
    const at = spot(view, patch);
    if (!at) return;
    rows[length] = patch;
    positions.set(at, 3 * length);
    fills.set(fill, 4 * length);
    fills[4 * length + 3] = 200;
    length++;
  };
  if (colours.ramp) {
    const none = rgb(colours.unscored[1]);
    const values = Array.from(patches, colours.of);
    patches.forEach((patch, place) => Number.isNaN(values[place]) && put(patch, none));
    patches.forEach((patch, place) => Number.isNaN(values[place]) || put(patch, RAMP[Math.round(255 * values[place])]));
  } else {
    const fillOf = colours.entries.map(([, colour]) => rgb(colour));
    const entry = Uint8Array.from(patches, colours.of);
    // What is grey in the legend lies behind, and where it matters the first entries lie in front.
    for (let last = colours.front ? fillOf.length - 1 : 0; last >= 0; last--) {
      patches.forEach((patch, place) => (colours.front ? entry[place] === last : true) && put(patch, fillOf[entry[place]]));
    }
  }
  return { length, rows, positions, fills };
}

function land() {
  const { coast: places, "coast-starts": starts } = columns;
  const rings = [];
  for (let ring = 0; ring + 1 < starts.length; ring++) {
    const corners = [];
    for (let corner = starts[ring]; corner < starts[ring + 1]; corner++) corners.push([places[2 * corner], places[2 * corner + 1]]);
    rings.push(corners);
  }
  return rings;
}

// Closed rings as pairs of corners.
function lines(rings) {
  const positions = Float32Array.from(rings.flatMap((ring) => ring.slice(1).flatMap((at, place) => [...ring[place], 0, ...at, 0])));
  const length = positions.length / 3;
  const fills = new Uint8Array(4 * length);
  for (let place = 0; place < length; place++) fills.set([170, 170, 165, 255], 4 * place);
  return { length, positions, fills };
}

function pointLayer(id, { length, positions, fills }, radius, ring = 0, topology = "point-list") {
  const attributes = {
    getPosition: { value: positions, size: 3 },
    getFillColor: { value: fills, size: 4, type: "unorm8" },
  };
  return new Points({ id, data: { length, attributes }, radius, ring, topology });
}

function rings(id, patches, view, radius, ring, colour) {
  const layout = packed(view, patches, { entries: [["", colour]], of: () => 0 });
  return pointLayer(id, layout, radius, ring);
}

// Draws what is shown anew; `points` says whether points or their colours changed, or what is marked alone.
function drawPanel(panel, state, shown, points) {
  const { view } = panel;
  const radius = meta.count < 3000 ? 3.2 : meta.count < 40000 ? 2 : 1.2;
  if (points || !panel.points) {
    panel.packed = packed(view, shown, scheme(state, judgeOf(panel, state)));
    const { length } = panel.packed;
    panel.points = [];
    if (view === "map") {
      coast ??= land();
      const rings = { data: coast, getPolygon: (ring) => ring, getFillColor: [240, 240, 236], extruded: false };
      panel.points.push(new deck.SolidPolygonLayer({ id: "land", ...rings }));
      panel.points.push(pointLayer("coast", lines(coast), 1, 0, "line-list"));
    }
    if (shown.length < meta.count) {
      const rest = Uint32Array.from({ length: meta.count }, (_, patch) => patch);
      panel.points.push(pointLayer("rest", packed(view, rest, { entries: [["", "#e4e4e4"]], of: () => 0 }), radius));
    }
    panel.points.push(pointLayer("points", panel.packed, radius));
    const elsewhere = shown.length - length;
    panel.note.textContent = `${length.toLocaleString()} patches${elsewhere ? `; ${elsewhere.toLocaleString()} more have no place here` : ""}`;
  }
  const marked = state.selected < 0 ? [] : [state.selected];
  const near = marked.flatMap((patch) => nearestOf(judgeOf(panels[state.active], state), patch).map(([other]) => other));
  const marks = state.selected < 0 ? [] : [
    rings("near", near, view, radius + 3.5, 1, "#444444"),
    rings("selected-halo", marked, view, radius + 8, 5, "#ffffff"),
    rings("selected", marked, view, radius + 7, 2.5, "#000000"),
  ];
  panel.deck.setProps({ layers: [...panel.points, ...marks] });
  panel.select.title = view === "map" ? "" : meta.features[view].what;
  panel.element.classList.toggle("active", panel.number === state.active && panels.length > 1);
}

// The patches nearest to one by a feature set, and their cosines.
function nearestOf(features, patch) {
  const nearest = columns[`nearest-${features}`];
  const kept = nearest.length / meta.count;
  const found = [];
  for (let place = patch * kept; place < (patch + 1) * kept; place++) {
    if (nearest[place] !== MISSING) found.push([nearest[place], columns[`similarity-${features}`][place] / 1e4]);
  }
  return found;
}
