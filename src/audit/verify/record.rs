//! Whether one day's record holds by itself, and follows from the records before it.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::audit::verify::chain::CommittedDay;
use crate::audit::verify::finding::{Finding, FindingCode};
use crate::format::place::key;
use crate::format::record::manifest::{
    DayRecord, Discovery, Link, Manifest, Run, Why, WindowRecord,
};
use crate::format::row::recheck::{Changes, SummaryChanges};
use crate::format::row::schema;
use crate::format::time::day::{LONGEST_WINDOW_MS, Window, Zone, rfc3339, tz_database_version};

/// What is found about one manifest.
pub struct Findings<'a> {
    pub object: &'a str,
    pub found: Vec<Finding>,
}

impl Findings<'_> {
    pub fn add(
        &mut self,
        code: FindingCode,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.found
            .push(Finding::new(code, self.object, expected, found));
    }

    /// Adds a finding where two values differ.
    pub fn same<T: PartialEq + std::fmt::Display>(
        &mut self,
        code: FindingCode,
        what: &str,
        expected: T,
        found: T,
    ) {
        if expected != found {
            self.add(code, format!("{what} {expected}"), found.to_string());
        }
    }
}

/// The date's interval in the chain's zone. Rules of zones change: where the record was made with another version of
/// the time-zone database, only what no rule can change is checked, and that neighbours abut.
pub fn window(found: &mut Findings<'_>, manifest: &Manifest, record: &DayRecord, zone: &str) {
    found.same(
        FindingCode::DayWindowWrong,
        "zone",
        zone,
        record.zone.as_str(),
    );
    let text =
        |window: Window| format!("{} to {}", rfc3339(window.start_ms), rfc3339(window.end_ms));
    let length = record.window.end_ms - record.window.start_ms;
    if manifest.run.tz_database == tz_database_version() {
        match Zone::named(&record.zone).and_then(|zone| zone.day(record.date)) {
            Ok(day) if day == record.window => {}
            Ok(day) => found.add(FindingCode::DayWindowWrong, text(day), text(record.window)),
            Err(error) => found.add(
                FindingCode::DayWindowWrong,
                "a date of its zone",
                error.to_string(),
            ),
        }
    } else if !(1..=50 * 3_600_000).contains(&length) {
        found.add(FindingCode::DayWindowWrong, "a day", text(record.window));
    }
}

/// `before` ends where `after` begins, of two dates of which no other archived one lies between.
pub fn neighbours(found: &mut Findings<'_>, before: (Date, Window), after: (Date, Window)) {
    // Only dates without another between them; a zone may have skipped one.
    let adjacent = before.0.tomorrow().is_ok_and(|next| next == after.0);
    if adjacent && before.1.end_ms != after.1.start_ms {
        let expected = format!(
            "{} begins where {} ends: {}",
            after.0,
            before.0,
            rfc3339(before.1.end_ms)
        );
        found.add(
            FindingCode::DayWindowWrong,
            expected,
            rfc3339(after.1.start_ms),
        );
    }
}

/// Where the segments come from: windows that tile the day, or a manifest of the same day that has them.
pub fn discovery(found: &mut Findings<'_>, record: &DayRecord, day: Option<&CommittedDay>) {
    match (&record.discovery, record.revision) {
        (
            Discovery::Windows {
                windows, objects, ..
            },
            _,
        ) => {
            tiles(found, record.window, windows);
            let in_windows: u64 = windows.iter().map(|window| window.objects).sum();
            found.same(
                FindingCode::CountsWrong,
                "objects of all windows",
                in_windows,
                *objects,
            );
        }
        (Discovery::Manifest(_), 1) => found.add(
            FindingCode::DiscoveryUnknown,
            "the windows of a first revision",
            "a reference",
        ),
        (Discovery::Manifest(link), _) => known_windows(found, link, day),
    }
}

