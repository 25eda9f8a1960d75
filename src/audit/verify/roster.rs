//! The roster: a chain like the others, which says of all of them where they stood. What it vouches for is held against
//! the other chains as these are read.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::audit::verify::Verifier;
use crate::audit::verify::finding::{Finding, FindingCode};
use crate::audit::verify::heads::RecordCheck;
use crate::audit::verify::links::{LinkCheck, ReadRecord};
use crate::audit::verify::objects::kept;
use crate::audit::verify::record::{Findings, run_times};
use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::head::Head;
use crate::format::record::lock::Lock;
use crate::format::record::manifest::Link;
use crate::format::record::roster;
use crate::format::record::roster::{Inventory, RosterRecord, SubAccountEntry};
use crate::format::signature::AllowedSigners;
use crate::outcome::{Failure, Result};

/// What a roster says lies at a number of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VouchedChain {
    pub sha256: Digest,
    /// Number of the roster that said so first.
    pub by: u64,
}

/// What all rosters say of the other chains.
#[derive(Debug, Default)]
pub struct Rostered {
    /// By sub-account and number.
    pub heads: BTreeMap<String, BTreeMap<u64, VouchedChain>>,
    /// Where each chain stood when the archive was last taken over.
    pub taken: BTreeMap<String, u64>,
    /// Its own: `roster:SEQUENCE:SHA256`.
    pub head: Option<String>,
}

/// Takes the rosters in order.
struct RosterCheck<'a> {
    links: LinkCheck<'a>,
    rostered: Rostered,
    newest: Option<Inventory>,
    takeover: Option<Link>,
    /// The newest takeover: its record, from where, and to where.
    moved: Option<(String, String, String)>,
    /// Locks of the records that were written at this place.
    locks: Vec<(String, Lock)>,
    place: String,
}

impl<'a> RecordCheck<'a> for RosterCheck<'a> {
    type Record = RosterRecord;

    fn links(&mut self) -> &mut LinkCheck<'a> {
        &mut self.links
    }

    fn next(&mut self, sequence: u64, object: ReadRecord<RosterRecord>) -> Vec<Finding> {
        let key = key::manifest(key::ROSTER, sequence);
        let mut found = Findings {
            object: &key,
            found: Vec::new(),
        };
        let sha256 = object.sha256;
        if let Some(envelope) = self.links.next(&mut found, sequence, object) {
            self.takeover(&mut found, &envelope.manifest, sha256);
            self.record(&mut found, envelope.manifest);
        }
        found.found
    }
}

impl<'a> RosterCheck<'a> {
    fn new(archive_id: &str, root: &str, allowed: &'a AllowedSigners) -> Self {
        RosterCheck {
            links: LinkCheck::new(archive_id, key::ROSTER, allowed),
            rostered: Rostered::default(),
            newest: None,
            takeover: None,
            moved: None,
            locks: Vec::new(),
            place: roster::place(root),
        }
    }

    /// A writer finds out by this link alone whether it may write here.
    fn takeover(&mut self, found: &mut Findings<'_>, record: &RosterRecord, sha256: Digest) {
        if !self.links.broken && self.takeover != record.takeover {
            let text = |link: &Option<Link>| {
                link.as_ref()
                    .map_or("nothing".to_owned(), |link| link.key.clone())
            };
            let expected = format!("the newest takeover before it: {}", text(&self.takeover));
            found.add(FindingCode::RosterWrong, expected, text(&record.takeover));
        }
        self.takeover = record.takeover_for_next(sha256);
        if let Some(takeover) = record.as_takeover() {
            let from = takeover
                .from
                .clone()
                .unwrap_or_else(|| "another place".to_owned());
            self.moved = Some((record.key.clone(), from, record.place.clone()));
            let taken = takeover
                .sub_accounts
                .iter()
                .map(|one| (one.id.clone(), one.head.sequence));
            self.rostered.taken = taken.collect();
        }
    }

    fn record(&mut self, found: &mut Findings<'_>, record: RosterRecord) {
        run_times(found, &record.run);
        for (id, head) in record.heads() {
            let vouched = VouchedChain {
                sha256: head.sha256,
                by: record.sequence,
            };
            let heads = self.rostered.heads.entry(id.to_owned()).or_default();
            let first = heads.entry(head.sequence).or_insert(vouched);
            if first.sha256 != head.sha256 {
                found.add(
                    FindingCode::RosterWrong,
                    format!("{id} {}", first.sha256),
                    head.sha256.hex(),
                );
            }
        }
        if let Some(lock) = record
            .object_lock
            .as_ref()
            .filter(|_| record.place == self.place)
        {
            self.locks.push((record.key.clone(), lock.lock()));
        }
        if let Some(roll) = record.inventory() {
            // Of what is missing between them nobody knows what it said.
            if let Some(before) = self.newest.as_ref().filter(|_| !self.links.broken) {
                follows(found, roll, before);
            }
            self.newest = Some(roll.clone());
        }
    }
}

