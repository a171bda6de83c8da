// SPDX-License-Identifier: GPL-2.0

//! The kernel's console: every line that tells of a defect, with the lines that belong to it.

/// A line on which a kernel reports trouble.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What it is, in one or two words.
    pub kind: &'static str,
    /// Number of the line in the log, from 1.
    pub line: usize,
    /// The line and those that belong to it, without time stamps. A report between `cut here` and
    /// `end trace` is one finding.
    pub text: Vec<String>,
    /// Which line of `text` named the trouble.
    pub head: usize,
}

impl Finding {
    /// The line that names the trouble.
    pub fn headline(&self) -> &str {
        self.text.get(self.head).map_or("", String::as_str)
    }
}

/// The kind of findings that a test may announce: an I/O page fault that an IOMMU driver reported.
pub const FAULT: &str = "IOMMU fault";

enum Rule {
    Starts(&'static str),
    Has(&'static str),
    /// Both occur, the second in any letter case.
    Both(&'static str, &'static str),
    /// The message starts with the module's name and has the word, in any letter case.
    Says(&'static str, &'static str),
}

use Rule::{Both, Has, Says, Starts};

/// The first rule that fits names the kind. Words are those of the kernel's own messages.
const RULES: &[(&str, Rule)] = &[
    (FAULT, Both("DMAR: [", "Request device")),
    // Behind the names of the device and of its driver.
    (FAULT, Has("vtd fault: ")),
    (FAULT, Says("vtd", " fault")),
    (FAULT, Has("AMD-Vi: Event logged")),
    ("IOMMU error", Both("DMAR:", "error")),
    ("IOMMU error", Both("DMAR:", "time-out")),
    ("IOMMU error", Says("vtd", "error")),
    ("IOMMU error", Says("vtd", "time-out")),
    ("KASAN", Has("BUG: KASAN:")),
    ("KFENCE", Has("BUG: KFENCE:")),
    ("KCSAN", Has("BUG: KCSAN:")),
    ("UBSAN", Has("UBSAN:")),
    ("memory leak", Has("kmemleak: suspected leaks")),
    ("memory leak", Has("new suspected memory leaks")),
    ("lockdep", Has("possible circular locking dependency")),
    ("lockdep", Has("possible recursive locking")),
    ("lockdep", Has("possible irq lock inversion")),
    ("lockdep", Has("inconsistent lock state")),
    ("lockdep", Has("-safe -> ")),
    ("lockdep", Has("bad unlock balance")),
    ("lockdep", Has("lock held when returning to user space")),
    ("lockdep", Has("held lock freed")),
    ("lockdep", Has("Invalid wait context")),
    (
        "lockdep",
        Has("turning off the locking correctness validator"),
    ),
    ("RCU usage", Has("suspicious RCU usage")),
    ("RCU stall", Has("detected stalls on CPUs")),
    ("RCU stall", Has("self-detected stall on CPU")),
    ("RCU stall", Has("detected expedited stalls")),
    ("RCU stall", Has("kthread starved for")),
    ("hung task", Both("INFO: task", "blocked for more than")),
    ("lockup", Has("BUG: soft lockup")),
    ("lockup", Has("hard LOCKUP")),
    (
        "sleep in atomic",
        Has("sleeping function called from invalid context"),
    ),
    ("sleep in atomic", Has("scheduling while atomic")),
    ("list corruption", Has("list_add corruption")),
    ("list corruption", Has("list_del corruption")),
    ("reference count", Has("refcount_t:")),
    ("debug objects", Has("ODEBUG:")),
    ("Rust panic", Has("panicked at")),
    ("BUG", Has("kernel BUG at")),
    ("BUG", Starts("BUG:")),
    ("Oops", Has("Oops:")),
    ("Oops", Has("general protection fault")),
    ("Oops", Starts("Unable to handle kernel")),
    ("WARNING", Starts("WARNING:")),
    ("WARNING", Has("WARNING: CPU:")),
    ("panic", Has("Kernel panic - not syncing")),
    ("out of memory", Has("Out of memory:")),
    ("out of memory", Has("page allocation failure")),
    ("crashed program", Has(" segfault at ")),
    ("crashed program", Starts("traps: ")),
    ("module", Has("Unknown symbol ")),
    ("module", Has("disagrees about version of symbol")),
    ("module", Both("exports duplicate symbol", "owned by")),
    ("module", Has("'init' suspiciously returned")),
    ("device", Has("I/O error")),
    ("device", Has("NETDEV WATCHDOG")),
    ("device", Has("Detected Hardware Unit Hang")),
    ("device", Both("nvme", "timeout")),
    ("device", Has("unregister_netdevice: waiting")),
];

fn has_ignoring_case(line: &str, word: &str) -> bool {
    line.to_ascii_lowercase()
        .contains(&word.to_ascii_lowercase())
}

pub(crate) fn kind_of(message: &str) -> Option<&'static str> {
    RULES
        .iter()
        .find(|(_, rule)| match rule {
            Starts(word) => message.starts_with(word),
            Has(word) => message.contains(word),
            Both(a, b) => message.contains(a) && has_ignoring_case(message, b),
            Says(name, word) => {
                message
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with([':', ' ']))
                    && has_ignoring_case(message, word)
            }
        })
        .map(|(kind, _)| *kind)
}

