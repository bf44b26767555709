//! Work on many things with the threads that this process may use.

use crate::limits::Limits;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Fewer items are not worth a thread.
const FEW: usize = 64;
/// Taken by a thread at once.
const PORTION: usize = 16;

/// How many threads work on the index at once: what the machine, its affinity mask and its control group allow.
pub(super) fn workers() -> usize {
    Limits::current().workers()
}

/// Maps in order; `None` answers are left out.
pub(super) fn filter_map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Option<R> + Sync) -> Vec<R> {
    let workers = workers();
    if items.len() < FEW || workers < 2 {
        return items.iter().filter_map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let from = next.fetch_add(PORTION, Ordering::Relaxed);
            let Some(items) = items.get(from..) else { return done };
            if items.is_empty() {
                return done;
            }
            let portion = items.iter().take(PORTION).enumerate();
            done.extend(portion.filter_map(|(at, item)| Some((from + at, work(item)?))));
        }
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn order_is_kept_and_none_is_left_out() {
        for length in [0, 1, 63, 64, 65, 1000] {
            let items: Vec<usize> = (0..length).collect();
            let even = super::filter_map(&items, |item| (item % 2 == 0).then_some(*item));
            assert_eq!(even, (0..length).step_by(2).collect::<Vec<_>>());
        }
    }
}
