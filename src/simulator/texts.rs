//! The summaries: ordinary texts, texts with unusual characters, and missing ones.
//!
//! Like the segments they are functions of the seed, so a test can compute what an archive must hold.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::simulator::dice::{Dice, hash, hits, unit};
use crate::simulator::time::millis;
use crate::simulator::world::{Decision, SimulatedSegment, World};

/// The two kinds of summaries of a segment. Its numbers are hashed: do not renumber them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SimulatedKind {
    Agent,
    Auto,
}

impl SimulatedKind {
    /// Parses the last part of the request's path.
    pub(super) fn from_name(name: &str) -> Option<SimulatedKind> {
        match name {
            "agent" => Some(SimulatedKind::Agent),
            "auto" => Some(SimulatedKind::Auto),
            _ => None,
        }
    }

    /// Returns the hash that decides one aspect of the summary of a segment.
    fn roll(self, segment: &SimulatedSegment, decision: Decision) -> u64 {
        hash(&[segment.key, decision as u64, 10 + self as u64])
    }
}

/// The API's answer for a summary, without faults of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SimulatedSummary {
    /// 200, 404 or 500.
    pub(super) http_status: u16,
    /// Empty unless the summary has a text.
    pub(super) body: Bytes,
    /// Either of the two types that RingCX sends; it says nothing about the body.
    pub(super) content_type: &'static str,
}

const PLAIN: &str = "text/plain;charset=UTF-8";
const JSON: &str = "application/json";

impl SimulatedSummary {
    /// Builds an answer with an empty body.
    fn without_text(http_status: u16) -> Self {
        SimulatedSummary {
            http_status,
            body: Bytes::new(),
            content_type: PLAIN,
        }
    }

    /// Returns the status that an archive records for this answer.
    pub(super) fn status(&self) -> &'static str {
        match self.http_status {
            200 if self.body.is_empty() => "EMPTY",
            200 if std::str::from_utf8(&self.body).is_ok() => "PRESENT",
            200 => "BINARY",
            404 => "NOT_FOUND",
            _ => "FAILED",
        }
    }
}

impl World {
    /// Returns the summary of `kind` as of `now_ms` (UTC milliseconds): summaries can be populated late, and edited.
    ///
    /// The faults are drawn in a fixed order: always 500; no AI for the agent group; not found or empty; late; then the
    /// text itself, which can be too large or strange; then its edit.
    pub(super) fn summary(
        &self,
        segment: &SimulatedSegment,
        kind: SimulatedKind,
        now_ms: i64,
    ) -> SimulatedSummary {
        let faults = &self.faults;
        let age_ms = now_ms - segment.end_ms;
        if hits(kind.roll(segment, Decision::Broken), faults.permanent_500) {
            return SimulatedSummary::without_text(500);
        }
        let ai_off =
            !faults.ai_off.is_empty() && faults.ai_off.contains(&segment.agent_group.to_string());
        if kind == SimulatedKind::Auto && ai_off {
            return SimulatedSummary::without_text(200);
        }
        let share = unit(kind.roll(segment, Decision::Summary)) * 100.0;
        if share >= self.present {
            let empty = share >= self.present + self.not_found;
            return SimulatedSummary::without_text(if empty { 200 } else { 404 });
        }
        if hits(kind.roll(segment, Decision::Late), faults.late_population)
            && age_ms < millis(faults.late_by)
        {
            return SimulatedSummary::without_text(200);
        }
        // The same text whenever it is requested: archives must find no change where there is none.
        let mut dice = Dice::new(&[kind.roll(segment, Decision::Summary)]);
        let content_type = if dice.percent(70.0) { PLAIN } else { JSON };
        let mut body = match () {
            () if hits(kind.roll(segment, Decision::Large), faults.too_large) => large(),
            () if hits(kind.roll(segment, Decision::Strange), faults.strange_texts) => {
                strange(&mut dice)
            }
            () => Bytes::from(ordinary(&mut dice, kind, segment.voice)),
        };
        if hits(kind.roll(segment, Decision::Edit), faults.edits)
            && age_ms >= millis(faults.edit_after)
        {
            let correction = b" Correction: the customer called back and confirmed.";
            body = [&body[..], correction].concat().into();
        }
        SimulatedSummary {
            http_status: 200,
            body,
            content_type,
        }
    }
}

/// Reasons for an interaction.
const TOPICS: [&str; 12] = [
    "a charge on the last invoice",
    "a delayed delivery",
    "a password that no longer works",
    "a change of address",
    "the cancellation of a subscription",
    "a damaged item",
    "a refund that has not arrived",
    "an appointment next week",
    "the terms of the warranty",
    "an upgrade of the current plan",
    "a login from an unknown device",
    "a missing confirmation e-mail",
];

