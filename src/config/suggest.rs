//! Suggestions for misspelt names and values.

/// Returns the candidate that `word` is most likely a misspelling of, as a question; `None` if none is near.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// Returns the candidate with the smallest edit distance to `word`, if the distance is at most a quarter of the length of the
/// word, plus one.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let limit = word.chars().count() / 4 + 1;
    candidates
        .into_iter()
        // Before the distance is computed, which takes time quadratic in the length of the word.
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= limit)
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            (distance, candidate)
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_words_are_suggested() {
        let keys = ["time_zone", "archive", "sub_accounts"];
        assert_eq!(nearest("time_zon", keys), Some("time_zone"));
        assert_eq!(nearest("TIMEZONE", keys), Some("time_zone"));
        assert_eq!(nearest("subaccounts", keys), Some("sub_accounts"));
        assert_eq!(nearest("bucket", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
