//! The page's other tables: the verification, the chains with their heads and locks.

use std::fmt::Write as _;

use crate::command::inspect::report::chain::ReportedChain;
use crate::command::inspect::report::page::words::{instant, percent, some};
use crate::command::inspect::report::page::{Report, text};
use crate::command::inspect::report::verification::{FindingWeight, Verification, VerificationEnd};
use crate::format::record::coverage::DayState;
use crate::render::{grouped, size};

pub fn verification(report: &Report) -> String {
    let mut html = String::from(
        "<section id=\"verification\" aria-labelledby=\"verification-title\">\n\
         <h2 id=\"verification-title\">Verification</h2>\n",
    );
    match &report.verification {
        None => {
            html += "<p>None was asked for. What this page tells is what the archive's records say of themselves: their \
                     chain and signatures were checked while it was made, but neither counts, nor windows, nor the files \
                     that they name. <code>cxvault report --level full</code> checks those as well.</p>\n";
        }
        Some(found) => {
            html += &ended(report, found);
            html += &findings(found);
        }
    }
    html + "</section>\n"
}

fn ended(report: &Report, found: &Verification) -> String {
    let whence = match &found.file {
        None => "Made for this page".to_owned(),
        Some((name, None)) => format!("Read from <span class=\"mono\">{}</span>", text(name)),
        Some((name, Some(at))) => {
            format!(
                "Read from <span class=\"mono\">{}</span>, written {}",
                text(name),
                instant(*at)
            )
        }
    };
    let Some(ended) = &found.ended else {
        let why = found
            .error
            .as_ref()
            .map(|error| format!(" ({})", text(error)))
            .unwrap_or_default();
        return format!(
            "<p class=\"alarm\">{whence}. It did not come to its end{why}: what it would still have found is not known.</p>\n"
        );
    };
    let level = match ended.level.as_str() {
        "quick" => {
            "Chains, signatures, counts, windows, and what the store says of each object; no file was read."
        }
        "full" => "Chains, signatures, counts, windows, and the SHA-256 of every file.",
        "deep" => "Everything: chains, signatures, counts, windows, files, and every row.",
        _ => "The level is not known.",
    };
    let mut html = format!(
        "<p>{whence}. {level} {}</p>\n<dl class=\"facts\">",
        newer(report, ended)
    );
    for (name, value) in [
        ("Level", text(&ended.level)),
        ("Violations", grouped(found.violations())),
        ("Gaps", grouped(found.count(FindingWeight::Gap))),
        ("Notices", grouped(found.count(FindingWeight::Notice))),
        ("Manifests", grouped(ended.manifests)),
        ("of them signed", grouped(ended.signed_manifests)),
        ("Files", grouped(ended.files)),
        ("Bytes read", size(ended.bytes)),
    ] {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    html + "</dl>\n"
}

/// Whether the verification saw what the page shows.
fn newer(report: &Report, ended: &VerificationEnd) -> String {
    let not_seen: Vec<&str> = report
        .chains
        .iter()
        .filter(|chain| !ended.heads.contains(&chain.head))
        .map(|chain| chain.sub_account.as_str())
        .collect();
    match not_seen.as_slice() {
        [] => "It reaches to each head that this page shows.".to_owned(),
        some => format!(
            "<strong>It does not reach to the head that this page shows of sub-account {}.</strong>",
            text(some.join(", "))
        ),
    }
}

fn findings(found: &Verification) -> String {
    if found.kinds.is_empty() {
        return "<p>It has no findings.</p>\n".to_owned();
    }
    let mut html = String::from(
        "<div class=\"scroll\" role=\"region\" aria-label=\"Findings by kind\" tabindex=\"0\"><table class=\"list\">\n\
         <thead><tr><th scope=\"col\">FindingWeight</th><th scope=\"col\">Finding</th><th scope=\"col\" class=\"n\">Number</th>\
         <th scope=\"col\">What it means</th></tr></thead>\n<tbody>\n",
    );
    for (kind, number) in &found.kinds {
        let _ = writeln!(
            html,
            "<tr><td class=\"what\">{}</td><td class=\"mono\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            weight(kind.weight),
            text(&kind.code),
            grouped(*number),
            text(&kind.meaning)
        );
    }
    html += "</tbody></table></div>\n";
    html + &each(found)
}

fn weight(weight: FindingWeight) -> &'static str {
    match weight {
        FindingWeight::Unknown => "<span class=\"mark s-m\" aria-hidden=\"true\">×</span>Unknown",
        FindingWeight::Violation => {
            "<span class=\"mark s-m\" aria-hidden=\"true\">×</span>Violation"
        }
        FindingWeight::Gap => "<span class=\"mark s-g\" aria-hidden=\"true\">!</span>Gap",
        FindingWeight::Notice => "<span class=\"mark s-e\" aria-hidden=\"true\">i</span>Notice",
    }
}

