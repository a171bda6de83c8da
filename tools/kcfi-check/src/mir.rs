// SPDX-License-Identifier: GPL-2.0

//! Where the functions of a crate go, read from what `rustc --emit=mir` prints.
//!
//! A function becomes a pointer in one kind of statement, a cast `ReifyFnPointer`. From there its
//! value is followed through locals, and into functions of Rust that take one, to where C code will
//! find it: a field of one of bindgen's structures, or a parameter of a C function.

use crate::bindings::Bindings;
use crate::slot::Slot;
use crate::text::{bracketed, last_component, list, parameters, split_once};
use std::collections::{BTreeMap, BTreeSet};

/// A function that C code can call, and where it finds it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Store {
    /// Path of the function, generic, without the crate if it is of this one.
    pub function: String,
    /// Where its address goes.
    pub slot: Slot,
}

/// What is found in the bodies of a crate.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Found {
    /// Functions of Rust that C code can call.
    pub stores: BTreeSet<Store>,
    /// Pointers of C code that Rust looks at, to call them, and C functions whose address it takes.
    pub loads: BTreeSet<Slot>,
    /// Functions whose address goes somewhere that is not understood: path and body.
    pub lost: BTreeSet<(String, String)>,
}

/// Types of C's function pointers contain this.
const POINTER: &str = "extern \"C\" fn";

/// One function, constant or static.
struct Body<'t> {
    header: &'t str,
    /// Types of the locals, by number.
    locals: BTreeMap<usize, &'t str>,
    /// Both sides of each assignment.
    assignments: Vec<(&'t str, &'t str)>,
}

/// A place, as far as types can be told from it.
enum Place<'t> {
    Local(usize),
    Deref(Box<Place<'t>>),
    /// A field by its number, with its type.
    Field(Box<Place<'t>>, usize, &'t str),
    /// A variant, or an element of an array.
    Part(Box<Place<'t>>),
}

fn number(text: &str) -> Option<(usize, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// The place at the start of `text`, and the rest.
fn place(text: &str) -> Option<(Place<'_>, &str)> {
    let (mut found, mut rest) = if let Some(rest) = text.strip_prefix('_') {
        let (local, rest) = number(rest)?;
        (Place::Local(local), rest)
    } else {
        let (inner, rest) = bracketed(text)?;
        let found = if let Some(pointer) = inner.strip_prefix('*') {
            Place::Deref(Box::new(place(pointer)?.0))
        } else {
            let (base, tail) = place(inner)?;
            match tail.strip_prefix('.') {
                Some(tail) => {
                    let (field, ty) = number(tail)?;
                    Place::Field(Box::new(base), field, ty.strip_prefix(": ")?)
                }
                None => Place::Part(Box::new(base)),
            }
        };
        (found, rest)
    };
    while rest.starts_with('[') {
        rest = bracketed(rest)?.1;
        found = Place::Part(Box::new(found));
    }
    Some((found, rest))
}

/// Numbers of the locals that `text` names.
fn locals_in(text: &str) -> impl Iterator<Item = usize> + '_ {
    text.match_indices('_').filter_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            return None;
        }
        let (local, rest) = number(&text[at + 1..])?;
        let ends = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        ends.then_some(local)
    })
}

