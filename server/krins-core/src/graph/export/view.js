// The map of the files: drawn on one canvas, what is pointed at on a second one above it.
// Reads the JSON in #data (see html.rs). File names are untrusted: they reach the page as text nodes only.
"use strict";
(() => {
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const still = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");
const number = new Intl.NumberFormat("en");

// ---- the model: places are directories and files, parents first; files are also numbered by themselves

const count = data.names.length;
const files = data.lines.length;
const parent = new Int32Array(count).fill(-1);
const left = new Int32Array(count), top_ = new Int32Array(count);
const width = new Int32Array(count), height = new Int32Array(count);
const fileOf = new Int32Array(count).fill(-1);
const placeOf = new Int32Array(files);
const imports = [], importers = Array.from({ length: files }, () => []);
const linesIn = new Float64Array(count), filesIn = new Int32Array(count);
const isDirectory = (place) => place === 0 || data.inside[place] > 0;

const unpack = () => {
  const open = [];
  for (let place = 0, file = 0; place < count; place++) {
    while (open.length && place > open.at(-1) + data.inside[open.at(-1)]) open.pop();
    const above = open.length ? open.at(-1) : -1;
    parent[place] = above;
    left[place] = data.rects[4 * place] + (above < 0 ? 0 : left[above]);
    top_[place] = data.rects[4 * place + 1] + (above < 0 ? 0 : top_[above]);
    width[place] = data.rects[4 * place + 2];
    height[place] = data.rects[4 * place + 3];
    if (isDirectory(place)) { open.push(place); continue; }
    linesIn[place] = data.lines[file];
    filesIn[place] = 1;
    placeOf[file] = place;
    fileOf[place] = file++;
  }
  for (let place = count - 1; place > 0; place--) {
    linesIn[parent[place]] += linesIn[place];
    filesIn[parent[place]] += filesIn[place];
  }
  for (let file = 0, at = 0; file < files; file++) {
    const targets = [];
    const end = at + 1 + data.imports[at++];
    for (let target = 0; at < end; at++) targets.push(target += data.imports[at]);
    imports.push(targets);
    for (const target of targets) importers[target].push(file);
  }
};
unpack();

const known = new Array(count);
const pathOf = (place) => {
  if (place <= 0) return "";
  known[place] ??= (parent[place] > 0 ? pathOf(parent[place]) + "/" : "") + data.names[place];
  return known[place];
};
// Marks that turn the direction of text around would make a name look like another.
const visible = (name) => name.replace(/[\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, "\ufffd");
const nameOf = (place) => visible(place === 0 ? data.title : data.names[place]);
const holds = (directory, place) => place >= directory && place <= directory + data.inside[directory];
const childrenOf = (directory) => {
  const children = [];
  for (let at = directory + 1; at <= directory + data.inside[directory]; at += data.inside[at] + 1) children.push(at);
  return children;
};
const several = (n, one, many) => `${number.format(n)} ${n === 1 ? one : many}`;
const unit = (n) => (data.directories ? several(n, "directory", "directories") : several(n, "file", "files"));

// ---- colours: an area of the repository has a hue, the number of importers the strength

const STRENGTHS = 5;
const strengthOf = (file) => {
  const n = importers[file].length;
  return n === 0 ? 0 : n < 3 ? 1 : n < 10 ? 2 : n < 40 ? 3 : 4;
};
const colourIndex = new Uint8Array(files);
let colours = [], theme = {};
const readTheme = () => {
  const style = getComputedStyle(document.documentElement);
  theme = {};
  for (const name of ["ground", "text", "quiet", "out", "in", "mark", "plate", "plate-text", "link", "level-0", "level-1", "edge-of-box"])
    theme[name] = style.getPropertyValue(`--${name}`).trim();
  const steps = dark.matches
    ? [[.33, .022], [.40, .055], [.49, .085], [.60, .12], [.74, .15]]
    : [[.915, .022], [.855, .055], [.775, .09], [.68, .13], [.56, .17]];
  colours = [];
  for (let area = 0; area < 16; area++)
    for (const [light, chroma] of steps) colours.push(`oklch(${light} ${chroma} ${(250 + area * 137.5) % 360})`);
};
const inkOn = (strength) => (dark.matches ? (strength < 3 ? "#f2f4f8" : "#0d1016") : strength < 4 ? "#131924" : "#ffffff");
for (let file = 0; file < files; file++) colourIndex[file] = (data.areas[file] % 16) * STRENGTHS + strengthOf(file);

// ---- the view: which part of the map is on the screen

const base = byId("base"), over = byId("over");
const pen = base.getContext("2d", { alpha: false }), overPen = over.getContext("2d");
const view = { x: 0, y: 0, k: 1 };
let screenW = 1, screenH = 1, ratio = 1, fitted = 1;
let selected = { kind: "none" }, hovered = -1, matches = [];
let baseStale = true, overStale = true, frame = 0, settle = 0;

const draw = () => {
  frame = 0;
  if (baseStale) drawBase();
  if (baseStale || overStale) drawOver();
  baseStale = overStale = false;
};
const ask = (whole) => {
  if (whole) baseStale = true;
  overStale = true;
  frame ||= requestAnimationFrame(draw);
};
const moved = () => {
  const slackX = screenW * .45 / view.k, slackY = screenH * .45 / view.k;
  view.x = Math.min(Math.max(view.x, -slackX), width[0] + slackX - screenW / view.k);
  view.y = Math.min(Math.max(view.y, -slackY), height[0] + slackY - screenH / view.k);
  // What lies inside what changes with every frame of a movement; lines are counted together anew when it ends.
  clearTimeout(settle);
  settle = setTimeout(() => { bundles = null; showCrumbs(); ask(false); }, 90);
  ask(true);
};
const clampScale = (k) => Math.min(Math.max(k, fitted * .7), 2);
const zoomAt = (px, py, factor) => {
  const k = clampScale(view.k * factor);
  view.x += px / view.k - px / k;
  view.y += py / view.k - py / k;
  view.k = k;
  moved();
};
const framed = (x, y, w, h, margin) => {
  const k = clampScale(Math.min(screenW * margin / w, screenH * margin / h));
  return { x: x + w / 2 - screenW / 2 / k, y: y + h / 2 - screenH / 2 / k, k };
};
let flight = 0;
const fly = (to) => {
  cancelAnimationFrame(flight);
  if (still.matches) { Object.assign(view, to); moved(); return; }
  const from = { ...view }, started = performance.now();
  const step = (now) => {
    const t = Math.min(Math.max((now - started) / 320, 0), 1), ease = 1 - (1 - t) ** 3;
    // The scale runs geometrically, and the centre with it, so that nothing lurches.
    const k = from.k * (to.k / from.k) ** ease;
    const share = Math.abs(to.k - from.k) < 1e-9 * to.k ? ease : (1 / from.k - 1 / k) / (1 / from.k - 1 / to.k);
    view.k = k;
    view.x = from.x + (to.x - from.x) * share;
    view.y = from.y + (to.y - from.y) * share;
    if (t === 1) Object.assign(view, to);
    moved();
    if (t < 1) flight = requestAnimationFrame(step);
  };
  flight = requestAnimationFrame(step);
};
const showAll = (at_once) => {
  const to = framed(0, 0, width[0], height[0], .97);
  if (at_once) { Object.assign(view, to); moved(); } else fly(to);
};
const showPlace = (place) => {
  if (place === 0) return showAll();
  const frameOf = isDirectory(place) ? place : parent[place] > 0 && filesIn[parent[place]] < 200 ? parent[place] : place;
  fly(framed(left[frameOf], top_[frameOf], width[frameOf], height[frameOf], frameOf === place && !isDirectory(place) ? .3 : .86));
};
const showFiles = (group) => {
  const places = group.map((file) => placeOf[file]);
  const ends = (start, size) => [Math.min(...places.map((at) => start[at])), Math.max(...places.map((at) => start[at] + size[at]))];
  const [[l, r], [t, b]] = [ends(left, width), ends(top_, height)];
  fly(framed(l, t, r - l, b - t, .8));
};
const resize = () => {
  const box = byId("map").getBoundingClientRect();
  const whole = Math.abs(view.k - fitted) < 1e-9 || screenW === 1;
  const centre = { x: view.x + screenW / 2 / view.k, y: view.y + screenH / 2 / view.k };
  ratio = Math.min(devicePixelRatio || 1, 2);
  screenW = Math.max(box.width, 1);
  screenH = Math.max(box.height, 1);
  for (const canvas of [base, over]) {
    canvas.width = Math.round(screenW * ratio);
    canvas.height = Math.round(screenH * ratio);
  }
  fitted = .97 * Math.min(screenW / width[0], screenH / height[0]);
  if (whole) return showAll(true);
  view.k = clampScale(view.k);
  view.x = centre.x - screenW / 2 / view.k;
  view.y = centre.y - screenH / 2 / view.k;
  moved();
};

// ---- drawing: boxes

const FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif";
const STRIP = .055; // Of the shorter side, as in treemap.rs.
const measured = new Float32Array(count);
const textWidth = (pen, place, size) => {
  if (!measured[place]) {
    const font = pen.font;
    pen.font = `100px ${FONT}`;
    measured[place] = pen.measureText(nameOf(place)).width / 100;
    pen.font = font;
  }
  return measured[place] * size;
};
const cut = (place, room, wide) => {
  const name = nameOf(place);
  const keep = Math.floor(name.length * (room - 10) / wide);
  return keep < 2 ? "" : name.slice(0, keep) + "…";
};
// The place whose name stands for each place on the screen: the outermost directory whose parts are too small to be
// named, or the place itself.
const shownAs = new Int32Array(count);
const named = [];

const drawBase = () => {
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = theme.ground;
  pen.fillRect(0, 0, screenW, screenH);
  const boxes = new Map();
  const strips = [], labels = [];
  named.length = 0;
  const { x, y, k } = view;
  let insideOf = -1, insideEnd = -1;
  for (let place = 1; place < count; place++) {
    const inside = data.inside[place];
    const w = width[place] * k, h = height[place] * k;
    const l = (left[place] - x) * k, t = (top_[place] - y) * k;
    if (place > insideEnd) insideOf = -1;
    if (l > screenW || t > screenH || l + w < 0 || t + h < 0) {
      shownAs.fill(insideOf < 0 ? place : insideOf, place, place + inside + 1);
      place += inside;
      continue;
    }
    if (inside > 0) {
      const side = Math.min(w, h), strip = side * STRIP;
      if (insideOf < 0 && strip < 10.5) {
        insideOf = place;
        insideEnd = place + inside;
        named.push(place);
        labels.push(place, l, t, w, h);
      }
      shownAs[place] = insideOf < 0 ? place : insideOf;
      if (side < 3) {
        const key = colourIndex[fileOf[firstFile(place)]];
        push(boxes, key, l, t, Math.max(w, 1), Math.max(h, 1));
        shownAs.fill(shownAs[place], place, place + inside + 1);
        place += inside;
        continue;
      }
      pen.fillStyle = insideOf < 0 || insideOf === place ? theme["level-0"] : theme["level-1"];
      pen.fillRect(l, t, w, h);
      if (side > 24) {
        pen.strokeStyle = theme["edge-of-box"];
        pen.lineWidth = 1;
        pen.strokeRect(l + .5, t + .5, w - 1, h - 1);
      }
      if (insideOf < 0) strips.push(place, l, t, w, strip);
      continue;
    }
    shownAs[place] = insideOf < 0 ? place : insideOf;
    const gap = Math.min(1, Math.min(w, h) * .12);
    push(boxes, colourIndex[fileOf[place]], l, t, Math.max(w - gap, .5), Math.max(h - gap, .5));
    if (insideOf < 0 && w > 36 && h > 13) labels.push(place, l, t, w, h);
  }
  for (const [key, rects] of boxes) {
    pen.fillStyle = colours[key];
    for (let at = 0; at < rects.length; at += 4) pen.fillRect(rects[at], rects[at + 1], rects[at + 2], rects[at + 3]);
  }
  drawNames(strips, labels);
};
const firstFile = (place) => {
  while (data.inside[place] > 0) place++;
  return place;
};
const push = (boxes, key, l, t, w, h) => {
  let rects = boxes.get(key);
  if (!rects) boxes.set(key, rects = []);
  rects.push(l, t, w, h);
};

const drawNames = (strips, labels) => {
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  let size = 0;
  const setSize = (next, weight) => {
    const key = next * 10 + weight;
    if (size !== key) pen.font = `${weight ? "600 " : ""}${next}px ${FONT}`;
    size = key;
  };
  pen.fillStyle = theme.text;
  for (let at = 0; at < strips.length; at += 5) {
    const [place, l, t, w, strip] = strips.slice(at, at + 5);
    const font = Math.round(Math.min(Math.max(strip * .72, 10), 17));
    const start = Math.max(l, 0) + font * .5, room = Math.min(l + w, screenW) - start - 4;
    if (room < 24 || t + strip < 0) continue;
    setSize(font, 1);
    const wide = textWidth(pen, place, font) * 1.06;
    pen.fillText(wide <= room ? nameOf(place) : cut(place, room, wide), start, t + strip / 2 + .5);
  }
  const plates = [];
  for (let at = 0; at < labels.length; at += 5) {
    const [place, l, t, w, h] = labels.slice(at, at + 5);
    if (isDirectory(place)) { plates.push(place, l, t, w, h); continue; }
    const font = h > 60 && w > 120 ? 13 : 11;
    // The name of a large file stays in sight when its corner does not.
    const start = Math.max(l, 0) + 4;
    const wide = textWidth(pen, place, font), room = l + w - start - 4;
    if (room < 20 || t < -6 && t + h < 60) continue;
    const text = wide <= room ? nameOf(place) : cut(place, room, wide);
    if (!text) continue;
    setSize(font, 0);
    pen.fillStyle = inkOn(colourIndex[fileOf[place]] % STRENGTHS);
    pen.fillText(text, start, h > 40 ? (t < -6 ? 48 : t + 11) : t + h / 2);
  }
  pen.textAlign = "center";
  for (let at = 0; at < plates.length; at += 5) {
    const [place, l, t, w, h] = plates.slice(at, at + 5);
    if (h < 17 || w < 26) continue;
    const font = Math.min(w, h) > 90 ? 13 : 11;
    const wide = textWidth(pen, place, font) * 1.06, room = w - 12;
    const text = wide <= room ? nameOf(place) : cut(place, room, wide);
    if (!text) continue;
    setSize(font, 1);
    const plate = Math.min(wide, room) + 8;
    pen.fillStyle = theme.plate;
    pen.fillRect(l + (w - plate) / 2, t + h / 2 - font * .75, plate, font * 1.5);
    pen.fillStyle = theme["plate-text"];
    pen.fillText(text, l + w / 2, t + h / 2 + .5);
  }
};

// ---- drawing: lines and marks

const MOST_LINES = 140, MOST_SINGLE = 60, MOST_DOTS = 500;
let bundles = null;
// Imports between what is named on the screen, counted together, the largest first.
const bundle = () => {
  const sums = new Map();
  for (let file = 0; file < files; file++) {
    const from = shownAs[placeOf[file]];
    for (const target of imports[file]) {
      const to = shownAs[placeOf[target]];
      if (from !== to) sums.set(from * count + to, (sums.get(from * count + to) ?? 0) + 1);
    }
  }
  const onScreen = (place) => {
    const x = (left[place] + width[place] / 2 - view.x) * view.k, y = (top_[place] + height[place] / 2 - view.y) * view.k;
    return x > 0 && y > 0 && x < screenW && y < screenH;
  };
  const all = [];
  for (const [key, imports] of sums) {
    const from = Math.floor(key / count), to = key % count;
    if (onScreen(from) && onScreen(to)) all.push({ from, to, imports });
  }
  all.sort((a, b) => b.imports - a.imports || a.from - b.from || a.to - b.to);
  return all;
};
const centre = (place) => [(left[place] + width[place] / 2 - view.x) * view.k, (top_[place] + height[place] / 2 - view.y) * view.k];
const curve = (from, to) => {
  const [ax, ay] = centre(from), [bx, by] = centre(to);
  if (Math.max(ax, bx) < 0 || Math.max(ay, by) < 0 || Math.min(ax, bx) > screenW || Math.min(ay, by) > screenH) return;
  overPen.beginPath();
  overPen.moveTo(ax, ay);
  overPen.quadraticCurveTo((ax + bx) / 2 + (by - ay) * .16, (ay + by) / 2 - (bx - ax) * .16, bx, by);
  overPen.stroke();
};
const dot = (place, filled, colour) => {
  const [x, y] = centre(place);
  if (x < -5 || y < -5 || x > screenW + 5 || y > screenH + 5) return;
  overPen.beginPath();
  overPen.arc(x, y, 3.2, 0, 7);
  overPen.fillStyle = filled ? colour : theme.ground;
  overPen.fill();
  overPen.lineWidth = 1.5;
  overPen.strokeStyle = colour;
  overPen.stroke();
};
const outline = (place, colour, thick) => {
  const l = (left[place] - view.x) * view.k, t = (top_[place] - view.y) * view.k;
  const w = Math.max(width[place] * view.k, 4), h = Math.max(height[place] * view.k, 4);
  if (l > screenW || t > screenH || l + w < 0 || t + h < 0) return;
  overPen.strokeStyle = colour;
  overPen.lineWidth = thick;
  overPen.strokeRect(l, t, w, h);
};
const shade = (keep) => {
  overPen.globalAlpha = .55;
  overPen.fillStyle = theme.ground;
  overPen.fillRect(0, 0, screenW, screenH);
  overPen.globalAlpha = 1;
  for (const place of keep) {
    const l = (left[place] - view.x) * view.k, t = (top_[place] - view.y) * view.k;
    overPen.clearRect(l, t, Math.max(width[place] * view.k, 1), Math.max(height[place] * view.k, 1));
  }
};

const drawOver = () => {
  overPen.setTransform(ratio, 0, 0, ratio, 0, 0);
  overPen.clearRect(0, 0, screenW, screenH);
  const chosen = selected.kind === "file" ? selected.file : -1;
  const pointed = hovered > 0 && !isDirectory(hovered) && shownAs[hovered] === hovered ? fileOf[hovered] : -1;
  if (selected.kind === "directory" && selected.place > 0) shade([selected.place]);
  if (selected.kind === "cycle") shade(selected.files.map((file) => placeOf[file]));
  if (chosen >= 0) shade([chosen, ...imports[chosen], ...importers[chosen]].map((file) => placeOf[file]));
  for (const file of matches) outline(placeOf[file], theme.mark, 1.5);
  if (pointed >= 0 && pointed !== chosen) drawFile(pointed, .75);
  else if (chosen >= 0) drawFile(chosen, 1);
  else if (selected.kind === "cycle") drawRing(selected);
  else if (byId("lines").checked) drawBundles();
  if (chosen >= 0) outline(placeOf[chosen], theme.mark, 3);
  if (hovered > 0) outline(pointed >= 0 ? hovered : shownAs[hovered] ?? hovered, theme.mark, 2);
  if (selected.kind === "directory" && selected.place > 0) outline(selected.place, theme.mark, 2);
};
const drawFile = (file, alpha) => {
  const place = placeOf[file];
  for (const [others, colour, filled] of [[imports[file], theme.out, true], [importers[file], theme.in, false]]) {
    overPen.globalAlpha = alpha * Math.max(.18, Math.min(.85, 12 / others.length));
    overPen.strokeStyle = colour;
    overPen.lineWidth = 1.4;
    if (others.length <= MOST_SINGLE) for (const other of others) curve(place, placeOf[other]);
    else drawTogether(place, others, alpha);
    overPen.globalAlpha = alpha;
    for (const other of others.slice(0, MOST_DOTS)) dot(placeOf[other], filled, colour);
  }
  overPen.globalAlpha = 1;
};
// One line to each named part of the map, as wide as the files there are many.
const drawTogether = (place, others, alpha) => {
  const sums = new Map();
  for (const other of others) {
    const there = shownAs[placeOf[other]];
    sums.set(there, (sums.get(there) ?? 0) + 1);
  }
  for (const [there, files] of sums) {
    overPen.globalAlpha = alpha * Math.min(.3 + files / 80, .8);
    overPen.lineWidth = Math.min(1 + Math.sqrt(files) * .45, 7);
    curve(place, there);
  }
};
const drawRing = ({ files, ring }) => {
  if (files.length <= MOST_SINGLE) for (const file of files) outline(placeOf[file], theme.in, 1.5);
  overPen.strokeStyle = theme.out;
  overPen.lineWidth = 2.2;
  ring.forEach((file, at) => curve(placeOf[file], placeOf[ring[(at + 1) % ring.length]]));
  for (const file of ring) dot(placeOf[file], true, theme.out);
};
const drawBundles = () => {
  bundles ??= bundle();
  const about = hovered > 0 ? shownAs[hovered] : selected.kind === "directory" && selected.place > 0 ? selected.place : -1;
  const touches = (place) => place === about || about > 0 && holds(about, place);
  const own = about > 0 ? bundles.filter((line) => touches(line.from) !== touches(line.to)) : [];
  const rest = own.length ? [] : bundles;
  const most = Math.max(bundles.length ? bundles[0].imports : 1, 30);
  const stroke = (line, colour, alpha) => {
    const share = Math.sqrt(line.imports / most);
    overPen.globalAlpha = alpha * (.16 + .6 * share);
    overPen.lineWidth = .8 + 4.2 * share;
    overPen.strokeStyle = colour;
    curve(line.from, line.to);
  };
  for (const line of rest.slice(0, MOST_LINES)) stroke(line, theme.link, .8);
  for (const line of own.slice(0, MOST_LINES)) stroke(line, touches(line.from) ? theme.out : theme.in, 1.3);
  overPen.globalAlpha = 1;
  for (const line of own.slice(0, MOST_LINES)) {
    const outgoing = touches(line.from);
    dot(outgoing ? line.to : line.from, outgoing, outgoing ? theme.out : theme.in);
  }
};

// ---- pointing

const placeAt = (px, py) => {
  const wx = px / view.k + view.x, wy = py / view.k + view.y;
  if (wx < 0 || wy < 0 || wx > width[0] || wy > height[0]) return -1;
  let found = 0;
  for (let place = 1; place <= data.inside[0]; place++) {
    if (wx < left[place] || wy < top_[place] || wx >= left[place] + width[place] || wy >= top_[place] + height[place]) {
      place += data.inside[place];
    } else {
      found = place;
    }
  }
  return found;
};
// A file that is large enough to be meant; otherwise the directory whose name stands there.
const meantAt = (px, py) => {
  const place = placeAt(px, py);
  if (place <= 0) return place;
  const large = Math.min(width[place], height[place]) * view.k >= 5;
  return !isDirectory(place) && large ? place : shownAs[place];
};
const tip = byId("tip");
const hover = (place, px, py) => {
  if (place !== hovered) {
    hovered = place;
    base.classList.toggle("pointing", place > 0);
    ask(false);
    tip.hidden = place <= 0;
    if (place > 0) tip.replaceChildren(el("bdi", visible(pathOf(place))), el("span", summaryOf(place)));
  }
  if (place <= 0) return;
  const x = px + 16 + tip.offsetWidth > screenW ? Math.max(px - tip.offsetWidth - 10, 4) : px + 16;
  const y = py + 20 + tip.offsetHeight > screenH ? py - tip.offsetHeight - 10 : py + 20;
  tip.style.transform = `translate(${x}px, ${y}px)`;
};
const summaryOf = (place) => {
  const lines = several(linesIn[place], "line", "lines");
  if (isDirectory(place)) return `${unit(filesIn[place])}, ${lines}`;
  const file = fileOf[place];
  return `${lines}; imports ${number.format(imports[file].length)}, imported by ${number.format(importers[file].length)}`;
};

const pointers = new Map();
let travelled = 0, spread = 0;
const here = (event) => {
  const box = base.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};
base.addEventListener("pointerdown", (event) => {
  cancelAnimationFrame(flight);
  base.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, here(event));
  travelled = 0;
  spread = 0;
});
base.addEventListener("pointermove", (event) => {
  const [px, py] = here(event);
  const last = pointers.get(event.pointerId);
  if (!last) return hover(meantAt(px, py), px, py);
  pointers.set(event.pointerId, [px, py]);
  if (pointers.size === 2) {
    const [a, b] = [...pointers.values()];
    const now = Math.hypot(a[0] - b[0], a[1] - b[1]);
    if (spread) zoomAt((a[0] + b[0]) / 2, (a[1] + b[1]) / 2, now / spread);
    spread = now;
    travelled = 99;
    return;
  }
  travelled += Math.hypot(px - last[0], py - last[1]);
  if (travelled < 4) return;
  hover(-1);
  base.classList.add("dragging");
  view.x -= (px - last[0]) / view.k;
  view.y -= (py - last[1]) / view.k;
  moved();
});
const lift = (event) => {
  const clicked = pointers.delete(event.pointerId) && event.type === "pointerup" && travelled < 4;
  base.classList.remove("dragging");
  if (!clicked) return;
  const place = meantAt(...here(event));
  if (place < 0) go(""); else go(linkTo(place));
};
base.addEventListener("pointerup", lift);
base.addEventListener("pointercancel", lift);
base.addEventListener("pointerleave", () => hover(-1));
base.addEventListener("wheel", (event) => {
  event.preventDefault();
  cancelAnimationFrame(flight);
  const [px, py] = here(event);
  const lines = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? screenH : 1;
  const delta = Math.max(-120, Math.min(120, event.deltaY * lines));
  hover(-1);
  zoomAt(px, py, Math.exp(-delta * (event.ctrlKey ? .01 : .0022)));
}, { passive: false });
base.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = 70 / view.k;
  const keys = {
    ArrowLeft: () => { view.x -= step; moved(); },
    ArrowRight: () => { view.x += step; moved(); },
    ArrowUp: () => { view.y -= step; moved(); },
    ArrowDown: () => { view.y += step; moved(); },
    "+": () => zoomAt(screenW / 2, screenH / 2, 1.3),
    "=": () => zoomAt(screenW / 2, screenH / 2, 1.3),
    "-": () => zoomAt(screenW / 2, screenH / 2, 1 / 1.3),
    0: () => showAll(),
    Enter: () => go(linkTo(Math.max(meantAt(screenW / 2, screenH / 2), 0))),
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});

// ---- the lists beside the map

const el = (tag, text, className) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
};
const linkTo = (place) => (place <= 0 ? "" : "#/" + pathOf(place).split("/").map(encodeURIComponent).join("/") + (isDirectory(place) ? "/" : ""));
const link = (place, text, note) => {
  const item = el("li");
  const anchor = el("a");
  anchor.href = linkTo(place) || "#";
  anchor.append(el("bdi", text ?? nameOf(place)));
  item.append(anchor);
  if (note) item.append(el("span", note, "count"));
  return item;
};
// Every package has an index; the directories above it tell which one this is.
const callName = (place) => {
  const common = data.directories || /^index\./.test(data.names[place]);
  return common ? visible(pathOf(place).split("/").slice(-3).join("/")) : nameOf(place);
};
const fileLink = (file, note) => {
  const place = placeOf[file];
  const item = link(place, callName(place), note);
  const directory = pathOf(parent[place]);
  if (directory) item.append(document.createElement("br"), el("bdi", visible(directory), "dir"));
  return item;
};
// Long lists come in pieces: a list of a thousand links is slow to lay out and of use to nobody.
const listInto = (list, items, make, piece = 60) => {
  list.append(...items.slice(0, piece).map(make));
  if (items.length <= piece) return list;
  const holder = el("li");
  const more = el("button", `Show ${number.format(Math.min(200, items.length - piece))} more`, "more");
  more.type = "button";
  more.addEventListener("click", () => {
    holder.remove();
    const first = list.children.length;
    listInto(list, items.slice(piece), make, 200);
    list.children[first]?.querySelector("a")?.focus();
  });
  holder.append(more);
  list.append(holder);
  return list;
};
const section = (title, className, items, make) => {
  if (!items.length) return [];
  const heading = el("h3");
  heading.append(el("span", title, className), el("span", number.format(items.length), "count"));
  return [heading, listInto(el("ul"), items, make)];
};
const byUse = (a, b) => importers[b].length - importers[a].length || a - b;

