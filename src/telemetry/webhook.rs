//! A run that needs somebody's eyes, as JSON that a chat shows and a program reads.

use serde::Serialize;

use crate::format::time::day::rfc3339;
use crate::outcome::Exit;
use crate::telemetry::ended::{ProblemDay, RunEnd};

/// Days named one by one in the text, and in the list: chats cut long messages, and a backfill has hundreds of days.
const DAYS_IN_TEXT: usize = 10;
const DAYS: usize = 100;

#[derive(Serialize)]
struct RunNotice<'a> {
    /// What Slack, Mattermost and others show.
    text: String,
    command: &'a str,
    exit: u8,
    outcome: Exit,
    host: &'a str,
    archive: Option<&'a str>,
    started_at: String,
    ended_at: String,
    message: Option<&'a str>,
    remedy: Option<&'a str>,
    days: &'a [ProblemDay],
    /// Days with trouble that `days` leaves out.
    more_days: usize,
    heads: &'a [String],
}

/// The message's body.
pub fn body(ended: &RunEnd) -> Vec<u8> {
    let days = ended.troubles.get(..DAYS).unwrap_or(&ended.troubles);
    let body = RunNotice {
        text: text(ended),
        command: ended.command,
        exit: ended.exit.code(),
        outcome: ended.exit,
        host: &ended.host,
        archive: ended.archive.as_deref(),
        started_at: rfc3339(ended.started_ms),
        ended_at: rfc3339(ended.ended_ms),
        message: ended.message.as_deref(),
        remedy: ended.remedy.as_deref(),
        days,
        more_days: ended.troubles.len() - days.len(),
        heads: &ended.heads,
    };
    // Texts and numbers always become JSON.
    serde_json::to_vec(&body).unwrap_or_default()
}

fn text(ended: &RunEnd) -> String {
    let what = match ended.exit {
        Exit::Gaps => "committed with gaps or warnings",
        Exit::Integrity => "stopped: the archive's integrity is violated",
        Exit::Later => "not finished: to be run again",
        Exit::Denied => "failed: access denied",
        Exit::Usage => "failed: wrong usage or settings",
        _ => "failed",
    };
    let mut lines = vec![format!(
        "cxvault {} on {}: {what} (exit {})",
        ended.command,
        ended.host,
        ended.exit.code()
    )];
    lines.extend(ended.message.clone());
    lines.extend(ended.remedy.clone());
    lines.extend(ended.troubles.iter().take(DAYS_IN_TEXT).map(line));
    if let Some(more @ 1..) = ended.troubles.len().checked_sub(DAYS_IN_TEXT) {
        lines.push(format!("... and {more} more"));
    }
    escaped(&lines.join("\n"))
}

/// What Slack asks to escape; otherwise an object's name could become a link or a mention.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn line(day: &ProblemDay) -> String {
    let mut line = day.sub_account.clone();
    line.extend(day.date.iter().flat_map(|date| [" ", date]));
    line.extend([": ", day.outcome]);
    if day.failed > 0 {
        line.push_str(&format!(", {} summaries without an answer", day.failed));
    }
    if !day.warnings.is_empty() {
        line.push_str(&format!(", warnings: {}", day.warnings.join(", ")));
    }
    line.extend(day.message.iter().flat_map(|message| [": ", message]));
    line
}
