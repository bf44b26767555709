// The same lines in two texts, blanks and lines without a word left out. Knows nothing of VS Code.

export interface Duplicate {
  /** Zero-based, inclusive, in the text. */
  first: number;
  last: number;
  /** Where it is, too. */
  path: string;
  line: number;
}

/** Fewer lines than these are alike by chance, or by the language. */
const LEAST = 8;

interface Line {
  at: number;
  text: string;
}

/** The longest runs of lines that another text has, too, at most one for each place of the text. */
export function duplicates(text: string, others: readonly { path: string; text: string }[], least = LEAST): Duplicate[] {
  const lines = meaningful(text);
  const found: Duplicate[] = [];
  const known = others.map((other) => ({ path: other.path, lines: meaningful(other.text) }));
  const starts = new Map<string, { path: string; lines: Line[]; index: number }[]>();
  for (const { path, lines: theirs } of known) {
    for (let index = 0; index + least <= theirs.length; index += 1) {
      const key = window(theirs, index, least);
      starts.set(key, [...(starts.get(key) ?? []), { path, lines: theirs, index }].slice(-4));
    }
  }
  for (let index = 0; index + least <= lines.length; ) {
    const best = (starts.get(window(lines, index, least)) ?? [])
      .map((start) => ({ ...start, length: run(lines, index, start.lines, start.index) }))
      .sort((a, b) => b.length - a.length)[0];
    if (!best) {
      index += 1;
      continue;
    }
    found.push({ first: lines[index]!.at, last: lines[index + best.length - 1]!.at, path: best.path, line: best.lines[best.index]!.at });
    index += best.length;
  }
  return found;
}

/** Lines that say something: what every file has, an import or a closing bracket, does not count. */
function meaningful(text: string): Line[] {
  return text
    .replace(/^(?:import|export)\b[^;{}=()]*\{[^{}]*\}\s*from\b/gm, (names) => names.replace(/.+/g, "import"))
    .split("\n")
    .map((line, at) => ({ at, text: line.trim().replace(/\s+/g, " ") }))
    .filter((line) => /\w{2}/.test(line.text) && !/^(?:import\b|export \*|\/\/|\/?\*)/.test(line.text));
}

function window(lines: readonly Line[], index: number, length: number): string {
  return lines.slice(index, index + length).map((line) => line.text).join("\n");
}

function run(ours: readonly Line[], at: number, theirs: readonly Line[], there: number): number {
  let length = 0;
  while (ours[at + length] && ours[at + length]?.text === theirs[there + length]?.text) length += 1;
  return length;
}
