// SPDX-License-Identifier: GPL-2.0

//! Tests of the x86 payload under TCG. Under KVM it is tested in the harness's guest.

use super::golden::{compare, Golden};
use super::{
    ensure_failed, ensure_measured, ensure_refused, ensure_skipped, ensure_status, lines,
    repeats_exactly, Check, Payloads,
};
use anyhow::{ensure, Context, Result};
use micro_bench::qemu::{Arch, Run};
use micro_bench_model::output::{EXIT_FAILED, EXIT_SKIPPED, EXIT_USAGE};

/// All tests.
pub const CHECKS: &[Check] = &[
    Check {
        name: "x86_64-golden-q35",
        run: |p| golden(p, "q35"),
    },
    Check {
        name: "x86_64-golden-pc",
        run: |p| golden(p, "pc"),
    },
    Check {
        name: "x86_64-repeats-exactly",
        run: |p| repeats_exactly(&q35(p, "repeat=1000 mode=json")),
    },
    Check {
        name: "x86_64-seen-by-qemu",
        run: seen_by_qemu,
    },
    Check {
        name: "x86_64-two-threads",
        run: two_threads,
    },
    Check {
        name: "x86_64-processors",
        run: processors,
    },
    Check {
        name: "x86_64-lost-interrupts",
        run: lost_interrupts,
    },
    Check {
        name: "x86_64-exit-status",
        run: exit_status,
    },
    Check {
        name: "x86_64-arguments",
        run: arguments,
    },
];

/// Tests that need neither KVM nor an argument nor an interrupt.
const PLAIN: [&str; 12] = [
    "cpuid",
    "rdmsr",
    "wrmsr",
    "inl_from_kernel",
    "inl_from_user",
    "outb_plain",
    "outb_0x70",
    "outl_plain",
    "outl_0xcf8",
    "mmio_read_user",
    "mmio_write_user",
    "eoi",
];

/// Instructions of call, operation and return. Under TCG no operation exits, so each costs about
/// the same.
const GOLDEN: &[(&str, Golden)] = &[
    ("cpuid", Golden::Plain(17.0)),
    ("vmcall", Golden::Skipped("no hypervisor answers")),
    ("rdmsr", Golden::Plain(14.0)),
    ("wrmsr", Golden::Plain(17.0)),
    (
        "rd_tsc_adjust_msr",
        Golden::Skipped("no TSC_ADJUST register"),
    ),
    (
        "wr_tsc_adjust_msr",
        Golden::Skipped("no TSC_ADJUST register"),
    ),
    ("inl_from_kernel", Golden::Plain(14.0)),
    ("inl_from_user", Golden::Plain(14.0)),
    ("outb_plain", Golden::Plain(15.0)),
    ("outb_0x70", Golden::Plain(15.0)),
    ("outl_plain", Golden::Plain(15.0)),
    ("outl_0xcf8", Golden::Plain(15.0)),
    ("mmio_read_user", Golden::Plain(16.0)),
    ("mmio_write_user", Golden::Plain(17.0)),
    (
        "mmio_write_coalesced",
        Golden::Skipped("give coalesced-mmio="),
    ),
    ("eoi", Golden::Plain(15.0)),
    ("ipi", Golden::Between(80.0, 110.0)),
    ("self_ipi", Golden::Between(65.0, 90.0)),
];

fn golden(payloads: &Payloads, machine: &str) -> Result<()> {
    compare(
        &payloads.counted(Arch::X86_64, machine, "repeat=100"),
        GOLDEN,
    )
}

fn q35(payloads: &Payloads, append: &str) -> Run {
    payloads.counted(Arch::X86_64, "q35", append)
}

