//! How a day ended.

use crate::format::record::{DayRecord, DayState, Warning};
use crate::journal::Head;
use crate::outcome::Exit;

/// The state of a day in the chain after a run has confirmed or continued it.
#[derive(Debug)]
pub struct DayOutcome {
    /// Head of the chain when the day ended.
    pub head: Head,
    /// The newest record of the day.
    pub record: DayRecord,
    /// Number of revisions that this run committed; 0 where the day was confirmed as it was.
    pub committed: u32,
    /// Whether an earlier run had left a journal. That run may have committed without reporting its warnings.
    pub resumed: bool,
    /// Whether all gaps of the day are acknowledged.
    pub acknowledged: bool,
    /// Whether the day was disposed of after its retention: only its record remains.
    pub disposed: bool,
}

impl DayOutcome {
    /// Returns the outcome of a day with this newest record, which is in `state` in the chain.
    pub(super) fn new(
        head: Head,
        record: DayRecord,
        committed: u32,
        state: DayState,
    ) -> DayOutcome {
        DayOutcome {
            head,
            record,
            committed,
            resumed: false,
            acknowledged: state == DayState::Acknowledged,
            disposed: state == DayState::Disposed,
        }
    }

    /// Returns the warnings that this run reports: none for a day that was only confirmed, since the run that committed
    /// it has reported them.
    pub fn warnings(&self) -> &[Warning] {
        if self.committed > 0 || self.resumed {
            &self.record.warnings
        } else {
            &[]
        }
    }

    /// Returns [`Exit::Gaps`] where the operator has to look at the day: for open gaps and for warnings that are not
    /// acknowledged.
    pub fn exit(&self) -> Exit {
        let is_settled = self.record.complete || self.acknowledged || self.disposed;
        let is_quiet = self.warnings().iter().all(|warning| warning.acknowledged);
        if is_settled && is_quiet {
            Exit::Done
        } else {
            Exit::Gaps
        }
    }
}
