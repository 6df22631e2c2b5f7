//! Notices that a reviewer says the same thing again.

use std::collections::HashMap;

/// Whether two reviews in a row block for the same reasons: more than half of the findings (of the longer list) are
/// equal, apart from case, spacing and punctuation. Without a finding there is nothing to repeat.
pub fn same_blocking_findings(first: &[String], second: &[String]) -> bool {
    let mut counts = HashMap::new();
    for finding in first {
        *counts.entry(plain(finding)).or_insert(0_usize) += 1;
    }
    let mut equal = 0;
    for finding in second {
        if let Some(count) = counts.get_mut(&plain(finding)).filter(|count| **count > 0) {
            *count -= 1;
            equal += 1;
        }
    }
    equal * 2 > first.len().max(second.len())
}

/// The words alone.
fn plain(finding: &str) -> String {
    let words = finding.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_half_of_the_longer_list() {
        let cases: [(&[&str], &[&str], bool); 9] = [
            (&[], &[], false),
            (&["a"], &[], false),
            (&["Key is logged."], &["key  is *logged*"], true),
            (&["a"], &["b"], false),
            (&["a", "b"], &["a", "c"], false),
            (&["a", "b", "c"], &["b", "a", "d"], true),
            (&["a", "b"], &["a", "b", "c", "d"], false),
            (&["a", "a", "a"], &["a", "b", "c"], false),
            (&["a"], &["a", "a", "a"], false),
        ];
        for (first, second, same) in cases {
            let [first, second] =
                [first, second].map(|list| list.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>());
            assert_eq!(same_blocking_findings(&first, &second), same, "{first:?} {second:?}");
            assert_eq!(same_blocking_findings(&second, &first), same, "{second:?} {first:?}");
        }
    }
}
