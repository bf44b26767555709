// Tests inside VS Code's extension host: `node exthost.mjs`. The browser only holds the window; host/index.cjs is what runs there.

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { start, until } from "./driver.mjs";
import { model } from "./model.mjs";

const tests = fileURLToPath(new URL("exthost/index.cjs", import.meta.url));
const remote = (port, path) => `vscode-remote://127.0.0.1:${port}${path}`;
/** A project whose script serves, and leaves a process behind that does not end when it is asked to. */
const PROJECT = {
  "package.json": JSON.stringify({ name: "todo-app", private: true, type: "module", scripts: { dev: "node serve.mjs" } }),
  "serve.mjs": `import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
const stubborn = spawn(process.execPath, ["-e", "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)"], { stdio: "inherit" });
createServer((_, response) => response.end("here")).listen(0, "127.0.0.1", function () {
  writeFileSync(process.env.KRINS_TEST_OUT + ".pids", process.pid + " " + stubborn.pid);
  console.log("serving on http://127.0.0.1:" + this.address().port + "/ ");
});
`,
  "src/left.ts": "export function leftOver(): number {\n  return 1;\n}\nexport const taken = 2;\n",
  "src/right.ts": 'import { taken } from "./left";\nexport const twice = taken * 2;\n',
};
const answering = await model();
const vscode = await start({
  direct: true,
  config: answering.config,
  files: PROJECT,
  query: (port) => `&payload=${encodeURIComponent(JSON.stringify([["extensionDevelopmentPath", remote(port, process.env.EXTENSION)], ["extensionTestsPath", remote(port, tests)]]))}`,
});
let said = "";
try {
  await until("the verdict", () => existsSync(vscode.verdict) && (said = readFileSync(vscode.verdict, "utf8")).includes("# broken"), Number(process.env.PATIENCE ?? 300_000));
} catch (error) {
  said += `not ok - ${error.message}\n`;
  await vscode.shot("exthost");
} finally {
  await vscode.stop();
  answering.stop();
}
process.stdout.write(said);
process.exit(/^# broken 0$/m.test(said) && !/^not ok/m.test(said) ? 0 : 1);
