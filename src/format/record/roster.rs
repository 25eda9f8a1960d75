//! The roster: a chain beside those of the sub-accounts, with one record a run, which says of every sub-account whether
//! it is still listed, how it fared, and where its chain stood. So one head covers the whole archive, and a sub-account
//! that quietly disappears is missed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::format::hash::digest::Digest;
use crate::format::place::key;
use crate::format::record::envelope::{
    ManifestError, RecordBody, RecordPlace, Signed, known_version, must,
};
use crate::format::record::head::Head;
use crate::format::record::manifest::{Link, ObjectLock, Run};
use crate::format::record::notes;
use crate::format::record::notes::{LONGEST_NAME, LONGEST_REASON};

/// The whole object that is stored.
pub type RosterEnvelope = Signed<RosterRecord>;

/// One record of the roster's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterRecord {
    pub format_version: u32,
    pub archive_id: String,
    /// This object's own key.
    pub key: String,
    pub sequence: u64,
    /// The object before this one in the chain; null only for the first.
    pub previous: Option<Link>,
    pub run: Run,
    /// Where the archive lay when this was written, as [`place`] has it.
    pub place: String,
    /// The lock that this object was put under.
    pub object_lock: Option<ObjectLock>,
    /// The newest takeover before this record, so that a writer finds it from the head; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takeover: Option<Link>,
    /// What is recorded, told apart by `kind`.
    #[serde(flatten)]
    pub entry: RosterEntry,
}

/// What kind of record it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RosterEntry {
    Roster(Box<Inventory>),
    Takeover(Box<Takeover>),
}

/// From here on a copy is the archive that is continued, by somebody's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Takeover {
    /// Where the archive lay before, as far as anybody has said; `place` of the record is where it lies now.
    pub from: Option<String>,
    /// SHA-256 of this place's `copy.json`; null where there is none.
    pub copy: Option<Digest>,
    /// Where the chains stood: what they name up to here was stored at the other place.
    pub sub_accounts: Vec<ChainHead>,
    pub reason: String,
    /// Who says so, if they gave a name; the host is in `run`.
    pub by: Option<String>,
}

/// Where one sub-account's chain stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainHead {
    pub id: String,
    pub head: Head,
}

/// All sub-accounts that the archive has ever known, as one run left them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// One of [`COMMANDS`].
    pub command: String,
    /// How the run ended, but for this record.
    pub exit: Ended,
    /// By their ids, none twice.
    pub sub_accounts: Vec<SubAccountEntry>,
}

/// The commands that leave a roster.
pub const COMMANDS: [&str; 3] = ["run", "backfill", "recheck"];

/// One sub-account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubAccountEntry {
    pub id: String,
    /// Whether the API lists it; null where this run has asked for no list, or not every list was answered.
    pub listed: Option<bool>,
    /// Somebody counts on it: the settings name it, or the rosters before had it listed and nobody has taken note
    /// that it is gone.
    pub expected: bool,
    /// How it fared; null where this run had nothing to do with it.
    pub outcome: Option<Ended>,
    /// Where its chain stands, as far as is known; null where it has none yet.
    pub head: Option<Head>,
    /// It was expected, and the API no longer lists it: absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlisted: Option<Unlisted>,
}

/// Since when a sub-account is missing from the API's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unlisted {
    /// Number of the first roster that missed it.
    pub since: u64,
    /// Somebody has taken note, by the setting `known_warnings`.
    pub acknowledged: bool,
}

/// How something ended, by the names of the exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    Done,
    Unexpected,
    Usage,
    Gaps,
    Integrity,
    Later,
    Denied,
    Locked,
}

/// What a run knows by itself; the rest of its roster follows from the one before.
#[derive(Debug, Clone, Default)]
pub struct AccountListing {
    /// Named by the settings or by a flag: of these nobody is asked.
    pub named: BTreeSet<String>,
    /// What the API lists, where it was asked.
    pub listed: BTreeSet<String>,
    /// At least one list was asked for, and all were answered: whoever is not in them is not listed.
    pub whole: bool,
    /// A flag has narrowed the settings down: others are missing from them for no reason of their own.
    pub narrowed: bool,
    /// The sub-accounts that were worked on, and how they fared.
    pub outcomes: BTreeMap<String, Ended>,
    /// Where chains stand, as this run has seen them.
    pub heads: BTreeMap<String, Head>,
    /// What the setting `known_warnings` names.
    pub acknowledge: Vec<String>,
}

/// The roster before names another manifest at a number than this run has seen there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is not the manifest that the roster names")]
pub struct Rewritten {
    pub key: String,
}

