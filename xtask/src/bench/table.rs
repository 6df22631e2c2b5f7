//! A report's tables: aligned for a terminal, and as Markdown.

use std::fmt::Write as _;

use super::report::{Report, Row, Table, Target, figure};
use super::spread::Spread;

/// The whole report for a terminal.
pub fn plain(report: &Report) -> String {
    let mut text = format!("{}: {}\n", report.suite, report.question);
    if report.quick {
        text.push_str("(quick: proves that the suite runs; the figures mean nothing)\n");
    }
    for table in &report.tables {
        text.push('\n');
        text.push_str(&table.caption);
        text.push('\n');
        text.push_str(&aligned(&cells(table)));
    }
    text.push_str("\nto reach\n");
    let targets = report.targets.iter().map(target);
    text.push_str(&aligned(
        &targets.map(|row| row.map(|cell| cell.replace('*', ""))).map(Vec::from).collect::<Vec<_>>(),
    ));
    text.push('\n');
    text.push_str(&report.reading);
    text.push('\n');
    text
}

/// One table as Markdown.
pub fn markdown(table: &Table) -> String {
    pipes(&cells(table))
}

/// What was to be reached, as Markdown.
pub fn targets_markdown(targets: &[Target]) -> String {
    let mut rows = vec![["to reach", "measured", "reached"].map(str::to_owned).to_vec()];
    rows.extend(targets.iter().map(|t| target(t).to_vec()));
    pipes(&rows)
}

fn target(target: &Target) -> [String; 3] {
    [target.claim.clone(), target.measured.clone(), target.word().to_owned()]
}

/// The header and the rows.
fn cells(table: &Table) -> Vec<Vec<String>> {
    let mut header = vec![String::new()];
    header.extend(["min", "median", "max"].map(|what| format!("{what}, {}", table.unit)));
    header.push(table.ratio.clone());
    header.extend(table.extra.iter().cloned());
    let mut rows = vec![header];
    rows.extend(table.rows.iter().map(row));
    rows
}

fn row(row: &Row) -> Vec<String> {
    let mut cells = vec![row.name.clone()];
    match (&row.absent, row.spread) {
        (None, Some(spread)) => {
            let Spread { min, median, max } = spread;
            cells.extend([min, median, max].map(figure));
            let ratio = |r: Spread| format!("{} ({}–{})", figure(r.median), figure(r.min), figure(r.max));
            cells.push(row.ratio.map(ratio).unwrap_or_default());
        }
        (absent, _) => {
            cells.push(absent.clone().unwrap_or_else(|| "not measured".to_owned()));
            cells.extend([const { String::new() }; 3]);
        }
    }
    cells.extend(row.extra.iter().cloned());
    cells
}

/// Columns of a common width, the first to the left and the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    // A cell that has the rest of its row to itself may stick out.
    let is_last = |row: &[String], index: usize| row[index + 1..].iter().all(String::is_empty);
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| {
            column < row.len() && !(column > 0 && is_last(row, column) && column + 1 < row.len())
        });
        cells.map(|row| row[column].chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            let _ = match column {
                0 => write!(line, "  {cell}{pad}"),
                _ => write!(line, "  {pad}{cell}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn pipes(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let escaped: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        let _ = writeln!(text, "| {} |", escaped.join(" | "));
        if index == 0 {
            let _ = writeln!(text, "|---|{}", "---:|".repeat(row.len().saturating_sub(1)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::report::Kind;
    use super::*;

    fn table() -> Table {
        let row = |name: &str, median: f64| Row {
            name: name.to_owned(),
            how: String::new(),
            kind: Kind::Peer,
            spread: Some(Spread { min: median - 1.0, median, max: median * 2.0 }),
            ratio: Some(Spread { min: 1.0, median: 1.5, max: 2.0 }),
            extra: vec!["7 MiB".to_owned()],
            absent: None,
        };
        let absent = Row {
            spread: None,
            ratio: None,
            extra: vec![String::new()],
            absent: Some("not installed (apt-get install parallel)".to_owned()),
            ..row("GNU parallel", 0.0)
        };
        Table {
            caption: "time".to_owned(),
            unit: "ms".to_owned(),
            ratio: "× limit".to_owned(),
            extra: vec!["memory".to_owned()],
            rows: vec![row("ours", 350.0), row("xargs | sh", 1200.25), absent],
        }
    }

    #[test]
    fn columns_stand_under_each_other() {
        let shown = aligned(&cells(&table()));
        let expected = "
                min, ms  median, ms  max, ms           × limit  memory
  ours              349         350      700  1.50 (1.00–2.00)   7 MiB
  xargs | sh      1,199       1,200    2,400  1.50 (1.00–2.00)   7 MiB
  GNU parallel  not installed (apt-get install parallel)
";
        assert_eq!(format!("\n{shown}"), expected);
    }

    #[test]
    fn markdown_escapes_what_would_end_a_cell() {
        let shown = markdown(&table());
        assert!(shown.starts_with(
            "|  | min, ms | median, ms | max, ms | × limit | memory |\n|---|---:|---:|---:|---:|---:|\n"
        ));
        assert!(shown.contains("| xargs \\| sh | 1,199 |"), "{shown}");
        assert!(
            shown.contains("| GNU parallel | not installed (apt-get install parallel) |  |  |  |  |"),
            "{shown}"
        );
    }
}
