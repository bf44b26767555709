import { app } from "./app.ts";

const port = Number(process.env.PORT ?? 3000);

const server = app().listen(port, () => {
  console.log(`http://localhost:${port}/notes`);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => server.close());
}
