//! As much of Markdown as the mechanical check needs: sections of the second level, fences, and code spans.

/// A section of the second level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// The heading as it is written, without its signs.
    pub title: &'a str,
    /// The lines below it, those in fences left out.
    pub lines: Vec<&'a str>,
    /// Whether there is anything below it, code included.
    pub is_empty: bool,
}

/// The lines that are not inside a fence, the fences themselves left out.
pub fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fence = Fence::default();
    text.lines().filter(move |line| !fence.holds(line))
}

/// The sections in order. What stands before the first has none.
pub fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut fence = Fence::default();
    for line in text.lines() {
        let fenced = fence.holds(line);
        if !fenced && let Some(title) = heading(line) {
            sections.push(Section { title, lines: Vec::new(), is_empty: true });
            continue;
        }
        if let Some(section) = sections.last_mut() {
            section.is_empty &= line.trim().is_empty();
            if !fenced {
                section.lines.push(line);
            }
        }
    }
    sections
}

/// The title of a line that is a heading of the second level.
pub fn heading(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("##")?;
    rest.starts_with([' ', '\t']).then(|| rest.trim().trim_end_matches('#').trim_end())
}

/// A title for comparison: without numbering, emphasis, case, and the choice between `&` and `and`.
pub fn plain_title(title: &str) -> String {
    let title: String = title.chars().filter(|c| !matches!(c, '*' | '_' | '`' | ':')).collect();
    let title = title.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ')' | '§' | ' '));
    let words: Vec<String> = title.replace('&', " and ").split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

/// A line without its code spans. An unclosed one is no span.
pub fn without_code(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find('`') {
        let signs = rest[start..].bytes().take_while(|b| *b == b'`').count();
        let (before, after) = (&rest[..start], &rest[start + signs..]);
        out.push_str(before);
        match after.find(&rest[start..start + signs]) {
            Some(end) => rest = &after[end + signs..],
            None => rest = after,
        }
    }
    out.push_str(rest);
    out
}

/// An open fence, if any.
#[derive(Default)]
struct Fence(Option<(u8, usize)>);

impl Fence {
    /// Takes the next line; whether it belongs to a fence.
    fn holds(&mut self, line: &str) -> bool {
        let text = line.trim_start_matches(' ');
        let sign = text.bytes().next().filter(|b| matches!(b, b'`' | b'~'));
        let signs = sign.map_or(0, |s| text.bytes().take_while(|b| *b == s).count());
        let info = text[signs..].trim();
        match (self.0, sign) {
            (None, Some(sign)) if signs >= 3 && !(sign == b'`' && info.contains('`')) => {
                self.0 = Some((sign, signs));
                true
            }
            (None, _) => false,
            (Some((open, count)), Some(sign)) if sign == open && signs >= count && info.is_empty() => {
                self.0 = None;
                true
            }
            (Some(_), _) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_of_the_second_level_and_outside_of_fences() {
        let text = "# T\nlead\n## 1. One ##\na\n```md\n## not one\n```\n### deeper\n##no\n## Two\n\n~~~\n## no\n```\n~~~\n## Three\n\n";
        let found = sections(text);
        let titles: Vec<&str> = found.iter().map(|s| s.title).collect();
        assert_eq!(titles, ["1. One", "Two", "Three"]);
        assert_eq!(found[0].lines, ["a", "### deeper", "##no"]);
        assert_eq!(found.iter().map(|s| s.is_empty).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn titles_compare_by_their_words() {
        for title in
            ["Context & Goal", "1. Context and Goal", "2) **Context  &  goal**:", "1.1 `Context` & Goal"]
        {
            assert_eq!(plain_title(title), "context and goal", "{title}");
        }
    }

    #[test]
    fn code_spans_are_left_out() {
        for (line, rest) in
            [("a `TODO` b", "a  b"), ("a ``x ` y`` b", "a  b"), ("a ` b", "a  b"), ("`a` `b`", " "), ("", "")]
        {
            assert_eq!(without_code(line), rest, "{line}");
        }
    }
}
