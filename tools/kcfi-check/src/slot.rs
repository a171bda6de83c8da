// SPDX-License-Identifier: GPL-2.0

//! Places where C code has a pointer to a function, and how each language names them.

use crate::text::last_component;
use std::fmt;

/// A place with a C prototype.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Slot {
    /// Which place.
    pub kind: Kind,
    /// Parameters of the function there.
    pub arity: usize,
}

/// The kinds of places.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// A field of a structure, by bindgen's names.
    Field {
        /// The structure.
        record: String,
        /// The field.
        field: String,
    },
    /// A parameter of a C function.
    Parameter {
        /// The function, by its name in Rust.
        function: String,
        /// Counted from 0.
        index: usize,
    },
    /// A function of this name, declared in a header.
    Function {
        /// The name in Rust.
        name: String,
    },
}

impl Slot {
    /// A field of the structure that a path of Rust ends with.
    pub fn field(record: &str, field: &str, arity: usize) -> Self {
        let kind = Kind::Field {
            record: last_component(record),
            field: field.to_owned(),
        };
        Self { kind, arity }
    }

    /// A parameter of the function that a path of Rust ends with.
    pub fn parameter(function: &str, index: usize, arity: usize) -> Self {
        let kind = Kind::Parameter {
            function: last_component(function),
            index,
        };
        Self { kind, arity }
    }

    /// A function.
    pub fn function(name: &str, arity: usize) -> Self {
        let kind = Kind::Function {
            name: name.to_owned(),
        };
        Self { kind, arity }
    }
}

/// bindgen's name of a structure without what it appends for one that has none in C.
fn c_record(record: &str) -> &str {
    record.split("__bindgen_ty_").next().unwrap_or(record)
}

/// bindgen appends an underscore to what is a keyword of Rust.
fn c_field(field: &str) -> &str {
    field.strip_suffix('_').unwrap_or(field)
}

/// As a C programmer writes it.
impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Field { record, field } => write!(f, "{}.{}", c_record(record), c_field(field)),
            Kind::Parameter { function, index } => {
                write!(f, "parameter {} of {function}()", index + 1)
            }
            Kind::Function { name } => write!(f, "{name}()"),
        }
    }
}

impl Slot {
    /// An expression of C that has the type of the pointer or the function, if one exists.
    pub fn c_expression(&self, link_name: impl Fn(&str) -> String) -> Option<String> {
        match &self.kind {
            Kind::Field { record, field } => Some(format!(
                "*((struct {} *)0)->{}",
                c_record(record),
                c_field(field)
            )),
            Kind::Function { name } => Some(link_name(name)),
            // C has no expression for the type of a parameter.
            Kind::Parameter { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_c() {
        let slot = Slot::field(
            "kernel::bindings::device_attribute__bindgen_ty_1",
            "show",
            3,
        );
        assert_eq!(slot.to_string(), "device_attribute.show");
        assert_eq!(
            slot.c_expression(str::to_owned).as_deref(),
            Some("*((struct device_attribute *)0)->show")
        );
        assert_eq!(
            Slot::field("bus_type", "match_", 2).to_string(),
            "bus_type.match"
        );
        assert_eq!(
            Slot::parameter("bindings::walk", 1, 2).to_string(),
            "parameter 2 of walk()"
        );
    }
}
