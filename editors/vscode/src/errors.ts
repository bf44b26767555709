// What a failed request says to a person. Knows nothing of VS Code.

import type { ErrorKind } from "./protocol";

export interface Failure {
  /** `undefined` when the server did not answer at all. */
  kind: ErrorKind | undefined;
  message: string;
  hint: string | undefined;
  detail: string | undefined;
  /** The server went away before it answered. */
  gone: boolean;
}

interface Data {
  kind?: ErrorKind;
  hint?: string | null;
  detail?: string | null;
}

const CANCELLED = -32800;
/** What the client answers in the server's place: the connection was closed, or never was open. */
const GONE: readonly unknown[] = [-32096, -32097, -32099];

export function failure(error: unknown): Failure {
  const { message, code, data } = error as { message?: unknown; code?: unknown; data?: unknown };
  const { kind, hint, detail } = (typeof data === "object" && data !== null ? data : {}) as Data;
  return {
    kind: kind ?? (code === CANCELLED ? "Cancelled" : undefined),
    message: typeof message === "string" && message !== "" ? message : String(error),
    hint: hint ?? undefined,
    detail: detail ?? undefined,
    gone: kind === undefined && GONE.includes(code),
  };
}

/** One paragraph: what happened, then what to do. */
export function sentence({ message, hint }: Failure): string {
  const what = message.charAt(0).toUpperCase() + message.slice(1);
  return hint ? `${what.replace(/[.\s]+$/, "")}. ${hint.charAt(0).toUpperCase()}${hint.slice(1)}` : what;
}
