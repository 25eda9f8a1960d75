//! How a record continues a signed chain: since when the chain is signed, and which objects are not records of it.
//!
//! An attacker who can create objects can occupy the number of the next record. In a signed archive such an object is not
//! a record, whatever it contains, because it carries no signature of a key that counts. The next record takes the next
//! free number and names the objects that it passes over, so that every reader skips exactly these.

use serde::{Deserialize, Serialize};

use crate::format::hash::Digest;
use crate::format::place::key;
use crate::format::record::carried::present;
use crate::format::record::error::{ManifestError, agree, require};
use crate::format::record::link::Link;

/// The most objects that a record names one by one.
pub const MOST_NAMED: usize = 1_000;

/// Members of a signed record; an unsigned record has none of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Continuity {
    /// Number of the first record from which on the chain is signed throughout; absent in a record without a signature.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub signed_from: Option<u64>,
    /// The objects at the numbers between the record before and this one; absent where there is no such number.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub passed_over: Option<PassedOver>,
}

/// Objects at the numbers between two records that follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PassedOver {
    /// All of them by name, in the order of their numbers; at most [`MOST_NAMED`].
    Named(Vec<ForeignObject>),
    /// More than that. Otherwise an attacker could make a record too large to be read.
    Counted(CountedObjects),
}

/// Many objects, by their number and one hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedObjects {
    /// Number of the objects.
    pub count: u64,
    /// SHA-256 of the canonical JSON of the list of all of them.
    pub sha256: Digest,
}

/// An object that is no record, although it has the key of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignObject {
    /// Key of the object.
    pub key: String,
    /// Length of the object in bytes.
    pub bytes: u64,
    /// SHA-256 of the object; null where it is larger than a record can be, and was not read.
    pub sha256: Option<Digest>,
}

impl PassedOver {
    /// Returns the member for these objects, which are in the order of their numbers; `None` for none.
    ///
    /// # Errors
    /// [`ManifestError::Unreadable`] where a value has no form in JSON, which does not happen.
    pub fn of(objects: Vec<ForeignObject>) -> Result<Option<PassedOver>, ManifestError> {
        if objects.len() <= MOST_NAMED {
            return Ok((!objects.is_empty()).then_some(PassedOver::Named(objects)));
        }
        let list = serde_json_canonicalizer::to_vec(&objects)?;
        Ok(Some(PassedOver::Counted(CountedObjects {
            count: objects.len() as u64,
            sha256: Digest::of(&list),
        })))
    }

    /// Returns the number of the objects.
    fn count(&self) -> u64 {
        match self {
            PassedOver::Named(objects) => objects.len() as u64,
            PassedOver::Counted(counted) => counted.count,
        }
    }

    /// Returns the object with this key as it was passed over; `None` where the record only counts the objects.
    pub fn named(&self, key: &str) -> Option<&ForeignObject> {
        match self {
            PassedOver::Named(objects) => objects.iter().find(|object| object.key == key),
            PassedOver::Counted(_) => None,
        }
    }
}

impl Continuity {
    /// Checks each member by itself, as the JSON schemas do.
    pub(super) fn check_shape(&self) -> Result<(), ManifestError> {
        require(
            self.signed_from.is_none_or(|first| first > 0),
            "signed_from",
        )?;
        let is_valid = match &self.passed_over {
            None => true,
            Some(PassedOver::Named(objects)) => (1..=MOST_NAMED).contains(&objects.len()),
            Some(PassedOver::Counted(counted)) => counted.count > MOST_NAMED as u64,
        };
        require(is_valid, "passed_over")
    }

    /// Checks the members against the record's own number and the record before it.
    pub(super) fn check_agrees(
        &self,
        chain: &str,
        sequence: u64,
        previous: Option<&Link>,
    ) -> Result<(), ManifestError> {
        let before = previous.map_or(Some(0), |link| key::parse_manifest(&link.key));
        let first = before.unwrap_or(sequence).saturating_add(1);
        let between = sequence.saturating_sub(first);
        let agrees = match &self.passed_over {
            None => first == sequence,
            Some(passed_over) => passed_over.count() == between,
        };
        agree(agrees, "previous, sequence and passed_over")?;
        if let Some(PassedOver::Named(objects)) = &self.passed_over {
            let mut numbered = (first..).zip(objects);
            let exact = numbered.all(|(number, object)| object.key == key::manifest(chain, number));
            agree(exact, "passed_over and sequence")?;
        }
        let is_before = self.signed_from.is_none_or(|first| first <= sequence);
        agree(is_before, "sequence and signed_from")?;
        let is_signed = self.signed_from.is_some();
        agree(
            is_signed || self.passed_over.is_none(),
            "signed_from and passed_over",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(number: u64) -> ForeignObject {
        ForeignObject {
            key: key::manifest("9", number),
            bytes: 4,
            sha256: Some(Digest::of(b"junk")),
        }
    }

    fn link(number: u64) -> Option<Link> {
        (number > 0).then(|| Link {
            key: key::manifest("9", number),
            sha256: Digest::of(b"a record"),
        })
    }

    #[test]
    fn exactly_the_numbers_in_between_are_passed_over() {
        // The number of the record before, the record's own number, the numbers that it passes over, and whether it may.
        let cases: [(u64, u64, &[u64], bool); 11] = [
            (0, 1, &[], true),
            (4, 5, &[], true),
            (0, 3, &[1, 2], true),
            (4, 6, &[5], true),
            (4, 6, &[], false),
            (4, 7, &[5], false),
            (4, 7, &[6], false),
            (4, 7, &[6, 5], false),
            (4, 6, &[5, 6], false),
            (4, 5, &[5], false),
            (6, 5, &[], false),
        ];
        for (before, own, numbers, holds) in cases {
            let objects = numbers.iter().copied().map(foreign).collect();
            let continuity = Continuity {
                signed_from: Some(1),
                passed_over: PassedOver::of(objects).unwrap(),
            };
            let checked = continuity.check_agrees("9", own, link(before).as_ref());
            assert_eq!(checked.is_ok(), holds, "{before} {own} {numbers:?}");
        }
    }

    #[test]
    fn many_objects_are_counted() {
        let objects: Vec<ForeignObject> = (1..=1_001).map(foreign).collect();
        let many = PassedOver::of(objects.clone()).unwrap().unwrap();
        let PassedOver::Counted(counted) = &many else {
            panic!("{many:?}");
        };
        assert_eq!(counted.count, 1_001);
        let json = serde_json_canonicalizer::to_vec(&objects).unwrap();
        assert_eq!(counted.sha256, Digest::of(&json));
        let continuity = Continuity {
            signed_from: Some(7),
            passed_over: Some(many),
        };
        assert!(continuity.check_agrees("9", 1_002, None).is_ok());
        assert!(continuity.check_agrees("9", 1_003, None).is_err());
    }

    #[test]
    fn only_a_signed_record_passes_over_others() {
        let unsigned = Continuity {
            signed_from: None,
            passed_over: PassedOver::of(vec![foreign(1)]).unwrap(),
        };
        assert!(unsigned.check_agrees("9", 2, None).is_err());
        let signed_from = |signed_from| Continuity {
            signed_from: Some(signed_from),
            passed_over: None,
        };
        assert!(signed_from(0).check_shape().is_err());
        let later = signed_from(3);
        assert!(later.check_agrees("9", 2, link(1).as_ref()).is_err());
    }
}
