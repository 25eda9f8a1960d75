//! What a page shows of a chain's manifests beyond the calendar: the signers, and why days are not complete.
//!
//! Only days with gaps have an entry, so that the details of a long chain stay small.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::chain::Timeline;
use crate::format::record::{Incomplete, OpenValue};
use crate::format::row::Failures;

/// The part of a chain's manifests that a [`crate::audit::calendar::Calendar`] leaves out.
#[derive(Debug, Clone, Default)]
pub struct ChainDetails {
    /// Fingerprints (`SHA256:...`) of the keys that signed; `None` stands for manifests without a signature.
    pub signers: BTreeSet<Option<String>>,
    /// The reasons of each day that is not complete.
    pub gaps: BTreeMap<Date, DayGap>,
}

/// Why a day is not complete, according to its newest manifest.
#[derive(Debug, Clone, Default)]
pub struct DayGap {
    /// The reasons that the manifest gives.
    pub reasons: Vec<OpenValue<Incomplete>>,
    /// How many summaries of the newest revision failed, by class of failure such as `http_500`.
    pub failures: Failures,
}

impl ChainDetails {
    /// Collects the details of a timeline.
    pub fn of(timeline: &Timeline) -> ChainDetails {
        let signers = timeline
            .revisions
            .iter()
            .map(|revision| revision.signed_by.clone())
            .collect();
        let gaps = timeline
            .by_day()
            .filter_map(|revisions| revisions.last())
            .filter(|revision| !revision.record.complete)
            .map(|revision| {
                let gap = DayGap {
                    reasons: revision.record.incomplete_because.clone(),
                    failures: revision.record.failures.clone(),
                };
                (revision.record.date, gap)
            })
            .collect();
        ChainDetails { signers, gaps }
    }
}
