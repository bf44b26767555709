//! What was spent since the start, for the metrics; the ledger is what counts. Providers are those of the settings.

use super::{Purpose, Scope};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// Millionths of a US dollar, by provider and what for.
    pub micros: BTreeMap<(String, &'static str), u64>,
    /// Calls whose price is not known, by provider.
    pub unpriced: BTreeMap<String, u64>,
    /// Calls that a budget stopped, by whose it was.
    pub stops: BTreeMap<&'static str, u64>,
}

impl Spending {
    /// One call ended, and cost this.
    pub fn charge(&mut self, provider: &str, purpose: Purpose, micros: Option<u64>) {
        match micros {
            Some(micros) => {
                let spent = self.micros.entry((provider.to_owned(), purpose.name())).or_default();
                *spent = spent.saturating_add(micros);
            }
            None => *self.unpriced.entry(provider.to_owned()).or_default() += 1,
        }
    }

    pub fn stop(&mut self, scope: Scope) {
        *self.stops.entry(scope.name()).or_default() += 1;
    }
}
