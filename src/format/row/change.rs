//! What a revision adds to committed rows: which observation is current, and which row is new.
//!
//! Both rules are part of the format (`schemas/FORMAT.md`, "Words"): the writer decides by them what a revision holds,
//! and a reader decides by them what an archived day says.

use crate::format::row::Row;
use crate::format::row::observation::{Observation, SummaryKind};

/// Returns the current one of two observations of a summary: an answer before none, then the later answer.
///
/// `second` is in the later revision, so it is current where neither is an answer. Of two answers, the one that was
/// fetched last is current, in either revision: an older answer that is committed later displaces nothing.
pub fn current<'a>(first: &'a Observation, second: &'a Observation) -> &'a Observation {
    match (first.status.is_answer(), second.status.is_answer()) {
        (true, false) => first,
        (false, _) => second,
        (true, true) if second.fetched_at > first.fetched_at => second,
        (true, true) => first,
    }
}

/// Returns whether both observations say the same: then the second is no change.
fn same(first: &Observation, second: &Observation) -> bool {
    first.status == second.status && first.sha256 == second.sha256
}

/// Turns a segment's row into its current row, where `later` is its row of a later revision: everything is that of the later
/// row, except for a summary whose earlier observation is still the current one.
pub fn absorb(earlier: &mut Row, mut later: Row) {
    for kind in SummaryKind::BOTH {
        let before = earlier.observation(kind);
        if current(before, later.observation(kind)) == before {
            std::mem::swap(earlier.observation_mut(kind), later.observation_mut(kind));
        }
    }
    *earlier = later;
}

/// Returns the row that `revision` must hold for a segment, given the committed row (`known`) and the row that this run
/// has observed; `None` where nothing has changed.
///
/// A summary without an answer now, or with the same answer as before, is carried along unchanged with its own times.
/// The observed metadata are the current ones.
pub fn change(known: Option<&Row>, mut observed: Row, revision: u32) -> Option<Row> {
    observed.revision = revision;
    let Some(known) = known else {
        return Some(observed);
    };
    let mut changed = known.vanished != observed.vanished || !observed.same_segment(known);
    for kind in SummaryKind::BOTH {
        let before = known.observation(kind);
        let now = observed.observation_mut(kind);
        let unchanged = same(before, now) || (before.status.is_answer() && !now.status.is_answer());
        if unchanged {
            *now = before.clone();
        } else {
            changed = true;
        }
    }
    changed.then_some(observed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::hash::digest::Digest;
    use crate::format::row::observation::Status;
    use crate::format::row::segment::Segment;
    use proptest::prelude::*;

    fn observed(status: Status, text: &str, at: i64) -> Observation {
        Observation {
            status,
            summary: (status == Status::Present).then(|| text.to_owned()),
            binary: None,
            sha256: matches!(status, Status::Present | Status::Empty)
                .then(|| Digest::of(text.as_bytes())),
            http_status: status.is_answer().then_some(200),
            content_type: None,
            fetched_at: status.is_answer().then_some(at),
            server_date: None,
            attempts: 1,
            error: None,
            observed_by: format!("run-{at}"),
        }
    }

    fn row(agent: Observation, auto: Observation) -> Row {
        Row {
            segment: Segment::read(r#"{"segmentId":"s"}"#.into()),
            other_answers: None,
            out_of_day: true,
            agent,
            auto,
            revision: 1,
            discovered_at: 5,
            discovered_by: "run".into(),
            vanished: false,
        }
    }

    #[test]
    fn a_failure_never_displaces_an_answer_and_changes_nothing_twice() {
        let known = row(
            observed(Status::Present, "a", 1),
            observed(Status::Failed, "", 1),
        );
        let seen = row(
            observed(Status::Failed, "", 2),
            observed(Status::Failed, "", 2),
        );
        assert_eq!(change(Some(&known), seen, 2), None);
    }

    #[test]
    fn a_filled_gap_carries_the_other_kind_along_with_its_own_time() {
        let known = row(
            observed(Status::Present, "a", 1),
            observed(Status::Failed, "", 1),
        );
        let seen = row(
            observed(Status::Failed, "", 9),
            observed(Status::Empty, "", 9),
        );
        let change = change(Some(&known), seen, 2).unwrap();
        assert_eq!(change.agent, known.agent);
        assert_eq!(
            (change.auto.status, change.auto.fetched_at),
            (Status::Empty, Some(9))
        );
        assert_eq!(change.revision, 2);
    }

    #[test]
    fn an_older_answer_that_differs_is_archived_but_never_current() {
        let known = row(
            observed(Status::Present, "new", 9),
            observed(Status::Empty, "", 9),
        );
        let seen = row(
            observed(Status::Empty, "", 2),
            observed(Status::Empty, "", 2),
        );
        let change = change(Some(&known), seen, 2).unwrap();
        assert_eq!(change.agent.fetched_at, Some(2));
        let mut now = known.clone();
        absorb(&mut now, change);
        assert_eq!(now.agent, known.agent);
    }

    fn any_observation() -> impl Strategy<Value = Observation> {
        let status = prop::sample::select(vec![
            Status::Present,
            Status::Empty,
            Status::NotFound,
            Status::Failed,
        ]);
        (status, "[ab]", 0i64..4).prop_map(|(status, text, at)| observed(status, &text, at))
    }

    proptest! {
        #[test]
        fn after_a_commit_the_same_observations_change_nothing_unless_they_are_older(
            known in (any_observation(), any_observation()), seen in (any_observation(), any_observation()),
        ) {
            let known = row(known.0, known.1);
            let seen = row(seen.0, seen.1);
            let mut now = known.clone();
            if let Some(change) = change(Some(&known), seen.clone(), 2) {
                absorb(&mut now, change);
            }
            for kind in SummaryKind::BOTH {
                // No answer is displaced by a missing one, and the last answer is current.
                let (before, observed, after) = (known.observation(kind), seen.observation(kind), now.observation(kind));
                prop_assert_eq!(after.status.is_answer(), before.status.is_answer() || observed.status.is_answer());
                if before.status.is_answer() {
                    prop_assert!(after.fetched_at >= before.fetched_at);
                }
            }
            if let Some(again) = change(Some(&now), seen.clone(), 3) {
                let older = SummaryKind::BOTH.into_iter().any(|kind| again.observation(kind).fetched_at < now.observation(kind).fetched_at
                    || (again.observation(kind).fetched_at == now.observation(kind).fetched_at));
                prop_assert!(older, "only an older answer may differ from the current one");
            }
        }
    }
}
