// What of VS Code's proxy and certificate settings the server is told. Knows nothing of VS Code.

export interface Network {
  /** `http.proxy`, and whether `http.proxySupport` lets it be used. */
  proxy: string;
  support: string;
  /** `http.noProxy`. */
  noProxy: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The server's environment: ours, then VS Code's proxy where no variable names one, then keys that the person stored, then what
 * `krins.server.env` says, which wins.
 */
export function serverEnvironment(own: Environment, network: Network, keys: Readonly<Record<string, string>>, wished: Readonly<Record<string, string>>): Record<string, string> {
  const has = (name: string) => Boolean(own[name] || own[name.toLowerCase()]);
  const told: Record<string, string> = {};
  if (network.support !== "off" && network.proxy !== "") {
    for (const name of ["HTTPS_PROXY", "HTTP_PROXY"]) if (!has(name)) told[name] = network.proxy;
    if (network.noProxy.length > 0 && !has("NO_PROXY")) told.NO_PROXY = network.noProxy.join(",");
  }
  // Node's own way to name more certificates, which people in companies have set already.
  if (own.NODE_EXTRA_CA_CERTS && !own.KRINS_HTTP_EXTRA_CA) told.KRINS_HTTP_EXTRA_CA = own.NODE_EXTRA_CA_CERTS;
  const known = Object.fromEntries(Object.entries(own).filter((entry): entry is [string, string] => entry[1] !== undefined));
  // A variable that is set wins over a key that was stored: who exports one means that one.
  const stored = Object.fromEntries(Object.entries(keys).filter(([name]) => !own[name]));
  return { ...known, ...told, ...stored, ...wished };
}

/** The server's settings that VS Code's settings hold; what is empty is left to the server's own files. */
export function serverSettings(get: (key: string) => unknown): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const key of ["provider", "model"]) {
    const value = get(key);
    if (typeof value === "string" && value.trim() !== "") settings[key] = value.trim();
  }
  const day = get("budget.microsPerDay");
  if (typeof day === "number") settings.budget = { micros_per_day: day };
  return settings;
}
