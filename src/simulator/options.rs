//! The options of the simulator: flags of `cxvault simulate`, and how tests configure it.
//!
//! The texts on the fields are the help texts of the command line, so they are written without a final full stop.

use std::time::Duration;

use clap::{Args, Parser};
use jiff::Timestamp;

use crate::ringcx::limits::Limits;
use crate::simulator::time::duration;

/// The simulated world and its rules. The same options always give the same segments and summaries.
#[derive(Debug, Clone, Args)]
pub struct SimulatorOptions {
    /// Seed of all simulated data
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// Segments that end on each UTC day, for each sub-account
    #[arg(long, value_name = "NUMBER", default_value_t = 400)]
    pub segments_per_day: u64,

    /// Sub-accounts, comma-separated
    #[arg(
        long,
        value_name = "IDS",
        value_delimiter = ',',
        default_value = "99999999"
    )]
    pub sub_accounts: Vec<String>,

    /// RingCentral account of the sub-accounts
    #[arg(long, value_name = "ID", default_value = "809646016")]
    pub rc_account_id: String,

    /// Agent groups; their ids are 4101, 4102, ...
    #[arg(long, value_name = "NUMBER", default_value_t = 6)]
    pub agent_groups: u32,

    /// Share of the summaries that have a text, for each kind
    #[arg(long, value_name = "PERCENT", default_value_t = 80.0, value_parser = percent)]
    pub present: f64,

    /// Share of the summaries that answer 404, for each kind; the remaining ones are empty
    #[arg(long, value_name = "PERCENT", default_value_t = 8.0, value_parser = percent)]
    pub not_found: f64,

    /// Simulated time at the start, as RFC 3339 [default: the real time]
    #[arg(long, value_name = "TIME")]
    pub now: Option<Timestamp>,

    /// The UTC day, counted from 1970-01-01, that the world counts its days from. The demo and tests that archive days of
    /// the real calendar set it to today: the days around it have the same segments then, whatever the date is.
    #[arg(skip)]
    pub day_zero: i64,

    /// How many times faster than real time the simulated time runs; limits and token lifetimes follow it
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = scale)]
    pub time_scale: f64,

    /// How far back discovery reaches, such as 90d [default: unlimited]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub retention: Option<Duration>,

    /// Limits of summary requests, over both kinds, for each credential
    #[arg(long, value_name = "LIMITS", default_value = "120/60s")]
    pub summary_limits: Limits,

    /// Limits of discovery requests, for each sub-account
    #[arg(long, value_name = "LIMITS", default_value = "3/60s,9/15m")]
    pub discovery_limits: Limits,

    /// Limits of token exchanges, for each credential
    #[arg(long, value_name = "LIMITS", default_value = "5/60s")]
    pub token_limits: Limits,

    /// Limits of transcript requests, and of recording requests, for each credential
    #[arg(long, value_name = "LIMITS", default_value = "120/60s")]
    pub transcript_limits: Limits,

    /// Send Retry-After with the 429 of a rate limit
    #[arg(long)]
    pub limits_say_retry_after: bool,

    /// Accepted credential, as CLIENT_ID:CLIENT_SECRET:JWT; may be given several times
    #[arg(long = "credential", value_name = "TEXTS", value_parser = credential)]
    #[arg(default_value = "demo-client:demo-secret:demo-jwt")]
    pub credentials: Vec<Credential>,

    /// A RingCX token that is accepted without a login and does not expire
    #[arg(long, value_name = "TOKEN", default_value = "demo-token")]
    pub ready_token: String,

    /// Lifetime of a RingCX token, in simulated time
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub token_life: Duration,

    /// Lifetime of a RingCentral token, in simulated time
    #[arg(long, value_name = "DURATION", default_value = "60m", value_parser = duration)]
    pub rc_token_life: Duration,

    /// Count summaries that are answered twice; takes memory [default: below 100000 segments a day]
    #[arg(long, value_name = "BOOL")]
    pub track: Option<bool>,

    #[command(flatten)]
    pub faults: Faults,
}

/// The faults that the simulator injects. Shares are percentages from 0 to 100; the default is 0.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Faults")]
pub struct Faults {
    /// Enable a small share of each fault below that a complete archive can contain
    #[arg(long)]
    pub all_faults: bool,

    /// Requests refused with 429 without Retry-After, whatever the limits
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub fault_429: f64,

    /// Requests refused with 429 and a Retry-After, in both its forms
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub fault_429_retry_after: f64,

    /// Requests answered with 500 at the first attempt
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub fault_500: f64,

    /// Requests whose connection is dropped without an answer
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub fault_reset: f64,

    /// Answers that end before the length they announce
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub fault_short_body: f64,

    /// Every answer waits up to this many real milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub fault_latency_ms: u64,

    /// RingCX tokens that are refused as expired long before their time
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub fault_token_expiry: f64,

    /// Discovery requests answered with 500 at every attempt
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub discovery_500: f64,

    /// Summaries that always answer 500
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub permanent_500: f64,

    /// Summaries that are empty until --late-by after their segment's end
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub late_population: f64,

    /// Delay of --late-population
    #[arg(long, value_name = "DURATION", default_value = "2d", value_parser = duration)]
    pub late_by: Duration,

    /// Summaries, and discovery's objects, that change --edit-after after their segment's end
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub edits: f64,

    /// Age at which --edits change
    #[arg(long, value_name = "DURATION", default_value = "3d", value_parser = duration)]
    pub edit_after: Duration,

