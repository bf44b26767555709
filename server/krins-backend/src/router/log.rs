//! The router's memory, in the books: every choice with the chance it had, and what came of it.

use super::{Arm, Decision, Outcome, reward};
use crate::money::{Books, Day, LedgerError};
use rusqlite::params;
use std::collections::BTreeMap;

/// Choices that are looked back at, the newest.
const HORIZON: i64 = 5_000;

/// What came of each route so far: (outcomes, sum of rewards).
pub type History = BTreeMap<String, (u64, f64)>;

/// A choice whose outcome is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    pub decision: Decision,
    pub reward: f64,
}

/// Writes a choice down behind the caller.
pub fn decide(books: &Books, tenant: &str, task: &str, decision: &Decision, now_ms: i64) {
    let (tenant, task, decision) = (tenant.to_owned(), task.to_owned(), decision.clone());
    books.run_behind(move |connection| {
        let arms = serde_json::to_string(&decision.arms).unwrap_or_default();
        connection
            .prepare_cached(
                "INSERT INTO decision (id, tenant, task, day, decided_ms, policy, class, arms, chosen, propensity, seed, explanation) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                decision.id,
                tenant,
                task,
                Day::of_millis(now_ms).0,
                now_ms,
                decision.policy,
                decision.class,
                arms,
                decision.route,
                decision.propensity,
                decision.seed.cast_signed(),
                decision.explanation,
            ])?;
        Ok(())
    });
}

/// Notes what came of a tenant's choice. A later word of the same source replaces the earlier one.
pub fn note(books: &Books, tenant: &str, decision: &str, outcome: Outcome, now_ms: i64) {
    let (tenant, decision) = (tenant.to_owned(), decision.to_owned());
    books.run_behind(move |connection| {
        connection
            .prepare_cached(
                "INSERT INTO outcome (decision, source, reward, noted_ms) SELECT id, ?3, ?4, ?5 FROM decision WHERE id = ?1 AND tenant = ?2 \
                 ON CONFLICT (decision, source) DO UPDATE SET reward = excluded.reward, noted_ms = excluded.noted_ms",
            )?
            .execute(params![decision, tenant, outcome.source(), outcome.value(), now_ms])?;
        Ok(())
    });
}

/// The newest choices of a tenant whose outcome is known, oldest first.
pub async fn known(books: &Books, tenant: &str) -> Result<Vec<Logged>, LedgerError> {
    let tenant = tenant.to_owned();
    books
        .run(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, policy, class, arms, chosen, propensity, seed, explanation, \
                 (SELECT reward FROM outcome WHERE decision = id AND source = 'gate'), \
                 (SELECT reward FROM outcome WHERE decision = id AND source = 'person'), \
                 (SELECT reward FROM outcome WHERE decision = id AND source = 'edits') \
                 FROM decision WHERE tenant = ?1 ORDER BY decided_ms DESC, id DESC LIMIT ?2",
            )?;
            let rows = statement.query_map(params![tenant, HORIZON], |row| {
                let arms: String = row.get(3)?;
                let decision = Decision {
                    id: row.get(0)?,
                    policy: row.get(1)?,
                    class: row.get(2)?,
                    arms: serde_json::from_str(&arms).unwrap_or_default(),
                    route: row.get(4)?,
                    propensity: row.get(5)?,
                    seed: row.get::<_, i64>(6)?.cast_unsigned(),
                    explanation: row.get(7)?,
                };
                let reward = reward(row.get(8)?, row.get(9)?, row.get(10)?);
                Ok(reward.map(|reward| Logged { decision, reward }))
            })?;
            let mut known = rows.filter_map(Result::transpose).collect::<rusqlite::Result<Vec<_>>>()?;
            known.reverse();
            Ok(known)
        })
        .await
}

/// What came of each route for tasks of a class.
pub fn history<'a>(known: impl Iterator<Item = &'a Logged>, class: &str) -> History {
    let mut history = History::new();
    for logged in known.filter(|logged| logged.decision.class == class) {
        let (n, sum) = history.entry(logged.decision.route.clone()).or_default();
        *n += 1;
        *sum += logged.reward;
    }
    history
}

/// Arms with what is known of them, none blocked.
pub fn arms(routes: &[String], history: &History) -> Vec<Arm> {
    let arm = |route: &String| {
        let (n, sum) = history.get(route).copied().unwrap_or_default();
        Arm { route: route.clone(), n, sum, blocked: None }
    };
    routes.iter().map(arm).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Policy, Scene, choose};
    use super::*;

    #[tokio::test]
    async fn choices_and_outcomes_come_back_and_tenants_are_apart() {
        let books = Books::at(None);
        let arms = arms(&["a/x".to_owned(), "b/y".to_owned()], &History::new());
        let scene = Scene { class: "fix", arms: &arms, micros: None };
        let mut ids = Vec::new();
        for (number, tenant) in ["", "", "t"].into_iter().enumerate() {
            let decision = choose(&Policy::Thompson, 5, &scene, number as u64).unwrap();
            decide(&books, tenant, "task", &decision, number as i64);
            ids.push(decision);
        }
        assert_eq!(known(&books, "").await.unwrap(), [], "nothing is known yet");
        note(&books, "", &ids[0].id, Outcome::Gate { passed: true }, 1);
        note(&books, "", &ids[1].id, Outcome::Person { accepted: false }, 1);
        note(&books, "", &ids[1].id, Outcome::Person { accepted: true }, 2);
        note(&books, "", &ids[1].id, Outcome::Edits { share: 0.5 }, 2);
        note(&books, "", &ids[2].id, Outcome::Person { accepted: true }, 2);
        note(&books, "", "nobody's", Outcome::Person { accepted: true }, 2);
        let mine = known(&books, "").await.unwrap();
        assert_eq!(mine.iter().map(|logged| logged.reward).collect::<Vec<_>>(), [0.5, 0.75]);
        assert_eq!(mine[0].decision, ids[0]);
        assert_eq!(known(&books, "t").await.unwrap(), [], "another tenant's word counts for nothing");
        let history = history(mine.iter(), "fix");
        assert_eq!(history.values().map(|(n, _)| n).sum::<u64>(), 2);
    }
}
