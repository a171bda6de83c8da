// SPDX-License-Identifier: GPL-2.0

//! Interrupts of an ADI, which its user takes by eventfds, and the record of its faults.

use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};
use linux::iommu::{DmaFault, FaultAccess};
use linux::pci::driver::Handler;
use linux_aux::OnFault;
use linux_vfio::eventfd::EventFd;
use siov_testdev_regs::fault_region::{Log, Record};

/// What a user can have signalled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// MSI-X vector 0: a request failed.
    Fault = 0,
    /// MSI-X vector 1: the ADI's own interrupt.
    Completion = 1,
    /// The device has lost its state, and the ADI has to be reset; or a request failed, and no
    /// eventfd is set for vector 0.
    Error = 2,
    /// Device removal requested.
    Request = 3,
}

const EVENTS: usize = 4;

struct State {
    eventfds: [Option<EventFd>; EVENTS],
    /// The device has lost its state, and no eventfd was set for that.
    unheard: bool,
    log: KBox<Log>,
}

#[pin_data]
pub(crate) struct Events {
    #[pin]
    state: Mutex<State>,
}

impl Events {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let state = State {
            eventfds: [const { None }; EVENTS],
            unheard: false,
            log: KBox::new(Log::new(), GFP_KERNEL)?,
        };
        Arc::pin_init(
            pin_init!(Self {
                state <- new_mutex!(state, "siov_testdev_events"),
            }),
            GFP_KERNEL,
        )
    }

    /// Signals `event` by this eventfd from now on.
    pub(crate) fn set(&self, event: Event, eventfd: Option<EventFd>) {
        let mut state = self.state.lock();
        if let (Event::Error, Some(eventfd), true) = (event, &eventfd, state.unheard) {
            eventfd.signal();
            state.unheard = false;
        }
        let old = state
            .eventfds
            .get_mut(event as usize)
            .and_then(|slot| core::mem::replace(slot, eventfd));
        drop(state);
        drop(old);
    }

    /// Signals nothing any more: no eventfd is set.
    pub(crate) fn clear(&self) {
        let mut state = self.state.lock();
        let old = core::mem::replace(&mut state.eventfds, [const { None }; EVENTS]);
        drop(state);
        drop(old);
    }

    /// Empties the fault region; the ADI is in order.
    pub(crate) fn clear_faults(&self) {
        let mut state = self.state.lock();
        *state.log = Log::new();
        state.unheard = false;
    }

    /// The device has lost its state: signals [`Event::Error`], now or when an eventfd is set for
    /// it.
    pub(crate) fn error(&self) {
        if !self.signal(Event::Error) {
            self.state.lock().unheard = true;
        }
    }

    /// Signals `event`. Returns whether an eventfd is set for it.
    pub(crate) fn signal(&self, event: Event) -> bool {
        let state = self.state.lock();
        match state.eventfds.get(event as usize) {
            Some(Some(eventfd)) => {
                eventfd.signal();
                true
            }
            _ => false,
        }
    }

    /// Records that a request failed, as one side knows it, and that others were lost if `more`;
    /// and signals it.
    pub(crate) fn fault(&self, half: Record, more: bool) {
        let mut state = self.state.lock();
        state.log.add(half);
        state.log.lose(u64::from(more));
        drop(state);
        if !self.signal(Event::Fault) {
            self.signal(Event::Error);
        }
    }

    /// Reads the fault region.
    pub(crate) fn read_log(&self, offset: usize, data: &mut [u8]) {
        self.state.lock().log.read(offset, data);
    }
}

/// Takes the ADI's own interrupt.
pub(crate) struct Completions(pub(crate) Arc<Events>);

impl Handler for Completions {
    fn handle(&self) {
        self.0.signal(Event::Completion);
    }
}

/// Takes the faults that the IOMMU reports for the ADI's PASID.
pub(crate) struct IommuFaults(pub(crate) Arc<Events>);

impl OnFault for IommuFaults {
    fn fault(&self, fault: &DmaFault) {
        let pasid = fault.pasid.map_or(0, |pasid| pasid.raw());
        let write = fault.access.contains(FaultAccess::WRITE);
        let half = Record::of_iommu(pasid, fault.page.raw(), write, fault.reason);
        self.0.fault(half, false);
    }
}
