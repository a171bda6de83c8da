// SPDX-License-Identifier: GPL-2.0

//! The arguments of the payload: the words of the kernel command line (`-append` of QEMU).
//!
//! | word | meaning |
//! | --- | --- |
//! | `mmio-addr=ADDR` | physical address that `mmio_read_user` reads, decimal or 0x... |
//! | `coalesced-mmio=ADDR` | x86: physical address of a coalesced zone that is written to |
//! | `repeat=N` | measured repetitions of each test, 1 to 65536 |
//! | `warmup=N` | repetitions before the measured ones |
//! | `tests=A,B` | only these tests |
//! | `mode=table\|stats\|json` | what is printed |
//! | `timeout-ms=N` | how long one interrupt is waited for |
//! | `mask-irq=1` | the processors leave interrupts masked, to see what lost ones look like |
//! | `cpus=N` | x86: how many processors there are, where no fw_cfg device tells |
//! | `tsc-hz=N` | x86: rate of the time-stamp counter, where it is known |

use core::fmt;

/// Most samples of one test; the payload's memory for them has a fixed size.
pub const MAX_REPEAT: u32 = 65536;

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// The table of kvm-unit-tests' micro-bench.
    #[default]
    Table,
    /// Minimum, median, p99, maximum and a histogram.
    Stats,
    /// One JSON object per line and test.
    Json,
}

/// A set of test names as the command line gives it: `A,B,C`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names<'a>(&'a str);

impl<'a> Names<'a> {
    /// Whether `name` is in the set.
    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|item| item == name)
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> {
        self.0.split(',').filter(|name| !name.is_empty())
    }
}

/// The arguments, with their defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Args<'a> {
    /// Physical address for `mmio_read_user`.
    pub mmio_addr: Option<u64>,
    /// Physical address of a zone of coalesced MMIO.
    pub coalesced_mmio: Option<u64>,
    /// Repetitions; each test has a default of its own.
    pub repeat: Option<u32>,
    /// Repetitions before the measured ones.
    pub warmup: u32,
    /// The tests to run; all if absent.
    pub tests: Option<Names<'a>>,
    /// What is printed.
    pub mode: Mode,
    /// How long one interrupt is waited for, in milliseconds.
    pub timeout_ms: u64,
    /// Whether the processors leave interrupts masked.
    pub mask_irq: bool,
    /// Number of processors.
    pub cpus: Option<u64>,
    /// Rate of the time-stamp counter in Hz.
    pub tsc_hz: Option<u64>,
}

/// Why a word is refused. The message names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<'a> {
    /// No such argument.
    Unknown(&'a str),
    /// The value is not of the argument's form, or out of range.
    Value(&'a str),
}

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "unknown argument '{word}'"),
            Self::Value(word) => write!(f, "bad value in '{word}'"),
        }
    }
}

impl<'a> Args<'a> {
    /// From the words of `line`. A first word without `=` is taken for the program's name, which
    /// some loaders put there.
    pub fn parse(line: &'a str) -> Result<Self, Error<'a>> {
        let mut args = Self {
            mmio_addr: None,
            coalesced_mmio: None,
            repeat: None,
            warmup: 0,
            tests: None,
            mode: Mode::Table,
            timeout_ms: 5000,
            mask_irq: false,
            cpus: None,
            tsc_hz: None,
        };
        for (index, word) in line.split_ascii_whitespace().enumerate() {
            match word.split_once('=') {
                Some((key, value)) => args.set(word, key, value)?,
                None if index == 0 => (),
                None => return Err(Error::Unknown(word)),
            }
        }
        Ok(args)
    }

    fn set(&mut self, word: &'a str, key: &str, value: &'a str) -> Result<(), Error<'a>> {
        let bad = Error::Value(word);
        match key {
            "mmio-addr" => self.mmio_addr = Some(address(value).ok_or(bad)?),
            "coalesced-mmio" => self.coalesced_mmio = Some(address(value).ok_or(bad)?),
            "repeat" => self.repeat = Some(count(value).filter(|&n| n > 0).ok_or(bad)?),
            "warmup" => self.warmup = count(value).ok_or(bad)?,
            "tests" => self.tests = Some(Names(value)),
            "timeout-ms" => self.timeout_ms = number(value).filter(|&ms| ms > 0).ok_or(bad)?,
            "cpus" => self.cpus = Some(number(value).ok_or(bad)?),
            "tsc-hz" => self.tsc_hz = Some(number(value).ok_or(bad)?),
            "mask-irq" => {
                self.mask_irq = match value {
                    "0" => false,
                    "1" => true,
                    _ => return Err(bad),
                }
            }
            "mode" => {
                self.mode = match value {
                    "table" => Mode::Table,
                    "stats" => Mode::Stats,
                    "json" => Mode::Json,
                    _ => return Err(bad),
                }
            }
            _ => return Err(Error::Unknown(word)),
        }
        Ok(())
    }

    /// Whether the test of this name is to run.
    pub fn wants(&self, name: &str) -> bool {
        self.tests.is_none_or(|tests| tests.contains(name))
    }
}

/// Decimal, or hexadecimal with 0x.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Of a register of 32 bits.
fn address(text: &str) -> Option<u64> {
    number(text).filter(|address| address % 4 == 0)
}

fn count(text: &str) -> Option<u32> {
    u32::try_from(number(text)?)
        .ok()
        .filter(|&n| n <= MAX_REPEAT)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn nothing_given() {
        let args = Args::parse("").unwrap();
        assert_eq!(
            (args.mode, args.repeat, args.warmup, args.timeout_ms),
            (Mode::Table, None, 0, 5000)
        );
        assert!(args.wants("ipi"));
        assert!(!args.mask_irq);
    }

    #[test]
    fn everything_given() {
        let args = Args::parse(
            "mmio-addr=0x0a000008 repeat=100 warmup=16 tests=ipi,lpi mode=json timeout-ms=20 mask-irq=1 \
             cpus=2 tsc-hz=1000000000 coalesced-mmio=0xd0000000",
        )
        .unwrap();
        assert_eq!(
            (args.mmio_addr, args.coalesced_mmio),
            (Some(0x0a00_0008), Some(0xd000_0000))
        );
        assert_eq!((args.repeat, args.warmup), (Some(100), 16));
        assert_eq!((args.mode, args.timeout_ms), (Mode::Json, 20));
        assert_eq!((args.cpus, args.tsc_hz), (Some(2), Some(1_000_000_000)));
        assert!(args.wants("ipi") && args.wants("lpi") && !args.wants("eoi"));
        assert!(args.mask_irq);
    }

    #[test]
    fn a_program_name_comes_first() {
        assert!(Args::parse("micro-bench.flat repeat=1").is_ok());
        assert_eq!(Args::parse("repeat=1 stray"), Err(Error::Unknown("stray")));
    }

    #[test]
    fn refusals_name_the_word() {
        for (line, message) in [
            ("repeat=0", "bad value in 'repeat=0'"),
            ("repeat=65537", "bad value in 'repeat=65537'"),
            ("repeat=ten", "bad value in 'repeat=ten'"),
            ("mmio-addr=0x1001", "bad value in 'mmio-addr=0x1001'"),
            ("timeout-ms=0", "bad value in 'timeout-ms=0'"),
            ("mask-irq=yes", "bad value in 'mask-irq=yes'"),
            ("mode=xml", "bad value in 'mode=xml'"),
            ("speed=9", "unknown argument 'speed=9'"),
        ] {
            assert_eq!(Args::parse(line).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(line in "[ -~]{0,80}") {
            let _ = Args::parse(&line);
        }
    }
}
