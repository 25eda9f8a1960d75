//! The list of a chain's records, as each record carries it: its own index, the roots of the Merkle tree over the records
//! before it, and where to look for older ones.
//!
//! A record names the one before it, which proves the chain, but to prove or find one old record by these links alone all
//! records after it would have to be read. Therefore each record also has:
//!
//! - `index` and `peaks`: a tree (RFC 6962) whose leaves are the SHA-256 of the records before it. A head with its tree's
//!   root proves any older record by a path of logarithmic length, without the records in between.
//! - `since`: what the records before it are about, back to the last multiple of 64. A record whose index is a multiple of
//!   64 has 64 entries, the first of which is the record whose index is the multiple before. So one record in 64 leads a
//!   reader through years of days.
//!
//! A writer computes all of it from the head alone ([`ChainPosition::after`]); a reader of two consecutive records checks
//! that the later position follows from the earlier one.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::format::hash::{Digest, Tree, merkle};
use crate::format::place::key;
use crate::format::record::error::{ManifestError, agree, require};
use crate::format::record::link::Link;

/// Records between two that have a complete list of entries.
const STRETCH: u64 = 64;

/// The most subtrees of a tree whose size is an integer below 2^53.
const MOST_PEAKS: usize = 53;

/// Where a record stands among the records of its chain.
///
/// # Examples
///
/// ```
/// use cxvault::format::hash::digest::Digest;
/// use cxvault::format::record::position::{ChainPosition, SinceEntry};
///
/// let first = ChainPosition::default();
/// let entry = SinceEntry {
///     sequence: 1,
///     date: "2026-11-20".parse().ok(),
///     kind: "day".to_owned(),
///     revision: Some(1),
///     sha256: Digest::of(b"the first record"),
/// };
/// let second = first.after(entry);
/// assert_eq!((second.index, second.since.len()), (1, 1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChainPosition {
    /// Number of records before this one in its chain. Objects that are no records do not count.
    pub index: u64,
    /// Roots of the perfect subtrees of the tree over the records before this one, largest first.
    pub peaks: Vec<Digest>,
    /// The records from the greatest multiple of 64 below `index` to the one before this one, oldest first.
    pub since: Vec<SinceEntry>,
}

/// What an earlier record of the chain is about, and its hash: an array of five values in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SinceArray", into = "SinceArray")]
pub struct SinceEntry {
    /// Number of the record in its chain.
    pub sequence: u64,
    /// The archive day that a record of kind `day` commits; `None` for every other kind.
    pub date: Option<Date>,
    /// Kind of the record.
    pub kind: String,
    /// The revision that a record of kind `day` commits; `None` for every other kind.
    pub revision: Option<u32>,
    /// SHA-256 of the whole object.
    pub sha256: Digest,
}

/// The form of an entry in JSON: number, date, kind, revision, SHA-256.
#[derive(Serialize, Deserialize)]
struct SinceArray(u64, Option<Date>, String, Option<u32>, Digest);

impl From<SinceArray> for SinceEntry {
    fn from(array: SinceArray) -> SinceEntry {
        let SinceArray(sequence, date, kind, revision, sha256) = array;
        SinceEntry {
            sequence,
            date,
            kind,
            revision,
            sha256,
        }
    }
}

impl From<SinceEntry> for SinceArray {
    fn from(entry: SinceEntry) -> SinceArray {
        SinceArray(
            entry.sequence,
            entry.date,
            entry.kind,
            entry.revision,
            entry.sha256,
        )
    }
}

/// The tree over all records of a chain up to a head, the head included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeHead {
    /// Number of records; at least 1.
    pub size: u64,
    /// Root of the tree (RFC 6962) whose leaves are the 32-byte SHA-256 of the records in order.
    pub root: Digest,
}

impl TreeHead {
    /// Returns the head of a tree.
    pub fn of(tree: &Tree) -> TreeHead {
        TreeHead {
            size: tree.leaves(),
            root: tree.root(),
        }
    }
}

/// Returns the leaf of a record in the tree of its chain, by the SHA-256 of its whole object.
pub(crate) fn record_leaf(sha256: Digest) -> Digest {
    merkle::leaf_hash(&sha256.0)
}

impl ChainPosition {
    /// Returns the tree over the records before this one.
    fn tree(&self) -> Tree {
        Tree::from_peaks(self.index, self.peaks.clone())
    }

    /// Returns the tree that includes the record at this position, by the SHA-256 of its whole object.
    pub fn tree_with(&self, sha256: Digest) -> TreeHead {
        let mut tree = self.tree();
        tree.push(record_leaf(sha256));
        TreeHead::of(&tree)
    }

    /// Returns the position of the record that follows the one at this position; `entry` describes that one.
    #[must_use]
    pub fn after(&self, entry: SinceEntry) -> ChainPosition {
        let mut tree = self.tree();
        tree.push(record_leaf(entry.sha256));
        let mut since = match self.index.is_multiple_of(STRETCH) {
            true => Vec::new(),
            false => self.since.clone(),
        };
        since.push(entry);
        ChainPosition {
            index: tree.leaves(),
            peaks: tree.peaks().to_vec(),
            since,
        }
    }

    /// Returns the index of the oldest record in `since`; `None` for the first record of a chain, which lists none.
    pub(crate) fn first_listed(&self) -> Option<u64> {
        self.index
            .checked_sub(1)
            .map(|before| before - before % STRETCH)
    }

