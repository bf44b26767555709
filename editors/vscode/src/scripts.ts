// How a package's script is run, and what its output says about where it serves. Knows nothing of VS Code.

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
