import { all } from "../lib/todos";
import { addTodo, removeTodo, toggleTodo } from "./actions";

// The list is read anew for every visit.
export const dynamic = "force-dynamic";

export default async function Page() {
  const todos = await all();
  const open = todos.filter((todo) => !todo.done).length;
  return (
    <main>
      <h1>Todos</h1>
      <form action={addTodo}>
        <label htmlFor="title">What is there to do?</label>
        <input id="title" name="title" maxLength={200} required autoComplete="off" />
        <button type="submit">Add</button>
      </form>
      <p role="status">{todos.length === 0 ? "Nothing yet." : `${open} of ${todos.length} open`}</p>
      <ul>
        {todos.map((todo) => (
          <li key={todo.id}>
            <form action={toggleTodo}>
              <input type="hidden" name="id" value={todo.id} />
              <button type="submit" aria-pressed={todo.done}>
                {todo.done ? <s>{todo.title}</s> : todo.title}
              </button>
            </form>
            <form action={removeTodo}>
              <input type="hidden" name="id" value={todo.id} />
              <button type="submit" aria-label={`Remove ${todo.title}`}>
                ×
              </button>
            </form>
          </li>
        ))}
      </ul>
    </main>
  );
}
