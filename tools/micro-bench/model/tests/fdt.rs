// SPDX-License-Identifier: GPL-2.0

//! Devicetrees: built here by hand, read by the parser, cut and damaged.

use micro_bench_model::fdt::{total_size, Error, Fdt, Reg};
use proptest::prelude::*;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// Writes a blob, with what the specification allows in between.
#[derive(Default)]
struct Builder {
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl Builder {
    fn word(&mut self, value: u32) -> &mut Self {
        self.structure.extend(value.to_be_bytes());
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.structure.extend(bytes);
        while self.structure.len() % 4 != 0 {
            self.structure.push(0);
        }
        self
    }

    fn begin(&mut self, name: &str) -> &mut Self {
        self.word(BEGIN_NODE).bytes(format!("{name}\0").as_bytes())
    }

    fn end(&mut self) -> &mut Self {
        self.word(END_NODE)
    }

    fn nop(&mut self) -> &mut Self {
        self.word(NOP)
    }

    fn property(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let offset = self.strings.len() as u32;
        self.strings.extend(format!("{name}\0").bytes());
        self.word(PROP)
            .word(value.len() as u32)
            .word(offset)
            .bytes(value)
    }

    fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.property(name, format!("{value}\0").as_bytes())
    }

    fn cells(&mut self, name: &str, cells: &[u32]) -> &mut Self {
        let bytes: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.property(name, &bytes)
    }

    fn blob(&mut self) -> Vec<u8> {
        self.word(END);
        let structure = 40u32;
        let strings = structure + self.structure.len() as u32;
        let size = strings + self.strings.len() as u32;
        let header = [
            0xd00d_feed,
            size,
            structure,
            strings,
            40,
            17,
            16,
            0,
            self.strings.len() as u32,
            self.structure.len() as u32,
        ];
        let mut blob: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
        blob.extend(&self.structure);
        blob.extend(&self.strings);
        blob
    }
}

/// A tree with the shapes of QEMU's and of others.
fn machine() -> Vec<u8> {
    Builder::default()
        .nop()
        .begin("")
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[2])
        .begin("chosen")
        .text("bootargs", "repeat=5 mode=json")
        .text("stdout-path", "/soc/serial@9000000:115200")
        .end()
        .begin("cpus")
        .cells("#address-cells", &[1])
        .cells("#size-cells", &[0])
        .begin("cpu@0")
        .text("device_type", "cpu")
        .cells("reg", &[0])
        .end()
        .begin("cpu@101")
        .text("device_type", "cpu")
        .nop()
        .cells("reg", &[0x101])
        .end()
        .end()
        .begin("intc@8000000")
        .text("compatible", "arm,gic-v3")
        .cells(
            "reg",
            &[0, 0x0800_0000, 0, 0x1_0000, 0x40, 0x0, 0, 0xf6_0000],
        )
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[2])
        .property("ranges", &[])
        .begin("its@8080000")
        .text("compatible", "arm,gic-v3-its")
        .cells("reg", &[0, 0x0808_0000, 0, 0x2_0000])
        .end()
        .end()
        .begin("soc")
        .cells("#address-cells", &[1])
        .cells("#size-cells", &[1])
        .property("ranges", &[])
        .begin("serial@9000000")
        .property("compatible", b"vendor,uart\0arm,pl011\0")
        .cells("reg", &[0x0900_0000, 0x1000])
        .end()
        .begin("serial@9010000")
        .text("compatible", "arm,pl011")
        .text("status", "disabled")
        .cells("reg", &[0x0901_0000, 0x1000])
        .end()
        .end()
        .begin("bridge")
        .cells("ranges", &[0, 0x1000_0000, 0x1000])
        .begin("far@0")
        .text("compatible", "vendor,far")
        .cells("reg", &[0, 0, 0x1000])
        .end()
        .end()
        .end()
        .blob()
}

#[test]
fn nodes_in_their_order() {
    let blob = machine();
    let fdt = Fdt::new(&blob).unwrap();
    let names: Vec<_> = fdt.nodes().map(|node| (node.depth, node.name)).collect();
    assert_eq!(
        names,
        [
            (0, ""),
            (1, "chosen"),
            (1, "cpus"),
            (2, "cpu@0"),
            (2, "cpu@101"),
            (1, "intc@8000000"),
            (2, "its@8080000"),
            (1, "soc"),
            (2, "serial@9000000"),
            (2, "serial@9010000"),
            (1, "bridge"),
            (2, "far@0"),
        ]
    );
}

