// What is used of the language client, in a file of its own that the first start of a server reads.

export { CloseAction, LanguageClient, RevealOutputChannelOn, State, WorkDoneProgress } from "vscode-languageclient/node";
