//! The history of the golden archive: every kind of record of version 1, in an order in which they
//! can occur.

use cxvault::format::hash::digest::Digest;
use cxvault::format::place::key;
use cxvault::format::record::copy::CopyRecord;
use cxvault::format::record::head::Head;
use cxvault::format::record::lock::LockMode;
use cxvault::format::record::manifest::{
    DayRecord, Discovery, Incomplete, Leftover, ObjectLock, Recheck, Record, Why,
};
use cxvault::format::record::notes::{
    AcknowledgedDay, Acknowledgement, DateSpan, Disposal, DisposedDay, ExtendedDay, Extension,
    Hold, HoldAct,
};
use cxvault::format::record::open::OpenValue;
use cxvault::format::record::roster::{
    AccountListing, ChainHead, Ended, Inventory, RosterEntry, Takeover,
};
use cxvault::format::record::warning::{Warning, WarningCode};
use cxvault::format::row::omit::Omission;
use cxvault::format::signature::SigningKey;
use cxvault::format::time::instant::Instant;

use super::make::{ARCHIVE_ID, Chain, Golden, Roster, windows};
use super::rows::{self, instant};

pub const SUB_ACCOUNT: &str = "99999999";
/// A sub-account in another time zone, whose only day has 25 hours.
pub const OTHER: &str = "ny_1-A";

const FIRST_PLACE: &str = "s3://acme-cx-archive/ringcx";
/// A folder: it has neither versions nor locks.
const SECOND_PLACE: &str = "/srv/cx-archive";

/// Returns the golden archive as the code writes it today.
pub fn make(signer: SigningKey) -> Golden {
    let mut golden = Golden::new(signer);
    let (mut chain, mut roster) = (Chain::new(SUB_ACCOUNT, "UTC"), Roster::default());
    let mut other = Chain::new(OTHER, "America/New_York");
    first_days(&mut golden, &mut chain);
    roster_of_first_days(&mut golden, &mut roster, chain.head());
    adopted_and_left_out(&mut golden, &mut chain);
    one_goes_missing(&mut golden, &mut roster, chain.head());
    gaps(&mut golden, &mut chain);
    long_day(&mut golden, &mut other);
    other_zone(&mut golden, &mut roster, other.head());
    acknowledged_and_held(&mut golden, &mut chain);
    rechecked(&mut golden, &mut chain);
    kept_and_disposed(&mut golden, &mut chain);
    nothing_changed(&mut golden, &mut chain);
    missing_one_acknowledged(&mut golden, &mut roster, chain.head());
    taken_over(&mut golden, &mut roster, (&chain, &other));
    after_the_takeover(&mut golden, &mut chain);
    roster_after_the_takeover(&mut golden, &mut roster, chain.head());
    for sequence in [3, 14, 17] {
        golden.anchor(chain.anchor(sequence));
    }
    golden.anchor(other.anchor(1));
    for sequence in [1, 4, 6] {
        golden.anchor(roster.anchor(sequence));
    }
    golden
}

fn lock(mode: LockMode, until: &str) -> Option<ObjectLock> {
    Some(ObjectLock {
        mode,
        retain_until: Instant::parse(until).unwrap(),
    })
}

fn seven_years() -> Option<ObjectLock> {
    lock(LockMode::Compliance, "2033-11-21T02:00:00.000Z")
}

fn incomplete(record: DayRecord, incomplete_because: Vec<Incomplete>) -> DayRecord {
    DayRecord {
        complete: false,
        incomplete_because: incomplete_because.into_iter().map(Into::into).collect(),
        ..record
    }
}

