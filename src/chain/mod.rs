//! Everything that reads or writes a chain of records.
//!
//! ```text
//! archive      the reading handle: which archive this is, and which sub-accounts it has
//! writer       the writing handle: also the clock, the signing key, the settings and the state folder
//! record       one object of a chain: whether it is the record that belongs there
//! foreign_log  objects at records' places that are none
//! read         one chain as a writer reads it, with the checks that precede a commit
//! entries      the list of a chain's records, by which a reader finds the records of an old day
//! days         a sub-account's chain: the newest record of a day, obligations, coverage
//! append       the commit point of every record
//! trust        which signatures count: the one rule, for readers and writers
//! signers      the chain of signers, which the rule is made of
//! key_change   changes the keys that count
//! newest       the newest record of a chain, and foreign objects beyond it
//! protection   the lock and the legal hold of one object
//! required     the lock and the legal hold that a day's objects need
//! roster       the chain about all sub-accounts, as a writer continues it
//! takeover     whether this is a copy, and the decision to continue it
//! anchoring    the second place where heads are stored
//! anchor       brings heads there
//! notes        acknowledgement, legal hold, longer retention, disposal
//! timeline     a sub-account's chain as a reader reads it: the revisions of a range of days
//! obligations  legal holds and longer retention, read back from the head by their own links
//! inventory    which sub-accounts there are, by the newest record of the roster
//! disposed     days whose retention is over, which readers leave out and name
//! ```

pub mod anchor;
pub mod anchoring;
pub mod append;
pub mod archive;
pub mod days;
pub mod disposed;
pub mod entries;
pub mod foreign_log;
pub mod inventory;
pub mod key_change;
pub mod newest;
pub mod notes;
pub mod obligations;
pub mod protection;
pub mod read;
pub mod record;
pub mod required;
pub mod roster;
pub mod signers;
pub mod takeover;
pub mod timeline;
pub mod trust;
pub mod writer;

pub(crate) use notes::{
    Acknowledged, DisposalOutcome, DisposalRequest, ExtensionOutcome, ExtensionRequest,
    HoldOutcome, HoldRequest,
};

pub(crate) use anchoring::{AnchorStore, Anchoring, HeadNotifier, Unanchored};
pub(crate) use append::{Appended, Mode};
pub(crate) use archive::Archive;
pub(crate) use days::Chain;
pub(crate) use disposed::OmittedDays;
pub(crate) use inventory::{NewestInventory, UnlistedSubAccount};
pub(crate) use obligations::StandingObligations;
pub(crate) use protection::Protection;
pub(crate) use read::ChainWalk;
pub(crate) use record::StoredRecord;
pub(crate) use roster::Roster;
pub(crate) use takeover::TakenOver;
pub(crate) use timeline::{CommittedRevision, Timeline};
pub(crate) use writer::{Policy, RunFacts, Signers, Writer};
