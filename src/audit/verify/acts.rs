//! Whether an acknowledgement, a hold or an extension follows from the chain before it.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::chain::Day;
use super::record::Findings;
use crate::archive::act::{Acknowledgement, Extension, Hold, HoldAct};
use crate::archive::coverage::{Coverage, DayState};
use crate::archive::day::rfc3339;
use crate::archive::finding::Code;
use crate::archive::lock::Lock;
use crate::archive::manifest::Link;
use crate::archive::observation::{Kind, Status};
use crate::archive::orders::Orders;

/// Each day had these gaps then, in its newest revision, and nobody had acknowledged them.
pub fn acknowledgement(
    found: &mut Findings<'_>,
    note: &Acknowledgement,
    days: &BTreeMap<Date, Day>,
    before: &Coverage,
) {
    if note.days.is_empty() {
        found.add(Code::RecordWrong, "an acknowledgement of some day", "one of none");
    }
    for noted in &note.days {
        let date = noted.date;
        if before.state(date) != DayState::Gaps {
            let is = format!("{:?}", before.state(date)).to_lowercase();
            found.add(Code::RecordWrong, format!("a day with gaps on {date}"), is);
            continue;
        }
        let Some(newest) = days.get(&date).and_then(|day| day.revisions.last()) else { continue };
        let failed = |kind| newest.record.day.statuses(kind).get(Status::Failed);
        let link = Link { key: newest.manifest_key.clone(), sha256: newest.manifest_sha256 };
        let same = noted.revision == newest.record.revision
            && noted.manifest == link
            && (noted.agent_failed, noted.auto_failed) == (failed(Kind::Agent), failed(Kind::Auto))
            && noted.incomplete_because == newest.record.incomplete_because;
        if !same {
            let expected = format!("the gaps of {date} as {} has them", newest.manifest_key);
            found.add(Code::RecordWrong, expected, "others");
        }
    }
}

/// The range holds a day; a case that gives up days held some of them.
pub fn hold(found: &mut Findings<'_>, hold: &Hold, before: &Orders) {
    if hold.range.from >= hold.range.to {
        found.add(Code::RecordWrong, "a hold on some day", hold.range.to_string());
    }
    if hold.act == HoldAct::Remove && !before.touches(&hold.case, hold.range) {
        found.add(Code::RecordWrong, "a case that holds some of these days", "one that holds none");
    }
}

/// Each day is archived and of the range, and its lock is not shortened or weakened.
pub fn extension(
    found: &mut Findings<'_>,
    extension: &Extension,
    days: &BTreeMap<Date, Day>,
    before: &Orders,
) {
    if extension.days.is_empty() {
        found.add(Code::RecordWrong, "longer retention of some day", "of none");
    }
    for extended in &extension.days {
        let date = extended.date;
        let Some(day) = days.get(&date).filter(|_| extension.range.contains(date)) else {
            found.add(Code::RecordWrong, format!("archived days of {}", extension.range), date.to_string());
            continue;
        };
        let own = day.revisions.iter().filter_map(|revision| revision.record.object_lock.as_ref());
        let own = own.map(|lock| lock.lock());
        let Some(known) = own.chain(before.lock_on(date)).reduce(Lock::stronger) else { continue };
        if known.stronger(extended.lock()) != extended.lock() {
            let expected = format!("{date} kept until {} at least", rfc3339(known.until_ms));
            found.add(Code::RecordWrong, expected, rfc3339(extended.retain_until));
        }
    }
}
