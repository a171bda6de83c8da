// SPDX-License-Identifier: GPL-2.0

//! Format strings as patterns, and what a program may print by them.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

/// A part of a format string.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    /// A placeholder.
    Hole,
}

/// A format string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(Vec<Part>);

impl Pattern {
    /// A format string of Rust. A line feed at its end is left out.
    pub fn rust(format: &str) -> Self {
        let mut builder = Builder::default();
        let mut rest = format.strip_suffix('\n').unwrap_or(format);
        while let Some(c) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
                builder.text(c);
                rest = after;
            } else if c == '{' {
                builder.hole();
                rest = rest.split_once('}').map_or("", |(_, after)| after);
            } else {
                builder.text(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        builder.finish()
    }

    /// A format string of the kernel's `printk()`. A line feed at its end is left out.
    pub fn printk(format: &str) -> Self {
        let mut builder = Builder::default();
        let mut chars = format.strip_suffix('\n').unwrap_or(format).chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                builder.text(c);
                continue;
            }
            let conversion =
                chars.find(|c| c.is_ascii_alphabetic() && !"lhzt".contains(*c) || *c == '%');
            match conversion {
                Some('%') => builder.text('%'),
                Some('p') => {
                    // What %p prints, letters and digits behind it say.
                    let plain = chars
                        .as_str()
                        .trim_start_matches(|c: char| c.is_ascii_alphanumeric());
                    chars = plain.chars();
                    builder.hole();
                }
                _ => builder.hole(),
            }
        }
        builder.finish()
    }

    /// How much of it is text.
    pub fn text_len(&self) -> usize {
        self.texts().map(str::len).sum()
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Hole => None,
        })
    }

    /// Whether it is of use for filling holes: one that is all holes, or only space, would fill
    /// any.
    fn says_something(&self) -> bool {
        let has_letters = self
            .texts()
            .any(|text| text.contains(|c: char| c.is_alphanumeric()));
        let is_sign =
            !self.0.contains(&Part::Hole) && self.texts().any(|text| !text.trim().is_empty());
        has_letters || is_sign
    }
}

#[derive(Default)]
struct Builder(Vec<Part>);

impl Builder {
    fn text(&mut self, c: char) {
        match self.0.last_mut() {
            Some(Part::Text(text)) => text.push(c),
            _ => self.0.push(Part::Text(c.into())),
        }
    }

    fn hole(&mut self) {
        self.0.push(Part::Hole);
    }

    fn finish(self) -> Pattern {
        Pattern(self.0)
    }
}

/// The strings that the placeholders of a program's format strings may print.
///
/// A placeholder prints any sequence of these, and of values: words with a digit, a capital letter
/// or a `<placeholder>` of a document in them.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary(Vec<Pattern>);

impl Vocabulary {
    /// All of `strings`, which are format strings of Rust, or plain.
    pub fn new<'a>(strings: impl IntoIterator<Item = &'a str>) -> Self {
        // What ends with a line feed is a message of its own.
        let parts = strings.into_iter().filter(|string| !string.ends_with('\n'));
        Self(
            parts
                .map(Pattern::rust)
                .filter(Pattern::says_something)
                .collect(),
        )
    }

    /// Whether `pattern` may print `text`.
    pub fn prints(&self, pattern: &Pattern, text: &str) -> bool {
        let pieces = self
            .0
            .iter()
            .filter(|piece| piece.texts().all(|part| text.contains(part)));
        let run = Run {
            pieces: pieces.collect(),
            text,
            holes: RefCell::default(),
        };
        run.ends(pattern, 0, DEPTH).contains(&text.len())
    }
}

/// How deep placeholders in the strings that fill placeholders are followed.
const DEPTH: usize = 3;

/// One text.
struct Run<'a> {
    /// Those strings of the vocabulary that can be in it.
    pieces: Vec<&'a Pattern>,
    text: &'a str,
    /// What was found for a hole, by where it begins and how deep.
    holes: RefCell<HashMap<(usize, usize), BTreeSet<usize>>>,
}

impl Run<'_> {
    /// Where what `pattern` prints from `start` on may end.
    fn ends(&self, pattern: &Pattern, start: usize, depth: usize) -> BTreeSet<usize> {
        let mut ends = BTreeSet::from([start]);
        for part in &pattern.0 {
            ends = match part {
                Part::Text(text) => ends
                    .into_iter()
                    .filter(|end| self.text[*end..].starts_with(text))
                    .map(|end| end + text.len())
                    .collect(),
                Part::Hole => ends
                    .into_iter()
                    .flat_map(|end| self.hole(end, depth))
                    .collect(),
            };
            if ends.is_empty() {
                break;
            }
        }
        ends
    }

    /// Where a hole that begins at `start` may end.
    fn hole(&self, start: usize, depth: usize) -> BTreeSet<usize> {
        if let Some(ends) = self.holes.borrow().get(&(start, depth)) {
            return ends.clone();
        }
        let mut ends = BTreeSet::from([start]);
        let mut open = vec![start];
        while let Some(at) = open.pop() {
            let mut next = self.value(at);
            if depth > 0 {
                for piece in &self.pieces {
                    next.extend(self.ends(piece, at, depth - 1));
                }
            }
            open.extend(next.into_iter().filter(|end| ends.insert(*end)));
        }
        self.holes.borrow_mut().insert((start, depth), ends.clone());
        ends
    }

    /// Where a value that begins at `start` may end.
    fn value(&self, start: usize) -> BTreeSet<usize> {
        let mut ends = BTreeSet::new();
        let mut is_value = false;
        for (at, c) in self.text[start..].char_indices() {
            if c.is_whitespace() {
                break;
            }
            is_value |= c.is_ascii_digit() || c.is_uppercase() || c == '<';
            if is_value {
                ends.insert(start + at + c.len_utf8());
            }
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prints(format: &str, words: &[&str], text: &str) -> bool {
        Vocabulary::new(words.iter().copied()).prints(&Pattern::rust(format), text)
    }

    #[test]
    fn text_stands_for_itself() {
        assert!(prints("no unit\n", &[], "no unit"));
        assert!(!prints("no unit\n", &[], "no units"));
        assert!(!prints("no unit\n", &[], "no"));
        assert!(prints("a {{b}}", &[], "a {b}"));
    }

    #[test]
    fn a_placeholder_prints_values() {
        for value in ["0", "dmar0", "0000:00:04.0", "<unit>", "EINVAL", ""] {
            assert!(prints("{}: off", &[], &format!("{value}: off")), "{value}");
        }
        assert!(!prints("{}: off", &[], "switched: off"));
        assert!(!prints("{}: off", &[], "0 1: off"));
    }

    #[test]
    fn a_placeholder_prints_strings_of_the_program() {
        let words = ["cannot {}", "be mapped", ", late", " ", "{}{}"];
        assert!(prints("{}: {}", &words, "dmar0: cannot be mapped"));
        assert!(prints("{}: {}{}", &words, "dmar0: cannot be mapped, late"));
        assert!(!prints("{}: {}", &words, "dmar0: cannot be read"));
        assert!(!prints("{}: {}", &words, "dmar0: be mapped late"));
    }

    #[test]
    fn printk_has_placeholders_of_its_own() {
        let pattern = Pattern::printk("%u of %-4.2lld%%, %pOF and %p4cc%s\n");
        assert_eq!(pattern, Pattern::rust("{} of {}%, {} and {}{}"));
    }
}