impl<'t> Body<'t> {
    fn parse(header: &'t str, lines: &[&'t str]) -> Self {
        let mut body = Body {
            header,
            locals: BTreeMap::new(),
            assignments: Vec::new(),
        };
        let signature = header.strip_prefix("fn ").unwrap_or("");
        if let Some(at) = signature.find("(_1: ") {
            for parameter in bracketed(&signature[at..]).map_or(Vec::new(), |(all, _)| list(all)) {
                body.declare(parameter);
            }
        }
        for line in lines {
            let line = line.trim().trim_end_matches(';');
            if let Some(local) = line.strip_prefix("let ") {
                body.declare(local.strip_prefix("mut ").unwrap_or(local));
            } else if line.starts_with(['_', '(']) {
                body.assignments.extend(split_once(line, " = "));
            }
        }
        body
    }

    fn declare(&mut self, declaration: &'t str) {
        if let Some((name, ty)) = declaration.split_once(": ") {
            if let Some((local, _)) = name.strip_prefix('_').and_then(number) {
                self.locals.insert(local, ty);
            }
        }
    }

    fn is_pointer(&self, local: usize) -> bool {
        self.locals
            .get(&local)
            .is_some_and(|ty| ty.contains(POINTER))
    }

    fn type_of(&self, place: &Place<'t>) -> Option<&'t str> {
        match place {
            Place::Local(local) => self.locals.get(local).copied(),
            Place::Field(_, _, ty) => Some(ty),
            Place::Part(base) => self.type_of(base),
            Place::Deref(base) => {
                let ty = self.type_of(base)?;
                ["*mut ", "*const ", "&mut ", "&"]
                    .iter()
                    .find_map(|prefix| ty.strip_prefix(prefix))
            }
        }
    }

    /// The slot that a place is, if it is a field of one of bindgen's structures.
    fn field(&self, place: &Place<'t>, bindings: &Bindings) -> Option<Slot> {
        let Place::Field(base, index, ty) = place else {
            return None;
        };
        let record = self.type_of(base)?;
        let field = bindings.field(record, *index)?;
        Some(Slot::field(record, field, parameters(ty)?))
    }

    /// Pointers in C structures that this body reads one by one.
    fn loads(&self, bindings: &Bindings, loads: &mut BTreeSet<Slot>) {
        for (_, value) in &self.assignments {
            // What a structure takes over from its default value is no call.
            if !value.contains(POINTER) || value.ends_with('}') {
                continue;
            }
            for (at, _) in value.match_indices('(') {
                if let Some((place, _)) = place(&value[at..]) {
                    loads.extend(self.field(&place, bindings));
                }
            }
        }
    }

    /// The function that a cast makes a pointer to. It may have been copied to a local, whose type
    /// tells it.
    fn function(&self, operand: &'t str) -> &'t str {
        let copied = ["move ", "copy "]
            .iter()
            .any(|word| operand.starts_with(word));
        copied
            .then(|| locals_in(operand).next())
            .flatten()
            .and_then(|local| {
                self.locals
                    .get(&local)?
                    .strip_suffix('}')?
                    .rsplit_once(" {")
            })
            .map_or(operand, |(_, path)| path)
    }

    /// Where one assignment takes the value of a local that it names.
    fn sink(
        &self,
        target: &str,
        value: &'t str,
        names: &impl Fn(&str) -> bool,
        bindings: &Bindings,
    ) -> Step<'t> {
        if let Some(slots) = self.slots(target, value, names, bindings) {
            return Step::Slots(slots);
        }
        // A copy, `Some` of it, a tuple with it, another type of it, or what a function made of it.
        let next = locals_in(target).next();
        if let Some(next) = next.filter(|next| self.is_pointer(*next)) {
            return Step::Local(next);
        }
        let call = value.split_once(" -> [").and_then(|(call, _)| {
            let at = open(call)?;
            let operands = list(bracketed(&call[at..])?.0).into_iter().enumerate();
            let taken = operands.filter(|(_, operand)| names(operand));
            Some((&call[..at], taken.map(|(index, _)| index + 1).collect()))
        });
        call.map_or(Step::Nowhere, |(path, parameters)| {
            Step::Passed(path, parameters)
        })
    }

    /// The slots that one assignment fills, if it is of a kind that does.
    fn slots(
        &self,
        target: &str,
        value: &str,
        names: &impl Fn(&str) -> bool,
        bindings: &Bindings,
    ) -> Option<Vec<Slot>> {
        let arity = |operand: &str| {
            let local = locals_in(operand).next()?;
            parameters(self.locals.get(&local)?)
        };
        // A structure: `path { field: move _1, .. }`.
        if let Some((path, fields)) = value.split_once(" { ") {
            if !bindings.has_record(path) {
                return None;
            }
            let fields = list(fields.strip_suffix(" }")?).into_iter();
            return Some(
                fields
                    .filter_map(|field| field.split_once(": "))
                    .filter(|(_, operand)| names(operand))
                    .filter_map(|(field, operand)| Some(Slot::field(path, field, arity(operand)?)))
                    .collect(),
            );
        }
        // A call: `path(move _1, ..) -> [..]`.
        if let Some((call, _)) = value.split_once(" -> [") {
            let at = open(call)?;
            let (path, operands) = (&call[..at], bracketed(&call[at..])?.0);
            if !bindings.has_function(path) {
                return None;
            }
            return Some(
                list(operands)
                    .into_iter()
                    .enumerate()
                    .filter(|(_, operand)| names(operand))
                    .filter_map(|(index, operand)| {
                        Some(Slot::parameter(path, index, arity(operand)?))
                    })
                    .collect(),
            );
        }
        // A field of a structure that is there: `((*_1).2: type) = move _3`.
        let (place, _) = place(target)?;
        self.field(&place, bindings).map(|slot| vec![slot])
    }
}

