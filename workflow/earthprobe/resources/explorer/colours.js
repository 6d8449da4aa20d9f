"use strict";
// What colours say. Okabe and Ito's palette first: it is told apart with any common colour blindness.

const GREY = "#c8c8c8";
const PALETTE = [
  "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#882255", "#000000", "#999933", "#44aa99", "#aa4499",
  "#ddcc77",
];
const MONTHS = "January February March April May June July August September October November December".split(" ");
// Round the year and back again: winter blue, summer yellow.
const YEAR = [
  "#2f4b8c", "#4a6fb0", "#6f9bc4", "#9cc4b8", "#c9d98a", "#e8d35a", "#f0b040", "#e58533", "#c65a3c", "#94404f", "#6a3560",
  "#463a78",
];
const VIRIDIS = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"];
const COMMON = 8; // classes that have a colour of their own

const rgb = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));

const RAMP = Array.from({ length: 256 }, (_, step) => {
  const place = (step / 255) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const [one, other] = [rgb(VIRIDIS[low]), rgb(VIRIDIS[low + 1])];
  return one.map((value, channel) => Math.round(value + (place - low) * (other[channel] - value)));
});

const commonOf = new Map(); // label set -> its most frequent classes, the rarest of them last
function common(set) {
  if (!commonOf.has(set)) {
    const counts = classesOf(set).map(() => 0);
    for (let patch = 0; patch < meta.count; patch++) counts.forEach((_, n) => (counts[n] += has(set, patch, n)));
    const order = counts.map((_, number) => number).sort((a, b) => counts[b] - counts[a]);
    commonOf.set(set, order.filter((number) => counts[number]).slice(0, COMMON));
  }
  return commonOf.get(set);
}

function mostOf(column, names) {
  const counts = names.map(() => 0);
  for (const value of columns[column]) counts[value]++;
  return names.map((_, number) => number).sort((a, b) => counts[b] - counts[a]);
}

// A scheme: { entries: [[text, colour]], of: patch -> entry } or { ramp: [low text, high text], of: patch -> 0 to 1 }.
// Where `front` is set, the first entries are drawn on top.
function scheme({ colour, labelSet: set, cls }, features) {
  const unscored = ["not scored (train)", GREY];
  const scored = (patch) => isScored(set, features, patch);
  if (colour === "true" || colour === "predicted") {
    const of = colour === "true" ? has : (s, patch, number) => predicts(s, features, patch, number);
    const known = colour === "true" ? () => true : scored;
    const more = colour === "true" ? [] : [unscored];
    if (cls >= 0) {
      const said = colour === "true" ? ["has the class", "lacks it"] : ["predicted", "not predicted"];
      const entries = [[said[0], PALETTE[5]], [said[1], "#9db8cc"], ...more];
      return { entries, of: (patch) => (known(patch) ? 1 - of(set, patch, cls) : 2), front: true };
    }
    const shown = common(set);
    const entries = shown.map((number, place) => [classesOf(set)[number], PALETTE[place]]);
    entries.push(["none of these", "#9a9a9a"], ...more);
    const rarest = (patch) => {
      for (let place = shown.length - 1; place >= 0; place--) if (of(set, patch, shown[place])) return place;
      return shown.length;
    };
    const hint = `of several the rarest counts`;
    return { entries, hint, of: (patch) => (known(patch) ? rarest(patch) : shown.length + 1) };
  }
  if (colour === "right") {
    if (cls >= 0) {
      const entries = [["missed", PALETTE[5]], ["false alarm", PALETTE[1]], ["found", PALETTE[0]], ["rightly not predicted", "#a9d3ea"], unscored];
      const of = (patch) => [[3, 1], [0, 2]][has(set, patch, cls)][predicts(set, features, patch, cls)];
      return { entries, front: true, of: (patch) => (scored(patch) ? of(patch) : 4) };
    }
    const entries = [["all classes right", PALETTE[0]], ["one wrong", PALETTE[4]], ["two wrong", PALETTE[1]], ["more wrong", PALETTE[5]], unscored];
    return { entries, of: (patch) => (scored(patch) ? Math.min(3, judged(set, features, patch).wrong) : 4) };
  }
  if (colour === "score") {
    const of = (patch) => (cls >= 0 ? score(set, features, patch, cls) : judged(set, features, patch).share);
    const ends = cls >= 0 ? ["score 0", "1"] : ["no label right (Jaccard 0)", "all right (1)"];
    return { ramp: ends, unscored, of: (patch) => (scored(patch) ? of(patch) : NaN) };
  }
  if (colour === "date") {
    const entries = MONTHS.map((name, number) => [name, YEAR[number]]).concat([["no date", GREY]]);
    return { entries, of: (patch) => (monthOf(patch) < 0 ? 12 : monthOf(patch)) };
  }
  const order = mostOf(colour, meta[colour]);
  const place = order.reduce((places, number, rank) => places.set(number, Math.min(rank, PALETTE.length)), new Map());
  const entries = order.slice(0, PALETTE.length).map((number, rank) => [meta[colour][number], PALETTE[rank]]);
  if (order.length > PALETTE.length) entries.push(["others", GREY]);
  return { entries, of: (patch) => place.get(columns[colour][patch]) };
}
