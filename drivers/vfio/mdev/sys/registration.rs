// SPDX-License-Identifier: GPL-2.0

//! Whether a parent is registered: what its mediated devices know of it, and those who are making
//! one.
//!
//! This is what `mdev_parent::unreg_sem` does in the kernel's module, whose readers release it when
//! nothing keeps the parent any more: the lock may be freed while they are at it. A
//! [`Registration`] is counted.

use crate::sys::{has_started, Parent};
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::{global_lock, new_condvar, new_mutex, Arc, CondVar, Mutex};
use linux::bindings;
use linux::object::Object;

global_lock! {
    /// The parents that are registered.
    // SAFETY: `Module::init` initialises it. `Registration::new` fails before, and there are no
    // others.
    pub(super) unsafe(uninit) static PARENTS: Mutex<KVec<Arc<Registration>>> = KVec::new();
}

/// The registration of a parent, which may have ended.
///
/// # Invariants
///
/// `parent` is registered while `State::holders` is not 0, and from `new` until `end`.
#[pin_data]
pub(super) struct Registration {
    parent: NonNull<bindings::mdev_parent>,
    dev: ARef<kernel::device::Device>,
    #[pin]
    state: Mutex<State>,
    /// `State::holders` has become 0.
    #[pin]
    released: CondVar,
}

struct State {
    ended: bool,
    holders: usize,
}

// SAFETY: The parent is used by those who hold the registration, in any thread.
unsafe impl Send for Registration {}
// SAFETY: As above.
unsafe impl Sync for Registration {}

/// A registration that cannot end, and so a parent that stays, until this is dropped.
pub(super) struct Held(Arc<Registration>);

impl Registration {
    /// Begins the registration of `parent`.
    ///
    /// # Safety
    ///
    /// The parent stays valid until [`Self::end`] has returned.
    pub(super) unsafe fn new(parent: &Parent) -> Result<Arc<Self>> {
        if !has_started() {
            return Err(ENODEV);
        }
        let state = State {
            ended: false,
            holders: 0,
        };
        // INVARIANT: As required of us.
        let this = Arc::pin_init(
            pin_init!(Self {
                dev: parent.dev().into(),
                parent: NonNull::from(parent).cast(),
                state <- new_mutex!(state, "mdev_registration"),
                released <- new_condvar!("mdev_registration"),
            }),
            GFP_KERNEL,
        )?;
        PARENTS.lock().push(this.clone(), GFP_KERNEL)?;
        Ok(this)
    }

    /// That of `parent`, unless it has ended.
    pub(super) fn of(parent: &Parent) -> Option<Arc<Self>> {
        if !has_started() {
            return None;
        }
        let parents = PARENTS.lock();
        let found = parents.iter().find(|this| this.is_of(parent));
        found.cloned()
    }

    fn is_of(&self, parent: &Parent) -> bool {
        core::ptr::eq(self.parent.as_ptr(), parent.as_raw())
    }

    /// The parent's device, which stays as long as this does.
    pub(super) fn dev(&self) -> &kernel::device::Device {
        &self.dev
    }

    /// Keeps the registration from ending; `None` when it has begun to end.
    pub(super) fn hold(this: &Arc<Self>) -> Option<Held> {
        let mut state = this.state.lock();
        if state.ended {
            return None;
        }
        // No overflow: each holder is a thread.
        state.holders += 1;
        drop(state);
        Some(Held(this.clone()))
    }

    /// Ends it: it cannot be held any more, and on return is not.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        while state.holders != 0 {
            self.released.wait(&mut state);
        }
        drop(state);
        PARENTS
            .lock()
            .retain(|other| !core::ptr::eq(&**other, self));
    }
}

impl Held {
    /// The parent.
    pub(super) fn parent(&self) -> &Parent {
        // SAFETY: Registered, by the invariant: we hold the registration.
        unsafe { self.0.parent.cast().as_ref() }
    }

    /// The registration, for the devices that are made meanwhile.
    pub(super) fn registration(&self) -> Arc<Registration> {
        self.0.clone()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        // Counted in `Registration::hold`.
        state.holders -= 1;
        if state.holders == 0 {
            self.0.released.notify_all();
        }
    }
}
