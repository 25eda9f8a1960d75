//! Exit codes, and failures that carry an exit code and a remedy.
//!
//! Kinds of failures follow what the operator does next, not where they occur: run again, correct a setting, have a
//! permission granted, investigate.

use std::error::Error;
use std::fmt;

use serde::Serialize;

/// The process's exit codes. Scripts rely on them: they are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Exit {
    /// Everything that was requested is done.
    Done = 0,
    /// An error that should not happen: report it.
    Unexpected = 1,
    /// Wrong usage or settings: correct them.
    Usage = 2,
    /// Committed, but with gaps or warnings: examine them. The next run fills what it can.
    Gaps = 3,
    /// The archive contradicts itself, or what this host remembers: investigate before anything else.
    Integrity = 4,
    /// The API or the store is unavailable, or the run was interrupted: run again later.
    Later = 5,
    /// Credentials or permissions do not suffice: have them granted.
    Denied = 6,
    /// Another process is working on the same day of the same archive: wait for it.
    Locked = 11,
}

impl Exit {
    /// The exit codes, worst first. A process with several outcomes ends with the worst of them.
    const WORST_FIRST: [Exit; 8] = [
        Exit::Integrity,
        Exit::Unexpected,
        Exit::Usage,
        Exit::Denied,
        Exit::Later,
        Exit::Gaps,
        Exit::Locked,
        Exit::Done,
    ];

    /// Returns the number that the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the worst of `all`; [`Exit::Done`] when there are none.
    ///
    /// # Examples
    ///
    /// ```
    /// use cxvault::outcome::Exit;
    ///
    /// assert_eq!(Exit::worst([Exit::Done, Exit::Integrity, Exit::Gaps]), Exit::Integrity);
    /// assert_eq!(Exit::worst([]), Exit::Done);
    /// ```
    pub fn worst(all: impl IntoIterator<Item = Exit>) -> Exit {
        all.into_iter()
            .min_by_key(|exit| Self::WORST_FIRST.iter().position(|worse| worse == exit))
            .unwrap_or(Exit::Done)
    }
}

/// A failure as a user sees it: what happened to which object, why, and what to do.
///
/// Messages, remedies and causes must not hold secrets, phone numbers or texts of summaries: they are printed and
/// logged.
///
/// # Examples
///
/// ```
/// use cxvault::outcome::Failure;
///
/// let failure = Failure::later("cannot read the journal")
///     .because(std::io::Error::other("no space left on device"))
///     .remedy("Free some space, and run again.");
/// assert_eq!(failure.reason(), "cannot read the journal: no space left on device");
/// assert_eq!(failure.exit.code(), 5);
/// ```
#[derive(Debug)]
pub struct Failure {
    /// The exit code of the process, if nothing worse happens.
    pub exit: Exit,
    /// What happened to which object: a clause that begins in lower case, without a full stop.
    pub message: String,
    /// What the user can do about it: sentences.
    pub remedy: Option<String>,
    /// The error behind it.
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The result of a function that fails with a [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// Returns a failure without a remedy and without a cause.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure {
            exit,
            message: message.into(),
            remedy: None,
            source: None,
        }
    }

    /// Returns a failure for wrong usage or settings: the user corrects them.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::new(Exit::Usage, message)
    }

    /// Returns a failure for an archive that contradicts itself, or what this host remembers: the user investigates.
    pub fn integrity(message: impl Into<String>) -> Self {
        Failure::new(Exit::Integrity, message)
    }

    /// Returns a failure for a service or a host that cannot do it now: the user runs the command again later.
    pub fn later(message: impl Into<String>) -> Self {
        Failure::new(Exit::Later, message)
    }

    /// Returns a failure for credentials or permissions that do not suffice: the user has them granted.
    pub fn denied(message: impl Into<String>) -> Self {
        Failure::new(Exit::Denied, message)
    }

    /// Returns a failure that should not happen: the user reports it.
    pub fn unexpected(message: impl Into<String>) -> Self {
        Failure::new(Exit::Unexpected, message)
    }

    /// Returns the failure that stands for a panic. Without it the process would end with 101, which is none of the
    /// documented exit codes.
    pub fn unforeseen() -> Self {
        Failure::unexpected("the program met a state that it was not written for").remedy(
            "Please report it, with the lines above. What is committed stays valid; run again.",
        )
    }

    /// Returns the failure of a command that the user stopped. What it has stored or journalled so far stays.
    pub fn interrupted() -> Self {
        Failure::later("interrupted").remedy("Run the same command again.")
    }

    /// Sets what the user can do about it, as sentences.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Sets the error behind it.
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets the error behind it, or removes it. Like [`Failure::because`], for a cause that may be missing.
    pub(crate) fn because_all(mut self, source: Option<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = source;
        self
    }

    /// Returns the message and its causes in one line, without the remedy.
    pub fn reason(&self) -> String {
        followed_by_causes(self.message.clone(), self)
    }
}

/// Returns the errors behind `error`, the nearest cause first; `error` itself is not among them.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// Returns the text of `error` and of its causes in one line, with `: ` between them.
///
/// A cause that only repeats the end of the text before it is left out: many libraries print their cause themselves.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    followed_by_causes(error.to_string(), error)
}

fn followed_by_causes(text: String, error: &(dyn Error + 'static)) -> String {
    causes(error).fold(text, |text, cause| {
        let cause = cause.to_string();
        if text.ends_with(&cause) {
            text
        } else {
            format!("{text}: {cause}")
        }
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.reason())?;
        match &self.remedy {
            Some(remedy) => write!(out, "\n  {remedy}"),
            None => Ok(()),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|boxed| &**boxed as &dyn Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_outcome_counts() {
        assert_eq!(
            Exit::worst([Exit::Done, Exit::Gaps, Exit::Locked]),
            Exit::Gaps
        );
        assert_eq!(
            Exit::worst([Exit::Denied, Exit::Integrity]),
            Exit::Integrity
        );
        assert_eq!(
            Exit::worst([Exit::Usage, Exit::Unexpected]),
            Exit::Unexpected
        );
        assert_eq!(Exit::worst([]), Exit::Done);
    }

    #[test]
    fn a_failure_shows_its_causes_and_its_remedy() {
        let failure = Failure::later("cannot read the journal")
            .because(std::io::Error::other("disk on fire"))
            .remedy("Free some space.");
        let text = failure.to_string();
        assert_eq!(
            text,
            "cannot read the journal: disk on fire\n  Free some space."
        );
    }
}
