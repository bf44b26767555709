// The lists beside the map: what is chosen, the overview, the tree and the search. They hold all that the map shows, for
// those who read it otherwise. The second half of view.js.

// ---- the lists beside the map

const el = (tag, text, className) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
};
// A path that breaks after its slashes, not in its words.
const directoryText = (place, className) => {
  const text = el("bdi", undefined, className);
  visible(pathOf(place)).split("/").forEach((part, at) => {
    if (at) text.append("/", document.createElement("wbr"));
    text.append(part);
  });
  return text;
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
  if (parent[place] > 0) item.append(document.createElement("br"), directoryText(parent[place], "dir"));
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
    anchor.append(directoryText(above));
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
    option.append(el("bdi", callName(placeOf[file])), document.createElement("br"), directoryText(parent[placeOf[file]], "dir"));
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
