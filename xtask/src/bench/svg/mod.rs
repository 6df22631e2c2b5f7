//! Plots as SVG: drawn here, without a library, in colours that suit a light and a dark page.

mod bars;
mod canvas;
mod curves;
mod lines;
mod ticks;

pub use bars::Bars;
use canvas::Canvas;
pub use curves::{Curve, Curves};
pub use lines::{Axis, Lines, Point, Series};

/// A picture: panels below each other under one title.
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// Its parts.
    pub panels: Vec<Panel>,
}

/// One part of a picture.
pub enum Panel {
    /// Things that are compared.
    Bars(Bars),
    /// Something that depends on something.
    Lines(Lines),
    /// Something over time.
    Curves(Curves),
}

/// Draws it. The text is a whole SVG document.
pub fn draw(plot: &Plot) -> String {
    let mut canvas = Canvas::new(&plot.title);
    for panel in &plot.panels {
        match panel {
            Panel::Bars(bars) => bars.draw(&mut canvas),
            Panel::Lines(lines) => lines.draw(&mut canvas),
            Panel::Curves(curves) => curves.draw(&mut canvas),
        }
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::super::report::Kind;
    use super::bars::Bar;
    use super::*;

    /// The least an XML reader asks for: every element is closed, in order, and no stray `<` or `&` is in texts.
    fn is_well_formed(svg: &str) {
        let mut open = Vec::new();
        for part in svg.split('<').skip(1) {
            let (tag, text) = part.split_once('>').expect("a tag ends");
            assert!(!text.contains('>'), "{part}");
            let mut entities = text.split('&').skip(1);
            assert!(
                entities.all(|rest| ["lt;", "gt;", "amp;"].iter().any(|e| rest.starts_with(e))),
                "{text}"
            );
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{tag}");
            } else if !tag.ends_with('/') {
                open.push(tag.split(' ').next().unwrap());
            }
        }
        assert_eq!(open, Vec::<&str>::new());
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn names_of_any_kind_stay_text() {
        let bar = |name: &str, value: f64| Bar {
            name: name.to_owned(),
            kind: Kind::Ours,
            values: Some((value * 0.9, value, value * 1.2)),
            absent: None,
        };
        let absent =
            Bar { values: None, absent: Some("not installed <here>".to_owned()), ..bar("parallel", 0.0) };
        let bars = Bars {
            axis: "time & more, ms".to_owned(),
            all: vec![bar("yes | head <x>", 3.0), bar("nothing", 0.0), absent],
            mark: Some((2.5, "1.3 × limit".to_owned())),
        };
        let lines = Lines {
            x: Axis { label: "items".to_owned(), is_log: true },
            y: "µs".to_owned(),
            series: vec![Series {
                name: "ours".to_owned(),
                kind: Some(Kind::Ours),
                points: vec![
                    Point { x: 1.0, low: 1.0, y: 2.0, high: 3.0 },
                    Point { x: 100_000.0, low: 1.0, y: 1.5, high: 2.0 },
                ],
            }],
        };
        let nothing =
            Lines { x: Axis { label: String::new(), is_log: false }, y: String::new(), series: Vec::new() };
        let svg = draw(&Plot {
            title: "a < b".to_owned(),
            panels: vec![Panel::Bars(bars), Panel::Lines(lines), Panel::Lines(nothing)],
        });
        is_well_formed(&svg);
        for text in
            ["a &lt; b", "yes | head &lt;x&gt;", "not installed &lt;here&gt;", "1.3 × limit", "100,000"]
        {
            assert!(svg.contains(text), "{text} is not in {svg}");
        }
    }
}
