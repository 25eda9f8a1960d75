//! The exceptions as one table.

use std::fmt::Write as _;

use super::super::exceptions::{Class, Exception};
use super::words::day;
use super::{Report, text};
use crate::render::count;

/// Rows that a browser and a printer can still cope with.
const MOST: usize = 1_500;

impl Class {
    /// As a cell shows it: the letter of the state whose colour it has, its mark, and a word.
    fn shown(self) -> (char, char, &'static str) {
        match self {
            Class::Missing => ('m', '×', "Missing"),
            Class::Behind => ('m', '×', "Not up to now"),
            Class::Gaps => ('g', '!', "Gaps"),
            Class::Warning => ('w', '?', "Warning"),
            Class::Silent => ('w', '?', "No AI summaries"),
            Class::Acknowledged => ('a', '~', "Acknowledged"),
        }
    }
}

pub fn section(report: &Report) -> String {
    let mut exceptions: Vec<&Exception> = report.exceptions().collect();
    exceptions.sort();
    let mut html = String::from(
        "<section id=\"attention\" aria-labelledby=\"attention-title\">\n\
         <h2 id=\"attention-title\">Needs attention</h2>\n",
    );
    for damage in &report.damaged {
        let _ = writeln!(
            html,
            "<p class=\"alarm\"><strong>Sub-account {}: its record does not hold.</strong> {}. Nothing of it is counted \
             on this page. <code>cxvault verify</code> tells all that is wrong; do not rely on it before that is \
             explained.</p>",
            text(&damage.sub_account),
            text(&damage.message)
        );
    }
    if exceptions.is_empty() && report.damaged.is_empty() {
        html += "<p>Nothing: no day is missing or has gaps, and none looks suspicious.</p>\n";
    } else if !exceptions.is_empty() {
        html += &table(&exceptions);
    }
    html + "</section>\n"
}

fn table(exceptions: &[&Exception]) -> String {
    let all = exceptions.len();
    let mut html = String::from(
        "<div class=\"scroll tall\" role=\"region\" aria-labelledby=\"attention-title\" tabindex=\"0\"><table class=\"list\">\n\
         <thead><tr><th scope=\"col\">What</th><th scope=\"col\">Sub-account</th><th scope=\"col\">When</th>\
         <th scope=\"col\" class=\"n\">Days</th><th scope=\"col\">Why, and what to do</th></tr></thead>\n<tbody>\n",
    );
    for exception in exceptions.iter().take(MOST) {
        let Exception { class, from, to, days, sub_account, why } = exception;
        let (letter, mark, word) = class.shown();
        let dates = if from == to { day(*from) } else { format!("{} to {}", day(*from), day(*to)) };
        let dates = match class {
            // No square of the calendar.
            Class::Behind => dates,
            _ => format!("<a href=\"#{}/{from}\">{dates}</a>", text(sub_account)),
        };
        let _ = writeln!(
            html,
            "<tr><td class=\"what\"><span class=\"mark s-{letter}\" aria-hidden=\"true\">{mark}</span>{word}</td>\
             <td class=\"mono\">{}</td><td class=\"when\">{dates}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            text(sub_account),
            count(*days),
            text(why),
        );
    }
    html += "</tbody></table></div>\n";
    if all > MOST {
        let _ = writeln!(
            html,
            "<p class=\"hint\">These are the first {} of {}; <code>cxvault status --json</code> lists every day.</p>",
            count(MOST as u64),
            count(all as u64)
        );
    }
    html
}
