//! `cxvault doctor`: tries everything that a night needs, and says what to do about what is missing.

use serde::Serialize;

use crate::cli::operate::DoctorArgs;
use crate::command::Context;
use crate::config::Loaded;
use crate::outcome::{Exit, Failure, Result};
use crate::render::Output;

mod host;
mod ringcx;
mod store;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Ok,
    NotApplicable,
    Warning,
    Failed,
}

impl Verdict {
    fn shown(self) -> &'static str {
        match self {
            Verdict::Ok => "ok     ",
            Verdict::NotApplicable => "-      ",
            Verdict::Warning => "WARNING",
            Verdict::Failed => "FAILED ",
        }
    }
}

/// One thing that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct DoctorCheck {
    pub check: String,
    pub verdict: Verdict,
    pub found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

impl DoctorCheck {
    fn new(check: &str, verdict: Verdict, found: impl Into<String>) -> DoctorCheck {
        DoctorCheck {
            check: check.to_owned(),
            verdict,
            found: found.into(),
            remedy: None,
            exit: Exit::Usage,
        }
    }

    pub fn ok(check: &str, found: impl Into<String>) -> DoctorCheck {
        DoctorCheck::new(check, Verdict::Ok, found)
    }

    pub fn not_applicable(check: &str, why: impl Into<String>) -> DoctorCheck {
        DoctorCheck::new(check, Verdict::NotApplicable, why)
    }

    pub fn warning(
        check: &str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> DoctorCheck {
        DoctorCheck {
            remedy: Some(remedy.into()),
            ..DoctorCheck::new(check, Verdict::Warning, found)
        }
    }

    pub fn failed(
        check: &str,
        exit: Exit,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> DoctorCheck {
        DoctorCheck {
            remedy: Some(remedy.into()),
            exit,
            ..DoctorCheck::new(check, Verdict::Failed, found)
        }
    }

    /// What kept a check from being made, or what it was about.
    pub fn of_failure(check: &str, failure: impl Into<Failure>) -> DoctorCheck {
        let failure = failure.into();
        DoctorCheck {
            remedy: failure.remedy.clone(),
            exit: failure.exit,
            ..DoctorCheck::new(check, Verdict::Failed, failure.reason())
        }
    }
}

pub async fn run(args: &DoctorArgs, loaded: &Loaded, context: &Context) -> Result<Exit> {
    let settings = &loaded.settings;
    let mut checks = Checks {
        output: &context.output,
        all: Vec::new(),
    };
    checks.add(host::settings(loaded));
    checks.add(host::state_folder(settings));
    checks.add(host::signing_key(settings));
    [host::omitted_fields(settings), host::quota_share(settings)]
        .into_iter()
        .flatten()
        .for_each(|check| checks.add(check));
    store::examine(settings, &mut checks).await;
    store::examine_anchor(settings, &mut checks).await;
    if args.store_only {
        checks.add(DoctorCheck::not_applicable("RingCX", "--store-only"));
    } else {
        ringcx::examine(settings, context, &mut checks).await;
    }
    Ok(checks.end())
}

/// Says each check as it is made.
struct Checks<'a> {
    output: &'a Output,
    all: Vec<DoctorCheck>,
}

impl Checks<'_> {
    fn add(&mut self, check: DoctorCheck) {
        #[derive(Serialize)]
        struct CheckEvent<'a> {
            event: &'static str,
            #[serde(flatten)]
            check: &'a DoctorCheck,
        }
        self.output.event(&CheckEvent {
            event: "check",
            check: &check,
        });
        let mut line = format!(
            "{}  {}: {}",
            check.verdict.shown(),
            check.check,
            check.found
        );
        if let Some(remedy) = &check.remedy {
            line.push_str(&format!("\n         {remedy}"));
        }
        self.output.print(line);
        self.all.push(check);
    }

    fn end(self) -> Exit {
        #[derive(Serialize)]
        struct DoctorSummaryEvent {
            event: &'static str,
            exit: u8,
            ok: usize,
            warnings: usize,
            failed: usize,
        }
        let are = |verdict: Verdict| {
            self.all
                .iter()
                .filter(|check| check.verdict == verdict)
                .count()
        };
        let (ok, warnings, failed) = (
            are(Verdict::Ok),
            are(Verdict::Warning),
            are(Verdict::Failed),
        );
        let failures = self
            .all
            .iter()
            .filter(|check| check.verdict == Verdict::Failed);
        let exit = match (Exit::worst(failures.map(|check| check.exit)), warnings) {
            (Exit::Done, 0) => Exit::Done,
            (Exit::Done, _) => Exit::Gaps,
            (worst, _) => worst,
        };
        self.output.event(&DoctorSummaryEvent {
            event: "doctor",
            exit: exit.code(),
            ok,
            warnings,
            failed,
        });
        self.output
            .print(format!("\n{ok} ok, {warnings} warnings, {failed} failed"));
        exit
    }
}

fn clocks_differ(check: &str, skew_ms: i64, whose: &str) -> DoctorCheck {
    let seconds = skew_ms as f64 / 1000.0;
    if skew_ms.abs() <= MOST_SKEW_MS {
        return DoctorCheck::ok(
            check,
            format!("{whose} is {seconds:+.1} s against this host"),
        );
    }
    DoctorCheck::warning(
        check,
        format!("{whose} is {seconds:+.1} s against this host"),
        "Let this host's clock be set by NTP: signatures of requests and times in manifests depend on it.",
    )
}

/// What S3 refuses begins at a quarter of an hour; what an auditor wonders about, much earlier.
const MOST_SKEW_MS: i64 = 30_000;
