//! The price table, and what a call's tokens cost by it: whole numbers all the way, so that a sum of thousands of calls
//! is exact. A model without a row has no price, which is something else than a price of nothing.

use crate::Usage;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::OnceLock;

/// The table that comes with the program; its head says what stands where.
const TABLE: &str = include_str!("prices.txt");

/// Millionths of a US dollar for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    /// Into a cache that lives for minutes, the usual one.
    pub cache_write: u64,
    /// Into one that lives for an hour or more.
    pub cache_write_long: u64,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// A provider's name or kind.
    pub provider: String,
    /// A model's name without its date; `*` at the end stands for the rest.
    pub model: String,
    pub from: Day,
    /// Tokens of prompt above which the row holds.
    pub over: u64,
    pub rates: Rates,
}

/// A day of the Gregorian calendar in UTC, in days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Day(pub i64);

impl Day {
    /// The day of a moment in milliseconds since the Unix epoch.
    pub fn of_millis(millis: i64) -> Self {
        Self(millis.div_euclid(86_400_000))
    }

    /// `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let mut part = |digits: usize| {
            let part = parts.next()?;
            (part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| part.parse::<i64>().ok())?
        };
        let (year, month, day) = (part(4)?, part(2)?, part(2)?);
        let parsed = Self::of(year, month, day);
        (parsed.date() == (year, month, day)).then_some(parsed)
    }

    /// Howard Hinnant's `days_from_civil`.
    fn of(year: i64, month: i64, day: i64) -> Self {
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        Self(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
    }

    /// Howard Hinnant's `civil_from_days`.
    fn date(self) -> (i64, i64, i64) {
        let days = self.0 + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * years + years / 4 - years / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        (years + era * 400 + i64::from(month <= 2), month, day)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// What a call costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Millionths of a US dollar, rounded up once for the whole call.
    pub micros: u64,
    /// Since when the price holds.
    pub from: Day,
}

/// All prices that are known: the person's own before the table's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    own: Vec<Price>,
}

impl Prices {
    /// Rows as the table writes them, which win over it.
    pub fn with(own: &[String]) -> Result<Self, BadPrice> {
        Ok(Self { own: own.iter().map(|line| Price::parse(line)).collect::<Result<_, _>>()? })
    }

    /// What these tokens cost at the model on that day; `None` when nobody said. `provider` is a name, `kind` what it is.
    pub fn cost(&self, provider: &str, kind: &str, model: &str, usage: &Usage, day: Day) -> Option<Cost> {
        let row = self.find(provider, kind, model, prompt_tokens(usage), day)?;
        Some(Cost { micros: row.rates.cost(usage), from: row.from })
    }

    /// Whether the model costs nothing, however much is asked of it.
    pub fn is_free(&self, provider: &str, kind: &str, model: &str, day: Day) -> bool {
        self.find(provider, kind, model, u64::MAX, day).is_some_and(|row| row.rates == Rates::FREE)
    }

    fn find(&self, provider: &str, kind: &str, model: &str, prompt: u64, day: Day) -> Option<&Price> {
        let of = |rows: &'static [Price], name: &str| pick(rows, name, model, prompt, day);
        pick(&self.own, provider, model, prompt, day)
            .or_else(|| pick(&self.own, kind, model, prompt, day))
            // A name in the settings is no provider's: only its kind is.
            .or_else(|| of(table(), kind))
    }
}

/// Every token of the prompt, wherever it came from.
fn prompt_tokens(usage: &Usage) -> u64 {
    usage.input_tokens.saturating_add(usage.cache_read_tokens).saturating_add(usage.cache_write_tokens)
}

/// The rows that come with the program.
pub fn table() -> &'static [Price] {
    static ROWS: OnceLock<Vec<Price>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let rows = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        rows.map(|line| Price::parse(line).expect("every row of the table is one, which a test holds")).collect()
    })
}

