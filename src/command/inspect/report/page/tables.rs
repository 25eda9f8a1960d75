//! The words in the tables of the verification and of the sub-accounts.
//!
//! Severities have a word, a colour and a mark, so that a page that is printed in black and white loses nothing.

use crate::audit::calendar::LockSummary;
use crate::command::inspect::report::chain::ReportedChain;
use crate::command::inspect::report::contents::Report;
use crate::command::inspect::report::page::words::instant;
use crate::command::inspect::report::verification::{
    ReportedSeverity, Verification, VerificationEnd,
};
use crate::render::{count, grouped};

impl ReportedSeverity {
    /// The word in the table.
    pub fn name(self) -> &'static str {
        match self {
            ReportedSeverity::Unknown => "Unknown",
            ReportedSeverity::Violation => "Violation",
            ReportedSeverity::Gap => "Gap",
            ReportedSeverity::Notice => "Notice",
        }
    }

    /// The letter of the day state whose colour the square has.
    pub fn letter(self) -> char {
        match self {
            ReportedSeverity::Unknown | ReportedSeverity::Violation => 'm',
            ReportedSeverity::Gap => 'g',
            ReportedSeverity::Notice => 'e',
        }
    }

    /// The mark in the square.
    pub fn mark(self) -> char {
        match self {
            ReportedSeverity::Unknown | ReportedSeverity::Violation => '×',
            ReportedSeverity::Gap => '!',
            ReportedSeverity::Notice => 'i',
        }
    }
}

/// Returns where the verification comes from.
pub fn source(found: &Verification) -> String {
    match &found.file {
        None => "This verification was performed when the page was created".to_owned(),
        Some((name, None)) => format!("Read from {name}"),
        Some((name, Some(written_at))) => {
            format!("Read from {name}, written {}", instant(*written_at))
        }
    }
}

/// Returns what was checked at the verification's level.
pub fn level(ended: &VerificationEnd) -> &'static str {
    match ended.level.as_str() {
        "quick" => {
            "Checked: the links between records, signatures, counts, time windows, and what the storage reports of each \
             file. No file was read."
        }
        "full" => {
            "Checked: the links between records, signatures, counts, time windows, and the SHA-256 of every file."
        }
        "deep" => {
            "Checked: the links between records, signatures, counts, time windows, files, and every row in them."
        }
        _ => "The level is not known.",
    }
}

/// Returns the sub-accounts whose head on this page the verification did not see, separated by commas.
pub(crate) fn heads_not_covered(report: &Report, ended: &VerificationEnd) -> String {
    let missing: Vec<&str> = report
        .chains
        .iter()
        .filter(|chain| !ended.heads.contains(&chain.head))
        .map(|chain| chain.sub_account.as_str())
        .collect();
    missing.join(", ")
}

/// Returns the title of the list of findings.
pub(crate) fn findings_title(found: &Verification) -> String {
    let (shown, all) = (found.shown.len() as u64, found.kinds.values().sum());
    match shown < all {
        true => format!("{} of {}", grouped(shown), count(all, "finding")),
        false => format!("List of {}", count(all, "finding")),
    }
}

/// Returns the locks of a chain in words.
pub fn lock(chain: &ReportedChain) -> String {
    let Some(locks) = &chain.locks else {
        return "none: a user with permission to delete can delete these objects".to_owned();
    };
    let mode = match (locks.compliance, locks.governance) {
        (true, true) => "COMPLIANCE and GOVERNANCE",
        (true, false) => "COMPLIANCE",
        (false, _) => "GOVERNANCE",
    };
    let unlocked = match locks.unlocked {
        0 => String::new(),
        number => format!("; {} without a lock", count(number, "revision")),
    };
    format!("{mode} until {}{unlocked}", lock_end(locks))
}

/// Returns the date of the locks' end, or the dates of the earliest and the latest.
fn lock_end(locks: &LockSummary) -> String {
    let [earliest, latest] = [locks.earliest_end, locks.latest_end].map(|instant_ms| {
        let text = instant(instant_ms);
        text.split(',').next().unwrap_or_default().to_owned()
    });
    match earliest == latest {
        true => earliest,
        false => format!("{earliest} to {latest}"),
    }
}
