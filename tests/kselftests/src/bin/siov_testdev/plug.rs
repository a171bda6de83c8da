// SPDX-License-Identifier: GPL-2.0

//! Devices that come and go by QEMU's monitor, while they work.

use anyhow::{ensure, Context as _};
use serde_json::{json, Value};
use siov_kselftests::in_flight::{begin, expect_silence};
use siov_kselftests::ktap::Result;
use siov_kselftests::ktest::Ktest;
use siov_kselftests::monitor::Monitor;
use siov_kselftests::pci::{Function, SIOV_TESTDEV};
use siov_kselftests::siov_testdev::{copy, SiovTestdev};
use siov_kselftests::space::{page, Space};
use siov_kselftests::{poll, PAGE};

const PASID: u32 = 200;

pub struct Context {
    ktest: Ktest,
    monitor: Monitor,
}

impl Context {
    pub fn new() -> Result<Self> {
        Ok(Self {
            ktest: Ktest::open()?,
            monitor: Monitor::open()?,
        })
    }

    /// Plugs a device below the port of this number.
    fn plug(&mut self, port: u32, adis: u32) -> Result<SiovTestdev> {
        let known = Function::all(SIOV_TESTDEV)?;
        let device = arguments(port, "adis", json!(adis));
        self.monitor.plug(device)?;
        let function = poll::until("the plugged device appears", || {
            let mut now = Function::all(SIOV_TESTDEV)?;
            now.retain(|function| !known.contains(function));
            Ok(now.pop())
        })?;
        self.ktest.take(&function)?;
        let device = SiovTestdev::new(function)?;
        ensure!(device.adis() == adis, "{} ADIs", device.adis());
        Ok(device)
    }

    fn unplug(&mut self, port: u32) -> Result {
        self.monitor.unplug(&format!("test{port}"))
    }

    fn wait_deleted(&mut self, port: u32) -> Result {
        self.monitor.wait_deleted(&format!("test{port}"))
    }
}

fn arguments(port: u32, property: &str, value: Value) -> Value {
    let mut arguments = json!({
        "driver": SIOV_TESTDEV.name, "id": format!("test{port}"), "bus": format!("hot{port}"),
    });
    arguments[property] = value;
    arguments
}

/// QEMU makes a device, asks it and throws it away.
pub fn properties(c: &mut Context) -> Result {
    let query = json!({ "typename": SIOV_TESTDEV.name });
    let found = c.monitor.execute("device-list-properties", query)?;
    let found = found.as_array().context("a list of properties")?;
    for (name, kind) in [
        ("adis", "uint32"),
        ("pasid-bits", "uint32"),
        ("ats", "bool"),
        ("pri", "bool"),
    ] {
        let is_it = |property: &&Value| property["name"] == name && property["type"] == kind;
        let property = found
            .iter()
            .find(is_it)
            .with_context(|| format!("no {name}: {kind}"))?;
        let text = property["description"].as_str().unwrap_or_default();
        ensure!(text.contains("default"), "{name}: {text:?}");
    }
    Ok(())
}

/// Each with QEMU's error, and QEMU lives on.
pub fn refused(c: &mut Context) -> Result {
    for (property, value, why) in [
        ("adis", json!(0), "'adis' takes 1 to 256, not 0"),
        ("adis", json!(257), "'adis' takes 1 to 256, not 257"),
        (
            "pasid-bits",
            json!(21),
            "'pasid-bits' takes 0 to 20, not 21",
        ),
        ("pri", json!(true), "pri=on takes ats=on"),
        ("adis", json!("many"), "expects"),
        ("no-such-property", json!(1), "not found"),
    ] {
        let result = c.monitor.plug(arguments(1, property, value.clone()));
        let error = result
            .err()
            .with_context(|| format!("{property}={value} was taken"))?;
        let error = format!("{error:#}");
        ensure!(error.contains(why), "{property}={value}: {error}");
    }
    ensure!(Function::all(SIOV_TESTDEV)?.is_empty());
    Ok(())
}

pub fn rounds(c: &mut Context) -> Result {
    for (round, adis) in [64, 1, 256, 7].into_iter().enumerate() {
        let device = c.plug(1, adis)?;
        let space = Space::new(&c.ktest, &device.function, 16)?;
        space.domain.attach(&device.function, PASID)?;
        let data = space.fill(0, round as u64);
        let adi = device.adi(adis - 1);
        adi.enable(Some(PASID));
        adi.succeed(&copy(page(0), page(1), PAGE))?;
        space.expect(1, &data)?;
        adi.drain()?;
        // Many at once, so that some work at any moment.
        for index in 0..adis.min(8) {
            begin(device.adi(index), &space, PASID)?;
        }
        c.unplug(1)?;
        poll::until_true("the device goes", || Ok(!device.function.exists()))?;
        c.wait_deleted(1)?;
        expect_silence(&space)?;
    }
    Ok(())
}

/// One stays at work while the other goes.
pub fn two(c: &mut Context) -> Result {
    let (stays, goes) = (c.plug(1, 4)?, c.plug(2, 4)?);
    let space = Space::new(&c.ktest, &stays.function, 16)?;
    space.domain.attach(&stays.function, PASID)?;
    let gone = Space::new(&c.ktest, &goes.function, 16)?;
    gone.domain.attach(&goes.function, PASID)?;
    begin(goes.adi(0), &gone, PASID)?;
    begin(stays.adi(0), &space, PASID)?;
    c.unplug(2)?;
    c.wait_deleted(2)?;
    expect_silence(&gone)?;
    stays.adi(0).wait(1)?;
    stays.adi(0).succeed(&copy(page(0), page(1), PAGE))?;
    drop(space);
    c.unplug(1)?;
    c.wait_deleted(1)
}

/// A device cannot be migrated, nor changed once it is there; a machine without one is free again.
pub fn migration(c: &mut Context) -> Result {
    let reasons = |c: &mut Context| -> Result<String> {
        let state = c.monitor.execute("query-migrate", json!({}))?;
        Ok(state["blocked-reasons"].to_string())
    };
    let name = SIOV_TESTDEV.name;
    ensure!(!reasons(c)?.contains(name), "blocked before");
    let _device = c.plug(1, 4)?;
    ensure!(reasons(c)?.contains(name), "not blocked: {}", reasons(c)?);
    let error = c
        .monitor
        .execute("migrate", json!({ "uri": "exec:false" }))
        .err();
    let error = error.map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(error.contains(name), "migration: {error:?}");

    let path = "/machine/peripheral/test1";
    let set = json!({ "path": path, "property": "adis", "value": 5 });
    let error = c
        .monitor
        .execute("qom-set", set)
        .err()
        .context("adis changed")?;
    ensure!(format!("{error:#}").contains("cannot change"), "{error:#}");
    let get = json!({ "path": path, "property": "adis" });
    ensure!(c.monitor.execute("qom-get", get)? == 4);

    c.unplug(1)?;
    c.wait_deleted(1)?;
    ensure!(
        !reasons(c)?.contains(name),
        "blocked afterwards: {}",
        reasons(c)?
    );
    Ok(())
}
