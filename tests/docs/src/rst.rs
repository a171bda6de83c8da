// SPDX-License-Identifier: GPL-2.0

//! What is read of reStructuredText: list tables, and lines of literal blocks.

use crate::tree::File;

/// A `list-table`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// The line of the directive.
    pub line: usize,
    /// Its title, without backquotes.
    pub title: String,
    /// The value of its option `:class:`.
    pub class: String,
    /// Its rows, without those of the heading.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Where it begins.
    pub line: usize,
    /// Its cells. The lines of a cell are joined by a space.
    pub cells: Vec<String>,
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The list tables of a document.
pub fn list_tables(file: &File) -> Vec<Table> {
    let mut tables = Vec::new();
    let mut lines = file.lines().peekable();
    while let Some((number, line)) = lines.next() {
        let Some(title) = line.trim_start().strip_prefix(".. list-table::") else {
            continue;
        };
        let mut table = Table {
            line: number,
            title: title.trim().trim_matches('`').to_owned(),
            class: String::new(),
            rows: Vec::new(),
        };
        let mut headings = 0;
        let outer = indent(line);
        let is_inside = |line: &str| line.trim().is_empty() || indent(line) > outer;
        while let Some((number, line)) = lines.next_if(|(_, line)| is_inside(line)) {
            let text = line.trim();
            if let Some(class) = text.strip_prefix(":class:") {
                table.class = class.trim().to_owned();
            } else if let Some(count) = text.strip_prefix(":header-rows:") {
                headings = count.trim().parse().unwrap_or(0);
            } else if let Some(first) = text.strip_prefix("* - ") {
                table.rows.push(Row {
                    line: number,
                    cells: vec![first.to_owned()],
                });
            } else if let Some(row) = table.rows.last_mut() {
                match (next_cell(text), row.cells.last_mut()) {
                    (Some(cell), _) => row.cells.push(cell.to_owned()),
                    (None, Some(cell)) if !text.is_empty() => {
                        cell.push(' ');
                        cell.push_str(text);
                    }
                    _ => {}
                }
            }
        }
        table.rows.drain(..headings.min(table.rows.len()));
        tables.push(table);
    }
    tables
}

/// The text of a cell that is not the first, if `text` begins one.
fn next_cell(text: &str) -> Option<&str> {
    text.strip_prefix("- ").or((text == "-").then_some(""))
}

/// What stands in a cell between double backquotes, if nothing else does.
pub fn literal(cell: &str) -> Option<&str> {
    let inner = cell.trim().strip_prefix("``")?.strip_suffix("``")?;
    (!inner.contains("``")).then_some(inner)
}

/// Indented lines, of literal blocks among others, without the indentation.
pub fn indented(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.lines()
        .filter(|(_, line)| line.starts_with([' ', '\t']))
        .map(|(number, line)| (number, line.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_rows_and_cells() {
        let text = "\
Text.

.. list-table:: ``vtd.ko``
   :class: log
   :header-rows: 1

   * - line
     - remedy
   * - ``one
       line``
     - do
       this

   * - ``two``
     -

* - not this
";
        let file = File {
            path: "a.rst".into(),
            text: text.into(),
        };
        let [table] = &list_tables(&file)[..] else {
            panic!("one table");
        };
        assert_eq!(
            (table.line, table.title.as_str(), table.class.as_str()),
            (3, "vtd.ko", "log")
        );
        let [one, two] = &table.rows[..] else {
            panic!("two rows: {table:?}");
        };
        assert_eq!(one.cells, ["``one line``", "do this"]);
        assert_eq!(literal(&one.cells[0]), Some("one line"));
        assert_eq!((two.line, two.cells[0].as_str()), (14, "``two``"));
        assert_eq!(literal("``a`` and ``b``"), None);
    }
}
