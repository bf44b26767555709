import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { add, all, remove, toggle } from "../lib/todos.ts";

const dir = mkdtempSync(join(tmpdir(), "todos-"));
process.env.TODOS = join(dir, "data/todos.json");
after(() => rmSync(dir, { recursive: true, force: true }));

test("todos are added, done and removed, also several at once", async () => {
  assert.deepEqual(await all(), []);
  await Promise.all([add(" one "), add("two"), add("   ")]);
  const [one, two] = await all();
  assert.deepEqual([one?.title, two?.title, one?.done], ["one", "two", false]);
  await toggle(one!.id);
  assert.equal((await all())[0]?.done, true);
  await remove(one!.id);
  assert.deepEqual((await all()).map(({ title }) => title), ["two"]);
});
