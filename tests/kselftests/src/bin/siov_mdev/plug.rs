// SPDX-License-Identifier: GPL-2.0

//! A parent that QEMU's monitor takes away while its ADIs work.

use crate::alone;
use crate::context::{page, Context as Parent, User, ADI, IOVA, PAGES};
use anyhow::ensure;
use serde_json::json;
use siov_kselftests::adi::{signals, EventFd};
use siov_kselftests::child::pinned_pages;
use siov_kselftests::ktap::{self, Plan, Result};
use siov_kselftests::monitor::Monitor;
use siov_kselftests::pattern::expect_equal;
use siov_kselftests::pci::{Function, SIOV_TESTDEV};
use siov_kselftests::siov_testdev::{copy, fill};
use siov_kselftests::{poll, PAGE};
use std::process::ExitCode;
use vfio_bindings::bindings::vfio::VFIO_PCI_REQ_IRQ_INDEX;

const DEVICES: usize = 16;

pub fn plan() -> ExitCode {
    ktap::run(Monitor::open, |monitor| {
        Plan::new(monitor)
            .case("unplugged while sixteen ADIs work", |monitor| {
                (0..2).try_for_each(|_| round(monitor))
            })
            .run()
    })
}

/// A user who keeps its ADI at work until it is asked to go.
struct Worker {
    user: User,
    asked: EventFd,
    submitted: u64,
}

impl Worker {
    fn new(user: User) -> Result<Self> {
        Ok(Self {
            asked: user.adi.listen_to(VFIO_PCI_REQ_IRQ_INDEX, 0)?,
            user,
            submitted: 0,
        })
    }

    /// Submits the next descriptor when the last one has ended; whether it may stay.
    fn work(&mut self) -> Result<bool> {
        if self.user.adi.completed() == self.submitted {
            self.submitted += 1;
            let pattern = self.submitted;
            let descriptor = fill(IOVA, PAGES * PAGE, pattern);
            self.user.adi.submit(&descriptor);
        }
        Ok(signals(&self.asked)? == 0)
    }
}

fn round(monitor: &mut Monitor) -> Result {
    let before = pinned_pages()?;
    monitor.plug(json!({
        "driver": SIOV_TESTDEV.name, "id": "parent", "bus": "hot1", "adis": DEVICES,
    }))?;
    poll::until_true("the plugged device appears", || {
        Ok(!Function::all(SIOV_TESTDEV)?.is_empty())
    })?;
    let mut parent = poll::until("its driver takes it", || Ok(Parent::new().ok()))?;
    let mdevs: Vec<_> = (0..DEVICES)
        .map(|_| parent.create())
        .collect::<Result<_>>()?;
    ensure!(parent.parent.available(ADI)? == 0, "some are free");
    let mut workers: Vec<_> = mdevs
        .iter()
        .map(|mdev| Worker::new(alone(&mdev.0)?))
        .collect::<Result<_>>()?;

    monitor.unplug("parent")?;
    let mut gone = Vec::new();
    poll::until_within(
        10 * poll::patience(),
        "all users are asked, one after the other",
        || {
            let mut index = 0;
            while let Some(worker) = workers.get_mut(index) {
                if worker.work()? {
                    index += 1;
                    continue;
                }
                let Worker { user, .. } = workers.swap_remove(index);
                // Its device works until it lets go of it. What is under way would write over the
                // data.
                user.adi.device.reset()?;
                user.adi.device.set_bus_master(true)?;
                let data = user.put(0, 50);
                user.adi.succeed(&copy(page(0), page(1), PAGE))?;
                expect_equal("the copy", &user.get(1), &data)?;
                let User { memory, .. } = user;
                gone.push((memory, data));
            }
            Ok(workers.is_empty().then_some(()))
        },
    )?;
    monitor.wait_deleted("parent")?;
    for mdev in &mdevs {
        ensure!(!mdev.0.exists(), "{} stays", mdev.0.uuid());
    }
    for (memory, data) in &gone {
        expect_equal(
            "memory of a user that has gone",
            &memory.read(PAGE, PAGE),
            data,
        )?;
    }
    poll::until_true("no page stays pinned", || Ok(pinned_pages()? == before))
}