/// No sub-account is forgotten, none goes back, and none that was counted on goes missing without being missed.
fn follows(found: &mut Findings<'_>, roll: &Inventory, before: &Inventory) {
    for earlier in &before.sub_accounts {
        let id = &earlier.id;
        let Some(member) = roll.entry(id) else {
            found.add(
                FindingCode::RosterWrong,
                format!("sub-account {id}"),
                "nothing of it",
            );
            continue;
        };
        let number =
            |member: &SubAccountEntry| member.head.as_ref().map_or(0, |head| head.sequence);
        if number(member) < number(earlier) {
            let expected = format!("{id} at {} at least", number(earlier));
            found.add(
                FindingCode::RosterWrong,
                expected,
                number(member).to_string(),
            );
        }
        let missed = member.unlisted.is_some() || !earlier.is_expected();
        if member.listed == Some(false) && !missed {
            found.add(
                FindingCode::RosterWrong,
                format!("{id} missed since it is not listed"),
                "not missed",
            );
        }
    }
}

impl Verifier<'_> {
    /// Reads the roster's chain, and keeps what it vouches for.
    pub async fn roster(&mut self) -> Result<()> {
        let mut check =
            RosterCheck::new(&self.archive_id, &self.store.root(), &self.options.allowed);
        let anchored = self.anchored(key::ROSTER).await?;
        let seen = self
            .read_chain(&mut check, &self.known_numbers(key::ROSTER, &anchored))
            .await?;
        let RosterCheck {
            links,
            rostered,
            newest,
            moved,
            locks,
            ..
        } = check;
        let known = self.kept_heads(&links, &seen) | self.anchored_heads(&links, &anchored, &seen);
        if links.records > 0 {
            if !known {
                self.unknown_end(&links);
            }
            self.signed(&links);
        } else if !known && !self.archive_id.is_empty() {
            self.report(Finding::new(
                FindingCode::NoRoster,
                key::ROSTERS,
                "a roster",
                "none",
            ));
        }
        self.roster_locks(locks).await?;
        if let Some((record, from, to)) = moved {
            self.report(Finding::new(FindingCode::TakenOver, record, from, to));
        }
        newest.iter().for_each(|roll| self.no_longer_listed(roll));
        self.count(|totals| totals.rosters += links.records);
        let head = links
            .head
            .map(|(sequence, sha256)| Head { sequence, sha256 }.of_chain(key::ROSTER).to_string());
        self.rostered = Rostered { head, ..rostered };
        Ok(())
    }

    /// Locks that the records say they were put under, where the store keeps locks and this is where it was.
    async fn roster_locks(&self, locks: Vec<(String, Lock)>) -> Result<()> {
        if !self.remote {
            return Ok(());
        }
        let look = |(object, lock): (String, Lock)| async move {
            let mut found = Vec::new();
            if let Some(stat) = self.store.stat(&object).await? {
                kept(&object, Some(lock), false, &stat, &mut found);
            }
            Ok::<_, Failure>(found)
        };
        let mut looks = stream::iter(locks)
            .map(look)
            .buffer_unordered(self.at_once());
        while let Some(found) = looks.try_next().await? {
            self.check_stop()?;
            found.into_iter().for_each(|finding| self.report(finding));
        }
        Ok(())
    }

    fn no_longer_listed(&self, newest: &Inventory) {
        let wanted = &self.options.sub_accounts;
        for member in newest
            .sub_accounts
            .iter()
            .filter(|one| wanted.is_empty() || wanted.contains(&one.id))
        {
            let Some(unlisted) = &member.unlisted else {
                continue;
            };
            let code = match unlisted.acknowledged {
                true => FindingCode::SubAccountAcknowledged,
                false => FindingCode::SubAccountUnlisted,
            };
            let found = format!("none since {}", key::manifest(key::ROSTER, unlisted.since));
            let object = format!("sub_account={}", member.id);
            self.report(Finding::new(
                code,
                object,
                "a sub-account that RingCX lists",
                found,
            ));
        }
    }
}
