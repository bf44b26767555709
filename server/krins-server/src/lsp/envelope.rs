//! JSON-RPC envelopes: what a decoded body is, and what an error says.
//!
//! Lenient where clients are known to be sloppy (a missing `jsonrpc`, `"id": null` on a notification, params on `shutdown`,
//! none on `initialized`), so that no handler has to be. It must not know what a method does.

use krins_protocol::error::{ErrorData, ErrorKind};
use serde_json::{Map, Value, json};
use tower_lsp::jsonrpc::{Error, ErrorCode, Id, Response};

/// A body, sorted.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// A request (with an id) or a notification (without).
    Call { id: Option<Id>, method: String, params: Option<Value> },
    /// The answer to a request of ours.
    Reply(Response),
    /// Neither, with the id it carried.
    Invalid(Id),
}

/// Sorts a decoded body.
pub fn sort(message: Value) -> Incoming {
    let Value::Object(mut message) = message else {
        return Incoming::Invalid(Id::Null);
    };
    let id = match message.remove("id").map(read_id) {
        Some(Some(id)) => id,
        None => Id::Null,
        Some(None) => return Incoming::Invalid(Id::Null),
    };
    match message.remove("method") {
        Some(Value::String(method)) => {
            Incoming::Call { params: read_params(&method, &mut message), method, id: (id != Id::Null).then_some(id) }
        }
        Some(_) => Incoming::Invalid(id),
        None if id == Id::Null => Incoming::Invalid(id),
        None => Incoming::Reply(read_reply(id, message)),
    }
}

fn read_params(method: &str, message: &mut Map<String, Value>) -> Option<Value> {
    let params = message.remove("params");
    let params = match (method, params) {
        ("shutdown" | "exit", _) => return None,
        ("initialized", None | Some(Value::Null)) => Some(json!({})),
        (_, params) => params,
    };
    match message.remove("trace") {
        Some(trace @ Value::Object(_)) => params.map(|params| adopt_trace(method, params, trace)),
        _ => params,
    }
}

/// Puts a trace context from the envelope where handlers look for it: `_meta` of the params, or of a command's argument.
fn adopt_trace(method: &str, mut params: Value, trace: Value) -> Value {
    let target = match method {
        "workspace/executeCommand" => params.pointer_mut("/arguments/0"),
        _ => Some(&mut params),
    };
    if let Some(target) = target.and_then(Value::as_object_mut) {
        target.entry("_meta").or_insert(trace);
    }
    params
}

