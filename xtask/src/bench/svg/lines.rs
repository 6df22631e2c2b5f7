//! Lines over an axis that is linear or logarithmic.

use super::super::report::Kind;
use super::canvas::{Anchor, Canvas, MARGIN, WIDTH, class, width};
use super::ticks;

/// Something that depends on something.
pub struct Lines {
    /// What it depends on.
    pub x: Axis,
    /// What it is, with its unit. The axis begins at 0.
    pub y: String,
    /// The lines.
    pub series: Vec<Series>,
}

/// The axis at the bottom. Its numbers stand where points are.
pub struct Axis {
    /// What it shows, with its unit.
    pub label: String,
    /// Whether each step is a factor.
    pub is_log: bool,
}

/// One line.
pub struct Series {
    /// Its name.
    pub name: String,
    /// What it is to us; `None` for what was calculated, drawn dashed.
    pub kind: Option<Kind>,
    /// From left to right.
    pub points: Vec<Point>,
}

/// One measurement.
#[derive(Clone, Copy)]
pub struct Point {
    /// Where.
    pub x: f64,
    /// Least of the rounds.
    pub low: f64,
    /// Median of the rounds.
    pub y: f64,
    /// Greatest of the rounds.
    pub high: f64,
}

impl Point {
    /// One that does not spread.
    pub fn exact(x: f64, y: f64) -> Point {
        Point { x, low: y, y, high: y }
    }
}

const HEIGHT: f64 = 210.0;
const LEFT: f64 = 78.0;

impl Lines {
    /// Draws them where the canvas stands.
    pub fn draw(&self, canvas: &mut Canvas) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let greatest = points().map(|point| point.high).fold(0.0, f64::max);
        let numbers = ticks::linear(greatest);
        let end = numbers.last().copied().unwrap_or(1.0);
        let mut places: Vec<f64> = points().map(|point| point.x).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();

        let (left, right) = (LEFT, WIDTH - MARGIN - 20.0);
        let top = canvas.top + 26.0;
        let bottom = top + HEIGHT;
        let at_y = |value: f64| bottom - HEIGHT * value / end;
        let scaled = |x: f64| if self.x.is_log { x.max(1e-9).log10() } else { x };
        let (first, last) = match (places.first(), places.last()) {
            (Some(first), Some(last)) if last > first => (scaled(*first), scaled(*last)),
            _ => (0.0, 1.0),
        };
        let (inner_left, inner_right) = (left + 18.0, right - 18.0);
        let at_x = |x: f64| inner_left + (inner_right - inner_left) * (scaled(x) - first) / (last - first);

        canvas.text(MARGIN, canvas.top + 12.0, Anchor::Start, "soft", &self.y);
        self.legend(canvas, right);
        for number in &numbers {
            canvas.line("grid", (left, at_y(*number)), (right, at_y(*number)));
            canvas.text(left - 8.0, at_y(*number) + 4.0, Anchor::End, "soft", &ticks::label(*number));
        }
        for place in &places {
            canvas.line("axis", (at_x(*place), bottom), (at_x(*place), bottom + 4.0));
            canvas.text(at_x(*place), bottom + 18.0, Anchor::Middle, "soft", &ticks::label(*place));
        }
        canvas.line("axis", (left, bottom), (right, bottom));
        canvas.text(f64::midpoint(left, right), bottom + 37.0, Anchor::Middle, "soft", &self.x.label);

        for series in &self.series {
            let path: Vec<(f64, f64)> =
                series.points.iter().map(|point| (at_x(point.x), at_y(point.y))).collect();
            let Some(kind) = series.kind else {
                canvas.path("limit dash", &path);
                continue;
            };
            canvas.path(&format!("{} line", class(kind)), &path);
            for point in &series.points {
                canvas.line("whisker", (at_x(point.x), at_y(point.low)), (at_x(point.x), at_y(point.high)));
                canvas.dot(class(kind), (at_x(point.x), at_y(point.y)));
            }
        }
        canvas.top = bottom + 56.0;
    }

    /// The names, from right to left above the lines.
    fn legend(&self, canvas: &mut Canvas, right: f64) {
        let y = canvas.top + 12.0;
        let mut end = right;
        for series in self.series.iter().rev() {
            canvas.text(end, y, Anchor::End, "", &series.name);
            let begin = end - width(&series.name);
            let sample = [(begin - 30.0, y - 4.0), (begin - 6.0, y - 4.0)];
            let colour =
                series.kind.map_or_else(|| "limit dash".to_owned(), |kind| format!("{} line", class(kind)));
            canvas.path(&colour, &sample);
            end = begin - 50.0;
        }
    }
}
