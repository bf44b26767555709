// Which of a package's scripts are offered, how one is run, and what its output says about where it serves. Knows nothing of VS Code.

export interface Script {
  name: string;
  /** All that it runs, when what it does leaves the machine. */
  leaves?: string;
}

/** What runs here, and then what deploys: with its own command and those that a manager runs before and after it. */
export function scriptsOf(manifest: string): Script[] {
  const { scripts } = JSON.parse(manifest) as { scripts?: Record<string, unknown> };
  const command = (name: string) => (typeof scripts?.[name] === "string" ? scripts[name] : undefined);
  const here = ["dev", "start", "preview", "serve", "build", "test"].filter((name) => command(name) !== undefined);
  const away = ["preview:deploy", "deploy:preview", "deploy"].filter((name) => command(name) !== undefined);
  const whole = (name: string) => [`pre${name}`, name, `post${name}`].flatMap((each) => seen(command(each)) ?? []).join("\n");
  return [...here.map((name) => ({ name })), ...away.map((name) => ({ name, leaves: whole(name) }))];
}

/** What nobody would see of it is spelled out. */
function seen(command: string | undefined): string | undefined {
  return command?.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (hidden) => `\\u{${hidden.codePointAt(0)!.toString(16)}}`);
}

/** The commands that install what is missing and run the script, by the lock file that is there. */
export function runner(names: readonly string[], script: string): string[][] {
  const has = (name: string) => names.includes(name);
  const [manager, install] = has("pnpm-lock.yaml")
    ? ["pnpm", ["install", "--frozen-lockfile"]]
    : has("yarn.lock")
      ? ["yarn", ["install", "--immutable"]]
      : has("bun.lock") || has("bun.lockb")
        ? ["bun", ["install", "--frozen-lockfile"]]
        : ["npm", [has("package-lock.json") ? "ci" : "install"]];
  return [...(has("node_modules") ? [] : [[manager as string, ...(install as string[])]]), [manager as string, "run", script]];
}

/** The first address of this machine in a text, colours left out; only one that a blank or a line's end follows is whole. */
export function address(text: string): string | undefined {
  const plain = text.replace(/\x1b\[[0-9;]*m/g, "");
  const match = /\bhttps?:\/\/(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])(?::\d{1,5})?(?:\/[\w\-./~%?=&]*)?(?=[\s'",)])/.exec(plain);
  return match?.[0].replace(/\/\/(?:0\.0\.0\.0|\[::\])/, "//localhost");
}
