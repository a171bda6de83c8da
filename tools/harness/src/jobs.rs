// SPDX-License-Identifier: GPL-2.0

//! Some things at a time.

use std::sync::{Mutex, PoisonError};

/// Runs `work` for each task in their order, at most `limit` at a time; the results have the order
/// of the tasks.
pub fn run<T: Sync, R: Send>(limit: usize, tasks: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let queue = Mutex::new(tasks.iter().enumerate());
    let done = Mutex::new(Vec::new());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..limit.clamp(1, tasks.len().max(1)) {
            scope.spawn(|| {
                while let Some((index, task)) = next() {
                    let result = work(task);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn results_have_the_order_of_the_tasks() {
        let tasks: Vec<u64> = (0..20).collect();
        let results = run(4, &tasks, |task| {
            std::thread::sleep(Duration::from_millis(20 - task));
            task * 2
        });
        assert_eq!(
            results,
            tasks.iter().map(|task| task * 2).collect::<Vec<_>>()
        );
        assert_eq!(run(2, &[], |task: &u8| *task), Vec::<u8>::new());
    }

    #[test]
    fn no_more_than_the_limit_at_a_time() {
        for limit in [1, 3] {
            let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            run(limit, &[(); 12], |()| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
                now.fetch_sub(1, Ordering::SeqCst);
            });
            assert_eq!(most.into_inner(), limit);
        }
    }
}
