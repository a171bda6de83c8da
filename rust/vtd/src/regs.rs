// SPDX-License-Identifier: GPL-2.0

//! Registers of a remapping unit: where they are, and what their bits mean (VT-d spec, chapter 11;
//! Linux: drivers/iommu/intel/iommu.h).

use bitflags::bitflags;
use siov_types::PhysAddr;

use crate::bits::PAGE_ADDRESS;

macro_rules! registers {
    ($(#[$doc:meta])* $name:ident { $($(#[$reg_doc:meta])* $reg:ident = $offset:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum $name {
            $($(#[$reg_doc])* $reg = $offset,)*
        }

        impl $name {
            /// Every register of this width, by rising offset: for a dump.
            pub const ALL: &'static [Self] = &[$(Self::$reg),*];

            /// Bytes from the unit's register base.
            #[inline]
            pub const fn offset(self) -> usize {
                self as usize
            }

            /// The specification's name, without the `_REG` suffix.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$reg => $text,)*
                }
            }
        }
    };
}

registers! {
    /// The 32-bit registers, by offset (VT-d spec, 11.4).
    Reg32 {
        /// Architecture version: major in bits 7:4, minor in bits 3:0.
        Ver = 0x00, "VER";
        /// Global command: [`GlobalCommand`]. Write-only.
        Gcmd = 0x18, "GCMD";
        /// Global status: [`GlobalStatus`].
        Gsts = 0x1c, "GSTS";
        /// Fault status: [`FaultStatus`].
        Fsts = 0x34, "FSTS";
        /// Fault event control: [`EventControl`].
        Fectl = 0x38, "FECTL";
        /// Fault event interrupt data.
        Fedata = 0x3c, "FEDATA";
        /// Fault event interrupt address, low half.
        Feaddr = 0x40, "FEADDR";
        /// Fault event interrupt address, high half.
        Feuaddr = 0x44, "FEUADDR";
        /// Protected memory enable: [`ProtectedMemory`].
        Pmen = 0x64, "PMEN";
        /// Protected low memory base.
        Plmbase = 0x68, "PLMBASE";
        /// Protected low memory limit.
        Plmlimit = 0x6c, "PLMLIMIT";
        /// Invalidation completion status: [`InvalidationStatus`].
        Ics = 0x9c, "ICS";
        /// Invalidation event control: [`EventControl`].
        Iectl = 0xa0, "IECTL";
        /// Invalidation event interrupt data.
        Iedata = 0xa4, "IEDATA";
        /// Invalidation event interrupt address, low half.
        Ieaddr = 0xa8, "IEADDR";
        /// Invalidation event interrupt address, high half.
        Ieuaddr = 0xac, "IEUADDR";
        /// Page request status.
        Prs = 0xdc, "PRS";
        /// Page request event control: [`EventControl`].
        Pectl = 0xe0, "PECTL";
        /// Page request event interrupt data.
        Pedata = 0xe4, "PEDATA";
        /// Page request event interrupt address, low half.
        Peaddr = 0xe8, "PEADDR";
        /// Page request event interrupt address, high half.
        Peuaddr = 0xec, "PEUADDR";
    }
}

registers! {
    /// The 64-bit registers, by offset (VT-d spec, 11.4). The fault recording and IOTLB registers
    /// lie where [`Capability`](crate::capability::Capability) and
    /// [`ExtendedCapability`](crate::capability::ExtendedCapability) say.
    Reg64 {
        /// Capabilities: [`Capability`](crate::capability::Capability).
        Cap = 0x08, "CAP";
        /// Extended capabilities: [`ExtendedCapability`](crate::capability::ExtendedCapability).
        Ecap = 0x10, "ECAP";
        /// Root table address: [`RootTableAddress`].
        Rtaddr = 0x20, "RTADDR";
        /// Context command: register-based invalidation, unused next to the queue.
        Ccmd = 0x28, "CCMD";
        /// Protected high memory base.
        Phmbase = 0x70, "PHMBASE";
        /// Protected high memory limit.
        Phmlimit = 0x78, "PHMLIMIT";
        /// Invalidation queue head.
        Iqh = 0x80, "IQH";
        /// Invalidation queue tail.
        Iqt = 0x88, "IQT";
        /// Invalidation queue address and size.
        Iqa = 0x90, "IQA";
        /// Invalidation queue error record.
        Iqercd = 0xb0, "IQERCD";
        /// Interrupt remapping table address.
        Irta = 0xb8, "IRTA";
        /// Page request queue head.
        Pqh = 0xc0, "PQH";
        /// Page request queue tail.
        Pqt = 0xc8, "PQT";
        /// Page request queue address and size.
        Pqa = 0xd0, "PQA";
    }
}

