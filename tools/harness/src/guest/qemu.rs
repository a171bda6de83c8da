// SPDX-License-Identifier: GPL-2.0

//! QEMU's command line.

use super::value::{Iommu, Plugin};
use super::{Accel, Guest};
use std::path::Path;

/// What the command line depends on apart from the guest itself.
#[derive(Clone, Debug)]
pub struct Boot<'a> {
    /// The kernel's image.
    pub kernel: &'a Path,
    /// Whether it is the debug kernel.
    pub debug: bool,
    /// Directory of the logs, the initramfs and the images.
    pub dir: &'a Path,
    /// The plugins with the whole paths of their libraries.
    pub plugins: &'a [Plugin],
    /// Name of the abstract socket between the monitor and the guest, which no other guest may
    /// have.
    pub socket: &'a str,
}

/// A command line in the making.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn word(&mut self, word: impl Into<String>) -> &mut Self {
        self.0.push(word.into());
        self
    }

    fn option(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.word(name).word(value)
    }

    fn options(&mut self, name: &str, values: &[String]) {
        for value in values {
            self.option(name, value);
        }
    }
}

/// The whole command.
pub fn command_line(guest: &Guest, boot: &Boot<'_>) -> Vec<String> {
    let mut words = Words::default();
    let file = |name: &str| boot.dir.join(name).display().to_string();
    if guest.preload && !boot.plugins.is_empty() {
        words.word("env");
        for plugin in boot.plugins {
            words.word(format!("LD_PRELOAD={plugin}"));
        }
    }
    words
        .word("qemu-system-x86_64")
        .word("-nodefaults")
        .word("-no-user-config")
        .option("-display", "none")
        .word("-no-reboot")
        .option("-M", "q35,kernel-irqchip=split");
    accelerate(&mut words, guest.accel, boot.debug);
    let processors = match guest.accel {
        Accel::Icount => 1,
        Accel::Tcg | Accel::Kvm => guest.smp.get(),
    };
    words
        .option("-smp", processors.to_string())
        .option("-m", guest.mem.to_string())
        .option("-kernel", boot.kernel.display().to_string())
        .option("-initrd", file("initramfs"))
        .option("-append", kernel_command_line(guest, boot.debug))
        .option("-serial", format!("file:{}", file("console.log")));
    if guest.shell {
        words.option("-serial", "mon:stdio");
    } else {
        words.option("-serial", format!("file:{}", file("output.log")));
    }
    if guest.monitor {
        // Both ends are QEMU's own. An abstract name, because a path of a socket may have 107
        // characters.
        let path = format!("path={},abstract=on", boot.socket);
        words
            .option(
                "-chardev",
                format!("socket,id=monitor,{path},server=on,wait=off"),
            )
            .option("-mon", "chardev=monitor,mode=control")
            .option("-chardev", format!("socket,id=monitor-guest,{path}"))
            .option("-serial", "chardev:monitor-guest");
    }
    if !guest.preload {
        for plugin in boot.plugins {
            words.option("-plugin", plugin.to_string());
        }
    }
    if let Some(device) = iommu_device(&guest.iommu) {
        words.option("-device", device);
    }
    for disk in &guest.disks {
        let image = disk.image(boot.dir);
        let drive = format!(
            "if=none,id={},file={},format=raw,cache=unsafe",
            disk.id,
            image.display()
        );
        words.option("-drive", drive);
    }
    words.0.extend(guest.qemu.iter().cloned());
    words.options("-device", &guest.devices);
    words.0
}

fn accelerate(words: &mut Words, accel: Accel, debug: bool) {
    match accel {
        Accel::Kvm => words.option("-accel", "kvm").option("-cpu", "host"),
        // With five levels an interrupt while the kernel identifies its first CPU makes KASAN lose
        // the shadow of memory for a moment.
        Accel::Tcg | Accel::Icount if debug => {
            words.option("-accel", "tcg").option("-cpu", "max,la57=off")
        }
        Accel::Tcg | Accel::Icount => words.option("-accel", "tcg").option("-cpu", "max"),
    };
    if accel == Accel::Icount {
        words.option("-icount", "shift=0,sleep=off");
    }
}

fn kernel_command_line(guest: &Guest, debug: bool) -> String {
    // On a loaded machine an emulated guest may see too few timer ticks in the kernel's early check
    // of the IO-APIC, and panic.
    let mut words = vec!["console=ttyS0", "panic=-1", "no_timer_check"];
    words.extend(guest.append.iter().map(String::as_str));
    if debug {
        // There a driver is built in that the shipped kernel has as a module, and binds its device
        // before vtd can be loaded.
        words.extend(["siov.patience=160", "initcall_blacklist=i801_driver_init"]);
    }
    words.join(" ")
}

fn iommu_device(iommu: &Iommu) -> Option<String> {
    let with = |device: &str, properties: &Option<String>| match properties {
        Some(properties) => format!("{device},{properties}"),
        None => device.to_owned(),
    };
    match iommu {
        Iommu::None => None,
        Iommu::Intel(properties) => Some(with(
            "intel-iommu,scalable-mode=on,pasid-bits=20",
            properties,
        )),
        Iommu::Amd(properties) => Some(with("amd-iommu", properties)),
        Iommu::Device(device) => Some(device.clone()),
    }
}

/// A command as a shell would take it.
pub fn quoted(words: &[String]) -> String {
    let is_plain = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '-' | '_' | '.' | ',' | '/' | ':' | '=' | '+' | '@' | '%')
    };
    let quote = |word: &String| {
        if !word.is_empty() && word.chars().all(is_plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(guest: &Guest, debug: bool) -> Vec<String> {
        let boot = Boot {
            kernel: Path::new("/vmlinuz"),
            debug,
            dir: Path::new("/logs"),
            plugins: &guest.plugins,
            socket: "socket",
        };
        command_line(guest, &boot)
    }

    fn after<'a>(words: &'a [String], option: &str) -> &'a str {
        let at = words.iter().position(|word| word == option).unwrap();
        &words[at + 1]
    }

    #[test]
    fn only_a_user_gets_kvm() {
        let words = line(&Guest::default(), false);
        assert_eq!(after(&words, "-accel"), "tcg");
        let guest = Guest {
            accel: Accel::Kvm,
            ..Guest::default()
        };
        assert_eq!(after(&line(&guest, false), "-accel"), "kvm");
    }

    #[test]
    fn counting_takes_one_processor() {
        let guest = Guest {
            accel: Accel::Icount,
            ..Guest::default()
        };
        let words = line(&guest, false);
        assert_eq!(after(&words, "-smp"), "1");
        assert_eq!(after(&words, "-icount"), "shift=0,sleep=off");
        assert_eq!(after(&line(&Guest::default(), false), "-smp"), "2");
    }

    #[test]
    fn the_debug_kernel_has_words_of_its_own() {
        let words = line(&Guest::default(), true);
        assert_eq!(after(&words, "-cpu"), "max,la57=off");
        assert!(after(&words, "-append").ends_with("initcall_blacklist=i801_driver_init"));
    }

    #[test]
    fn quoting() {
        let words = ["a", "b c", "", "it's", "x=1,y"].map(String::from);
        assert_eq!(quoted(&words), r"a 'b c' '' 'it'\''s' x=1,y");
    }
}