    /// Checks each member by itself, as the JSON schemas do.
    pub(super) fn check_shape(&self) -> Result<(), ManifestError> {
        let valid = self.since.iter().all(SinceEntry::is_valid);
        require(self.peaks.len() <= MOST_PEAKS, "peaks")?;
        require(valid && self.since.len() as u64 <= STRETCH, "since")
    }

    /// Checks the members against each other: the number of subtrees and of entries, that the entries are in order, and
    /// that the last of them is the record that `previous` names. `chain` and `sequence` are those of the record itself.
    pub(super) fn check_agrees(
        &self,
        chain: &str,
        sequence: u64,
        previous: Option<&Link>,
    ) -> Result<(), ManifestError> {
        let listed = self.first_listed().map_or(0, |first| self.index - first);
        let numbers = self.since.iter().map(|entry| entry.sequence);
        let ordered = numbers.chain([sequence]).is_sorted_by(|a, b| a < b);
        let last = self.since.last().map(|last| Link {
            key: key::manifest(chain, last.sequence),
            sha256: last.sha256,
        });
        agree(self.index < sequence, "index and sequence")?;
        agree(Tree::is_of(self.index, self.peaks.len()), "index and peaks")?;
        agree(self.since.len() as u64 == listed, "index and since")?;
        agree(ordered, "sequence and since")?;
        agree(last.as_ref() == previous, "previous and since")
    }
}

impl SinceEntry {
    /// Returns whether the number begins at 1, and a day, and nothing else, has a date and a revision.
    fn is_valid(&self) -> bool {
        let is_day = self.kind == "day";
        self.sequence > 0
            && self.date.is_some() == is_day
            && self.revision.is_some_and(|revision| revision > 0) == is_day
            && (is_day || self.revision.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64) -> SinceEntry {
        SinceEntry {
            sequence,
            date: None,
            kind: "hold".to_owned(),
            revision: None,
            sha256: Digest::of(&sequence.to_be_bytes()),
        }
    }

    /// Returns the position of the record with number `sequence` of a chain without gaps.
    fn at(sequence: u64) -> ChainPosition {
        (1..sequence).fold(ChainPosition::default(), |position, before| {
            position.after(entry(before))
        })
    }

    #[test]
    fn each_64th_record_lists_the_64_before_it() {
        // Number of the record, and the first and last number in its list.
        let cases = [
            (1, None),
            (2, Some((1, 1))),
            (64, Some((1, 63))),
            (65, Some((1, 64))),
            (66, Some((65, 65))),
            (129, Some((65, 128))),
            (130, Some((129, 129))),
            (300, Some((257, 299))),
        ];
        for (sequence, listed) in cases {
            let position = at(sequence);
            assert_eq!(position.index, sequence - 1);
            let first = position.since.first().map(|entry| entry.sequence);
            let last = position.since.last().map(|entry| entry.sequence);
            assert_eq!(first.zip(last), listed, "{sequence}");
            assert_eq!(
                position.first_listed(),
                listed.map(|(first, _)| first - 1),
                "{sequence}"
            );
        }
    }

    #[test]
    fn the_tree_of_a_position_is_that_of_all_records() {
        let mut whole = Tree::new();
        for sequence in 1..=200 {
            let sha256 = entry(sequence).sha256;
            whole.push(merkle::leaf_hash(&sha256.0));
            assert_eq!(at(sequence).tree_with(sha256), TreeHead::of(&whole));
        }
    }

    #[test]
    fn a_position_that_no_chain_has_is_refused() {
        let previous = |sequence| Link {
            key: key::manifest("9", sequence),
            sha256: entry(sequence).sha256,
        };
        let check = |position: &ChainPosition, sequence, before: Option<&Link>| {
            position.check_shape().is_ok() && position.check_agrees("9", sequence, before).is_ok()
        };
        assert!(check(&at(1), 1, None));
        assert!(check(&at(70), 70, Some(&previous(69))));
        // A number between the record and the one before it may belong to an object that is no record.
        assert!(check(&at(70), 75, Some(&previous(69))));
        assert!(!check(&at(70), 69, Some(&previous(69))));
        assert!(!check(&at(70), 70, Some(&previous(68))));
        assert!(!check(&at(70), 70, None));
        type Change = fn(&mut ChainPosition);
        let changes: [Change; 7] = [
            |position| position.index += 1,
            |position| position.peaks.truncate(position.peaks.len() - 1),
            |position| drop(position.since.remove(0)),
            |position| position.since.swap(0, 1),
            |position| position.since[0].date = Some(jiff::civil::date(2026, 11, 20)),
            |position| position.since[0].revision = Some(1),
            |position| position.since[0].kind = "day".to_owned(),
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let mut position = at(70);
            change(&mut position);
            assert!(!check(&position, 70, Some(&previous(69))), "change {n}");
        }
    }

    #[test]
    fn an_entry_is_an_array_in_json() {
        let day = SinceEntry {
            date: Some(jiff::civil::date(2026, 11, 20)),
            kind: "day".to_owned(),
            revision: Some(2),
            ..entry(7)
        };
        let text = serde_json::to_string(&[entry(6), day.clone()]).unwrap();
        let expected = format!(
            r#"[[6,null,"hold",null,"{}"],[7,"2026-11-20","day",2,"{}"]]"#,
            entry(6).sha256,
            day.sha256
        );
        assert_eq!(text, expected);
        assert_eq!(
            serde_json::from_str::<Vec<SinceEntry>>(&text).unwrap(),
            [entry(6), day]
        );
    }
}
