// SPDX-License-Identifier: GPL-2.0

//! Descriptors in words, for error messages and debugfs.

use core::fmt;

use siov_types::Bdf;

use super::descriptor::{Descriptor, Drain, Kind, WaitFlags};
use crate::bits::{Field, PAGE_ADDRESS};

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.raw();
        write!(f, "{d:016x}:{c:016x}:{b:016x}:{a:016x}")
    }
}

/// One line: "IOTLB page-selective did 5 addr 0x200000 am 9".
impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, high, ..] = self.raw();
        let Some(kind) = self.kind() else {
            return write!(f, "unknown descriptor {self:?}");
        };
        match kind {
            Kind::ContextCache => match Self::G.get(low) {
                Self::GLOBAL => f.write_str("context-cache global"),
                Self::DOMAIN => write!(f, "context-cache domain-selective did {}", did(low)),
                Self::SELECTIVE => {
                    let source = bdf(Self::CC_SID, low);
                    write!(f, "context-cache device-selective {source}")
                }
                _ => f.write_str("context-cache, reserved granularity"),
            },
            Kind::PasidCache => match Self::G.get(low) {
                Self::PC_GLOBAL => f.write_str("PASID-cache global"),
                Self::PC_DOMAIN => write!(f, "PASID-cache domain-selective did {}", did(low)),
                Self::PC_PASID => {
                    let pasid = pasid(low);
                    write!(
                        f,
                        "PASID-cache PASID-selective did {} PASID {pasid:#x}",
                        did(low)
                    )
                }
                _ => f.write_str("PASID-cache, reserved granularity"),
            },
            Kind::Iotlb => {
                match Self::G.get(low) {
                    Self::GLOBAL => f.write_str("IOTLB global")?,
                    Self::DOMAIN => write!(f, "IOTLB domain-selective did {}", did(low))?,
                    Self::SELECTIVE => {
                        write!(f, "IOTLB page-selective did {}", did(low))?;
                        fmt_pages(f, high)?;
                    }
                    _ => f.write_str("IOTLB, reserved granularity")?,
                }
                fmt_flags(f, Drain::from_bits_truncate(low).iter_names())
            }
            Kind::PasidIotlb => {
                let (did, pasid) = (did(low), pasid(low));
                match Self::G.get(low) {
                    Self::ALL_IN_PASID => {
                        write!(f, "PASID-IOTLB PASID-selective did {did} PASID {pasid:#x}")
                    }
                    Self::SELECTIVE => {
                        write!(f, "PASID-IOTLB page-selective did {did} PASID {pasid:#x}")?;
                        fmt_pages(f, high)
                    }
                    _ => f.write_str("PASID-IOTLB, reserved granularity"),
                }
            }
            Kind::DeviceTlb => {
                write!(f, "device-TLB {}", bdf(Self::DEV_SID, low))?;
                fmt_ats_range(f, high, Self::DEV_S)
            }
            Kind::PasidDeviceTlb => {
                let source = bdf(Self::PASID_DEV_SID, low);
                write!(f, "PASID-device-TLB {source} PASID {:#x}", pasid(low))?;
                fmt_ats_range(f, high, Self::PASID_DEV_S)
            }
            Kind::InterruptEntryCache => {
                if !Self::IEC_G.is_set(low) {
                    return f.write_str("interrupt-entry-cache global");
                }
                let (index, mask) = (Self::IEC_IIDX.get(low), Self::IEC_IM.get(low));
                write!(f, "interrupt-entry-cache index {index} im {mask}")
            }
            Kind::Wait => {
                f.write_str("wait")?;
                if Self::SW.is_set(low) {
                    let data = Self::STATUS_DATA.get(low);
                    write!(f, " status {high:#x} data {data:#x}")?;
                }
                fmt_flags(f, WaitFlags::from_bits_truncate(low).iter_names())
            }
        }
    }
}

fn did(low: u64) -> u64 {
    Descriptor::DID.get(low)
}

fn pasid(low: u64) -> u64 {
    Descriptor::PASID.get(low)
}

fn bdf(field: Field, low: u64) -> Bdf {
    Bdf::from_raw(field.get(low) as u16)
}

fn fmt_pages(f: &mut fmt::Formatter<'_>, high: u64) -> fmt::Result {
    let (addr, am) = (PAGE_ADDRESS.keep(high), Descriptor::AM.get(high));
    write!(f, " addr {addr:#x} am {am}")?;
    if Descriptor::IH.is_set(high) {
        f.write_str(" IH")?;
    }
    Ok(())
}

fn fmt_ats_range(f: &mut fmt::Formatter<'_>, high: u64, size: Field) -> fmt::Result {
    let addr = PAGE_ADDRESS.keep(high);
    if !size.is_set(high) {
        return write!(f, " addr {addr:#x} am 0");
    }
    // The size bit is the lowest clear one; two pages where it is bit 12.
    let am = (addr >> 12).trailing_ones() + 1;
    let below = u64::MAX
        .checked_shl(11 + am)
        .map_or(u64::MAX, |above| !above);
    match am {
        52.. => f.write_str(" all"),
        _ => write!(f, " addr {:#x} am {am}", addr & !below),
    }
}

