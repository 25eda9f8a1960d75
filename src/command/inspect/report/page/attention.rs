//! The exceptions as one table.

use std::cmp::Reverse;
use std::fmt::Write as _;

use crate::command::inspect::report::exceptions::{Exception, ExceptionClass};
use crate::command::inspect::report::page::words::day;
use crate::command::inspect::report::page::{Report, text};
use crate::render::grouped;

/// Rows of a class: all together are what a browser and a printer can still cope with.
const MOST: usize = 300;

impl ExceptionClass {
    /// As a cell shows it: the letter of the state whose colour it has, its mark, and a word.
    fn shown(self) -> (char, char, &'static str) {
        match self {
            ExceptionClass::Missing => ('m', '×', "Missing"),
            ExceptionClass::Behind => ('m', '×', "Not up to date"),
            ExceptionClass::Gaps => ('g', '!', "Gaps"),
            ExceptionClass::Warning => ('w', '?', "Warning"),
            ExceptionClass::Silent => ('w', '?', "No AI summaries"),
            ExceptionClass::Acknowledged => ('a', '~', "Acknowledged"),
        }
    }
}

pub fn section(report: &Report) -> String {
    let mut exceptions: Vec<&Exception> = report.exceptions().collect();
    // What is recent can still be fetched.
    exceptions.sort_by_key(|one| (one.class, Reverse(one.to), &one.sub_account));
    let mut html = String::from(
        "<section id=\"attention\" aria-labelledby=\"attention-title\">\n\
         <h2 id=\"attention-title\">Needs attention</h2>\n",
    );
    for damage in &report.damaged {
        let _ = writeln!(
            html,
            "<p class=\"alarm\"><strong>{}: its record does not hold.</strong> {}. Nothing of it is counted \
             on this page. <code>cxvault verify</code> tells all that is wrong; do not rely on it before that is \
             explained.</p>",
            text(damage.whose()),
            text(&damage.message)
        );
    }
    for one in report.unlisted() {
        let _ = writeln!(
            html,
            "<p class=\"alarm\"><strong>Sub-account {0}: RingCX no longer lists it.</strong> Nothing is archived of it \
             since <span class=\"mono\">{1}</span>. Give the user access to it again in RingCX Admin; or, if it was closed, \
             name <code>unlisted:{0}</code> in CXVAULT_KNOWN_WARNINGS.</p>",
            text(one.id),
            text(&one.since)
        );
    }
    if exceptions.is_empty() && report.damaged.is_empty() && report.unlisted().next().is_none() {
        html += "<p>Nothing: no day is missing or has gaps, and none looks suspicious.</p>\n";
    } else if !exceptions.is_empty() {
        html += &table(&exceptions);
    }
    html + "</section>\n"
}

fn table(exceptions: &[&Exception]) -> String {
    let by_class: Vec<&[&Exception]> = exceptions
        .chunk_by(|one, other| one.class == other.class)
        .collect();
    let counted = by_class
        .iter()
        .filter_map(|class| Some((class.first()?.class.shown().2, class.len())));
    let counted: Vec<String> = counted
        .map(|(word, rows)| format!("{word}: {}", grouped(rows as u64)))
        .collect();
    let mut html = format!(
        "<p class=\"muted\">{}. What is worst stands first, and of that what is newest. Missing days that follow one \
         another are one row.</p>\n",
        counted.join(", ")
    );
    html += "<div class=\"scroll tall\" role=\"region\" aria-labelledby=\"attention-title\" tabindex=\"0\"><table class=\"list\">\n\
             <thead><tr><th scope=\"col\">What</th><th scope=\"col\">Sub-account</th><th scope=\"col\">When</th>\
             <th scope=\"col\" class=\"n\">Days</th><th scope=\"col\">Why, and what to do</th></tr></thead>\n<tbody>\n";
    for class in by_class {
        class
            .iter()
            .take(MOST)
            .for_each(|exception| html += &row(exception));
        if let Some(more @ 1..) = class.len().checked_sub(MOST) {
            let _ = writeln!(
                html,
                "<tr><td colspan=\"5\">… and {} older ones like these: the calendar shows them, and <code>cxvault status \
                 --json</code> lists every day.</td></tr>",
                grouped(more as u64)
            );
        }
    }
    html + "</tbody></table></div>\n"
}

fn row(exception: &Exception) -> String {
    let Exception {
        class,
        from,
        to,
        days,
        sub_account,
        why,
    } = exception;
    let (letter, mark, word) = class.shown();
    let dates = if from == to {
        day(*from)
    } else {
        format!("{} to {}", day(*from), day(*to))
    };
    let dates = match class {
        // No square of the calendar.
        ExceptionClass::Behind => dates,
        _ => format!("<a href=\"#{}/{from}\">{dates}</a>", text(sub_account)),
    };
    format!(
        "<tr><td class=\"what\"><span class=\"mark s-{letter}\" aria-hidden=\"true\">{mark}</span>{word}</td>\
         <td class=\"mono\">{}</td><td class=\"when\">{dates}</td><td class=\"n\">{}</td><td>{}</td></tr>\n",
        text(sub_account),
        grouped(*days),
        text(why),
    )
}