fn tiles(found: &mut Findings<'_>, day: Window, windows: &[WindowRecord]) {
    let mut at = day.start_ms;
    for window in windows {
        let length = window.end - window.start;
        if window.start != at || !(1..=LONGEST_WINDOW_MS).contains(&length) {
            let expected = format!("a window from {} of at most 10,800 s", rfc3339(at));
            let is = format!("{} to {}", rfc3339(window.start), rfc3339(window.end));
            return found.add(FindingCode::WindowsIncomplete, expected, is);
        }
        at = window.end;
        let answered = window.server_date.unwrap_or(window.answered_at);
        if answered < window.end {
            let expected = format!("an answer after {}", rfc3339(window.end));
            found.add(FindingCode::WindowTooEarly, expected, rfc3339(answered));
        }
    }
    if at != day.end_ms {
        found.add(
            FindingCode::WindowsIncomplete,
            format!("windows up to {}", rfc3339(day.end_ms)),
            rfc3339(at),
        );
    }
}

fn known_windows(found: &mut Findings<'_>, link: &Link, day: Option<&CommittedDay>) {
    let of_day = |day: &CommittedDay| day.windows_by.iter().any(|known| known == link);
    if !day.is_some_and(of_day) {
        found.add(
            FindingCode::DiscoveryUnknown,
            "an earlier manifest of this day that has windows",
            link.key.as_str(),
        );
    }
}

/// All counts that must balance, within the record and against the revision before it.
pub fn counts(found: &mut Findings<'_>, record: &DayRecord, before: Option<&DayRecord>) {
    let mut same =
        |what: &str, expected, is| found.same::<u64>(FindingCode::CountsWrong, what, expected, is);
    for (of, tally) in [("rows", &record.rows), ("day", &record.day)] {
        same(
            &format!("{of}: segments in the agent statuses"),
            tally.segments,
            tally.agent.total(),
        );
        same(
            &format!("{of}: segments in the auto statuses"),
            tally.segments,
            tally.auto.total(),
        );
    }
    same(
        "rows in the files",
        record.rows.segments,
        record.files.iter().map(|file| file.rows).sum(),
    );
    same(
        "failures by class",
        record.rows.failed(),
        record.failures.values().sum(),
    );
    let in_groups = record
        .agent_groups
        .values()
        .map(|group| group.segments)
        .sum();
    same(
        "segments in the agent groups",
        record.day.segments,
        in_groups,
    );
    let present = |of: fn(&crate::format::row::tally::GroupShare) -> u64| {
        record.agent_groups.values().map(of).sum()
    };
    same(
        "agent summaries in the agent groups",
        record.day.agent.present,
        present(|group| group.agent_present),
    );
    same(
        "AI summaries in the agent groups",
        record.day.auto.present,
        present(|group| group.auto_present),
    );
    if let Discovery::Windows {
        objects,
        duplicates,
        adopted_only,
        ..
    } = &record.discovery
        && record.revision == 1
    {
        same(
            "objects - duplicates + adopted",
            objects + adopted_only,
            record.rows.segments + duplicates,
        );
    }
    rechecked(found, record);
    let mut same =
        |what: &str, expected, is| found.same::<u64>(FindingCode::CountsWrong, what, expected, is);
    let because = u64::from(record.complete) + u64::from(!record.incomplete_because.is_empty());
    same("complete, or a reason why not:", 1, because);
    if record.complete {
        same("failed summaries of a complete day", 0, record.day.failed());
    }
    match before {
        None if record.revision == 1 && record.rows != record.day => {
            found.add(
                FindingCode::CountsWrong,
                "a first revision's rows to be the day",
                "other counts",
            );
        }
        Some(before) => {
            let (least, most) = (
                before.day.segments,
                before.day.segments + record.rows.segments,
            );
            if !(least..=most).contains(&record.day.segments) {
                let expected = format!("{least} to {most} segments of the day");
                found.add(
                    FindingCode::CountsWrong,
                    expected,
                    record.day.segments.to_string(),
                );
            }
        }
        None => {}
    }
}

