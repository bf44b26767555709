//! Every byte of a log of 10,000 records with other values, every deletion, doubling and reorder: each has to be found at
//! the line it is in, or at the next. `audit_exhaustive [records] [values]`, where values 255 is every other value.

use krins_core::audit::{Head, Record, Verifier, commitment};
use std::io::Write as _;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let records = arguments.next().unwrap_or(10_000);
    let values = arguments.next().unwrap_or(255).min(255) as u8;
    let mut head = Head::default();
    let mut lines = Vec::new();
    for seq in 1..=records {
        let kind = ["task.assigned", "task.gated", "change.done"][seq as usize % 3];
        let commit = commitment(&[seq as u8; 32], &seq.to_be_bytes());
        let record = Record::next(&head, 1_795_910_400_000 + seq, kind, "0123456789ab", commit).expect("plain words");
        head = record.head();
        lines.push(record.line());
    }
    let line = |at: usize| lines[at].trim_end().as_bytes();
    let mut before = Verifier::default();
    let (mut tried, mut missed) = (0u64, 0u64);
    for at in 0..lines.len() {
        let mut changed = line(at).to_vec();
        for byte in 0..changed.len() {
            let was = changed[byte];
            for step in 1..=values {
                changed[byte] = was.wrapping_add(step);
                tried += 1;
                missed += u64::from(before.clone().take(&changed).is_ok());
            }
            changed[byte] = was;
        }
        if at + 1 < lines.len() {
            // Removed, or changed places with the next: the next line stands here.
            tried += 2;
            missed += u64::from(before.clone().take(line(at + 1)).is_ok());
            // Doubled.
            let mut after = before.clone();
            after.take(line(at)).expect("the log is sound");
            missed += u64::from(after.take(line(at)).is_ok());
        }
        before.take(line(at)).expect("the log is sound");
    }
    let said = format!("{records} records: {tried} changes, {missed} not found\n");
    let _ = std::io::stderr().write_all(said.as_bytes());
    std::process::exit(i32::from(missed > 0));
}
