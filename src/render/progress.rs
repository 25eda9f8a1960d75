//! Progress: bars on a terminal, otherwise a log line from time to time.
//!
//! [`Progress`] creates a bar for each day and for each range of days, and [`Amount`] one for work that is counted in
//! bytes. Bars exist only if [`Output`] draws them, which it does for a terminal; without bars, the same numbers go to
//! the log, at most one line in [`SPARSE_MS`] for all days together. Nothing here contains texts of people.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::clock::Clock;
use crate::render::{Output, count, grouped};

/// Smallest interval between two log lines, in milliseconds: a log of a night must not consist of progress.
const SPARSE_MS: i64 = 30_000;

/// Creates the progress of days. Cheap to clone; all clones share the terminal and the interval of log lines.
#[derive(Clone)]
pub(crate) struct Progress {
    bars: MultiProgress,
    sparse: Arc<Sparse>,
}

/// Allows one log line in [`SPARSE_MS`].
struct Sparse {
    clock: Arc<dyn Clock>,
    last_ms: AtomicI64,
}

impl Sparse {
    /// Returns whether a line may be logged now, and starts the next interval if so.
    fn may_log(&self) -> bool {
        let now = self.clock.now_ms();
        let last = self.last_ms.load(Ordering::Relaxed);
        // If several days ask at the same moment, the exchange succeeds for exactly one of them.
        now - last >= SPARSE_MS
            && self
                .last_ms
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

impl Progress {
    /// Creates progress that is drawn on the terminal of `output`. The first log line comes one interval from now.
    pub fn new(output: &Output, clock: Arc<dyn Clock>) -> Self {
        let last_ms = AtomicI64::new(clock.now_ms());
        Progress {
            bars: output.bars.clone(),
            sparse: Arc::new(Sparse { clock, last_ms }),
        }
    }

    /// Creates the progress of one day; `label` names it, such as `99999999 2026-11-20`.
    pub fn day(&self, label: impl Into<String>) -> DayProgress {
        let label = label.into();
        let bar = (!self.bars.is_hidden()).then(|| {
            let bar = self.bars.add(
                ProgressBar::new(0)
                    .with_style(style())
                    .with_prefix(label.clone()),
            );
            // The bar also moves while a rate limit makes every request wait, so that it does not look dead.
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        DayProgress {
            label,
            bar,
            state: Mutex::default(),
            sparse: Arc::clone(&self.sparse),
        }
    }

    /// Creates the progress of a range of days; `label` names the sub-account.
    pub fn days(&self, label: impl Into<String>, days: u64) -> DaysProgress {
        let label = label.into();
        let bar = (!self.bars.is_hidden()).then(|| {
            let template = "{prefix}  {bar:24}  {human_pos}/{human_len} days  ETA {eta}  {msg}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            self.bars.insert(
                0,
                ProgressBar::new(days)
                    .with_style(style)
                    .with_prefix(label.clone()),
            )
        });
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        DaysProgress {
            label,
            bar,
            days,
            done: AtomicU64::new(0),
        }
    }
}

/// Progress of a range of days.
pub(crate) struct DaysProgress {
    label: String,
    bar: Option<ProgressBar>,
    days: u64,
    done: AtomicU64,
}

impl DaysProgress {
    /// Counts one more finished day; `segments` is the number of segments of all days so far.
    pub fn done(&self, segments: u64) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(count(segments, "segment"));
            }
            // Days end rarely enough to log each of them.
            None => tracing::info!(
                "{}: {done}/{} days, {}",
                self.label,
                self.days,
                count(segments, "segment")
            ),
        }
    }
}

impl Drop for DaysProgress {
    fn drop(&mut self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

const TEMPLATE: &str =
    "{prefix}  {bar:24}  {human_pos}/{human_len} summaries  {rate}  ETA {eta}  {msg}";

fn style() -> ProgressStyle {
    // The template is a constant; were it wrong, the plain bar would do.
    let style =
        ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", write_rate)
}

/// Writes the field `{rate}` of the template.
fn write_rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    // There is no place to report an error of the terminal.
    let _ = write!(out, "{:.0}/min", state.per_sec() * 60.0);
}

/// Progress of one day. The tasks of the day share it. The bar disappears when it is dropped.
pub(crate) struct DayProgress {
    label: String,
    bar: Option<ProgressBar>,
    state: Mutex<DayProgressState>,
    sparse: Arc<Sparse>,
}

#[derive(Debug, Clone, Default)]
struct DayProgressState {
    windows: (u64, u64),
    summaries: (u64, u64),
    note: String,
}

impl DayProgress {
    /// Sets the numbers of answered and of all discovery windows.
    pub(crate) fn set_discovery(&self, done: u64, total: u64) {
        self.update(|state| state.windows = (done, total));
    }