bitflags! {
    /// Global command register (VT-d spec, 11.4.4.1). Exactly one bit may change per write, on top
    /// of [`GlobalStatus::persistent`], and the next write waits until the status shows it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct GlobalCommand: u32 {
        /// Translation enable.
        const TE = 1 << 31;
        /// Set root table pointer. One-shot.
        const SRTP = 1 << 30;
        /// Set fault log. One-shot.
        const SFL = 1 << 29;
        /// Enable advanced fault logging.
        const EAFL = 1 << 28;
        /// Write buffer flush. One-shot.
        const WBF = 1 << 27;
        /// Queued invalidation enable.
        const QIE = 1 << 26;
        /// Interrupt remapping enable.
        const IRE = 1 << 25;
        /// Set interrupt remapping table pointer. One-shot.
        const SIRTP = 1 << 24;
        /// Compatibility format interrupts pass.
        const CFI = 1 << 23;
    }
}

bitflags! {
    /// Global status register (VT-d spec, 11.4.4.2): each bit mirrors the command bit in its place.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct GlobalStatus: u32 {
        /// Translation is on.
        const TES = 1 << 31;
        /// The root table pointer has been taken.
        const RTPS = 1 << 30;
        /// The fault log pointer has been taken.
        const FLS = 1 << 29;
        /// Advanced fault logging is on.
        const AFLS = 1 << 28;
        /// A write buffer flush is under way: this one reads as set *until* it is done.
        const WBFS = 1 << 27;
        /// Queued invalidation is on.
        const QIES = 1 << 26;
        /// Interrupt remapping is on.
        const IRES = 1 << 25;
        /// The interrupt remapping table pointer has been taken.
        const IRTPS = 1 << 24;
        /// Compatibility format interrupts pass.
        const CFIS = 1 << 23;
    }
}

impl GlobalStatus {
    /// What some other driver, or firmware, has left running: DMA translation or interrupt
    /// remapping. Taking over a unit in such a state would pull tables from under it. Queued
    /// invalidation alone serves neither: a kernel leaves it on when it boots another one (kexec).
    pub const DRIVEN: Self = Self::TES.union(Self::IRES);

    /// The command bits that a write to GCMD must repeat to leave the unit as it is. Status bits of
    /// one-shot commands stay set after the command; writing them back would run it again (VT-d
    /// spec, 11.4.4.1, where the mask is 96FF_FFFFh).
    #[inline]
    pub const fn persistent(self) -> GlobalCommand {
        let one_shot = GlobalCommand::SRTP
            .union(GlobalCommand::SFL)
            .union(GlobalCommand::WBF)
            .union(GlobalCommand::SIRTP);
        GlobalCommand::from_bits_truncate(self.bits()).difference(one_shot)
    }
}

bitflags! {
    /// Fault status register (VT-d spec, 11.4.7). All flags but [`PPF`](Self::PPF) are cleared by
    /// writing them as 1; `PPF` follows the fault recording registers.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct FaultStatus: u32 {
        /// A fault was lost because all fault recording registers were in use.
        const PFO = 1 << 0;
        /// At least one fault recording register holds a fault. Read-only.
        const PPF = 1 << 1;
        /// Advanced fault log overflow.
        const AFO = 1 << 2;
        /// Advanced fault log holds a fault.
        const APF = 1 << 3;
        /// The invalidation queue stopped at a descriptor that it could not fetch or accept.
        const IQE = 1 << 4;
        /// A device sent an invalidation completion that nothing had asked for.
        const ICE = 1 << 5;
        /// A device did not complete a device-TLB invalidation in time.
        const ITE = 1 << 6;
        /// Page request overflow, in units older than version 3 of the specification.
        const PRO = 1 << 7;

        // The index field shares the word.
        const _ = !0;
    }
}

impl FaultStatus {
    /// The flags that stop or disturb the invalidation queue.
    pub const QUEUE_ERRORS: Self = Self::IQE.union(Self::ICE).union(Self::ITE);

    /// FRI: index of the fault recording register with the oldest fault. Valid while
    /// [`PPF`](Self::PPF) is set.
    #[inline]
    pub const fn first_record(self) -> u8 {
        (self.bits() >> 8) as u8
    }
}

bitflags! {
    /// Control of an event interrupt: FECTL, IECTL and PECTL (VT-d spec, 11.4.7 and 11.4.9).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct EventControl: u32 {
        /// Interrupt mask.
        const IM = 1 << 31;
        /// An interrupt is held back by the mask. Read-only.
        const IP = 1 << 30;
    }
}