impl Inventory {
    /// The roster that follows `before` and will have the number `sequence`.
    ///
    /// # Errors
    /// [`Rewritten`]: a chain is not the one that it was.
    pub fn updated(
        command: &str,
        exit: Ended,
        seen: &AccountListing,
        before: Option<&Inventory>,
        sequence: u64,
    ) -> Result<Inventory, Rewritten> {
        let known = before.iter().flat_map(|roll| &roll.sub_accounts);
        let mut known: BTreeMap<&str, &SubAccountEntry> =
            known.map(|member| (member.id.as_str(), member)).collect();
        let here = seen
            .named
            .iter()
            .chain(&seen.listed)
            .chain(seen.outcomes.keys())
            .chain(seen.heads.keys());
        let ids: BTreeSet<&str> = known
            .keys()
            .copied()
            .chain(here.map(String::as_str))
            .collect();
        let member = |id: &str| seen.member(id, known.remove(id), sequence);
        let sub_accounts = ids.into_iter().map(member).collect::<Result<_, _>>()?;
        Ok(Inventory {
            command: command.to_owned(),
            exit,
            sub_accounts,
        })
    }

    /// Takes note of heads that were seen after it.
    pub fn raise_heads<'a>(&mut self, heads: impl Iterator<Item = (&'a str, &'a Head)>) {
        for (id, head) in heads {
            let Ok(at) = self
                .sub_accounts
                .binary_search_by(|member| member.id.as_str().cmp(id))
            else {
                continue;
            };
            let Some(member) = self.sub_accounts.get_mut(at) else {
                continue;
            };
            if member
                .head
                .as_ref()
                .is_none_or(|known| known.sequence < head.sequence)
            {
                member.head = Some(head.clone());
            }
        }
    }

    pub fn member(&self, id: &str) -> Option<&SubAccountEntry> {
        let at = self
            .sub_accounts
            .binary_search_by(|member| member.id.as_str().cmp(id))
            .ok()?;
        self.sub_accounts.get(at)
    }
}

impl AccountListing {
    /// Expected ones that the API, asked by this run, does not list, and of which nobody has taken note.
    pub fn missing(&self, before: Option<&Inventory>) -> Vec<String> {
        let known = before.iter().flat_map(|roll| &roll.sub_accounts);
        let missing = known.filter(|member| {
            self.unlisted(member, 0)
                .is_some_and(|unlisted| !unlisted.acknowledged)
                && self.lists(&member.id) == Some(false)
        });
        missing.map(|member| member.id.clone()).collect()
    }

    fn member(
        &self,
        id: &str,
        before: Option<&SubAccountEntry>,
        sequence: u64,
    ) -> Result<SubAccountEntry, Rewritten> {
        let head = later(
            before.and_then(|before| before.head.as_ref()),
            self.heads.get(id),
        );
        let head = head
            .map_err(|sequence| Rewritten {
                key: key::manifest(id, sequence),
            })?
            .cloned();
        Ok(SubAccountEntry {
            id: id.to_owned(),
            listed: self.lists(id),
            expected: self.named.contains(id) || before.is_some_and(SubAccountEntry::is_expected),
            outcome: self.outcomes.get(id).copied(),
            head,
            unlisted: before.and_then(|before| self.unlisted(before, sequence)),
        })
    }

    fn lists(&self, id: &str) -> Option<bool> {
        match self.listed.contains(id) {
            true => Some(true),
            // Where the settings name it, no list was asked for its sake.
            false => (self.whole && !self.named.contains(id)).then_some(false),
        }
    }

    fn unlisted(&self, before: &SubAccountEntry, sequence: u64) -> Option<Unlisted> {
        let known = before.unlisted.as_ref();
        let found = match self.lists(&before.id) {
            Some(true) => None,
            Some(false) if before.is_expected() => Some(known.cloned().unwrap_or(Unlisted {
                since: sequence,
                acknowledged: false,
            })),
            // Settings that name it mean it; a flag only picks it.
            None if self.named.contains(&before.id) && !self.narrowed => None,
            Some(false) | None => known.cloned(),
        };
        let named = format!("{UNLISTED}:{}", before.id);
        let acknowledged = self.acknowledge.contains(&named);
        found.map(|found| Unlisted {
            acknowledged: found.acknowledged || acknowledged,
            ..found
        })
    }
}

/// What the setting `known_warnings` calls a sub-account that is no longer listed, before its id.
pub const UNLISTED: &str = "unlisted";

impl SubAccountEntry {
    /// Whether the next roster may expect it.
    pub fn is_expected(&self) -> bool {
        let acknowledged = self
            .unlisted
            .as_ref()
            .is_some_and(|unlisted| unlisted.acknowledged);
        self.listed == Some(true) || (self.expected && !acknowledged)
    }
}

