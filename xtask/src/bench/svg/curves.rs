//! Curves over time: many points, which only together say something.

use super::super::report::Kind;
use super::canvas::{Anchor, Canvas, MARGIN, WIDTH, class, width};
use super::ticks;

/// Something that goes on over time.
pub struct Curves {
    /// What the axis at the bottom shows, with its unit. It begins at 0.
    pub x: String,
    /// What goes on, with its unit. The axis begins at 0.
    pub y: String,
    /// The curves.
    pub all: Vec<Curve>,
}

/// One curve.
pub struct Curve {
    /// Its name.
    pub name: String,
    /// What it is to us; `None` for what was calculated, drawn dashed.
    pub kind: Option<Kind>,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

const HEIGHT: f64 = 150.0;
const LEFT: f64 = 78.0;

impl Curves {
    /// Draws them where the canvas stands.
    pub fn draw(&self, canvas: &mut Canvas) {
        let greatest = |of: fn(&(f64, f64)) -> f64| {
            self.all.iter().flat_map(|curve| &curve.points).map(of).fold(0.0, f64::max)
        };
        let (across, up) = (ticks::linear(greatest(|p| p.0)), ticks::linear(greatest(|p| p.1)));
        let end = |numbers: &[f64]| numbers.last().copied().filter(|end| *end > 0.0).unwrap_or(1.0);
        let (left, right) = (LEFT, WIDTH - MARGIN - 20.0);
        let top = canvas.top + 26.0;
        let bottom = top + HEIGHT;
        let at_x = |x: f64| left + (right - left) * x / end(&across);
        let at_y = |y: f64| bottom - HEIGHT * y / end(&up);

        canvas.text(MARGIN, canvas.top + 12.0, Anchor::Start, "soft", &self.y);
        self.legend(canvas, right);
        for number in &up {
            canvas.line("grid", (left, at_y(*number)), (right, at_y(*number)));
            canvas.text(left - 8.0, at_y(*number) + 4.0, Anchor::End, "soft", &ticks::label(*number));
        }
        for number in &across {
            canvas.line("axis", (at_x(*number), bottom), (at_x(*number), bottom + 4.0));
            canvas.text(at_x(*number), bottom + 18.0, Anchor::Middle, "soft", &ticks::label(*number));
        }
        canvas.line("axis", (left, bottom), (right, bottom));
        canvas.text(f64::midpoint(left, right), bottom + 37.0, Anchor::Middle, "soft", &self.x);
        for curve in &self.all {
            let path: Vec<(f64, f64)> = curve.points.iter().map(|(x, y)| (at_x(*x), at_y(*y))).collect();
            canvas.path(&colour(curve.kind), &path);
        }
        canvas.top = bottom + 56.0;
    }

    /// The names, from right to left above the curves.
    fn legend(&self, canvas: &mut Canvas, right: f64) {
        let y = canvas.top + 12.0;
        let mut end = right;
        for curve in self.all.iter().rev() {
            canvas.text(end, y, Anchor::End, "", &curve.name);
            let begin = end - width(&curve.name);
            canvas.path(&colour(curve.kind), &[(begin - 30.0, y - 4.0), (begin - 6.0, y - 4.0)]);
            end = begin - 50.0;
        }
    }
}

fn colour(kind: Option<Kind>) -> String {
    kind.map_or_else(|| "limit dash".to_owned(), |kind| format!("{} line", class(kind)))
}
