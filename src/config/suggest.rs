//! "Did you mean ...?"

/// The candidate that `word` is most likely a misspelling of, as a question; `None` when none is near.
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// The candidate at the least edit distance, if that is at most a fourth of the word, and one more.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let distance =
        |candidate: &&str| strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
    let limit = word.chars().count() / 4 + 1;
    // A very long word is no misspelling, and the distance takes time quadratic in it.
    let candidates = candidates
        .into_iter()
        .filter(|one| one.len().abs_diff(word.len()) <= limit);
    let near = candidates
        .map(|one| (distance(&one), one))
        .min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, _)| *distance <= limit)
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
