import express, { type Express } from "express";
import { Notes } from "./notes.ts";
import { Problem, problems } from "./problem.ts";

const LONGEST = 10_000;

export function app(notes = new Notes()): Express {
  const app = express();
  app.disable("x-powered-by");
  app.use(express.json({ limit: "64kb" }));

  app.get("/notes", (_request, response) => {
    response.json(notes.all());
  });

  app.post("/notes", (request, response) => {
    response.status(201).json(notes.add(textOf(request.body)));
  });

  app.get("/notes/:id", (request, response) => {
    const note = notes.find(request.params.id);
    if (!note) throw new Problem(404, "no such note");
    response.json(note);
  });

  app.delete("/notes/:id", (request, response) => {
    if (!notes.remove(request.params.id)) throw new Problem(404, "no such note");
    response.status(204).end();
  });

  app.use(() => {
    throw new Problem(404, "no such address");
  });
  app.use(problems);
  return app;
}

function textOf(body: unknown): string {
  const { text } = (body ?? {}) as { text?: unknown };
  if (typeof text !== "string" || text.trim() === "") throw new Problem(400, "text is missing");
  if (text.length > LONGEST) throw new Problem(400, `text is longer than ${LONGEST} characters`);
  return text.trim();
}
