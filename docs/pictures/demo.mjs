// Draws the terminal output of `krins demo --color always` as an SVG of one screen: long lists are cut, and the cut says how long.
//
//   krins demo --color always | node docs/pictures/demo.mjs > docs/pictures/demo.svg

import { readFileSync } from "node:fs";

const COLORS = { 31: "#ff7b72", 32: "#7ee787", 33: "#e3b341", 34: "#79c0ff", 35: "#d2a8ff", 36: "#76e3ea" };
const [INK, PAPER, DIM] = ["#d6deeb", "#0d1b2a", "#7f93a8"];
const [WIDTH, LINE, LEFT, TOP] = [8.43, 19, 22, 52];
const COLUMNS = 96;

/** What repeats, how many of it are shown, and what the rest is called. */
const CUTS = [
  { item: /^\s+\d+ tok {2}/, keep: 3, rest: "pieces" },
  { item: /^diff --git /, keep: 1, rest: "files of the diff", whole: true },
  { item: /^changed /, keep: 2, rest: "files" },
  { item: /^restored /, keep: 1, rest: "files" },
];

const plain = (line) => line.replace(/\x1b\[[0-9;]*m/g, "");
const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const dim = (text) => `\x1b[2m${text}\x1b[0m`;

/** Without what goes beyond `keep` of each kind. A `whole` item lasts to the next empty line or item. */
function cut(lines, { item, keep, rest, whole }) {
  const starts = lines.flatMap((line, index) => (item.test(plain(line)) ? [index] : []));
  if (starts.length <= keep) return lines;
  const last = starts.at(-1);
  // A diff's own empty lines have a mark in front, so an empty one ends it.
  const end = whole ? last + lines.slice(last).findIndex((line) => plain(line) === "") : last + 1;
  return [...lines.slice(0, starts[keep]), dim(`   … ${starts.length - keep} more ${rest}`), ...lines.slice(end)];
}

/** `tspan`s of a line, cut at the screen's edge. */
function drawn(line) {
  let [color, bold, faint, column] = [INK, false, false, 0];
  const spans = [];
  for (const part of line.split(/(\x1b\[[0-9;]*m)/)) {
    if (part.startsWith("\x1b[")) {
      for (const code of part.slice(2, -1).split(";").map(Number)) {
        if (code === 0) [color, bold, faint] = [INK, false, false];
        else if (code === 1) bold = true;
        else if (code === 2) faint = true;
        else color = COLORS[code] ?? color;
      }
      continue;
    }
    const left = COLUMNS - column;
    const text = part.length > left ? `${part.slice(0, Math.max(0, left - 1))}…` : part;
    if (left <= 0 || text === "") continue;
    column += text.length;
    const weight = bold ? ' font-weight="700"' : "";
    spans.push(`<tspan fill="${faint ? DIM : color}"${weight}>${escape(text)}</tspan>`);
  }
  return spans.join("");
}

const output = readFileSync(0, "utf8").trimEnd().split("\n");
// Where the time went is for whoever runs it.
const times = output.findIndex((line) => /^6 /.test(plain(line)));
const lines = CUTS.reduce(cut, [`${dim("$")} \x1b[1mkrins demo\x1b[0m`, ...output.slice(0, times === -1 ? undefined : times - 1)]);
const [width, height] = [Math.ceil(COLUMNS * WIDTH + 2 * LEFT), TOP + lines.length * LINE + 14];

process.stdout.write(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="A terminal with the output of krins demo">
<rect width="${width}" height="${height}" rx="9" fill="${PAPER}"/>
${["#ff5f57", "#febc2e", "#28c840"].map((fill, index) => `<circle cx="${24 + 20 * index}" cy="22" r="6" fill="${fill}"/>`).join("")}
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace" font-size="14" xml:space="preserve">
${lines.map((line, index) => (line === "" ? "" : `<text x="${LEFT}" y="${TOP + 14 + index * LINE}" style="white-space:pre">${drawn(line)}</text>`)).filter(Boolean).join("\n")}
</g>
</svg>
`);
