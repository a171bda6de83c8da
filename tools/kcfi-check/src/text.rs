// SPDX-License-Identifier: GPL-2.0

//! Splitting the text of types, paths and lists where no bracket is open.

/// Positions of `pattern` in `text` outside of all brackets. The `>` of `->` closes nothing.
fn top_level<'t>(text: &'t str, pattern: &'t str) -> impl Iterator<Item = usize> + 't {
    let mut depth = 0_i32;
    let mut before = ' ';
    text.char_indices().filter_map(move |(at, c)| {
        let found = depth == 0 && text[at..].starts_with(pattern);
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            '>' if before == '-' => {}
            ')' | ']' | '}' | '>' => depth -= 1,
            _ => {}
        }
        before = c;
        found.then_some(at)
    })
}

/// The parts of `text` between each `separator` outside of brackets.
pub fn split<'t>(text: &'t str, separator: &'t str) -> Vec<&'t str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for at in top_level(text, separator) {
        // `:::` has one separator `::`, not two.
        if at >= start {
            parts.push(&text[start..at]);
            start = at + separator.len();
        }
    }
    parts.push(&text[start..]);
    parts
}

/// `text` before and behind the first `separator` outside of brackets.
pub fn split_once<'t>(text: &'t str, separator: &'t str) -> Option<(&'t str, &'t str)> {
    let at = top_level(text, separator).next()?;
    Some((&text[..at], &text[at + separator.len()..]))
}

/// The elements of a list, which may end with a comma.
pub fn list(text: &str) -> Vec<&str> {
    split(text, ",")
        .into_iter()
        .map(str::trim)
        .filter(|element| !element.is_empty())
        .collect()
}

/// What stands between the bracket at the start of `text` and the one that closes it, and the rest.
pub fn bracketed(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_i32;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            '>' if before == '-' => {}
            ')' | ']' | '}' | '>' => depth -= 1,
            _ => {}
        }
        before = c;
        if depth == 0 {
            return (at > 0).then(|| (&text[1..at], &text[at + c.len_utf8()..]));
        }
    }
    None
}

/// The number of parameters of a function pointer's type, as Rust writes it.
pub fn parameters(function: &str) -> Option<usize> {
    let (_, rest) = function.split_once("extern \"C\" fn")?;
    Some(list(bracketed(rest)?.0).len())
}

/// A path without generic arguments, as its components: `<a::Type<T>>::f`, `a::Type::<T>::f` and
/// `b::<impl a::Type<T>>::f` are the same one. Of `<T as Trait>` the trait stays, by its name.
pub fn components(path: &str) -> Vec<String> {
    let mut all = Vec::new();
    for part in split(path, "::") {
        if part.starts_with('<') {
            let Some((inner, _)) = bracketed(part) else {
                continue;
            };
            let ty = if let Some(ty) = inner.strip_prefix("impl ") {
                // Where the implementation stands does not matter.
                all.clear();
                ty
            } else if all.is_empty() {
                inner
            } else {
                // Generic arguments of what is before.
                continue;
            };
            let trait_of = |path: &str| format!("<{}>", last_component(path));
            if let Some((_, path)) = split_once(ty, " as ") {
                all.push(trait_of(path));
            } else if let Some((path, _)) = split_once(ty, " for ") {
                all.push(trait_of(path));
            } else {
                all.extend(components(ty));
            }
        } else {
            all.push(part.split('<').next().unwrap_or(part).to_owned());
        }
    }
    all
}

/// The name at the end of a path, without generic arguments.
pub fn last_component(path: &str) -> String {
    components(path).pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(
            list("move _1, copy (_2.0: Option<fn(A, B) -> C>), "),
            ["move _1", "copy (_2.0: Option<fn(A, B) -> C>)"]
        );
        assert_eq!(bracketed("(a(b) -> c) d"), Some(("a(b) -> c", " d")));
        assert_eq!(bracketed("a"), None);
        assert_eq!(
            parameters(
                "core::option::Option<unsafe extern \"C\" fn(*mut a, fn(b, c) -> d) -> i32>"
            ),
            Some(2)
        );
        assert_eq!(parameters("unsafe extern \"C\" fn()"), Some(0));
    }

    #[test]
    fn paths() {
        let path = ["iommu", "Table", "attach"];
        assert_eq!(components("iommu::Table::<T>::attach"), path);
        assert_eq!(
            components("<iommu::Table<vtd::Domain<A, B>>>::attach"),
            path
        );
        assert_eq!(components("iommu::open::<<T as U>::V>"), ["iommu", "open"]);
        assert_eq!(components("x::<impl iommu::Table<T>>::attach"), path);
        assert_eq!(components("x::<impl d::E<F> for a::B>::g"), ["<E>", "g"]);
        assert_eq!(components("<a::B<C> as d::E<F>>::g"), ["<E>", "g"]);
        assert_eq!(components("<T as E>::g"), ["<E>", "g"]);
    }
}
