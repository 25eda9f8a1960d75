//! Shares of present, empty and missing summaries, by what a row says of its segment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::audit::current::{RowSelection, rows};
use crate::audit::scratch::Scratch;
use crate::chain::archive::Archive;
use crate::chain::timeline::Timeline;
use crate::format::row::Row;
use crate::format::row::tally::Tally;
use crate::outcome::Result;

/// What rows are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    AgentGroup,
    Agent,
    Channel,
    SegmentType,
}

impl Grouping {
    /// Every grouping.
    pub const ALL: [Grouping; 4] = [
        Grouping::AgentGroup,
        Grouping::Agent,
        Grouping::Channel,
        Grouping::SegmentType,
    ];

    /// Returns the name, as flags, events and tables spell it.
    pub fn name(self) -> &'static str {
        match self {
            Grouping::AgentGroup => "queue",
            Grouping::Agent => "agent",
            Grouping::Channel => "channel",
            Grouping::SegmentType => "type",
        }
    }

    /// The empty text stands for segments that say nothing of it.
    fn of(self, row: &Row) -> String {
        let metadata = &row.segment.metadata;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        match self {
            Grouping::AgentGroup => text(&metadata.segment_agent_group_id),
            Grouping::Agent => text(&metadata.segment_participant_id),
            Grouping::SegmentType => text(&metadata.segment_type),
            Grouping::Channel => match (&metadata.channel_class, &metadata.channel_type) {
                (None, None) => String::new(),
                (class, kind) => format!("{} {}", text(class), text(kind)).trim().to_owned(),
            },
        }
    }
}

/// Counts over the current row of each segment of the timeline's days.
pub type Shares = BTreeMap<String, Tally>;

/// Reads the current rows of every day of `timeline`, and counts them.
///
/// # Errors
/// As [`rows`].
pub async fn shares(source: &Archive, timeline: &Timeline, by: Grouping) -> Result<Shares> {
    let scratch = Scratch::new()?;
    let shares: Arc<Mutex<Shares>> = Arc::default();
    for revisions in timeline.by_day() {
        let counted = shares.clone();
        let count = move |row: Row| {
            let mut shares = counted.lock().unwrap_or_else(PoisonError::into_inner);
            shares.entry(by.of(&row)).or_default().add(&row);
            Ok(())
        };
        rows(source, &scratch, revisions, RowSelection::Current, count).await?;
    }
    let shares = std::mem::take(&mut *shares.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(shares)
}
