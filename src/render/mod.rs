//! What people and programs see: stdout lines, JSON events, tables, progress.
//!
//! Nothing here panics when the reader of a pipe has gone away: `cxvault ... | head` must still archive.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;

use crate::outcome::Failure;

mod progress;
mod table;

pub use crate::format::text::{count, grouped, printable};
pub use progress::{Amount, DayProgress, DaysProgress, Progress};
pub use table::Table;

/// Where results go, and in which form. Cheap to clone; all clones share the terminal.
#[derive(Debug, Clone)]
pub struct Output {
    /// One JSON object a line on stdout, and nothing else there.
    pub json: bool,
    /// No progress, and no text but errors and what was asked for.
    pub quiet: bool,
    /// Whoever writes to the terminal has to make the bars step aside; hidden where there are none.
    bars: MultiProgress,
}

impl Output {
    /// Bars are drawn only where somebody looks: stderr is a terminal, and neither JSON nor quiet is asked for.
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

    /// Writes one JSON line, with `--json` only.
    pub fn event(&self, event: &impl Serialize) {
        if !self.json {
            return;
        }
        match serde_json::to_string(event) {
            Ok(line) => self.stdout(&line),
            Err(error) => tracing::error!(%error, "cannot write an event as JSON"),
        }
    }

    /// Writes text for people; nothing with `--json` or `--quiet`.
    pub fn print_info(&self, text: impl fmt::Display) {
        if !self.quiet {
            self.print(text);
        }
    }

    /// Writes text that was asked for, also with `--quiet`; nothing with `--json`.
    pub fn print(&self, text: impl fmt::Display) {
        if !self.json {
            self.stdout(&text.to_string());
        }
    }

    /// Says why the program ends: on stderr, or as the last event.
    pub fn failure(&self, failure: &Failure) {
        let message = failure.reason();
        if self.json {
            #[derive(Serialize)]
            struct FailureEvent<'a> {
                event: &'static str,
                exit: u8,
                message: &'a str,
                remedy: Option<&'a str>,
            }
            let remedy = failure.remedy.as_deref();
            self.event(&FailureEvent {
                event: "error",
                exit: failure.exit.code(),
                message: &message,
                remedy,
            });
        } else {
            let mut text = String::from("error: ");
            // Errors of libraries and of the API quote what they were sent.
            for line in message.lines() {
                let _ = writeln!(text, "{}", printable(line)); // writing to a String cannot fail
            }
            for line in failure.remedy.iter().flat_map(|remedy| remedy.lines()) {
                let _ = writeln!(text, "  {}", printable(line));
            }
            self.stderr(text.as_bytes());
        }
    }

    /// For the log: writes to stderr, around the bars.
    pub fn log_writer(&self) -> LogWriter {
        LogWriter(self.clone())
    }

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

    /// Whoever closed stderr does not want to hear of it.
    fn stderr(&self, bytes: &[u8]) {
        let _ = self.bars.suspend(|| io::stderr().lock().write_all(bytes));
    }
}

/// Writes whole log lines; see [`Output::log_writer`].
pub struct LogWriter(Output);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.stderr(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes as `512 B`, `1.5 KiB`, `256.0 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        // What would be shown as 1024.0 belongs to the next unit.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// A length of time as `4.2 s`, `2 m 5 s`, `1 h 23 m`, `3 d 4 h`.
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
