// SPDX-License-Identifier: GPL-2.0

//! Sleep as deep as ACPI has it (S3): devices lose their registers, and the real-time clock wakes
//! the machine. The module `wake_ktest` does what SeaBIOS leaves out.

use crate::kernel_log::KernelLog;
use crate::ktap::Result;
use crate::sysfs;

const DEPTH: &str = "/sys/power/mem_sleep";
const ALARM: &str = "/sys/class/rtc/rtc0/wakealarm";

/// Sleeps, and returns when the machine is awake again.
///
/// # Errors
///
/// Those of sysfs, or when it did not sleep.
pub fn sleep() -> Result {
    sysfs::write(DEPTH, "deep")?;
    sysfs::write(ALARM, "0")?;
    // Longer than it takes to fall asleep; an alarm that is past already wakes nothing.
    sysfs::write(ALARM, "+6")?;
    let mut log = KernelLog::from_now()?;
    sysfs::write("/sys/power/state", "mem")?;
    log.wait_for(&["ACPI: PM: Waking up from system sleep state S3"])?;
    Ok(())
}
