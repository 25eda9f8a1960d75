//! The exceptions of all sub-accounts, by class.

use std::cmp::Reverse;

use crate::command::inspect::report::contents::Report;
use crate::command::inspect::report::exceptions::{Exception, ExceptionClass};

/// Rows of a class that the page shows; more would be too many for a browser to lay out and for a printer.
const MAX_ROWS: usize = 300;

/// The exceptions of one class, with the words and the colour that its rows share.
pub(crate) struct ExceptionGroup<'a> {
    /// The name of the class.
    pub name: &'static str,
    /// The letter of the day state (or `w` for warnings) whose colour the rows have.
    pub letter: char,
    /// The mark in the coloured square, so that colour is not the only sign.
    pub mark: char,
    /// Whether the days have squares in the calendar that a row can link to.
    pub in_calendar: bool,
    /// Number of all exceptions of the class.
    pub total: u64,
    /// The most recent ones.
    pub shown: Vec<&'a Exception>,
    /// Number of those that are not shown.
    pub hidden: u64,
}

/// Returns the classes that occur, the most severe first; the most recent days first in each, since they can still be
/// fetched from RingCX.
pub(crate) fn by_class(report: &Report) -> Vec<ExceptionGroup<'_>> {
    let mut exceptions: Vec<&Exception> = report.exceptions().collect();
    exceptions.sort_by_key(|exception| {
        (
            exception.class,
            Reverse(exception.to),
            &exception.sub_account,
        )
    });
    exceptions
        .chunk_by(|exception, next| exception.class == next.class)
        .filter_map(|group| Some((group.first()?.class, group)))
        .map(|(class, group)| {
            let (name, letter, mark) = appearance(class);
            let shown = group.len().min(MAX_ROWS);
            ExceptionGroup {
                name,
                letter,
                mark,
                in_calendar: class != ExceptionClass::Behind,
                total: group.len() as u64,
                shown: group[..shown].to_vec(),
                hidden: (group.len() - shown) as u64,
            }
        })
        .collect()
}

/// Returns the name of a class, and the letter and mark of its square.
fn appearance(class: ExceptionClass) -> (&'static str, char, char) {
    match class {
        ExceptionClass::Missing => ("Missing", 'm', '×'),
        ExceptionClass::Behind => ("Not up to date", 'm', '×'),
        ExceptionClass::Gaps => ("Gaps", 'g', '!'),
        ExceptionClass::Warning => ("Warning", 'w', '?'),
        ExceptionClass::NoAiSummaries => ("No AI summaries", 'w', '?'),
        ExceptionClass::Acknowledged => ("Acknowledged", 'a', '~'),
    }
}