/// Numbers 1 to 3: a day with gaps, its second revision without gaps, and a day without segments.
fn first_days(golden: &mut Golden, chain: &mut Chain) {
    let (date, none) = ("2026-11-20", Omission::default());
    let window = chain.window(date);
    let file = chain.part(golden, date, 0, rows::first(window), &none);
    let first = chain.day(golden, date, vec![file]).record;
    let first = DayRecord {
        object_lock: seven_years(),
        source_retention_days: Some(90),
        ..incomplete(first, vec![Incomplete::SummariesFailed])
    };
    chain.commit_day(golden, first, window.end_ms + 11_800_000);

    let file = chain.part(golden, date, 0, rows::filled(window), &none);
    let second = chain.day(golden, date, vec![file]).record;
    let leftover = Leftover {
        key: key::part(SUB_ACCOUNT, second.date, 1, 1),
        sha256: Digest::of(b"left"),
        why: "not-committed".into(),
    };
    let second = DayRecord {
        leftovers: vec![leftover],
        ..second
    };
    chain.commit_day(golden, second, window.end_ms + 11_800_000);

    let date = "2026-11-21";
    let mut empty = chain.day(golden, date, Vec::new()).record;
    let code = WarningCode::LowVolume;
    empty.warnings = vec![Warning {
        code: code.into(),
        agent_group: None,
        found: 0,
        usual: 412,
        acknowledged: true,
    }];
    chain.commit_day(golden, empty, chain.window(date).end_ms + 11_800_000);
}

/// Numbers 4 and 5: a day that is disposed of later, and a day whose settings left out fields.
/// Before the second there are a part of an attempt with other settings and an object of another
/// program.
fn adopted_and_left_out(golden: &mut Golden, chain: &mut Chain) {
    let (date, none) = ("2026-11-22", Omission::default());
    let window = chain.window(date);
    let file = chain.part(golden, date, 0, rows::short_lived(window), &none);
    let record = chain.day(golden, date, vec![file]).record;
    let object_lock = lock(LockMode::Governance, "2026-11-24T03:00:00.000Z");
    chain.commit_day(
        golden,
        DayRecord {
            object_lock,
            ..record
        },
        window.end_ms + 11_800_000,
    );

    let date = "2026-11-23";
    let window = chain.window(date);
    let omitted: Omission = ["agentNotes", "contactEndpointAddress", "Gr\u{f6}\u{df}e"]
        .map(str::to_owned)
        .into_iter()
        .collect();
    let mut adopted = chain.part(golden, date, 0, rows::adopted(window), &none);
    (adopted.adopted, adopted.omitted_fields) = (true, Some(none));
    adopted.version_id =
        Some("3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo".into());
    let mut own = chain.part(golden, date, 2, rows::lacking(window), &omitted);
    own.version_id = Some("b6a84b9e-37d4-4f0c-a6ad-dd1c5fa5d6ee".into());
    let foreign = key::part(SUB_ACCOUNT, date.parse().unwrap(), 1, 1);
    golden
        .objects
        .insert(foreign.clone(), b"no part\n".to_vec());
    let leftover = Leftover {
        key: foreign,
        sha256: Digest::of(b"no part\n"),
        why: "malformed".into(),
    };
    let revision = chain.day(golden, date, vec![adopted, own]);
    // A segment of the killed attempt is listed again, one is not, and one is listed twice.
    let listed = [
        &revision.rows[..1],
        &revision.rows[2..],
        &revision.rows[2..],
    ]
    .concat();
    let windows = windows(window, &listed, window.end_ms + 7_200_000);
    let discovery = Discovery::Windows {
        windows,
        objects: 3,
        duplicates: 1,
        adopted_only: 1,
    };
    let record = DayRecord {
        discovery,
        leftovers: vec![leftover],
        object_lock: seven_years(),
        omitted_fields: omitted,
        ..revision.record
    };
    chain.commit_day(golden, record, window.end_ms + 11_800_000);
}

/// Numbers 6 and 7: a day with gaps, and, after a date that is never archived, a day with gaps for
/// every reason.
fn gaps(golden: &mut Golden, chain: &mut Chain) {
    let (date, none) = ("2026-11-24", Omission::default());
    let window = chain.window(date);
    let file = chain.part(golden, date, 0, rows::gaps(window), &none);
    let record = chain.day(golden, date, vec![file]).record;
    let record = incomplete(record, vec![Incomplete::SummariesFailed]);
    chain.commit_day(golden, record, window.end_ms + 11_800_000);

    let date = "2026-11-26";
    let window = chain.window(date);
    let mut adopted = chain.part(golden, date, 0, rows::skipped(window), &none);
    adopted.adopted = true;
    let own = chain.part(golden, date, 1, rows::failed(window), &none);
    let record = chain.day(golden, date, vec![adopted, own]).record;
    let warning = |code, agent_group: Option<&str>, found, usual| {
        let agent_group = agent_group.map(str::to_owned);
        Warning {
            code: OpenValue::Known(code),
            agent_group,
            found,
            usual,
            acknowledged: false,
        }
    };
    let warnings = vec![
        warning(WarningCode::LowVolume, None, 2, 400),
        warning(WarningCode::SummariesStopped, Some("4101"), 0, 1),
    ];
    let because = vec![
        Incomplete::SummariesFailed,
        Incomplete::WantedSummariesSkipped,
        Incomplete::BeyondSourceRetention,
    ];
    let record = incomplete(record, because);
    let record = DayRecord {
        why: Why::Backfill.into(),
        warnings,
        source_retention_days: Some(0),
        ..record
    };
    chain.commit_day(golden, record, window.end_ms + 11_800_000);
}

