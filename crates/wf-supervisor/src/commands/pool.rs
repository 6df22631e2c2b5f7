//! The key pool of a live run as a table, for `keys` and `show`.

use std::io::{self, Write};

use jiff::tz::TimeZone;

use crate::store::board::{KeyOnBoard, LimitOnBoard, PoolBoard, QuotaOnBoard};
use crate::store::moment::moment;
use crate::store::text::{counted, grouped, one_line};

/// How much of a provider's words is shown, in characters.
const DETAIL_CHARS: usize = 160;

/// A column of a table of keys beside the run's own: its heading, and the cell for each key's name.
pub type Column<'a> = (&'static str, &'a dyn Fn(&str) -> String);

/// Writes the keys of a board, a line for each key and model.
pub fn write_keys(
    out: &mut dyn Write,
    board: &PoolBoard,
    zone: &TimeZone,
    more: &[Column<'_>],
) -> io::Result<()> {
    let mut header = vec![
        "NAME", "PROVIDER", "GROUP", "STATE", "UNTIL", "MODEL", "LIMITS", "LEFT/MIN", "LEFT/DAY", "CALLS",
        "REFUSED",
    ];
    header.extend(more.iter().map(|(heading, _)| *heading));
    let mut lines: Vec<Vec<String>> = vec![header.into_iter().map(str::to_owned).collect()];
    for key in &board.keys {
        let mut first = vec![
            key.name.clone(),
            key.provider.clone(),
            if key.group == key.name { "its own".to_owned() } else { key.group.clone() },
            state(key),
            key.until.map_or_else(dash, |until| moment(until, board.at, zone)),
        ];
        let mut quotas = key.quotas.iter().map(quota);
        first.extend(quotas.next().unwrap_or_else(|| [dash(), "not known".to_owned(), dash(), dash()]));
        first.extend([grouped(key.calls), grouped(key.refusals)]);
        first.extend(more.iter().map(|(_, cell)| cell(&key.name)));
        lines.push(first);
        for cells in quotas {
            let mut line = vec![String::new(); 5];
            line.extend(cells);
            lines.push(line);
        }
    }
    write_columns(out, &lines)?;
    for key in board.keys.iter().filter(|key| !key.detail.is_empty()) {
        writeln!(out, "{}: {}", key.name, one_line(&key.detail, DETAIL_CHARS))?;
    }
    Ok(())
}

/// `pool at 05:15:27: limited until 05:16:10; 3 workers, 1 paused`.
pub fn headline(board: &PoolBoard, zone: &TimeZone) -> String {
    let condition = match board.condition.as_str() {
        "exhausted" => "all keys reserved".to_owned(),
        "limited" => match board.until {
            Some(until) => format!("all keys limited until {}", moment(until, board.at, zone)),
            None => "all keys limited".to_owned(),
        },
        "dead" => "no usable key left".to_owned(),
        other => other.to_owned(),
    };
    let paused = match board.paused.len() {
        0 => String::new(),
        n => format!(", {n} paused"),
    };
    let workers = counted(board.workers.into(), "worker", "workers");
    format!("pool at {}: {condition}; {workers}{paused}", moment(board.at, board.at, zone))
}

/// Writes cells in columns.
pub fn write_columns(out: &mut dyn Write, lines: &[Vec<String>]) -> io::Result<()> {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| lines.iter().filter_map(|l| l.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for line in lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn dash() -> String {
    "-".to_owned()
}

fn state(key: &KeyOnBoard) -> String {
    match key.reserved {
        0 => key.state.clone(),
        n if key.state == "available" || key.state == "reserved" => format!("reserved ({n})"),
        n => format!("{} ({n} out)", key.state),
    }
}

fn quota(quota: &QuotaOnBoard) -> [String; 4] {
    let dimensions = [(&quota.requests, "rpm"), (&quota.tokens, "tpm"), (&quota.day, "rpd")];
    let limits: Vec<String> =
        dimensions.iter().filter_map(|(limit, unit)| Some(limit_words(limit.as_ref()?, unit))).collect();
    let left: Vec<String> = [(&quota.requests, ""), (&quota.tokens, " tokens")]
        .iter()
        .filter_map(|(limit, unit)| Some(format!("{}{unit}", grouped(limit.as_ref()?.left))))
        .collect();
    let or =
        |words: Vec<String>, none: &str| if words.is_empty() { none.to_owned() } else { words.join(", ") };
    [
        if quota.model.is_empty() { dash() } else { quota.model.clone() },
        or(limits, "not known"),
        or(left, "-"),
        quota.day.as_ref().map_or_else(dash, |day| grouped(day.left)),
    ]
}

/// `60 rpm`; what nobody wrote down says where it is from.
fn limit_words(limit: &LimitOnBoard, unit: &str) -> String {
    match limit.from.as_str() {
        "configured" => format!("{} {unit}", grouped(limit.limit)),
        from => format!("{} {unit} ({from})", grouped(limit.limit)),
    }
}