/// Of two heads of one chain the later; the number where they contradict each other.
fn later<'a>(one: Option<&'a Head>, other: Option<&'a Head>) -> Result<Option<&'a Head>, u64> {
    let (Some(first), Some(second)) = (one, other) else {
        return Ok(one.or(other));
    };
    match first.sequence.cmp(&second.sequence) {
        std::cmp::Ordering::Equal if first.sha256 != second.sha256 => Err(first.sequence),
        std::cmp::Ordering::Greater => Ok(one),
        _ => Ok(other),
    }
}

/// A store's root as a record may hold it.
pub fn place(root: &str) -> String {
    root.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

impl RosterRecord {
    pub fn inventory(&self) -> Option<&Inventory> {
        match &self.entry {
            RosterEntry::Roster(roll) => Some(roll),
            RosterEntry::Takeover(_) => None,
        }
    }

    pub fn as_takeover(&self) -> Option<&Takeover> {
        match &self.entry {
            RosterEntry::Roster(_) => None,
            RosterEntry::Takeover(takeover) => Some(takeover),
        }
    }

    /// What the record after this one, whose whole object has `sha256`, names as the newest takeover.
    pub fn takeover_for_next(&self, sha256: Digest) -> Option<Link> {
        match &self.entry {
            RosterEntry::Roster(_) => self.takeover.clone(),
            RosterEntry::Takeover(_) => Some(Link {
                key: self.key.clone(),
                sha256,
            }),
        }
    }

    /// The heads that it vouches for, by sub-account.
    pub fn heads(&self) -> impl Iterator<Item = (&str, &Head)> {
        let members = self
            .inventory()
            .into_iter()
            .flat_map(|roll| &roll.sub_accounts);
        let taken = self
            .as_takeover()
            .into_iter()
            .flat_map(|takeover| &takeover.sub_accounts);
        let told = members.filter_map(|member| Some((member.id.as_str(), member.head.as_ref()?)));
        told.chain(taken.map(|one| (one.id.as_str(), &one.head)))
    }
}

impl RecordBody for RosterRecord {
    fn place(&self) -> RecordPlace<'_> {
        let RosterRecord {
            archive_id,
            key,
            sequence,
            previous,
            ..
        } = self;
        RecordPlace {
            archive_id,
            chain: key::ROSTER,
            key,
            sequence: *sequence,
            previous: previous.as_ref(),
        }
    }

    fn run(&self) -> &Run {
        &self.run
    }

    fn check_shape(&self) -> Result<(), ManifestError> {
        known_version(self.format_version)?;
        must(self.sequence > 0, "sequence")?;
        must(!self.place.is_empty(), "place")?;
        must(self.heads().all(|(_, head)| head.sequence > 0), "head")?;
        let roll = match &self.entry {
            RosterEntry::Roster(roll) => roll,
            RosterEntry::Takeover(takeover) => return takeover.check_shape(),
        };
        must(COMMANDS.contains(&roll.command.as_str()), "command")?;
        let members = &roll.sub_accounts;
        must(
            members.iter().all(|member| key::is_sub_account(&member.id)),
            "sub-account",
        )?;
        must(
            members.is_sorted_by(|one, next| one.id < next.id),
            "order of sub-accounts",
        )?;
        let unlisted = |member: &SubAccountEntry| match &member.unlisted {
            Some(unlisted) => member.listed != Some(true) && unlisted.since > 0,
            None => true,
        };
        must(members.iter().all(unlisted), "unlisted sub-account")
    }
}

