import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Mismatch, part, patched, size, title, unmarked, unmerged } from "../src/patch";
import type { FileDiff, Hunk } from "../src/protocol";

/** Hunks of one file of a unified diff, as the server sends them. */
function hunks(diff: string): Hunk[] {
  const found: Hunk[] = [];
  for (const line of diff.split("\n")) {
    if (line.startsWith("@@")) {
      found.push({ id: `h${found.length + 1}`, header: line, lines: [], verdict: "open", range: { start: { line: 0, character: 0 }, end: { line: 0, character: 0 } } });
    } else if (line !== "") found.at(-1)?.lines.push(line);
  }
  return found;
}

test("a change, an insertion and a deletion in one file", () => {
  const base = "a\nb\nc\nd\ne\n";
  assert.equal(patched(base, hunks("@@ -1,2 +1,2 @@\n-a\n+A\n b\n@@ -3,0 +4 @@\n+x\n@@ -5 +5,0 @@\n-e")), "A\nb\nc\nx\nd\n");
});

test("every line keeps its own end, and a new line takes its neighbour's", () => {
  assert.equal(patched("a\r\nb\nc\r\n", hunks("@@ -1,3 +1,4 @@\n-a\n+A\n+A2\n b\n c")), "A\r\nA2\r\nb\nc\r\n");
  assert.equal(patched("a\r\nb\nc\n", hunks("@@ -1,3 +1,4 @@\n a\n-b\n+B\n+B2\n c")), "a\r\nB\nB2\nc\n");
  assert.equal(patched("a\r\nb\r\n", hunks("@@ -1,2 +1,2 @@\n a\r\n-b\r\n+B\r")), "a\r\nB\r\n");
});

test("a missing last newline stays missing, comes, and goes", () => {
  const bare = "\\ No newline at end of file";
  assert.equal(patched("a\nb", hunks(`@@ -1,2 +1,2 @@\n a\n-b\n${bare}\n+c\n${bare}`)), "a\nc");
  assert.equal(patched("a\nb", hunks(`@@ -1,2 +1,2 @@\n a\n-b\n${bare}\n+c`)), "a\nc\n");
  assert.equal(patched("a\nb\n", hunks(`@@ -1,2 +1,2 @@\n a\n-b\n+c\n${bare}`)), "a\nc");
  assert.equal(patched("a\nb", hunks("@@ -1,2 +1,2 @@\n a\n-b\n+c")), "a\nc");
  assert.equal(patched("a\nb", hunks(`@@ -1,2 +1,2 @@\n-a\n+A\n b\n${bare}`)), "A\nb");
});

test("a new file, an emptied file", () => {
  assert.equal(patched("", hunks("@@ -0,0 +1,2 @@\n+a\n+b")), "a\nb\n");
  assert.equal(patched("a\nb\n", hunks("@@ -1,2 +0,0 @@\n-a\n-b")), "");
});

test("empty lines and lines of only a mark", () => {
  assert.equal(patched("\n\na\n", [{ ...hunks("@@ -1,3 +1,3 @@")[0]!, lines: [" ", "-", "+b", " a"] }]), "\nb\na\n");
});

test("hunks that do not fit are refused", () => {
  assert.throws(() => patched("a\n", hunks("@@ -1 +1 @@\n-b\n+c")), Mismatch);
  assert.throws(() => patched("a\n", hunks("@@ -9 +9 @@\n-a\n+c")), Mismatch);
  assert.throws(() => patched("a\nb\n", hunks("@@ -2 +2 @@\n-b\n+c\n@@ -1 +1 @@\n-a\n+d")), Mismatch);
  assert.throws(() => patched("a\n", hunks("@@ nonsense @@\n-a")), Mismatch);
});

test("what a list says of a hunk", () => {
  const [hunk] = hunks("@@ -1,2 +1,3 @@ function total()\n a\n-b\n+c\n+d");
  assert.deepEqual(size([hunk!]), { added: 2, removed: 1 });
  assert.equal(title(hunk!), "function total()");
  assert.equal(title({ ...hunk!, header: "@@ -1,2 +1,3 @@" }), "c");
});

