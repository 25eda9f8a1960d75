//! The durable side of the pacer: which requests were granted, in a small SQLite file.
//!
//! A restart must not forget what was sent a minute ago, and two processes on one machine share one limit, so
//! a request is granted and entered in one write transaction, at the moment it may leave. Nothing is reserved
//! ahead: a killed process takes no quota with it, and a pause counts for everybody who still waits. The journal's database is not used for this: that
//! one belongs to a day and goes away with it, while a limit belongs to a credential.
//! Losing the file costs at most some 429s.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::clock::Clock;
use crate::ringcx::error::ApiError;
use crate::ringcx::limits::Limits;
use crate::ringcx::pace::{GrantHistory, Pace, Spacing, Throttle};

/// A server that asks for a longer pause than this is not waited for; a longer one in the file is a mistake.
pub(super) const LONGEST_PAUSE_MS: i64 = 3_600_000;
const VERSION: i64 = 2;
const BUSY: Duration = Duration::from_secs(10);
/// Grants between two removals of old ones.
const PRUNE_EVERY: i64 = 64;
/// Looks between two copies of the log into the database, and its pages after which a copy waits for nothing.
const COPY_EVERY: u32 = 256;
const LONGEST_LOG: i64 = 32_000;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS scope (
        name TEXT PRIMARY KEY,
        schedule_us INTEGER,
        paused_until_ms INTEGER NOT NULL DEFAULT 0,
        rate REAL NOT NULL DEFAULT 1,
        slowed_us INTEGER NOT NULL DEFAULT 0,
        claimed_us INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS request (id INTEGER PRIMARY KEY, scope TEXT NOT NULL, at_us INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS request_by_time ON request (scope, at_us);
";

/// How long a turn stays reserved for who waits for it: it wakes late, or looks a moment later for the next one.
const CLAIM_US: i64 = 250_000;

/// The granted requests of every scope on this machine.
pub struct Ledger {
    path: PathBuf,
    yields: bool,
    connection: Mutex<Connection>,
    clock: Arc<dyn Clock>,
    /// Looks since the log was copied.
    looks: AtomicU32,
}

/// The ledger's answer to who wants to send a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Turn {
    /// Send it now; it is entered.
    Go { rate: f64 },
    /// Ask again at `until_us` (UTC microseconds); nothing is entered.
    Wait { until_us: i64, rate: f64 },
}

struct LedgerScope {
    schedule_us: Option<i64>,
    paused_until_ms: i64,
    throttle: Throttle,
    /// Until then, turns are for those who don't yield.
    claimed_us: i64,
}

impl Ledger {
    /// Opens the ledger in the file `path`, or creates it.
    ///
    /// # Errors
    /// [`ApiError::Ledger`] where the file cannot be used or belongs to a newer version.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, ApiError> {
        let failed = |error: rusqlite::Error| failure(path, &error);
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        // With a write-ahead log a killed process leaves a sound file; NORMAL leaves one after a power cut,
        // too, at the price of the last few grants.
        connection
            .pragma_update(None, "journal_mode", "wal")
            .map_err(failed)?;
        connection
            .pragma_update(None, "synchronous", "normal")
            .map_err(failed)?;
        // Copying the log waits for the disk: see `copy_log`.
        connection
            .pragma_update(None, "wal_autocheckpoint", LONGEST_LOG)
            .map_err(failed)?;
        Self::with(connection, path, clock)
    }

    /// A ledger that lives and dies with the process: for tests and the demo.
    ///
    /// # Errors
    /// [`ApiError::Ledger`] where SQLite cannot work at all.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Self, ApiError> {
        let path = Path::new(":memory:");
        let connection = Connection::open_in_memory().map_err(|error| failure(path, &error))?;
        Self::with(connection, path, clock)
    }

    fn with(
        mut connection: Connection,
        path: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ApiError> {
        let failed = |error: rusqlite::Error| failure(path, &error);
        let work = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let version: i64 = work
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(failed)?;
        if version > VERSION {
            let why =
                format!("it has format {version}, and this version of cxvault knows {VERSION}");
            return Err(ApiError::Ledger {
                path: path.into(),
                why,
            });
        }
        if version == 1 {
            work.execute_batch(
                "ALTER TABLE scope ADD COLUMN claimed_us INTEGER NOT NULL DEFAULT 0",
            )
            .map_err(failed)?;
        }
        work.execute_batch(SCHEMA).map_err(failed)?;
        work.pragma_update(None, "user_version", VERSION)
            .map_err(failed)?;
        work.commit().map_err(failed)?;
        Ok(Ledger {
            path: path.into(),
            yields: false,
            connection: Mutex::new(connection),
            clock,
            looks: AtomicU32::new(0),
        })
    }

    /// Lets other processes on this machine go first: a backfill takes what the nightly run leaves.
    pub fn yielding(self) -> Self {
        Ledger {
            yields: true,
            ..self
        }
    }

    /// Takes the next request of `scope`, if it may leave now. Blocks for one short write transaction. `rate` in
    /// the answer is the share of the limits in use, below 1 for a while after a 429.
    ///
    /// # Errors
    /// [`ApiError::Ledger`].
    pub fn take(&self, scope: &str, limits: &Limits, spacing: Spacing) -> Result<Turn, ApiError> {
        let turn = self.write(|work, now_us| {
            let state = state_of(work, scope, now_us)?;
            let shortest_us = Pace::new(limits, spacing, 1.0).shortest_us();
            let rate = state.throttle.rate_at(now_us, shortest_us);
            let pace = Pace::new(limits, spacing, rate);
            let slot = pace.next(now_us, &past_of(work, scope, &state, &pace, now_us)?);
            let claimed_us = if self.yields { state.claimed_us } else { 0 };
            if slot.at_us.max(claimed_us) > now_us {
                if !self.yields {
                    work.prepare_cached("UPDATE scope SET claimed_us = ?2 WHERE name = ?1")?
                        .execute(params![scope, slot.at_us + CLAIM_US])?;
                }
                return Ok(Turn::Wait {
                    until_us: slot.at_us.max(claimed_us),
                    rate,
                });
            }
            work.prepare_cached("INSERT INTO request (scope, at_us) VALUES (?1, ?2)")?
                .execute(params![scope, now_us])?;
            let id = work.last_insert_rowid();
            work.prepare_cached("UPDATE scope SET schedule_us = ?2 WHERE name = ?1")?
                .execute(params![scope, slot.schedule_us])?;
            if id % PRUNE_EVERY == 0 {
                prune(work, scope, &pace)?;
            }
            Ok(Turn::Go { rate })
        })?;
        if self.looks.fetch_add(1, Relaxed) >= COPY_EVERY && matches!(turn, Turn::Wait { .. }) {
            self.copy_log()?;
        }
        Ok(turn)
    }

    /// Copies the log into the database, so that it does not grow. That waits for the disk, now and then for longer than
    /// the pace has to spare, so it is done by who waits for a turn anyway: a request that has its turn must leave.
    fn copy_log(&self) -> Result<(), ApiError> {
        self.looks.store(0, Relaxed);
        let copied = self
            .lock()
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        copied.map_err(|error| failure(&self.path, &error))
    }

    /// After a 429 to a request that left at `sent_ms`: nobody sends anything in `scope` before `until_ms`,
    /// and the pace is cut. Returns the rate from now on.
    ///
    /// # Errors
    /// [`ApiError::Ledger`].
    pub fn pause(
        &self,
        scope: &str,
        limits: &Limits,
        sent_ms: i64,
        until_ms: i64,
    ) -> Result<f64, ApiError> {
        let shortest_us = Pace::new(limits, Spacing::Even, 1.0).shortest_us();
        self.write(|work, now_us| {
            let state = state_of(work, scope, now_us)?;
            let throttle = state
                .throttle
                .cut(sent_ms.saturating_mul(1_000), now_us, shortest_us);
            let until = honest_pause(state.paused_until_ms, now_us).max(until_ms);
            work.prepare_cached(
                "UPDATE scope SET paused_until_ms = ?2, rate = ?3, slowed_us = ?4 WHERE name = ?1",
            )?
            .execute(params![scope, until, throttle.rate, throttle.since_us])?;
            Ok(throttle.rate_at(now_us, shortest_us))
        })
    }

    fn now_us(&self) -> i64 {
        self.clock.now_ms().saturating_mul(1_000)
    }

    /// A panic elsewhere leaves no half-done transaction behind (it was rolled back), so the lock is usable.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The time that `body` is given is that of the transaction: what waits for others is not dated back.
    fn write<T>(
        &self,
        body: impl FnOnce(&Transaction<'_>, i64) -> rusqlite::Result<T>,
    ) -> Result<T, ApiError> {
        let mut connection = self.lock();
        let run = || {
            let work = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = body(&work, self.now_us())?;
            work.commit()?;
            Ok(result)
        };
        run().map_err(|error| failure(&self.path, &error))
    }
}

fn failure(path: &Path, error: &rusqlite::Error) -> ApiError {
    ApiError::Ledger {
        path: path.into(),
        why: error.to_string(),
    }
}

/// A pause beyond the longest that is ever entered comes from a clock that has since been put right.
fn honest_pause(until_ms: i64, now_us: i64) -> i64 {
    if until_ms > now_us / 1_000 + LONGEST_PAUSE_MS {
        0
    } else {
        until_ms
    }
}

fn state_of(work: &Transaction<'_>, scope: &str, now_us: i64) -> rusqlite::Result<LedgerScope> {
    work.prepare_cached("INSERT INTO scope (name) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([scope])?;
    let sql = "SELECT schedule_us, paused_until_ms, rate, slowed_us, claimed_us FROM scope WHERE name = ?1";
    work.prepare_cached(sql)?.query_row([scope], |row| {
        let throttle = Throttle {
            rate: row.get(2)?,
            since_us: row.get(3)?,
        };
        // A claim of long ahead was made before the clock was put back.
        let claimed_us =
            Some(row.get(4)?).filter(|&claimed_us| claimed_us <= now_us + LONGEST_PAUSE_MS * 1_000);
        Ok(LedgerScope {
            schedule_us: row.get(0)?,
            paused_until_ms: row.get(1)?,
            throttle,
            claimed_us: claimed_us.unwrap_or(0),
        })
    })
}

/// What counts of the grants so far. Those that lie ahead of the clock were made before it was put back: they
/// count as made just now, or they would block this scope until the clock has caught up with them.
fn past_of(
    work: &Transaction<'_>,
    scope: &str,
    state: &LedgerScope,
    pace: &Pace,
    now_us: i64,
) -> rusqlite::Result<GrantHistory> {
    work.prepare_cached("UPDATE request SET at_us = ?2 WHERE scope = ?1 AND at_us > ?2")?
        .execute(params![scope, now_us])?;
    let mut nth = work.prepare_cached(
        "SELECT at_us FROM request WHERE scope = ?1 ORDER BY at_us DESC LIMIT 1 OFFSET ?2",
    )?;
    let mut from_end = |n: u32| {
        nth.query_row(params![scope, i64::from(n) - 1], |row| row.get::<_, i64>(0))
            .optional()
    };
    Ok(GrantHistory {
        schedule_us: state.schedule_us.filter(|&schedule| schedule <= now_us),
        gates_us: pace
            .depths()
            .map(&mut from_end)
            .collect::<rusqlite::Result<_>>()?,
        not_before_us: honest_pause(state.paused_until_ms, now_us).saturating_mul(1_000),
    })
}

/// Keeps twice as many grants as the largest limit looks back at, whatever their age: a slowed pace stretches
/// the windows, and a second process may look back further.
fn prune(work: &Transaction<'_>, scope: &str, pace: &Pace) -> rusqlite::Result<()> {
    let keep = 2 * i64::from(pace.depths().max().unwrap_or(0));
    let mut delete = work.prepare_cached(
        "DELETE FROM request WHERE scope = ?1 AND at_us < \
         (SELECT at_us FROM request WHERE scope = ?1 ORDER BY at_us DESC LIMIT 1 OFFSET ?2)",
    )?;
    delete.execute(params![scope, keep]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ringcx::testing::ManualClock;

    const SCOPE: &str = "summaries example.com 0123456789abcdef";

    fn limits(text: &str) -> Limits {
        text.parse().unwrap()
    }

    /// Waits for a request on the manual clock; returns the seconds since the start, rounded up to the clock.
    fn wait(ledger: &Ledger, clock: &ManualClock, limits: &Limits, spacing: Spacing) -> f64 {
        while let Turn::Wait { until_us, .. } = ledger.take(SCOPE, limits, spacing).unwrap() {
            clock.set((until_us + 999) / 1_000);
        }
        clock.elapsed_ms() as f64 / 1e3
    }

    #[test]
    fn a_restart_keeps_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite");
        let (clock, three) = (ManualClock::new(), limits("3/60s"));
        let restarted = |_| {
            let ledger = Ledger::open(&path, clock.clone()).unwrap();
            wait(&ledger, &clock, &three, Spacing::Burst)
        };
        assert_eq!(
            (0..5).map(restarted).collect::<Vec<_>>(),
            [0.0, 0.0, 0.0, 60.6, 60.6]
        );
    }

    #[test]
    fn the_log_does_not_grow_with_the_requests() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite");
        let clock = ManualClock::new();
        let ledger = Ledger::open(&path, clock.clone()).unwrap();
        let length = |requests| {
            for _ in 0..requests {
                wait(&ledger, &clock, &limits("120/60s"), Spacing::Even);
            }
            std::fs::metadata(folder.path().join("ledger.sqlite-wal"))
                .unwrap()
                .len()
        };
        let first = length(2 * COPY_EVERY);
        let later = length(4 * COPY_EVERY);
        assert!(2 * later < 3 * first, "{later} bytes after {first}");
    }

    #[test]
    fn processes_share_one_limit_and_scopes_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite");
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let ledger = Ledger::open(&path, ManualClock::new()).unwrap();
                std::thread::spawn(move || {
                    let twelve = limits("12/60s");
                    let went = |scope| {
                        let take = |_: &i32| ledger.take(scope, &twelve, Spacing::Burst).unwrap();
                        (0..6)
                            .filter(|n| matches!(take(n), Turn::Go { .. }))
                            .count()
                    };
                    (went(SCOPE), went("other"))
                })
            })
            .collect();
        let went: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect();
        assert_eq!(
            went.iter().map(|went| went.0).sum::<usize>(),
            12,
            "{went:?}"
        );
        assert_eq!(
            went.iter().map(|went| went.1).sum::<usize>(),
            12,
            "{went:?}"
        );
    }

    #[test]
    fn a_clock_put_back_delays_by_one_window_at_most() {
        let (clock, two) = (ManualClock::new(), limits("2/60s"));
        let ledger = Ledger::in_memory(clock.clone()).unwrap();
        clock.set(ManualClock::START_MS + 86_400_000);
        for _ in 0..2 {
            wait(&ledger, &clock, &two, Spacing::Even);
        }
        ledger
            .pause(SCOPE, &two, clock.now_ms(), clock.now_ms() + 3_000_000)
            .unwrap();
        clock.set(ManualClock::START_MS);
        let waited = wait(&ledger, &clock, &two, Spacing::Even);
        // Sixty seconds at the cut pace; the pause, which lies a day ahead, is no more.
        assert!((60.0..90.0).contains(&waited), "{waited}");
    }

    #[test]
    fn a_pause_holds_everybody_and_slows_the_pace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite");
        let (clock, many) = (ManualClock::new(), limits("120/60s"));
        let mine = Ledger::open(&path, clock.clone()).unwrap();
        let theirs = Ledger::open(&path, clock.clone()).unwrap();
        let now = clock.now_ms();
        assert_eq!(mine.pause(SCOPE, &many, now, now + 7_000).unwrap(), 0.7);
        let until_us = (now + 7_000) * 1_000;
        assert_eq!(
            theirs.take(SCOPE, &many, Spacing::Even),
            Ok(Turn::Wait {
                until_us,
                rate: 0.7
            })
        );
        assert_eq!(wait(&theirs, &clock, &many, Spacing::Even), 7.0);
        wait(&theirs, &clock, &many, Spacing::Even);
        let before = clock.elapsed_ms();
        wait(&theirs, &clock, &many, Spacing::Even);
        assert!(
            (600..720).contains(&(clock.elapsed_ms() - before)),
            "a cut pace"
        );
        clock.set(now + 300_000);
        assert_eq!(
            theirs.take(SCOPE, &many, Spacing::Even),
            Ok(Turn::Go { rate: 1.0 })
        );
    }

    #[test]
    fn who_yields_takes_what_the_others_leave() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite");
        let (clock, two) = (ManualClock::new(), limits("2/1s"));
        let nightly = Ledger::open(&path, clock.clone()).unwrap();
        let backfill = Ledger::open(&path, clock.clone()).unwrap().yielding();
        let begun = clock.now_ms();
        let goes = |ledger: &Ledger| {
            matches!(
                ledger.take(SCOPE, &two, Spacing::Even).unwrap(),
                Turn::Go { .. }
            )
        };
        // Both ask all the time, the backfill first, while the nightly run has ten requests to send.
        let (mut sent, mut spare) = (Vec::new(), Vec::new());
        while spare.len() < 4 {
            if goes(&backfill) {
                spare.push(clock.now_ms() - begun);
            }
            if sent.len() < 10 && goes(&nightly) {
                sent.push(clock.now_ms() - begun);
            }
            clock.set(clock.now_ms() + 10);
        }
        assert!(
            spare[0] == 0 && spare[1] > *sent.last().unwrap(),
            "nightly {sent:?}, backfill {spare:?}"
        );
        assert!(
            sent.windows(2).all(|pair| pair[1] - pair[0] < 530),
            "no turn is lost: {sent:?}"
        );
        assert!(
            spare[1] - sent[9] < 530 + CLAIM_US / 1_000,
            "nightly {sent:?}, backfill {spare:?}"
        );
    }

    #[test]
    fn a_ledger_of_the_first_version_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite");
        let old = SCHEMA.replace(",\n        claimed_us INTEGER NOT NULL DEFAULT 0", "");
        assert_ne!(old, SCHEMA);
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(&format!("{old}; PRAGMA user_version = 1;"))
            .unwrap();
        drop(connection);
        let ledger = Ledger::open(&path, ManualClock::new()).unwrap();
        assert_eq!(
            ledger.take(SCOPE, &limits("2/1s"), Spacing::Even).unwrap(),
            Turn::Go { rate: 1.0 }
        );
    }

    #[test]
    fn old_grants_are_pruned() {
        let clock = ManualClock::new();
        let ledger = Ledger::in_memory(clock.clone()).unwrap();
        for _ in 0..1_000 {
            wait(&ledger, &clock, &limits("5/1s"), Spacing::Even);
        }
        let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        let kept = ledger
            .lock()
            .query_row("SELECT count(*) FROM request", [], count)
            .unwrap();
        assert!((5..=10 + PRUNE_EVERY).contains(&kept), "{kept} kept");
    }

    #[test]
    fn a_file_that_is_no_ledger_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite");
        std::fs::write(
            &path,
            "not a database, but long enough to be taken for one".repeat(50),
        )
        .unwrap();
        let error = Ledger::open(&path, ManualClock::new()).err().unwrap();
        assert!(error.to_string().contains("ledger.sqlite"), "{error}");
    }
}
