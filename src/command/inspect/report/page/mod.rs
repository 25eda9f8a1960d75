//! The page itself: one HTML document that asks nothing of anybody.
//!
//! What a reader needs stands in it as plain HTML (words and tables); the calendars and charts of every day would be
//! too much of that, and are drawn by the script from compact data.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::audit::export::escaped;
use crate::chain::inventory::{NewestInventory, UnlistedSubAccount};
use crate::command::inspect::report::chain::{ReportedChain, States};
use crate::command::inspect::report::exceptions::ExceptionClass;
use crate::command::inspect::report::verification::Verification;
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::row::tally::Tally;
use crate::format::time::range::Days;

mod attention;
pub mod data;
mod tables;
mod words;

pub use words::verdict;

const STYLE: &str = include_str!("page.css");
/// One function's body, in parts that are each about one thing.
const SCRIPT: &str = concat!(
    "(() => {\n'use strict';\n",
    include_str!("data.js"),
    include_str!("card.js"),
    include_str!("grid.js"),
    include_str!("months.js"),
    include_str!("days.js"),
    include_str!("trend.js"),
    include_str!("page.js"),
    "})();\n"
);
const CALENDAR: &str = include_str!("calendar.html");
const TREND: &str = include_str!("trend.html");
const READING: &str = include_str!("reading.html");

/// Everything that the page tells.
#[derive(Debug, Clone)]
pub struct Report {
    /// The archive's root.
    pub archive: String,
    pub archive_id: String,
    /// UTC milliseconds.
    pub made_at: i64,
    /// As it was asked for.
    pub range: Days,
    /// One for each sub-account whose chain could be read, in order.
    pub chains: Vec<ReportedChain>,
    /// Of all sub-accounts, where the archive has one.
    pub roster: Option<NewestInventory>,
    pub damaged: Vec<Damage>,
    pub verification: Option<Verification>,
}

/// A chain that does not hold.
#[derive(Debug, Clone)]
pub struct Damage {
    /// Or [`key::ROSTER`].
    pub sub_account: String,
    pub message: String,
}

impl Damage {
    /// As a sentence may begin.
    fn whose(&self) -> String {
        match self.sub_account.as_str() {
            key::ROSTER => "The roster of all sub-accounts".to_owned(),
            id => format!("Sub-account {id}"),
        }
    }
}

/// How the archive stands, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArchiveCondition {
    /// It is not what was committed.
    Violated,
    /// It holds, and something was never archived.
    Open,
    Complete,
    /// No day at all.
    Nothing,
}

impl Report {
    /// By the page's own reading, or by the verification that it shows.
    pub fn violated(&self) -> bool {
        !self.damaged.is_empty()
            || self
                .verification
                .as_ref()
                .is_some_and(|found| found.violations() > 0)
    }

    pub fn standing(&self) -> ArchiveCondition {
        let states = self.states();
        let behind = self
            .exceptions()
            .any(|one| one.class == ExceptionClass::Behind);
        match () {
            () if self.violated() => ArchiveCondition::Violated,
            () if states.open() > 0 || behind || self.unlisted().next().is_some() => {
                ArchiveCondition::Open
            }
            () if states.total() > 0 => ArchiveCondition::Complete,
            () => ArchiveCondition::Nothing,
        }
    }

    /// Sub-accounts that RingCX no longer lists, and nobody has taken note of it.
    fn unlisted(&self) -> impl Iterator<Item = UnlistedSubAccount<'_>> {
        self.roster
            .iter()
            .flat_map(NewestInventory::missing)
            .filter(|one| !one.acknowledged)
    }

    fn states(&self) -> States {
        let mut states = States::default();
        self.chains
            .iter()
            .for_each(|chain| states.merge(&chain.states));
        states
    }

    fn counts(&self) -> Tally {
        let mut counts = Tally::default();
        self.chains
            .iter()
            .for_each(|chain| counts.merge(&chain.counts));
        counts
    }

    fn exceptions(
        &self,
    ) -> impl Iterator<Item = &crate::command::inspect::report::exceptions::Exception> {
        self.chains.iter().flat_map(|chain| &chain.exceptions)
    }
}

/// The whole document.
pub fn render(report: &Report) -> String {
    let mut page = String::new();
    page += &head(report);
    page += &words::header(report);
    page += "<main id=\"main\">\n";
    page += &words::summary(report);
    page += CALENDAR;
    page += &attention::section(report);
    page += TREND;
    page += &tables::verification(report);
    page += &tables::chains(report);
    page += READING;
    page += "</main>\n";
    page += &words::footer(report);
    page += "<div id=\"card\" role=\"tooltip\" hidden></div>\n";
    let data = data::json(&report.chains);
    let _ = writeln!(
        page,
        "<script type=\"application/json\" id=\"data\">{data}</script>"
    );
    let _ = writeln!(page, "<script>{SCRIPT}</script>\n</body>\n</html>");
    page
}

/// The policy lets the browser run this script and this style, and load nothing: even a mistake of ours in the rest of
/// the page could not send anything anywhere.
fn head(report: &Report) -> String {
    let hash = |text: &str| STANDARD.encode(Digest::of(text.as_bytes()).0);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'sha256-{}'; \
         style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"generator\" content=\"cxvault {}\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>Archive report, {}</title>\n<style>{STYLE}</style>\n</head>\n",
        hash(SCRIPT),
        hash(STYLE),
        env!("CARGO_PKG_VERSION"),
        text(words::period(report)),
    )
}

/// Anything as a text of HTML, in an element or between the quotes of an attribute; marks that make a text look like
/// another are shown as what they are.
fn text(inner: impl fmt::Display) -> String {
    escaped(&crate::render::printable(&inner.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_an_element_or_an_attribute() {
        assert_eq!(
            text("<b a='1' c=\"2\">&"),
            "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;"
        );
        assert_eq!(text("a\u{0}b\u{202e}c"), "a\\u{0}b\\u{202e}c");
    }

    #[test]
    fn the_script_and_the_style_can_stand_inside_their_elements() {
        // The hashes are of what stands between the tags, which must be all of it.
        assert!(!SCRIPT.contains("</") && !SCRIPT.contains("<!--") && !STYLE.contains("</"));
        for forbidden in [
            "http:",
            "https:",
            "url(",
            "@import",
            "fetch(",
            "innerHTML",
            "eval(",
        ] {
            // The name of a vocabulary, which nothing fetches.
            let script = SCRIPT.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !script.contains(forbidden) && !STYLE.contains(forbidden),
                "{forbidden}"
            );
        }
    }
}
