//! The word that was meant by one that is not known.

/// The nearest of the known words, if one is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // A third of it may be wrong.
    let allowed = word.chars().count().div_ceil(3);
    let distance = |other: &str| strsim::damerau_levenshtein(&word, &other.to_lowercase());
    let rated = known.into_iter().map(|other| (distance(other), other));
    rated.filter(|(distance, _)| *distance <= allowed).min().map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        let keys = ["body", "head", "in_flight", "max_rows", "max_delay"];
        for (word, expected) in [
            ("bodi", Some("body")),
            ("BODY", Some("body")),
            ("max_row", Some("max_rows")),
            ("maxrows", Some("max_rows")),
            ("inflight", Some("in_flight")),
            ("colour", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }
}
