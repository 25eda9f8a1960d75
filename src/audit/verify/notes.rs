//! Whether an acknowledgement, a hold, an extension of retention or a disposal agrees with the chain before it.
//!
//! FORMAT.md, "Records", states the rules that are checked here.
//!
//! # Why it matters
//!
//! These records change what is required of days that were committed long before: an acknowledgement lets a gap count as known,
//! a hold and longer retention protect objects, the end of a hold and a disposal release them. A forged one could excuse removed
//! files. So each must agree with the chain before it, and a disposal that does not is ignored: its days must still have their
//! files.
//!
//! # What is checked
//!
//! - An **acknowledgement** names days with gaps, each with its newest revision and the numbers of its failed summaries.
//! - A **hold** has a range that is not empty; a case that is closed held some of its days.
//! - An **extension** names archived days of its range, and shortens or weakens no lock.
//! - A **disposal** names sealed days of its range in their order, as they were committed; their locks had ended, and no case
//!   held them.
//!
//! What is not checked: whether the reason is true, and whether the person that is named has given it.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::audit::verify::days::{CommittedDay, RevisionCheck};
use crate::audit::verify::finding::{FindingCode, Findings};
use crate::format::record::notes::has_run_out;
use crate::format::record::{
    AFTER_LOCK_MS, Acknowledgement, Coverage, DayState, Disposal, DisposedDay, Extension, Hold,
    HoldAct, Lock, ObjectLock, Obligations,
};
use crate::format::time::Instant;
use crate::format::time::day::rfc3339;

/// The chain before a record.
pub(crate) struct ChainBefore<'a> {
    /// The archived days.
    pub days: &'a BTreeMap<Date, CommittedDay>,
    /// The holds and extensions.
    pub obligations: &'a Obligations,
    /// The state of each day.
    pub coverage: &'a Coverage,
}

/// Checks that each day of an acknowledgement had the gaps that it names, and that they were not acknowledged before.
pub fn acknowledgement(found: &mut Findings<'_>, note: &Acknowledgement, before: &ChainBefore<'_>) {
    if note.days.is_empty() {
        wrong(found, "an acknowledgement of some day", "no day");
    }
    for noted in &note.days {
        let date = noted.date;
        let state = before.coverage.state(date);
        if state != DayState::Gaps {
            let is = format!("{state:?}").to_lowercase();
            wrong(found, format!("a day with gaps on {date}"), is);
            continue;
        }
        let Some(newest) = before.days.get(&date).and_then(|day| day.revisions.last()) else {
            continue;
        };
        let day = &newest.record.day;
        let same = noted.revision == newest.record.revision
            && noted.manifest == newest.link()
            && noted.agent_failed == day.agent.failed
            && noted.auto_failed == day.auto.failed
            && noted.incomplete_because == newest.record.incomplete_because;
        if !same {
            let expected = format!("the gaps of {date} as {} has them", newest.manifest_key);
            wrong(found, expected, "other gaps");
        }
    }
}

/// Checks that a hold's range is not empty, and that a case that releases days held some of them.
pub fn hold(found: &mut Findings<'_>, hold: &Hold, before: &Obligations) {
    if hold.range.from >= hold.range.to {
        wrong(found, "a hold on some day", hold.range.to_string());
    }
    if hold.act == HoldAct::Remove && !before.touches(&hold.case, hold.range) {
        wrong(
            found,
            "a case that holds some of these days",
            "a case that holds none",
        );
    }
}

/// Checks that each day of an extension is archived and within the range, and that no lock becomes shorter or weaker.
pub fn extension(found: &mut Findings<'_>, extension: &Extension, before: &ChainBefore<'_>) {
    if extension.days.is_empty() {
        wrong(found, "longer retention of some day", "no day");
    }
    for extended in &extension.days {
        let date = extended.date;
        let state = before.coverage.state(date);
        let extensible = extension.range.contains(date) && state != DayState::Disposed;
        let Some(day) = before.days.get(&date).filter(|_| extensible) else {
            wrong(
                found,
                format!("archived days of {}", extension.range),
                date.to_string(),
            );
            continue;
        };
        let Some(known) = lock_of(day, before.obligations.lock_on(date)) else {
            continue;
        };
        if !extended.lock().covers(known) {
            let expected = format!("{date} locked until {} at least", rfc3339(known.until_ms));
            wrong(found, expected, extended.retain_until.to_string());
        }
    }
}