/// What the agent did.
const ACTIONS: [&str; 10] = [
    "confirmed the account details",
    "explained the next steps",
    "submitted the request for review",
    "sent a new link",
    "offered a replacement",
    "booked a call back",
    "transferred the matter to the specialists",
    "applied a one-time credit",
    "corrected the entry",
    "checked the status with the warehouse",
];

/// How the interaction ended.
const OUTCOMES: [&str; 8] = [
    "The issue was resolved.",
    "A follow-up is due within two days.",
    "The customer was satisfied with the outcome.",
    "The customer will send the missing documents.",
    "No further action is needed.",
    "The customer asked for a written confirmation.",
    "The case stays open until the review is done.",
    "The customer declined the offer and may call again.",
];

/// Composes a few sentences, as agents and language models write them.
pub(super) fn ordinary(dice: &mut Dice, kind: SimulatedKind, voice: bool) -> String {
    let verb = if voice { "called" } else { "wrote" };
    let (topic, first, second) = (dice.pick(&TOPICS), dice.pick(&ACTIONS), dice.pick(&ACTIONS));
    let (outcome, ticket) = (dice.pick(&OUTCOMES), 100_000 + dice.below(900_000));
    match (kind, dice.below(3)) {
        (SimulatedKind::Agent, 0) => format!("Cust {verb} re {topic}. {outcome}"),
        (SimulatedKind::Agent, _) => {
            format!("Customer {verb} about {topic}; {first}. Ticket {ticket}. {outcome}")
        }
        (SimulatedKind::Auto, 0) => {
            format!("The customer {verb} about {topic}. The agent {first} and {second}. {outcome}")
        }
        (SimulatedKind::Auto, _) => format!(
            "The customer {verb} about {topic} (reference {ticket}). The agent {first}, then {second}. {outcome} \
             Sentiment: {}.",
            dice.pick(&["neutral", "positive", "negative, improving"]),
        ),
    }
}

/// Texts with unusual characters, which are easily altered; an archive must return each byte for byte. They cover blanks, line ends, emoji,
/// right-to-left scripts, JSON, numbers, control characters, U+FEFF, SQL and CSV syntax, and invalid UTF-8.
const STRANGE: [&[u8]; 22] = [
    b" ",
    b"   \t  ",
    b"\n",
    b"\r\n\r\n",
    b"First line.\nSecond line.\r\nThird line.\rFourth line.\n",
    "Kundin zufrieden \u{1f600}\u{1f44d}\u{1f3fd} \u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{2764}\u{fe0f}".as_bytes(),
    "\u{05d4}\u{05dc}\u{05e7}\u{05d5}\u{05d7} \u{05d4}\u{05ea}\u{05e7}\u{05e9}\u{05e8}. \u{202e}txet desrever\u{202c}".as_bytes(),
    "\u{0627}\u{0644}\u{0639}\u{0645}\u{064a}\u{0644} \u{0631}\u{0627}\u{0636}\u{064d} \u{200f}(100%)".as_bytes(),
    "\u{5ba2}\u{6237}\u{8be2}\u{95ee}\u{8d26}\u{5355}\u{3002}\u{20bb7}".as_bytes(),
    br#"{"summary":"The customer asked for a refund.","score":0.5}"#,
    br#""The customer said \"thank you\" and hung up.\n""#,
    b"null",
    b"[]",
    b"\"\"",
    b"0",
    b"NaN",
    b"control \x01\x02\x07\x08\x0b\x0c\x1b[31mred\x1b[0m and \x00 zero",
    b"delete \x7f here",
    "\u{feff}byte order mark, \u{85} next line, \u{2028} separator, a\u{301} combining".as_bytes(),
    b"'; DROP TABLE summaries; -- , \"quoted\", =1+1, \\N, <b>&amp;</b>",
    b"not UTF-8: \xff\xfe \xc3\x28 \xe2\x82 \xf0\x9f\x98",
    b"\x80",
];

/// Picks one of [`STRANGE`], or a text around the 64 KiB at which many buffers end.
fn strange(dice: &mut Dice) -> Bytes {
    match dice.below(STRANGE.len() as u64 + 2) {
        n if n < STRANGE.len() as u64 => Bytes::from_static(STRANGE[n as usize]),
        n if n == STRANGE.len() as u64 => {
            sized(64 * 1024, "The customer repeated the question \u{2026} ")
        }
        _ => sized(64 * 1024 + 1, "\u{1f4de}\n"),
    }
}

