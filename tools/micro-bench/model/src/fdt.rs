// SPDX-License-Identifier: GPL-2.0

//! Flattened devicetrees, read in place (Devicetree Specification 0.4, chapter 5).
//!
//! A blob that is cut short or contradicts itself ends the walk early; it never makes it leave the
//! blob.

mod node;

pub use node::{Node, Reg};

use core::fmt;

/// Bytes of the header (section 5.2).
pub const HEADER_SIZE: usize = 40;

const MAGIC: u32 = 0xd00d_feed;
/// The version whose layout is read here; newer ones say that they are compatible with it.
const VERSION: u32 = 17;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;

/// Nodes within nodes that are followed. Trees of virtual machines have four levels.
const MAX_DEPTH: usize = 16;

/// Why a blob is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not the magic number of a devicetree.
    Magic,
    /// A version that is not compatible with version 17.
    Version,
    /// A block reaches beyond the blob.
    Truncated,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Magic => "no devicetree: wrong magic number",
            Self::Version => "devicetree of an unknown version",
            Self::Truncated => "devicetree is cut short",
        })
    }
}

/// A devicetree blob.
#[derive(Clone, Copy, Debug)]
pub struct Fdt<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
}

/// Big-endian number at `offset`.
fn be32(bytes: &[u8], offset: usize) -> Option<u32> {
    let end = offset.checked_add(4)?;
    Some(u32::from_be_bytes(bytes.get(offset..end)?.try_into().ok()?))
}

/// The string at `offset`, up to its terminating zero.
fn string(bytes: &[u8], offset: usize) -> Option<&str> {
    let rest = bytes.get(offset..)?;
    let end = rest.iter().position(|&byte| byte == 0)?;
    core::str::from_utf8(rest.get(..end)?).ok()
}

/// The size of the whole blob by its first [`HEADER_SIZE`] bytes.
pub fn total_size(header: &[u8]) -> Result<usize, Error> {
    match be32(header, 0) {
        Some(MAGIC) => (),
        Some(_) => return Err(Error::Magic),
        None => return Err(Error::Truncated),
    }
    be32(header, 4)
        .map(|size| size as usize)
        .ok_or(Error::Truncated)
}

impl<'a> Fdt<'a> {
    /// Checks the header and finds the blocks.
    pub fn new(blob: &'a [u8]) -> Result<Self, Error> {
        let blob = blob.get(..total_size(blob)?).ok_or(Error::Truncated)?;
        let field = |offset| be32(blob, offset).ok_or(Error::Truncated);
        if field(20)? < VERSION || field(24)? > VERSION {
            return Err(Error::Version);
        }
        let block = |offset: u32, size: u32| {
            let start = offset as usize;
            blob.get(start..start.checked_add(size as usize)?)
        };
        Ok(Self {
            structure: block(field(8)?, field(36)?).ok_or(Error::Truncated)?,
            strings: block(field(12)?, field(32)?).ok_or(Error::Truncated)?,
        })
    }

    /// All nodes in the order of the blob, each before its children.
    pub fn nodes(&self) -> Nodes<'a> {
        Nodes {
            fdt: *self,
            offset: 0,
            depth: 0,
            buses: [Bus::DEFAULT; MAX_DEPTH],
        }
    }

    /// The enabled nodes whose `compatible` names any of `names`.
    pub fn compatible<'n>(
        &self,
        names: &'n [&str],
    ) -> impl Iterator<Item = Node<'a>> + use<'a, 'n> {
        self.nodes()
            .filter(|node| node.is_enabled() && names.iter().any(|name| node.is_compatible(name)))
    }

    /// The node of an absolute path, `/soc/serial@9000000`. What follows a `:` is options of a
    /// console.
    pub fn at(&self, path: &str) -> Option<Node<'a>> {
        let path = path.split(':').next()?.strip_prefix('/')?;
        let mut parts = path.split('/');
        let mut wanted = parts.next()?;
        let mut depth = 1;
        for node in self.nodes().skip(1) {
            if node.depth < depth {
                return None;
            }
            if node.depth == depth && node.name == wanted {
                match parts.next() {
                    None => return Some(node),
                    Some(part) => wanted = part,
                }
                depth += 1;
            }
        }
        None
    }
}

/// How the addresses of a node's children are written, and whether they are physical addresses.
#[derive(Clone, Copy, Debug)]
struct Bus {
    address_cells: u32,
    size_cells: u32,
    /// Whether addresses down here are those of the root: every `ranges` on the way is empty.
    physical: bool,
}

impl Bus {
    /// What holds where a node says nothing (section 2.3.5).
    const DEFAULT: Self = Self {
        address_cells: 2,
        size_cells: 1,
        physical: true,
    };
}

/// A walk over all nodes.
pub struct Nodes<'a> {
    fdt: Fdt<'a>,
    offset: usize,
    depth: usize,
    /// By depth: what holds for the children of the open node there.
    buses: [Bus; MAX_DEPTH],
}

impl<'a> Nodes<'a> {
    fn token(&mut self) -> Option<u32> {
        let token = be32(self.fdt.structure, self.offset)?;
        self.offset = self.offset.checked_add(4)?;
        Some(token)
    }

    /// Skips `size` bytes and what pads them to whole tokens.
    fn skip_bytes(&mut self, size: usize) -> Option<()> {
        self.offset = self.offset.checked_add(size)?.checked_next_multiple_of(4)?;
        Some(())
    }

    /// Behind BEGIN_NODE: name and properties.
    fn open(&mut self) -> Option<Node<'a>> {
        let name = string(self.fdt.structure, self.offset)?;
        self.skip_bytes(name.len().checked_add(1)?)?;
        let start = self.offset;
        loop {
            let before = self.offset;
            match self.token()? {
                PROP => {
                    let size = self.token()? as usize;
                    self.token()?;
                    self.skip_bytes(size)?;
                }
                NOP => (),
                _ => {
                    self.offset = before;
                    break;
                }
            }
        }
        let parent = match self.depth.checked_sub(1) {
            Some(above) => *self.buses.get(above)?,
            None => Bus::DEFAULT,
        };
        let node = Node {
            name,
            depth: self.depth,
            properties: self.fdt.structure.get(start..self.offset)?,
            strings: self.fdt.strings,
            bus: parent,
        };
        *self.buses.get_mut(self.depth)? = node.children();
        self.depth = self.depth.checked_add(1)?;
        Some(node)
    }
}

impl<'a> Iterator for Nodes<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            match self.token()? {
                BEGIN_NODE => return self.open(),
                END_NODE => self.depth = self.depth.checked_sub(1)?,
                NOP => (),
                _ => return None,
            }
        }
    }
}
