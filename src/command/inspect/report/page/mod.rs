//! The page: one HTML document that works without a network.
//!
//! What a reader needs is in the document as plain HTML, words and tables; `page.html` and the templates that it
//! includes hold it. Calendars and charts of every day would be too much for that, and are drawn by the script from the
//! data at the end of the document: JSON, compressed with gzip and written in base64.
//!
//! Texts are escaped by the template library unless a template says `|safe`, which only this module's own script, style
//! and base64 do. A policy in the document lets the browser run this script and apply this style and load nothing, so
//! that even an unescaped text could not send anything anywhere.

use std::fmt;

use askama::Template;
use askama::filters::{Escaper, Html};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::command::inspect::report::contents::Report;
use crate::command::inspect::report::days::DayColumns;
use crate::format::hash::Digest;
use crate::format::record::DayState;
use crate::format::row::SummaryKind;
use crate::outcome::{Failure, Result};
use crate::render::printable;

mod attention;
mod filters;
mod tables;
mod words;

pub use words::verdict;

/// The style sheet, also for printing.
const STYLE: &str = include_str!("page.css");
/// The script: the body of one function, in files that are each about one topic. The function is asynchronous, since it
/// waits for the browser to decompress the data.
const SCRIPT: &str = concat!(
    "(async () => {\n'use strict';\n",
    include_str!("data.js"),
    include_str!("card.js"),
    include_str!("grid.js"),
    include_str!("months.js"),
    include_str!("days.js"),
    include_str!("trend.js"),
    include_str!("page.js"),
    "})();\n"
);

/// The escaper of the page's templates (see `askama.toml`): control characters and marks of writing direction, which
/// could make a text look like another, are shown as escapes such as `\u{202e}`, and HTML's own characters are escaped.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct VisibleText;

impl Escaper for VisibleText {
    fn write_escaped_str<W: fmt::Write>(&self, out: W, text: &str) -> fmt::Result {
        Html.write_escaped_str(out, &printable(text))
    }
}

/// The values of the template `page.html`.
#[derive(Template)]
#[template(path = "command/inspect/report/page/page.html", escape = "visible")]
struct Page<'a> {
    report: &'a Report,
    /// The days for the script; see [`compressed`].
    days: String,
    script: &'static str,
    style: &'static str,
}

impl Page<'_> {
    /// Returns the hash of a script or style as a Content-Security-Policy names it (W3C CSP Level 3, section 2.3.1).
    fn policy_hash(&self, text: &str) -> String {
        format!("sha256-{}", STANDARD.encode(Digest::of(text.as_bytes()).0))
    }
}

/// Returns the whole document.
///
/// # Errors
/// None is known: a template fails only if a value cannot be displayed or serialized.
pub fn render(report: &Report) -> Result<String> {
    let accounts: Vec<&DayColumns> = report
        .chains
        .iter()
        .filter_map(|chain| chain.days.as_ref())
        .collect();
    let failed = "cannot make the report's page";
    let page = Page {
        report,
        days: compressed(&accounts).map_err(|error| Failure::unexpected(failed).because(error))?,
        script: SCRIPT,
        style: STYLE,
    };
    page.render()
        .map_err(|error| Failure::unexpected(failed).because(error))
}

/// Returns the days as JSON that is compressed with gzip and written in base64: half a million days are 11.4 MB of
/// JSON, and 4.5 MB in this form, which browsers of 2023 and later decompress by themselves (see decision 11).
fn compressed(accounts: &[&DayColumns]) -> serde_json::Result<String> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    serde_json::to_writer(&mut encoder, accounts)?;
    let bytes = encoder.finish().map_err(serde_json::Error::io)?;
    Ok(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_an_element_or_an_attribute() {
        let escaped = |text| {
            let mut escaped = String::new();
            VisibleText.write_escaped_str(&mut escaped, text).unwrap();
            escaped
        };
        assert_eq!(
            escaped("<b a='1' c=\"2\">&"),
            "&#60;b a=&#39;1&#39; c=&#34;2&#34;&#62;&#38;"
        );
        assert_eq!(escaped("a\u{0}b\u{202e}c"), "a\\0b\\u{202e}c");
    }

    #[test]
    fn script_and_style_contain_no_end_tag_and_request_nothing() {
        // The policy's hashes cover everything between the tags, so no text inside may end the element.
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
            // This is the name of a vocabulary, which no browser requests.
            let script = SCRIPT.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !script.contains(forbidden) && !STYLE.contains(forbidden),
                "{forbidden}"
            );
        }
    }
}