const describeFile = (file) => {
  const place = placeOf[file];
  const where = el("p");
  const above = parent[place];
  if (above > 0) {
    const anchor = el("a");
    anchor.href = linkTo(above);
    anchor.append(el("bdi", visible(pathOf(above))));
    where.append(anchor, document.createElement("br"));
  }
  where.append(several(data.lines[file], "line", "lines"));
  const ring = data.cycles.findIndex((files) => files.includes(file));
  const cycle = el("p");
  if (ring >= 0) {
    const anchor = el("a", `an import cycle of ${unit(data.cycles[ring].length)}`);
    anchor.href = `#cycle=${ring + 1}`;
    cycle.append("Part of ", anchor);
  }
  return [
    where, cycle,
    ...section("● Imports", "out", [...imports[file]].sort(byUse), (other) => fileLink(other)),
    ...section("○ Imported by", "in", importers[file], (other) => fileLink(other)),
    ...(imports[file].length + importers[file].length ? [] : [el("p", "Imports nothing here, and nothing here imports it.")]),
  ];
};
// For each neighbour of the directory, on the level where the two part, the number of imports.
const neighbours = (directory, edges) => {
  const sums = new Map();
  const end = directory + data.inside[directory];
  for (let place = directory; place <= end; place++) {
    if (fileOf[place] < 0) continue;
    for (const other of edges[fileOf[place]]) {
      let at = placeOf[other];
      if (holds(directory, at)) continue;
      while (!holds(parent[at], directory)) at = parent[at];
      sums.set(at, (sums.get(at) ?? 0) + 1);
    }
  }
  return [...sums].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
};
const describeDirectory = (place) => {
  const note = ([at, imports]) => link(at, visible(pathOf(at)) + (isDirectory(at) ? "/" : ""), several(imports, "import", "imports"));
  return [
    el("p", summaryOf(place)),
    ...section("● Imports from", "out", neighbours(place, imports), note),
    ...section("○ Imported from", "in", neighbours(place, importers), note),
    ...section("Inside", "", childrenOf(place), (child) => link(child, nameOf(child) + (isDirectory(child) ? "/" : ""), isDirectory(child) ? unit(filesIn[child]) : undefined)),
  ];
};
// The shortest way around: from each of the group's first files back to itself.
const shortestRing = (group) => {
  const inGroup = new Set(group);
  let best = null;
  for (const start of group.slice(0, 40)) {
    const before = new Map([[start, -1]]);
    let front = [start], found = -1;
    while (front.length && found < 0) {
      const next = [];
      for (const file of front) {
        if (imports[file].includes(start)) { found = file; break; }
        for (const target of imports[file])
          if (inGroup.has(target) && !before.has(target)) { before.set(target, file); next.push(target); }
      }
      front = next;
    }
    const ring = [];
    for (let file = found; file >= 0; file = before.get(file)) ring.unshift(file);
    if (ring.length && (!best || ring.length < best.length)) best = ring;
    if (best?.length === 2) break;
  }
  return best ?? [];
};
const describeCycle = ({ files, ring }) => [
  el("p", `Every one of these reaches every other through imports. The shortest way around has ${unit(ring.length)}.`),
  ...section("A way around", "out", ring, (file) => fileLink(file)),
  ...section("All of them", "", files, (file) => fileLink(file)),
];

