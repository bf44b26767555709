// Keys of providers, kept by VS Code's secret storage (the system's keyring) and given to the server in its environment. They are
// in no setting, no file of a workspace and no log.

import type * as vscode from "vscode";

export interface Provider {
  /** As the setting `krins.provider` names it. */
  name: string;
  label: string;
  /** The variable that its key is read from; none for who needs no key. */
  variable?: string;
  detail: string;
}

export const PROVIDERS: readonly Provider[] = [
  { name: "builtin", label: "No model", detail: "renames, moves, unused imports, default exports: exact, offline, no key" },
  { name: "anthropic", label: "Anthropic", variable: "ANTHROPIC_API_KEY", detail: "needs an API key" },
  { name: "openai", label: "OpenAI", variable: "OPENAI_API_KEY", detail: "needs an API key" },
  { name: "gemini", label: "Google Gemini", variable: "GEMINI_API_KEY", detail: "needs an API key" },
  { name: "ollama", label: "Ollama", detail: "models on this machine, no key" },
];

const prefix = "krins.key.";

export async function storedKeys(secrets: vscode.SecretStorage): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const { variable } of PROVIDERS) {
    const key = variable && (await secrets.get(prefix + variable));
    if (variable && key) found[variable] = key;
  }
  return found;
}

export async function storeKey(secrets: vscode.SecretStorage, variable: string, key: string | undefined): Promise<void> {
  if (key) await secrets.store(prefix + variable, key);
  else await secrets.delete(prefix + variable);
}
