// Where the server's program is. Knows nothing of VS Code.

import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";

export interface Surroundings {
  /** The person's setting; empty when there is none. */
  setting: string;
  /** Where the extension is installed. */
  extension: string;
  path: string;
  home: string;
  windows: boolean;
  runnable(file: string): boolean;
}

export type Found = { program: string; from: "setting" | "extension" | "PATH" | "cargo" } | { tried: string[] };

/** The setting wins and has no fallback: a person who names a program wants that one or an error. */
export function find(around: Surroundings): Found {
  const name = around.windows ? "krins.exe" : "krins";
  const setting = around.setting.trim();
  if (setting !== "") {
    const asked = setting.replace(/^~(?=[\\/])/, around.home);
    const programs = isAbsolute(asked) ? [asked] : onPath(around, around.windows && !/\.exe$/i.test(asked) ? `${asked}.exe` : asked);
    const program = programs.find(around.runnable);
    return program ? { program, from: "setting" } : { tried: programs.length > 0 ? programs : [asked] };
  }
  const bundled = join(around.extension, "bin", name);
  if (around.runnable(bundled)) return { program: bundled, from: "extension" };
  const listed = onPath(around, name);
  const program = listed.find(around.runnable);
  if (program) return { program, from: "PATH" };
  // An editor started from a desktop often has not got the shell's PATH.
  const cargo = join(around.home, ".cargo", "bin", name);
  if (around.runnable(cargo)) return { program: cargo, from: "cargo" };
  return { tried: [bundled, ...listed, cargo] };
}

/** Relative entries of PATH are left out: they would run a program from the workspace. A name with a separator is not looked up. */
function onPath({ path, windows }: Surroundings, name: string): string[] {
  if (name.includes("/") || (windows && name.includes("\\"))) return [];
  return path
    .split(delimiter)
    .filter((directory) => isAbsolute(directory))
    .map((directory) => join(directory, name));
}

export function surroundings(setting: string, extension: string): Surroundings {
  return {
    setting,
    extension,
    path: process.env.PATH ?? "",
    home: homedir(),
    windows: process.platform === "win32",
    runnable(file) {
      try {
        accessSync(file, constants.X_OK);
        return statSync(file).isFile();
      } catch {
        return false;
      }
    },
  };
}