const show = (title, body) => {
  byId("details").hidden = false;
  byId("details-title").replaceChildren(el("bdi", title));
  byId("details-body").replaceChildren(...body);
  byId("panel").scrollTop = 0;
};
const placeNamed = (path) => {
  const isDir = path.endsWith("/");
  const wanted = isDir ? path.slice(0, -1) : path;
  for (let place = 1; place < count; place++) {
    if (isDirectory(place) !== isDir) continue;
    if (wanted.endsWith(data.names[place]) && pathOf(place) === wanted) return place;
  }
  return -1;
};
const decoded = (text) => {
  try { return decodeURIComponent(text); } catch { return ""; }
};
// The address says what is chosen, so that going back and links work.
let followed = null;
const follow = () => {
  const hash = followed = location.hash;
  const cycle = /^#cycle=(\d+)$/.exec(hash);
  const place = hash.startsWith("#/") ? placeNamed(decoded(hash.slice(2))) : -1;
  selected = { kind: "none" };
  if (cycle && data.cycles[cycle[1] - 1]) {
    const files = data.cycles[cycle[1] - 1];
    selected = { kind: "cycle", files, ring: shortestRing(files) };
    show(`Import cycle of ${unit(files.length)}`, describeCycle(selected));
    showFiles(files);
  } else if (place > 0 && isDirectory(place)) {
    selected = { kind: "directory", place };
    show(visible(pathOf(place)) + "/", describeDirectory(place));
    showPlace(place);
  } else if (place > 0) {
    selected = { kind: "file", file: fileOf[place] };
    show(nameOf(place), describeFile(fileOf[place]));
    if (byLink) showPlace(place);
  } else {
    byId("details").hidden = true;
  }
  byLink = true;
  ask(true);
};
// A file that was clicked on the map is in sight already.
let byLink = true;
const go = (hash) => {
  if (hash === location.hash) return;
  byLink = false;
  location.hash = hash;
};
addEventListener("hashchange", () => { if (location.hash !== "#panel" && location.hash !== followed) follow(); });
const readDetails = () => {
  if (!byId("details").hidden) byId("details-title").focus({ preventScroll: true });
};
// Who came by a link in a list reads on in the details; a link to where the address is already moves the map back.
document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a");
  if (!anchor || anchor.className === "skip") return;
  if (anchor.hash && anchor.hash === location.hash) follow();
  if (byId("panel").contains(anchor)) setTimeout(readDetails, 0);
});

