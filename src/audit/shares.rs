//! Counts of present, empty and missing summaries, grouped by a property of the segment (`cxvault status --by`).
//!
//! Manifests have counts for each day and agent group only, so the rows themselves are read here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::audit::current::{RowSelection, rows};
use crate::audit::scratch::Scratch;
use crate::chain::{Archive, Timeline};
use crate::format::named_enum;
use crate::format::row::{Row, Tally};
use crate::outcome::Result;

named_enum! {
    /// The property of a segment by which rows are grouped.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Grouping in ALL {
        /// The id of the agent group.
        AgentGroup = "queue",
        /// The id of the participant.
        Agent = "agent",
        /// The class and the type of the channel, separated by a space.
        Channel = "channel",
        /// The type of the segment.
        SegmentType = "type",
    }
}

impl Grouping {
    /// Returns the group of a row; an empty text if the segment does not have the property.
    fn of(self, row: &Row) -> String {
        let metadata = &row.segment.metadata;
        let property = match self {
            Grouping::AgentGroup => &metadata.segment_agent_group_id,
            Grouping::Agent => &metadata.segment_participant_id,
            Grouping::SegmentType => &metadata.segment_type,
            Grouping::Channel => {
                let parts = [&metadata.channel_class, &metadata.channel_type];
                let parts = parts.map(|part| part.as_deref().unwrap_or_default());
                return parts.join(" ").trim().to_owned();
            }
        };
        property.clone().unwrap_or_default()
    }
}

/// Counts over the current row of each segment, by group.
pub(crate) type Shares = BTreeMap<String, Tally>;

/// Reads the current row of each segment of all days of `timeline`, and counts the rows by group.
///
/// # Errors
/// As [`rows`].
pub(crate) async fn shares(source: &Archive, timeline: &Timeline, by: Grouping) -> Result<Shares> {
    let scratch = Scratch::new()?;
    let shares: Arc<Mutex<Shares>> = Arc::default();
    for revisions in timeline.by_day() {
        let counted = shares.clone();
        rows(
            source,
            &scratch,
            revisions,
            RowSelection::Current,
            move |row| {
                let mut shares = counted.lock().unwrap_or_else(PoisonError::into_inner);
                shares.entry(by.of(&row)).or_default().add(&row);
                Ok(())
            },
        )
        .await?;
    }
    let shares = std::mem::take(&mut *shares.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(shares)
}
