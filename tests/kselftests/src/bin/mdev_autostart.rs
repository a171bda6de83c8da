// SPDX-License-Identifier: GPL-2.0

//! The mediated device of the operators' guide: its `mdevctl` commands as the document has them,
//! and a parent that comes, as it does at boot, while udev runs with the rules of the package and
//! ours.

use anyhow::{ensure, Context as _, Result};
use siov_kselftests::ktap::Plan;
use siov_kselftests::mdev::BUS;
use siov_kselftests::{kernel_module, ktap, poll, sysfs};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

const GUIDE: &str = "/siov/operators.rst";
const PARENT: &str = "siov_testdev";
const RULE: &str = "/etc/udev/rules.d/61-siov-rs-mdevctl.rules";
const ASIDE: &str = "/etc/udev/61-siov-rs-mdevctl.rules";

struct Guide {
    /// The lines that start with `mdevctl WORD`.
    start: String,
    define: String,
    uuid: String,
    udevd: Child,
}

impl Guide {
    fn device(&self) -> PathBuf {
        Path::new(BUS).join(&self.uuid)
    }

    fn is_there(&self) -> bool {
        self.device().exists()
    }
}

/// What follows `name` in a command.
fn argument<'a>(command: &'a str, name: &str) -> Option<&'a str> {
    let mut words = command.split_whitespace();
    words.find(|word| *word == name)?;
    words.next()
}

fn run(command: &str) -> Result<String> {
    let output = Command::new("sh").args(["-c", command]).output()?;
    ensure!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn setup() -> Result<Guide> {
    // What the package has besides the program.
    for path in [
        "/etc/mdevctl.d",
        "/usr/lib/mdevctl/scripts.d/callouts",
        "/usr/lib/mdevctl/scripts.d/notifiers",
        "/run/udev",
    ] {
        fs::create_dir_all(path)?;
    }
    let guide = fs::read_to_string(GUIDE)?;
    let line = |start: &str| -> Result<String> {
        let found = guide.lines().find(|line| line.trim().starts_with(start));
        Ok(found.context(start.to_owned())?.trim().to_owned())
    };
    let (start, define) = (line("mdevctl start ")?, line("mdevctl define ")?);
    let uuid = argument(&start, "-u").context("no -u")?.to_owned();
    let udevd = Command::new("udevadm")
        .arg0("systemd-udevd")
        .stdin(Stdio::null())
        .spawn()
        .context("systemd-udevd")?;
    poll::until_true("udevd answers", || {
        let ping = Command::new("udevadm")
            .args(["control", "--ping"])
            .stderr(Stdio::null())
            .status()?;
        Ok(ping.success())
    })?;
    Ok(Guide {
        start,
        define,
        uuid,
        udevd,
    })
}

/// The parent comes, and udev has done all that it does about that.
fn boot() -> Result<()> {
    kernel_module::modprobe(PARENT, "")?;
    run("udevadm settle").map(drop)
}

/// The parent goes, and its devices with it.
fn shut_down(guide: &Guide) -> Result<()> {
    kernel_module::unload(PARENT)?;
    ensure!(!guide.is_there(), "the device stays");
    run("udevadm settle").map(drop)
}

/// The commands of the document.
fn guide(c: &mut Guide) -> Result<()> {
    boot()?;
    run(&c.start)?;
    let domain_type = sysfs::read(c.device().join("domain_type"))?;
    ensure!(domain_type == "attach-parent", "{domain_type}");
    run(&c.define)?;
    let defined = run("mdevctl list --defined")?;
    ensure!(
        defined.contains(&c.uuid) && defined.contains("auto"),
        "{defined}"
    );
    shut_down(c)
}

/// As after a reboot.
fn comes_back(c: &mut Guide) -> Result<()> {
    boot()?;
    ensure!(c.is_there(), "it was not started");
    shut_down(c)
}

/// What the rule is for: the package's own does not do it. If this fails, it does, and ours is of
/// no use any more.
fn without_the_rule(c: &mut Guide) -> Result<()> {
    fs::rename(RULE, ASIDE)?;
    run("udevadm control --reload")?;
    boot()?;
    let started = c.is_there();
    shut_down(c)?;
    fs::rename(ASIDE, RULE)?;
    run("udevadm control --reload")?;
    ensure!(!started, "it was started by the rule of mdevctl");
    Ok(())
}

/// Only what is defined to start does.
fn manual(c: &mut Guide) -> Result<()> {
    run(&format!("mdevctl modify -u {} --manual", c.uuid))?;
    boot()?;
    ensure!(!c.is_there(), "it was started");
    shut_down(c)?;
    run(&format!("mdevctl undefine -u {}", c.uuid))?;
    c.udevd.kill()?;
    c.udevd.wait()?;
    Ok(())
}

fn main() -> ExitCode {
    ktap::run(setup, |guide_lines| {
        Plan::new(guide_lines)
            .case("the commands of the guide", guide)
            .case("a defined device comes with its parent", comes_back)
            .case("the package's rule does not start it", without_the_rule)
            .case("one that is defined as manual does not come", manual)
            .run()
    })
}
