//! `str_replace` tool calls as JSON: one object, a list, several values in a row, also in fences.

use super::super::Refusal;
use super::super::ir::{Action, Body, FileOp, Form, RawHunk};
use super::{Found, fence, refuse};
use serde_json::{Map, Value};

/// `None` when the answer is not of this form.
pub(super) fn parse(answer: &str) -> Result<Option<Found>, Refusal> {
    let mut calls = Vec::new();
    for text in json_texts(answer) {
        let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&text).into_iter().collect();
        for value in values.unwrap_or_default() {
            collect(value, &mut calls, 4);
        }
    }
    if calls.is_empty() {
        return Ok(None);
    }
    let files = calls.iter().map(file).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Found { form: Form::StrReplace, files, repairs: Vec::new() }))
}

/// The answer itself when it is JSON, else what its fences hold.
fn json_texts(answer: &str) -> Vec<String> {
    if answer.starts_with(['{', '[']) {
        return vec![answer.to_owned()];
    }
    let mut texts = Vec::new();
    let mut open: Option<String> = None;
    for line in answer.lines() {
        match (fence(line), &mut open) {
            (Some(_), Some(_)) => texts.extend(open.take()),
            (Some(_), None) => open = Some(String::new()),
            (None, Some(text)) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    texts.retain(|text| text.trim_start().starts_with(['{', '[']));
    texts
}

fn collect(value: Value, calls: &mut Vec<Map<String, Value>>, depth: usize) {
    match value {
        Value::Array(values) => values.into_iter().for_each(|value| collect(value, calls, depth)),
        Value::Object(map) if is_call(&map) => calls.push(map),
        Value::Object(map) if depth > 0 => {
            let outer = text(&map, &PATHS).map(str::to_owned);
            for (key, value) in map {
                if ["edits", "input", "arguments", "calls", "operations", "changes"].contains(&key.as_str()) {
                    let from = calls.len();
                    collect(value, calls, depth - 1);
                    for call in &mut calls[from..] {
                        if let (None, Some(path)) = (text(call, &PATHS), &outer) {
                            call.insert("path".into(), Value::String(path.clone()));
                        }
                    }
                }
            }
        }
        _ => {}
    }
}

const PATHS: [&str; 3] = ["path", "file_path", "filePath"];
const OLD: [&str; 4] = ["old_str", "old_string", "oldString", "oldText"];
const NEW: [&str; 4] = ["new_str", "new_string", "newString", "newText"];
const TEXT: [&str; 3] = ["file_text", "content", "contents"];

fn text<'a>(map: &'a Map<String, Value>, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| map.get(*key)?.as_str())
}

fn is_call(map: &Map<String, Value>) -> bool {
    let named = text(map, &PATHS).is_some();
    text(map, &OLD).is_some() || named && text(map, &TEXT).is_some() || named && text(map, &["command"]).is_some()
}

fn file(call: &Map<String, Value>) -> Result<FileOp, Refusal> {
    let path = text(call, &PATHS).ok_or_else(|| refuse("", "an edit names no file"))?;
    if ["replace_all", "replaceAll"].iter().any(|key| call.get(*key) == Some(&Value::Bool(true))) {
        return Err(refuse(path, "it asks to replace every occurrence; name each place"));
    }
    let action = match (text(call, &OLD), text(call, &NEW), text(call, &TEXT)) {
        (Some(""), Some(new), _) => Action::Create(lines(new)),
        (Some(old), Some(new), _) => Action::Edit(vec![hunk(old, new)]),
        (None, _, Some(content)) => Action::Whole(lines(content)),
        _ => {
            return Err(refuse(path, "the edit is not a str_replace or create call with its texts"));
        }
    };
    let whole = matches!(action, Action::Whole(_) | Action::Create(_));
    let last = text(call, &TEXT).or_else(|| text(call, &NEW)).unwrap_or_default();
    Ok(FileOp {
        no_newline: whole && !last.is_empty() && !last.ends_with('\n'),
        ..FileOp::new(path.to_owned(), action)
    })
}

fn hunk(old: &str, new: &str) -> RawHunk {
    // Both halves end the line or neither does: then the line end is no part of the edit.
    let (old, new) = match (old.strip_suffix('\n'), new.strip_suffix('\n')) {
        (Some(old), Some(new)) => (old, new),
        (Some(old), None) if new.is_empty() => (old, new),
        _ => (old, new),
    };
    let split = |text: &str| -> Vec<String> {
        text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned()).collect()
    };
    RawHunk::new(Body::Blocks {
        old: split(old),
        new: if new.is_empty() { Vec::new() } else { split(new) },
        inside_lines: true,
    })
}

fn lines(text: &str) -> Vec<String> {
    text.split_inclusive('\n')
        .map(|line| line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line)).to_owned())
        .collect()
}