/// The only number of the other chain: a first day without segments, and nine windows.
fn long_day(golden: &mut Golden, other: &mut Chain) {
    let mut record = other.day(golden, "2026-11-01", Vec::new()).record;
    record.why = Why::Backfill.into();
    let code = WarningCode::FirstDayEmpty;
    record.warnings = vec![Warning {
        code: code.into(),
        agent_group: None,
        found: 0,
        usual: 0,
        acknowledged: false,
    }];
    other.commit_day(golden, record, instant("2026-11-25T10:00:00.000Z"));
}

/// Numbers 8 and 9.
fn acknowledged_and_held(golden: &mut Golden, chain: &mut Chain) {
    let day = AcknowledgedDay {
        date: "2026-11-24".parse().unwrap(),
        revision: 1,
        manifest: chain.newest("2026-11-24"),
        agent_failed: 1,
        auto_failed: 2,
        incomplete_because: vec![Incomplete::SummariesFailed.into()],
    };
    let reason = "RingCX answers 500 for these; ticket 4711".to_owned();
    let note = Acknowledgement {
        days: vec![day],
        reason,
        by: Some("A. Operator".into()),
    };
    let at = instant("2026-11-27T09:00:00.000Z");
    chain.commit(golden, Record::Acknowledgement(Box::new(note)), at);
    let range = ("2026-11-20", "2026-11-24");
    hold(
        golden,
        chain,
        (HoldAct::Add, "2026-0815", range, true),
        "2026-11-27T10:00:00.000Z",
    );
}

fn span((from, to): (&str, &str)) -> DateSpan {
    DateSpan::new(from.parse().unwrap(), to.parse().unwrap()).unwrap()
}

fn hold(
    golden: &mut Golden,
    chain: &mut Chain,
    (act, case, range, enforced): (HoldAct, &str, (&str, &str), bool),
    at: &str,
) {
    let (case, range) = (case.to_owned(), span(range));
    let hold = Hold {
        act,
        case,
        range,
        reason: "Doe ./. Beispiel & S\u{f6}hne".into(),
        by: None,
        enforced,
    };
    chain.commit(golden, Record::Hold(Box::new(hold)), instant(at));
}

/// Number 10: everything that a recheck can find, except for a segment that has come back.
fn rechecked(golden: &mut Golden, chain: &mut Chain) {
    let date = "2026-11-20";
    let window = chain.window(date);
    let file = chain.part(
        golden,
        date,
        0,
        rows::rechecked(window),
        &Omission::default(),
    );
    let revision = chain.day(golden, date, vec![file]);
    assert!(revision.changes.new_segments == 1 && revision.changes.vanished_segments == 1);
    let asked_at = instant("2026-11-28T03:01:00.000Z");
    let windows = windows(window, &rows::listed_again(window), asked_at);
    let recheck = Recheck {
        statuses: "all".parse().unwrap(),
        looked_at: 8,
        changes: revision.changes,
    };
    let record = DayRecord {
        why: Why::Recheck.into(),
        discovery: Discovery::Windows {
            windows,
            objects: 5,
            duplicates: 0,
            adopted_only: 0,
        },
        recheck: Some(recheck),
        object_lock: seven_years(),
        ..revision.record
    };
    chain.commit_day(golden, record, instant("2026-11-28T03:30:00.000Z"));
}

