// Stands for the language client in the tests: runs no program, and keeps who hears what.

export const handlers = new Map<string, (params: unknown) => unknown>();
export const State = { Stopped: 1, Starting: 3, Running: 2 };
export const CloseAction = {};
export const RevealOutputChannelOn = { Never: 4 };
export const WorkDoneProgress = {};
/** The last one's options. */
export let options: { revealOutputChannelOn: number; middleware: Record<string, (...what: unknown[]) => unknown> } | undefined;

export class LanguageClient {
  constructor(_id: string, _name: string, _program: object, given: typeof options) {
    options = given;
  }
  createDefaultErrorHandler = () => ({});
  #changed: (change: { newState: number }) => void = () => {};
  onDidChangeState = (hear: (change: { newState: number }) => void) => void (this.#changed = hear);
  onNotification = (method: string, hear: (params: unknown) => unknown) => void handlers.set(method, hear);
  onRequest = this.onNotification;
  start = async () => this.#changed({ newState: State.Running });
  needsStop = () => false;
  dispose = async () => {};
}
