// What the gate's panel and the extension tell each other.

import type { CheckRun, CommandRun, Finding, FixRound, TaskState, Verdict, Waived } from "../protocol";

/** One check as the panel draws it; `running` and `waiting` only while the gate is at work. */
export interface Check {
  check: string;
  state: Verdict | "running" | "waiting";
  millis: number | undefined;
}

export interface GateView {
  task: string;
  intent: string;
  state: TaskState;
  /** Nobody has decided yet. */
  waiting: boolean;
  /** Why it failed, or why a mend came to nothing. */
  error: string | undefined;
  progress: string | undefined;
  verdict: Verdict | undefined;
  checks: Check[];
  findings: Finding[];
  waived: Waived[];
  runs: CommandRun[];
  rounds: FixRound[];
  /** A model can be asked to mend it. */
  fixable: boolean;
}

export type ToPanel = { type: "show"; view: GateView | undefined };

export type FromPanel =
  | { type: "ready" }
  | { type: "open"; path: string; line: number }
  | { type: "waive"; rule: string; path: string }
  | { type: "link"; link: string }
  | { type: "fix" | "again" | "review" | "cancel"; task: string };

export type { CheckRun };