/// The message without `[   12.345678] ` (or the caller's name, as with CONFIG_PRINTK_CALLER).
pub(crate) fn message(line: &str) -> &str {
    let mut rest = line.trim_end().trim_start_matches('\r');
    while let Some(tail) = rest.strip_prefix('[') {
        let Some((stamp, tail)) = tail.split_once("] ") else {
            break;
        };
        let stamp = stamp.trim_start();
        let is_stamp = stamp.starts_with(|c: char| c.is_ascii_digit() || c == 'T' || c == 'C')
            && stamp
                .chars()
                .skip(1)
                .all(|c| c.is_ascii_digit() || c == '.');
        if !is_stamp {
            break;
        }
        rest = tail;
    }
    rest
}

/// A log without time stamps and without the lines of a trace that only a disassembler can read.
pub fn without_registers(log: &str) -> String {
    const NOISE: &[&str] = &[
        "RAX:",
        "RBX:",
        "RCX:",
        "RDX:",
        "RSI:",
        "RDI:",
        "RBP:",
        "RSP:",
        "R08:",
        "R10:",
        "R13:",
        "FS:",
        "CS:",
        "CR2:",
        "DR0:",
        "DR3:",
        "PKRU:",
        "Code:",
        "Tainted:",
        "Hardware name:",
    ];
    let mut text = String::new();
    for line in log.lines().map(message) {
        if !NOISE.iter().any(|word| line.starts_with(word)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// How many lines after a finding outside `cut here` are shown with it.
const CONTEXT_LINES: usize = 25;

/// Finds all reports of trouble in a console log.
pub fn scan(log: &str) -> Vec<Finding> {
    let lines: Vec<&str> = log.lines().map(message).collect();
    let mut findings = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if lines[at].contains("[ cut here ]") {
            let length = lines[at..]
                .iter()
                .position(|line| line.contains("[ end trace"))
                .map_or(lines.len() - at, |end| end + 1);
            findings.push(block(at, &lines[at..at + length]));
            at += length;
            continue;
        }
        if let Some(kind) = kind_of(lines[at]) {
            findings.push(Finding {
                kind,
                line: at + 1,
                text: with_context(&lines[at..]),
                head: 0,
            });
        }
        at += 1;
    }
    findings
}

/// A report between `cut here` and `end trace`: the line with its name is somewhere inside.
fn block(at: usize, lines: &[&str]) -> Finding {
    let named = lines
        .iter()
        .enumerate()
        .find_map(|(index, line)| kind_of(line).map(|kind| (index, kind)));
    let (head, kind) = named.unwrap_or((1.min(lines.len() - 1), "WARNING"));
    Finding {
        kind,
        line: at + head + 1,
        text: lines.iter().map(|line| (*line).to_owned()).collect(),
        head,
    }
}

/// A call trace belongs to the line above it; an ordinary message does not.
fn with_context(lines: &[&str]) -> Vec<String> {
    let mut text = vec![lines[0].to_owned()];
    let rest = &lines[1..lines.len().min(CONTEXT_LINES)];
    let trace = rest.iter().take(12).any(|line| line.contains("Call Trace"));
    if trace {
        text.extend(rest.iter().map(|line| (*line).to_owned()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(log: &str) -> Vec<&'static str> {
        scan(log).iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn a_stock_boot_is_clean() {
        let log = include_str!("../tests/data/boot-7.3.log");
        assert!(
            log.contains("DMAR: Host address width"),
            "the sample has the IOMMU driver's usual lines"
        );
        assert_eq!(scan(log), []);
    }

    #[test]
    fn warn_is_one_finding_with_its_message() {
        let log = include_str!("../tests/data/warn.log");
        let findings = scan(log);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert_eq!(findings[0].kind, "WARNING");
        assert!(findings[0].headline().starts_with("WARNING:"));
        assert!(findings[0]
            .text
            .iter()
            .any(|line| line.contains("late IOMMU probe")));
    }

    #[test]
    fn every_kind_is_found_on_its_line() {
        for (line, kind) in [
            ("[    1.5] WARNING: CPU: 0 PID: 1 at drivers/iommu/iommu.c:588 f+0x1/0x2", "WARNING"),
            ("[    1.5] WARNING: drivers/iommu/iommu.c:588 at f+0x1/0x2, CPU#0: swapper/0/1", "WARNING"),
            ("[    1.5] BUG: kernel NULL pointer dereference, address: 0000000000000008", "BUG"),
            ("[    1.5] BUG: unable to handle page fault for address: ffff", "BUG"),
            ("[    1.5] kernel BUG at mm/slub.c:500!", "BUG"),
            ("[    1.5] Oops: Oops: 0002 [#1] SMP NOPTI", "Oops"),
            ("[    1.5] Oops: general protection fault, probably for non-canonical address", "Oops"),
            ("[    1.5] INFO: task modprobe:77 blocked for more than 45 seconds.", "hung task"),
            ("[    1.5] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", "RCU stall"),
            ("[    1.5] rcu: INFO: rcu_preempt self-detected stall on CPU", "RCU stall"),
            ("[    1.5] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [insmod:77]", "lockup"),
            ("[    1.5] WARNING: possible circular locking dependency detected", "lockdep"),
            ("[    1.5] WARNING: inconsistent lock state", "lockdep"),
            ("[    1.5] WARNING: suspicious RCU usage", "RCU usage"),
            ("[    1.5] BUG: KASAN: slab-use-after-free in vtd_probe+0x1/0x2 [vtd]", "KASAN"),
            ("[    1.5] BUG: sleeping function called from invalid context at mm/page_alloc.c:1", "sleep in atomic"),
            ("[    1.5] UBSAN: array-index-out-of-bounds in a.c:1:2", "UBSAN"),
            ("[    1.5] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)", "memory leak"),
            ("[    1.5] list_del corruption. prev->next should be ffff, but was 0", "list corruption"),
            ("[    1.5] refcount_t: underflow; use-after-free.", "reference count"),
            ("[    1.5] rust_kernel: panicked at drivers/iommu/vtd/vtd.rs:1:2:", "Rust panic"),
            ("[    1.5] Kernel panic - not syncing: Attempted to kill init!", "panic"),
            ("[    1.5] vtd: Unknown symbol vtd_missing (err -2)", "module"),
            ("[    1.5] vtd_load[77]: segfault at 0 ip 0 sp 0 error 4", "crashed program"),
            ("[    1.5] I/O error, dev nvme0n1, sector 0 op 0x1:(WRITE) flags 0x0", "device"),
            ("[    1.5] nvme nvme0: I/O tag 1 (1001) opcode 0x1 (Admin Cmd) QID 0 timeout, completion polled", "device"),
            (
                "[    1.5] DMAR: [DMA Write NO_PASID] Request device [00:03.0] fault addr 0x1000 [fault reason 0x05] PTE Write access is not set",
                FAULT,
            ),
            ("[    1.5] vtd: dmar0: 0000:00:03.0: fault: write to 0x1000: not mapped", FAULT),
            ("[    1.5] vtd 0000:00:03.0: DMA Fault at 0x1000", FAULT),
            ("[    1.5] vfio-pci 0000:00:01.0: vtd fault: 00:01.0: read of page 0x1000: page not readable (reason 0x06)", FAULT),
            ("[    1.5] AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:00:03.0 domain=0x0001]", FAULT),
            ("[    1.5] DMAR: VT-d detected Invalidation Time-out Error: SID 0", "IOMMU error"),
            ("[    1.5] DMAR: VT-d detected Invalidation Queue Error: Reason 0", "IOMMU error"),
            ("[    1.5] vtd: dmar0: invalidation queue error", "IOMMU error"),
        ] {
            assert_eq!(kinds(line), [kind], "{line}");
        }
    }

    #[test]
    fn lines_that_only_sound_bad() {
        for line in [
            "[    1.5] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on",
            "[    1.5] DMAR: Intel(R) Virtualization Technology for Directed I/O",
            "[    1.5] DMAR: IOMMU enabled",
            "[    1.5] DMAR: dmar0: reg_base_addr fed90000 ver 1:0 cap d2008c222f0686 ecap f00f5e",
            "[    1.5] vtd: loading out-of-tree module taints kernel.",
            "[    1.5] vtd: module verification failed: signature and/or required key missing - tainting kernel",
            "[    1.5] workqueue: blk_mq_run_work_fn hogged CPU for >10000us 4 times",
            "[    1.5] page fault in a message of somebody else",
        ] {
            assert_eq!(kinds(line), Vec::<&str>::new(), "{line}");
        }
    }

    #[test]
    fn time_stamps_and_callers_are_cut_off() {
        assert_eq!(
            message("[    0.000000] [    T0] Linux version"),
            "Linux version"
        );
        assert_eq!(message("[12345.678901] [firmware] x"), "[firmware] x");
        assert_eq!(message("plain"), "plain");
    }

    #[test]
    fn trace_belongs_to_the_report() {
        let log = "[ 1.0] BUG: KASAN: slab-out-of-bounds in f+0x1/0x2\n[ 1.0] Read of size 8 at addr ffff\n\
                   [ 1.0] Call Trace:\n[ 1.0]  f+0x1/0x2\n";
        let findings = scan(log);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].text.len(), 4);
    }

    #[test]
    fn registers_are_left_out() {
        let text = without_registers(include_str!("../tests/data/warn.log"));
        assert!(!text.contains("RSP: 0018"), "{text}");
        assert!(text.contains("RIP: 0010:p_init"), "{text}");
        assert!(text.contains("\n do_one_initcall+0x57/0x310\n"), "{text}");
    }

    #[test]
    fn a_report_cut_short_by_the_end_of_the_log() {
        let findings =
            scan("[ 1.0] ------------[ cut here ]------------\n[ 1.0] kernel BUG at a.c:1!\n");
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].kind, findings[0].line), ("BUG", 2));
        assert_eq!(
            scan("[ 1.0] ------------[ cut here ]------------")[0].kind,
            "WARNING"
        );
    }
}
