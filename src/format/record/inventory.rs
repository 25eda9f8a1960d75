//! The inventory: all sub-accounts that the archive has ever known, as one run left them.
//!
//! Each run derives its inventory from the one before and from what it knows itself (its [`AccountListing`]): which
//! sub-accounts the settings name, which the API lists, how the work on each ended, and where each chain ends. So a
//! sub-account that quietly disappears from the API's list is noticed, and a chain that was cut off or rewritten
//! contradicts the head in the inventory.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::format::place::key;
use crate::format::record::carried::present;
use crate::format::record::error::{ManifestError, require};
use crate::format::record::head::Head;

/// The commands that write an inventory.
pub(crate) const COMMANDS: [&str; 3] = ["run", "backfill", "recheck"];

/// Prefix of the name by which the setting `known_warnings` acknowledges a sub-account that is no longer listed:
/// `unlisted:ID`.
pub(crate) const UNLISTED: &str = "unlisted";

/// The most sub-accounts that a record names.
pub(crate) const MOST_SUB_ACCOUNTS: usize = 10_000;

/// All sub-accounts that the archive has ever known, as one run left them.
///
/// # Examples
///
/// ```
/// use cxvault::format::record::inventory::{AccountListing, Ended, Inventory};
///
/// let listing = |ids: &[&str]| AccountListing {
///     listed: ids.iter().map(|id| (*id).to_owned()).collect(),
///     complete: true,
///     ..AccountListing::default()
/// };
/// let first = Inventory::updated("run", Ended::Done, &listing(&["1", "2"]), None, 1)?;
/// assert_eq!(listing(&["1"]).missing(Some(&first)), ["2"]);
/// # Ok::<(), cxvault::format::record::inventory::Rewritten>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The command that ran: one of [`COMMANDS`].
    pub command: String,
    /// How the run ended, before this record was written.
    pub exit: Ended,
    /// The sub-accounts in the order of their ids, none twice.
    pub sub_accounts: Vec<SubAccountEntry>,
}

/// What an inventory says of one sub-account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubAccountEntry {
    /// Id of the sub-account.
    pub id: String,
    /// Whether the API lists it; null where this run requested no list, or not every list was answered.
    pub listed: Option<bool>,
    /// Whether it is expected to exist: the settings name it, or earlier inventories had it listed and its absence was
    /// not acknowledged.
    pub expected: bool,
    /// How the work on it ended; null where this run did not work on it.
    pub outcome: Option<Ended>,
    /// The newest known head of its chain; null where it has no chain yet.
    pub head: Option<Head>,
    /// Since when the API does not list it, although it was expected; absent otherwise.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub unlisted: Option<Unlisted>,
}

/// Since when a sub-account is missing from the API's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlisted {
    /// Number of the first roster record that missed it.
    pub since: u64,
    /// Whether the operator has acknowledged it, by the setting `known_warnings`.
    pub acknowledged: bool,
}

/// How a run or the work on a sub-account ended, by the names of the exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Everything was done.
    Done,
    /// An error that should not happen.
    Unexpected,
    /// Wrong usage or settings.
    Usage,
    /// Committed, with gaps or warnings.
    Gaps,
    /// The archive contradicts itself.
    Integrity,
    /// The API or the store was unavailable, or the run was interrupted.
    Later,
    /// Credentials or permissions did not suffice.
    Denied,
    /// Another process worked on the same day.
    Locked,
}

/// What a run knows by itself. The rest of its inventory follows from the one before.
#[derive(Debug, Clone, Default)]
pub struct AccountListing {
    /// Ids that the settings or a flag name. For these, no list is requested.
    pub named: BTreeSet<String>,
    /// Ids that the API lists, where a list was requested.
    pub listed: BTreeSet<String>,
    /// Whether at least one list was requested and all were answered: then an id that is not in `listed` is not listed.
    pub complete: bool,
    /// Whether a flag has restricted the settings: then an id that is not in `named` may still be in the settings.
    pub narrowed: bool,
    /// How the work on each sub-account ended.
    pub outcomes: BTreeMap<String, Ended>,
    /// Heads of chains that this run has seen.
    pub heads: BTreeMap<String, Head>,
    /// The names in the setting `known_warnings`.
    pub acknowledge: Vec<String>,
}

/// The inventory before names another manifest at a number than this run has seen there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is not the manifest that the roster names")]
pub struct Rewritten {
    /// The manifest's key.
    pub key: String,
}

impl Inventory {
    /// Returns the inventory that follows `before` in the roster record number `sequence`.
    ///
    /// # Errors
    /// [`Rewritten`] where a chain is not the one whose head `before` names.
    pub fn updated(
        command: &str,
        exit: Ended,
        listing: &AccountListing,
        before: Option<&Inventory>,
        sequence: u64,
    ) -> Result<Inventory, Rewritten> {
        let known = before.map_or(&[][..], |before| &before.sub_accounts);
        let ids: BTreeSet<&String> = known
            .iter()
            .map(|entry| &entry.id)
            .chain(&listing.named)
            .chain(&listing.listed)
            .chain(listing.outcomes.keys())
            .chain(listing.heads.keys())
            .collect();
        let entries = ids.into_iter().map(|id| {
            let before = before.and_then(|before| before.entry(id));
            listing.entry(id, before, sequence)
        });
        Ok(Inventory {
            command: command.to_owned(),
            exit,
            sub_accounts: entries.collect::<Result<_, _>>()?,
        })
    }