/// Where a value goes in one assignment.
enum Step<'t> {
    /// To C code.
    Slots(Vec<Slot>),
    /// To a local.
    Local(usize),
    /// To a function of Rust, as these locals of it.
    Passed(&'t str, Vec<usize>),
    /// Nobody knows.
    Nowhere,
}

/// Where the list of operands of a call begins: the last bracket that is closed at the end.
fn open(call: &str) -> Option<usize> {
    call.match_indices('(')
        .map(|(at, _)| at)
        .find(|at| bracketed(&call[*at..]).is_some_and(|(_, rest)| rest.is_empty()))
}

/// All bodies of a file.
fn bodies(text: &str) -> Vec<Body<'_>> {
    let mut all = Vec::new();
    let mut current: Option<(&str, Vec<&str>)> = None;
    for line in text.lines() {
        if line == "}" {
            all.extend(
                current
                    .take()
                    .map(|(header, lines)| Body::parse(header, &lines)),
            );
        } else if !line.starts_with(' ') && line.ends_with('{') {
            current = Some((line.trim_end_matches(['{', ' ']), Vec::new()));
        } else if let Some((_, lines)) = &mut current {
            lines.push(line);
        }
    }
    all
}

/// All crates: a function of one may pass a pointer to one of another.
pub struct Program<'t> {
    crates: Vec<(&'t str, Vec<Body<'t>>)>,
    bindings: &'t Bindings,
}

impl<'t> Program<'t> {
    /// Reads the files of all crates, with their names.
    pub fn parse(files: &'t [(String, String)], bindings: &'t Bindings) -> Self {
        let crates = files
            .iter()
            .map(|(name, text)| (name.as_str(), bodies(text)))
            .collect();
        Self { crates, bindings }
    }

    /// What is found in each crate.
    pub fn find(&self) -> BTreeMap<String, Found> {
        let crates = self.crates.iter();
        crates
            .map(|(name, bodies)| {
                let mut found = Found::default();
                for body in bodies {
                    body.loads(self.bindings, &mut found.loads);
                    self.find_in(body, &mut found);
                }
                ((*name).to_owned(), found)
            })
            .collect()
    }

    fn find_in(&self, body: &Body<'t>, found: &mut Found) {
        for (target, value) in &body.assignments {
            let Some((operand, ty)) = value
                .split_once(" (PointerCoercion(ReifyFnPointer")
                .and_then(|(cast, _)| split_once(cast, " as "))
            else {
                continue;
            };
            if !ty.contains(POINTER) {
                continue;
            }
            let function = body.function(operand);
            if self.bindings.has_function(function) {
                // C code's own function.
                let arity = parameters(ty).unwrap_or(0);
                found
                    .loads
                    .insert(Slot::function(&last_component(function), arity));
                continue;
            }
            let slots = locals_in(target)
                .next()
                .map_or(BTreeSet::new(), |held| self.follow(body, held));
            if slots.is_empty() {
                found
                    .lost
                    .insert((function.to_owned(), body.header.to_owned()));
            }
            found.stores.extend(slots.into_iter().map(|slot| Store {
                function: function.to_owned(),
                slot,
            }));
        }
    }

