//! Text for people: foreign text made safe, and numbers with their nouns.
//!
//! Messages, tables and log lines repeat text that the program did not write: keys of objects, segment ids, summaries,
//! reasons in records, answers of the API, lines of a settings file. [`printable`] is the only way such text reaches a
//! terminal or a log. It is part of the format because the errors of the lowest layers quote foreign text, too.

use std::fmt::Write as _;

/// Returns `text` with every character escaped that a terminal would obey or hide.
///
/// Escaped, as `\n` or `\u{1b}`, are control characters, which could rewrite the screen; marks of writing direction,
/// which make a text read as another; and all characters without a visible form, such as zero-width characters and line
/// separators. Blanks of every width, quotes and backslashes stay. The result of a second call is the same.
///
/// # Examples
/// ```
/// use cxvault::format::text::printable;
///
/// assert_eq!(printable("Grüße, 3 > 2"), "Grüße, 3 > 2");
/// assert_eq!(printable("\u{1b}[2Jgone"), "\\u{1b}[2Jgone");
/// ```
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        let is_blank = c.is_whitespace() && !c.is_control() && !is_line_separator(c);
        if is_blank || matches!(c, '\'' | '"' | '\\') {
            safe.push(c);
        } else {
            escape_if_unprintable(c, &mut safe);
        }
    }
    safe
}

/// Returns the first `most` characters of `text`, made safe by [`printable`].
///
/// For error messages that quote input that is not what it should be: it may be of any length.
pub(crate) fn printable_start(text: &str, most: usize) -> String {
    printable(&text.chars().take(most).collect::<String>())
}

/// U+2028 and U+2029 are white space in Unicode, but some terminals break the line at them.
fn is_line_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Appends `c`, escaped as [`str::escape_debug`] does it.
fn escape_if_unprintable(c: char, safe: &mut String) {
    // That function also escapes a combining mark at the start of a string. Here the mark follows a letter of the text,
    // as in Hindi or in decomposed Latin, and is harmless: hence the letter in front of it.
    let with_letter = ['a', c].iter().collect::<String>();
    let escaped = with_letter.escape_debug().skip(1);
    escaped.for_each(|c| safe.push(c));
}

/// Returns a number with its digits in groups: `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a number with its noun, which is given in the singular: `1 day`, `2 days`, `1,200 summaries`.
///
/// Only the last word changes, by the rule for regular nouns: `-y` after a consonant becomes `-ies`.
///
/// # Examples
/// ```
/// use cxvault::format::text::count;
///
/// assert_eq!(count(1, "archive day"), "1 archive day");
/// assert_eq!(count(2, "summary"), "2 summaries");
/// ```
pub fn count(number: u64, noun: &str) -> String {
    let mut text = format!("{} ", grouped(number));
    let ends_in_consonant_and_y = noun
        .strip_suffix('y')
        .filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u']));
    // Writing to a String cannot fail.
    let _ = match ends_in_consonant_and_y {
        _ if number == 1 => write!(text, "{noun}"),
        Some(stem) => write!(text, "{stem}ies"),
        None => write!(text, "{noun}s"),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_or_hide_is_escaped() {
        let cases = [
            ("", ""),
            ("p-v-1721647470000-1-1", "p-v-1721647470000-1-1"),
            // Letters of any script, combining marks, blanks, quotes and backslashes stay.
            ("Grüße, 北京", "Grüße, 北京"),
            ("e\u{301} कि", "e\u{301} कि"),
            ("5\u{a0}000 \u{3000}", "5\u{a0}000 \u{3000}"),
            (r#"it's "C:\x""#, r#"it's "C:\x""#),
            // Control characters: C0, DEL and C1.
            ("a\nb\tc\r\0", r"a\nb\tc\r\0"),
            ("\u{1b}[31mred", r"\u{1b}[31mred"),
            ("\u{7f}\u{9b}2J", r"\u{7f}\u{9b}2J"),
            // Marks of writing direction.
            ("\u{202e}fdp.exe\u{202c}", r"\u{202e}fdp.exe\u{202c}"),
            (
                "\u{200e}\u{200f}\u{2066}\u{2069}",
                r"\u{200e}\u{200f}\u{2066}\u{2069}",
            ),
            // Characters that are not visible, and separators of lines.
            ("a\u{200b}b\u{feff}", r"a\u{200b}b\u{feff}"),
            ("a\u{2028}b\u{2029}c\u{85}", r"a\u{2028}b\u{2029}c\u{85}"),
            ("\u{e000}\u{e0041}", r"\u{e000}\u{e0041}"),
        ];
        for (text, expected) in cases {
            assert_eq!(printable(text), expected, "{text:?}");
            assert_eq!(printable(expected), expected, "twice: {text:?}");
        }
        assert_eq!(printable_start("ab\ncd", 3), r"ab\n");
    }

    #[test]
    fn numbers_are_grouped_and_agree_with_their_nouns() {
        let texts = [0, 999, 1_000, 86_400, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "86,400", "1,234,567"]);
        let texts = [
            count(0, "day"),
            count(1, "day"),
            count(2, "day"),
            count(1, "summary"),
            count(1_000, "summary"),
            count(3, "Parquet file"),
        ];
        let expected = [
            "0 days",
            "1 day",
            "2 days",
            "1 summary",
            "1,000 summaries",
            "3 Parquet files",
        ];
        assert_eq!(texts, expected);
    }
}