const crumbs = byId("crumbs");
let crumbOf = -1;
const showCrumbs = () => {
  let place = 0;
  const fits = (at) => left[at] <= view.x + screenW * .25 / view.k && top_[at] <= view.y + screenH * .25 / view.k
    && left[at] + width[at] >= view.x + screenW * .75 / view.k && top_[at] + height[at] >= view.y + screenH * .75 / view.k;
  for (;;) {
    const next = childrenOf(place).find((at) => isDirectory(at) && fits(at));
    if (!next) break;
    place = next;
  }
  if (place === crumbOf) return;
  crumbOf = place;
  const trail = [];
  for (let at = place; at >= 0; at = parent[at]) trail.unshift(at);
  crumbs.replaceChildren(...trail.map((at) => {
    const anchor = el("a");
    anchor.href = linkTo(at) || "#";
    anchor.append(el("bdi", nameOf(at)));
    if (at === 0) anchor.addEventListener("click", (event) => { event.preventDefault(); go(""); showAll(); });
    return anchor;
  }));
  base.setAttribute("aria-label", `Map of ${unit(files)}; in sight: ${visible(pathOf(place)) || "everything"}`);
};

// ---- search

const query = byId("query"), results = byId("results");
let lowered = null, options = [], active = -1;
const search = (text) => {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  lowered ??= Array.from(placeOf, (place) => pathOf(place).toLowerCase());
  const ranked = [];
  for (let file = 0; file < files; file++) {
    const path = lowered[file];
    if (!words.every((word) => path.includes(word))) continue;
    const name = path.slice(path.lastIndexOf("/") + 1);
    const first = words.at(-1);
    const rank = name.startsWith(first) ? 0 : name.includes(first) ? 1 : 2;
    ranked.push([rank, -Math.min(importers[file].length, 9), path.length, file]);
  }
  ranked.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3]);
  return ranked.map((entry) => entry[3]);
};
const closeResults = () => {
  results.hidden = true;
  query.setAttribute("aria-expanded", "false");
  query.removeAttribute("aria-activedescendant");
  active = -1;
};
const activate = (next) => {
  options[active]?.setAttribute("aria-selected", "false");
  active = options.length ? (next + options.length) % options.length : -1;
  const option = options[active];
  if (!option) return;
  option.setAttribute("aria-selected", "true");
  option.scrollIntoView({ block: "nearest" });
  query.setAttribute("aria-activedescendant", option.id);
};
const choose = (option) => {
  closeResults();
  location.hash = linkTo(placeOf[option.file]);
  setTimeout(readDetails, 0);
};
query.addEventListener("input", () => {
  const found = search(query.value);
  matches = found.length <= 400 ? found : [];
  options = found.slice(0, 40).map((file, at) => {
    const option = el("li");
    option.id = `result-${at}`;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    option.file = file;
    option.append(el("bdi", callName(placeOf[file])), document.createElement("br"), el("bdi", visible(pathOf(parent[placeOf[file]])), "dir"));
    option.addEventListener("pointerdown", (event) => { event.preventDefault(); choose(option); });
    return option;
  });
  results.replaceChildren(...options);
  active = -1;
  query.removeAttribute("aria-activedescendant");
  results.hidden = !options.length;
  query.setAttribute("aria-expanded", String(options.length > 0));
  const more = found.length > options.length ? `, the first ${options.length} listed` : "";
  byId("found").textContent = query.value.trim() ? `${unit(found.length)} found${more}` : "";
  ask(false);
});
query.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    activate(active < 0 && event.key === "ArrowUp" ? options.length - 1 : active + (event.key === "ArrowDown" ? 1 : -1));
  } else if (event.key === "Enter" && options.length) {
    event.preventDefault();
    choose(options[Math.max(active, 0)]);
  } else if (event.key === "Escape") {
    if (results.hidden && query.value) { query.value = ""; query.dispatchEvent(new Event("input")); }
    closeResults();
  }
});
query.addEventListener("blur", closeResults);
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.target.closest?.("input")) {
    event.preventDefault();
    query.focus();
    query.select();
  }
  if (event.key === "Escape" && event.target !== query) go("");
});

