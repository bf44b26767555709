import { randomUUID } from "node:crypto";

export interface Note {
  id: string;
  text: string;
  created: string;
}

/** Notes in memory; a database takes its place behind the same four methods. */
export class Notes {
  readonly #notes = new Map<string, Note>();

  all(): Note[] {
    return [...this.#notes.values()];
  }

  find(id: string): Note | undefined {
    return this.#notes.get(id);
  }

  add(text: string): Note {
    const note = { id: randomUUID(), text, created: new Date().toISOString() };
    this.#notes.set(note.id, note);
    return note;
  }

  remove(id: string): boolean {
    return this.#notes.delete(id);
  }
}
