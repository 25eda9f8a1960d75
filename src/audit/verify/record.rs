//! Whether the record of one day is consistent, and agrees with the records before it.
//!
//! The checks do not depend on each other, and each adds its findings: a record may have several faults.
//!
//! # What is checked
//!
//! - [`check_window`], [`check_neighbours`]: the day's interval is that of its date in the chain's time zone, and adjacent days
//!   share a bound. A writer that shortens a day would leave out segments at its edges.
//! - [`check_discovery`]: the windows cover the interval without a gap, none is longer than the API permits, and each was
//!   answered after it was over. A later revision may refer to the windows of an earlier one of the same day.
//! - [`check_counts`]: all numbers that can be computed in two ways agree: statuses with segments, files with rows, failures by
//!   class with failed summaries, agent groups with the day, and a recheck's changes with its rows.
//! - [`check_files`]: each file is of this day and revision, is listed once in the whole chain, and has this format's columns.
//! - [`check_times`]: the commit is after the day's end and after the last answer.
//!
//! # What is not checked
//!
//! The files themselves: [`objects`](super::objects) and [`rows`](super::rows) compare them with these numbers. Whether RingCX
//! had more segments than it returned cannot be seen in the archive.
//!
//! # Time zones
//!
//! The rules of time zones are not part of the archive. An interval that was computed with another version of the database may
//! differ from today's computation although both are right, so then only its length is limited.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::audit::verify::days::CommittedDay;
use crate::audit::verify::finding::{FindingCode, Findings};
use crate::format::place::key;
use crate::format::record::{DayRecord, Discovery, Link, Manifest, Run, Why, WindowRecord};
use crate::format::row::{Changes, SummaryChanges, schema};
use crate::format::time::day::{rfc3339, tz_database_version};
use crate::format::time::{Instant, LONGEST_WINDOW_MS, Window, Zone};

/// Checks that the interval of a day is that of its date in the chain's time zone. The rules of time zones change: if the
/// record was made with another version of the time-zone database, only the length of the interval is checked, which no
/// rule can make longer than 50 hours. [`check_neighbours`] applies in every case.
pub(crate) fn check_window(
    found: &mut Findings<'_>,
    manifest: &Manifest,
    record: &DayRecord,
    zone: &str,
) {
    found.add_unless_equal(
        FindingCode::DayWindowWrong,
        "zone",
        zone,
        record.zone.as_str(),
    );
    let length = record.window.end_ms - record.window.start_ms;
    if manifest.run.tz_database == tz_database_version() {
        match Zone::named(&record.zone).and_then(|zone| zone.day(record.date)) {
            Ok(day) if day == record.window => {}
            Ok(day) => found.add(
                FindingCode::DayWindowWrong,
                window_text(day),
                window_text(record.window),
            ),
            Err(error) => found.add(
                FindingCode::DayWindowWrong,
                "a date of its zone",
                error.to_string(),
            ),
        }
    } else if !(1..=50 * 3_600_000).contains(&length) {
        found.add(
            FindingCode::DayWindowWrong,
            "a day",
            window_text(record.window),
        );
    }
}

/// Returns an interval as two times.
pub(crate) fn window_text(window: Window) -> String {
    format!("{} to {}", rfc3339(window.start_ms), rfc3339(window.end_ms))
}

/// Checks that the interval of `date` (`after`) begins where that of the day before it (`before`) ends.
pub(crate) fn check_neighbours(
    found: &mut Findings<'_>,
    date: Date,
    before: Window,
    after: Window,
) {
    if before.end_ms != after.start_ms {
        let expected = format!(
            "{date} begins where the day before it ends: {}",
            rfc3339(before.end_ms)
        );
        found.add(
            FindingCode::DayWindowWrong,
            expected,
            rfc3339(after.start_ms),
        );
    }
}

