import { app } from "./app.ts";

const port = Number(process.env.PORT ?? 3000);

const server = app().listen(port, process.env.HOST ?? "127.0.0.1", (error?: Error) => {
  if (error) throw error;
  console.log(`http://localhost:${port}/notes`);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => server.close());
}