    /// Segments that discovery no longer returns --vanish-after after their end
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub vanish: f64,

    /// Age at which --vanish takes effect
    #[arg(long, value_name = "DURATION", default_value = "3d", value_parser = duration)]
    pub vanish_after: Duration,

    /// Segments returned twice, in one answer or again 3 h later; half of the repeats differ
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub duplicates: f64,

    /// Segments returned only by the window 7 h after the one they belong to
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub out_of_window: f64,

    /// Segments without an id
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub no_id: f64,

    /// Segments without an end time
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub no_end: f64,

    /// Texts with unusual characters: blanks, emoji, right-to-left, control characters, not UTF-8, ...
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub strange_texts: f64,

    /// Texts of 5 MiB
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub too_large: f64,

    /// Agent groups whose auto summaries are always empty, comma-separated
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub ai_off: Vec<String>,

    /// Discovery returns no segment
    #[arg(long)]
    pub empty: bool,

    /// Sub-accounts to which access is denied, comma-separated
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub deny: Vec<String>,
}

impl Faults {
    /// Returns the faults with `--all-faults` expanded; a share that was given explicitly is kept.
    pub(super) fn effective(mut self) -> Self {
        if !self.all_faults {
            return self;
        }
        let preset = [
            (&mut self.fault_429, 1.0),
            (&mut self.fault_429_retry_after, 1.0),
            (&mut self.fault_500, 2.0),
            (&mut self.fault_reset, 1.0),
            (&mut self.fault_short_body, 1.0),
            (&mut self.fault_token_expiry, 30.0),
            (&mut self.late_population, 4.0),
            (&mut self.edits, 4.0),
            (&mut self.vanish, 2.0),
            (&mut self.duplicates, 4.0),
            (&mut self.out_of_window, 2.0),
            (&mut self.no_id, 1.0),
            (&mut self.no_end, 1.0),
            (&mut self.strange_texts, 12.0),
        ];
        for (share, preset) in preset {
            if *share == 0.0 {
                *share = preset;
            }
        }
        if self.fault_latency_ms == 0 {
            self.fault_latency_ms = 5;
        }
        self
    }
}

impl Default for SimulatorOptions {
    /// Returns the defaults of the flags, read from their declaration so that the two cannot differ.
    fn default() -> Self {
        OptionsParser::parse_from(["simulate"]).options
    }
}

/// Parses the options without the rest of the command line.
#[derive(Parser)]
struct OptionsParser {
    #[command(flatten)]
    options: SimulatorOptions,
}

impl Default for Faults {
    fn default() -> Self {
        SimulatorOptions::default().faults
    }
}

/// A credential that the simulator accepts. Although invented, it is treated as a secret: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// User of HTTP Basic in the JWT grant.
    pub client_id: String,
    /// Password of HTTP Basic in the JWT grant.
    pub client_secret: String,
    /// The `assertion` of the JWT grant.
    pub jwt: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Credential({})", self.client_id)
    }
}

fn credential(text: &str) -> Result<Credential, String> {
    match text.splitn(3, ':').collect::<Vec<_>>()[..] {
        [client_id, client_secret, jwt] if ![client_id, client_secret, jwt].contains(&"") => {
            Ok(Credential {
                client_id: client_id.into(),
                client_secret: client_secret.into(),
                jwt: jwt.into(),
            })
        }
        _ => Err("write CLIENT_ID:CLIENT_SECRET:JWT, none of them empty".into()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("write a percentage from 0 to 100".into()),
    }
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale <= 1e6 => Ok(scale),
        _ => Err("write a number above 0, such as 60".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_flags() {
        let options = SimulatorOptions::default();
        assert_eq!(options.segments_per_day, 400);
        assert_eq!(options.summary_limits.to_string(), "120/60s");
        assert_eq!(options.discovery_limits.to_string(), "3/60s,9/15m");
        assert_eq!(options.credentials[0].jwt, "demo-jwt");
        assert_eq!(options.token_life, Duration::from_secs(300));
        assert!(options.faults.ai_off.is_empty() && options.faults.deny.is_empty());
    }

    #[test]
    fn flags_are_read_and_nonsense_is_refused() {
        let read = |flags: &[&str]| {
            OptionsParser::try_parse_from([&["simulate"], flags].concat())
                .map(|parsed| parsed.options)
        };
        let options = read(&[
            "--sub-accounts",
            "1,2",
            "--now",
            "2026-11-20T06:00:00Z",
            "--fault-500",
            "5",
        ]);
        let options = options.unwrap();
        assert_eq!(options.sub_accounts, ["1", "2"]);
        assert_eq!(options.faults.fault_500, 5.0);
        assert!(options.now.is_some());
        for wrong in [
            ["--fault-500", "101"],
            ["--time-scale", "0"],
            ["--late-by", "2"],
            ["--credential", "a:b"],
            ["--summary-limits", "many"],
        ] {
            assert!(read(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_preset_leaves_a_given_share_alone() {
        let given = Faults {
            all_faults: true,
            fault_500: 9.0,
            ..Faults::default()
        }
        .effective();
        assert_eq!(given.fault_500, 9.0);
        assert!(given.fault_reset > 0.0 && given.strange_texts > 0.0);
        assert_eq!(
            (given.permanent_500, given.discovery_500, given.too_large),
            (0.0, 0.0, 0.0)
        );
        assert!(!given.empty);
    }
}