/// Returns the lock that the chain requires of a day's objects; `extended` is that of the extensions.
fn lock_of(day: &CommittedDay, extended: Option<Lock>) -> Option<Lock> {
    let own = day
        .revisions
        .iter()
        .map(|revision| revision.record.object_lock.as_ref());
    Lock::strongest(own.map(|lock| lock.map(ObjectLock::lock)).chain([extended]))
}

/// Checks that each day of a disposal was sealed, that its lock had ended when the record was committed (`committed_at`), and that no case held it. Returns the days for which this is true: any other day is not disposed of,
/// even if the record names it, and must still have its files.
pub fn disposal(
    found: &mut Findings<'_>,
    disposal: &Disposal,
    committed_at: Instant,
    before: &ChainBefore<'_>,
) -> Vec<Date> {
    if disposal.days.is_empty() {
        wrong(found, "a disposal of some day", "no day");
    }
    if !disposal.days.is_sorted_by(|day, next| day.date < next.date) {
        wrong(found, "a disposal of days in their order", "another order");
    }
    let mut disposed = Vec::new();
    for named in &disposal.days {
        let date = named.date;
        let state = before.coverage.state(date);
        let disposable =
            state.is_sealed() && state != DayState::Disposed && disposal.range.contains(date);
        let day = before.days.get(&date).filter(|_| disposable);
        let Some((day, newest)) = day.and_then(|day| Some((day, day.revisions.last()?))) else {
            let is = format!("{date}, {}", format!("{state:?}").to_lowercase());
            wrong(found, format!("sealed days of {}", disposal.range), is);
            continue;
        };
        let findings_before = found.found.len();
        check_day(found, named, day, newest);
        let known = lock_of(day, before.obligations.lock_on(date));
        check_lock_ended(found, named, known, committed_at);
        check_not_held(found, date, before.obligations);
        if found.found.len() == findings_before {
            disposed.push(date);
        }
    }
    disposed
}

/// Checks that a disposal describes the day as it was.
fn check_day(
    found: &mut Findings<'_>,
    named: &DisposedDay,
    day: &CommittedDay,
    newest: &RevisionCheck,
) {
    let files = (
        day.files().count() as u64,
        day.files().map(|file| file.bytes).sum::<u64>(),
    );
    let same = named.revision == newest.record.revision
        && named.manifest == newest.link()
        && (named.files, named.bytes) == files;
    if !same {
        let expected = format!("{} as {} has it", named.date, newest.manifest_key);
        wrong(found, expected, "another revision, or other files");
    }
}

/// Checks that no lock that the chain requires (`known`) is longer or stronger than the one that the disposal names, and
/// that the named one had ended.
fn check_lock_ended(
    found: &mut Findings<'_>,
    named: &DisposedDay,
    known: Option<Lock>,
    committed_at: Instant,
) {
    let (date, lock) = (named.date, named.lock.as_ref().map(|lock| lock.lock()));
    let until = lock.map_or_else(|| "no lock".to_owned(), |lock| rfc3339(lock.until_ms));
    if let Some(known) = known.filter(|known| !lock.is_some_and(|lock| lock.covers(*known))) {
        let expected = format!("{date} locked until {} at least", rfc3339(known.until_ms));
        wrong(found, expected, until.clone());
    }
    if !has_run_out(lock, committed_at.as_millis()) {
        let latest = committed_at.saturating_sub(AFTER_LOCK_MS);
        let expected = format!("{date} locked until {} at most", latest);
        wrong(found, expected, until);
    }
}

