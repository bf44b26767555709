// The server's life: found, started, restarted, stopped. The rest of the extension talks to it through `Server.request`.

import { createInterface } from "node:readline";
import * as vscode from "vscode";
import type { ErrorHandler, LanguageClient, LanguageClientOptions, State } from "vscode-languageclient/node";
import { find, surroundings } from "./binary";
import { serverEnvironment, serverSettings } from "./environment";
import { failure, sentence } from "./errors";
import { storedKeys } from "./keys";
import { PROTOCOL, PROTOCOL_MINOR, type Methods, type TaskStatus } from "./protocol";
import * as say from "./say";
import { withoutLinks } from "./words";

/** How long a request waits for a server that starts. */
const STARTING = 10_000;
/** How long a program may take to say hello; what takes longer is no server, and is ended. */
const HELLO = 30_000;

/** Read with the first start and not before: that takes longer than everything else of an activation. */
type Library = typeof import("./client");
const library = (): Promise<Library> => import("./client");

export type ServerState =
  | { name: "stopped" }
  | { name: "starting" }
  | { name: "running" }
  | { name: "failed"; why: string };

/** `krins/gateStatus`. */
export interface GateStatus {
  task: string;
  checks: { check: string; state: "running" | "passed" | "warned" | "blocked"; millis: number }[];
}

/** A request without a server; says why there is none. */
export class NotRunning extends Error {
  constructor(why: string) {
    super(why);
    this.name = "NotRunning";
  }
}

const UNTRUSTED = "Krins starts when you trust this workspace.";
const MISSING = "the krins program was not found";
/** Set once it was said by itself that there is no program; the status bar and the view go on saying it. */
const SAID = "krins.missing";

export class Server implements vscode.Disposable {
  #client: LanguageClient | undefined;
  #library: Library | undefined;
  #state: ServerState = { name: "stopped" };
  /** What the client was started with: the same once more is no reason to start again. Holds keys, so it is never shown. */
  #launched = "";
  /** As it was when the window opened: other extensions write into it, which is no reason to start the server anew. */
  readonly #own = { ...process.env };
  /** Set while this extension stops the client on purpose. */
  #stopping = false;
  /** The last start or stop; two at once would leave a server behind. */
  #turn: Promise<void> = Promise.resolve();
  readonly #changed = new vscode.EventEmitter<ServerState>();
  readonly #told = new vscode.EventEmitter<TaskStatus>();

  readonly #checked = new vscode.EventEmitter<GateStatus>();

  readonly onDidChangeState = this.#changed.event;
  /** Where each check of a gate at work is. */
  readonly onDidCheck = this.#checked.event;
  /** The server's word about any task, also those that another door started. */
  readonly onDidChangeTask = this.#told.event;
  /** Runs a command of the server that a code action or lens chose; `next` sends it. */
  onCommand: (command: string, argument: unknown, next: () => Promise<unknown>) => Promise<unknown> = (_command, _argument, next) => next();

