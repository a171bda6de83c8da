// SPDX-License-Identifier: GPL-2.0

//! What can hit a submission.

use core::fmt;

use siov_types::Bdf;

/// How many functions [`Sources`] can name.
const NAMES: usize = 4;

/// Functions that did not answer a device-TLB invalidation in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sources {
    named: [Option<Bdf>; NAMES],
    /// There are others: the unit did not say which, or they were too many.
    unnamed: bool,
}

impl Sources {
    /// Adds one; `None` where the unit does not say which.
    pub fn insert(&mut self, source: Option<Bdf>) {
        let Some(source) = source else {
            self.unnamed = true;
            return;
        };
        for slot in &mut self.named {
            match slot {
                Some(named) if *named == source => return,
                Some(_) => {}
                None => {
                    *slot = Some(source);
                    return;
                }
            }
        }
        self.unnamed = true;
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for source in other.iter() {
            self.insert(source);
        }
    }

    /// Whether no function timed out.
    pub fn is_empty(&self) -> bool {
        !self.unnamed && self.named().next().is_none()
    }

    /// Whether `source` may be one of them: it is, or there are some whose names are not known.
    pub fn may_contain(&self, source: Bdf) -> bool {
        self.unnamed || self.named().any(|named| named == source)
    }

    /// All of them, `None` for those that are not known by name.
    pub fn iter(&self) -> impl Iterator<Item = Option<Bdf>> + '_ {
        let unnamed = self.unnamed.then_some(None);
        self.named().map(Some).chain(unnamed)
    }

    /// Those that are known by name.
    pub fn named(&self) -> impl Iterator<Item = Bdf> + '_ {
        self.named.iter().copied().flatten()
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for source in self.named() {
            write!(f, "{separator}{source}")?;
            separator = ", ";
        }
        if self.unnamed {
            write!(f, "{separator}unknown function")?;
        }
        Ok(())
    }
}

/// All that hit a submission.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueueErrors {
    pub(super) iqe: bool,
    pub(super) ite: Sources,
    pub(super) stalled: bool,
    pub(super) resumed: bool,
    pub(super) complete: bool,
}

impl QueueErrors {
    /// Whether the unit refused a descriptor of it.
    pub fn iqe(&self) -> bool {
        self.iqe
    }

    /// Functions that did not answer a device-TLB invalidation in time, while a descriptor of this
    /// submission was under way.
    pub fn ite(&self) -> &Sources {
        &self.ite
    }

    /// Whether the queue stands still, or stood still for too long when the submission came.
    pub fn stalled(&self) -> bool {
        self.stalled
    }

    /// Whether the queue stood still until this submission, which was not added, found that it
    /// moves again. What was lost before is known to nobody else.
    pub fn has_resumed(&self) -> bool {
        self.resumed
    }

    /// Whether the submission was carried out in the end, by repeating it.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether nothing hit it.
    pub(super) fn is_empty(&self) -> bool {
        !self.iqe && !self.stalled && self.ite.is_empty()
    }

    /// Adds what `other` found.
    pub(super) fn merge(&mut self, other: &Self) {
        self.ite.merge(&other.ite);
        self.merge_without_sources(other);
    }

    /// Adds what `other` found, but for which functions timed out.
    pub(super) fn merge_without_sources(&mut self, other: &Self) {
        self.iqe |= other.iqe;
        self.stalled |= other.stalled;
        self.resumed |= other.resumed;
    }
}

impl fmt::Display for QueueErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if self.stalled {
            f.write_str("invalidation queue stalled")?;
            separator = "; ";
        }
        if !self.ite.is_empty() {
            write!(
                f,
                "{separator}device-TLB invalidation timed out (ITE): {}",
                self.ite
            )?;
            separator = "; ";
        }
        if self.iqe {
            write!(f, "{separator}invalidation queue error (IQE)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec::Vec;

    const A: Bdf = Bdf::new(0x3a, 0x1d);
    const B: Bdf = Bdf::new(0, 0x08);

    #[test]
    fn sources() {
        let mut sources = Sources::default();
        assert!(sources.is_empty() && !sources.may_contain(A));
        for source in [A, B, A] {
            sources.insert(Some(source));
        }
        assert_eq!(sources.named().collect::<Vec<_>>(), [A, B]);
        assert!(sources.may_contain(B) && !sources.may_contain(Bdf::new(1, 0)));
        assert_eq!(format!("{sources}"), "3a:03.5, 00:01.0");

        let mut merged = Sources::default();
        merged.insert(None);
        assert_eq!(format!("{merged}"), "unknown function");
        merged.merge(&sources);
        assert!(merged.may_contain(Bdf::new(1, 0)));
        assert_eq!(format!("{merged}"), "3a:03.5, 00:01.0, unknown function");
    }

    #[test]
    fn too_many_sources_are_all_sources() {
        let mut sources = Sources::default();
        for bus in 1..=NAMES as u8 {
            sources.insert(Some(Bdf::new(bus, 0)));
            assert!(!sources.may_contain(A));
        }
        sources.insert(Some(Bdf::new(0xff, 0)));
        assert!(sources.may_contain(A));
    }

    #[test]
    fn text() {
        let mut errors = QueueErrors::default();
        assert!(errors.is_empty());
        errors.iqe = true;
        assert_eq!(format!("{errors}"), "invalidation queue error (IQE)");
        errors.stalled = true;
        errors.ite.insert(Some(A));
        assert_eq!(
            format!("{errors}"),
            "invalidation queue stalled; device-TLB invalidation timed out (ITE): 3a:03.5; \
             invalidation queue error (IQE)"
        );
    }
}
