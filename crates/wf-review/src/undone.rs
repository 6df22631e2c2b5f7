//! Tells a review that did not happen from one that did.

/// What a reviewer writes who has seen nothing, in small letters.
const PHRASES: [&str; 26] = [
    "automated review unavailable",
    "review is unavailable",
    "review was unavailable",
    "review unavailable",
    "reviewer unavailable",
    "reviewer is unavailable",
    "review was skipped",
    "review is skipped",
    "review skipped",
    "skipped the review",
    "review timed out",
    "reviewer timed out",
    "review was not performed",
    "review not performed",
    "review could not",
    "review was not possible",
    "could not be reviewed",
    "could not review",
    "cannot review",
    "unable to review",
    "not been reviewed",
    "was not reviewed",
    "manual review recommended",
    "manual review required",
    "manual review is required",
    "manual review needed",
];

/// What a reviewer could not do, and what with: both have to be in a sentence, for designs speak of failures too.
const UNABLE: [&str; 10] = [
    "could not access",
    "couldn't access",
    "cannot access",
    "can't access",
    "unable to access",
    "could not read",
    "unable to read",
    "was not provided",
    "is not provided",
    "did not receive",
];
const OF_THE_REVIEW: [&str; 12] = [
    " i ",
    " the document ",
    " the file ",
    " the files ",
    " the diff ",
    " the design ",
    " the lld ",
    " the issue ",
    " the repository ",
    " the content ",
    " the code ",
    " the pull request ",
];

/// Whether a line says that the review could not be done: an approval beside it approves nothing.
pub(crate) fn says_undone(line: &str) -> bool {
    let line = line.to_lowercase();
    if PHRASES.iter().any(|phrase| line.contains(phrase)) {
        return true;
    }
    line.split(['.', ';', '!']).any(|sentence| {
        let sentence = format!(" {} ", sentence.trim());
        UNABLE.iter().any(|phrase| sentence.contains(phrase))
            && OF_THE_REVIEW.iter().any(|what| sentence.contains(what))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_that_did_not_happen() {
        for line in [
            "SUMMARY: Automated review unavailable - the API returned an error. Manual review recommended.",
            "I could not access the repository.",
            "The review timed out.",
            "The diff was not provided, so there is nothing to object to.",
        ] {
            assert!(says_undone(line), "{line}");
        }
        for line in [
            "Workers that cannot access the socket are restarted.",
            "Calls that timed out are repeated.",
            "The review is complete.",
            "Skipped items are told.",
        ] {
            assert!(!says_undone(line), "{line}");
        }
    }
}