  constructor(
    private readonly extension: vscode.ExtensionContext,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  get state(): ServerState {
    return this.#state;
  }

  /** Starts, one after the other with whatever else starts and stops it. Nothing runs on files that nobody trusts. */
  async start(): Promise<void> {
    await this.#inTurn(() => this.#start());
  }

  async stop(): Promise<void> {
    await this.#inTurn(() => this.#stop());
  }

  /** After a change of settings or keys: started again if that changes how. `free` has the last word, right before. */
  async renew(free: () => boolean): Promise<void> {
    await this.#inTurn(async () => {
      const stale = this.#state.name !== "running" || (await this.#plan()).launched !== this.#launched;
      if (stale && free()) await this.#again();
    });
  }

  /** What a person asked for needs the server: it is started where it does not run, or said why it cannot be. */
  async wake(anew = false): Promise<boolean> {
    if (!vscode.workspace.isTrusted) {
      const manage = "Manage Trust";
      // Not awaited: what was asked for is over.
      void say.warn(UNTRUSTED, manage).then((chosen) => chosen && vscode.commands.executeCommand("workbench.trust.manage"));
      return false;
    }
    await this.#turn;
    if (anew || (this.#state.name !== "running" && this.#state.name !== "starting")) await this.#inTurn(() => this.#again(true));
    // After a crash the client starts it by itself.
    if (this.#state.name === "starting") await new Promise<void>((resolve) => {
      const told = this.onDidChangeState(({ name }) => {
        if (name === "starting") return;
        told.dispose();
        resolve();
      });
    });
    if (this.#state.name === "failed") void this.#sayWhy(this.#state.why);
    return this.#state.name === "running";
  }

  async #again(asked = false): Promise<void> {
    await this.#stop();
    await this.#start(asked);
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    await mine;
  }

  /** When a person asked, the asking place says what is missing; else it is said once, and then only shown. */
  async #start(asked = false): Promise<void> {
    if (!vscode.workspace.isTrusted) {
      this.log.info("not started: no trust");
      return;
    }
    const { found, args, env, settings, launched } = await this.#plan();
    const { globalState } = this.extension;
    if ("tried" in found) {
      this.log.error(`no krins program; looked for:\n  ${found.tried.join("\n  ")}`);
      this.#set({ name: "failed", why: MISSING });
      if (!asked && !globalState.get(SAID)) void this.#sayWhy(MISSING);
      await globalState.update(SAID, true);
      return;
    }
    if (globalState.get(SAID)) await globalState.update(SAID, undefined);
    this.log.info(`starting ${found.program} (from ${found.from})`);
    if (!vscode.workspace.getConfiguration("http").get("proxyStrictSSL", true)) {
      this.log.warn("http.proxyStrictSSL is off; certificates are checked all the same");
    }
    this.#launched = launched;
    this.#set({ name: "starting" });
    const { CloseAction, LanguageClient, RevealOutputChannelOn, State } = (this.#library = await library());
    let hung = false;
    const closed = () => (hung ? { action: CloseAction.DoNotRestart, handled: true } : usual.closed());
    const client: LanguageClient = new LanguageClient(
      "krins",
      "Krins",
      {
        command: found.program,
        args,
        options: { env },
      },
      // What fails is logged, and said where somebody asked for it: the client's own messages would make links of its words.
      { ...this.#options(settings), revealOutputChannelOn: RevealOutputChannelOn.Never, errorHandler: { error: (...what) => usual.error(...what), closed } },
    );
    const usual: ErrorHandler = client.createDefaultErrorHandler();
    let late: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_, reject) => {
      // Also when the client starts it again by itself.
      client.onDidChangeState(({ newState }) => {
        clearTimeout(late);
        if (newState === State.Starting) late = setTimeout(() => {
          hung = true;
          client.serverProcess?.kill("SIGKILL");
          if (client === this.#client) this.#set({ name: "failed", why: "the server does not answer" });
          reject(new Error(`it said nothing for ${HELLO / 1000} s`));
        }, HELLO);
        this.#follow(client, newState);
      });
    });
    silence.catch(() => undefined);
    client.onNotification("krins/task/didChange", (status: TaskStatus) => this.#told.fire(status));
    client.onNotification("krins/gateStatus", (status: GateStatus) => this.#checked.fire(status));
    // Instead of the client's own, which show the words as they come.
    client.onNotification("window/showMessage", (message) => void say.told(message));
    client.onRequest("window/showMessageRequest", say.told);
    this.#client = client;
    try {
      await Promise.race([client.start(), silence]);
      this.#checkProtocol(client);
    } catch (error) {
      this.log.error(`the server did not start: ${String(error)}`);
      this.#set({ name: "failed", why: "the server did not start" });
    }
  }

  async #stop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    if (!client) return;
    this.#stopping = true;
    try {
      if (client.needsStop()) await client.stop(2000);
      await client.dispose();
    } catch (error) {
      this.log.warn(`the server did not stop cleanly: ${String(error)}`);
    } finally {
      this.#stopping = false;
      this.#set({ name: "stopped" });
    }
  }

  /** A server that is just started, or started anew, is waited for, but not one that hangs. */
  async #ready(): Promise<LanguageClient> {
    if (!this.#client || this.#state.name !== "running") await Promise.race([this.#turn, new Promise((resolve) => setTimeout(resolve, STARTING))]);
    const client = this.#client;
    if (!client || this.#state.name !== "running") throw new NotRunning(this.#why);
    return client;
  }

  /** The token takes the request back: the server stops what it does for it, and answers `Cancelled`. */
  async request<M extends keyof Methods>(method: M, params: Methods[M]["params"], token?: vscode.CancellationToken): Promise<Methods[M]["result"]> {
    const client = await this.#ready();
    // `null`, or a token that is not there, would be sent as one of a list.
    if (params === null) return client.sendRequest<Methods[M]["result"]>(method);
    return token ? client.sendRequest<Methods[M]["result"]>(method, params, token) : client.sendRequest<Methods[M]["result"]>(method, params);
  }

  /** A request whose answer is for a page of the server's own, which knows what it asked for. */
  async ask(method: string, params: object): Promise<unknown> {
    return (await this.#ready()).sendRequest(method, params);
  }

  /** `$/progress` for a token that a request carries. */
  onProgress(token: string, handler: (message: string | undefined, percentage: number | undefined) => void): vscode.Disposable {
    const client = this.#client;
    if (!client || !this.#library) return { dispose() {} };
    return client.onProgress(this.#library.WorkDoneProgress.type, token, (value) => {
      handler(value.message, value.kind === "end" ? undefined : value.percentage);
    });
  }

  dispose(): void {
    void this.stop();
    this.#changed.dispose();
    this.#told.dispose();
    this.#checked.dispose();
  }

  get #why(): string {
    if (!vscode.workspace.isTrusted) return UNTRUSTED;
    return this.#state.name === "failed" ? this.#state.why : `the server is ${this.#state.name}`;
  }

  async #plan() {
    const settings = vscode.workspace.getConfiguration("krins");
    const found = find(surroundings(settings.get("server.path", ""), this.extension.extensionPath));
    const args = ["lsp", "--stdio", ...settings.get<string[]>("server.args", [])];
    const env = await this.#environment(settings.get<Record<string, string>>("server.env", {}));
    const plan = { found, args, env, settings: serverSettings((key) => settings.get(key)) };
    return { ...plan, launched: JSON.stringify(plan) };
  }

  async #environment(wished: Record<string, string>): Promise<Record<string, string>> {
    const http = vscode.workspace.getConfiguration("http");
    const network = { proxy: http.get("proxy", ""), support: http.get("proxySupport", "override"), noProxy: http.get<string[]>("noProxy", []) };
    return serverEnvironment(this.#own, network, await storedKeys(this.extension.secrets), wished);
  }

  /**
   * VS Code opens its own settings behind the scenes, and a server that hears of them takes their directory, with the history of
   * every file, for a project. Only what the extension itself keeps there, the sample, is one.
   */
  isWork({ scheme, path }: vscode.Uri): boolean {
    const own = this.extension.globalStorageUri.path;
    const user = vscode.Uri.joinPath(this.extension.globalStorageUri, "..", "..").path;
    return scheme !== "file" || !path.startsWith(`${user}/`) || path.startsWith(`${own}/`);
  }

  #options(settings: Record<string, unknown>): LanguageClientOptions {
    const lines = (level: "info" | "debug") => (input: NodeJS.ReadableStream) => {
      createInterface({ input, terminal: false }).on("line", (line) => this.log[level](line));
    };
    return {
      documentSelector: [{ scheme: "file" }, { scheme: "untitled" }],
      outputChannel: this.log,
      traceOutputChannel: this.log,
      // The server writes its own level into each line of stderr.
      stdioOptions: { stdout: lines("debug"), stderr: lines("info") },
      initializationOptions: {
        krins: {
          client: { protocol: PROTOCOL, minor: PROTOCOL_MINOR, features: ["assign", "diff", "context", "taskDidChange", "gateStatus"] },
          settings,
        },
      },
      middleware: {
        didOpen: async (document, next) => (this.isWork(document.uri) ? next(document) : undefined),
        didChange: async (change, next) => (this.isWork(change.document.uri) ? next(change) : undefined),
        didSave: async (document, next) => (this.isWork(document.uri) ? next(document) : undefined),
        didClose: async (document, next) => (this.isWork(document.uri) ? next(document) : undefined),
        provideCodeActions: (document, range, context, token, next) => (this.isWork(document.uri) ? next(document, range, context, token) : []),
        executeCommand: (command, args: unknown[], next) =>
          this.onCommand(command, args[0], async () => {
            try {
              return await next(command, args);
            } catch (error) {
              // VS Code says it as it is, and says nothing of a cancel.
              throw error instanceof vscode.CancellationError ? error : new Error(withoutLinks(sentence(failure(error))));
            }
          }),
      },
      initializationFailedHandler: (error) => {
        this.log.error(`initialize failed: ${String(error)}`);
        return false;
      },
    };
  }

  #follow(client: LanguageClient, state: State): void {
    if (client !== this.#client || !this.#library) return;
    const { State } = this.#library;
    if (state === State.Running) this.#set({ name: "running" });
    else if (state === State.Starting) this.#set({ name: "starting" });
    // After a crash the client starts the server again by itself, up to five times in three minutes.
    else if (state === State.Stopped && !this.#stopping) this.#set({ name: "failed", why: "the server stopped" });
  }

  #set(state: ServerState): void {
    this.#state = state;
    void vscode.commands.executeCommand("setContext", "krins.ready", state.name === "running");
    this.#changed.fire(state);
  }

  #checkProtocol(client: LanguageClient): void {
    const capabilities = client.initializeResult?.capabilities as { experimental?: { krins?: { protocol?: number } } } | undefined;
    const major = capabilities?.experimental?.krins?.protocol;
    if (major === undefined || major === PROTOCOL) return;
    void say.warn(
      `Krins: the server speaks protocol ${major}, this extension ${PROTOCOL}. Update the older of the two.`,
    );
  }

  async #sayWhy(why: string): Promise<void> {
    const [get, walk, log] = ["Find or Install…", "First Steps", "Show Log"];
    const chosen = await say.error(`Krins: ${why}.`, ...(why === MISSING ? [get, walk, log] : [log]));
    if (chosen === get) await vscode.commands.executeCommand("krins.ui.locate");
    if (chosen === walk) await vscode.commands.executeCommand("krins.ui.walkthrough");
    if (chosen === log) this.log.show();
  }
}
