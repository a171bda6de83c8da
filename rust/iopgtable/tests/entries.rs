// SPDX-License-Identifier: GPL-2.0

//! Entries, bit by bit, against values written by hand from the VT-d specification, 9.7 and 9.8.

#![forbid(unsafe_code)]

mod common;

use common::memory::Memory;
use common::walker::{Stage, Walker};
use common::{finish, gather, table, G1, K4, M2};
use siov_iopgtable::{
    Config, Error, FirstStage, LeafSize, Levels, PageTable, Prot, SecondStage, Table,
};
use siov_types::{Iova, PhysAddr};

const READ_WRITE: Prot = Prot::READ.union(Prot::WRITE);

fn entry_of<F: Stage>(len: u64, prot: Prot, level: u32) -> u64 {
    let (table, memory) = table::<F>(Levels::Four, LeafSize::Size1G, true);
    let walker = Walker::new(&memory, table.root().raw(), Levels::Four);
    let mapped = table.map(
        Iova::new(G1),
        PhysAddr::new(0x1234_4000_0000),
        len,
        prot,
        (),
        &mut gather(&memory),
    );
    assert_eq!(mapped, (len, Ok(())));
    let entry = walker.entry(G1, level);
    finish(table, &memory);
    entry
}

#[test]
fn second_stage_leaves() {
    let entry = |len, prot, level| entry_of::<SecondStage>(len, prot, level);
    // Address, bit 52 of ours, then R and W.
    assert_eq!(entry(K4, Prot::READ, 1), 0x0010_1234_4000_0001);
    assert_eq!(entry(K4, Prot::WRITE, 1), 0x0010_1234_4000_0002);
    assert_eq!(entry(K4, READ_WRITE, 1), 0x0010_1234_4000_0003);
    // SNP, bit 11.
    assert_eq!(
        entry(K4, READ_WRITE | Prot::SNOOP, 1),
        0x0010_1234_4000_0803
    );
    // PS, bit 7.
    assert_eq!(entry(M2, READ_WRITE, 2), 0x0010_1234_4000_0083);
    assert_eq!(entry(G1, Prot::READ, 3), 0x0010_1234_4000_0081);
}

#[test]
fn first_stage_leaves() {
    let entry = |len, prot, level| entry_of::<FirstStage>(len, prot, level);
    // Address, then D, A, US, RW, P.
    assert_eq!(entry(K4, Prot::READ, 1), 0x1234_4000_0025);
    assert_eq!(entry(K4, READ_WRITE, 1), 0x1234_4000_0067);
    assert_eq!(entry(K4, Prot::WRITE, 1), 0x1234_4000_0067);
    assert_eq!(entry(K4, Prot::READ | Prot::SNOOP, 1), 0x1234_4000_0025);
    assert_eq!(entry(M2, READ_WRITE, 2), 0x1234_4000_00e7);
    assert_eq!(entry(G1, Prot::READ, 3), 0x1234_4000_00a5);
}

#[test]
fn pointers_to_tables() {
    fn pointer<F: Stage>(coherent: bool) -> u64 {
        let (table, memory) = table::<F>(Levels::Four, LeafSize::Size1G, coherent);
        let walker = Walker::new(&memory, table.root().raw(), Levels::Four);
        memory.set_next(0x3fff_ffff_0000);
        let (bytes, _) = table.map(
            Iova::new(0),
            PhysAddr::new(0),
            K4,
            READ_WRITE,
            (),
            &mut gather(&memory),
        );
        assert_eq!(bytes, K4);
        let entry = walker.entry(0, 4);
        finish(table, &memory);
        entry
    }
    for coherent in [true, false] {
        // R, W, and bit 10: linked.
        assert_eq!(pointer::<SecondStage>(coherent), 0x3fff_ffff_0403);
        // A, US, RW, P, and bit 9: linked.
        assert_eq!(pointer::<FirstStage>(coherent), 0x3fff_ffff_0227);
    }
}

#[test]
fn a_table_is_a_page() {
    assert_eq!(core::mem::size_of::<Table>(), 4096);
    assert_eq!(core::mem::align_of::<Table>(), 4096);
}

#[test]
fn shapes_that_formats_do_not_have() {
    fn new<F: Stage>(levels: Levels, input_bits: u8, output_bits: u8) -> Result<(), Error> {
        let memory = Memory::new(true);
        let config = Config {
            levels,
            max_leaf: LeafSize::Size4K,
            input_bits,
            output_bits,
        };
        let made = PageTable::<F, _>::new(memory.clone(), config, ()).map(drop);
        assert_eq!(memory.live(), 0);
        made
    }
    assert_eq!(new::<SecondStage>(Levels::Three, 39, 52), Ok(()));
    assert_eq!(new::<SecondStage>(Levels::Three, 40, 52), Err(Error::Width));
    assert_eq!(new::<SecondStage>(Levels::Four, 48, 52), Ok(()));
    assert_eq!(new::<SecondStage>(Levels::Four, 49, 52), Err(Error::Width));
    assert_eq!(new::<SecondStage>(Levels::Five, 57, 52), Ok(()));
    assert_eq!(new::<SecondStage>(Levels::Five, 58, 52), Err(Error::Width));
    assert_eq!(new::<SecondStage>(Levels::Four, 48, 53), Err(Error::Width));
    assert_eq!(new::<SecondStage>(Levels::Four, 11, 52), Err(Error::Width));
    assert_eq!(new::<SecondStage>(Levels::Four, 48, 11), Err(Error::Width));
    assert_eq!(new::<FirstStage>(Levels::Three, 39, 52), Err(Error::Levels));
    assert_eq!(new::<FirstStage>(Levels::Four, 47, 52), Ok(()));
    assert_eq!(new::<FirstStage>(Levels::Four, 48, 52), Err(Error::Width));
    assert_eq!(new::<FirstStage>(Levels::Five, 56, 52), Ok(()));
    assert_eq!(new::<FirstStage>(Levels::Five, 57, 52), Err(Error::Width));
}

#[test]
fn tables_that_an_entry_cannot_address() {
    let (table, memory) = table::<SecondStage>(Levels::Four, LeafSize::Size4K, true);
    let map = || {
        table
            .map(
                Iova::new(0),
                PhysAddr::new(0),
                K4,
                Prot::READ,
                (),
                &mut gather(&memory),
            )
            .1
    };
    for unusable in [0x1000_0800, 1 << 46, 1 << 52] {
        memory.set_next(unusable);
        assert_eq!(map(), Err(Error::TableAddress), "{unusable:#x}");
        assert_eq!(memory.live(), 1);
    }
    memory.set_next(0x1000_0000);
    assert_eq!(map(), Ok(()));
    finish(table, &memory);
}
