// SPDX-License-Identifier: GPL-2.0

//! Compares the type identifiers of functions that C code calls; see the library.
//!
//! Exit status: 0 all are equal, 1 some differ or too few were compared, 2 usage, or it could not
//! compare.

use kcfi_check::check::check;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: kcfi-check [--verbose] [--except PLACE]... --at-least N OBJECTS TREE DIR

OBJECTS is where `make modules` built, with KRUSTFLAGS that hold -Zsanitizer=kcfi, --emit=mir and
--emit=llvm-ir, TREE the kernel tree it was built against. Files are left in DIR, which is not in OBJECTS.
At least N functions must be found. PLACE is a place in C, as this prints it, for which bindgen's type is
known to differ.
";

fn run() -> Result<bool, String> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut at_least = None;
    let mut verbose = false;
    let mut exceptions = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" => {
                print!("{USAGE}");
                return Ok(true);
            }
            "--verbose" => verbose = true,
            "--except" => exceptions.push(args.next().ok_or(USAGE)?),
            "--at-least" => {
                let number = args.next().and_then(|number| number.parse().ok());
                at_least = Some(number.ok_or(USAGE)?);
            }
            _ => paths.push(arg.into()),
        }
    }
    let ([objects, tree, dir], Some(at_least)) = (&paths[..], at_least) else {
        return Err(USAGE.to_owned());
    };
    let report = check(objects, tree, dir, &exceptions)?;
    for line in &report.differences {
        println!("{line}");
    }
    if verbose {
        for line in &report.unused {
            println!("no module uses {line}");
        }
    }
    println!(
        "{} functions, {} types of C and {} calls compared, {} differences, {} callbacks that no module uses",
        report.functions,
        report.slots,
        report.calls,
        report.differences.len(),
        report.unused.len()
    );
    if report.functions < at_least {
        println!("at least {at_least} functions were expected");
    }
    Ok(report.differences.is_empty() && report.functions >= at_least)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}