fn fmt_flags<'a, B>(
    f: &mut fmt::Formatter<'_>,
    flags: impl Iterator<Item = (&'a str, B)>,
) -> fmt::Result {
    for (name, _) in flags {
        write!(f, " {name}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{DeviceTlb, Pages, PagingStructures, Scope};
    use super::*;
    use proptest::prelude::*;
    use siov_types::{DomainId, Iova, Pasid, PhysAddr};
    use std::format;
    use std::string::ToString;

    #[test]
    fn one_line_each() {
        let did = DomainId::new(5);
        let pasid = Pasid::new(0x2a).unwrap();
        let source = Bdf::new(1, 0x13);
        let device = DeviceTlb {
            source,
            physical_function: source,
            queue_depth: 1,
        };
        let pages = Pages {
            addr: Iova::new(0x20_0000),
            mask: 9,
        };
        let changed = PagingStructures::Changed;
        let kept = PagingStructures::Kept;
        let status = PhysAddr::new(0x1000);
        for (d, text) in [
            (Descriptor::context_cache_global(), "context-cache global"),
            (
                Descriptor::context_cache_domain(did),
                "context-cache domain-selective did 5",
            ),
            (
                Descriptor::context_cache_device(source),
                "context-cache device-selective 01:02.3",
            ),
            (Descriptor::pasid_cache_global(), "PASID-cache global"),
            (
                Descriptor::pasid_cache_domain(did),
                "PASID-cache domain-selective did 5",
            ),
            (
                Descriptor::pasid_cache_pasid(did, pasid),
                "PASID-cache PASID-selective did 5 PASID 0x2a",
            ),
            (
                Descriptor::iotlb_global(Drain::all()),
                "IOTLB global WRITES READS",
            ),
            (
                Descriptor::iotlb_domain(did, Drain::READS),
                "IOTLB domain-selective did 5 READS",
            ),
            (
                Descriptor::iotlb_pages(did, pages, changed, Drain::empty()),
                "IOTLB page-selective did 5 addr 0x200000 am 9",
            ),
            (
                Descriptor::iotlb_pages(did, pages, kept, Drain::empty()),
                "IOTLB page-selective did 5 addr 0x200000 am 9 IH",
            ),
            (
                Descriptor::pasid_iotlb_all(did, pasid),
                "PASID-IOTLB PASID-selective did 5 PASID 0x2a",
            ),
            (
                Descriptor::pasid_iotlb_pages(did, pasid, pages, changed),
                "PASID-IOTLB page-selective did 5 PASID 0x2a addr 0x200000 am 9",
            ),
            (
                Descriptor::device_tlb(device, Scope::Pages(pages)),
                "device-TLB 01:02.3 addr 0x200000 am 9",
            ),
            (
                Descriptor::device_tlb(device, Scope::Domain),
                "device-TLB 01:02.3 all",
            ),
            (
                Descriptor::pasid_device_tlb(device, pasid, Scope::Pages(pages)),
                "PASID-device-TLB 01:02.3 PASID 0x2a addr 0x200000 am 9",
            ),
            (
                Descriptor::interrupt_entry_cache_global(),
                "interrupt-entry-cache global",
            ),
            (
                Descriptor::interrupt_entry_cache(7, 2),
                "interrupt-entry-cache index 7 im 2",
            ),
            (
                Descriptor::wait_status(status, 1, WaitFlags::empty()),
                "wait status 0x1000 data 0x1",
            ),
            (
                Descriptor::wait(WaitFlags::INTERRUPT | WaitFlags::FENCE),
                "wait INTERRUPT FENCE",
            ),
            (
                Descriptor::from_raw([0x1, 0, 0, 0]),
                "context-cache, reserved granularity",
            ),
            (
                Descriptor::from_raw([0xf, 1, 0, 2]),
                "unknown descriptor \
                 0000000000000002:0000000000000000:0000000000000001:000000000000000f",
            ),
        ] {
            assert_eq!(d.to_string(), text);
        }
    }

    proptest! {
        #![proptest_config(crate::proptest_config::cases(4096))]
        #[test]
        fn any_bits_have_words(raw: [u64; 4], kind in 0u64..16) {
            let [low, a, b, c] = raw;
            for raw in [raw, [(low & !0xe0f) | kind, a, b, c]] {
                let text = Descriptor::from_raw(raw).to_string();
                prop_assert!(!text.is_empty() && !text.contains('\n'));
            }
        }

        #[test]
        fn device_tlb_ranges_are_told_as_given(addr: u64, mask in 0u8..52) {
            let addr = addr >> (12 + mask) << (12 + mask);
            let device = DeviceTlb { source: Bdf::new(0, 8), physical_function: Bdf::new(0, 8), queue_depth: 32 };
            let d = Descriptor::device_tlb(device, Scope::Pages(Pages { addr: Iova::new(addr), mask }));
            prop_assert_eq!(d.to_string(), format!("device-TLB 00:01.0 addr {addr:#x} am {mask}"));
        }
    }
}
