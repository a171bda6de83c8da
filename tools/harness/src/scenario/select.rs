// SPDX-License-Identifier: GPL-2.0

//! Names on the command line: a suite, a variant `SUITE:VARIANT`, or glob patterns of them.

use super::Scenario;
use glob::Pattern;

/// One name.
#[derive(Clone, Debug)]
struct Wanted {
    text: String,
    /// The name itself, and that of all variants.
    patterns: [Pattern; 2],
}

/// What a command line selects; everything if it has no name.
#[derive(Clone, Debug)]
pub struct Selection {
    wanted: Vec<Wanted>,
    soak: bool,
}

impl Selection {
    /// The names, and whether scenarios that run for minutes are wanted too.
    ///
    /// # Errors
    ///
    /// A name that is no pattern.
    pub fn new(names: &[String], soak: bool) -> Result<Self, String> {
        let pattern = |text: &str| {
            Pattern::new(text).map_err(|error| format!("{text:?} is no pattern: {}", error.msg))
        };
        let wanted = names
            .iter()
            .map(|text| {
                Ok(Wanted {
                    text: text.clone(),
                    patterns: [pattern(text)?, pattern(&format!("{text}:*"))?],
                })
            })
            .collect::<Result<_, String>>()?;
        Ok(Selection { wanted, soak })
    }

    /// Whether there is no name, which selects all.
    pub fn is_all(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Whether a name is selected.
    pub fn wants(&self, name: &str) -> bool {
        self.is_all() || self.wanted.iter().any(|wanted| wanted.matches(name))
    }

    /// The same for a scenario. One with the tag `soak` has to be asked for by its full name, or by
    /// `--soak`.
    pub fn wants_scenario(&self, scenario: &Scenario) -> bool {
        let name = scenario.name.to_string();
        let named = self.wanted.iter().any(|wanted| wanted.text == name);
        self.wants(&name) && (!scenario.tags.soak || self.soak || named)
    }

    /// The first name that selects nothing.
    ///
    /// # Errors
    ///
    /// Says so.
    pub fn check<'a>(
        &self,
        others: &[&str],
        scenarios: impl Iterator<Item = &'a Scenario> + Clone,
    ) -> Result<(), String> {
        for wanted in &self.wanted {
            let known = others.iter().any(|name| wanted.matches(name));
            let mut matched = scenarios
                .clone()
                .filter(|scenario| wanted.matches(&scenario.name.to_string()))
                .peekable();
            if !known && matched.peek().is_none() {
                return Err(format!("no suite matches: {}", wanted.text));
            }
            if !known && !matched.any(|scenario| self.wants_scenario(scenario)) {
                return Err(format!(
                    "all that {} matches runs for minutes: add --soak, or give the full name",
                    wanted.text
                ));
            }
        }
        Ok(())
    }
}

impl Wanted {
    fn matches(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{parse, File};
    use proptest::prelude::*;
    use std::path::Path;

    fn selection(names: &[&str], soak: bool) -> Selection {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        Selection::new(&names, soak).unwrap()
    }

    fn traffic() -> File {
        let text = "command = t\n[short]\n[long]\ntags = soak\n";
        parse(Path::new("traffic.suite"), text).unwrap()
    }

    fn chosen(names: &[&str], soak: bool) -> Vec<String> {
        let selection = selection(names, soak);
        let file = traffic();
        let scenarios = file.scenarios.iter();
        let wanted = scenarios.filter(|scenario| selection.wants_scenario(scenario));
        wanted.map(|scenario| scenario.name.to_string()).collect()
    }

    #[test]
    fn a_name_stands_for_its_variants() {
        let selection = selection(&["mdev", "vtd-*:first"], false);
        for name in ["mdev", "mdev:a", "vtd-domain:first"] {
            assert!(selection.wants(name), "{name}");
        }
        for name in ["siov-mdev", "mdev-plug", "vtd-domain", "vtd-domain:second"] {
            assert!(!selection.wants(name), "{name}");
        }
        assert!(Selection::new(&[], false).unwrap().wants("anything"));
    }

    #[test]
    fn patterns() {
        let selection = selection(&["v?d-[dq]*", "[!a]x"], false);
        for name in ["vtd-domain:39-bits", "vtd-queue", "bx", "bx:1"] {
            assert!(selection.wants(name), "{name}");
        }
        for name in ["vtd-power", "vd-domain", "ax"] {
            assert!(!selection.wants(name), "{name}");
        }
        assert!(Selection::new(&[String::from("a[")], false).is_err());
    }

    #[test]
    fn soak_runs_by_option_or_full_name() {
        assert_eq!(chosen(&[], false), ["traffic:short"]);
        assert_eq!(chosen(&["traffic"], false), ["traffic:short"]);
        assert_eq!(chosen(&["traffic:l*"], false), Vec::<String>::new());
        assert_eq!(chosen(&["traffic:long"], false), ["traffic:long"]);
        assert_eq!(
            chosen(&["traffic"], true),
            ["traffic:short", "traffic:long"]
        );
    }

    #[test]
    fn names_that_select_nothing() {
        let file = traffic();
        let check =
            |names: &[&str], soak| selection(names, soak).check(&["host"], file.scenarios.iter());
        assert_eq!(check(&[], false), Ok(()));
        assert_eq!(check(&["host", "traffic"], false), Ok(()));
        assert_eq!(
            check(&["traffic", "trafic"], false),
            Err(String::from("no suite matches: trafic"))
        );
        assert!(check(&["*:l*"], false).unwrap_err().contains("--soak"));
        assert_eq!(check(&["*:l*"], true), Ok(()));
    }

    /// What the shell did: `[[ $name = $pattern || $name = $pattern:* ]]`, for `*` and `?`.
    fn matches_slowly(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(('*', rest)), _) => {
                (0..=name.len()).any(|from| matches_slowly(rest, &name[from..]))
            }
            (Some(('?', rest)), Some((_, name))) => matches_slowly(rest, name),
            (Some((c, rest)), Some((d, name))) => c == d && matches_slowly(rest, name),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn globs_are_those_of_the_shell(
            pattern in "[ab:?]{0,4}(\\*[ab:?]{1,3}){0,2}",
            name in "[ab:]{0,8}",
        ) {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            let variants = format!("{pattern}:*");
            let expected = matches_slowly(&letters(&pattern), &letters(&name))
                || matches_slowly(&letters(&variants), &letters(&name));
            let wanted = [pattern];
            prop_assert_eq!(Selection::new(&wanted, false).unwrap().wants(&name), expected);
        }
    }
}
