import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { find, type Surroundings } from "../src/binary";

function around(files: string[], change: Partial<Surroundings> = {}): Surroundings {
  return {
    setting: "",
    extension: "/ext",
    path: "/usr/bin:.:relative/bin:/opt/bin",
    home: "/home/me",
    windows: false,
    runnable: (file) => files.includes(file),
    ...change,
  };
}

test("the order: the extension's own, PATH, cargo's directory", () => {
  const all = ["/ext/bin/krins", "/opt/bin/krins", "/home/me/.cargo/bin/krins"];
  assert.deepEqual(find(around(all)), { program: "/ext/bin/krins", from: "extension" });
  assert.deepEqual(find(around(all.slice(1))), { program: "/opt/bin/krins", from: "PATH" });
  assert.deepEqual(find(around(all.slice(2))), { program: "/home/me/.cargo/bin/krins", from: "cargo" });
});

test("a setting that leads nowhere is an error, not a fallback", () => {
  assert.deepEqual(find(around(["/opt/bin/krins"], { setting: "/nowhere/krins" })), { tried: ["/nowhere/krins"] });
});

test("a setting may be a path, start at home, or be a name on PATH", () => {
  assert.deepEqual(find(around(["/a/krins"], { setting: " /a/krins " })), { program: "/a/krins", from: "setting" });
  assert.deepEqual(find(around(["/home/me/k"], { setting: "~/k" })), { program: "/home/me/k", from: "setting" });
  assert.deepEqual(find(around(["/opt/bin/k2"], { setting: "k2" })), { program: "/opt/bin/k2", from: "setting" });
});

test("nothing relative is ever run: it could come from the workspace", () => {
  const planted = ["krins", "./krins", join("relative/bin", "krins"), "bin/krins"];
  assert.ok("tried" in find(around(planted)));
  assert.ok("tried" in find(around(planted, { setting: "bin/krins" })));
});