/// Returns 5 MiB: more than the default limit on a summary.
fn large() -> Bytes {
    // Built once: thousands of answers share it.
    static LARGE: OnceLock<Bytes> = OnceLock::new();
    LARGE
        .get_or_init(|| sized(5 * 1024 * 1024, "Everything that was said, word by word. "))
        .clone()
}

/// Returns `length` bytes: `text` repeated, then blanks, so that no character is cut.
fn sized(length: usize, text: &str) -> Bytes {
    let mut all = text.repeat(length / text.len());
    all.push_str(&" ".repeat(length - all.len()));
    all.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::simulator::options::{Faults, SimulatorOptions};
    use crate::simulator::time::DAY_MS;
    use crate::simulator::world::Position;

    fn summaries(
        faults: Faults,
        age_ms: i64,
    ) -> Vec<(SimulatedSegment, SimulatedSummary, SimulatedSummary)> {
        let world = World::new(&SimulatorOptions {
            faults,
            ..SimulatorOptions::default()
        });
        let sub = &world.sub_accounts[0];
        (0..400)
            .map(|index| {
                let segment = world.segment(sub, Position { day: 20_777, index });
                let summary = |kind| world.summary(&segment, kind, segment.end_ms + age_ms);
                (
                    segment,
                    summary(SimulatedKind::Agent),
                    summary(SimulatedKind::Auto),
                )
            })
            .collect()
    }

    #[test]
    fn four_of_five_summaries_have_a_text_and_the_kinds_differ() {
        let summaries = summaries(Faults::default(), DAY_MS);
        let mut counts = BTreeMap::new();
        for (_, agent, auto) in &summaries {
            *counts.entry(agent.status()).or_insert(0) += 1;
            *counts.entry(auto.status()).or_insert(0) += 1;
        }
        assert!((580..700).contains(&counts["PRESENT"]), "{counts:?}");
        assert!(
            counts["EMPTY"] > 40 && counts["NOT_FOUND"] > 30,
            "{counts:?}"
        );
        assert!(
            summaries
                .iter()
                .any(|(_, agent, auto)| agent.status() != auto.status())
        );
        assert!(
            summaries
                .iter()
                .any(|(_, agent, _)| agent.content_type == JSON)
        );
    }

    #[test]
    fn late_summaries_appear_later_and_edits_change_the_text() {
        let faults = || Faults {
            late_population: 100.0,
            edits: 100.0,
            ..Faults::default()
        };
        let early = summaries(faults(), DAY_MS);
        let (late, edited) = (
            summaries(faults(), 2 * DAY_MS),
            summaries(faults(), 3 * DAY_MS),
        );
        assert!(
            early
                .iter()
                .all(|(_, agent, _)| agent.status() != "PRESENT")
        );
        assert!(
            late.iter()
                .filter(|(_, agent, _)| agent.status() == "PRESENT")
                .count()
                > 250
        );
        for ((_, before, _), (_, after, _)) in late.iter().zip(&edited) {
            assert_eq!(before == after, before.status() != "PRESENT");
        }
    }

    #[test]
    fn strange_texts_come_in_every_kind() {
        let summaries = summaries(
            Faults {
                strange_texts: 100.0,
                ..Faults::default()
            },
            DAY_MS,
        );
        let bodies: Vec<&[u8]> = summaries
            .iter()
            .flat_map(|(_, agent, auto)| [&agent.body[..], &auto.body[..]])
            .collect();
        for strange in STRANGE {
            assert!(bodies.contains(&strange), "{strange:?}");
        }
        assert!(bodies.iter().any(|body| body.len() == 64 * 1024));
        assert!(
            summaries
                .iter()
                .any(|(_, agent, _)| agent.status() == "BINARY")
        );
    }

    #[test]
    fn a_group_without_ai_has_no_auto_summary() {
        let summaries = summaries(
            Faults {
                ai_off: vec!["4102".into()],
                ..Faults::default()
            },
            DAY_MS,
        );
        let (off, on): (Vec<_>, Vec<_>) = summaries
            .iter()
            .partition(|(segment, ..)| segment.agent_group == 4102);
        assert!(off.len() > 20 && off.iter().all(|(_, _, auto)| auto.status() == "EMPTY"));
        assert!(off.iter().any(|(_, agent, _)| agent.status() == "PRESENT"));
        assert!(on.iter().any(|(_, _, auto)| auto.status() == "PRESENT"));
    }
}
