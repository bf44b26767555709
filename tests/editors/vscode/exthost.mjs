// Tests inside VS Code's extension host: `node exthost.mjs`. The browser only holds the window; host/index.cjs is what runs there.

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { start, until } from "./driver.mjs";

const tests = fileURLToPath(new URL("exthost/index.cjs", import.meta.url));
const remote = (port, path) => `vscode-remote://127.0.0.1:${port}${path}`;
const vscode = await start({
  direct: true,
  query: (port) => `&payload=${encodeURIComponent(JSON.stringify([["extensionDevelopmentPath", remote(port, process.env.EXTENSION)], ["extensionTestsPath", remote(port, tests)]]))}`,
});
let said = "";
try {
  await until("the verdict", () => existsSync(vscode.verdict) && (said = readFileSync(vscode.verdict, "utf8")).includes("# broken"), 240_000);
} catch (error) {
  said += `not ok - ${error.message}\n`;
  await vscode.shot("exthost");
} finally {
  await vscode.stop();
}
process.stdout.write(said);
process.exit(/^# broken 0$/m.test(said) && !/^not ok/m.test(said) ? 0 : 1);
