// SPDX-License-Identifier: GPL-2.0

//! Type identifiers in the LLVM IR that both compilers print.

use std::collections::HashMap;

/// A function of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Function {
    /// The symbol.
    pub symbol: String,
    /// Whether this file defines it.
    pub defined: bool,
    /// The identifier that is put in front of it.
    pub id: Option<i32>,
    /// The identifiers that its indirect calls check.
    pub calls: Vec<i32>,
}

/// The functions of a file, defined and declared.
pub fn functions(text: &str) -> Vec<Function> {
    let numbers: HashMap<&str, i32> = text
        .lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(" = !{i32 ")?;
            Some((name, value.strip_suffix('}')?.parse().ok()?))
        })
        .collect();
    let mut all: Vec<Function> = Vec::new();
    for line in text.lines() {
        let defined = line.starts_with("define ");
        if defined || line.starts_with("declare ") {
            let Some(symbol) = line.split_once('@').map(|(_, rest)| {
                let end = rest.find('(').unwrap_or(rest.len());
                rest[..end].trim_matches('"')
            }) else {
                continue;
            };
            let id = line
                .split_once("!kcfi_type ")
                .and_then(|(_, rest)| rest.split([' ', '{']).next())
                .and_then(|name| numbers.get(name).copied());
            all.push(Function {
                symbol: symbol.to_owned(),
                defined,
                id,
                calls: Vec::new(),
            });
        } else if let (Some((_, rest)), Some(function)) =
            (line.split_once("\"kcfi\"(i32 "), all.last_mut())
        {
            let id = rest.split(')').next().and_then(|id| id.parse().ok());
            function.calls.extend::<Option<i32>>(id);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        let text = "
define dso_local i32 @_RNvC1a4open(ptr noundef %x) unnamed_addr #0 !dbg !1 !kcfi_type !2 {
  %1 = tail call noundef i32 %f(ptr null) #15 [ \"kcfi\"(i32 975144678) ], !dbg !3
  %2 = tail call noundef i32 %g(ptr null) #15 [ \"kcfi\"(i32 1) ], !dbg !3
}
declare !kcfi_type !4 dso_local i32 @kcfi_slot_0(ptr noundef) #0
declare i32 @other()
!2 = !{i32 -5}
!4 = !{i32 7}
";
        let function = |symbol: &str, defined, id, calls: &[i32]| Function {
            symbol: symbol.to_owned(),
            defined,
            id,
            calls: calls.to_vec(),
        };
        assert_eq!(
            functions(text),
            [
                function("_RNvC1a4open", true, Some(-5), &[975_144_678, 1]),
                function("kcfi_slot_0", false, Some(7), &[]),
                function("other", false, None, &[]),
            ]
        );
    }
}
