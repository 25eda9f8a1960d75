//! The message about a run that failed or left gaps, as JSON that a chat can show and a program can read.

use secrecy::SecretString;
use serde::Serialize;

use crate::format::time::day::rfc3339;
use crate::outcome::Exit;
use crate::telemetry::ended::{ProblemDay, RunEnd};
use crate::telemetry::send::Message;

/// Days that the text names: chats truncate long messages, and a backfill has hundreds of days.
const DAYS_IN_TEXT: usize = 10;
/// Days that the list has.
const DAYS: usize = 100;

/// The body of the message; `schemas/EVENTS.md` documents it.
#[derive(Serialize)]
struct RunNotice<'a> {
    /// The text that Slack, Mattermost and other chats show.
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
    /// Number of days with problems beyond those in `days`.
    more_days: usize,
    heads: &'a [String],
}

/// Returns the message about a run.
pub(super) fn message(url: &SecretString, ended: &RunEnd) -> Message {
    let days = ended.troubles.get(..DAYS).unwrap_or(&ended.troubles);
    let notice = RunNotice {
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
    // Texts and numbers always become JSON. Without a body the receiver would still see that there is a problem.
    let body = serde_json::to_vec(&notice).unwrap_or_default();
    Message::post("CXVAULT_WEBHOOK_URL", url.clone(), body)
}

/// Returns the text for people: the result, what to do, and the first days with problems.
fn text(ended: &RunEnd) -> String {
    let what = match ended.exit {
        Exit::Gaps => "committed with gaps or warnings",
        Exit::Integrity => "stopped: the archive's integrity is violated",
        Exit::Later => "not finished: run it again",
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

/// Escapes what Slack requires (<https://docs.slack.dev/messaging/formatting-message-text/>); otherwise the name of an object
/// could become a link or a mention.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Returns one line about a day.
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