test("a change made by hand over nine real files, one of them with CRLF, one without a last newline", () => {
  const fixtures = join(__dirname, "../../../../fixtures");
  const diff = readFileSync(join(fixtures, "todo-app.rename.diff"), "utf8");
  const files = diff.split(/^--- a\//m).slice(1);
  assert.equal(files.length, 9);
  for (const file of files) {
    const path = file.slice(0, file.indexOf("\n"));
    const base = readFileSync(join(fixtures, "todo-app", path), "utf8");
    const body = file.slice(file.indexOf("\n@@") + 1);
    const after = patched(base, hunks(body));
    assert.notEqual(after, base, path);
    // Turned round, the same hunks give the base back to the byte.
    const back = hunks(body).map((hunk) => ({
      ...hunk,
      header: hunk.header.replace(/-(\S+) \+(\S+)/, "-$2 +$1"),
      lines: hunk.lines.map((line) => line.replace(/^[+-]/, (mark) => (mark === "+" ? "-" : "+"))),
    }));
    assert.equal(patched(after, back), base, path);
  }
});

test("a part of a patch is a patch: its places are those of what is kept", () => {
  const body = (path: string, text: string) => `diff --git a/${path} b/${path}\nindex 1..2 100644\n--- a/${path}\n+++ b/${path}\n${text}`;
  // A line of code that looks like a head, behind a line end that is none of a patch.
  const texts = ["@@ -1 +1,3 @@\n-a\n+A\n+A2\n+A3\n@@ -3 +5 @@ c\n-c\n+C\n@@ -5 +7 @@\n-e\n+E \u2028@@ -1 +1 @@\n", "@@ -1 +1 @@\n-x\n+y\n"];
  const files = texts.map((text, index): FileDiff => ({ uri: `file:///${index}`, kind: "modify", hunks: hunks(text).map((hunk, at) => ({ ...hunk, id: `${index}.${at}` })) }));
  const whole = body("a.ts", texts[0]!) + body("b.ts", texts[1]!);
  const bare = (text: string) => text.replaceAll("index 1..2 100644\n", "");
  assert.equal(part(whole, files, () => true), bare(whole));
  const kept = part(whole, files, ({ id }) => id === "0.1" || id === "0.2");
  assert.equal(kept, bare(body("a.ts", "@@ -3 +3 @@ c\n-c\n+C\n@@ -5 +5 @@\n-e\n+E \u2028@@ -1 +1 @@\n")));
  assert.equal(part(whole, files, () => false), "");
});

test("a merge begins from what was asked for: the marked places, in three texts", () => {
  const clash = { base: "b\n", ours: "mine\n", theirs: "theirs" };
  const marked = "a\r\n<<<<<<< yours\nmine\n=======\ntheirs\n>>>>>>> krins\nc\r\n";
  assert.deepEqual(unmarked(marked, [clash]), { base: "a\nb\nc\n", ours: "a\nmine\nc\n", theirs: "a\ntheirs\nc\n" });
  assert.equal(unmarked(marked, [clash, clash]), undefined);
  assert.equal(unmarked(marked.replace("mine", "else"), [clash]), undefined);
});

test("where nothing could be written, the places of the file as it is, or nothing", () => {
  const at = (start: number, end: number) => ({ start: { line: start, character: 0 }, end: { line: end, character: 0 } });
  const now = "a\nmine\nc\nd\n";
  const first = { base: "new\n", ours: "mine\n", theirs: "old\n", range: at(1, 2) };
  // Nothing is there any more, behind line 3.
  const gone = { base: "x\n", ours: "", theirs: "y\n", range: at(2, 3) };
  assert.deepEqual(unmerged(now, [first, gone]), { base: "a\nnew\nc\nx\nd\n", ours: now, theirs: "a\nold\nc\ny\nd\n" });
  assert.equal(unmerged("b\n" + now, [first]), undefined);
  assert.equal(unmerged(now, [{ ...gone, range: at(0, 1) }]), undefined);
});
