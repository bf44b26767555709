import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Mismatch, patched, size, title } from "../src/patch";
import type { Hunk } from "../src/protocol";

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
