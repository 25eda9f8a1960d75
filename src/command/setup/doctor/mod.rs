//! `cxvault doctor`: checks everything that a night needs, and says what to do about each problem.
//!
//! The checks do the real thing instead of reading configurations: they create objects, try to replace and to delete them, get
//! a token and request a discovery. The objects are below `doctor/` and belong to no chain. No check depends on another, apart
//! from those that need the object or the token of an earlier one.
//!
//! ```text
//! host     settings, who else can read secrets, state folder, signing key; nothing leaves this host
//! store    the store of the archive, and that of the anchor
//! ringcx   token, sub-accounts, discovery, clock, and the days that RingCX will soon delete
//! ```
//!
//! Every result is printed as soon as it is known, as a line or as an event `check`, and the event `doctor` ends the output. A
//! doctor that is killed leaves at most a probe object, which has a lock of two minutes and can be deleted afterwards. It
//! creates no archive.

use serde::Serialize;

use crate::cli::operate::DoctorArgs;
use crate::command::Context;
use crate::config::Loaded;
use crate::outcome::{Exit, Failure, Result};
use crate::render::{Event, Output, count};

mod host;
mod ringcx;
mod store;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing to do.
    Ok,
    /// The check does not concern these settings.
    NotApplicable,
    /// The archive works, but a protection is missing.
    Warning,
    /// A run would fail, or the archive would not be protected as configured.
    Failed,
}

impl Verdict {
    /// Returns the word of a line for people, padded.
    fn shown(self) -> &'static str {
        match self {
            Verdict::Ok => "ok     ",
            Verdict::NotApplicable => "-      ",
            Verdict::Warning => "WARNING",
            Verdict::Failed => "FAILED ",
        }
    }
}

/// A check and its result.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DoctorCheck {
    /// Name of the check.
    pub check: String,
    /// Its result.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

impl DoctorCheck {
    /// Returns a check without a remedy. The exit code counts only for [`Verdict::Failed`].
    fn new(check: &str, verdict: Verdict, found: impl Into<String>) -> DoctorCheck {
        DoctorCheck {
            check: check.to_owned(),
            verdict,
            found: found.into(),
            remedy: None,
            exit: Exit::Usage,
        }
    }

    /// Returns a check without a problem.
    pub fn ok(check: &str, found: impl Into<String>) -> DoctorCheck {
        DoctorCheck::new(check, Verdict::Ok, found)
    }

    /// Returns a check that does not concern these settings.
    pub(crate) fn not_applicable(check: &str, why: impl Into<String>) -> DoctorCheck {
        DoctorCheck::new(check, Verdict::NotApplicable, why)
    }

    /// Returns a check with a warning.
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

    /// Returns a failed check, with the exit code of the process if it is the worst.
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

    /// Returns a failed check from the failure that it met.
    pub(crate) fn of_failure(check: &str, failure: impl Into<Failure>) -> DoctorCheck {
        let failure = failure.into();
        DoctorCheck {
            remedy: failure.remedy.clone(),
            exit: failure.exit,
            ..DoctorCheck::new(check, Verdict::Failed, failure.reason())
        }
    }
}

/// Runs all checks. The exit code is that of the worst check, and 3 if there are only warnings.
///
/// # Errors
/// None; failures are results of checks.
pub(crate) async fn run(args: &DoctorArgs, loaded: &Loaded, context: &Context) -> Result<Exit> {
    let settings = &loaded.settings;
    let mut checks = Checks {
        output: &context.output,
        all: Vec::new(),
    };
    checks.add(host::settings(loaded));
    host::secret_files(loaded)
        .into_iter()
        .for_each(|check| checks.add(check));
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

/// The checks so far. Each is printed as soon as it is done.
struct Checks<'a> {
    output: &'a Output,
    all: Vec<DoctorCheck>,
}

impl Checks<'_> {
    /// Prints a check, and remembers it for the exit code.
    fn add(&mut self, check: DoctorCheck) {
        self.output.event(Event::new("check").merge(&check));
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

    /// Prints the numbers of results and returns the exit code: that of the worst failed check, or 3 for warnings alone, so that
    /// a monitor notices a missing protection.
    fn end(self) -> Exit {
        let [ok, warnings, failed] =
            [Verdict::Ok, Verdict::Warning, Verdict::Failed].map(|verdict| {
                let checks = self.all.iter();
                checks.filter(|check| check.verdict == verdict).count()
            });
        let failures = self
            .all
            .iter()
            .filter(|check| check.verdict == Verdict::Failed);
        let exit = match (Exit::worst(failures.map(|check| check.exit)), warnings) {
            (Exit::Done, 0) => Exit::Done,
            (Exit::Done, _) => Exit::Gaps,
            (worst, _) => worst,
        };
        self.output.event(
            Event::new("doctor")
                .with("exit", exit.code())
                .with("ok", ok)
                .with("warnings", warnings)
                .with("failed", failed),
        );
        self.output.print(format!(
            "\n{ok} ok, {}, {failed} failed",
            count(warnings as u64, "warning")
        ));
        exit
    }
}

/// Returns the check of another clock against that of this host.
///
/// `skew_ms` is the other clock minus that of this host; `whose` names the other clock.
fn clocks_differ(check: &str, skew_ms: i64, whose: &str) -> DoctorCheck {
    let seconds = skew_ms as f64 / 1000.0;
    let found = format!("{whose} differs from this host's by {seconds:+.1} s");
    if skew_ms.abs() <= LARGEST_SKEW_MS {
        return DoctorCheck::ok(check, found);
    }
    DoctorCheck::warning(
        check,
        found,
        "Synchronise the clock of this host with NTP: S3 refuses requests whose time is wrong, and manifests record this clock.",
    )
}

/// Largest difference of clocks without a warning, in milliseconds. S3 refuses requests from a difference of 15 minutes on, but
/// the times in manifests should be better than that.
const LARGEST_SKEW_MS: i64 = 30_000;
