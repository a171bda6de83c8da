// SPDX-License-Identifier: GPL-2.0

//! Tables of real machines, which are not part of the sources: `SIOV_DMAR_TABLES` names a directory
//! with one table in each file, as in `/sys/firmware/acpi/tables/DMAR`. Of each, it is said whether
//! it is used, and what is wrong with it. Without the variable, nothing is read.
//!
//! ```text
//! SIOV_DMAR_TABLES=~/tables cargo test -p siov-vtd --test dmar real -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use siov_types::{Bdf, PhysAddr, Segment};
use siov_vtd::dmar::{
    BusRange, Dmar, FunctionKind, MemoryMap, MemoryUse, PciTopology, Remark, RootPort,
};

use crate::check::read_all;

/// The machine is not known: nothing is there, and all memory is as the table says.
struct Unknown;

impl PciTopology for Unknown {
    fn kind_of(&self, _: Segment, _: Bdf) -> Option<FunctionKind> {
        None
    }

    fn buses_below(&self, _: Segment, _: Bdf) -> Option<BusRange> {
        None
    }

    fn root_port(&self, _: Segment, _: Bdf) -> RootPort {
        RootPort::Integrated
    }
}

impl MemoryMap for Unknown {
    fn use_of(&self, _: PhysAddr, _: PhysAddr) -> MemoryUse {
        MemoryUse::Reserved
    }
}

fn files(directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

#[test]
fn tables_of_real_machines() {
    let Ok(directory) = std::env::var("SIOV_DMAR_TABLES") else {
        return;
    };
    let (mut used, mut remarked, mut refused) = (0, 0, BTreeMap::new());
    for path in files(&directory) {
        let bytes = std::fs::read(&path).unwrap();
        if !bytes.starts_with(b"DMAR") {
            continue;
        }
        read_all(&bytes);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let dmar = match Dmar::parse(&bytes) {
            Ok(dmar) => dmar,
            Err(error) => {
                println!("{name}: refused: {error}");
                *refused.entry(error.to_string()).or_insert(0) += 1;
                continue;
            }
        };
        used += 1;
        let mut lines = 0;
        dmar.for_each_remark(&Unknown, &Unknown, |remark: Remark<'_>| {
            println!("{name}: {remark}");
            lines += 1;
        });
        let namespace = dmar
            .units()
            .map(|unit| dmar.namespace_devices_of(unit).count())
            .sum::<usize>();
        if namespace != 0 {
            println!("{name}: {namespace} ACPI devices");
        }
        remarked += usize::from(lines != 0);
    }
    println!("{used} used, {remarked} of them with remarks, refused: {refused:#?}");
    assert_ne!(used, 0, "no table in {directory}");
}
