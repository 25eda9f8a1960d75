//! Whether an acknowledgement, a hold, an extension or a disposal follows from the chain before it.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::audit::verify::chain::{CommittedDay, RevisionCheck};
use crate::audit::verify::finding::FindingCode;
use crate::audit::verify::record::Findings;
use crate::format::record::coverage::{Coverage, DayState};
use crate::format::record::lock::Lock;
use crate::format::record::manifest::Link;
use crate::format::record::notes::{
    AFTER_LOCK_MS, Acknowledgement, Disposal, DisposedDay, Extension, Hold, HoldAct, has_run_out,
};
use crate::format::record::obligations::Obligations;
use crate::format::row::observation::{Status, SummaryKind};
use crate::format::time::day::rfc3339;

/// Each day had these gaps then, in its newest revision, and nobody had acknowledged them.
pub fn acknowledgement(
    found: &mut Findings<'_>,
    note: &Acknowledgement,
    days: &BTreeMap<Date, CommittedDay>,
    before: &Coverage,
) {
    if note.days.is_empty() {
        found.add(
            FindingCode::RecordWrong,
            "an acknowledgement of some day",
            "one of none",
        );
    }
    for noted in &note.days {
        let date = noted.date;
        if before.state(date) != DayState::Gaps {
            let is = format!("{:?}", before.state(date)).to_lowercase();
            found.add(
                FindingCode::RecordWrong,
                format!("a day with gaps on {date}"),
                is,
            );
            continue;
        }
        let Some(newest) = days.get(&date).and_then(|day| day.revisions.last()) else {
            continue;
        };
        let failed = |kind| newest.record.day.statuses(kind).get(Status::Failed);
        let link = Link {
            key: newest.manifest_key.clone(),
            sha256: newest.manifest_sha256,
        };
        let same = noted.revision == newest.record.revision
            && noted.manifest == link
            && (noted.agent_failed, noted.auto_failed)
                == (failed(SummaryKind::Agent), failed(SummaryKind::Auto))
            && noted.incomplete_because == newest.record.incomplete_because;
        if !same {
            let expected = format!("the gaps of {date} as {} has them", newest.manifest_key);
            found.add(FindingCode::RecordWrong, expected, "others");
        }
    }
}

/// The range holds a day; a case that gives up days held some of them.
pub fn hold(found: &mut Findings<'_>, hold: &Hold, before: &Obligations) {
    if hold.range.from >= hold.range.to {
        found.add(
            FindingCode::RecordWrong,
            "a hold on some day",
            hold.range.to_string(),
        );
    }
    if hold.act == HoldAct::Remove && !before.touches(&hold.case, hold.range) {
        found.add(
            FindingCode::RecordWrong,
            "a case that holds some of these days",
            "one that holds none",
        );
    }
}

/// Each day is archived and of the range, and its lock is not shortened or weakened.
pub fn extension(
    found: &mut Findings<'_>,
    extension: &Extension,
    days: &BTreeMap<Date, CommittedDay>,
    (before, coverage): (&Obligations, &Coverage),
) {
    if extension.days.is_empty() {
        found.add(
            FindingCode::RecordWrong,
            "longer retention of some day",
            "of none",
        );
    }
    for extended in &extension.days {
        let date = extended.date;
        let kept = extension.range.contains(date) && coverage.state(date) != DayState::Disposed;
        let Some(day) = days.get(&date).filter(|_| kept) else {
            found.add(
                FindingCode::RecordWrong,
                format!("archived days of {}", extension.range),
                date.to_string(),
            );
            continue;
        };
        let Some(known) = lock_of(day, before.lock_on(date)) else {
            continue;
        };
        if known.stronger(extended.lock()) != extended.lock() {
            let expected = format!("{date} kept until {} at least", rfc3339(known.until_ms));
            found.add(
                FindingCode::RecordWrong,
                expected,
                rfc3339(extended.retain_until),
            );
        }
    }
}

