// SPDX-License-Identifier: GPL-2.0

//! Atomics for models (`--cfg loom`), a module of each crate that has some.
//!
//! loom 0.7 tries another order of two accesses only if the last access to the object was by
//! another thread. So it skips schedules as soon as a thread loads what it stores next, which is
//! what counters and loops that wait do. Here an access begins with one to `order`, which every
//! other access depends on: then loom tries all orders. That one is relaxed, so it orders nothing
//! by itself, and the load that follows may still return any value that the memory model lets it
//! return.

// No crate uses all of this.
#![allow(dead_code)]

pub use loom::sync::atomic::Ordering;

macro_rules! atomics {
    ($($name:ident: $value:ty;)*) => {$(
        /// In the place of the one in `core::sync::atomic`.
        #[derive(Debug, Default)]
        pub struct $name {
            order: loom::sync::atomic::AtomicUsize,
            value: loom::sync::atomic::$name,
        }

        impl $name {
            /// As the one in its place, but not at compile time.
            pub fn new(value: $value) -> Self {
                Self {
                    order: loom::sync::atomic::AtomicUsize::new(0),
                    value: loom::sync::atomic::$name::new(value),
                }
            }

            /// As the one in its place.
            pub fn load(&self, ordering: Ordering) -> $value {
                self.order.fetch_add(1, Ordering::Relaxed);
                self.value.load(ordering)
            }

            /// As the one in its place.
            pub fn store(&self, value: $value, ordering: Ordering) {
                self.order.fetch_add(1, Ordering::Relaxed);
                self.value.store(value, ordering);
            }

            /// As the one in its place.
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.order.fetch_add(1, Ordering::Relaxed);
                self.value.compare_exchange(current, new, success, failure)
            }

            /// As the one in its place.
            pub fn fetch_or(&self, value: $value, ordering: Ordering) -> $value {
                self.order.fetch_add(1, Ordering::Relaxed);
                self.value.fetch_or(value, ordering)
            }
        }
    )*};
}

atomics! {
    AtomicU32: u32;
    AtomicU64: u64;
}
