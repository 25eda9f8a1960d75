//! What the operator does next: exit codes, and failures that carry one with a remedy.

use std::error::Error;
use std::fmt;

use serde::Serialize;

/// The process's exit codes. Scripts rely on them: they are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for is done.
    Done = 0,
    /// Something that should not happen: report it.
    Unexpected = 1,
    /// Wrong usage or settings: correct them.
    Usage = 2,
    /// Committed, but with gaps or warnings: look at them; the next run fills what it can.
    Gaps = 3,
    /// The archive contradicts itself or what this host remembers: investigate before anything else.
    Integrity = 4,
    /// The API or the store is unavailable, or the run was interrupted: run again later.
    Later = 5,
    /// Credentials or permissions do not suffice: have them granted.
    Denied = 6,
    /// Another process is at work on the same day and archive: wait for it.
    Locked = 11,
}

impl Exit {
    /// Worst first; of several sub-accounts the worst outcome is the process's.
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

    pub fn code(self) -> u8 {
        self as u8
    }

    /// The worst of `all`; [`Exit::Done`] when there are none.
    pub fn worst(all: impl IntoIterator<Item = Exit>) -> Exit {
        let rank = |exit: &Exit| Self::WORST_FIRST.iter().position(|one| one == exit);
        all.into_iter().min_by_key(rank).unwrap_or(Exit::Done)
    }
}

/// A failure as a user sees it: what happened to which thing, and what to do.
///
/// Never put a secret, a phone number or a summary's text into one.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    pub remedy: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure {
            exit,
            message: message.into(),
            remedy: None,
            source: None,
        }
    }

    /// Of a panic, which would end the process with 101, and that code no script knows.
    pub fn unforeseen() -> Self {
        Failure::new(
            Exit::Unexpected,
            "the program met a state that it was not written for",
        )
        .remedy("Please report it, with the lines above. What is committed stays valid; run again.")
    }

    /// The user asked the command to stop. What it has stored or journalled so far is kept.
    pub fn interrupted() -> Self {
        Failure::new(Exit::Later, "interrupted").remedy("Run the same command again.")
    }

    /// What the user can do about it, as a sentence.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl Failure {
    /// Like [`Failure::because`], for a cause that may be missing.
    pub fn because_all(mut self, source: Option<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = source;
        self
    }

    /// Message and causes in one line, without the remedy.
    pub fn reason(&self) -> String {
        followed_by_causes(self.message.clone(), self)
    }
}

/// Returns the errors behind `error`, the nearest cause first; `error` itself is not among them.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// Returns the text of `error` and of its causes in one line, with `: ` between them.
///
/// A cause that only repeats the end of the text before it is left out: many libraries print their cause themselves.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
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
        let failure = Failure::new(Exit::Later, "cannot read the journal")
            .because(std::io::Error::other("disk on fire"))
            .remedy("Free some space.");
        let text = failure.to_string();
        assert_eq!(
            text,
            "cannot read the journal: disk on fire\n  Free some space."
        );
    }
}
