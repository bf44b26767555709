import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

export interface Todo {
  id: string;
  title: string;
  done: boolean;
}

const LONGEST = 200;

/** Every todo, the oldest first. */
export async function all(): Promise<Todo[]> {
  try {
    return JSON.parse(await readFile(file(), "utf8")) as Todo[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Adds a todo; a title of blanks adds none. */
export async function add(title: string): Promise<void> {
  const text = title.trim().slice(0, LONGEST);
  if (text === "") return;
  await change((todos) => [...todos, { id: randomUUID(), title: text, done: false }]);
}

export async function toggle(id: string): Promise<void> {
  await change((todos) => todos.map((todo) => (todo.id === id ? { ...todo, done: !todo.done } : todo)));
}

export async function remove(id: string): Promise<void> {
  await change((todos) => todos.filter((todo) => todo.id !== id));
}

let turn: Promise<unknown> = Promise.resolve();

/** One change after the other; the file is replaced as a whole. */
function change(make: (todos: Todo[]) => Todo[]): Promise<void> {
  const mine = turn.then(async () => {
    const path = file();
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.new`, JSON.stringify(make(await all()), null, 2));
    await rename(`${path}.new`, path);
  });
  turn = mine.catch(() => undefined);
  return mine;
}

function file(): string {
  return process.env.TODOS ?? "data/todos.json";
}
