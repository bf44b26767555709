//! A server that does what it is told, to test the harness against: `probe/ask` has it ask the client, `probe/print` has it
//! write bytes that are no frame, `probe/say` has it send a notification, `probe/exit` sets its exit code. It knows no LSP.

use std::io::{self, Write as _};
use std::process::ExitCode;

use krins_tests::wire::{self, Read1};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let mut input = io::stdin().lock();
    let mut code = 0;
    loop {
        let Read1::Message(message) = wire::read(&mut input) else {
            return ExitCode::from(1);
        };
        let (id, params) = (&message["id"], &message["params"]);
        let reply = match message["method"].as_str() {
            Some("initialize") => json!({"capabilities": {"textDocumentSync": 2}}),
            Some("exit") => return ExitCode::from(code),
            Some("probe/print") => {
                write(params.as_str().unwrap_or_default().as_bytes());
                Value::Null
            }
            Some("probe/say") => {
                send(&json!({"jsonrpc": "2.0", "method": params["method"], "params": params["params"]}));
                Value::Null
            }
            Some("probe/exit") => {
                code = params.as_u64().and_then(|code| u8::try_from(code).ok()).unwrap_or(0);
                Value::Null
            }
            Some("probe/ask") => {
                send(&json!({"jsonrpc": "2.0", "id": "q", "method": params["method"], "params": params["params"]}));
                ask(&mut input)
            }
            Some(_) | None => Value::Null,
        };
        if !id.is_null() {
            send(&json!({"jsonrpc": "2.0", "id": id, "result": reply}));
        }
    }
}

/// The client's reply, and the notifications that came before it and within a moment after.
fn ask(input: &mut impl io::Read) -> Value {
    let mut before = Vec::new();
    loop {
        match wire::read(input) {
            Read1::Message(message) if message["id"] == "q" => return json!({"reply": message, "before": before}),
            Read1::Message(message) => before.push(message),
            Read1::End | Read1::Stray(_) => return Value::Null,
        }
    }
}

fn send(message: &Value) {
    write(&wire::encode(message));
}

fn write(bytes: &[u8]) {
    let mut output = io::stdout().lock();
    // A client that is gone is noticed at the next read.
    let _ = output.write_all(bytes).and_then(|()| output.flush());
}