/// Each operation is what it claims to be: QEMU's own trace counts it, once for each repetition and
/// as often as `extra` says besides, for preparations or for another test.
fn seen_by_qemu(payloads: &Payloads) -> Result<()> {
    const REPEAT: usize = 3;
    let append = format!("repeat={REPEAT} coalesced-mmio=0xfed00004");
    let mut run = q35(payloads, &append);
    run.qemu
        .extend(["-trace".to_owned(), "memory_region_ops_*".to_owned()]);
    let ended = run.execute()?;
    ensure_status(&ended, 0)?;
    // The firmware's accesses come before the payload's.
    let trace = payload_part(&ended.errors).context("no payload in the trace")?;
    for (event, extra) in [
        // inl_from_kernel
        ("read cpu 0 * addr 0x4d0 *", 0),
        // inl_from_user; the preparation of three tests
        ("read cpu 0 * addr 0xcf8 *", 3),
        // outb_plain, outb_0x70
        ("write cpu 0 * addr 0x80 *", 0),
        ("write cpu 0 * addr 0x70 value 0xd size 1 *", 0),
        // outl_plain
        ("write cpu 0 * addr 0xcfc value 0x0 size 4 *", 0),
        // outl_0xcf8; the preparation of three tests
        ("write cpu 0 * addr 0xcf8 value 0x80000000 size 4 *", 3),
        // mmio_read_user; the search for the device
        ("read cpu 0 * addr 0xfed00000 *", 1),
        // mmio_write_user, mmio_write_coalesced
        ("write cpu 0 * addr 0xfed00000 *", 0),
        ("write cpu 0 * addr 0xfed00004 *", 0),
        // eoi; the ends of self_ipi
        ("write cpu 0 * addr 0xfee000b0 *", REPEAT),
        // ipi: sent, and ended on the other processor
        ("write cpu 0 * addr 0xfee00300 value 0x4040 *", 0),
        ("write cpu 1 * addr 0xfee000b0 *", 0),
        // self_ipi
        ("write cpu 0 * addr 0xfee00300 value 0x44040 *", 0),
    ] {
        let count = trace.lines().filter(|line| matches(line, event)).count();
        let lines = || -> String {
            let lines = trace.split_inclusive('\n');
            lines.filter(|line| !line.contains("'serial'")).collect()
        };
        ensure!(
            count == REPEAT + extra,
            "QEMU saw {count} times {event:?}, not {REPEAT} + {extra}:\n{}",
            lines()
        );
    }
    Ok(())
}

/// The trace from the last time on that both masks of the 8259 were set to 0xff.
fn payload_part(trace: &str) -> Option<&str> {
    let mask = |pic| format!("memory_region_ops_write cpu 0 * addr {pic} value 0xff size 1 *");
    let (first, second) = (mask("0x21"), mask("0xa1"));
    let mut offset = 0;
    let mut start = None;
    let mut before = false;
    for line in trace.split_inclusive('\n') {
        if before && matches(line, &second) {
            start = Some(offset);
        }
        before = matches(line, &first);
        offset += line.len();
    }
    trace.get(start?..)
}

/// Whether the words of `pattern` are in `line` in this order, the first at its beginning or behind
/// the event's prefix; `*` stands for any words.
fn matches(line: &str, pattern: &str) -> bool {
    let line = line.trim_start_matches("memory_region_ops_");
    let pattern = pattern.trim_start_matches("memory_region_ops_");
    let mut rest = line;
    for (index, part) in pattern.split('*').map(str::trim).enumerate() {
        let part = format!("{part} ");
        let place = if part == " " {
            Some(0)
        } else {
            rest.find(&part)
        };
        match place {
            Some(0) => (),
            Some(_) if index > 0 => (),
            _ => return false,
        }
        rest = &rest[place.unwrap_or(0) + part.trim_start().len()..];
    }
    true
}

/// A thread for each processor and the time of the clock on the wall, with the counter's rate
/// measured.
fn two_threads(payloads: &Payloads) -> Result<()> {
    for machine in ["q35", "pc"] {
        let mut run = q35(
            payloads,
            "repeat=20 tests=cpuid,ipi,self_ipi timeout-ms=60000",
        );
        run.machine = machine.to_owned();
        run.icount = false;
        let lines = lines(&run, 0)?;
        ensure!(
            lines.iter().all(|line| line.outcome.figures().is_some()),
            "{machine}: {lines:?}"
        );
    }
    Ok(())
}

