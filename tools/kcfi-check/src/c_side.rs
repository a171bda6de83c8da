// SPDX-License-Identifier: GPL-2.0

//! What clang says of the prototypes.

use crate::bindings::Bindings;
use crate::kbuild::{read, Objects};
use crate::llvm;
use crate::slot::{Kind, Slot};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

/// The flags of `CONFIG_CFI` with `CONFIG_CFI_ICALL_NORMALIZE_INTEGERS`.
const CFI: &str = "-fsanitize=kcfi -fsanitize-cfi-icall-experimental-normalize-integers";

/// A prototype of C, or why there is none.
#[derive(Clone, Debug)]
pub struct Prototype {
    /// As clang prints it.
    pub text: String,
    /// Its identifier; `None` without a prototype.
    pub id: Option<i32>,
}

/// A function in clang's dump of the syntax tree.
#[derive(Debug, Default, Eq, PartialEq)]
struct Declaration {
    prototype: String,
    parameters: Vec<String>,
}

/// The types in a line of the dump: the last one is without names.
fn type_in(line: &str) -> String {
    line.rsplit('\'').nth(1).unwrap_or_default().to_owned()
}

/// Functions of a dump, by name.
fn declarations(dump: &str) -> HashMap<String, Declaration> {
    let mut all = HashMap::new();
    let mut current: Option<(String, Declaration)> = None;
    for line in dump.lines() {
        if let Some(name) = line
            .strip_prefix("Dumping ")
            .and_then(|rest| rest.strip_suffix(':'))
        {
            all.extend(current.take());
            current = Some((name.to_owned(), Declaration::default()));
        } else if let Some((_, declaration)) = &mut current {
            if line.starts_with("FunctionDecl ") {
                declaration.prototype = type_in(line);
            } else if line.contains("-ParmVarDecl ") {
                declaration.parameters.push(type_in(line));
            }
        }
    }
    all.extend(current);
    all
}

/// Messages of errors, by line of the file.
fn errors(file: &Path, messages: &str) -> HashMap<usize, String> {
    let prefix = format!("{}:", file.display());
    messages
        .lines()
        .filter_map(|line| {
            let (line, rest) = line.strip_prefix(&prefix)?.split_once(':')?;
            let (_, message) = rest.split_once("error: ")?;
            Some((line.parse().ok()?, message.to_owned()))
        })
        .collect()
}

/// A C file with a declaration of the type of each expression, one a line.
struct File<'f> {
    text: String,
    lines: usize,
    path: &'f Path,
}

impl<'f> File<'f> {
    fn new(objects: &Objects, tree: &Path, helpers: bool, path: &'f Path) -> Self {
        let mut file = File {
            text: String::new(),
            lines: 0,
            path,
        };
        let tree = tree.display();
        file.line(&format!(
            "#include \"{tree}/rust/bindings/bindings_helper.h\""
        ));
        if helpers {
            file.line(&format!("#include \"{tree}/rust/helpers/helpers.c\""));
        }
        file.line(&format!("#include \"{}\"", objects.header));
        file
    }

    /// Adds a line and returns its number.
    fn line(&mut self, line: &str) -> usize {
        self.text.push_str(line);
        self.text.push('\n');
        self.lines += 1;
        self.lines
    }

    fn declare(&mut self, number: usize, expression: &str) -> usize {
        self.line(&format!("extern typeof({expression}) kcfi_slot_{number};"))
    }

