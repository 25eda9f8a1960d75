//! When discovery shows a segment, and in which windows: where the faults of discovery take effect.
//!
//! Each answer is a function of the segment and of the time, so that a request that is repeated at the same simulated time
//! has the same answer. Nothing is remembered of earlier requests.

use crate::simulator::dice::{hash, hits};
use crate::simulator::time::{HOUR_MS, MINUTE_MS, millis};
use crate::simulator::world::{Decision, SimulatedSegment, World};

/// A repeated segment is shown again this much later: with windows of 3 h, in the next window.
pub(in crate::simulator) const REPEATED_AFTER_MS: i64 = 3 * HOUR_MS;
/// A displaced segment is shown only this much later.
pub(in crate::simulator) const MOVED_BY_MS: i64 = 7 * HOUR_MS;

/// Where discovery shows a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) enum Placement {
    /// In the window that contains its end.
    Once,
    /// Twice in that window.
    Twice { differs: bool },
    /// In that window, and again [`REPEATED_AFTER_MS`] later.
    Again { differs: bool },
    /// Only [`MOVED_BY_MS`] later.
    Moved,
}

impl World {
    /// Returns whether discovery shows the segment at `now_ms`: up to 13 minutes after its end (or after the time that
    /// it was displaced to) it does not yet, and after it vanished or its retention ended no longer.
    pub(in crate::simulator) fn is_shown(&self, segment: &SimulatedSegment, now_ms: i64) -> bool {
        let delay_ms =
            (hash(&[segment.key, Decision::Delay as u64]) % 14 * MINUTE_MS as u64) as i64;
        let moved_ms = match self.placement(segment) {
            Placement::Moved => MOVED_BY_MS,
            _ => 0,
        };
        let age_ms = now_ms - segment.end_ms;
        let gone = hits_fault(Decision::Vanish, segment, self.faults.vanish)
            && age_ms >= millis(self.faults.vanish_after);
        age_ms >= delay_ms + moved_ms && !gone && self.is_retained(segment, now_ms)
    }

    /// Returns whether summaries and transcripts can be requested: the segment has ended and is retained.
    pub(in crate::simulator) fn is_available(
        &self,
        segment: &SimulatedSegment,
        now_ms: i64,
    ) -> bool {
        segment.end_ms <= now_ms && self.is_retained(segment, now_ms)
    }

    fn is_retained(&self, segment: &SimulatedSegment, now_ms: i64) -> bool {
        now_ms - segment.end_ms <= self.retention_ms
    }

    /// Returns in which windows discovery shows the segment.
    pub(in crate::simulator) fn placement(&self, segment: &SimulatedSegment) -> Placement {
        if hits_fault(Decision::Moved, segment, self.faults.out_of_window) {
            return Placement::Moved;
        }
        // Without an id, copies that differ would be two segments: no client could match them.
        if self.has_no_id(segment)
            || !hits_fault(Decision::Duplicate, segment, self.faults.duplicates)
        {
            return Placement::Once;
        }
        let coin = hash(&[segment.key, Decision::Duplicate as u64, 1]);
        let differs = coin & 2 != 0;
        if coin & 1 == 0 {
            Placement::Twice { differs }
        } else {
            Placement::Again { differs }
        }
    }

    /// Returns whether discovery shows the segment without an id.
    pub(in crate::simulator) fn has_no_id(&self, segment: &SimulatedSegment) -> bool {
        hits_fault(Decision::NoId, segment, self.faults.no_id)
    }

    /// Returns whether discovery shows the segment without its end.
    pub(in crate::simulator) fn has_no_end(&self, segment: &SimulatedSegment) -> bool {
        hits_fault(Decision::NoEnd, segment, self.faults.no_end)
    }

    /// Returns whether discovery's object has been edited by `now_ms`.
    pub(in crate::simulator) fn is_edited(&self, segment: &SimulatedSegment, now_ms: i64) -> bool {
        hits_fault(Decision::Edit, segment, self.faults.edits)
            && now_ms - segment.end_ms >= millis(self.faults.edit_after)
    }
}

/// Returns whether a fault with this share, in percent, falls on the segment.
fn hits_fault(decision: Decision, segment: &SimulatedSegment, percent: f64) -> bool {
    percent > 0.0 && hits(hash(&[segment.key, decision as u64]), percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::options::{Faults, SimulatorOptions};
    use crate::simulator::time::DAY_MS;
    use crate::simulator::world::Position;

    #[test]
    fn a_segment_is_shown_some_minutes_after_its_end_until_it_vanishes() {
        let world = World::new(&SimulatorOptions {
            faults: Faults {
                vanish: 100.0,
                ..Faults::default()
            },
            ..SimulatorOptions::default()
        });
        let sub = &world.sub_accounts[0];
        let segment = world.segment(
            sub,
            Position {
                day: 20_777,
                index: 100,
            },
        );
        assert!(!world.is_shown(&segment, segment.end_ms - 1));
        assert!(world.is_shown(&segment, segment.end_ms + 15 * MINUTE_MS));
        assert!(!world.is_shown(&segment, segment.end_ms + 3 * DAY_MS));
    }
}