    /// Sets the numbers of finished and of known summaries; discovery may still find more.
    pub(crate) fn set_summaries(&self, done: u64, total_known: u64) {
        self.update(|state| state.summaries = (done, total_known));
    }

    /// Sets a remark, such as the use of the rate limit. It must contain neither secrets nor texts of people.
    pub(crate) fn set_note(&self, text: impl Into<String>) {
        let text = text.into();
        self.update(|state| state.note = text);
    }

    /// Removes the bar, as dropping does.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn update(&self, change: impl FnOnce(&mut DayProgressState)) {
        let state = {
            // A panic in another task cannot leave the state half written: each change is one assignment.
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut state);
            state.clone()
        };
        let (done, total) = state.summaries;
        let windows = format!("{}/{} windows", state.windows.0, state.windows.1);
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            let gap = if state.note.is_empty() { "" } else { ", " };
            bar.set_message(format!("{windows}{gap}{}", state.note));
        } else if self.sparse.may_log() {
            let (done, total) = (grouped(done), grouped(total));
            tracing::info!(
                "{}: {windows}, {done}/{total} summaries {}",
                self.label,
                state.note
            );
        }
    }
}

impl Drop for DayProgress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Progress of work that is counted in bytes, such as a verification or a copy.
pub(crate) struct Amount {
    bar: Option<ProgressBar>,
    clock: Arc<dyn Clock>,
    sparse: Sparse,
    label: &'static str,
}

impl Amount {
    pub fn new(output: &Output, clock: Arc<dyn Clock>, label: &'static str) -> Self {
        let bar = (!output.bars.is_hidden()).then(|| {
            let template =
                "{prefix}  {bar:24}  {bytes}/{total_bytes}  {bytes_per_sec}  ETA {eta}  {msg}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            output
                .bars
                .add(ProgressBar::new(0).with_style(style).with_prefix(label))
        });
        let sparse = Sparse {
            clock: clock.clone(),
            last_ms: AtomicI64::new(clock.now_ms()),
        };
        Amount {
            bar,
            clock,
            sparse,
            label,
        }
    }

    /// Does `work`, and meanwhile shows what `reading` returns: bytes done, bytes in all, and a remark.
    pub async fn during<T>(
        &self,
        work: impl Future<Output = T>,
        reading: impl Fn() -> (u64, u64, String),
    ) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    self.bar.iter().for_each(ProgressBar::finish_and_clear);
                    return done;
                }
                () = self.clock.sleep(Duration::from_millis(250)) => self.show(reading()),
            }
        }
    }

    fn show(&self, reading: (u64, u64, String)) {
        let (done, total, note) = reading;
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(note);
            }
            None if self.sparse.may_log() => {
                tracing::info!(bytes = done, of = total, "{}: {note}", self.label)
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use async_trait::async_trait;

    use super::*;

    #[test]
    fn the_template_is_one() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[derive(Default)]
    struct HandClock(AtomicI64);

    #[async_trait]
    impl Clock for HandClock {
        fn now_ms(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }

        async fn sleep(&self, duration: Duration) {
            self.0
                .fetch_add(duration.as_millis() as i64, Ordering::Relaxed);
        }
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn without_a_terminal_there_is_a_line_every_thirty_seconds() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        let clock = Arc::new(HandClock::default());
        tracing::subscriber::with_default(subscriber, || {
            let progress = Progress::new(&Output::new(true, false), clock.clone());
            let days = [progress.day("1 2026-11-20"), progress.day("2 2026-11-20")];
            for second in 0..90 {
                clock.0.store(second * 1000, Ordering::Relaxed);
                for day in &days {
                    day.set_discovery(3, 8);
                    day.set_summaries(second as u64, 1234);
                }
            }
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].ends_with("1 2026-11-20: 3/8 windows, 29/1,234 summaries "),
            "{text}"
        );
    }
}
