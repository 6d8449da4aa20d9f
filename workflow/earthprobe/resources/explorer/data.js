"use strict";
// What the page holds: names in `meta`, columns by name in `columns`, pictures on sheets. A patch is its row.

const meta = JSON.parse(document.getElementById("data-meta").textContent);
const columns = {};
const MISSING = 2 ** 32 - 1;

function bytesOf(id) {
  const text = document.getElementById(`data-${id}`).textContent;
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function inflated(id) {
  const stream = new Blob([bytesOf(id)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

async function load() {
  const named = Object.entries(meta.types).map(async ([name, type]) => {
    columns[name] = new globalThis[type](await inflated(name));
  });
  const ids = inflated("ids").then((buffer) => (columns.ids = new TextDecoder().decode(buffer).split("\n")));
  const library = inflated("library").then((buffer) => {
    const script = document.createElement("script");
    script.textContent = new TextDecoder().decode(buffer);
    document.head.append(script);
  });
  await Promise.all([...named, ids, library]);
}

// Bits are packed class by class, the first in the highest bit of the first byte.
function bit(packed, patch, number, classes) {
  return (packed[patch * Math.ceil(classes / 8) + (number >> 3)] >> (7 - (number & 7))) & 1;
}

const classesOf = (set) => meta.labelSets[set].classes;
const has = (set, patch, number) => bit(columns[`labels-${set}`], patch, number, classesOf(set).length);
const predicts = (set, features, patch, number) =>
  bit(columns[`predicted-${set}-${features}`], patch, number, classesOf(set).length);
const isScored = (set, features, patch) => columns[`scored-${set}-${features}`]?.[patch] === 1;
const score = (set, features, patch, number) =>
  columns[`scores-${set}-${features}`][patch * classesOf(set).length + number] / 255;

function labelsOf(set, patch) {
  const found = [];
  classesOf(set).forEach((_, number) => has(set, patch, number) && found.push(number));
  return found;
}

// How many classes are wrong, and which share of those that are there or predicted is right.
function judged(set, features, patch) {
  let wrong = 0;
  let both = 0;
  let either = 0;
  for (let number = 0; number < classesOf(set).length; number++) {
    const one = has(set, patch, number);
    const other = predicts(set, features, patch, number);
    wrong += one ^ other;
    both += one & other;
    either += one | other;
  }
  return { wrong, share: either ? both / either : 1 };
}

const hasMap = () => "place" in columns;
const dateOf = (patch) => (columns.date[patch] ? new Date(columns.date[patch] * 864e5) : null);
const monthOf = (patch) => dateOf(patch)?.getUTCMonth() ?? -1;

const urls = new Map();
function sheetUrl(sensor, number) {
  const id = `sheet-${sensor}-${number}`;
  if (!urls.has(id)) urls.set(id, URL.createObjectURL(new Blob([bytesOf(id)], { type: "image/webp" })));
  return urls.get(id);
}

// A patch's picture by one sensor, `size` pixels wide, or what stands for it.
function picture(patch, { sensor, side, colours }, size) {
  const element = document.createElement("span");
  element.className = "picture";
  element.style.width = element.style.height = `${size}px`;
  const number = columns[`picture-${sensor}`][patch];
  if (number < 0) {
    element.classList.add("none");
    element.textContent = "no picture";
    return element;
  }
  const place = number % side ** 2;
  element.style.backgroundImage = `url(${sheetUrl(sensor, Math.floor(number / side ** 2))})`;
  element.style.backgroundSize = `${side * size}px`;
  element.style.backgroundPosition = `${-(place % side) * size}px ${-Math.floor(place / side) * size}px`;
  element.role = "img";
  element.ariaLabel = `${columns.ids[patch]} in ${colours || sensor}`;
  return element;
}