/// An id as the client wrote it; `None` for what cannot be one.
pub fn read_id(id: Value) -> Option<Id> {
    match id {
        Value::Null => Some(Id::Null),
        Value::String(text) => Some(Id::String(text)),
        Value::Number(number) => number
            .as_i64()
            // Some clients know only floating point numbers.
            .or_else(|| number.as_f64().and_then(whole))
            .map(Id::Number),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn whole(number: f64) -> Option<i64> {
    // 2^53: above it a double no longer tells neighbouring integers apart.
    let exact = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
    exact.then_some(number as i64)
}

fn read_reply(id: Id, mut message: Map<String, Value>) -> Response {
    match message.remove("error") {
        None | Some(Value::Null) => Response::from_ok(id, message.remove("result").unwrap_or(Value::Null)),
        Some(error) => {
            let code = error.get("code").and_then(Value::as_i64).unwrap_or(0);
            let text = error.get("message").and_then(Value::as_str).unwrap_or("");
            let mut read = Error::new(ErrorCode::from(code));
            read.message = text.to_owned().into();
            read.data = error.get("data").cloned();
            Response::from_error(id, read)
        }
    }
}

/// An error with our `data` member.
pub fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { code: ErrorCode::from(kind.json_rpc_code()), message: message.into().into(), data: Some(data(kind, None)) }
}

/// The error with `data.kind` filled in where whoever made it left it out.
pub fn explain(mut error: Error) -> Error {
    if error.data.as_ref().is_some_and(|data| data.get("kind").is_some()) {
        return error;
    }
    let (kind, detail) = match (error.code, error.data.take()) {
        (ErrorCode::MethodNotFound, Some(Value::String(method))) => {
            (ErrorKind::BadParams, Some(format!("unknown method {method}")))
        }
        (code, given) => (kind_of(code), given.map(|given| given.to_string())),
    };
    error.data = Some(data(kind, detail));
    error
}

fn kind_of(code: ErrorCode) -> ErrorKind {
    match code {
        ErrorCode::RequestCancelled => ErrorKind::Cancelled,
        ErrorCode::ContentModified => ErrorKind::StaleBase,
        ErrorCode::InternalError => ErrorKind::Internal,
        ErrorCode::ParseError
        | ErrorCode::InvalidRequest
        | ErrorCode::MethodNotFound
        | ErrorCode::InvalidParams
        | ErrorCode::ServerError(_) => ErrorKind::BadParams,
    }
}

fn data(kind: ErrorKind, detail: Option<String>) -> Value {
    let data = ErrorData { kind, retryable: kind.retryable(), detail, hint: None };
    serde_json::to_value(data).expect("strings and a bool always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: Option<Id>, method: &str, params: Option<Value>) -> Incoming {
        Incoming::Call { id, method: method.into(), params }
    }

    #[test]
    fn sorts() {
        for (message, expected) in [
            (
                json!({"jsonrpc": "2.0", "id": 1, "method": "a", "params": {}}),
                call(Some(Id::Number(1)), "a", Some(json!({}))),
            ),
            (json!({"id": "x", "method": "a"}), call(Some(Id::String("x".into())), "a", None)),
            (json!({"id": null, "method": "a"}), call(None, "a", None)),
            (json!({"id": 3.0, "method": "a"}), call(Some(Id::Number(3)), "a", None)),
            (json!({"id": 3.5, "method": "a"}), Incoming::Invalid(Id::Null)),
            (json!({"id": 5_000_000_000_i64, "method": "a"}), call(Some(Id::Number(5_000_000_000)), "a", None)),
            (json!({"id": [1], "method": "a"}), Incoming::Invalid(Id::Null)),
            (json!({"id": 1, "method": 2}), Incoming::Invalid(Id::Number(1))),
            (json!({"id": 1, "method": "shutdown", "params": {}}), call(Some(Id::Number(1)), "shutdown", None)),
            (json!({"method": "exit", "params": []}), call(None, "exit", None)),
            (json!({"method": "initialized"}), call(None, "initialized", Some(json!({})))),
            (json!({"method": "initialized", "params": null}), call(None, "initialized", Some(json!({})))),
            (json!({"id": 1, "result": null}), Incoming::Reply(Response::from_ok(Id::Number(1), Value::Null))),
            (json!({"id": 1}), Incoming::Reply(Response::from_ok(Id::Number(1), Value::Null))),
            (json!({}), Incoming::Invalid(Id::Null)),
            (json!([]), Incoming::Invalid(Id::Null)),
            (json!(1), Incoming::Invalid(Id::Null)),
        ] {
            let shown = message.to_string();
            assert_eq!(sort(message), expected, "{shown}");
        }
    }

    #[test]
    fn a_reply_with_null_result_and_an_error_is_an_error() {
        let message = json!({"id": 1, "result": null, "error": {"code": -32601, "message": "no", "extra": 1}});
        let Incoming::Reply(reply) = sort(message) else {
            panic!("not a reply");
        };
        assert_eq!(reply.error().unwrap().code, ErrorCode::MethodNotFound);
    }

    #[test]
    fn the_envelope_trace_becomes_meta() {
        let trace = json!({"traceparent": "00-1"});
        let Incoming::Call { params, .. } =
            sort(json!({"id": 1, "method": "krins/assign", "trace": trace, "params": {"a": 1}}))
        else {
            panic!("not a call");
        };
        assert_eq!(params.unwrap(), json!({"a": 1, "_meta": trace}));
        let Incoming::Call { params, .. } = sort(json!({
            "id": 1, "method": "workspace/executeCommand", "trace": trace,
            "params": {"command": "krins.assign", "arguments": [{"a": 1}]},
        })) else {
            panic!("not a call");
        };
        assert_eq!(params.unwrap()["arguments"][0], json!({"a": 1, "_meta": trace}));
        let Incoming::Call { params, .. } = sort(json!({
            "id": 1, "method": "krins/assign", "trace": trace,
            "params": {"_meta": {"traceparent": "00-2"}},
        })) else {
            panic!("not a call");
        };
        assert_eq!(params.unwrap(), json!({"_meta": {"traceparent": "00-2"}}));
    }

    #[test]
    fn every_error_has_a_kind() {
        for code in [-32700, -32600, -32601, -32602, -32603, -32800, -32801, -32002, -32803] {
            let explained = explain(Error::new(ErrorCode::from(code)));
            assert!(explained.data.unwrap()["kind"].is_string(), "{code}");
        }
        let ours = error(ErrorKind::Overloaded, "x");
        assert_eq!(explain(ours.clone()), ours);
        assert_eq!(ours.code.code(), -32803);
    }
}
