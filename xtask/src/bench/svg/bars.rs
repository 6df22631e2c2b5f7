//! Horizontal bars with what they span over the rounds.

use super::super::report::{Kind, Row, figure};
use super::canvas::{Anchor, Canvas, MARGIN, WIDTH, class, width};
use super::ticks;

/// Things that are compared, each a bar.
pub struct Bars {
    /// What the axis shows, with its unit.
    pub axis: String,
    /// From top to bottom.
    pub all: Vec<Bar>,
    /// A line across all of them, such as what is to be reached.
    pub mark: Option<(f64, String)>,
}

/// One of them.
pub struct Bar {
    /// Its name.
    pub name: String,
    /// What it is to us.
    pub kind: Kind,
    /// Least, median and greatest.
    pub values: Option<(f64, f64, f64)>,
    /// What stands there instead.
    pub absent: Option<String>,
}

const PITCH: f64 = 30.0;
const THICK: f64 = 18.0;

impl Bars {
    /// The rows of a table.
    pub fn of_rows<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<Bar> {
        let bar = |row: &Row| Bar {
            name: row.name.clone(),
            kind: row.kind,
            values: row.spread.map(|spread| (spread.min, spread.median, spread.max)),
            absent: row.absent.as_ref().map(|why| why.split(" (").next().unwrap_or(why).to_owned()),
        };
        rows.into_iter().map(bar).collect()
    }

    /// Draws them where the canvas stands.
    pub fn draw(&self, canvas: &mut Canvas) {
        let names = self.all.iter().map(|bar| width(&bar.name)).fold(60.0, f64::max);
        let left = MARGIN + names + 10.0;
        // Room for the number behind the longest bar.
        let right = WIDTH - MARGIN - 60.0;
        let top = canvas.top + if self.mark.is_some() { 20.0 } else { 4.0 };
        let bottom = top + PITCH * self.all.len() as f64;
        let greatest =
            self.all.iter().filter_map(|bar| bar.values).map(|(.., high)| high).fold(0.0, f64::max);
        let greatest = self.mark.as_ref().map_or(greatest, |(mark, _)| greatest.max(*mark));
        let numbers = ticks::linear(greatest);
        let end = numbers.last().copied().unwrap_or(1.0);
        let at = |value: f64| left + (right - left) * value / end;

        for number in &numbers {
            canvas.line("grid", (at(*number), top), (at(*number), bottom));
            canvas.text(at(*number), bottom + 17.0, Anchor::Middle, "soft", &ticks::label(*number));
        }
        for (index, bar) in self.all.iter().enumerate() {
            let middle = top + PITCH * (index as f64 + 0.5);
            let name_class = if bar.kind == Kind::Ours { "strong" } else { "" };
            canvas.text(left - 10.0, middle + 4.5, Anchor::End, name_class, &bar.name);
            let Some((low, value, high)) = bar.values else {
                canvas.text(
                    left + 6.0,
                    middle + 4.5,
                    Anchor::Start,
                    "soft",
                    bar.absent.as_deref().unwrap_or("not measured"),
                );
                continue;
            };
            canvas.rectangle(class(bar.kind), (left, middle - THICK / 2.0), (at(value) - left, THICK));
            canvas.line("whisker", (at(low), middle), (at(high), middle));
            for cap in [low, high] {
                canvas.line("whisker", (at(cap), middle - 4.0), (at(cap), middle + 4.0));
            }
            canvas.text(at(high) + 7.0, middle + 4.5, Anchor::Start, name_class, &figure(value));
        }
        if let Some((value, words)) = &self.mark {
            canvas.line("mark", (at(*value), top - 4.0), (at(*value), bottom));
            let anchor = if at(*value) > WIDTH / 2.0 { Anchor::End } else { Anchor::Start };
            canvas.text(at(*value), top - 9.0, anchor, "marked", words);
        }
        canvas.line("axis", (left, top), (left, bottom));
        canvas.text(f64::midpoint(left, right), bottom + 36.0, Anchor::Middle, "soft", &self.axis);
        canvas.top = bottom + 50.0;
    }
}
