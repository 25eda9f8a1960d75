//! What the steps of one day share: which day it is, and where its parts are.

use std::path::Path;
use std::sync::Arc;

use jiff::civil::Date;

use crate::chain::Writer;
use crate::day::filters::Filters;
use crate::day::progress::DayMeter;
use crate::day::shared_chain::SharedChain;
use crate::format::record::{DayState, Why};
use crate::format::row::RecheckScope;
use crate::format::time::{Window, Zone};
use crate::journal::{DayFolder, DayIdentity, JournalHandle};
use crate::outcome::Result;
use crate::ringcx::RingCx;

/// The day to archive, and what is asked of it.
#[derive(Debug, Clone)]
pub struct DayJob {
    /// Id of the sub-account at RingCX.
    pub sub_account: String,
    /// The archive day, a calendar day in `zone`.
    pub date: Date,
    /// Time zone of the sub-account. Its first manifest fixes it.
    pub zone: Zone,
    /// The instants at which `date` begins and ends in `zone`.
    pub window: Window,
    /// Which summaries are requested.
    pub filters: Filters,
    /// The reason that a first revision states in its record.
    pub why: Why,
    /// Requests summaries again whose absence was acknowledged.
    pub insist: bool,
    /// Set where a committed day is to be observed again.
    pub recheck: Option<RecheckRequest>,
}

impl DayJob {
    /// Returns whether a day in this state is observed again although it is sealed.
    pub(super) fn reopens(&self, state: DayState) -> bool {
        self.recheck.is_some() || (self.insist && state == DayState::Acknowledged)
    }

    /// Returns what the journal and the parts of the day state of themselves.
    pub(super) fn identity(&self, archive: &Writer) -> DayIdentity {
        DayIdentity {
            archive_id: archive.id().to_owned(),
            sub_account: self.sub_account.clone(),
            date: self.date,
            zone: self.zone.name().to_owned(),
            window: self.window,
        }
    }
}

/// How a committed day is observed again.
#[derive(Debug, Clone)]
pub struct RecheckRequest {
    /// The statuses whose summaries are requested again.
    pub scope: RecheckScope,
    /// Records vanished segments even where they are most of the day, which otherwise looks like a lost permission.
    pub accept_vanished: bool,
}

/// Makes the client for the API when the first request is due: a day that is complete needs no credentials.
pub trait ApiSource: Sync {
    /// Returns the client, the same one for every call.
    ///
    /// # Errors
    /// Where the credentials are missing, or the client cannot be created.
    fn api(&self) -> impl Future<Output = Result<Arc<RingCx>>> + Send;
}

/// One day under way: this process holds the day's lock on this host, and the day's journal is open.
///
/// [`run`](crate::day::run) makes it once a visit; every step of the day takes it.
#[derive(Clone, Copy)]
pub(super) struct DayContext<'a> {
    /// The archive, opened for writing.
    pub archive: &'a Writer,
    /// The sub-account's chain, from which a step takes a new copy when another process was ahead.
    pub shared_chain: &'a SharedChain,
    /// The day, and what is asked of it.
    pub job: &'a DayJob,
    /// The day's folder on this host.
    pub folder: &'a DayFolder,
    /// The folder's scratch folder, for downloads and encoded parts; each round of encoding empties it.
    pub scratch: &'a Path,
    /// The day's journal, owned by a thread of its own.
    pub journal: &'a JournalHandle,
    /// The counters behind the progress display.
    pub meter: &'a DayMeter,
    /// The statuses that the journal's recheck requests again. The journal's, not the job's: a recheck that was
    /// interrupted is finished with the scope that it began with.
    pub recheck: Option<&'a RecheckScope>,
}