bitflags! {
    /// Protected memory enable register (VT-d spec, 11.4.8): firmware's stop-gap against DMA before
    /// an operating system is up.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct ProtectedMemory: u32 {
        /// Enable protected memory.
        const EPM = 1 << 31;
        /// Protection is in force. Read-only.
        const PRS = 1 << 0;
    }
}

bitflags! {
    /// Invalidation completion status register (VT-d spec, 11.4.9.4).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct InvalidationStatus: u32 {
        /// A wait descriptor with its interrupt flag set has completed. Cleared by writing 1.
        const IWC = 1 << 0;
    }
}

/// Root table address register (VT-d spec, 11.4.5): the root table, and in TTM, bits 11:10, what
/// kind of table it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct RootTableAddress(u64);

impl RootTableAddress {
    const TTM_SCALABLE: u64 = 0b01 << 10;

    /// A scalable-mode root table, which is aligned to 4 KiB.
    #[inline]
    pub const fn scalable(table: PhysAddr) -> Self {
        Self(PAGE_ADDRESS.keep(table.raw()) | Self::TTM_SCALABLE)
    }

    /// Wraps what the register reads as.
    #[inline]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// What to write to the register.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Whether TTM says scalable mode.
    #[inline]
    pub const fn is_scalable(self) -> bool {
        self.0 & (0b11 << 10) == Self::TTM_SCALABLE
    }

    /// The table.
    #[inline]
    pub const fn table(self) -> PhysAddr {
        PhysAddr::new(PAGE_ADDRESS.keep(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shot_commands_are_never_repeated() {
        // The mask of the specification, 11.4.4.1.
        let all = GlobalStatus::all();
        assert_eq!(all.persistent().bits(), all.bits() & 0x96ff_ffff);
        // Reserved bits that hardware reads as 1 are not written back.
        let odd = GlobalStatus::from_bits_retain(0xffff_ffff);
        assert_eq!(odd.persistent().bits(), 0x9680_0000);
        assert_eq!(GlobalStatus::DRIVEN.bits(), 0x8200_0000);
    }

    #[test]
    fn root_table_address_says_scalable() {
        let r = RootTableAddress::scalable(PhysAddr::new(0x1_2345_6000));
        assert_eq!(r.raw(), 0x1_2345_6400);
        assert!(r.is_scalable());
        assert_eq!(r.table(), PhysAddr::new(0x1_2345_6000));
        assert!(!RootTableAddress::from_raw(0x1_2345_6c00).is_scalable());
        assert!(!RootTableAddress::from_raw(0x1_2345_6000).is_scalable());
    }

    #[test]
    fn fault_status_keeps_the_index() {
        let s = FaultStatus::from_bits_retain(0x0000_1712);
        assert_eq!(s.first_record(), 0x17);
        assert!(s.contains(FaultStatus::PPF | FaultStatus::IQE));
        assert!(!s.intersects(FaultStatus::ITE | FaultStatus::ICE | FaultStatus::PFO));
        assert_eq!(FaultStatus::QUEUE_ERRORS.bits(), 0x70);
    }

    #[test]
    fn registers_are_where_linux_says() {
        for (reg, offset) in [
            (Reg32::Gcmd, 0x18),
            (Reg32::Gsts, 0x1c),
            (Reg32::Fsts, 0x34),
            (Reg32::Fectl, 0x38),
            (Reg32::Pmen, 0x64),
            (Reg32::Ics, 0x9c),
            (Reg32::Prs, 0xdc),
        ] {
            assert_eq!(reg.offset(), offset);
        }
        for (reg, offset) in [
            (Reg64::Cap, 0x8),
            (Reg64::Ecap, 0x10),
            (Reg64::Rtaddr, 0x20),
            (Reg64::Iqa, 0x90),
            (Reg64::Iqercd, 0xb0),
            (Reg64::Irta, 0xb8),
            (Reg64::Pqa, 0xd0),
        ] {
            assert_eq!(reg.offset(), offset);
        }
        assert!(Reg32::ALL.windows(2).all(|w| w[0].offset() < w[1].offset()));
        assert!(Reg64::ALL.windows(2).all(|w| w[0].offset() < w[1].offset()));
        assert!(Reg32::ALL.iter().all(|r| r.offset() % 4 == 0));
        assert!(Reg64::ALL.iter().all(|r| r.offset() % 8 == 0));
    }
}