/// Violations are open to the eye; gaps and notices on demand.
fn each(found: &Verification) -> String {
    let all: u64 = found.kinds.values().sum();
    let shown = found.shown.len() as u64;
    let title = match shown < all {
        true => format!(
            "{} of {} findings, one by one",
            grouped(shown),
            grouped(all)
        ),
        false => format!("{}, one by one", some(all, "finding")),
    };
    let open = if found.violations() > 0 { " open" } else { "" };
    let mut html = format!(
        "<details{open}><summary>{title}</summary>\n<div class=\"scroll tall\" role=\"region\" aria-label=\"Findings\" \
         tabindex=\"0\"><table class=\"list\">\n<thead><tr><th scope=\"col\">FindingWeight</th><th scope=\"col\">Finding</th>\
         <th scope=\"col\">Object</th><th scope=\"col\">Expected</th><th scope=\"col\">Found</th></tr></thead>\n<tbody>\n"
    );
    for one in &found.shown {
        let _ = writeln!(
            html,
            "<tr><td class=\"what\">{}</td><td class=\"mono\">{}</td><td class=\"mono any\">{}</td><td class=\"any\">{}</td>\
             <td class=\"any\">{}</td></tr>",
            weight(one.weight),
            text(&one.code),
            text(&one.object),
            text(&one.expected),
            text(&one.found)
        );
    }
    html + "</tbody></table></div></details>\n"
}

pub fn chains(report: &Report) -> String {
    format!(
        "<section id=\"chains\" aria-labelledby=\"chains-title\">\n<h2 id=\"chains-title\">Sub-accounts</h2>\n\
         <p>Locks are S3 Object Lock as the store confirmed it when the revisions were committed; nobody can lift \
         COMPLIANCE before its time, a privileged user can lift GOVERNANCE. Whether they are still there is a part of the \
         verification.</p>\n{}<h3 id=\"heads-title\">Heads</h3>\n<p>A head is the fingerprint of all that a \
         sub-account's chain holds. Kept elsewhere, it shows later whether anything was cut off or rewritten: \
         <code>cxvault verify --expect-head HEAD</code>.{}</p>\n{}</section>\n",
        list("chains-title", &NUMBERS, report, numbers),
        roster(report),
        list("heads-title", &HEADS, report, head),
    )
}

/// One head for all of them.
fn roster(report: &Report) -> String {
    let Some(newest) = &report.roster else {
        return String::new();
    };
    format!(
        " The roster's covers all of them as they stood on {}: <span class=\"mono any\">{}</span>.",
        instant(newest.committed_at),
        text(&newest.head)
    )
}

const NUMBERS: [&str; 10] = [
    "Sub-account",
    "Days",
    "Missing",
    "With gaps",
    "Segments",
    "By agent",
    "By AI",
    "Revisions",
    "Size",
    "Lock",
];
const HEADS: [&str; 4] = ["Sub-account", "Head", "Committed", "Signed by"];

/// A table with a row for each sub-account.
fn list(
    title: &str,
    columns: &[&str],
    report: &Report,
    row: fn(&ReportedChain) -> Vec<String>,
) -> String {
    let number = |name: &str| NUMBERS[1..9].contains(&name);
    let class = |name: &str| if number(name) { " class=\"n\"" } else { "" };
    let mut html = format!(
        "<div class=\"scroll tall\" role=\"region\" aria-labelledby=\"{title}\" tabindex=\"0\">\
         <table class=\"list\">\n<thead><tr>"
    );
    for name in columns {
        let _ = write!(html, "<th scope=\"col\"{}>{name}</th>", class(name));
    }
    html += "</tr></thead>\n<tbody>\n";
    for chain in &report.chains {
        let _ = write!(
            html,
            "<tr><th scope=\"row\" class=\"mono\">{}</th>",
            text(&chain.sub_account)
        );
        for (cell, name) in row(chain).into_iter().zip(&columns[1..]) {
            let _ = write!(html, "<td{}>{cell}</td>", class(name));
        }
        html += "</tr>\n";
    }
    for damage in &report.damaged {
        let _ = writeln!(
            html,
            "<tr><th scope=\"row\" class=\"mono\">{}</th><td colspan=\"{}\">Its record does not hold: {}.</td></tr>",
            text(&damage.sub_account),
            columns.len() - 1,
            text(&damage.message)
        );
    }
    html + "</tbody></table></div>\n"
}

fn numbers(chain: &ReportedChain) -> Vec<String> {
    let counts = &chain.counts;
    vec![
        grouped(chain.states.total()),
        grouped(chain.states.get(DayState::Missing)),
        grouped(chain.states.get(DayState::Gaps)),
        grouped(counts.segments),
        percent(counts.agent.present, counts.segments),
        percent(counts.auto.present, counts.segments),
        grouped(chain.revisions),
        size(chain.bytes),
        lock(chain),
    ]
}

fn head(chain: &ReportedChain) -> Vec<String> {
    let signers = chain.signers.iter().map(|signer| match signer {
        Some(key) => format!("<span class=\"mono any\">{}</span>", text(key)),
        None => "nobody".to_owned(),
    });
    vec![
        format!("<span class=\"mono any\">{}</span>", text(&chain.head)),
        instant(chain.committed_at),
        signers.collect::<Vec<_>>().join(", "),
    ]
}

fn lock(chain: &ReportedChain) -> String {
    let Some(locks) = &chain.locks else {
        return "none: whoever may delete objects can delete these".to_owned();
    };
    let modes = [
        (locks.compliance, "COMPLIANCE"),
        (locks.governance, "GOVERNANCE"),
    ];
    let modes: Vec<&str> = modes
        .into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| name)
        .collect();
    let date = |at_ms| {
        instant(at_ms)
            .split(',')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let (earliest, latest) = (date(locks.earliest_end), date(locks.latest_end));
    let until = if earliest == latest {
        earliest
    } else {
        format!("{earliest} to {latest}")
    };
    let without = match locks.unlocked {
        0 => String::new(),
        number => format!("; {} without", some(number, "revision")),
    };
    format!("{} until {until}{without}", modes.join(" and "))
}