/// Checks that no case holds a day.
fn check_not_held(found: &mut Findings<'_>, date: Date, before: &Obligations) {
    let cases: Vec<&str> = before.cases_on(date).into_keys().collect();
    if !cases.is_empty() {
        let found_case = format!("held for case {}", cases.join(", "));
        wrong(found, format!("{date} not held for any case"), found_case);
    }
}

/// Adds a finding about a record that does not agree with the chain before it.
fn wrong(found: &mut Findings<'_>, expected: impl Into<String>, actual: impl Into<String>) {
    found.add(FindingCode::RecordWrong, expected, actual);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::verify::finding::FindingCode as Code;
    use crate::audit::verify::testing::{before, codes, manifest, november};
    use crate::format::record::manifest::Record;

    /// Returns the findings about a record of the golden chain after a change, with the dates that a disposal covers.
    fn check(number: usize, change: fn(&mut Record)) -> (Vec<Code>, Vec<Date>) {
        let check = before(number);
        let chain = ChainBefore {
            days: &check.days,
            obligations: &check.obligations,
            coverage: &check.coverage,
        };
        let mut manifest = manifest(number);
        change(&mut manifest.record);
        let mut dates = Vec::new();
        let codes = codes(|found| match &manifest.record {
            Record::Acknowledgement(note) => acknowledgement(found, note, &chain),
            Record::Hold(note) => hold(found, note, chain.obligations),
            Record::Retention(note) => extension(found, note, &chain),
            Record::Disposal(note) => {
                dates = disposal(found, note, manifest.run.finished_at, &chain);
            }
            Record::Day(_) | Record::Later(_) => panic!("record {number} is no note"),
        });
        (codes, dates)
    }

    /// A change of one kind of note; other kinds stay as they are.
    macro_rules! change {
        ($kind:ident, $note:ident, $change:expr) => {
            |record| {
                if let Record::$kind($note) = record {
                    $change;
                }
            }
        };
    }

    #[test]
    fn notes_that_contradict_the_chain_are_found() {
        for number in [8, 9, 11, 12, 13, 15] {
            assert_eq!(check(number, |_| {}).0, [], "record {number}");
        }
        type Change = fn(&mut Record);
        let cases: [(usize, Change); 12] = [
            (8, change!(Acknowledgement, note, note.days.clear())),
            (
                8,
                change!(Acknowledgement, note, note.days[0].agent_failed += 1),
            ),
            (
                8,
                change!(Acknowledgement, note, note.days[0].date = november(21)),
            ),
            (9, change!(Hold, note, note.range.to = note.range.from)),
            (11, change!(Hold, note, note.case = "another".into())),
            (12, change!(Retention, note, note.days.clear())),
            (
                12,
                change!(Retention, note, note.days[0].date = november(25)),
            ),
            (
                12,
                change!(
                    Retention,
                    note,
                    note.days[0].retain_until = Instant::from_millis(0)
                ),
            ),
            (13, change!(Disposal, note, note.days.clear())),
            (13, change!(Disposal, note, note.days[0].files += 1)),
            (13, change!(Disposal, note, note.days[0].lock = None)),
            (
                13,
                change!(Disposal, note, note.days[0].date = november(25)),
            ),
        ];
        for (n, (number, change)) in cases.into_iter().enumerate() {
            let (codes, dates) = check(number, change);
            assert_eq!(codes, [Code::RecordWrong], "case {n}");
            assert_eq!(dates, [], "case {n}: nothing is disposed of");
        }
    }

    #[test]
    fn a_disposal_covers_the_days_that_it_may_dispose_of() {
        assert_eq!(check(13, |_| {}).1, [november(22)]);
    }

    #[test]
    fn a_day_that_a_case_holds_is_not_disposed_of() {
        let held = before(10);
        let found = codes(|found| check_not_held(found, november(22), &held.obligations));
        assert_eq!(found, [Code::RecordWrong]);
        let released = before(12);
        let found = codes(|found| check_not_held(found, november(22), &released.obligations));
        assert_eq!(found, []);
    }
}