fn pick<'a>(rows: &'a [Price], provider: &str, model: &str, prompt: u64, day: Day) -> Option<&'a Price> {
    let fitting = || rows.iter().filter(|row| row.provider == provider && row.covers(model) && row.from <= day);
    // An exact name before a pattern, and among patterns the longest.
    let name = fitting().max_by_key(|row| (row.is_exact(), row.model.len()))?.model.as_str();
    let newest = fitting().filter(|row| row.model == name).map(|row| row.from).max()?;
    let above = |over: u64| over == 0 || prompt > over;
    fitting().filter(|row| row.model == name && row.from == newest && above(row.over)).max_by_key(|row| row.over)
}

impl Rates {
    pub const FREE: Self = Self { input: 0, output: 0, cache_read: 0, cache_write: 0, cache_write_long: 0 };

    /// In millionths of a US dollar, rounded up.
    pub fn cost(&self, usage: &Usage) -> u64 {
        let long = usage.cache_write_long_tokens.min(usage.cache_write_tokens);
        let parts = [
            (usage.input_tokens, self.input),
            (usage.output_tokens, self.output),
            (usage.cache_read_tokens, self.cache_read),
            (usage.cache_write_tokens - long, self.cache_write),
            (long, self.cache_write_long),
        ];
        // A product of two 64-bit numbers is less than 2^128, and five of them are added with care.
        let sum =
            parts.iter().fold(0u128, |sum, (tokens, rate)| sum.saturating_add(u128::from(*tokens) * u128::from(*rate)));
        u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// A row that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{why} in the price {line:?}: it is written PROVIDER MODEL FROM OVER INPUT OUTPUT [READ [WRITE [WRITE-LONG]]], dollars for a million tokens"
)]
pub struct BadPrice {
    line: String,
    why: &'static str,
}

impl Price {
    /// `provider model from over input output [cache-read [cache-write [cache-write-long]]]`; `-` and what is left out
    /// costs what input costs.
    pub fn parse(line: &str) -> Result<Self, BadPrice> {
        let bad = |why| BadPrice { line: line.chars().take(120).collect(), why };
        let words: Vec<&str> = line.split_whitespace().collect();
        let [provider, model, from, over, input, output, rest @ ..] = words.as_slice() else {
            return Err(bad("too few words"));
        };
        if rest.len() > 3 {
            return Err(bad("too many words"));
        }
        let amount = |text: &str| micros(text).ok_or_else(|| bad("an amount that is none"));
        let input = amount(input)?;
        let or_input = |at: usize| match rest.get(at) {
            None | Some(&"-") => Ok(input),
            Some(text) => amount(text),
        };
        let cache_write = or_input(1)?;
        let long = match rest.get(2) {
            None => cache_write,
            Some(_) => or_input(2)?,
        };
        if model.trim_end_matches('*').contains('*') {
            return Err(bad("a * that is not at the end of the model"));
        }
        Ok(Self {
            provider: (*provider).to_owned(),
            model: model.to_ascii_lowercase(),
            from: Day::parse(from).ok_or_else(|| bad("a day that is none"))?,
            over: over.parse().map_err(|_| bad("a number of tokens that is none"))?,
            rates: Rates {
                input,
                output: amount(output)?,
                cache_read: or_input(0)?,
                cache_write,
                cache_write_long: long,
            },
        })
    }

    fn is_exact(&self) -> bool {
        !self.model.ends_with('*')
    }

    fn covers(&self, model: &str) -> bool {
        let name = model.to_ascii_lowercase();
        let name = name.strip_prefix("models/").unwrap_or(&name);
        match self.model.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == self.model || undated(name) == self.model,
        }
    }
}

/// The name without the date of its snapshot: `-20250929` or `-2025-09-29` at its end.
fn undated(name: &str) -> &str {
    let date = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text.bytes().zip(shape.bytes()).all(|(byte, shape)| match shape {
                b'0' => byte.is_ascii_digit(),
                other => byte == other,
            })
    };
    for shape in ["-00000000", "-0000-00-00", "@00000000"] {
        if let Some((start, end)) = name.len().checked_sub(shape.len()).and_then(|at| name.split_at_checked(at))
            && date(end, shape)
        {
            return start;
        }
    }
    name
}