    /// Replaces heads by later ones. Sub-accounts that are not in the inventory are ignored.
    pub(crate) fn raise_heads<'a>(&mut self, heads: impl Iterator<Item = (&'a str, &'a Head)>) {
        for (id, head) in heads {
            let entry = self.index(id).and_then(|n| self.sub_accounts.get_mut(n));
            if let Some(entry) = entry
                && entry.sequence() < head.sequence
            {
                entry.head = Some(head.clone());
            }
        }
    }

    /// Returns the entry of a sub-account.
    pub fn entry(&self, id: &str) -> Option<&SubAccountEntry> {
        self.sub_accounts.get(self.index(id)?)
    }

    fn index(&self, id: &str) -> Option<usize> {
        self.sub_accounts
            .binary_search_by(|entry| entry.id.as_str().cmp(id))
            .ok()
    }

    /// Checks what types cannot express: the command's name, and ids that are valid, sorted and unique.
    pub(super) fn check_shape(&self) -> Result<(), ManifestError> {
        let entries = &self.sub_accounts;
        let unlisted_hold = entries.iter().all(|entry| match &entry.unlisted {
            Some(unlisted) => entry.listed != Some(true) && unlisted.since > 0,
            None => true,
        });
        require(COMMANDS.contains(&self.command.as_str()), "command")?;
        check_ids(entries.iter().map(|entry| entry.id.as_str()))?;
        require(unlisted_hold, "unlisted sub-account")
    }
}

/// Checks that ids of sub-accounts are valid, sorted, and that none is repeated.
pub(super) fn check_ids<'a>(
    ids: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), ManifestError> {
    require(ids.clone().count() <= MOST_SUB_ACCOUNTS, "sub_accounts")?;
    require(ids.clone().all(key::is_sub_account), "sub-account")?;
    let sorted = ids.is_sorted_by(|id, next| id < next);
    require(sorted, "order of sub-accounts")
}

impl AccountListing {
    /// Returns the ids that are expected and that the API, requested by this run, does not list, except those whose
    /// absence is acknowledged.
    pub fn missing(&self, before: Option<&Inventory>) -> Vec<String> {
        let known = before.map_or(&[][..], |before| &before.sub_accounts);
        let missing = known.iter().filter(|entry| {
            let unlisted = self.unlisted(entry, 0);
            unlisted.is_some_and(|unlisted| !unlisted.acknowledged)
                && self.lists(&entry.id) == Some(false)
        });
        missing.map(|entry| entry.id.clone()).collect()
    }

    /// Returns the entry that follows `before` in the roster record number `sequence`.
    fn entry(
        &self,
        id: &str,
        before: Option<&SubAccountEntry>,
        sequence: u64,
    ) -> Result<SubAccountEntry, Rewritten> {
        let known = before.and_then(|before| before.head.as_ref());
        let head = later(known, self.heads.get(id)).map_err(|sequence| Rewritten {
            key: key::manifest(id, sequence),
        })?;
        Ok(SubAccountEntry {
            id: id.to_owned(),
            listed: self.lists(id),
            expected: self.named.contains(id) || before.is_some_and(SubAccountEntry::is_expected),
            outcome: self.outcomes.get(id).copied(),
            head: head.cloned(),
            unlisted: before.and_then(|before| self.unlisted(before, sequence)),
        })
    }

    fn lists(&self, id: &str) -> Option<bool> {
        match self.listed.contains(id) {
            true => Some(true),
            // No list was requested for a sub-account that the settings name.
            false => (self.complete && !self.named.contains(id)).then_some(false),
        }
    }

    fn unlisted(&self, before: &SubAccountEntry, sequence: u64) -> Option<Unlisted> {
        let known = before.unlisted.clone();
        let unlisted = match self.lists(&before.id) {
            Some(true) => None,
            Some(false) if before.is_expected() => Some(known.unwrap_or(Unlisted {
                since: sequence,
                acknowledged: false,
            })),
            // Settings that name a sub-account mean it; a flag only picks it.
            None if self.named.contains(&before.id) && !self.narrowed => None,
            Some(false) | None => known,
        };
        let name = format!("{UNLISTED}:{}", before.id);
        unlisted.map(|unlisted| Unlisted {
            acknowledged: unlisted.acknowledged || self.acknowledge.contains(&name),
            ..unlisted
        })
    }
}

impl SubAccountEntry {
    /// Returns whether the next inventory expects the sub-account.
    pub(crate) fn is_expected(&self) -> bool {
        let acknowledged = self
            .unlisted
            .as_ref()
            .is_some_and(|unlisted| unlisted.acknowledged);
        self.listed == Some(true) || (self.expected && !acknowledged)
    }

