// SPDX-License-Identifier: GPL-2.0

//! The messages that sources print to the kernel log.

use crate::pattern::Pattern;
use crate::tree::File;
use anyhow::{anyhow, ensure, Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// How severe a message is, as its macro says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// `debug` and `info`, `notice`.
    Info,
    /// `warn`.
    Warning,
    /// `err` and worse.
    Error,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// The file that prints it.
    pub path: String,
    /// The line there.
    pub line: usize,
    /// Its level.
    pub level: Level,
    /// Whether it is about a device, whose name and driver then come first.
    pub of_device: bool,
    /// Its format string.
    pub format: String,
    /// The same as a pattern.
    pub pattern: Pattern,
}

/// A file that was read.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Its messages.
    pub messages: Vec<Message>,
    /// All of its strings.
    pub strings: Vec<String>,
}

/// Reads a file in Rust or C, by its name.
///
/// # Errors
///
/// A file that cannot be read as a sequence of tokens; a message without a string.
pub fn read(file: &File) -> Result<Source> {
    let source = if file.path.ends_with(".rs") {
        rust(file)
    } else {
        c(file)
    };
    source.with_context(|| file.path.clone())
}

/// The level of `name` and whether it is about a device, if it is a macro for messages.
fn macro_of(name: &str) -> Option<(Level, bool)> {
    let (of_device, rest) = match (name.strip_prefix("pr_"), name.strip_prefix("dev_")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return None,
    };
    let rest = rest.strip_suffix("_ratelimited").unwrap_or(rest);
    let level = match rest.strip_suffix("_once").unwrap_or(rest) {
        "emerg" | "alert" | "crit" | "err" => Level::Error,
        "warn" => Level::Warning,
        "notice" | "info" | "dbg" | "debug" => Level::Info,
        _ => return None,
    };
    Some((level, of_device))
}

fn rust(file: &File) -> Result<Source> {
    let tokens: TokenStream = file.text.parse().map_err(|e| anyhow!("{e}"))?;
    let mut source = Source::default();
    rust_tokens(file, tokens, &mut source)?;
    Ok(source)
}

fn rust_tokens(file: &File, tokens: TokenStream, source: &mut Source) -> Result<()> {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Literal(literal) => source.strings.extend(string(literal)),
            TokenTree::Group(group) => rust_tokens(file, group.stream(), source)?,
            TokenTree::Ident(name) => {
                let Some((level, of_device)) = macro_of(&name.to_string()) else {
                    continue;
                };
                let Some((TokenTree::Punct(bang), TokenTree::Group(arguments))) =
                    trees.get(at + 1).zip(trees.get(at + 2))
                else {
                    continue;
                };
                if bang.as_char() != '!' || arguments.delimiter() != Delimiter::Parenthesis {
                    continue;
                }
                let line = name.span().start().line;
                let format = format_of(arguments.stream(), of_device)
                    .with_context(|| format!("line {line}: a message without a string"))?;
                source.messages.push(Message {
                    path: file.path.clone(),
                    line,
                    level,
                    of_device,
                    pattern: Pattern::rust(&format),
                    format,
                });
            }
            TokenTree::Punct(_) => {}
        }
    }
    Ok(())
}

/// The format string among the arguments of a macro: the first, or the second when it is about a
/// device.
fn format_of(arguments: TokenStream, of_device: bool) -> Option<String> {
    let is_comma = |tree: &TokenTree| matches!(tree, TokenTree::Punct(p) if p.as_char() == ',');
    let mut trees = arguments.into_iter();
    if of_device {
        trees.find(is_comma)?;
    }
    match trees.next()? {
        TokenTree::Literal(literal) => string(&literal),
        _ => None,
    }
}

/// The value of a literal, if it is a string.
fn string(literal: &proc_macro2::Literal) -> Option<String> {
    match syn::Lit::new(literal.clone()) {
        syn::Lit::Str(string) => Some(string.value()),
        _ => None,
    }
}

fn c(file: &File) -> Result<Source> {
    let tokens = c_tokens(&file.text)?;
    let mut source = Source::default();
    for (at, token) in tokens.iter().enumerate() {
        match &token.kind {
            CKind::String(value) => source.strings.push(value.clone()),
            CKind::Name(name) => {
                let Some((level, of_device)) = macro_of(name) else {
                    continue;
                };
                if tokens.get(at + 1).map(|t| &t.kind) != Some(&CKind::Sign('(')) {
                    continue;
                }
                let format = c_format_of(&tokens[at + 2..], of_device)
                    .with_context(|| format!("line {}: a message without a string", token.line))?;
                source.messages.push(Message {
                    path: file.path.clone(),
                    line: token.line,
                    level,
                    of_device,
                    pattern: Pattern::printk(&format),
                    format,
                });
            }
            CKind::Sign(_) => {}
        }
    }
    Ok(source)
}