/// What the chain asks of a day's objects.
fn lock_of(day: &CommittedDay, ordered: Option<Lock>) -> Option<Lock> {
    let own = day
        .revisions
        .iter()
        .filter_map(|revision| revision.record.object_lock.as_ref());
    own.map(|lock| lock.lock())
        .chain(ordered)
        .reduce(Lock::stronger)
}

/// Each day was whole, its lock had run out when this was committed, and no case held it. Returns the days of which that
/// is so: any other is not disposed of, whatever the record says, and must still have its files.
pub fn disposal(
    found: &mut Findings<'_>,
    (disposal, committed_at): (&Disposal, i64),
    days: &BTreeMap<Date, CommittedDay>,
    (before, coverage): (&Obligations, &Coverage),
) -> Vec<Date> {
    if disposal.days.is_empty() {
        found.add(
            FindingCode::RecordWrong,
            "a disposal of some day",
            "one of none",
        );
    }
    if !disposal.days.is_sorted_by(|one, next| one.date < next.date) {
        found.add(
            FindingCode::RecordWrong,
            "a disposal of days in their order",
            "another",
        );
    }
    let mut disposed = Vec::new();
    for named in &disposal.days {
        let date = named.date;
        let state = coverage.state(date);
        let whole =
            state.is_sealed() && state != DayState::Disposed && disposal.range.contains(date);
        let newest = days
            .get(&date)
            .and_then(|day| Some((day, day.revisions.last()?)));
        let Some((day, newest)) = newest.filter(|_| whole) else {
            let is = format!("{date}, {}", format!("{state:?}").to_lowercase());
            found.add(
                FindingCode::RecordWrong,
                format!("whole archived days of {}", disposal.range),
                is,
            );
            continue;
        };
        let before_this = found.found.len();
        same_day(found, named, day, newest);
        let known = lock_of(day, before.lock_on(date));
        not_kept(found, (named, committed_at), known, before);
        if found.found.len() == before_this {
            disposed.push(date);
        }
    }
    disposed
}

/// The record names the day as it was.
fn same_day(
    found: &mut Findings<'_>,
    named: &DisposedDay,
    day: &CommittedDay,
    newest: &RevisionCheck,
) {
    let link = Link {
        key: newest.manifest_key.clone(),
        sha256: newest.manifest_sha256,
    };
    let files = (
        day.files().count() as u64,
        day.files().map(|file| file.bytes).sum::<u64>(),
    );
    let same = named.revision == newest.record.revision
        && named.manifest == link
        && (named.files, named.bytes) == files;
    if !same {
        let expected = format!("{} as {} has it", named.date, newest.manifest_key);
        found.add(
            FindingCode::RecordWrong,
            expected,
            "another revision, or other files",
        );
    }
}

/// No lock that the chain knows of outlasts the one that is named, which had run out; and no case held the day.
fn not_kept(
    found: &mut Findings<'_>,
    (named, committed_at): (&DisposedDay, i64),
    known: Option<Lock>,
    before: &Obligations,
) {
    let (date, lock) = (named.date, named.lock.as_ref().map(|lock| lock.lock()));
    let until =
        |lock: Option<Lock>| lock.map_or("no lock".to_owned(), |lock| rfc3339(lock.until_ms));
    if let Some(known) = known.filter(|known| lock.is_none_or(|lock| lock.stronger(*known) != lock))
    {
        let expected = format!("{date} kept until {} at least", rfc3339(known.until_ms));
        found.add(FindingCode::RecordWrong, expected, until(lock));
    }
    if !has_run_out(lock, committed_at) {
        let latest = committed_at.saturating_sub(AFTER_LOCK_MS);
        let expected = format!("{date} kept until {} at most", rfc3339(latest));
        found.add(FindingCode::RecordWrong, expected, until(lock));
    }
    let cases: Vec<&str> = before.cases_on(date).into_keys().collect();
    if !cases.is_empty() {
        let found_case = format!("held for case {}", cases.join(", "));
        found.add(
            FindingCode::RecordWrong,
            format!("{date} held for no case"),
            found_case,
        );
    }
}
