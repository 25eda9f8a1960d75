//! The signed records of an archive, and the small unsigned ones beside them.
//!
//! ```text
//! envelope     a record and its signature: one object of a chain     error        why an object is not a record
//! manifest     the records of one sub-account's chain                roster       the records of the roster's chain
//! day          one revision of one archive day                       inventory    the sub-accounts, as one run left them
//! notes        records that commit no rows: acknowledgement,         obligations  the holds and locks that such records
//!              hold, retention, disposal                                          require of objects
//! link, run    a named object; which process wrote a record          lock         Object Lock of one object
//! position     a record's place in the list of its chain's records
//! carried      members that this program does not know             open         values of open lists
//! coverage     one letter a day: what a chain covers                 warning      days that look suspicious
//! head         the newest record of a chain                          anchor       a head retained outside of the archive
//! archive      `archive.json`                                        copy         `copy.json`
//! signers      the records that say which keys count                 key_list     lists of public keys
//! continuity   since when a chain is signed, and what it passes over
//! receipt      proves one row without the archive
//! ```
//!
//! Every record is canonical JSON (RFC 8785), created once and never changed. Reading is strict about what this program
//! knows: a record with other bytes than this program would write for it is refused. What a later program has added is
//! carried along, so that hashes and signatures are over what is stored (`schemas/FORMAT.md`, "Extension").

pub mod anchor;
pub mod archive;
pub mod carried;
pub mod continuity;
pub mod copy;
pub mod coverage;
pub mod day;
pub mod envelope;
pub mod error;
pub mod head;
pub mod inventory;
pub mod key_list;
pub mod link;
pub mod lock;
pub mod manifest;
pub mod notes;
pub mod obligations;
pub mod open;
pub mod position;
pub mod receipt;
pub mod roster;
pub mod run;
pub mod signers;
pub mod warning;

pub(crate) use anchor::Anchor;
pub(crate) use archive::{ArchiveRecord, ArchiveRecordError};
pub(crate) use continuity::{Continuity, ForeignObject, PassedOver};
pub(crate) use copy::CopyRecord;
pub(crate) use coverage::{Coverage, DayState};
pub(crate) use day::{
    DayRecord, Discovery, File, Incomplete, Leftover, Recheck, Why, WindowRecord,
};
pub(crate) use envelope::{RecordBody, RecordPlace, Signed};
pub(crate) use error::ManifestError;
pub(crate) use head::{Head, HeadRef};
pub(crate) use key_list::KeyList;
pub(crate) use link::Link;
pub(crate) use lock::{Lock, LockMode, ObjectLock, Period, Retention};
pub(crate) use manifest::{Envelope, Manifest, Record};
pub(crate) use notes::{
    AFTER_LOCK_MS, AcknowledgedDay, Acknowledgement, DateSpan, Disposal, DisposedDay, ExtendedDay,
    Extension, Hold, HoldAct, LONGEST_NAME, LONGEST_REASON, MOST_DAYS,
};
pub(crate) use obligations::Obligations;
pub(crate) use open::OpenValue;
pub(crate) use position::{ChainPosition, SinceEntry, TreeHead};
pub(crate) use receipt::{Proven, RECEIPT_VERSION, Receipt};
pub(crate) use roster::{
    AccountListing, ChainHead, Ended, Inventory, RosterEntry, RosterRecord, SubAccountEntry,
    Takeover, UNLISTED,
};
pub(crate) use run::Run;
pub(crate) use signers::{KeyChange, SignersEntry, SignersRecord};
pub(crate) use warning::{PastDay, Warning, WarningCode};