    /// Returns the number of the newest known record of the sub-account's chain; 0 where there is none.
    pub fn sequence(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.sequence)
    }
}

/// Returns the later of two heads of one chain, or the number at which they contradict each other.
fn later<'a>(known: Option<&'a Head>, found: Option<&'a Head>) -> Result<Option<&'a Head>, u64> {
    let (Some(first), Some(second)) = (known, found) else {
        return Ok(known.or(found));
    };
    match first.sequence.cmp(&second.sequence) {
        Ordering::Equal if first != second => Err(first.sequence),
        Ordering::Greater => Ok(known),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::hash::digest::Digest;
    use crate::format::record::position::TreeHead;

    fn head(sequence: u64, text: &str) -> Head {
        Head {
            sequence,
            sha256: Digest::of(text.as_bytes()),
            tree: TreeHead {
                size: sequence,
                root: Digest::of(text.as_bytes()),
            },
        }
    }

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn listing(listed: &[&str]) -> AccountListing {
        AccountListing {
            listed: ids(listed),
            complete: true,
            ..AccountListing::default()
        }
    }

    fn update(seen: &AccountListing, before: Option<&Inventory>, sequence: u64) -> Inventory {
        Inventory::updated("run", Ended::Done, seen, before, sequence).unwrap()
    }

    fn unlisted(inventory: &Inventory, id: &str) -> Option<(u64, bool)> {
        let unlisted = inventory.entry(id).unwrap().unlisted.as_ref()?;
        Some((unlisted.since, unlisted.acknowledged))
    }

    #[test]
    fn an_unlisted_sub_account_is_missing_until_it_is_acknowledged() {
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
        let b = second.entry("b").unwrap();
        assert_eq!(
            (b.listed, b.expected, unlisted(&second, "b")),
            (Some(false), true, Some((2, false)))
        );
        // Runs without a complete list neither forget an entry nor report one as missing.
        let named = AccountListing {
            named: ids(&["a"]),
            narrowed: true,
            ..AccountListing::default()
        };
        assert!(named.missing(Some(&second)).is_empty());
        let third = update(&named, Some(&second), 3);
        assert_eq!(
            (third.entry("b").unwrap().listed, unlisted(&third, "b")),
            (None, Some((2, false)))
        );
        let half = AccountListing {
            complete: false,
            ..listing(&["a"])
        };
        assert!(half.missing(Some(&third)).is_empty());
        let fourth = update(&half, Some(&third), 4);
        assert_eq!(seen.missing(Some(&fourth)), ["b"]);
        // Once the acknowledgement is in the chain, the setting may be removed.
        let noted = AccountListing {
            acknowledge: vec!["unlisted:b".to_owned()],
            ..listing(&["a"])
        };
        assert!(noted.missing(Some(&fourth)).is_empty());
        let fifth = update(&noted, Some(&fourth), 5);
        assert!(seen.missing(Some(&fifth)).is_empty());
        let sixth = update(&seen, Some(&fifth), 6);
        let b = sixth.entry("b").unwrap();
        assert_eq!(
            (b.expected, unlisted(&sixth, "b")),
            (false, Some((2, true)))
        );
        // A sub-account that is listed again is expected again.
        let seventh = update(&listing(&["a", "b"]), Some(&sixth), 7);
        assert_eq!(unlisted(&seventh, "b"), None);
        assert_eq!(seen.missing(Some(&seventh)), ["b"]);
    }

    #[test]
    fn a_sub_account_that_the_settings_name_needs_no_list() {
        let first = update(&listing(&["a", "b"]), None, 1);
        let second = update(&listing(&["a"]), Some(&first), 2);
        let named = AccountListing {
            named: ids(&["b"]),
            ..listing(&["a"])
        };
        assert!(named.missing(Some(&second)).is_empty());
        let third = update(&named, Some(&second), 3);
        let b = third.entry("b").unwrap();
        assert_eq!(
            (b.listed, b.expected, unlisted(&third, "b")),
            (None, true, None)
        );
        // A sub-account that was never named or listed, of which only a chain was found, is not missing.
        let found = AccountListing {
            heads: [("c".to_owned(), head(3, "c"))].into(),
            ..listing(&["a"])
        };
        let fourth = update(&found, Some(&third), 4);
        assert!(listing(&["a", "b"]).missing(Some(&fourth)).is_empty());
    }

    #[test]
    fn the_later_head_counts_and_two_heads_of_one_number_are_an_error() {
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
                next.entry("a").unwrap().head.as_ref().unwrap().sequence,
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
        // Runs that do not work on the sub-account carry its head along.
        let next = update(&AccountListing::default(), Some(&first), 2);
        assert_eq!(
            (
                next.entry("a").unwrap().head.clone(),
                next.entry("a").unwrap().outcome
            ),
            (Some(head(5, "five")), None)
        );
    }
}
