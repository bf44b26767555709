// The map of the files: drawn on one canvas, what is pointed at on a second one above it. The lists beside it are in
// lists.js; the two are one module, in this order.
// Reads the JSON in #data (see html.rs). File names are untrusted: they reach the page as text nodes only.
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
    : [[.915, .022], [.855, .055], [.775, .09], [.68, .13], [.52, .16]];
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
