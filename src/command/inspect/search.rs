//! `cxvault search`: finds current summaries that contain a text.
//!
//! There is no index of texts: an index would be a second copy of every summary that has to be held, locked and disposed
//! of. The command reads the parts of the range one after the other, and prints matches while it reads.
//!
//! Only the current row of each segment is searched, which is the one that the newest revision of its day contains. Each part is
//! compared with the SHA-256 in its manifest before a row of it is used. Parts are fetched into a temporary folder, which is
//! removed at the end; after a crash the operating system's cleaning of temporary files removes it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::civil::Date;

use crate::audit::current::{RowSelection, rows};
use crate::audit::scratch::Scratch;
use crate::cli::audit::SearchArgs;
use crate::command::{Context, inspect};
use crate::config::Settings;
use crate::format::row::{Row, SummaryKind};
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Event, Output, count, printable};

/// Characters shown on each side of a match.
const AROUND: usize = 40;

/// Searches the current summaries of a range, without regard to case, and prints each match.
///
/// # Errors
/// [`Exit::Usage`] for an empty text or range; [`Exit::Integrity`] for a damaged chain or part; the store's errors.
pub(crate) async fn run(args: &SearchArgs, settings: &Settings, context: &Context) -> Result<Exit> {
    if args.text.trim().is_empty() {
        return Err(
            Failure::usage("there is no text to look for").remedy("Give a word or a phrase.")
        );
    }
    let range = args.range.days()?;
    let source = inspect::open(settings, None, context).await?;
    let search = Arc::new(Search {
        text: args.text.to_lowercase(),
        kinds: args
            .kind
            .map_or(SummaryKind::BOTH.to_vec(), |kind| vec![kind]),
        limit: args.limit,
        found: AtomicU64::new(0),
        output: context.output.clone(),
    });
    let scratch = Scratch::new()?;
    for sub_account in inspect::sub_accounts(&source, context).await? {
        let (timeline, _) =
            inspect::readable(&source, &sub_account, &range, &context.output).await?;
        for revisions in timeline.by_day() {
            let Some(date) = revisions.first().map(|revision| revision.record.date) else {
                continue;
            };
            let (searcher, sub_account) = (search.clone(), sub_account.clone());
            rows(
                &source,
                &scratch,
                revisions,
                RowSelection::Current,
                move |row| {
                    searcher.search_row(&row, &sub_account, date);
                    Ok(())
                },
            )
            .await?;
            if search.is_full() {
                break;
            }
        }
    }
    print_summary(&search)
}

/// A search under way. It is shared with the thread that reads the parts.
struct Search {
    /// The text, in lower case.
    text: String,
    /// The kinds of summaries that are searched.
    kinds: Vec<SummaryKind>,
    /// Number of matches after which the search ends.
    limit: u64,
    /// Number of matches so far.
    found: AtomicU64,
    output: Output,
}

impl Search {
    /// Returns whether the limit is reached.
    fn is_full(&self) -> bool {
        self.found.load(Ordering::Relaxed) >= self.limit
    }

    /// Searches the summaries of one row.
    fn search_row(&self, row: &Row, sub_account: &str, date: Date) {
        for &kind in &self.kinds {
            let Some(text) = &row.observation(kind).summary else {
                continue;
            };
            let ControlFlow::Break(snippet) = snippet(text, &self.text) else {
                continue;
            };
            if self.is_full() {
                return;
            }
            self.found.fetch_add(1, Ordering::Relaxed);
            self.print_match(row, sub_account, date, kind, &snippet);
        }
    }

    /// Prints one match as a line and as the event `hit`.
    fn print_match(
        &self,
        row: &Row,
        sub_account: &str,
        date: Date,
        kind: SummaryKind,
        snippet: &str,
    ) {
        let kind = kind.name();
        self.output.event(
            Event::new("hit")
                .with("sub_account", sub_account)
                .with("date", date)
                .with("segment_id", &row.segment.metadata.segment_id)
                .with("kind", kind)
                .with("revision", row.revision)
                .with("snippet", snippet),
        );
        let (key, snippet) = (printable(&row.segment.key()), printable(snippet));
        self.output
            .print(format!("{sub_account} {date}  {key}  {kind:<5}  {snippet}"));
    }
}

/// Breaks with the text around the first match, at most [`AROUND`] characters on each side; continues without a match.
///
/// `wanted` is in lower case.
fn snippet(text: &str, wanted: &str) -> ControlFlow<String> {
    let lower = text.to_lowercase();
    let Some(at) = lower.find(wanted) else {
        return ControlFlow::Continue(());
    };
    // Lower-casing may change the length of a text; counted in characters, the place is near enough.
    let before = lower[..at].chars().count();
    let hit = wanted.chars().count();
    let (start, end) = (before.saturating_sub(AROUND), before + hit + AROUND);
    let all = text.chars().count();
    let middle: String = text.chars().skip(start).take(end - start).collect();
    let (left, right) = (
        if start > 0 { "…" } else { "" },
        if end < all { "…" } else { "" },
    );
    ControlFlow::Break(format!("{left}{middle}{right}"))
}

/// Prints the number of matches, and whether the limit ended the search. No match is no failure: the exit code is 0.
fn print_summary(search: &Search) -> Result<Exit> {
    let hits = search.found.load(Ordering::Relaxed);
    search.output.event(
        Event::new("searched")
            .with("hits", hits)
            .with("limit_reached", search.is_full()),
    );
    let more = if search.is_full() {
        "; there may be more: increase --limit"
    } else {
        ""
    };
    search
        .output
        .print_info(format!("{}{more}", count(hits, "matching summary")));
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_is_shown_with_what_is_around_it() {
        let long = format!("{} Refund {}", "a".repeat(60), "b".repeat(60));
        let ControlFlow::Break(found) = snippet(&long, "refund") else {
            panic!("not found")
        };
        assert!(
            found.starts_with('…') && found.ends_with('…') && found.contains(" Refund "),
            "{found}"
        );
        assert_eq!(
            snippet("İstanbul REFUND", "refund"),
            ControlFlow::Break("İstanbul REFUND".to_owned())
        );
        assert_eq!(snippet("nothing", "refund"), ControlFlow::Continue(()));
    }
}