/// Numbers 11 to 13: a hold is removed from two of its days, other days get longer retention, and
/// one of the two days is disposed of.
fn kept_and_disposed(golden: &mut Golden, chain: &mut Chain) {
    let range = ("2026-11-22", "2026-11-24");
    hold(
        golden,
        chain,
        (HoldAct::Remove, "2026-0815", range, true),
        "2026-11-28T09:00:00.000Z",
    );
    let extended = |date: &str, mode| ExtendedDay {
        date: date.parse().unwrap(),
        mode,
        retain_until: Instant::parse("2036-11-21T02:00:00.000Z").unwrap(),
    };
    let days = vec![
        extended("2026-11-20", LockMode::Compliance),
        extended("2026-11-21", LockMode::Governance),
    ];
    let extension = Extension {
        range: span(("2026-11-20", "2026-11-22")),
        days,
        reason: None,
        by: None,
    };
    let at = instant("2026-11-28T09:30:00.000Z");
    chain.commit(golden, Record::Retention(Box::new(extension)), at);

    let date = "2026-11-22".parse().unwrap();
    let gone = key::part(SUB_ACCOUNT, date, 1, 0);
    let bytes = golden.objects.remove(&gone).unwrap().len() as u64;
    golden.rows.remove(&gone);
    let day = DisposedDay {
        date,
        revision: 1,
        manifest: chain.newest("2026-11-22"),
        files: 1,
        bytes,
        lock: lock(LockMode::Governance, "2026-11-24T03:00:00.000Z"),
    };
    let range = span(("2026-11-22", "2026-11-23"));
    let (reason, by) = ("retention ended".to_owned(), Some("A. Operator".to_owned()));
    let disposal = Disposal {
        range,
        days: vec![day],
        reason,
        by,
    };
    let at = instant("2026-11-28T10:00:00.000Z");
    chain.commit(golden, Record::Disposal(Box::new(disposal)), at);
}

/// Number 14: a recheck that finds no change.
fn nothing_changed(golden: &mut Golden, chain: &mut Chain) {
    let date = "2026-11-20";
    let window = chain.window(date);
    let revision = chain.day(golden, date, Vec::new());
    let asked_at = instant("2026-11-29T03:01:00.000Z");
    let discovery = Discovery::Windows {
        windows: windows(window, &rows::listed_again(window), asked_at),
        objects: 5,
        duplicates: 0,
        adopted_only: 0,
    };
    let (statuses, changes) = ("empty,not-found,failed".parse().unwrap(), revision.changes);
    assert!(changes.is_empty());
    let recheck = Some(Recheck {
        statuses,
        looked_at: 4,
        changes,
    });
    let record = DayRecord {
        why: Why::Recheck.into(),
        discovery,
        recheck,
        ..revision.record
    };
    chain.commit_day(golden, record, instant("2026-11-29T03:30:00.000Z"));
}

/// Numbers 15 to 17: a hold where nothing enforces it, an acknowledged day with a gap less, and a
/// new day.
fn after_the_takeover(golden: &mut Golden, chain: &mut Chain) {
    let range = ("2026-11-26", "2026-12-01");
    let case = (
        HoldAct::Add,
        "Az. 12 O 34/26 \u{2013} M\u{fc}ller",
        range,
        false,
    );
    hold(golden, chain, case, "2026-11-30T09:00:00.000Z");

    let (date, none) = ("2026-11-24", Omission::default());
    let file = chain.part(
        golden,
        date,
        0,
        rows::one_gap_less(chain.window(date)),
        &none,
    );
    let record = chain.day(golden, date, vec![file]).record;
    let record = incomplete(record, vec![Incomplete::SummariesFailed]);
    chain.commit_day(golden, record, instant("2026-12-01T03:10:00.000Z"));

    let date = "2026-11-27";
    let file = chain.part(
        golden,
        date,
        0,
        rows::after_the_takeover(chain.window(date)),
        &none,
    );
    let record = chain.day(golden, date, vec![file]).record;
    chain.commit_day(golden, record, instant("2026-12-01T03:20:00.000Z"));
}

