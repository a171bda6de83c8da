// SPDX-License-Identifier: GPL-2.0

//! Vectors behind spinlocks.

use kernel::prelude::*;
use kernel::sync::lock::{Backend, Lock};

/// Makes room for one more element in a vector that `lock` guards, and that `vec` finds there.
///
/// Memory is allocated and freed outside of the lock. Whoever adds elements is serialised by other
/// means, so that the room is still there when the element is pushed.
pub fn reserve<S: Unpin, T, B: Backend>(
    lock: &Lock<S, B>,
    vec: impl Fn(&mut S) -> &mut KVec<T>,
) -> Result {
    let needed = {
        let mut guard = lock.lock();
        let vec = vec(&mut guard);
        if vec.len() < vec.capacity() {
            return Ok(());
        }
        vec.len().saturating_mul(2).max(4)
    };
    let mut spare = KVec::with_capacity(needed, GFP_KERNEL)?;
    {
        let mut guard = lock.lock();
        let vec = vec(&mut guard);
        for element in vec.drain_all() {
            // There is room: nobody else adds elements.
            let _ = spare.push_within_capacity(element);
        }
        core::mem::swap(vec, &mut spare);
    }
    Ok(())
}
