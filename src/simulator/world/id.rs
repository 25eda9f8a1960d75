//! The ids of segments and dialogs.
//!
//! A segment's id contains its position, scrambled by a bijection, and a check: a request for a summary finds its
//! segment without a table, and an altered id finds nothing.

use crate::simulator::dice::{hash, mix, unmix};
use crate::simulator::time::SECOND_MS;
use crate::simulator::world::{Decision, Position, SimulatedSegment, SimulatedSubAccount, World};

impl World {
    /// Returns the segment's id in the forms that RingCX uses for voice and digital. It contains the scrambled position
    /// and a check.
    pub(in crate::simulator) fn id(
        &self,
        sub: &SimulatedSubAccount,
        segment: &SimulatedSegment,
    ) -> String {
        let Position { day, index } = segment.position;
        let place = mix(((day as u64 & 0xff_ffff) << 40 | index) ^ mix(sub.hash));
        let check = hash(&[segment.key, Decision::Check as u64]);
        match segment.voice {
            true => format!(
                "p-v-{place:016x}{check:016x}-{}-{:013x}",
                segment.start_ms,
                check >> 12 ^ place >> 12
            ),
            false => {
                let second = segment.start_ms.div_euclid(SECOND_MS) as u32;
                format!("{}-{second:08x}{place:016x}", self.dialog_id(segment))
            }
        }
    }

    /// Returns the id of the segment's dialog.
    pub(in crate::simulator) fn dialog_id(&self, segment: &SimulatedSegment) -> String {
        match segment.voice {
            true => format!("{:016x}{:016x}", segment.dialog, mix(segment.dialog)),
            false => {
                let second = segment.dialog_start_ms.div_euclid(SECOND_MS) as u32;
                format!("d-{second:08x}{:016x}", segment.dialog)
            }
        }
    }

    /// Returns the segment with this id, or `None` when no segment of the sub-account has it.
    pub(in crate::simulator) fn find(
        &self,
        sub: &SimulatedSubAccount,
        id: &str,
    ) -> Option<SimulatedSegment> {
        let place = match id.strip_prefix("p-v-") {
            Some(rest) => rest.get(..16)?,
            None => id.strip_prefix("d-")?.get(24 + 1 + 8..)?,
        };
        let packed = unmix(u64::from_str_radix(place, 16).ok()?) ^ mix(sub.hash);
        let position = Position {
            day: (packed >> 40) as i64,
            index: packed & ((1 << 40) - 1),
        };
        if position.index >= self.per_day {
            return None;
        }
        let segment = self.segment(sub, position);
        // Whatever was altered in the id, it differs from the genuine one.
        (self.id(sub, &segment) == id && !self.has_no_id(&segment)).then_some(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::options::SimulatorOptions;

    #[test]
    fn ids_lead_back_to_their_segment_and_altered_ones_nowhere() {
        let world = World::new(&SimulatorOptions {
            sub_accounts: vec!["99999999".into(), "88888888".into()],
            ..SimulatorOptions::default()
        });
        let [sub, other] = &world.sub_accounts[..] else {
            panic!()
        };
        let (mut voice, mut digital) = (0, 0);
        for index in 0..400 {
            let segment = world.segment(sub, Position { day: 20_777, index });
            let id = world.id(sub, &segment);
            assert_eq!(world.find(sub, &id), Some(segment), "{id}");
            assert_eq!(world.find(other, &id), None, "{id}");
            for place in 4..id.len() {
                let mut altered = id.clone().into_bytes();
                altered[place] = if altered[place] == b'7' { b'8' } else { b'7' };
                assert_eq!(
                    world.find(sub, std::str::from_utf8(&altered).unwrap()),
                    None,
                    "{id} at {place}"
                );
            }
            if segment.voice {
                voice += 1
            } else {
                digital += 1
            }
            assert_eq!(id.len(), if segment.voice { 64 } else { 51 }, "{id}");
        }
        assert!(voice > 200 && digital > 60, "{voice} {digital}");
        for id in [
            "",
            "p-v-",
            "d-",
            "d-é",
            "p-v-zzzzzzzzzzzzzzzz",
            "p-v-é23456789abcdeff-1",
        ] {
            assert_eq!(world.find(sub, id), None);
        }
    }
}