/// As [`format_of`], of the tokens from the first argument on. Strings that follow each other are
/// one.
fn c_format_of(tokens: &[CToken], of_device: bool) -> Option<String> {
    let mut depth = 0usize;
    let mut start = 0;
    if of_device {
        start = 1 + tokens.iter().position(|token| {
            match token.kind {
                CKind::Sign('(') => depth += 1,
                CKind::Sign(')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && token.kind == CKind::Sign(',')
        })?;
    }
    let strings = tokens
        .get(start..)?
        .iter()
        .map_while(|token| match &token.kind {
            CKind::String(value) => Some(value.as_str()),
            _ => None,
        });
    let format: String = strings.collect();
    (!format.is_empty()).then_some(format)
}

#[derive(PartialEq, Eq, Debug)]
enum CKind {
    Name(String),
    String(String),
    Sign(char),
}

#[derive(Debug)]
struct CToken {
    kind: CKind,
    line: usize,
}

/// The tokens of a file in C, without comments, numbers and characters.
fn c_tokens(text: &str) -> Result<Vec<CToken>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (kind, len) = if rest.starts_with("//") {
            (None, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            let end = rest
                .find("*/")
                .with_context(|| format!("line {line}: a comment does not end"))?;
            (None, end + 2)
        } else if c == '"' || c == '\'' {
            let (value, len) = c_quoted(rest, c).with_context(|| format!("line {line}"))?;
            ((c == '"').then_some(CKind::String(value)), len)
        } else if is_name(c) {
            let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
            let len = name.len();
            ((!c.is_ascii_digit()).then_some(CKind::Name(name)), len)
        } else {
            ((!c.is_whitespace()).then_some(CKind::Sign(c)), c.len_utf8())
        };
        tokens.extend(kind.map(|kind| CToken { kind, line }));
        line += rest[..len].matches('\n').count();
        rest = &rest[len..];
    }
    Ok(tokens)
}

/// What stands between quotes, and how long it is with them.
fn c_quoted(text: &str, quote: char) -> Result<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, other)) => value.push(other),
                None => break,
            },
            c if c == quote => return Ok((value, at + 1)),
            c => {
                ensure!(c != '\n', "a string does not end");
                value.push(c);
            }
        }
    }
    Err(anyhow!("a string does not end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<(usize, Level, bool, String)> {
        let file = File {
            path: path.into(),
            text: text.into(),
        };
        let source = read(&file).expect("it is read");
        source
            .messages
            .into_iter()
            .map(|m| (m.line, m.level, m.of_device, m.format))
            .collect()
    }

    #[test]
    fn macros_of_rust() {
        let text = r#"
            // pr_err!("not this one");
            fn f() {
                list.each(|e| pr_err!("{}: off \"{e}\"\n", name));
                kernel::pr_warn_once!("once\n");
                thing! { dev_info!(x.y(a, "not this"), "two
lines"); }
            }
        "#;
        let expected = [
            (4, Level::Error, false, "{}: off \"{e}\"\n"),
            (5, Level::Warning, false, "once\n"),
            (6, Level::Info, true, "two\nlines"),
        ];
        let expected =
            expected.map(|(line, level, device, format)| (line, level, device, format.to_owned()));
        assert_eq!(messages("a.rs", text), expected);
    }

    #[test]
    fn a_message_of_rust_without_a_string() {
        let file = File {
            path: "a.rs".into(),
            text: "fn f() { pr_err!(FORMAT); }".into(),
        };
        assert!(read(&file).is_err());
    }

    #[test]
    fn functions_of_c() {
        let text = "/* pr_err(\"not this\") */\nint f(void)\n{\n\tchar c = '\"';\n\n\tpr_err(\"%u machines \"\n\t       \"exist\\n\", n);\n\tdev_warn_once(get(a, \"x\"), \"late\\n\");\n}\n";
        let expected = [
            (6, Level::Error, false, "%u machines exist\n".to_owned()),
            (8, Level::Warning, true, "late\n".to_owned()),
        ];
        assert_eq!(messages("a.c", text), expected);
    }
}