#[test]
fn paths() {
    let blob = machine();
    let fdt = Fdt::new(&blob).unwrap();
    let chosen = fdt.at("/chosen").unwrap();
    assert_eq!(chosen.text("bootargs"), Some("repeat=5 mode=json"));
    let serial = fdt.at(chosen.text("stdout-path").unwrap()).unwrap();
    assert_eq!(serial.name, "serial@9000000");
    for path in [
        "/serial@9000000",
        "/soc/serial",
        "/soc/serial@9000000/x",
        "soc",
        "/chosen/its@8080000",
    ] {
        assert!(fdt.at(path).is_none(), "{path}");
    }
}

#[test]
fn addresses_by_the_cells_of_the_parent() {
    let blob = machine();
    let fdt = Fdt::new(&blob).unwrap();
    let reg = |path: &str, index| fdt.at(path).unwrap().reg(index);
    let of = |address, size| Some(Reg { address, size });
    assert_eq!(reg("/intc@8000000", 0), of(0x0800_0000, 0x1_0000));
    assert_eq!(reg("/intc@8000000", 1), of(0x40_0000_0000, 0xf6_0000));
    assert_eq!(reg("/intc@8000000", 2), None);
    assert_eq!(
        reg("/intc@8000000/its@8080000", 0),
        of(0x0808_0000, 0x2_0000)
    );
    assert_eq!(reg("/soc/serial@9000000", 0), of(0x0900_0000, 0x1000));
    assert_eq!(reg("/cpus/cpu@101", 0), of(0x101, 0));
    // Behind a bridge that moves addresses.
    assert_eq!(reg("/bridge/far@0", 0), None);
}

#[test]
fn compatible_nodes_that_are_enabled() {
    let blob = machine();
    let fdt = Fdt::new(&blob).unwrap();
    let names: Vec<_> = fdt
        .compatible(&["arm,pl011"])
        .map(|node| node.name)
        .collect();
    assert_eq!(names, ["serial@9000000"]);
    assert_eq!(fdt.compatible(&["pl011", "arm,pl01"]).count(), 0);
}

#[test]
fn headers() {
    let blob = machine();
    assert_eq!(total_size(&blob), Ok(blob.len()));
    assert_eq!(
        Fdt::new(&blob[..blob.len() - 1]).unwrap_err(),
        Error::Truncated
    );
    assert_eq!(Fdt::new(&[]).unwrap_err(), Error::Truncated);
    let changed = |offset: usize, value: u8| {
        let mut blob = blob.clone();
        blob[offset] = value;
        Fdt::new(&blob).map(|_| ()).unwrap_err()
    };
    assert_eq!(changed(0, 0), Error::Magic);
    assert_eq!(changed(23, 16), Error::Version);
    assert_eq!(changed(27, 18), Error::Version);
    assert_eq!(changed(8, 0xff), Error::Truncated);
    assert_eq!(changed(36, 0xff), Error::Truncated);
}

/// Looks at everything that there is to see.
fn look(blob: &[u8]) -> usize {
    let Ok(fdt) = Fdt::new(blob) else { return 0 };
    fdt.at("/soc/serial@9000000");
    fdt.nodes()
        .map(|node| {
            let _ = (
                node.reg(0),
                node.reg(usize::MAX),
                node.cell("reg", usize::MAX),
                node.text("status"),
            );
            usize::from(node.is_enabled() || node.is_compatible("arm,pl011"))
        })
        .sum()
}

#[test]
fn nodes_too_deep_end_the_walk() {
    let mut builder = Builder::default();
    for depth in 0..40 {
        builder.begin(&format!("n{depth}"));
    }
    let blob = builder.blob();
    assert_eq!(Fdt::new(&blob).unwrap().nodes().count(), 16);
}

proptest! {
    #[test]
    fn a_damaged_blob_is_no_danger(
        damage in prop::collection::vec((0..1000usize, any::<u8>()), 0..8),
        cut in 0..1000usize,
    ) {
        let mut blob = machine();
        for (place, value) in damage {
            let place = place % blob.len();
            blob[place] = value;
        }
        let size = cut % blob.len();
        look(&blob);
        look(&blob[..size]);
    }

    #[test]
    fn random_structure_is_no_danger(words in prop::collection::vec(0..12u32, 0..200)) {
        let mut builder = Builder::default();
        for word in words {
            builder.word(word);
        }
        look(&builder.blob());
    }
}
