// Generated from the protocol's schema by `npm run gen:types`. Don't edit.

/** Major versions are compatible with themselves only; the minor rises when something is added. */
export const PROTOCOL = 1;
export const PROTOCOL_MINOR = 1;

/** Every custom request: what it takes and what it answers. */
export interface Methods {
  "krins/assign": { params: AssignParams; result: Assigned };
  "krins/task": { params: TaskParams; result: TaskStatus };
  "krins/tasks": { params: TasksParams; result: TasksResult };
  "krins/waive": { params: WaiveParams; result: DiffResult };
  "krins/diff": { params: DiffParams; result: DiffResult };
  "krins/gate": { params: GateParams; result: GateResult };
  "krins/apply": { params: ApplyParams; result: ApplyResult };
  "krins/undo": { params: UndoParams; result: ApplyResult };
  "krins/redo": { params: UndoParams; result: ApplyResult };
  "krins/cancel": { params: TaskParams; result: StateResult };
  "krins/discard": { params: TaskParams; result: StateResult };
  "krins/fix": { params: FixParams; result: Assigned };
  "krins/preview": { params: TaskParams; result: PreviewResult };
  "krins/promote": { params: TaskParams; result: PromoteResult };
  "krins/review": { params: ReviewParams; result: DiffResult };
  "krins/variant": { params: VariantParams; result: DiffResult };
  "krins/context": { params: AssignParams; result: ContextResult };
  "krins/graph/stats": { params: GraphParams; result: GraphStats };
  "krins/graph/module": { params: GraphParams; result: ModuleResult };
  "krins/graph/impact": { params: GraphParams; result: ImpactResult };
  "krins/graph/references": { params: GraphParams; result: ReferencesResult };
  "krins/graph/owners": { params: GraphParams; result: OwnersResult };
  "krins/graph/tests": { params: GraphParams; result: TestsResult };
  "krins/graph/path": { params: GraphParams; result: PathResult };
  "krins/graph/unused": { params: GraphParams; result: UnusedResult };
  "krins/graph/cycles": { params: GraphParams; result: CyclesResult };
  "krins/graph/pause": { params: IndexParams; result: IndexResult };
  "krins/graph/resume": { params: IndexParams; result: IndexResult };
  "krins/lock": { params: LockParams; result: FileLock };
  "krins/unlock": { params: UnlockParams; result: LocksResult };
  "krins/locks": { params: LocksParams; result: LocksResult };
  "krins/audit/verify": { params: null; result: AuditResult };
  "krins/status": { params: null; result: StatusResult };
  "krins/report": { params: ReportParams; result: Report };
  "krins/dashboard": { params: DashboardParams; result: DashboardResult };
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

/**
 * How far back it is looked.
 */
export type Period = "day" | "week" | "month";

/**
 * What a person says of one hunk.
 */
export type ReviewVerdict = ("accept" | "reject") | "open" | "edit";

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

export interface AffectedFile {
  path: string;
  uri?: string | null;
  distance: number;
  weight: number;
  uses: number;
  /**
   * Names of the declarations that are reached, at most 8.
   */
  symbols: string[];
}

/**
 * A declaration.
 */
export interface AffectedSymbol {
  /**
   * `path#Class.method`: what `targets` take.
   */
  symbol: string;
  /**
   * `Class.method`.
   */
  name: string;
  /**
   * `Function`, `Class`, `Method`, `Property`, `Interface`, `TypeAlias`, `Enum`, `Namespace`, `Variable`.
   */
  kind: string;
  path: string;
  uri?: string | null;
  /**
   * Inclusive.
   *
   * @minItems 2
   * @maxItems 2
   */
  lines: [number, number];
  range?: Range | null;
  /**
   * The declaration without its body, on one line.
   */
  signature?: string | null;
  exported: boolean;
  /**
   * Steps along uses.
   */
  distance: number;
  /**
   * How much the change is felt, 0 to 1.
   */
  weight: number;
  uses: number;
  /**
   * What it uses that is nearer to the change, and how.
   */
  because?: Because | null;
}

/**
 * One `provider/model`.
 */
export interface AgentFigures {
  route: string;
  calls: number;
  /**
   * Without an answer.
   */
  failed: number;
  tokens: Tokens;
  /**
   * `null` when the price of a call is not known.
   */
  micros?: number | null;
  /**
   * Tasks whose change it made.
   */
  patches: number;
  accepted: number;
  tokensPerPatch?: number | null;
  microsPerPatch?: number | null;
  green: Quantiles;
}

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
  /**
   * The most milliseconds to wait for files that are not read yet; without it 80 for `krins/context`, 1,500 for a task.
   */
  patience?: number | null;
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

/**
 * Something in the audit that is not as it was written.
 */
export interface AuditFinding {
  /**
   * Below the audit's directory.
   */
  file: string;
  line?: number | null;
  what: string;
}

/**
 * A record of the audit.
 */
export interface AuditLine {
  seq: number;
  /**
   * `task.gated`.
   */
  kind: string;
  /**
   * Hex.
   */
  hash: string;
}

/**
 * `krins/audit/verify` result.
 */
export interface AuditResult {
  /**
   * Nothing was changed, removed, moved or cut off.
   */
  sound: boolean;
  records: number;
  checkpoints: number;
  /**
   * Records that a checkpoint speaks for.
   */
  covered: number;
  /**
   * Records whose payload is kept, and records whose payload was erased.
   */
  kept: number;
  erased: number;
  /**
   * Bytes that a killed process left of a record.
   */
  torn: number;
  /**
   * One more for each signing key that was lost.
   */
  epochs: number;
  /**
   * The verifier key of now.
   */
  key?: string | null;
  findings: AuditFinding[];
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

export interface Because {
  symbol: string;
  /**
   * As in a reference.
   */
  kind: string;
  /**
   * Where it is used.
   */
  line: number;
}

/**
 * An hour or a day, in UTC.
 */
export interface Bucket {
  start: number;
  assigned: number;
  accepted: number;
  rejected: number;
  /**
   * Waiting, blocked or running.
   */
  open: number;
  /**
   * Failed or cancelled.
   */
  unanswered: number;
  green: Quantiles;
  tokens: Tokens;
  /**
   * Of the calls whose price is known.
   */
  micros: number;
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

/**
 * Millionths of a US dollar.
 */
export interface BudgetUse {
  /**
   * Charged, and reserved by calls that are not over.
   */
  today: number;
  /**
   * The most of a day, where there is a limit.
   */
  perDay?: number | null;
  /**
   * The most of a task, where there is a limit.
   */
  perTask?: number | null;
}

/**
 * What did not have to be asked or read again.
 */
export interface CacheFigures {
  /**
   * Tasks whose answer Krins had kept, of all that a model answered.
   */
  hits: number;
  answers: number;
  share?: number | null;
  /**
   * Of the tokens that were sent, those that a provider read from its own cache.
   */
  promptShare?: number | null;
}

/**
 * Calls over one route that ended in one way.
 */
export interface CallCount {
  /**
   * `provider/model`.
   */
  route: string;
  outcome: string;
  count: number;
}

export interface Cause {
  name: string;
  /**
   * Tasks, each once.
   */
  tasks: number;
}

/**
 * What one check of the gate said, how often.
 */
export interface CheckCount {
  check: string;
  pass: number;
  warn: number;
  block: number;
}

export interface CheckRun {
  check: string;
  verdict: Verdict;
  millis: number;
}

/**
 * A command that the gate ran.
 */
export interface CommandRun {
  check: string;
  command: string;
  /**
   * How it ended, for a person.
   */
  end: string;
  /**
   * How much of the sandbox held: `full`, `partial` or `none`.
   */
  sandbox: string;
  held: string[];
  missing: string[];
  /**
   * What held it: `bwrap`, `landlock 6`, `seccomp`.
   */
  by: string[];
  millis: number;
  note?: string | null;
}

export interface ConflictReport {
  uri: string;
  /**
   * In the text as it is now.
   */
  range: Range;
  /**
   * The hunks of the task that are in the way.
   */
  hunks?: string[];
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
  /**
   * There while not everything is read: chosen from what is.
   */
  partial?: Partial | null;
}

export interface CoveredFile {
  path: string;
  uri?: string | null;
  uses: number;
}

export interface CycleLink {
  from: string;
  to: string;
  /**
   * Of the import, in `from`.
   */
  line: number;
  kind: string;
}

/**
 * `cycles`.
 */
export interface CyclesResult {
  /**
   * Those that run first, then those that only an `import()`, then those that only types close.
   */
  cycles: GraphCycle[];
  total: number;
  truncated: boolean;
  /**
   * There while not everything is read: the answer is about what is.
   */
  partial?: Partial | null;
}

/**
 * `krins/dashboard` params.
 */
export interface DashboardParams {
  period?: Period;
  uri?: string | null;
}

/**
 * `krins/dashboard` result: one document with everything in it, for a webview.
 */
export interface DashboardResult {
  html: string;
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
   * Why this is not what was asked for: another route answered, or a cheaper model.
   */
  degraded?: string | null;
  /**
   * The task's `traceparent`.
   */
  trace?: string | null;
  /**
   * What the answer was made from.
   */
  sent?: SentFile[];
  /**
   * Files that were considered and not sent, best first, at most 50.
   */
  pruned?: string[];
  /**
   * Of an applied task, the hunks that no apply has brought.
   */
  left?: string[];
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

/**
 * What a sidecar counted since it started.
 */
export interface Figures {
  /**
   * Calls to models by how they ended: `ok`, and words of what failed.
   */
  calls: CallCount[];
  /**
   * Calls that repeated one to the same route.
   */
  repeats: number;
  /**
   * Asks that another route answered.
   */
  detours: number;
  /**
   * Half of the answers, and 95 of 100, had begun within so many milliseconds; absent while nobody answered, and when it
   * took longer than a minute.
   */
  firstWordsP50Ms?: number | null;
  firstWordsP95Ms?: number | null;
  /**
   * What calls cost, in millionths of a US dollar, and how many of them have no known price.
   */
  cost: number;
  unpriced: number;
  /**
   * Calls that a budget did not allow.
   */
  budgetStops: number;
  /**
   * Answers that the gate judged, by check.
   */
  gate: CheckCount[];
}

export interface FileDiff {
  uri: string;
  kind: FileKind;
  /**
   * Where a renamed file was.
   */
  from?: string | null;
  hunks: Hunk[];
  /**
   * By hunk of the answer; none for what was made without a model's text.
   */
  placed?: Placed[];
}

/**
 * `krins/lock` result: a lease on a file.
 */
export interface FileLock {
  uri: string;
  holder: string;
  /**
   * Whether the holder is who asks.
   */
  mine: boolean;
  /**
   * Rises with every lock that is given.
   */
  fence: number;
  /**
   * Until it ends by itself.
   */
  leftMs: number;
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
 * `krins/fix` params.
 */
export interface FixParams {
  /**
   * A task that the gate blocks; without one, the newest.
   */
  task?: string | null;
  /**
   * The most rounds, 1..=10; without it, what the settings say.
   */
  rounds?: number | null;
}

/**
 * An answer that was judged, and asked again for what the gate found; 0 is the first.
 */
export interface FixRound {
  number: number;
  /**
   * sha256 of the patch, hex.
   */
  patch: string;
  verdict: Verdict;
  /**
   * Findings that block, and their rules.
   */
  blocking: number;
  rules: string[];
  /**
   * What was sent back for this answer: the ids of the findings, as they are the fingerprints in SARIF.
   */
  sent?: string[];
  route: string;
  /**
   * Why no other was asked for.
   */
  stopped?: string | null;
}

/**
 * `krins/gate` params: a task's diff, or a patch, judged as the files are now.
 */
export interface GateParams {
  /**
   * Without it and without a patch, the newest task.
   */
  task?: string | null;
  /**
   * A unified diff, or any other form of patch that is read.
   */
  patch?: string | null;
  /**
   * A file of the workspace that the patch is for; without it, the first one.
   */
  textDocument?: TextDocument | null;
  /**
   * The answer has the report as SARIF 2.1.0 too.
   */
  sarif?: boolean;
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
  /**
   * Found, and kept out of the verdict by somebody's word.
   */
  waived?: Waived[];
  /**
   * What was run for it: commands, with what the sandbox held.
   */
  runs?: CommandRun[];
}

/**
 * `krins/gate` result.
 */
export interface GateResult {
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
  /**
   * Found, and kept out of the verdict by somebody's word.
   */
  waived?: Waived[];
  /**
   * What was run for it: commands, with what the sandbox held.
   */
  runs?: CommandRun[];
  sarif?: unknown;
}

export interface GraphCycle {
  /**
   * `static`, `lazy`, `types`.
   */
  kind: string;
  /**
   * How many files reach each other.
   */
  size: number;
  files: string[];
  /**
   * The shortest circle among them that its kind closes.
   */
  shortest: CycleLink[];
}

/**
 * How one file imports another.
 */
export interface GraphImport {
  path: string;
  uri?: string | null;
  /**
   * Of the first import, in the importing file.
   */
  line: number;
  /**
   * What is taken, as the imported file calls it; `*` is all of it.
   */
  names: string[];
  typeOnly: boolean;
}

/**
 * Params of every question; each reads what it needs.
 */
export interface GraphParams {
  /**
   * A file.
   */
  uri?: string | null;
  /**
   * With `uri`: the declaration that is named or that is around here, instead of the whole file.
   */
  position?: Position | null;
  /**
   * Files.
   */
  uris?: string[];
  /**
   * Over LSP, without a file's URI: the workspace is that of the task.
   */
  task?: string | null;
  /**
   * Files and symbols as people write them: `src/a.ts`, `src/a.ts#name`, `src/a.ts#Class.method`, `src/a.ts:12`, `name`.
   */
  targets?: string[];
  /**
   * `path`: where it begins and ends, written as `targets` are.
   */
  from?: string | null;
  to?: string | null;
  /**
   * `impact`: a unified diff, of the files as they are before it or after it.
   */
  patch?: string | null;
  /**
   * `impact`: the most steps along uses; without it 3.
   */
  depth?: number | null;
  /**
   * The most entries of each list; without it 200, at most 10,000.
   */
  limit?: number | null;
  /**
   * The most milliseconds to wait for files that are not read yet; without it the answer waits for all of them.
   */
  patience?: number | null;
  _meta?: Meta | null;
}

export interface GraphReference {
  path: string;
  uri?: string | null;
  line: number;
  /**
   * 1-based, in characters.
   */
  column: number;
  range?: Range | null;
  /**
   * `declaration`, `read`, `write`, `call`, `new`, `jsx`, `type`, `extends`, `implements`, `import`, `export`.
   */
  kind: string;
  /**
   * The declaration that the use is in.
   */
  within?: string | null;
  /**
   * The line, without the blanks around it.
   */
  text: string;
}

/**
 * `stats`.
 */
export interface GraphStats {
  files: number;
  symbols: number;
  exports: number;
  /**
   * File to file, each pair once.
   */
  edges: number;
  /**
   * Relative specifiers that lead nowhere.
   */
  unresolved: number;
  /**
   * Files with parse errors.
   */
  broken: number;
  lines: number;
  /**
   * How long it took to have the graph as the files are now.
   */
  millis: number;
  /**
   * There while not everything is read: the answer is about what is.
   */
  partial?: Partial | null;
}

/**
 * A declaration.
 */
export interface GraphSymbol {
  /**
   * `path#Class.method`: what `targets` take.
   */
  symbol: string;
  /**
   * `Class.method`.
   */
  name: string;
  /**
   * `Function`, `Class`, `Method`, `Property`, `Interface`, `TypeAlias`, `Enum`, `Namespace`, `Variable`.
   */
  kind: string;
  path: string;
  uri?: string | null;
  /**
   * Inclusive.
   *
   * @minItems 2
   * @maxItems 2
   */
  lines: [number, number];
  range?: Range | null;
  /**
   * The declaration without its body, on one line.
   */
  signature?: string | null;
  exported: boolean;
}

export interface HealthCheck {
  name: string;
  ok: boolean;
  detail?: string | null;
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
  /**
   * True when the new lines are a person's, in place of the answer's.
   */
  edited?: boolean;
}

export interface IgnoredLine {
  line: number;
  why: string;
}

/**
 * `impact`.
 */
export interface ImpactResult {
  /**
   * What changes: declarations, or files where code outside of them changes.
   */
  changed: GraphSymbol[];
  /**
   * Declarations that it reaches, the nearest and heaviest first.
   */
  symbols: AffectedSymbol[];
  /**
   * Files that it reaches, without tests and without those that change.
   */
  files: AffectedFile[];
  tests: AffectedFile[];
  /**
   * Who owns what changes and what it reaches; most files first.
   */
  owners: OwnerCount[];
  /**
   * Files of the patch that the graph does not hold.
   */
  others: string[];
  /**
   * Files of the patch whose text is neither its old one nor its new one: said by line numbers alone.
   */
  stale: string[];
  /**
   * More would be reached with a larger `depth`.
   */
  more: boolean;
  /**
   * How many symbols, files and tests there are before the cut.
   *
   * @minItems 3
   * @maxItems 3
   */
  total: [number, number, number];
  truncated: boolean;
  /**
   * There while not everything is read: the answer is about what is.
   */
  partial?: Partial | null;
}

/**
 * `krins/graph/pause` and `krins/graph/resume` params.
 */
export interface IndexParams {
  /**
   * A file of the workspace that is meant; without one, every workspace of the connection, also those that open later.
   */
  uri?: string | null;
}

/**
 * `krins/graph/pause` and `krins/graph/resume` result.
 */
export interface IndexResult {
  /**
   * One for each workspace that was meant.
   */
  index: IndexStatus[];
}

export interface IndexStatus {
  files: number;
  symbols: number;
  /**
   * Everything was read once; what changes since is read when it is needed.
   */
  ready: boolean;
  /**
   * Nothing is read in the background.
   */
  paused: boolean;
  /**
   * What is being read now.
   */
  reading?: Partial | null;
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
 * `krins/lock` params.
 */
export interface LockParams {
  /**
   * The file; it need not be there yet.
   */
  uri: string;
  /**
   * Seconds until it ends, unless it is taken again; 3,600.
   */
  ttl?: number | null;
  /**
   * Who others are told of; without it the person and the machine.
   */
  holder?: string | null;
}

/**
 * `krins/locks` params.
 */
export interface LocksParams {
  /**
   * A file of the workspace that is meant; without one, the first.
   */
  uri?: string | null;
}

/**
 * `krins/locks` and `krins/unlock` result.
 */
export interface LocksResult {
  /**
   * By path.
   */
  locks: FileLock[];
}

/**
 * W3C trace context carried in a request.
 */
export interface Meta {
  traceparent?: string | null;
  tracestate?: string | null;
}

/**
 * `module`: one file and its neighbours.
 */
export interface ModuleResult {
  path: string;
  uri?: string | null;
  lines: number;
  generated: boolean;
  broken: boolean;
  symbols: GraphSymbol[];
  /**
   * Files of the graph that it imports, by path.
   */
  imports: GraphImport[];
  /**
   * Files that import it, by path.
   */
  importers: GraphImport[];
  /**
   * Specifiers that lead out of the graph, sorted.
   */
  external: string[];
  owners: string[];
  truncated: boolean;
  /**
   * There while not everything is read: the answer is about what is.
   */
  partial?: Partial | null;
}

/**
 * What is promised, and whether it was kept.
 */
export interface Objective {
  name: string;
  description: string;
  /**
   * Percent of the events that have to be good.
   */
  objective: number;
  good: number;
  total: number;
  /**
   * Percent; `null` before there was an event.
   */
  reached?: number | null;
  /**
   * The share of the bad events which the objective allows that has not happened yet; below 0 it is missed.
   */
  budgetLeft?: number | null;
}

export interface OwnedFile {
  path: string;
  uri?: string | null;
  owners: string[];
  rules: OwnerRule[];
}

export interface OwnerCount {
  owner: string;
  files: number;
}

export interface OwnerRule {
  line: number;
  pattern: string;
  section?: string | null;
  optional: boolean;
}

/**
 * `owners`.
 */
export interface OwnersResult {
  /**
   * The CODEOWNERS file that counts.
   */
  source?: string | null;
  /**
   * `github` or `gitlab`.
   */
  flavour?: string | null;
  /**
   * Of the files that were asked for.
   */
  files: OwnedFile[];
  /**
   * How many files each owns: of those that were asked for, else of the graph; most first.
   */
  owners: OwnerCount[];
  /**
   * Files that nobody owns.
   */
  unowned: number;
  /**
   * Lines of the file that were passed over.
   */
  ignored: IgnoredLine[];
  truncated: boolean;
  /**
   * There while not everything is read: the answer is about what is.
   */
  partial?: Partial | null;
}

/**
 * How far the reading is while not every file is read.
 */
export interface Partial {
  /**
   * Files of code that are read.
   */
  read: number;
  /**
   * Files of code that there are.
   */
  total: number;
}

/**
 * `path`.
 */
export interface PathResult {
  found: boolean;
  /**
   * There is a way from `to` to `from` alone; the steps are that way's.
   */
  reversed: boolean;
  steps: PathStep[];
  /**
   * There while not everything is read: the answer is about what is.
   */
  partial?: Partial | null;
}

export interface PathStep {
  /**
   * A file, or `path#name`.
   */
  from: string;
  to: string;
  /**
   * As in a reference, or `import`.
   */
  kind: string;
  path: string;
  uri?: string | null;
  line: number;
  /**
   * That line, without the blanks around it.
   */
  text: string;
}

/**
 * How one hunk of the answer found its place. The answer's hunks need not be those of the diff.
 */
export interface Placed {
  /**
   * The rung of the matching ladder: `exact`, `trailing-space`, ….
   */
  level: string;
  /**
   * What was mended on the way in, such as `wrong line counts`.
   */
  repairs: string[];
  /**
   * 1-based line in the base.
   */
  line: number;
}

/**
 * A zero-based position; `character` counts units of the negotiated position encoding.
 */
export interface Position {
  line: number;
  character: number;
}

/**
 * `krins/preview` result.
 */
export interface PreviewResult {
  /**
   * What `krins/promote` would call it now. There is no such branch before.
   */
  branch: string;
  /**
   * The directory that holds the change, not committed: where the root lies in a worktree of its own.
   */
  worktree: string;
  /**
   * Where it can be looked at in a browser.
   */
  url?: string | null;
}

/**
 * `krins/promote` result.
 */
export interface PromoteResult {
  branch: string;
  commit: string;
  /**
   * The preview's worktree, where it stays: what was changed in it is not in the commit.
   */
  kept?: string | null;
}

/**
 * Durations in milliseconds; `null` where there is none.
 */
export interface Quantiles {
  count: number;
  p50?: number | null;
  p95?: number | null;
}

/**
 * A half-open range.
 */
export interface Range {
  start: Position;
  end: Position;
}

/**
 * `references`.
 */
export interface ReferencesResult {
  symbol: GraphSymbol;
  /**
   * A member was asked for: these are the references of what it is a member of, since only types could tell them apart.
   */
  approximate: boolean;
  /**
   * By path and place.
   */
  references: GraphReference[];
  files: number;
  total: number;
  truncated: boolean;
  /**
   * There while not everything is read: the answer is about what is.
   */
  partial?: Partial | null;
}

/**
 * `krins/report` result. Amounts of money are millionths of a US dollar, moments are milliseconds since the Unix epoch.
 */
export interface Report {
  version: string;
  /**
   * The workspace's name.
   */
  workspace: string;
  /**
   * The longest that is not longer; `since` says it exactly.
   */
  period: Period;
  /**
   * The beginning of the first bucket, and the moment of the report.
   */
  since: number;
  until: number;
  /**
   * Of the tasks that were assigned in the period.
   */
  tasks: TaskFigures;
  /**
   * From a task's assignment until its change passed the gate, waiting and further rounds included.
   */
  green: Quantiles;
  /**
   * Of the calls that were made in the period for tasks of this workspace.
   */
  spent: Spent;
  cache: CacheFigures;
  /**
   * By `provider/model`, the dearest first.
   */
  agents: AgentFigures[];
  /**
   * Why the gate blocked changes, by rule, the most frequent first.
   */
  blocks: Cause[];
  /**
   * Why tasks ended without an answer, by the error's kind.
   */
  failures: Cause[];
  /**
   * Over the last 30 days, whatever the period.
   */
  objectives: Objective[];
  routes: RouteFigures;
  /**
   * Oldest first, without a gap.
   */
  buckets: Bucket[];
  /**
   * What is not in these figures, and why: sentences for a person.
   */
  notes: string[];
}

/**
 * `krins/report` params.
 */
export interface ReportParams {
  period?: Period;
  /**
   * A file of the workspace that is meant; without it the first folder.
   */
  uri?: string | null;
}

/**
 * `krins/review` params.
 */
export interface ReviewParams {
  task?: string | null;
  hunk: string;
  verdict: ReviewVerdict;
  /**
   * Only with `edit`: what shall stand where the hunk's new lines stand, context lines included.
   */
  text?: string | null;
}

/**
 * How the ways to the models are.
 */
export interface RouteFigures {
  routes: RouteStatus[];
  /**
   * When a process looked; `null` where nobody asked a model yet.
   */
  at?: number | null;
  /**
   * What is left out because there is too much to do: `normal` is nothing.
   */
  level: string;
  /**
   * Providers that the kill switch keeps from being asked, or `all`.
   */
  switchedOff: string[];
  /**
   * What a remote backend says of itself.
   */
  remote: HealthCheck[];
}

/**
 * How one way to a model is.
 */
export interface RouteStatus {
  /**
   * `provider/model`.
   */
  route: string;
  /**
   * `closed` (well), `resting` (its provider asked for it), `open` (it failed too often), `half-open` (one call tries it) or `disabled`
   * (a person has to do something).
   */
  state: string;
  /**
   * What the provider did: "is overloaded".
   */
  cause?: string | null;
  /**
   * Until it is asked again.
   */
  seconds?: number | null;
}

export interface SentFile {
  uri: string;
  tokens: number;
}

/**
 * What calls to models took.
 */
export interface Spent {
  calls: number;
  /**
   * Tasks that a call was made for.
   */
  tasks: number;
  /**
   * Reserved, and nobody said what became of them; they count for what was reserved.
   */
  open: number;
  tokens: Tokens;
  /**
   * A part of the tokens was counted on this machine.
   */
  estimated: boolean;
  /**
   * `null` when the price of a call is not known.
   */
  micros?: number | null;
  /**
   * Of the calls whose price is known.
   */
  knownMicros: number;
  /**
   * Calls whose price is not known.
   */
  unpriced: number;
  /**
   * For each task that got a change.
   */
  tokensPerPatch?: number | null;
  microsPerPatch?: number | null;
  microsPerAccepted?: number | null;
  /**
   * What calls in the same period for other workspaces took, where the same ledger says so.
   */
  elsewhereMicros: number;
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
  /**
   * The routes that were asked, and how they are.
   */
  routes?: RouteStatus[];
  /**
   * What is left out because there is too much to do: `normal`, `cheaper-model`, `one-variant`, `judge-off`, `cache-only`.
   */
  level?: string;
  /**
   * Providers that the kill switch keeps from being asked, or `all`.
   */
  switchedOff?: string[];
  /**
   * What calls cost today (UTC), where that is known in this process.
   */
  spent?: BudgetUse | null;
  /**
   * What was counted since the sidecar started.
   */
  figures?: Figures;
}

/**
 * A task in a list.
 */
export interface TaskEntry {
  task: string;
  intent: string;
  state: TaskState;
  /**
   * Milliseconds since the Unix epoch.
   */
  created: number;
  /**
   * How many files its diff is about.
   */
  files: number;
  /**
   * How many hunks of it no apply has brought, where it is applied.
   */
  left?: number;
  verdict?: Verdict | null;
  /**
   * `provider/model`.
   */
  model?: string | null;
  /**
   * Millionths of a US dollar; null while that is not known.
   */
  cost?: number | null;
  /**
   * Why it failed.
   */
  error?: string | null;
  /**
   * What `krins/undo` takes.
   */
  undo?: string | null;
  /**
   * The last that the audit has of it, among its last records.
   */
  audit?: AuditLine | null;
}

/**
 * What became of tasks.
 */
export interface TaskFigures {
  assigned: number;
  /**
   * Got a change.
   */
  answered: number;
  /**
   * Applied, and not taken back.
   */
  accepted: number;
  /**
   * Discarded, or applied and taken back.
   */
  rejected: number;
  /**
   * The gate lets it through, and nobody has decided yet.
   */
  waiting: number;
  /**
   * The gate blocks it, and nobody has decided yet.
   */
  blocked: number;
  failed: number;
  cancelled: number;
  /**
   * Not ended yet.
   */
  running: number;
  /**
   * `accepted` of what was decided; `null` before anything was.
   */
  acceptedShare?: number | null;
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
  /**
   * What every call for it cost, in millionths of a US dollar; null while that is not known.
   */
  cost?: number | null;
  /**
   * Every answer, where several were asked for.
   */
  variants?: VariantStatus[];
  /**
   * How it was chosen who answers, a sentence a variant.
   */
  choices?: string[];
  /**
   * What was asked again because of what the gate found.
   */
  rounds?: FixRound[];
  error?: ErrorReport | null;
}

/**
 * `krins/tasks` params.
 */
export interface TasksParams {
  /**
   * The most tasks, 1..=500; without it 50.
   */
  limit?: number | null;
}

/**
 * `krins/tasks` result: those of every workspace of the connection, the newest first.
 */
export interface TasksResult {
  tasks: TaskEntry[];
}

export interface TestFile {
  path: string;
  uri?: string | null;
  /**
   * 0 to 1.
   */
  weight: number;
  /**
   * Steps along uses; null when only modules lead there.
   */
  distance?: number | null;
  uses: number;
  sameStem: boolean;
  /**
   * It imports the file itself.
   */
  imports: boolean;
  /**
   * It puts something else in the file's place.
   */
  mocks: boolean;
}

/**
 * `tests`.
 */
export interface TestsResult {
  /**
   * What was asked for.
   */
  of: string;
  /**
   * The test that says most first.
   */
  tests: TestFile[];
  /**
   * When a test was asked for: the files that it is about.
   */
  covers: CoveredFile[];
  total: number;
  truncated: boolean;
  /**
   * There while not everything is read: the answer is about what is.
   */
  partial?: Partial | null;
}

export interface TextDocument {
  uri: string;
}

export interface Tokens {
  input: number;
  output: number;
  /**
   * Beside `input`: read from, and written to, the provider's own cache.
   */
  cacheRead: number;
  cacheWrite: number;
}

/**
 * `krins/undo` and `krins/redo` params.
 */
export interface UndoParams {
  /**
   * An undo id, or a task id; without one, the last.
   */
  undo?: string | null;
  /**
   * Only for `krins/undo`: only these hunks of the task that `undo` names, or of the newest.
   */
  hunks?: string[] | null;
  dryRun?: boolean;
}

/**
 * `krins/unlock` params.
 */
export interface UnlockParams {
  uri: string;
  /**
   * The name that it was taken under.
   */
  holder?: string | null;
  /**
   * Whoever holds it.
   */
  force?: boolean;
}

/**
 * A declaration.
 */
export interface UnusedExport {
  /**
   * `path#Class.method`: what `targets` take.
   */
  symbol: string;
  /**
   * `Class.method`.
   */
  name: string;
  /**
   * `Function`, `Class`, `Method`, `Property`, `Interface`, `TypeAlias`, `Enum`, `Namespace`, `Variable`.
   */
  kind: string;
  path: string;
  uri?: string | null;
  /**
   * Inclusive.
   *
   * @minItems 2
   * @maxItems 2
   */
  lines: [number, number];
  range?: Range | null;
  /**
   * The declaration without its body, on one line.
   */
  signature?: string | null;
  exported: boolean;
  /**
   * The name that it is exported under.
   */
  exportedAs: string;
  /**
   * `nobody`, `onlyItsFile`, `onlyTests`, `fileNotImported`.
   */
  why: string;
  /**
   * 0 to 1.
   */
  confidence: number;
}

/**
 * `unused`.
 */
export interface UnusedResult {
  /**
   * The surest first.
   */
  unused: UnusedExport[];
  total: number;
  truncated: boolean;
  /**
   * There while not everything is read: the answer is about what is.
   */
  partial?: Partial | null;
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
   * Of those written, the ones that stay for an hour or more.
   */
  cacheWriteLongTokens?: number;
  /**
   * True when the provider sent no figures and they were estimated.
   */
  estimated?: boolean;
}

/**
 * `krins/variant` params: show another of a task's answers.
 */
export interface VariantParams {
  task?: string | null;
  variant: number;
}

/**
 * One of several answers.
 */
export interface VariantStatus {
  variant: number;
  /**
   * Whether it is the one that the task shows.
   */
  shown: boolean;
  /**
   * `provider/model`.
   */
  model?: string | null;
  /**
   * The gate's.
   */
  verdict?: Verdict | null;
  /**
   * Why there is none.
   */
  error?: string | null;
}

/**
 * `krins/waive` params.
 */
export interface WaiveParams {
  /**
   * The task whose finding it is; without one, the newest.
   */
  task?: string | null;
  /**
   * The rule, or a check for all of its rules.
   */
  rule: string;
  /**
   * A path or pattern.
   */
  path: string;
  reason: string;
  /**
   * The last day on which it counts, `2027-01-31`.
   */
  expires: string;
  /**
   * Only while the lines that were found read as they do.
   */
  exact?: boolean;
}

/**
 * A finding that a waiver keeps out of the verdict.
 */
export interface Waived {
  finding: Finding;
  reason: string;
  /**
   * The last day, `2027-01-31`.
   */
  expires: string;
}

export interface Why {
  reason: string;
  /**
   * `path:line` places the reason rests on.
   */
  lines: string[];
}