/// Dollars with at most six digits behind the point → millionths.
fn micros(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 6 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(1_000_000)?;
    whole.checked_add(format!("{part:0<6}").parse().ok()?)
}

/// An amount for people: cents while they say enough, more digits where they do not.
pub fn dollars(micros: u64) -> String {
    let (whole, part) = (micros / 1_000_000, micros % 1_000_000);
    let digits = format!("{part:06}");
    let kept = digits.trim_end_matches('0').len().max(2);
    format!("${whole}.{}", &digits[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn today() -> Day {
        Day::parse("2026-11-29").unwrap()
    }

    fn cost(kind: &str, model: &str, usage: Usage) -> Option<u64> {
        Prices::default().cost(kind, kind, model, &usage, today()).map(|cost| cost.micros)
    }

    fn tokens(input: u64, output: u64, read: u64, write: u64) -> Usage {
        Usage {
            input_tokens: input,
            output_tokens: output,
            cache_read_tokens: read,
            cache_write_tokens: write,
            ..Usage::default()
        }
    }

    #[test]
    fn every_row_of_the_table_is_one_and_stands_once() {
        let mut seen = std::collections::BTreeSet::new();
        for row in table() {
            assert!(seen.insert((&row.provider, &row.model, row.from, row.over)), "{row:?}");
            assert!(row.rates.cache_read <= row.rates.input && row.rates.output >= row.rates.input, "{row:?}");
        }
        assert!(TABLE.matches("# source: https://").count() >= 3);
    }

    #[test]
    fn classes_of_tokens_cost_what_they_cost() {
        assert_eq!(cost("anthropic", "claude-haiku-4-5-20251001", tokens(10, 42, 5, 7)), Some(10 + 210 + 1 + 9));
        assert_eq!(cost("anthropic", "claude-sonnet-4-6", tokens(1_000_000, 0, 0, 0)), Some(3_000_000));
        let long = Usage { cache_write_long_tokens: 400, ..tokens(0, 0, 0, 1000) };
        assert_eq!(cost("anthropic", "claude-sonnet-4-6", long), Some((600 * 375 + 400 * 600) / 100));
        assert_eq!(
            cost("openai", "gpt-5", tokens(30, 8, 60, 10)),
            Some((30 * 1250 + 80_000 + 60 * 125 + 10 * 1250) / 1000 + 1)
        );
        assert_eq!(cost("ollama", "qwen:7b", tokens(1 << 40, 5, 0, 0)), Some(0));
    }

    #[test]
    fn an_unknown_model_has_no_price_which_is_not_nothing() {
        assert_eq!(cost("openai", "gpt-99", tokens(1, 1, 0, 0)), None);
        assert_eq!(cost("openai-chat", "gpt-5", tokens(1, 1, 0, 0)), None);
        assert_eq!(cost("openai", "gpt-5-mini-of-mine", tokens(1, 1, 0, 0)), None);
        assert!(!Prices::default().is_free("openai", "openai", "gpt-99", today()));
        assert!(Prices::default().is_free("mine", "ollama", "x", today()));
    }

    #[test]
    fn prices_have_their_days_and_long_prompts_their_rows() {
        let at = |day: &str, model: &str, usage: Usage| {
            Prices::default().cost("x", "anthropic", model, &usage, Day::parse(day).unwrap()).map(|cost| cost.micros)
        };
        let read = tokens(0, 0, 1_000_000, 0);
        assert_eq!(at("2026-10-06", "claude-sonnet-5-5", read), Some(200_000));
        assert_eq!(at("2026-10-07", "claude-sonnet-5-5", read), Some(100_000));
        assert_eq!(at("2026-10-06", "claude-haiku-5-5", tokens(10, 0, 0, 0)), None, "it was not out");
        // Every token of a prompt that is longer costs more, cached ones and the answer's too.
        assert_eq!(at("2026-11-01", "claude-haiku-5-5", tokens(50_000, 1000, 50_000, 0)), Some(5_000 + 500 + 500));
        assert_eq!(at("2026-11-01", "claude-haiku-5-5", tokens(50_001, 1000, 50_000, 0)), Some(25_001 + 2_500 + 2_500));
        let gemini = |day: &str| {
            Prices::default()
                .cost("g", "gemini", "models/gemini-3.8-flash", &tokens(1_000_000, 0, 0, 0), Day::parse(day).unwrap())
                .map(|cost| (cost.micros, cost.from.to_string()))
        };
        assert_eq!(gemini("2026-12-31"), Some((750_000, "2026-09-02".into())));
        assert_eq!(gemini("2027-01-01"), Some((1_500_000, "2027-01-01".into())));
    }

    #[test]
    fn a_persons_own_prices_win_and_bad_ones_say_why() {
        let own = ["mine * 2026-01-01 0 1 2", "anthropic claude-sonnet-4-6 2026-01-01 0 1.5 7.5 - 2"];
        let prices = Prices::with(&own.map(str::to_owned)).unwrap();
        let micros = |provider: &str, kind: &str, model: &str, usage: Usage| {
            prices.cost(provider, kind, model, &usage, today()).map(|cost| cost.micros)
        };
        assert_eq!(micros("mine", "openai-chat", "whatever", tokens(100, 100, 100, 0)), Some(400));
        assert_eq!(micros("work", "anthropic", "claude-sonnet-4-6", tokens(0, 0, 100, 100)), Some(150 + 200));
        assert_eq!(micros("work", "anthropic", "claude-haiku-4-5", tokens(100, 0, 0, 0)), Some(100));
        for (line, why) in [
            ("a b", "too few"),
            ("a b 2026-02-30 0 1 1", "day"),
            ("a b 2026-01-01 x 1 1", "tokens"),
            ("a b 2026-01-01 0 -1 1", "amount"),
            ("a b 2026-01-01 0 1.0000001 1", "amount"),
            ("a b 2026-01-01 0 1 1 1 1 1 1", "too many"),
            ("a b*c 2026-01-01 0 1 1", "*"),
        ] {
            let error = Prices::with(&[line.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("PROVIDER MODEL"), "{error}");
        }
    }

    #[test]
    fn amounts_are_shown_with_what_they_need() {
        for (micros, shown) in [
            (0, "$0.00"),
            (1, "$0.000001"),
            (1_500_000, "$1.50"),
            (123_450, "$0.12345"),
            (u64::MAX, "$18446744073709.551615"),
        ] {
            assert_eq!(dollars(micros), shown);
        }
    }

    proptest! {
        #[test]
        fn days_come_back(days in -1_000_000i64..1_000_000) {
            let day = Day(days);
            let text = day.to_string();
            if (0..=9999).contains(&day.date().0) {
                prop_assert_eq!(Day::parse(&text), Some(day));
            }
        }

        #[test]
        fn a_call_never_costs_less_than_its_tokens_and_no_panic_comes(
            input: u64, output: u64, read: u64, write: u64, long: u64, rate in 0u64..1_000_000_000
        ) {
            let usage = Usage { cache_write_long_tokens: long, ..tokens(input, output, read, write) };
            let rates = Rates { input: rate, output: rate, cache_read: rate, cache_write: rate, cache_write_long: rate };
            let exact = (u128::from(input) + u128::from(output) + u128::from(read) + u128::from(write)) * u128::from(rate);
            let cost = u128::from(rates.cost(&usage)) * 1_000_000;
            prop_assert!(cost >= exact && cost < exact + 1_000_000 || cost / 1_000_000 == u128::from(u64::MAX));
        }

        #[test]
        fn any_line_is_a_price_or_an_error(line in ".{0,60}") {
            let _ = Price::parse(&line);
        }
    }
}
