// SPDX-License-Identifier: GPL-2.0

//! What bindgen made of the kernel's headers: names of fields, and C functions.

use crate::text::{bracketed, components, last_component, list};
use std::collections::HashMap;

/// Structures and functions of all bindings.
#[derive(Debug, Default)]
pub struct Bindings {
    /// Fields in their order, by the structure's name.
    records: HashMap<String, Vec<String>>,
    functions: HashMap<String, Function>,
}

#[derive(Debug)]
struct Function {
    arity: usize,
    /// The name that C code has for it.
    link_name: Option<String>,
}

impl Bindings {
    /// Reads files as bindgen and rustfmt write them. The first file that has a name counts.
    pub fn parse(files: &[&str]) -> Self {
        let mut bindings = Self::default();
        for file in files {
            bindings.add(file);
        }
        bindings
    }

    fn add(&mut self, text: &str) {
        let mut record: Option<(String, Vec<String>)> = None;
        let mut link_name = None;
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            let line = line.trim_end();
            if line == "}" {
                if let Some((name, fields)) = record.take() {
                    self.records.entry(name).or_insert(fields);
                }
            } else if let Some(name) = line
                .strip_prefix("pub struct ")
                .or_else(|| line.strip_prefix("pub union "))
                .and_then(|rest| rest.strip_suffix(" {"))
            {
                let name = name.split('<').next().unwrap_or(name);
                record = Some((name.to_owned(), Vec::new()));
            } else if let Some(name) = line
                .trim_start()
                .strip_prefix("#[link_name")
                .and_then(|rest| rest.split('"').nth(1))
            {
                link_name = Some(name.trim_start_matches("\\u{1}").to_owned());
            } else if let Some(rest) = line.strip_prefix("    pub fn ") {
                let name = rest.split('(').next().unwrap_or(rest).to_owned();
                let Some((parameters, _)) = text[start..]
                    .find('(')
                    .and_then(|open| bracketed(&text[start + open..]))
                else {
                    continue;
                };
                self.functions.entry(name).or_insert(Function {
                    arity: list(parameters).len(),
                    link_name: link_name.take(),
                });
            } else if let Some((_, fields)) = &mut record {
                // Fields of the structure itself are indented once. Bit fields are one field.
                let field = line
                    .strip_prefix("    ")
                    .map(|field| field.strip_prefix("pub ").unwrap_or(field))
                    .and_then(|field| field.split_once(':'))
                    .map(|(name, _)| name);
                fields.extend(
                    field
                        .filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
                        .map(str::to_owned),
                );
            }
        }
    }

    /// Whether a path is that of a structure of C.
    pub fn has_record(&self, path: &str) -> bool {
        self.records.contains_key(&last_component(path))
    }

    /// Whether a path is that of a function of C. The compiler leaves out the module where the name
    /// is unique.
    pub fn has_function(&self, path: &str) -> bool {
        let components = components(path);
        let Some((name, modules)) = components.split_last() else {
            return false;
        };
        (modules.is_empty() || modules.iter().any(|module| module == "bindings"))
            && self.functions.contains_key(name)
    }

    /// The name of a field, by its number.
    pub fn field(&self, record: &str, index: usize) -> Option<&str> {
        let fields = self.records.get(&last_component(record))?;
        fields.get(index).map(String::as_str)
    }

    /// The number of parameters of a function.
    pub fn arity(&self, function: &str) -> Option<usize> {
        self.functions.get(function).map(|function| function.arity)
    }

    /// The name in C of a function that has this name in Rust.
    pub fn link_name<'n>(&'n self, function: &'n str) -> &'n str {
        self.functions
            .get(function)
            .and_then(|function| function.link_name.as_deref())
            .unwrap_or(function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_functions() {
        let bindings = Bindings::parse(&["
#[repr(C)]
pub struct ops {
    pub owner: *mut module,
    pub open: ::core::option::Option<
        unsafe extern \"C\" fn(file: *mut file) -> ffi::c_int,
    >,
    pub _bitfield_align_1: [u8; 0],
    pub show: ::core::option::Option<unsafe extern \"C\" fn()>,
}
impl ops {
    pub fn flag(&self) -> u32 {
        0
    }
}
extern \"C\" {
    #[link_name=\"rust_helper_walk\"]
    pub fn walk(
        dev: *mut device,
        f: ::core::option::Option<unsafe extern \"C\" fn(a: *mut device, b: u32) -> ffi::c_int>,
    ) -> ffi::c_int;
}
"]);
        assert_eq!(bindings.field("kernel::bindings::ops", 1), Some("open"));
        assert_eq!(bindings.field("ops", 3), Some("show"));
        assert_eq!(bindings.field("ops", 4), None);
        assert!(bindings.has_function("linux::bindings::walk"));
        assert!(bindings.has_function("walk"));
        assert!(!bindings.has_function("pasid::c::walk"));
        assert_eq!(bindings.arity("walk"), Some(2));
        assert_eq!(bindings.link_name("walk"), "rust_helper_walk");
        assert_eq!(bindings.link_name("other"), "other");
    }
}
