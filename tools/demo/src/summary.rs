// SPDX-License-Identifier: GPL-2.0

//! What is printed around the steps.

use siov_kselftests::pci::Function;

/// Rows of the table at the end.
#[derive(Default)]
pub struct Summary(Vec<[String; 3]>);

impl Summary {
    pub fn add(&mut self, what: &str, through: &Function, result: String) {
        self.0.push([what.to_owned(), through.to_string(), result]);
    }

    pub fn print(&self) {
        let width = |column: usize| self.0.iter().map(|r| r[column].len()).max().unwrap_or(0);
        let (first, second) = (width(0), width(1));
        println!();
        for [what, through, result] in &self.0 {
            println!("  {what:first$}   {through:second$}   {result}");
        }
    }
}

/// Begins a step.
pub fn heading(text: &str) {
    println!("\n-- {text}");
}
