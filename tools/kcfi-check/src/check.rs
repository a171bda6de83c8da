// SPDX-License-Identifier: GPL-2.0

//! The comparison.

use crate::bindings::Bindings;
use crate::c_side::{prototypes, Prototype};
use crate::kbuild::{read, Objects};
use crate::llvm::{functions, Function};
use crate::mir::{Found, Program};
use crate::rust_side::{source, CRATE, RIGHT, WRONG};
use crate::slot::Slot;
use crate::text::components;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// A line for each difference, and for whatever else is wrong.
    pub differences: Vec<String>,
    /// Callbacks of libraries that no module uses, so that there is no function to look at.
    pub unused: Vec<String>,
    /// Functions that were compared, once for each place in C that they go to.
    pub functions: usize,
    /// Places in C whose type was compared with that of the bindings.
    pub slots: usize,
    /// Indirect calls of Rust code whose check was looked up.
    pub calls: usize,
}

/// One crate's output of the compiler.
#[derive(Debug, Default)]
struct Crate {
    found: Found,
    functions: Vec<Function>,
}

/// The symbols as people write them.
fn demangle(symbols: &[String]) -> Result<Vec<String>, String> {
    let failed = |error| format!("llvm-cxxfilt: {error}");
    let mut child = Command::new("llvm-cxxfilt")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut input = child.stdin.take().ok_or("llvm-cxxfilt: no input")?;
    let text = symbols.join("\n");
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    writer
        .join()
        .map_err(|_| "llvm-cxxfilt: the writer panicked")?
        .map_err(failed)?;
    let lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    if lines.len() != symbols.len() {
        return Err("llvm-cxxfilt: lines are missing".to_owned());
    }
    Ok(lines)
}

/// Whether a symbol is an instance of the function that a crate calls `path`.
fn is_instance(symbol: &[String], krate: &str, path: &[String]) -> bool {
    // An implementation of a trait has no crate in front.
    let local = symbol.first().is_some_and(|first| first == krate)
        || path.first().is_some_and(|first| first.starts_with('<'))
        || symbol.first() == path.first();
    local && symbol.ends_with(path)
}

