import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { app } from "../src/app.ts";

let base = "";
const server = app().listen(0, "127.0.0.1");
before(async () => {
  if (!server.listening) await new Promise((resolve) => server.once("listening", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => server.close());

const post = (body: string) => fetch(`${base}/notes`, { method: "POST", headers: { "content-type": "application/json" }, body });

test("a note is made, found, listed and removed", async () => {
  const made = await post('{"text": " buy milk "}');
  assert.equal(made.status, 201);
  const note = (await made.json()) as { id: string; text: string };
  assert.equal(note.text, "buy milk");
  assert.deepEqual(await (await fetch(`${base}/notes/${note.id}`)).json(), note);
  assert.equal(((await (await fetch(`${base}/notes`)).json()) as unknown[]).length, 1);
  assert.equal((await fetch(`${base}/notes/${note.id}`, { method: "DELETE" })).status, 204);
  assert.equal((await fetch(`${base}/notes/${note.id}`)).status, 404);
});

test("what is wrong is told as problem details", async () => {
  for (const body of ["{}", '{"text": 1}', '{"text": " "}', "not json"]) {
    const answer = await post(body);
    assert.equal(answer.status, 400, body);
    assert.match(answer.headers.get("content-type") ?? "", /^application\/problem\+json/);
  }
  assert.equal((await fetch(`${base}/nowhere`)).status, 404);
});