/// One processor by fw_cfg, one by the argument, and more than two.
fn processors(payloads: &Payloads) -> Result<()> {
    let mut one = q35(payloads, "repeat=2");
    one.smp = 1;
    let all = lines(&one, 0)?;
    ensure_skipped(&all, "ipi", "needs a second processor")?;
    for test in PLAIN.iter().chain(&["self_ipi"]) {
        ensure_measured(&all, test, 2)?;
    }
    one.append = "repeat=2 tests=ipi".to_owned();
    lines(&one, EXIT_SKIPPED)?;

    let told = lines(&q35(payloads, "repeat=2 tests=ipi cpus=1"), EXIT_SKIPPED)?;
    ensure_skipped(&told, "ipi", "needs a second processor")?;

    let mut four = q35(payloads, "repeat=2 tests=ipi");
    four.smp = 4;
    ensure_measured(&lines(&four, 0)?, "ipi", 2)?;

    let absent = lines(&absent_processor(payloads), EXIT_FAILED)?;
    ensure_failed(&absent, "ipi", "the second processor does not start")
}

fn absent_processor(payloads: &Payloads) -> Run {
    let mut run = q35(payloads, "repeat=2 tests=ipi cpus=2 timeout-ms=20");
    run.smp = 1;
    run
}

/// Processors that keep interrupts masked: each test that waits for one fails when its time is up,
/// and says so.
fn lost_interrupts(payloads: &Payloads) -> Result<()> {
    let run = q35(payloads, "repeat=2 mask-irq=1 timeout-ms=20");
    let lines = lines(&run, EXIT_FAILED)?;
    for test in ["ipi", "self_ipi"] {
        ensure_failed(
            &lines,
            test,
            "no interrupt in time, but received 0 successfully",
        )?;
    }
    for test in PLAIN {
        ensure_measured(&lines, test, 2)?;
    }
    Ok(())
}

/// QEMU's own exit status, as kvm-unit-tests read it; and a machine without the exit device ends as
/// well.
fn exit_status(payloads: &Payloads) -> Result<()> {
    for (append, status) in [
        ("repeat=1 tests=cpuid", 1),
        ("speed=9", (i32::from(EXIT_USAGE) << 1) | 1),
    ] {
        let out = q35(payloads, append).command().output()?;
        ensure!(
            out.status.code() == Some(status),
            "{append}: {}",
            out.status
        );
    }
    let mut bare = q35(payloads, "repeat=1 tests=cpuid");
    bare.exit_device = false;
    ensure_status(&bare.execute()?, 0)
}

fn arguments(payloads: &Payloads) -> Result<()> {
    for (append, message) in [
        ("tests=lpi", "micro-bench: no test 'lpi' on x86_64"),
        (
            "mmio-addr=0x100000000",
            "micro-bench: only addresses below 4 GiB can be measured",
        ),
        (
            "tsc-hz=0",
            "micro-bench: the rate of the time-stamp counter is unknown, give tsc-hz=",
        ),
    ] {
        ensure_refused(&q35(payloads, append), message)?;
    }
    let halved = lines(&q35(payloads, "repeat=4 tests=cpuid tsc-hz=500000000"), 0)?;
    let whole = lines(&q35(payloads, "repeat=4 tests=cpuid"), 0)?;
    let average = |lines: &[micro_bench::figures::Line]| {
        lines
            .first()
            .and_then(|line| line.outcome.figures())
            .map(|figures| figures.average)
    };
    let (halved, whole) = average(&halved)
        .zip(average(&whole))
        .context("not measured")?;
    ensure!(
        halved == 2.0 * whole,
        "{halved} at half the rate, {whole} at the whole"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        let line =
            "memory_region_ops_write cpu 0 mr 0x55 addr 0x70 value 0xd size 1 name 'rtc-index'";
        assert!(matches(line, "write cpu 0 * addr 0x70 value 0xd size 1 *"));
        assert!(matches(line, "write cpu 0 * addr 0x70 *"));
        assert!(!matches(line, "write cpu 1 * addr 0x70 *"));
        assert!(!matches(line, "read cpu 0 * addr 0x70 *"));
        assert!(!matches(line, "write cpu 0 * addr 0x7 *"));
        assert!(!matches(line, "write cpu 0 * addr 0x70 value 0xdd *"));
    }
}