// ---- the overview

const used = Array.from({ length: files }, (_, file) => file).filter((file) => importers[file].length).sort(byUse);
listInto(byId("top").querySelector("ol"), used.slice(0, 200), (file) => fileLink(file, `by ${number.format(importers[file].length)}`), 10);
if (!used.length) byId("top").querySelector("ol").append(el("li", files ? "Nothing here imports anything else here." : "There are no files in this picture."));
byId("rings").querySelector("summary").append(el("span", number.format(data.cycles.length), "count"));
const ringLink = (group) => {
  const item = el("li"), anchor = el("a", unit(group.length));
  anchor.href = `#cycle=${data.cycles.indexOf(group) + 1}`;
  const names = group.slice(0, 3).map((file) => nameOf(placeOf[file])).join(", ");
  item.append(anchor, el("span", names + (group.length > 3 ? ", …" : ""), "count"));
  return item;
};
listInto(byId("rings").querySelector("ol"), data.cycles, ringLink, 20);
if (!data.cycles.length) byId("rings").querySelector("ol").append(el("li", "Nothing here imports itself, however indirectly."));
// The tree is filled as it is opened.
const grow = (holder, place) => {
  holder.addEventListener("toggle", () => {
    if (!holder.open || holder.grown) return;
    holder.grown = true;
    const children = childrenOf(place);
    for (const child of children.filter(isDirectory)) {
      const inner = el("details"), title = el("summary");
      title.append(el("bdi", nameOf(child)), el("span", number.format(filesIn[child]), "count"));
      inner.append(title);
      grow(inner, child);
      holder.append(inner);
    }
    const own = children.filter((child) => !isDirectory(child));
    if (own.length) holder.append(listInto(el("ul"), own, (child) => link(child)));
  });
};
grow(byId("tree"), 0);
if (data.directories) {
  byId("legend-unit").textContent = "the files of a directory";
  byId("legend-one").textContent = "box";
  byId("legend-many").textContent = "directories";
  query.placeholder = "Find a directory  ( / )";
  query.setAttribute("aria-label", "Find a directory");
  byId("tree").querySelector("summary").textContent = "All directories";
}
const edges = imports.reduce((sum, targets) => sum + targets.length, 0);
byId("figures").textContent = `${unit(files)}, ${several(linesIn[0], "line", "lines")}, ${several(edges, "import", "imports")} between them`;
const drawSwatches = () => {
  const canvas = el("canvas");
  canvas.width = 300;
  canvas.height = 14;
  const pen = canvas.getContext("2d");
  for (let strength = 0; strength < STRENGTHS; strength++) {
    pen.fillStyle = colours[strength];
    pen.fillRect(strength * 60, 0, 59, 14);
  }
  byId("swatches").replaceChildren(canvas);
};

byId("zoom-in").addEventListener("click", () => zoomAt(screenW / 2, screenH / 2, 1.5));
byId("zoom-out").addEventListener("click", () => zoomAt(screenW / 2, screenH / 2, 1 / 1.5));
byId("fit").addEventListener("click", () => showAll());
byId("lines").addEventListener("change", () => ask(false));
dark.addEventListener("change", () => { readTheme(); drawSwatches(); ask(true); });
readTheme();
drawSwatches();
resize();
new ResizeObserver(resize).observe(byId("map"));
// A picture around one file is small enough to show all of it.
if (data.focus !== null && !location.hash) {
  location.replace(linkTo(placeOf[data.focus]));
  byLink = false;
}
follow();
cancelAnimationFrame(frame);
draw();
showCrumbs();
performance.mark("drawn");
})();