/// A recheck is a later revision that asked every window again, and changes no more than its rows.
fn rechecked(found: &mut Findings<'_>, record: &DayRecord) {
    let Some(recheck) = &record.recheck else {
        if record.why == Why::Recheck {
            found.add(
                FindingCode::CountsWrong,
                "what the recheck asked for and found",
                "nothing",
            );
        }
        return;
    };
    let Discovery::Windows {
        objects,
        duplicates,
        ..
    } = &record.discovery
    else {
        found.add(
            FindingCode::DiscoveryUnknown,
            "the windows of a recheck",
            "a reference",
        );
        return;
    };
    let listed = objects.saturating_sub(*duplicates);
    if record.revision == 1 || listed > record.day.segments {
        let expected = format!(
            "a later revision with at most {} segments listed",
            record.day.segments
        );
        found.add(
            FindingCode::CountsWrong,
            expected,
            format!("{listed} in revision {}", record.revision),
        );
    }
    let Changes {
        new_segments,
        vanished_segments,
        returned_segments,
        changed_metadata,
        agent,
        auto,
    } = recheck.changes;
    let of = |kind: SummaryChanges| kind.appeared + kind.edited + kind.withdrawn + kind.other;
    let most = [
        new_segments,
        vanished_segments,
        returned_segments,
        changed_metadata,
        of(agent),
        of(auto),
    ];
    if most.into_iter().any(|count| count > record.rows.segments) {
        found.add(
            FindingCode::CountsWrong,
            format!("at most {} changes of a sort", record.rows.segments),
            "more",
        );
    }
}

/// Each file is of this day and revision, listed once, and of the columns of this format.
pub fn files(
    found: &mut Findings<'_>,
    manifest: &Manifest,
    record: &DayRecord,
    listed: Option<&CommittedDay>,
) {
    let folder = key::day(&manifest.sub_account, record.date);
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for file in &record.files {
        let own = file.key.starts_with(&folder)
            && key::parse_part(&file.key).is_some_and(|(revision, part)| {
                file.key == key::part(&manifest.sub_account, record.date, revision, part)
                    && revision == record.revision
            });
        let before = listed.is_some_and(|day| day.files().any(|known| known.key == file.key));
        if !own || before || !seen.insert(&file.key) {
            found.add(
                FindingCode::FileMisplaced,
                format!("a part of revision {}", record.revision),
                file.key.as_str(),
            );
        }
        if file.schema_sha256 != schema::fingerprint() {
            let expected = format!("columns {}", schema::fingerprint());
            found.add(
                FindingCode::PartStatement,
                expected,
                format!("{} for {}", file.schema_sha256, file.key),
            );
        }
    }
}

/// A run ends after it has begun, whatever it commits.
pub fn run_times(found: &mut Findings<'_>, run: &Run) {
    if run.finished_at < run.started_at {
        let expected = format!("an end after {}", rfc3339(run.started_at));
        found.add(FindingCode::TimesWrong, expected, rfc3339(run.finished_at));
    }
}

pub fn times(found: &mut Findings<'_>, manifest: &Manifest, record: &DayRecord) {
    let run = &manifest.run;
    if let Discovery::Windows { windows, .. } = &record.discovery
        && let Some(answered) = windows.iter().map(|window| window.answered_at).max()
        && run.finished_at < answered - CLOCK_SLACK_MS
    {
        let expected = format!(
            "a commit after the last window's answer {}",
            rfc3339(answered)
        );
        found.add(FindingCode::TimesWrong, expected, rfc3339(run.finished_at));
    }
    if run.finished_at < record.window.end_ms - CLOCK_SLACK_MS {
        let expected = format!(
            "a commit after the day's end {}",
            rfc3339(record.window.end_ms)
        );
        found.add(FindingCode::TimesWrong, expected, rfc3339(run.finished_at));
    }
}

/// What a host's clock may be off; the API's own clock is checked without it.
pub const CLOCK_SLACK_MS: i64 = 24 * 3_600_000;
