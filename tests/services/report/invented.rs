//! Reports of archives that no test could make: too large, too unusual or hostile.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use cxvault::audit::calendar::{Calendar, CalendarDay, LockSummary};
use cxvault::command::inspect::report::chain::ReportedChain;
use cxvault::command::inspect::report::contents::Report;
use cxvault::command::inspect::report::details::{ChainDetails, DayGap};
use cxvault::command::inspect::report::page;
use cxvault::format::record::coverage::DayState;
use cxvault::format::record::manifest::Incomplete;
use cxvault::format::record::warning::{Warning, WarningCode};
use cxvault::format::row::tally::{GroupShare, Statuses, Tally};
use jiff::ToSpan as _;
use jiff::civil::Date;

use crate::support::random::Random;
use crate::support::target;

/// Returns the path of a page or a picture of it, which stays there for a person to view.
pub fn shown(name: &str) -> PathBuf {
    let folder = target().join("report");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

pub fn write(report: &Report, name: &str) -> PathBuf {
    let path = shown(name);
    fs::write(&path, page::render(report).unwrap()).unwrap();
    path
}

/// Returns a report of these chains and nothing else.
pub fn report(chains: Vec<ReportedChain>) -> Report {
    Report {
        archive: "s3://acme-cx-archive/ringcx".into(),
        archive_id: "0123456789abcdef0123456789abcdef".into(),
        made_at: 1_795_500_000_000,
        chains,
        roster: None,
        damaged: Vec::new(),
        verification: None,
    }
}

/// Invents days with busy weekdays, quiet weekends and a few failures.
pub fn made_up(accounts: u32, first: Date, days: u32) -> Report {
    report((0..accounts).map(|n| chain(n, first, days)).collect())
}

fn chain(n: u32, first: Date, days: u32) -> ReportedChain {
    let mut random = Random(u64::from(n) + 7);
    let usual = 200 + random.below(6_000);
    let dates = (0..days).map(|offset| first.saturating_add(i64::from(offset).days()));
    let days: Vec<CalendarDay> = dates.map(|date| day(date, usual, &mut random)).collect();
    let failing = days.iter().filter(|day| day.counts.failed() > 0);
    let gap = |day: &CalendarDay| {
        let failures = BTreeMap::from([("http_500".to_owned(), day.counts.failed())]);
        (
            day.date,
            DayGap {
                reasons: vec![Incomplete::SummariesFailed.into()],
                failures,
            },
        )
    };
    let details = ChainDetails {
        signers: [Some(
            "SHA256:oWaEQ5ebTTWGFGLe38Wj8XGkfNNqSk7PpXcJCyrCxJQ".into(),
        )]
        .into(),
        gaps: failing.map(gap).collect(),
    };
    let mut calendar = calendar(&(10_000_000 + n * 7_919).to_string(), days);
    if n % 40 == 1 {
        let without_ai = GroupShare {
            segments: 4_211,
            agent_present: 4_000,
            auto_present: 0,
        };
        calendar.groups.insert("1187".into(), without_ai);
    }
    ReportedChain::of(&calendar, &details, None)
}

/// Returns a chain of these days with a lock.
pub fn calendar(sub_account: &str, days: Vec<CalendarDay>) -> Calendar {
    let sha256 = "19a81bcb04fd139b685801d36755c29eb95cdff4f466cf169fd76d6f5d600ff8";
    Calendar {
        sub_account: sub_account.into(),
        head: format!("{sub_account}:{}:{sha256}", days.len()),
        zone: "America/New_York".into(),
        committed_at: cxvault::format::time::instant::Instant::from_millis(1_795_400_000_000),
        archived: days
            .first()
            .zip(days.last())
            .map(|(first, last)| (first.date, last.date)),
        groups: BTreeMap::new(),
        locks: Some(LockSummary {
            compliance: true,
            governance: false,
            earliest_end: 1_900_000_000_000,
            latest_end: 2_000_000_000_000,
            unlocked: 0,
        }),
        days,
    }
}

fn day(date: Date, usual: u64, random: &mut Random) -> CalendarDay {
    let weekend = date.weekday().to_monday_one_offset() > 5;
    let segments = if weekend {
        0
    } else {
        usual * 7 / 10 + random.below(usual / 2)
    };
    let chance = random.below(2_000);
    let state = match (chance, segments) {
        (0..3, _) => DayState::Missing,
        (3..6, 1..) => DayState::Gaps,
        (6, 1..) => DayState::Acknowledged,
        (_, 0) => DayState::Empty,
        _ => DayState::Complete,
    };
    let failed = match state {
        DayState::Gaps | DayState::Acknowledged => 1 + random.below(20),
        _ => 0,
    };
    let mut statuses = |failed: u64| {
        let empty = segments * (4 + random.below(6)) / 100;
        let not_found = segments * (6 + random.below(9)) / 100;
        Statuses {
            present: segments - empty - not_found - failed,
            empty,
            not_found,
            failed,
            ..Statuses::default()
        }
    };
    let counts = Tally {
        segments,
        agent: statuses(failed),
        auto: statuses(0),
        ..Tally::default()
    };
    CalendarDay {
        warnings: if chance == 500 {
            vec![low_volume()]
        } else {
            Vec::new()
        },
        revisions: 1 + u32::from(chance > 1_970),
        ..bare_day(
            date,
            state,
            if state == DayState::Missing {
                Tally::default()
            } else {
                counts
            },
        )
    }
}

pub fn low_volume() -> Warning {
    Warning {
        code: (WarningCode::LowVolume).into(),
        agent_group: None,
        found: 12,
        usual: 400,
        acknowledged: false,
    }
}

/// Returns a day with one revision.
pub fn bare_day(date: Date, state: DayState, counts: Tally) -> CalendarDay {
    let revisions = u32::from(state != DayState::Missing);
    let bytes = counts.segments * 560;
    CalendarDay {
        date,
        state,
        revisions,
        counts,
        files: u64::from(revisions),
        bytes,
        warnings: Vec::new(),
    }
}