    /// Follows what a local of a body holds to the end.
    fn follow<'p>(&'p self, body: &'p Body<'t>, held: usize) -> BTreeSet<Slot> {
        let mut slots = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut todo = vec![(body, held)];
        while let Some((body, local)) = todo.pop() {
            if !seen.insert((core::ptr::from_ref(body), local)) {
                continue;
            }
            let names = |text: &str| locals_in(text).any(|other| other == local);
            for (target, value) in &body.assignments {
                if !names(value) {
                    continue;
                }
                match body.sink(target, value, &names, self.bindings) {
                    Step::Slots(found) => slots.extend(found),
                    Step::Local(next) => todo.push((body, next)),
                    Step::Passed(path, parameters) => {
                        for callee in self.callees(path) {
                            let pointers =
                                parameters.iter().filter(|local| callee.is_pointer(**local));
                            todo.extend(pointers.map(|local| (callee, *local)));
                        }
                    }
                    Step::Nowhere => {}
                }
            }
        }
        slots
    }

    /// The functions that a path of a call may mean. Implementations are listed by their place in
    /// the source alone, so only the name at the end tells; what takes no pointer is left out by
    /// the caller.
    fn callees<'p>(&'p self, path: &str) -> impl Iterator<Item = &'p Body<'t>> {
        let name = last_component(path);
        let all = self.crates.iter().flat_map(|(_, bodies)| bodies);
        all.filter(move |body| {
            body.header
                .strip_prefix("fn ")
                .and_then(|signature| signature.split_once("(_1: "))
                .is_some_and(|(path, _)| last_component(path) == name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDINGS: &str = "
#[repr(C)]
pub struct ops {
    pub owner: *mut module,
    pub open: ::core::option::Option<
        unsafe extern \"C\" fn(file: *mut file) -> ffi::c_int,
    >,
}
#[repr(C)]
pub struct device {
    pub ops: ops,
}
extern \"C\" {
    pub fn walk(
        dev: *mut device,
        f: ::core::option::Option<unsafe extern \"C\" fn(arg1: *mut device) -> ffi::c_int>,
    ) -> ffi::c_int;
}
extern \"C\" {
    pub fn seq_read(file: *mut file);
}
";

    fn found(text: &str) -> Found {
        let files = [("krate".to_owned(), text.to_owned())];
        let bindings = Bindings::parse(&[BINDINGS]);
        let mut found = Program::parse(&files, &bindings).find();
        found.remove("krate").unwrap()
    }

    fn store(function: &str, slot: Slot) -> Store {
        Store {
            function: function.to_owned(),
            slot,
        }
    }

    #[test]
    fn table() {
        let found = found(
            "const sys::<impl at a.rs:1:1: 2:2>::OPS: kernel::bindings::ops = {
    let mut _0: kernel::bindings::ops;
    let mut _1: core::option::Option<unsafe extern \"C\" fn(*mut kernel::bindings::file) -> i32>;
    let mut _2: unsafe extern \"C\" fn(*mut kernel::bindings::file) -> i32;
    let mut _3: extern \"C\" fn(&File<T>) -> i32;
    let mut _4: kernel::bindings::ops;

    bb0: {
        _3 = sys::File::<T>::open as extern \"C\" fn(&File<T>) -> i32 (PointerCoercion(ReifyFnPointer, Implicit));
        _2 = abi::callback1::<&File<T>, *mut kernel::bindings::file, i32>(move _3) -> [return: bb1, unwind unreachable];
    }

    bb1: {
        _1 = core::option::Option::<unsafe extern \"C\" fn(*mut kernel::bindings::file) -> i32>::Some(move _2);
        _0 = kernel::bindings::ops { owner: copy (_4.0: *mut module), open: move _1 };
        return;
    }
}
",
        );
        let slot = Slot::field("kernel::bindings::ops", "open", 1);
        assert_eq!(found.stores, [store("sys::File::<T>::open", slot)].into());
        assert!(found.lost.is_empty());
        assert!(found.loads.is_empty());
    }

    #[test]
    fn field_of_a_field() {
        let found = found(
            "fn new(_1: *mut bindings::device) -> () {
    let mut _2: core::option::Option<unsafe extern \"C\" fn(*mut file) -> i32>;
    let mut _3: unsafe extern \"C\" fn(*mut file) -> i32;

    bb0: {
        _3 = open as unsafe extern \"C\" fn(*mut file) -> i32 (PointerCoercion(ReifyFnPointer, Implicit));
        _2 = core::option::Option::<unsafe extern \"C\" fn(*mut file) -> i32>::Some(move _3);
        (((*_1).0: bindings::ops).1: core::option::Option<unsafe extern \"C\" fn(*mut file) -> i32>) = move _2;
    }
}
",
        );
        let slot = Slot::field("ops", "open", 1);
        assert_eq!(found.stores, [store("open", slot)].into());
    }

    #[test]
    fn parameter() {
        let found = found(
            "fn all(_1: *mut device) -> i32 {
    let mut _2: unsafe extern \"C\" fn(*mut device) -> i32;
    let mut _3: (*mut device, unsafe extern \"C\" fn(*mut device) -> i32);
    let mut _4: core::option::Option<unsafe extern \"C\" fn(*mut device) -> i32>;
    let mut _5: unsafe extern \"C\" fn(*mut device) -> i32;

    bb0: {
        _2 = all::each::<F> as unsafe extern \"C\" fn(*mut device) -> i32 (PointerCoercion(ReifyFnPointer, Implicit));
        _3 = (copy _1, move _2);
        _5 = copy (_3.1: unsafe extern \"C\" fn(*mut device) -> i32);
        _4 = core::option::Option::<unsafe extern \"C\" fn(*mut device) -> i32>::Some(move _5);
        _0 = kernel::bindings::walk(copy _1, move _4) -> [return: bb1, unwind unreachable];
    }
}
",
        );
        let slot = Slot::parameter("walk", 1, 1);
        assert_eq!(found.stores, [store("all::each::<F>", slot)].into());
    }

    #[test]
    fn passed_on() {
        let found = found(
            "fn all(_1: *mut device) -> i32 {
    let mut _2: unsafe extern \"C\" fn(*mut device) -> i32;
    let mut _3: core::option::Option<unsafe extern \"C\" fn(*mut device) -> i32>;

    bb0: {
        _2 = each as unsafe extern \"C\" fn(*mut device) -> i32 (PointerCoercion(ReifyFnPointer, Implicit));
        _3 = core::option::Option::<unsafe extern \"C\" fn(*mut device) -> i32>::Some(move _2);
        _0 = Walk::new(copy _1, move _3) -> [return: bb1, unwind unreachable];
    }
}

fn bus::<impl at bus.rs:1:1: 1:9>::new(_1: *mut device, _2: Option<unsafe extern \"C\" fn(*mut device) -> i32>) -> i32 {
    bb0: {
        _0 = kernel::bindings::walk(copy _1, copy _2) -> [return: bb1, unwind unreachable];
    }
}
",
        );
        let slot = Slot::parameter("walk", 1, 1);
        assert_eq!(found.stores, [store("each", slot)].into());
        assert!(found.lost.is_empty());
    }

    #[test]
    fn copied_function() {
        let found = found(
            "const exports::_: () = {
    let _1: unsafe extern \"C\" fn(*mut file);
    let mut _3: unsafe extern \"C\" fn(*mut file) {linux::bindings::seq_read};
    let mut _4: unsafe extern \"C\" fn(*mut file) {sys::exports::seq_read};

    bb1: {
        _3 = linux::bindings::seq_read;
        _1 = move _3 as unsafe extern \"C\" fn(*mut file) (PointerCoercion(ReifyFnPointer, Implicit));
        _4 = exports::seq_read;
        _1 = move _4 as unsafe extern \"C\" fn(*mut file) (PointerCoercion(ReifyFnPointer, Implicit));
    }
}
",
        );
        assert_eq!(found.loads, [Slot::function("seq_read", 1)].into());
        let lost = ("sys::exports::seq_read", "const exports::_: () =");
        assert_eq!(found.lost, [(lost.0.to_owned(), lost.1.to_owned())].into());
    }

    #[test]
    fn loads() {
        let found = found(
            "fn call(_1: *mut kernel::bindings::device) -> i32 {
    let mut _2: core::option::Option<unsafe extern \"C\" fn(*mut file) -> i32>;
    let mut _3: unsafe extern \"C\" fn(*mut file);

    bb0: {
        _2 = copy (((*_1).0: kernel::bindings::ops).1: core::option::Option<unsafe extern \"C\" fn(*mut file) -> i32>);
        _3 = kernel::bindings::seq_read as unsafe extern \"C\" fn(*mut file) (PointerCoercion(ReifyFnPointer, Implicit));
    }
}
",
        );
        let field = Slot::field("ops", "open", 1);
        assert_eq!(found.loads, [field, Slot::function("seq_read", 1)].into());
        assert!(found.stores.is_empty());
    }

    #[test]
    fn lost() {
        let found = found(
            "fn give(_1: usize) -> () {
    let mut _2: unsafe extern \"C\" fn(*mut file) -> i32;

    bb0: {
        _2 = open as unsafe extern \"C\" fn(*mut file) -> i32 (PointerCoercion(ReifyFnPointer, Implicit));
        _0 = elsewhere(move _2) -> [return: bb1, unwind unreachable];
    }
}
",
        );
        assert_eq!(
            found.lost,
            [("open".to_owned(), "fn give(_1: usize) -> ()".to_owned())].into()
        );
    }
}
