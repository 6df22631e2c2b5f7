//! The sheet that plots are drawn on: shapes, texts, and a place that moves down.

use std::fmt::Write as _;

use super::super::report::Kind;

/// Width of every picture.
pub const WIDTH: f64 = 760.0;
/// Free space at both sides.
pub const MARGIN: f64 = 20.0;
/// Height of ordinary letters.
const FONT: f64 = 13.0;

/// Colours by meaning, for light pages and for dark ones.
const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#24292f}\
.title{font-size:15px;font-weight:600}.soft{fill:#57606a;font-size:12px}.strong{font-weight:600}\
.page{fill:#fff}.grid{stroke:#d8dee4;stroke-width:1}.axis{stroke:#8c959f;stroke-width:1}\
.ours{fill:#0969da;stroke:#0969da}.limit{fill:#8c959f;stroke:#8c959f}.peer{fill:#d4a72c;stroke:#d4a72c}\
.whisker{stroke:#24292f;stroke-width:1.2;opacity:.75}.line{fill:none;stroke-width:2}\
.dash{fill:none;stroke-dasharray:5 4;stroke-width:1.5}.mark{stroke:#cf222e;stroke-dasharray:5 4;stroke-width:1.5}\
.marked{fill:#cf222e;font-size:12px}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.soft{fill:#9198a1}.page{fill:#0d1117}.grid{stroke:#2a313c}\
.axis{stroke:#656c76}.ours{fill:#4493f8;stroke:#4493f8}.limit{fill:#656c76;stroke:#656c76}\
.peer{fill:#c69026;stroke:#c69026}.whisker{stroke:#e6edf3}.mark{stroke:#f85149}.marked{fill:#f85149}}";

/// Where a text stands in relation to its place.
#[derive(Clone, Copy)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// A picture in the making.
pub struct Canvas {
    body: String,
    title: String,
    /// Where the next panel begins.
    pub top: f64,
}

impl Canvas {
    /// With a title and nothing else.
    pub fn new(title: &str) -> Canvas {
        let mut canvas = Canvas { body: String::new(), title: title.to_owned(), top: 0.0 };
        canvas.text(MARGIN, 30.0, Anchor::Start, "title", title);
        canvas.top = 46.0;
        canvas
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let _ = writeln!(
            self.body,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
    }

    /// Straight lines from point to point.
    pub fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        // `fill` of a colour class would fill the area below; a style of the element itself wins over classes.
        let _ = writeln!(
            self.body,
            r#"<polyline class="{class}" style="fill:none" points="{}"/>"#,
            points.join(" ")
        );
    }

    /// A rectangle with slightly round corners.
    pub fn rectangle(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        let _ = writeln!(
            self.body,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2"/>"#
        );
    }

    /// A dot.
    pub fn dot(&mut self, class: &str, (x, y): (f64, f64)) {
        let _ = writeln!(self.body, r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="3.5"/>"#);
    }

    /// A text.
    pub fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        let _ = writeln!(
            self.body,
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        );
    }

    /// The document.
    pub fn finish(self) -> String {
        let height = self.top + 8.0;
        let title = escaped(&self.title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"page\" width=\"{WIDTH}\" height=\"{height:.0}\" rx=\"6\"/>\n{}</svg>\n",
            self.body
        )
    }
}

/// The class of something's colour.
pub fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Ours => "ours",
        Kind::Limit => "limit",
        Kind::Peer => "peer",
    }
}

/// About how wide a text is. Letters differ from font to font; this errs on the wide side.
pub fn width(text: &str) -> f64 {
    text.chars().count() as f64 * FONT * 0.6
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