impl Takeover {
    fn check_shape(&self) -> Result<(), ManifestError> {
        let taken = &self.sub_accounts;
        must(
            taken.iter().all(|one| key::is_sub_account(&one.id)),
            "sub-account",
        )?;
        must(
            taken.is_sorted_by(|one, next| one.id < next.id),
            "order of sub-accounts",
        )?;
        must(
            self.from.as_ref().is_none_or(|from| !from.is_empty()),
            "place before",
        )?;
        must(notes::fits(&self.reason, LONGEST_REASON), "reason")?;
        must(
            self.by
                .as_ref()
                .is_none_or(|by| notes::fits(by, LONGEST_NAME)),
            "name",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(sequence: u64, text: &str) -> Head {
        Head {
            sequence,
            sha256: Digest::of(text.as_bytes()),
        }
    }

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn listing(listed: &[&str]) -> AccountListing {
        AccountListing {
            listed: ids(listed),
            whole: true,
            ..AccountListing::default()
        }
    }

    fn update(seen: &AccountListing, before: Option<&Inventory>, sequence: u64) -> Inventory {
        Inventory::updated("run", Ended::Done, seen, before, sequence).unwrap()
    }

    fn unlisted(roll: &Inventory, id: &str) -> Option<(u64, bool)> {
        let unlisted = roll.member(id).unwrap().unlisted.as_ref()?;
        Some((unlisted.since, unlisted.acknowledged))
    }

    #[test]
    fn one_that_is_no_longer_listed_is_missed_until_somebody_takes_note() {
        let first = update(&listing(&["a", "b"]), None, 1);
        assert!(
            first
                .sub_accounts
                .iter()
                .all(|one| one.listed == Some(true) && !one.expected)
        );
        let seen = listing(&["a"]);
        assert_eq!(seen.missing(Some(&first)), ["b"]);
        let second = update(&seen, Some(&first), 2);
        let b = second.member("b").unwrap();
        assert_eq!(
            (b.listed, b.expected, unlisted(&second, "b")),
            (Some(false), true, Some((2, false)))
        );
        // Runs that ask for no list, or get none, forget nothing, and complain of nothing.
        let named = AccountListing {
            named: ids(&["a"]),
            narrowed: true,
            ..AccountListing::default()
        };
        assert!(named.missing(Some(&second)).is_empty());
        let third = update(&named, Some(&second), 3);
        assert_eq!(
            (third.member("b").unwrap().listed, unlisted(&third, "b")),
            (None, Some((2, false)))
        );
        let half = AccountListing {
            whole: false,
            ..listing(&["a"])
        };
        assert!(half.missing(Some(&third)).is_empty());
        let fourth = update(&half, Some(&third), 4);
        assert_eq!(seen.missing(Some(&fourth)), ["b"]);
        // Once in the chain, the setting may go.
        let noted = AccountListing {
            acknowledge: vec!["unlisted:b".to_owned()],
            ..listing(&["a"])
        };
        assert!(noted.missing(Some(&fourth)).is_empty());
        let fifth = update(&noted, Some(&fourth), 5);
        assert!(seen.missing(Some(&fifth)).is_empty());
        let sixth = update(&seen, Some(&fifth), 6);
        let b = sixth.member("b").unwrap();
        assert_eq!(
            (b.expected, unlisted(&sixth, "b")),
            (false, Some((2, true)))
        );
        // Back again, it is counted on again.
        let seventh = update(&listing(&["a", "b"]), Some(&sixth), 7);
        assert_eq!(unlisted(&seventh, "b"), None);
        assert_eq!(seen.missing(Some(&seventh)), ["b"]);
    }

    #[test]
    fn settings_that_name_a_sub_account_need_no_list() {
        let first = update(&listing(&["a", "b"]), None, 1);
        let second = update(&listing(&["a"]), Some(&first), 2);
        let named = AccountListing {
            named: ids(&["b"]),
            ..listing(&["a"])
        };
        assert!(named.missing(Some(&second)).is_empty());
        let third = update(&named, Some(&second), 3);
        let b = third.member("b").unwrap();
        assert_eq!(
            (b.listed, b.expected, unlisted(&third, "b")),
            (None, true, None)
        );
        // What was never expected is not missed: a chain that was found, and that nobody has ever named or listed.
        let found = AccountListing {
            heads: [("c".to_owned(), head(3, "c"))].into(),
            ..listing(&["a"])
        };
        let fourth = update(&found, Some(&third), 4);
        assert!(listing(&["a", "b"]).missing(Some(&fourth)).is_empty());
    }

    #[test]
    fn the_later_head_counts_and_another_one_at_the_same_number_is_a_contradiction() {
        let with = |head: Head| AccountListing {
            heads: [("a".to_owned(), head)].into(),
            ..AccountListing::default()
        };
        let first = update(&with(head(5, "five")), None, 1);
        for (seen, kept) in [
            (head(4, "four"), 5),
            (head(5, "five"), 5),
            (head(6, "six"), 6),
        ] {
            let next = update(&with(seen), Some(&first), 2);
            assert_eq!(
                next.member("a").unwrap().head.as_ref().unwrap().sequence,
                kept
            );
        }
        let other =
            Inventory::updated("run", Ended::Done, &with(head(5, "other")), Some(&first), 2);
        assert_eq!(
            other,
            Err(Rewritten {
                key: key::manifest("a", 5)
            })
        );
        // Carried along by runs that have nothing to do with it.
        let next = update(&AccountListing::default(), Some(&first), 2);
        assert_eq!(
            (
                next.member("a").unwrap().head.clone(),
                next.member("a").unwrap().outcome
            ),
            (Some(head(5, "five")), None)
        );
    }
}
