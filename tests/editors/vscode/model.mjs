// A model on loopback for the tests, which speaks as OpenAI's Chat Completions do. What it answers hangs on the words of the task:
// "hang" never ends, "take any certificate" brings a weakness, anything else a change that is all right.

import { createServer } from "node:http";

const block = (path, search, replace) => `${path}\n<<<<<<< SEARCH\n${search}\n=======\n${replace}\n>>>>>>> REPLACE\n`;
const LINE = "/** Todos as lines of text. */";

const ANSWERS = [
  { words: /take any certificate/, text: block("src/format.ts", LINE, `${LINE}\nprocess.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";`) },
  { words: /./, text: block("src/format.ts", LINE, "/** Todos as lines of text, for people. */") },
];

export async function model() {
  const waiting = new Set();
  let gone = 0;
  let calls = 0;
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (bytes) => (body += bytes));
    request.on("end", () => {
      calls += 1;
      response.writeHead(200, { "content-type": "text/event-stream" });
      const chunk = (delta, reason = null) => `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta, finish_reason: reason }] })}\n\n`;
      response.write(chunk({ role: "assistant", content: "Sure.\n\n" }));
      if (/please hang/.test(body)) {
        waiting.add(response);
        response.on("close", () => (gone += 1));
        return;
      }
      const { text } = ANSWERS.find(({ words }) => words.test(body));
      response.end(`${chunk({ content: text })}${chunk({}, "stop")}data: [DONE]\n\n`);
    });
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  return {
    config: `[providers.local]\nkind = "openai-chat"\nbase_url = "http://127.0.0.1:${port}/v1"\nmodel = "m"\nkey = "none"\nfirst_token_seconds = 60\nidle_seconds = 120\ntotal_seconds = 200\n`,
    /** Every question that came here, of whatever kind. */
    calls: () => calls,
    asked: () => waiting.size,
    gone: () => gone,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