fn stem(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn read_crates(
    paths: [Vec<std::path::PathBuf>; 2],
    bindings: &Bindings,
) -> Result<BTreeMap<String, Crate>, String> {
    let [mir, ir] = paths;
    let mut crates: BTreeMap<String, Crate> = BTreeMap::new();
    let mut files = Vec::new();
    for path in mir {
        files.push((stem(&path), read(&path)?));
    }
    for (name, found) in Program::parse(&files, bindings).find() {
        crates.entry(name).or_default().found = found;
    }
    for path in ir {
        let defined = functions(&read(&path)?);
        crates.entry(stem(&path)).or_default().functions =
            defined.into_iter().filter(|f| f.defined).collect();
    }
    Ok(crates)
}

/// Functions with a name that C code can find: the compiler's own names begin with `_R`.
fn exports(krate: &Crate) -> impl Iterator<Item = &Function> {
    krate
        .functions
        .iter()
        .filter(|function| !function.symbol.starts_with("_R") && !function.symbol.contains('.'))
}

fn id_text(id: Option<i32>) -> String {
    // As the kernel prints it.
    id.map_or("none".to_owned(), |id| format!("{id:#010x}"))
}

/// Compares everything that was built in `objects` against the kernel tree `tree`; leaves files in
/// `dir`.
///
/// `exceptions` are places in C for which bindgen's type is known to differ: there the functions
/// are compared with that.
pub fn check(
    objects: &Path,
    tree: &Path,
    dir: &Path,
    exceptions: &[String],
) -> Result<Report, String> {
    let dir_error = |error| format!("{}: {error}", dir.display());
    std::fs::create_dir_all(dir).map_err(dir_error)?;
    let objects_dir = objects;
    let objects = Objects::open(objects_dir)?;
    let ours = read(&objects_dir.join("rust/bindings/bindings_generated.rs"))?;
    let bindings_dir = tree.join("rust/bindings");
    let kernels = read(&bindings_dir.join("bindings_generated.rs"))?;
    let helpers = read(&bindings_dir.join("bindings_helpers_generated.rs"))?;
    let bindings = Bindings::parse(&[&ours, &helpers, &kernels]);

    let crates = read_crates([objects.files("mir")?, objects.files("ll")?], &bindings)?;
    if crates.is_empty() {
        return Err(format!("{}: nothing to check", objects_dir.display()));
    }

    // All places that functions go to or are called from.
    let mut slots = BTreeSet::new();
    for krate in crates.values() {
        slots.extend(krate.found.stores.iter().map(|store| store.slot.clone()));
        slots.extend(krate.found.loads.iter().cloned());
        slots.extend(exports(krate).map(|export| {
            let arity = bindings.arity(&export.symbol).unwrap_or(0);
            Slot::function(&export.symbol, arity)
        }));
    }
    slots.insert(Slot::field("notifier_block", "notifier_call", 3));
    let slots: Vec<Slot> = slots.into_iter().collect();

    let mut prototypes = prototypes(&objects, tree, dir, &bindings, &slots)?;
    let probe = dir.join(format!("{CRATE}.rs"));
    std::fs::write(&probe, source(&slots, &bindings)).map_err(dir_error)?;
    objects.rustc(CRATE, &probe)?;
    let probes = read_crates(
        [
            vec![probe.with_extension("mir")],
            vec![probe.with_extension("ll")],
        ],
        &bindings,
    )?;

    let mut report = Report::default();
    let types = types(slots.len(), &probes);
    control(&slots, &prototypes, &probes)?;
    for place in exceptions {
        except(place, &slots, &mut prototypes, &types, &mut report);
    }
    compare_types(&slots, &prototypes, &types, &mut report);
    compare_functions(&crates, &slots, &prototypes, &mut report)?;
    compare_calls(&crates, &prototypes, &mut report)?;
    Ok(report)
}

/// The identifiers of bindgen's types of all slots, where there are any.
fn types(slots: usize, probes: &BTreeMap<String, Crate>) -> Vec<Option<i32>> {
    let functions = || probes.values().flat_map(|probe| &probe.functions);
    (0..slots)
        .map(|number| {
            let name = format!("kcfi_slot_{number}");
            let function = functions().find(|function| function.symbol == name)?;
            function.calls.first().copied()
        })
        .collect()
}

/// Lets bindgen's type count for a place, which has to differ from the prototype.
fn except(
    place: &str,
    slots: &[Slot],
    prototypes: &mut [Prototype],
    types: &[Option<i32>],
    report: &mut Report,
) {
    let number = slots.iter().position(|slot| slot.to_string() == place);
    let found = number.and_then(|number| Some((prototypes.get_mut(number)?, *types.get(number)?)));
    match found {
        Some((prototype, id)) if id.is_some() && prototype.id != id => prototype.id = id,
        Some(_) => report.differences.push(format!(
            "{place}: the types do not differ, no exception is needed"
        )),
        None => report.differences.push(format!(
            "{place}: there is no such place, no exception is needed"
        )),
    }
}

/// The bindings' types: what Rust code checks when it calls, and what the compiler demands of a
/// function that is put there.
fn compare_types(
    slots: &[Slot],
    prototypes: &[Prototype],
    types: &[Option<i32>],
    report: &mut Report,
) {
    for ((slot, prototype), id) in slots.iter().zip(prototypes).zip(types) {
        let Some(id) = *id else {
            continue;
        };
        report.slots += 1;
        if prototype.id != Some(id) {
            report.differences.push(format!(
                "bindings: {slot}: C has {} for {}, Rust {} for bindgen's type",
                id_text(prototype.id),
                prototype.text,
                id_text(Some(id))
            ));
        }
    }
}

/// A comparison that cannot fail is none: of the two controls exactly one must differ.
fn control(
    slots: &[Slot],
    prototypes: &[Prototype],
    probes: &BTreeMap<String, Crate>,
) -> Result<(), String> {
    let mut report = Report::default();
    compare_functions(probes, slots, prototypes, &mut report)?;
    let names = |name: &str| {
        let path = format!("{CRATE}::{name} ");
        report.differences.iter().any(|line| line.contains(&path))
    };
    let stores = probes.values().map(|probe| probe.found.stores.len()).sum();
    match (stores, names(RIGHT), names(WRONG)) {
        (2, false, true) => Ok(()),
        (found, right, wrong) => Err(format!(
            "the controls went wrong: {found} of 2 found; differences: right {right}, wrong {wrong}"
        )),
    }
}

/// The functions themselves.
fn compare_functions(
    crates: &BTreeMap<String, Crate>,
    slots: &[Slot],
    prototypes: &[Prototype],
    report: &mut Report,
) -> Result<(), String> {
    let mut symbols: Vec<(&str, &Function)> = Vec::new();
    for (name, krate) in crates {
        symbols.extend(
            krate
                .functions
                .iter()
                .map(|function| (name.as_str(), function)),
        );
    }
    let mangled: Vec<String> = symbols
        .iter()
        .map(|(_, function)| function.symbol.clone())
        .collect();
    let demangled = demangle(&mangled)?;
    let paths: Vec<Vec<String>> = demangled.iter().map(|name| components(name)).collect();
    let prototype = |slot: &Slot| {
        let number = slots.iter().position(|other| other == slot)?;
        prototypes.get(number)
    };

    let mut compare = |module: &str, symbol: &str, id: Option<i32>, slot: &Slot| {
        let Some(prototype) = prototype(slot) else {
            return;
        };
        report.functions += 1;
        if prototype.id.is_none() || prototype.id != id {
            report.differences.push(format!(
                "{module}: {symbol} as {slot}: C has {} for {}, Rust {}",
                id_text(prototype.id),
                prototype.text,
                id_text(id)
            ));
        }
    };
    for (name, krate) in crates {
        for export in exports(krate) {
            let is_slot = |slot: &&Slot| **slot == Slot::function(&export.symbol, slot.arity);
            if let Some(slot) = slots.iter().find(is_slot) {
                compare(name, &export.symbol, export.id, slot);
            }
        }
    }
    let mut unused = BTreeSet::new();
    for (name, krate) in crates {
        for store in &krate.found.stores {
            let path = components(&store.function);
            let mut instances = 0;
            for (((module, function), symbol), text) in symbols.iter().zip(&paths).zip(&demangled) {
                if is_instance(symbol, name, &path) {
                    instances += 1;
                    compare(module, text, function.id, &store.slot);
                }
            }
            if instances == 0 {
                unused.insert(format!("{name}: {} as {}", store.function, store.slot));
            }
        }
    }
    report.unused.extend(unused);
    for (name, krate) in crates {
        for (function, body) in &krate.found.lost {
            let path = components(function);
            // An export stands in its own check of the type, and goes nowhere.
            if exports(krate).any(|export| path.last() == Some(&export.symbol)) {
                continue;
            }
            report.differences.push(format!(
                "{name}: {function}: its address goes somewhere unknown in {body}"
            ));
        }
    }
    Ok(())
}

/// What Rust code demands of a function that it calls through a pointer: that it is one of Rust, or
/// of a prototype of C that it knows from bindgen.
fn compare_calls(
    crates: &BTreeMap<String, Crate>,
    prototypes: &[Prototype],
    report: &mut Report,
) -> Result<(), String> {
    let functions = crates.values().flat_map(|krate| &krate.functions);
    let known: BTreeSet<i32> = functions
        .filter_map(|function| function.id)
        .chain(prototypes.iter().filter_map(|prototype| prototype.id))
        .collect();
    for (name, krate) in crates {
        for function in &krate.functions {
            report.calls += function.calls.len();
            for id in function.calls.iter().filter(|id| !known.contains(id)) {
                let symbol = demangle(std::slice::from_ref(&function.symbol))?.pop();
                report.differences.push(format!(
                    "{name}: {} calls a pointer of type {}, which no function has",
                    symbol.unwrap_or_default(),
                    id_text(Some(*id))
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions() {
        let slots = [Slot::function("f", 1), Slot::function("g", 1)];
        let prototype = |id| Prototype {
            text: String::new(),
            id: Some(id),
        };
        let mut prototypes = [prototype(1), prototype(2)];
        let types = [Some(7), Some(2)];
        let mut report = Report::default();
        except("f()", &slots, &mut prototypes, &types, &mut report);
        assert_eq!(prototypes[0].id, Some(7));
        assert!(report.differences.is_empty());
        except("g()", &slots, &mut prototypes, &types, &mut report);
        except("h()", &slots, &mut prototypes, &types, &mut report);
        assert_eq!(report.differences.len(), 2);
        compare_types(&slots, &prototypes, &types, &mut report);
        assert_eq!((report.slots, report.differences.len()), (2, 2));
    }

    #[test]
    fn instances() {
        let is =
            |symbol: &str, path: &str| is_instance(&components(symbol), "linux", &components(path));
        assert!(is(
            "<linux::iommu::Table<vtd::Domain>>::attach",
            "iommu::Table::<T>::attach"
        ));
        assert!(is(
            "linux::iommu::each::first::<u32, {closure#0}>",
            "iommu::each::first::<F>"
        ));
        assert!(is(
            "<vtd::A as linux::Driver>::probe",
            "<T as Driver>::probe"
        ));
        assert!(!is(
            "<other::iommu::Table<vtd::Domain>>::attach",
            "iommu::Table::<T>::attach"
        ));
        assert!(!is(
            "<linux::iommu::Table<vtd::Domain>>::detach",
            "iommu::Table::<T>::attach"
        ));
    }
}