fn ids(ids: &[&str]) -> std::collections::BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// A run that requested the list of sub-accounts and got all of it.
fn listing(listed: &[&str], head: Head) -> AccountListing {
    let heads = [(SUB_ACCOUNT.to_owned(), head)].into();
    let outcomes = [(SUB_ACCOUNT.to_owned(), Ended::Done)].into();
    AccountListing {
        listed: ids(listed),
        complete: true,
        outcomes,
        heads,
        ..AccountListing::default()
    }
}

fn call(
    golden: &mut Golden,
    roster: &mut Roster,
    (command, exit): (&str, Ended),
    seen: AccountListing,
    at: &str,
) {
    let before = roster.newest.as_ref();
    let roll = Inventory::updated(command, exit, &seen, before, roster.next_sequence()).unwrap();
    let place = match roster.next_sequence() {
        ..5 => (FIRST_PLACE, seven_years()),
        _ => (SECOND_PLACE, None),
    };
    roster.commit(golden, place, RosterEntry::Roster(Box::new(roll)), at);
}

fn roster_of_first_days(golden: &mut Golden, roster: &mut Roster, head: Head) {
    let seen = listing(&["88888888", SUB_ACCOUNT], head);
    call(
        golden,
        roster,
        ("run", Ended::Done),
        seen,
        "2026-11-22T04:18:20.000Z",
    );
}

/// 88888888 is no longer listed.
fn one_goes_missing(golden: &mut Golden, roster: &mut Roster, head: Head) {
    let seen = listing(&[SUB_ACCOUNT], head);
    call(
        golden,
        roster,
        ("run", Ended::Denied),
        seen,
        "2026-11-24T03:20:00.000Z",
    );
}

/// A run for one sub-account, which requests no list and forgets nothing.
fn other_zone(golden: &mut Golden, roster: &mut Roster, head: Head) {
    let seen = AccountListing {
        named: ids(&[OTHER]),
        narrowed: true,
        outcomes: [(OTHER.to_owned(), Ended::Gaps)].into(),
        heads: [(OTHER.to_owned(), head)].into(),
        ..AccountListing::default()
    };
    call(
        golden,
        roster,
        ("backfill", Ended::Gaps),
        seen,
        "2026-11-27T08:00:00.000Z",
    );
}

fn missing_one_acknowledged(golden: &mut Golden, roster: &mut Roster, head: Head) {
    let seen = AccountListing {
        acknowledge: vec!["unlisted:88888888".to_owned()],
        ..listing(&["77777777", SUB_ACCOUNT, OTHER], head)
    };
    call(
        golden,
        roster,
        ("recheck", Ended::Done),
        seen,
        "2026-11-29T03:40:00.000Z",
    );
}

/// A copy was made of the archive as it was then, and the original was given up.
fn taken_over(golden: &mut Golden, roster: &mut Roster, (chain, other): (&Chain, &Chain)) {
    let heads = [chain, other].map(|chain| ChainHead {
        id: chain.name.clone(),
        head: chain.head(),
    });
    let mark = CopyRecord {
        archive_id: ARCHIVE_ID.into(),
        copied_at: Instant::parse("2026-11-29T12:00:00.000Z").unwrap(),
        from: FIRST_PLACE.into(),
        format_version: cxvault::format::row::schema::FORMAT_VERSION,
        roster: roster.head.clone(),
        sub_accounts: heads.clone().into(),
        tool_version: "0.1.0".into(),
    };
    let mark = mark.to_bytes().unwrap();
    let takeover = Takeover {
        from: Some(FIRST_PLACE.into()),
        copy: Some(Digest::of(&mark)),
        sub_accounts: heads.into(),
        reason: "the region was given up".into(),
        by: Some("A. Operator".into()),
    };
    golden.objects.insert(key::COPY.into(), mark);
    let entry = RosterEntry::Takeover(Box::new(takeover));
    roster.commit(
        golden,
        (SECOND_PLACE, None),
        entry,
        "2026-11-30T08:00:00.000Z",
    );
}

/// 77777777 is no longer listed, and the operator has not acknowledged it yet.
fn roster_after_the_takeover(golden: &mut Golden, roster: &mut Roster, head: Head) {
    let seen = listing(&[SUB_ACCOUNT, OTHER], head);
    call(
        golden,
        roster,
        ("run", Ended::Denied),
        seen,
        "2026-12-01T03:30:00.000Z",
    );
}
