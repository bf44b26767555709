// Generated from the protocol's schema by `npm run gen:types`. Don't edit.

/** Major versions are compatible with themselves only; the minor rises when something is added. */
export const PROTOCOL = 1;
export const PROTOCOL_MINOR = 0;

/** Every custom request: what it takes and what it answers. */
export interface Methods {
  "krins/assign": { params: AssignParams; result: Assigned };
  "krins/task": { params: TaskParams; result: TaskStatus };
  "krins/diff": { params: DiffParams; result: DiffResult };
  "krins/apply": { params: ApplyParams; result: ApplyResult };
  "krins/undo": { params: UndoParams; result: ApplyResult };
  "krins/redo": { params: UndoParams; result: ApplyResult };
  "krins/cancel": { params: TaskParams; result: StateResult };
  "krins/discard": { params: TaskParams; result: StateResult };
  "krins/review": { params: ReviewParams; result: DiffResult };
  "krins/context": { params: AssignParams; result: ContextResult };
  "krins/status": { params: null; result: StatusResult };
}

/**
 * The closed list of error kinds.
 */
export type ErrorKind =
  | (
      | "UnknownTask"
      | "GateFailed"
      | "PolicyBlocked"
      | "LockHeld"
      | "BudgetExceeded"
      | "Overloaded"
      | "BackendUnavailable"
      | "Untrusted"
      | "Cancelled"
      | "Internal"
    )
  | "BadParams"
  | "StaleBase"
  | "Conflict"
  | "ProviderRefused"
  | "AuthFailed";

export type FileKind = "create" | "modify" | "delete" | "rename";

export type HunkVerdict = "open" | "accept" | "reject";

export type Mode = "patch" | "spec";

export type OnConflict = "refuse" | "markers";

export type Route = "buffer" | "disk";

/**
 * How far from the active file the context may reach.
 */
export type Scope = "narrow" | "normal" | "broad";

/**
 * `queued → context → asking → gating → ready | blocked | failed | cancelled → applied → undone`.
 */
export type TaskState =
  | "queued"
  | "context"
  | "asking"
  | "gating"
  | "ready"
  | "blocked"
  | "failed"
  | "cancelled"
  | "discarded"
  | "applied"
  | "undone";

export type Verdict = "pass" | "warn" | "block";

export interface AppliedFile {
  uri: string;
  route: Route;
  /**
   * Of the file or buffer as it is now, read back; null when it was deleted.
   */
  sha256?: string | null;
}

/**
 * `krins/apply` params.
 */
export interface ApplyParams {
  task?: string | null;
  /**
   * Only these hunks; without it every hunk that was not rejected.
   */
  hunks?: string[] | null;
  onConflict?: OnConflict;
  dryRun?: boolean;
  _meta?: Meta | null;
}

/**
 * `krins/apply`, `krins/undo` and `krins/redo` result.
 */
export interface ApplyResult {
  applied: AppliedFile[];
  conflicts: ConflictReport[];
  /**
   * Buffers that hold the change but are not saved.
   */
  unsaved: string[];
  /**
   * Files that somebody else changed between the plan and the write; they were not touched.
   */
  leftAlone?: LeftAlone[];
  /**
   * Applied, with something left to clean up that the next start ends.
   */
  pending?: string | null;
  /**
   * What `krins/undo` takes; null when nothing was applied.
   */
  undo?: string | null;
}

/**
 * `krins/assign`: since 1.0. Answers at once with `Assigned`; the work goes on behind it.
 */
export interface AssignParams {
  /**
   * What to change, in words.
   */
  intent: string;
  /**
   * The file the person is in.
   */
  textDocument?: TextDocument | null;
  selection?: Range | null;
  scope?: Scope;
  mode?: Mode;
  /**
   * How many variants to ask for, 1..=5.
   */
  variants?: number | null;
  budget?: Budget | null;
  agent?: string | null;
  /**
   * A client-chosen task id, which is the idempotency key: the same id twice is one task.
   */
  task?: string | null;
  /**
   * An LSP progress token (string or integer).
   */
  workDoneToken?: unknown;
  _meta?: Meta | null;
}

export interface Assigned {
  task: string;
  state: TaskState;
  /**
   * True when the id was known already and no new work was started.
   */
  deduplicated: boolean;
}

export interface BaseFile {
  uri: string;
  /**
   * The open document's version; null for a file read from disk.
   */
  version?: number | null;
  /**
   * Hex; null for a file that does not exist yet.
   */
  sha256?: string | null;
}

export interface Budget {
  /**
   * The most tokens of context that may be sent.
   */
  tokens?: number | null;
  /**
   * The most money the task may cost, in millionths of a US dollar.
   */
  micros?: number | null;
}

export interface CheckRun {
  check: string;
  verdict: Verdict;
  millis: number;
}

export interface ConflictReport {
  uri: string;
  /**
   * In the text as it is now.
   */
  range: Range;
  ours: string;
  theirs: string;
  base: string;
}

export interface ContextItem {
  uri: string;
  /**
   * 1-based inclusive lines that are sent.
   */
  ranges: [number, number][];
  reason: string;
  tokens: number;
}

/**
 * `krins/context` result: what would be sent, without sending.
 */
