//! What people and programs see: lines on stdout, JSON events, tables, progress.
//!
//! Results go to stdout, as text or with `--json` as events; errors and the log go to stderr. All of them pass through
//! one [`Output`], because a line that is written while progress bars are drawn must move them aside first.
//!
//! Nothing here fails if the reader of a pipe has closed it: `cxvault run | head` must still archive.
//!
//! ```text
//! mod        Output, sizes, durations
//! event      JSON events
//! table      aligned columns
//! progress   bars, or log lines where there is no terminal
//! ```

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::outcome::Failure;

mod event;
mod progress;
mod table;

pub(crate) use crate::format::text::grouped;
pub use crate::format::text::{count, printable};
pub(crate) use event::Event;
pub(crate) use progress::{Amount, Progress};
pub use table::Table;

/// Where results go, and in which form. Cheap to clone; all clones share the terminal.
///
/// # Examples
/// ```
/// use cxvault::render::Output;
///
/// let output = Output::new(false, true);
/// output.print_info("is not printed, because of --quiet");
/// ```
#[derive(Debug, Clone)]
pub struct Output {
    /// Whether stdout gets one JSON object a line, and nothing else (`--json`).
    pub json: bool,
    /// Whether progress and unrequested text are omitted (`--quiet`).
    pub quiet: bool,
    /// The progress bars on the terminal. Every write to it suspends them; hidden where there are none.
    bars: MultiProgress,
}

impl Output {
    /// Creates an output. Progress bars are drawn only if stderr is a terminal, without `--json` and `--quiet`.
    pub fn new(json: bool, quiet: bool) -> Self {
        let watched = !json && !quiet && io::stderr().is_terminal();
        let target = if watched {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Output {
            json,
            quiet,
            bars: MultiProgress::with_draw_target(target),
        }
    }

    /// Writes one event as a line of JSON, with `--json` only.
    pub(crate) fn event(&self, event: Event) {
        if self.json {
            self.stdout(&event.to_string());
        }
    }

    /// Writes text that accompanies a result; nothing with `--json` or `--quiet`.
    pub fn print_info(&self, text: impl fmt::Display) {
        if !self.quiet {
            self.print(text);
        }
    }

    /// Writes text that is the result, also with `--quiet`; nothing with `--json`.
    ///
    /// This is the one place through which text for people leaves the program, so nothing that a terminal would obey
    /// passes it, wherever it comes from. Callers still make foreign text safe themselves: here a line feed within it would
    /// look like one of the program's own.
    pub fn print(&self, text: impl fmt::Display) {
        if !self.json {
            self.stdout(&printable_lines(&text.to_string()));
        }
    }

    /// Reports why the program ends: on stderr, or with `--json` as the event `error`.
    pub fn failure(&self, failure: &Failure) {
        let message = failure.reason();
        if self.json {
            self.event(
                Event::new("error")
                    .with("exit", failure.exit.code())
                    .with("message", &message)
                    .with("remedy", &failure.remedy),
            );
        } else {
            let mut text = String::from("error: ");
            // Errors of libraries and of the API quote what they were sent.
            for line in message.split('\n') {
                let _ = writeln!(text, "{}", printable(line)); // writing to a String cannot fail
            }
            for line in failure.remedy.iter().flat_map(|remedy| remedy.split('\n')) {
                let _ = writeln!(text, "  {}", printable(line));
            }
            self.stderr(text.as_bytes());
        }
    }

    /// Returns a writer for the log, which writes to stderr and moves the bars aside.
    pub(crate) fn log_writer(&self) -> LogWriter {
        LogWriter(self.clone())
    }

    /// Writes a line to stdout. A closed pipe is no error; others are reported on stderr.
    fn stdout(&self, line: &str) {
        let written = self.bars.suspend(|| {
            let mut out = io::stdout().lock();
            out.write_all(format!("{line}\n").as_bytes())?;
            out.flush()
        });
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.stderr(format!("error: cannot write to stdout: {error}\n").as_bytes());
            }
            _ => {}
        }
    }

    /// Writes to stderr. An error is ignored: there is no place left to report it.
    fn stderr(&self, bytes: &[u8]) {
        let _ = self.bars.suspend(|| io::stderr().lock().write_all(bytes));
    }
}

/// Returns lines of text with all that a terminal would obey escaped, except the line feeds between them.
fn printable_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(printable).collect();
    lines.join("\n")
}

/// Writes log lines; see [`Output::log_writer`].
pub(crate) struct LogWriter(Output);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.stderr(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a number of bytes as `512 B`, `1.5 KiB` or `256.0 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        // A value that would be rounded to 1024.0 is shown in the next unit.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// Returns a length of time as `4.2 s`, `2 m 5 s`, `1 h 23 m` or `3 d 4 h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_millis() as f64 / 1000.0),
        60..3_600 => format!("{} m {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_short() {
        let sizes = [0, 1023, 1024, 1536, (1 << 20) - 1, 256 << 20, u64::MAX].map(size);
        assert_eq!(
            sizes,
            [
                "0 B",
                "1023 B",
                "1.0 KiB",
                "1.5 KiB",
                "1.0 MiB",
                "256.0 MiB",
                "16777216.0 TiB"
            ]
        );
        let durations =
            [4_200, 125_000, 4_980_000, 273_600_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(durations, ["4.2 s", "2 m 5 s", "1 h 23 m", "3 d 4 h"]);
    }
}
