//! The transcripts of docs/protocol.md, replayed against the real binary.

use std::path::Path;

use krins_tests::client::Client;
use krins_tests::personas::Persona;
use krins_tests::workspace::Workspace;
use serde_json::Value;

const FIXTURE: &str = "\
//- /src/total.ts
export function calculateTotal(prices: number[]): number {
  return prices.reduce((sum, price) => sum + price, 0);
}
//- /src/cart.ts
import { calculateTotal } from \"./total\";
export const cart = (prices: number[]) => calculateTotal(prices);
";

/// Whether `value` holds at least what `expected` says.
fn holds(value: &Value, expected: &Value) -> bool {
    match (value, expected) {
        (Value::Object(value), Value::Object(expected)) => {
            expected.iter().all(|(key, expected)| value.get(key).is_some_and(|value| holds(value, expected)))
        }
        (value, expected) => value == expected,
    }
}

/// One or two JSON values after a method's name.
fn values(text: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(text)
        .into_iter::<Value>()
        .map(|value| value.unwrap_or_else(|error| panic!("{error}: {text}")))
        .collect()
}

#[test]
fn every_transcript_is_true() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md");
    let page = std::fs::read_to_string(page).unwrap();
    let workspace = Workspace::from_fixture(FIXTURE);
    let mut client = Client::start(&workspace, Persona::VSCODE);
    for method in ["window/showMessage", "textDocument/publishDiagnostics", "krins/task/didChange", "$/progress"] {
        client.ignore(method);
    }
    client.ignore("window/workDoneProgress/create");
    let mut answer = Value::Null;
    let mut replayed = 0;
    let mut inside = false;
    for line in page.lines() {
        inside = match line {
            "```transcript" => true,
            "```" => false,
            _ => inside,
        };
        let Some((mark, rest)) = line.split_once(' ').filter(|_| inside) else { continue };
        match mark {
            "→" => {
                let (method, params) = rest.split_once(' ').unwrap();
                answer = client
                    .request(method, values(params).remove(0))
                    .unwrap_or_else(|error| panic!("{line}: {error:?}"));
                replayed += 1;
            }
            "←" => assert!(holds(&answer, &values(rest)[0]), "{line}\ngot {answer}"),
            "✗" => {
                let (method, rest) = rest.split_once(' ').unwrap();
                let parts = values(rest);
                let error = client.request(method, parts[0].clone()).unwrap_err();
                assert!(holds(&error.data, &parts[1]), "{line}\ngot {error:?}");
                replayed += 1;
            }
            _ => {}
        }
    }
    assert!(replayed > 20, "only {replayed} lines were replayed");
}