    fn write(&self) -> Result<(), String> {
        std::fs::write(self.path, &self.text)
            .map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

/// The prototypes of all slots, in their order. Files are left in `dir`.
pub fn prototypes(
    objects: &Objects,
    tree: &Path,
    dir: &Path,
    bindings: &Bindings,
    slots: &[Slot],
) -> Result<Vec<Prototype>, String> {
    let link_name = |name: &str| bindings.link_name(name).to_owned();
    let helpers = slots.iter().any(|slot| match &slot.kind {
        Kind::Parameter { function, .. } => link_name(function) != *function,
        Kind::Function { name } => link_name(name) != *name,
        Kind::Field { .. } => false,
    });

    // First the types, since C has no expression for that of a parameter.
    let path = dir.join("types.c");
    let mut file = File::new(objects, tree, helpers, &path);
    let lines: Vec<usize> = slots
        .iter()
        .enumerate()
        .map(|(number, slot)| {
            let expression = match &slot.kind {
                Kind::Parameter { function, .. } => link_name(function),
                _ => slot.c_expression(link_name).unwrap_or_default(),
            };
            file.declare(number, &expression)
        })
        .collect();
    file.write()?;
    let output = objects.clang(&format!(
        "-fsyntax-only -ferror-limit=0 -Xclang -ast-dump -Xclang -ast-dump-filter=kcfi_slot_ {}",
        path.display()
    ))?;
    let messages = String::from_utf8_lossy(&output.stderr);
    let errors = errors(&path, &messages);
    if !output.status.success() && !lines.iter().any(|line| errors.contains_key(line)) {
        return Err(format!("clang: {messages}"));
    }
    let declarations = declarations(&String::from_utf8_lossy(&output.stdout));

    // Then their identifiers: clang gives them to functions whose address is taken.
    let path = dir.join("slots.c");
    let mut file = File::new(objects, tree, helpers, &path);
    let mut taken = String::new();
    let mut all = Vec::new();
    for (number, (slot, line)) in slots.iter().zip(lines).enumerate() {
        let name = format!("kcfi_slot_{number}");
        let declaration = declarations.get(&name);
        let (text, expression) = match (errors.get(&line), declaration, &slot.kind) {
            (Some(error), ..) => (format!("no prototype: {error}"), None),
            (None, Some(function), Kind::Parameter { index, .. }) => {
                let ty = function.parameters.get(*index).cloned();
                let expression = ty.as_ref().map(|ty| format!("*(typeof({ty}))0"));
                (ty.unwrap_or_default().replacen(" (*)", " ", 1), expression)
            }
            (None, Some(function), _) => (function.prototype.clone(), slot.c_expression(link_name)),
            (None, None, _) => ("no prototype".to_owned(), None),
        };
        if let Some(expression) = expression {
            file.declare(number, &expression);
            let _ = write!(taken, "{name}, ");
        }
        all.push(Prototype { text, id: None });
    }
    file.line(&format!("void *const kcfi_slots[] = {{ {taken}}};"));
    file.write()?;
    let ir = dir.join("slots.ll");
    let output = objects.clang(&format!(
        "{CFI} -S -emit-llvm -o {} {}",
        ir.display(),
        path.display()
    ))?;
    if !output.status.success() {
        return Err(format!(
            "clang: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    for function in llvm::functions(&read(&ir)?) {
        let number = function.symbol.strip_prefix("kcfi_slot_");
        if let Some(number) = number.and_then(|number| number.parse::<usize>().ok()) {
            if let Some(prototype) = all.get_mut(number) {
                prototype.id = function.id;
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dump() {
        let dump = "Dumping kcfi_slot_0:
FunctionDecl 0x5 </t.c:4:1, col:33> col:33 kcfi_slot_0 'typeof (walk)':'int (struct device *, device_iter_t)' extern
|-ParmVarDecl 0x5 <col:33> col:33 implicit 'struct device *'
`-ParmVarDecl 0x5 <col:33> col:33 implicit 'device_iter_t':'int (*)(struct device *, void *)'

Dumping kcfi_slot_1:
FunctionDecl 0x5 </t.c:5:1, col:37> col:37 kcfi_slot_1 'int (void)' extern
";
        let all = declarations(dump);
        assert_eq!(
            all["kcfi_slot_0"],
            Declaration {
                prototype: "int (struct device *, device_iter_t)".to_owned(),
                parameters: vec![
                    "struct device *".to_owned(),
                    "int (*)(struct device *, void *)".to_owned()
                ],
            }
        );
        assert_eq!(all["kcfi_slot_1"].prototype, "int (void)");
        assert!(all["kcfi_slot_1"].parameters.is_empty());
    }

    #[test]
    fn messages() {
        let found = errors(
            Path::new("/d/types.c"),
            "/d/types.c:12:15: error: use of undeclared identifier 'f'\nother\n/e.h:1:1: error: x\n",
        );
        assert_eq!(
            found,
            HashMap::from([(12, "use of undeclared identifier 'f'".to_owned())])
        );
    }
}
