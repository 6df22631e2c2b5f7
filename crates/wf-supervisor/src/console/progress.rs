//! How far a run is: a bar on a terminal, plain lines elsewhere.

mod state;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use unicode_width::UnicodeWidthStr as _;

pub use state::{Busy, NAMED, Noun, ProgressState};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressDisplay {
    /// One line at the bottom of the terminal.
    Bar,
    /// A line per finished item, and one now and then.
    Lines,
    /// Not at all.
    None,
}

impl ProgressDisplay {
    /// What fits standard error: a bar needs a terminal that can erase a line.
    pub fn choose(wanted: bool, is_terminal: bool, term_is_dumb: bool) -> ProgressDisplay {
        match (wanted, is_terminal && !term_is_dumb) {
            (false, _) => ProgressDisplay::None,
            (true, true) => ProgressDisplay::Bar,
            (true, false) => ProgressDisplay::Lines,
        }
    }

    /// How often a state is worth sending although nothing has happened. `None`: never, no timer is needed.
    pub fn interval(self) -> Option<Duration> {
        match self {
            ProgressDisplay::Bar => Some(Duration::from_secs(1)),
            ProgressDisplay::Lines => Some(Duration::from_secs(30)),
            ProgressDisplay::None => None,
        }
    }
}

/// What is to become of the bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BarUpdate {
    /// It shows this.
    Show(Box<ProgressState>),
    /// It goes.
    Remove,
}

/// The bar, and what of it stands on the terminal. The writer erases it before it writes lines and draws it again
/// after them, in the same `write`, so it never flickers and needs no timer of its own.
#[derive(Debug)]
pub struct Bar {
    drawing: ProgressBar,
    canvas: Canvas,
    state: Option<ProgressState>,
    changed: bool,
    /// Columns of what is drawn now; 0 when nothing is.
    drawn_columns: usize,
}

impl Default for Bar {
    fn default() -> Bar {
        let canvas = Canvas::default();
        let target = ProgressDrawTarget::term_like(Box::new(canvas.clone()));
        let style = ProgressStyle::with_template("[{bar:10}] {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let drawing = ProgressBar::with_draw_target(Some(0), target).with_style(style);
        Bar { drawing, canvas, state: None, changed: false, drawn_columns: 0 }
    }
}

impl Bar {
    /// What to draw from now on.
    pub fn update(&mut self, update: BarUpdate) {
        self.state = match update {
            BarUpdate::Show(state) => Some(*state),
            BarUpdate::Remove => None,
        };
        self.changed = true;
    }

    /// Whether what stands on the terminal is not what should.
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// Takes the bar off a terminal that is `width` columns wide by now.
    pub fn erase(&mut self, width: usize, out: &mut Vec<u8>) {
        if self.drawn_columns == 0 {
            return;
        }
        out.push(b'\r');
        // A terminal that became narrower has wrapped the line.
        let rows_above = (self.drawn_columns - 1) / width.max(1);
        if rows_above > 0 {
            out.extend_from_slice(format!("\x1b[{rows_above}A").as_bytes());
        }
        out.extend_from_slice(b"\x1b[J");
        self.drawn_columns = 0;
    }

    /// Draws the bar at the beginning of an empty line, if there is one.
    pub fn draw(&mut self, width: usize, out: &mut Vec<u8>) {
        self.changed = false;
        let Some(state) = &self.state else { return };
        let line = self.line(state, width);
        self.drawn_columns = line.width();
        out.extend_from_slice(line.as_bytes());
    }

    /// The fullest form that leaves the last column free: a full line would wrap.
    fn line(&self, state: &ProgressState, width: usize) -> String {
        let columns = width.saturating_sub(1);
        let forms = state.forms().map(|words| self.with_bar(state, &words)).chain([
            format!("{}/{} complete, {} failed", state.complete, state.total, state.failed),
            format!("{}/{}", state.complete, state.total),
        ]);
        forms.into_iter().find(|form| form.width() <= columns).unwrap_or_default()
    }

    fn with_bar(&self, state: &ProgressState, words: &str) -> String {
        self.drawing.set_length(u64::from(state.total));
        self.drawing.set_position(u64::from(state.complete));
        self.drawing.set_message(words.to_owned());
        self.canvas.clear();
        self.drawing.force_draw();
        self.canvas.text()
    }
}

/// Where the library draws: a line of text that is fetched, instead of a terminal that is steered.
#[derive(Clone, Debug, Default)]
struct Canvas(Arc<Mutex<String>>);

impl Canvas {
    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).trim_end().to_owned()
    }
}

impl TermLike for Canvas {
    fn width(&self) -> u16 {
        // Wide enough never to be cut here; lines are chosen by their width afterwards.
        512
    }
    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }
    fn clear_line(&self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::state::tests::state;
    use super::*;

    #[test]
    fn the_bar_at_every_width() {
        let bar = Bar::default();
        let lines =
            [80, 66, 65, 57, 48, 37, 24, 23, 5, 4].map(|w| format!("{w:>2} |{}|", bar.line(&state(), w)));
        insta::assert_snapshot!(lines.join("\n"), @r"
        80 |[=====>    ] 5/10 workflows complete, 1 failed, 3 running, eta 4m, after 4m30s|
        66 |[=====>    ] 5/10 workflows complete, 1 failed, 3 running, eta 4m|
        65 |[=====>    ] 5/10 workflows complete, 1 failed, 3 running|
        57 |[=====>    ] 5/10 workflows complete, 1 failed|
        48 |[=====>    ] 5/10 workflows complete, 1 failed|
        37 |[=====>    ] 5/10 workflows complete|
        24 |5/10 complete, 1 failed|
        23 |5/10|
         5 |5/10|
         4 ||
        ");
    }

    #[test]
    fn the_bar_from_none_to_all() {
        let bar = Bar::default();
        let lines = [0, 1, 9, 10].map(|complete| {
            let elapsed = Duration::from_secs(90);
            bar.line(&ProgressState { complete, total: 10, elapsed, ..Default::default() }, 80)
        });
        insta::assert_snapshot!(lines.join("\n"), @r"
        [          ] 0/10 workflows complete, after 1m30s
        [=>        ] 1/10 workflows complete, eta 13m, after 1m30s
        [=========>] 9/10 workflows complete, eta 10s, after 1m30s
        [==========] 10/10 workflows complete, after 1m30s
        ");
    }

    #[test]
    fn a_narrowed_terminal_is_cleaned_of_all_rows() {
        let mut bar = Bar::default();
        let mut out = Vec::new();
        bar.update(BarUpdate::Show(Box::new(state())));
        bar.draw(80, &mut out);
        out.clear();
        bar.erase(40, &mut out);
        assert_eq!(out, b"\r\x1b[1A\x1b[J");
        out.clear();
        bar.erase(40, &mut out);
        assert_eq!(out, b"", "only once");
    }

    #[test]
    fn what_is_shown_where() {
        assert_eq!(ProgressDisplay::choose(true, true, false), ProgressDisplay::Bar);
        assert_eq!(ProgressDisplay::choose(true, true, true), ProgressDisplay::Lines);
        assert_eq!(ProgressDisplay::choose(true, false, false), ProgressDisplay::Lines);
        assert_eq!(ProgressDisplay::choose(false, true, false), ProgressDisplay::None);
        assert_eq!(ProgressDisplay::None.interval(), None);
    }
}