export interface ContextResult {
  items: ContextItem[];
  /**
   * Candidates that did not fit, best first.
   */
  pruned: string[];
  tokens: number;
  estimate: Estimate;
}

/**
 * `krins/diff` params.
 */
export interface DiffParams {
  task?: string | null;
  /**
   * Wait until the task stops running.
   */
  wait?: boolean;
  _meta?: Meta | null;
}

/**
 * `krins/diff` result.
 */
export interface DiffResult {
  task: string;
  state: TaskState;
  base: BaseFile[];
  /**
   * The canonical unified diff.
   */
  patch: string;
  files: FileDiff[];
  gate: GateReport;
  /**
   * At most three.
   */
  why: Why[];
  usage: Usage;
  /**
   * Millionths of a US dollar; null when the model's price is not known.
   */
  cost?: number | null;
  /**
   * `provider/model`.
   */
  model: string;
  /**
   * True when the answer came from the cache, without a model call.
   */
  cached: boolean;
  /**
   * The task's `traceparent`.
   */
  trace?: string | null;
}

/**
 * An error as it leaves any door: what happened and to which file, plus `ErrorData`.
 */
export interface ErrorReport {
  message: string;
  kind: ErrorKind;
  retryable: boolean;
  /**
   * The cause chain, outermost first, one line.
   */
  detail?: string | null;
  /**
   * What the person can do about it.
   */
  hint?: string | null;
}

export interface Estimate {
  /**
   * Millionths of a US dollar; null when the model's price is not known.
   */
  micros?: number | null;
}

export interface FileDiff {
  uri: string;
  kind: FileKind;
  /**
   * Where a renamed file was.
   */
  from?: string | null;
  hunks: Hunk[];
}

/**
 * One thing a gate check found.
 */
export interface Finding {
  /**
   * A stable rule id such as `syntax/new-error` or `secrets/aws-access-key`.
   */
  rule: string;
  verdict: Verdict;
  /**
   * Relative to the root, with `/`.
   */
  path: string;
  /**
   * 1-based inclusive lines of the patched text.
   *
   * @minItems 2
   * @maxItems 2
   */
  lines?: [number, number] | null;
  message: string;
  fix?: string | null;
  link?: string | null;
}

/**
 * The gate's verdict on one patch under one policy.
 */
export interface GateReport {
  verdict: Verdict;
  /**
   * sha256 of the canonical patch the report is about, hex.
   */
  patch: string;
  /**
   * sha256 of the policy it was judged by, hex.
   */
  policy: string;
  checks: CheckRun[];
  findings: Finding[];
}

export interface Hunk {
  /**
   * Stable within the task: `h1`, `h2`, … in patch order.
   */
  id: string;
  /**
   * Where the hunk is in the base text.
   */
  range: Range;
  /**
   * The `@@ … @@` line.
   */
  header: string;
  /**
   * The body, each with its ` `, `+` or `-` mark, without line ends.
   */
  lines: string[];
  verdict: HunkVerdict;
}

export interface IndexStatus {
  files: number;
  symbols: number;
  ready: boolean;
}

/**
 * A file that an apply left as it found it.
 */
export interface LeftAlone {
  uri: string;
  /**
   * Where the content is kept that it would have got.
   */
  kept?: string | null;
}

/**
 * W3C trace context carried in a request.
 */
export interface Meta {
  traceparent?: string | null;
  tracestate?: string | null;
}

/**
 * A zero-based position; `character` counts units of the negotiated position encoding.
 */
export interface Position {
  line: number;
  character: number;
}

/**
 * A half-open range.
 */
export interface Range {
  start: Position;
  end: Position;
}

/**
 * `krins/review` params.
 */
export interface ReviewParams {
  task?: string | null;
  hunk: string;
  verdict: HunkVerdict;
}

export interface StateResult {
  task: string;
  state: TaskState;
}

/**
 * `krins/status` result.
 */
export interface StatusResult {
  version: string;
  provider: string;
  model: string;
  running: number;
  cacheHits: number;
  cacheMisses: number;
  index: IndexStatus;
}

/**
 * Names a task: `krins/task`, `krins/cancel`, `krins/discard`.
 */
export interface TaskParams {
  /**
   * The task's id; without one, the newest task.
   */
  task?: string | null;
}

/**
 * `krins/task` result and the params of `krins/task/didChange`.
 */
export interface TaskStatus {
  task: string;
  state: TaskState;
  /**
   * Strictly rising per task.
   */
  seq: number;
  intent: string;
  /**
   * What is being done now, for a person.
   */
  progress?: string | null;
  gate?: GateReport | null;
  usage?: Usage | null;
  error?: ErrorReport | null;
}

export interface TextDocument {
  uri: string;
}

/**
 * `krins/undo` and `krins/redo` params.
 */
export interface UndoParams {
  /**
   * An undo id, or a task id; without one, the last.
   */
  undo?: string | null;
  dryRun?: boolean;
}

/**
 * Tokens a model call used. Input counts are disjoint: uncached, read from the provider's cache, written to it.
 */
export interface Usage {
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens?: number;
  cacheWriteTokens?: number;
  /**
   * True when the provider sent no figures and they were estimated.
   */
  estimated?: boolean;
}

export interface Why {
  reason: string;
  /**
   * `path:line` places the reason rests on.
   */
  lines: string[];
}