/// Checks where the segments come from: windows that cover the day, or an earlier manifest of the day that has them.
pub(crate) fn check_discovery(
    found: &mut Findings<'_>,
    record: &DayRecord,
    day: Option<&CommittedDay>,
) {
    match (&record.discovery, record.revision) {
        (
            Discovery::Windows {
                windows, objects, ..
            },
            _,
        ) => {
            check_windows(found, record.window, windows);
            let in_windows: u64 = windows.iter().map(|window| window.objects).sum();
            found.add_unless_equal(
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
        (Discovery::Manifest(link), _) => check_reference(found, link, day),
    }
}

/// Checks that the windows cover the day from its begin to its end without a gap, and that each was answered after it was
/// over. The API's own clock counts, where it gave one.
fn check_windows(found: &mut Findings<'_>, day: Window, windows: &[WindowRecord]) {
    let mut covered_until = day.start_ms;
    for record in windows {
        let window = record.window();
        if window.start_ms != covered_until
            || !(1..=LONGEST_WINDOW_MS).contains(&window.length_ms())
        {
            let expected = format!(
                "a window from {} of at most 10,800 s",
                rfc3339(covered_until)
            );
            let is = window_text(window);
            return found.add(FindingCode::WindowsIncomplete, expected, is);
        }
        covered_until = window.end_ms;
        let answered = record.server_date.unwrap_or(record.answered_at);
        if answered < record.end {
            let expected = format!("an answer after {}", record.end);
            found.add(FindingCode::WindowTooEarly, expected, answered.to_string());
        }
    }
    if covered_until != day.end_ms {
        found.add(
            FindingCode::WindowsIncomplete,
            format!("windows up to {}", rfc3339(day.end_ms)),
            rfc3339(covered_until),
        );
    }
}

/// Checks that a reference to windows names a manifest of this day that has them.
fn check_reference(found: &mut Findings<'_>, link: &Link, day: Option<&CommittedDay>) {
    if !day.is_some_and(|day| day.windows_by.contains(link)) {
        found.add(
            FindingCode::DiscoveryUnknown,
            "an earlier manifest of this day that has windows",
            link.key.as_str(),
        );
    }
}

/// Checks all counts that must be equal, within the record and against the revision before it.
pub(crate) fn check_counts(
    found: &mut Findings<'_>,
    record: &DayRecord,
    before: Option<&DayRecord>,
) {
    for (what, expected, stated) in equal_counts(record) {
        found.add_unless_equal(FindingCode::CountsWrong, &what, expected, stated);
    }
    check_recheck(found, record);
    match before {
        None if record.revision == 1 && record.rows != record.day => {
            found.add(
                FindingCode::CountsWrong,
                "the same counts of a first revision's rows and of the day",
                "other counts",
            );
        }
        Some(before) => {
            let least = before.day.segments;
            let most = least + record.rows.segments;
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

/// Returns pairs of counts of a record that must be equal, each with its description.
fn equal_counts(record: &DayRecord) -> Vec<(String, u64, u64)> {
    let mut counts = Vec::new();
    for (part, tally) in [("rows", &record.rows), ("day", &record.day)] {
        for (kind, statuses) in [("agent", &tally.agent), ("auto", &tally.auto)] {
            let what = format!("{part}: segments in the {kind} statuses");
            counts.push((what, tally.segments, statuses.total()));
        }
    }
    let (rows, day) = (&record.rows, &record.day);
    let is_complete = u64::from(record.complete);
    let has_reason = u64::from(!record.incomplete_because.is_empty());
    let rows_in_files = record.files.iter().map(|file| file.rows).sum();
    let failures = record.failures.values().sum();
    let reasons = is_complete + has_reason;
    counts.extend([
        ("rows in the files".to_owned(), rows.segments, rows_in_files),
        ("failures by class".to_owned(), rows.failed(), failures),
        ("complete, or a reason why not:".to_owned(), 1, reasons),
    ]);
    if record.complete {
        let what = "failed summaries of a complete day".to_owned();
        counts.push((what, 0, day.failed()));
    }
    if let Discovery::Windows {
        objects,
        duplicates,
        adopted_only,
        ..
    } = &record.discovery
        && record.revision == 1
    {
        let what = "objects - duplicates + adopted".to_owned();
        counts.push((what, objects + adopted_only, rows.segments + duplicates));
    }
    counts.extend(group_counts(record));
    counts
}

/// Returns the counts of a day that must be equal to the sums over its agent groups.
fn group_counts(record: &DayRecord) -> [(String, u64, u64); 3] {
    let (groups, day) = (record.agent_groups.values(), &record.day);
    let others = record.other_agent_groups.clone().unwrap_or_default();
    let segments: u64 = groups.clone().map(|group| group.segments).sum();
    let agent: u64 = groups.clone().map(|group| group.agent_present).sum();
    let auto: u64 = groups.map(|group| group.auto_present).sum();
    [
        ("segments", day.segments, segments + others.segments),
        (
            "agent summaries",
            day.agent.present,
            agent + others.agent_present,
        ),
        ("AI summaries", day.auto.present, auto + others.auto_present),
    ]
    .map(|(what, stated, sum)| (format!("{what} in the agent groups"), stated, sum))
}

/// Checks that a recheck is a later revision with windows of its own, and that it names no more changes than it has rows.
fn check_recheck(found: &mut Findings<'_>, record: &DayRecord) {
    let Some(recheck) = &record.recheck else {
        if record.why == Why::Recheck {
            found.add(
                FindingCode::CountsWrong,
                "what the recheck requested and found",
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
    if change_counts(&recheck.changes)
        .into_iter()
        .any(|count| count > record.rows.segments)
    {
        found.add(
            FindingCode::CountsWrong,
            format!("at most {} changes of each kind", record.rows.segments),
            "more",
        );
    }
}

/// Returns the numbers of changes that a recheck found, by kind of change.
fn change_counts(changes: &Changes) -> [u64; 6] {
    [
        changes.new_segments,
        changes.vanished_segments,
        changes.returned_segments,
        changes.changed_metadata,
        summary_changes(&changes.agent),
        summary_changes(&changes.auto),
    ]
}

/// Returns the number of changes of one kind of summary.
fn summary_changes(changes: &SummaryChanges) -> u64 {
    changes.appeared + changes.edited + changes.withdrawn + changes.other
}

/// Checks that each file is of this day and revision, listed once, and has the columns of this format.
pub(crate) fn check_files(
    found: &mut Findings<'_>,
    manifest: &Manifest,
    record: &DayRecord,
    listed: Option<&CommittedDay>,
) {
    let folder = key::day(&manifest.sub_account, record.date);
    let mut listed_here: BTreeSet<&str> = BTreeSet::new();
    for file in &record.files {
        let is_own = file.key.starts_with(&folder)
            && key::parse_part(&file.key).is_some_and(|(revision, part)| {
                file.key == key::part(&manifest.sub_account, record.date, revision, part)
                    && revision == record.revision
            });
        let is_listed = listed.is_some_and(|day| day.files().any(|known| known.key == file.key));
        if !is_own || is_listed || !listed_here.insert(&file.key) {
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

/// Checks that a run ended after it began.
pub(crate) fn check_run_times(found: &mut Findings<'_>, run: &Run) {
    if run.finished_at < run.started_at {
        let expected = format!("an end after {}", run.started_at);
        found.add(
            FindingCode::TimesWrong,
            expected,
            run.finished_at.to_string(),
        );
    }
}

/// Checks that a day was committed after it was over and after its windows were answered, as far as clocks can be trusted.
pub(crate) fn check_times(found: &mut Findings<'_>, manifest: &Manifest, record: &DayRecord) {
    let finished_at = manifest.run.finished_at;
    let answered = match &record.discovery {
        Discovery::Windows { windows, .. } => windows.iter().map(|window| window.answered_at).max(),
        Discovery::Manifest(_) => None,
    };
    let day_end = Instant::from_millis(record.window.end_ms);
    for (event, instant) in [
        ("last window's answer", answered),
        ("day's end", Some(day_end)),
    ] {
        if let Some(instant) = instant
            && finished_at < instant.saturating_sub(CLOCK_SLACK_MS)
        {
            let expected = format!("a commit after the {event} {instant}");
            found.add(FindingCode::TimesWrong, expected, finished_at.to_string());
        }
    }
}

/// How far a host's clock may be wrong, in milliseconds. The API's own clock is checked without a tolerance.
pub(crate) const CLOCK_SLACK_MS: i64 = 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::verify::finding::FindingCode as Code;
    use crate::audit::verify::testing::{codes, day};

    fn windows(record: &mut DayRecord) -> &mut Vec<WindowRecord> {
        match &mut record.discovery {
            Discovery::Windows { windows, .. } => windows,
            Discovery::Manifest(_) => panic!("the record has no windows"),
        }
    }

    /// Returns the codes of all checks of the first revision of a day after a change.
    fn codes_after(change: fn(&mut DayRecord)) -> Vec<Code> {
        let (mut manifest, mut record) = day(4);
        // Otherwise the interval would not be compared after an update of the time-zone database.
        manifest.run.tz_database = tz_database_version().to_owned();
        change(&mut record);
        codes(|found| {
            check_window(found, &manifest, &record, "UTC");
            check_discovery(found, &record, None);
            check_counts(found, &record, None);
            check_files(found, &manifest, &record, None);
            check_times(found, &manifest, &record);
        })
    }

    #[test]
    fn each_fault_of_a_days_record_has_its_code() {
        let zone = day(4).1.zone;
        let (manifest, record) = day(4);
        assert_eq!(
            codes(|found| check_window(found, &manifest, &record, &zone)),
            []
        );
        let base = codes_after(|_| {});
        let counts = Code::CountsWrong;
        type Change = fn(&mut DayRecord);
        let cases: [(Change, &[Code]); 10] = [
            (
                |record| record.window.end_ms += 1,
                &[Code::DayWindowWrong, Code::WindowsIncomplete],
            ),
            (
                |record| {
                    windows(record).remove(1);
                },
                &[Code::WindowsIncomplete],
            ),
            (
                |record| windows(record)[0].server_date = Some(Instant::from_millis(0)),
                &[Code::WindowTooEarly],
            ),
            (|record| windows(record)[0].objects += 1, &[counts]),
            (|record| record.files[0].rows += 1, &[counts]),
            (|record| record.complete = false, &[counts]),
            (
                |record| *record.failures.entry("http_500".into()).or_default() += 1,
                &[counts],
            ),
            (|record| record.why = Why::Recheck.into(), &[counts]),
            (
                |record| record.files[0].key.push('x'),
                &[Code::FileMisplaced],
            ),
            (
                |record| record.files.push(record.files[0].clone()),
                &[Code::FileMisplaced, counts],
            ),
        ];
        for (n, (change, expected)) in cases.into_iter().enumerate() {
            let found = codes_after(change);
            for code in expected {
                assert!(found.contains(code), "case {n}: {found:?}");
            }
            assert!(
                found.len() >= base.len() + expected.len() - 1,
                "case {n}: {found:?}"
            );
        }
    }

    #[test]
    fn a_later_revision_refers_to_windows_of_its_own_day() {
        let (_, second) = day(2);
        let Discovery::Manifest(link) = &second.discovery else {
            panic!("the second revision refers to the first");
        };
        let known = CommittedDay {
            windows_by: vec![link.clone()],
            ..CommittedDay::default()
        };
        assert_eq!(
            codes(|found| check_discovery(found, &second, Some(&known))),
            []
        );
        for day in [None, Some(&CommittedDay::default())] {
            let found = codes(|found| check_discovery(found, &second, day));
            assert_eq!(found, [Code::DiscoveryUnknown]);
        }
    }

    #[test]
    fn days_that_follow_one_another_share_a_bound() {
        let window = |start_ms, end_ms| Window { start_ms, end_ms };
        let date = day(3).1.date;
        for (before, after, expected) in [
            (window(0, 10), window(10, 20), vec![]),
            (window(0, 10), window(11, 20), vec![Code::DayWindowWrong]),
            (window(0, 10), window(9, 20), vec![Code::DayWindowWrong]),
        ] {
            let found = codes(|found| check_neighbours(found, date, before, after));
            assert_eq!(found, expected);
        }
    }
}
