//! Heads of chains: the newest record of a chain, by its number and its SHA-256.
//!
//! A chain is a list of records in which each record names the one before it by its SHA-256. The hash of the newest
//! record, the head, therefore fixes all records before it: an auditor who has a head from a second source (a printed
//! summary, an anchor, a message) detects every change and every cut-off of the chain up to that head.
//!
//! [`Head`] is used where the chain is known from the surroundings (an entry of the roster, a file of the state folder).
//! [`HeadRef`] also names the chain; its text is what commands print and what `--expect-head` takes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::position::TreeHead;

/// The newest record of a chain that is known from the surroundings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the record in its chain, from 1.
    pub sequence: u64,
    /// SHA-256 of the whole object.
    pub sha256: Digest,
    /// The tree over all records of the chain up to this one, so that older records can be proven by it.
    pub tree: TreeHead,
}

impl Head {
    /// Returns this head together with the name of its chain: a sub-account's id, [`key::ROSTER`] or [`key::SIGNERS`].
    pub fn of_chain(&self, chain: &str) -> HeadRef {
        HeadRef {
            chain: chain.to_owned(),
            sequence: self.sequence,
            sha256: self.sha256,
        }
    }
}

/// The head of a named chain: `CHAIN:SEQUENCE:SHA256`.
///
/// # Examples
///
/// ```
/// use cxvault::format::record::head::HeadRef;
///
/// let text = format!("99999999:42:{}", "0".repeat(64));
/// let head: HeadRef = text.parse()?;
/// assert_eq!((head.chain.as_str(), head.sequence), ("99999999", 42));
/// assert_eq!(head.to_string(), text);
/// assert!("99999999:42".parse::<HeadRef>().is_err());
/// # Ok::<(), cxvault::format::record::head::NotAHead>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadRef {
    /// Name of the chain: a sub-account's id, [`key::ROSTER`] or [`key::SIGNERS`].
    pub chain: String,
    /// Number of the record in its chain, from 1.
    pub sequence: u64,
    /// SHA-256 of the whole object.
    pub sha256: Digest,
}

/// A text is not a head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a head is SUB_ACCOUNT:SEQUENCE:SHA256, roster:SEQUENCE:SHA256 or signers:SEQUENCE:SHA256, as `cxvault run` prints it"
)]
pub struct NotAHead;

impl fmt::Display for HeadRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", self.chain, self.sequence, self.sha256)
    }
}

impl FromStr for HeadRef {
    type Err = NotAHead;

    /// Reads `CHAIN:SEQUENCE:SHA256`, where CHAIN is a sub-account's id, `roster` or `signers`, and SEQUENCE is at least 1.
    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let [chain, sequence, sha256] = text.split(':').collect::<Vec<_>>()[..] else {
            return Err(NotAHead);
        };
        if !key::is_sub_account(chain) && !key::is_archive_chain(chain) {
            return Err(NotAHead);
        }
        let sequence = sequence.parse().ok().filter(|&number| number > 0);
        Ok(HeadRef {
            chain: chain.to_owned(),
            sequence: sequence.ok_or(NotAHead)?,
            sha256: sha256.parse().map_err(|_| NotAHead)?,
        })
    }
}

impl Serialize for HeadRef {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HeadRef {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_texts_are_refused() {
        let digest = "0".repeat(64);
        let accepted = ["1", "roster", "signers"].map(|chain| format!("{chain}:2:{digest}"));
        for text in accepted {
            assert_eq!(text.parse::<HeadRef>().unwrap().to_string(), text);
        }
        let refused = [
            format!("1:0:{digest}"),
            format!("1:2:{digest}:x"),
            format!("../:1:{digest}"),
            format!(":1:{digest}"),
            "1:2:3".to_owned(),
            "1:2".to_owned(),
        ];
        for text in refused {
            assert_eq!(text.parse::<HeadRef>(), Err(NotAHead), "{text}");
        }
    }
}
