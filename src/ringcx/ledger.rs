//! The durable side of the rate limits: the granted requests, in a small SQLite file.
//!
//! A restart must not forget what was sent a minute ago, and all processes on one machine share the limits. So a
//! request is granted and recorded in one write transaction, at the moment when it may leave. Nothing is reserved
//! ahead: a killed process takes no quota with it, and a pause applies to every request that still waits.
//!
//! The journal's database is not used for this: it belongs to a day and is deleted with it, while a limit belongs to a
//! credential.
//!
//! # The file
//! `scope` has a row for each limit: the place in the even schedule, the pause, the share of the limit in use, and
//! until when a waiting request has priority. `request` has the time of each grant; old grants are pruned. Losing the
//! file costs at most a few 429s. A process with an older version of cxvault refuses a newer file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::clock::Clock;
use crate::private;
use crate::ringcx::error::ApiError;
use crate::ringcx::limits::Limits;
use crate::ringcx::pace::{GrantHistory, Pace, Spacing, Throttle};

/// Pauses longer than this are not waited for; a longer pause in the file is an error of a clock.
pub(super) const LONGEST_PAUSE_MS: i64 = 3_600_000;
/// The version of the tables, in `PRAGMA user_version`.
const VERSION: i64 = 2;
/// How long a transaction waits for those of other processes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Grants between two removals of old ones.
pub(super) const PRUNE_EVERY: i64 = 64;
/// Grants and waits between two checkpoints of the write-ahead log.
pub(super) const CHECKPOINT_EVERY: u32 = 256;
/// Pages of the log after which SQLite makes a checkpoint by itself.
const LONGEST_LOG: i64 = 32_000;

pub(super) const SCHEMA: &str = "
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

/// How long after its time a slot stays reserved for the process that waits for it: it may wake late, or return a
/// moment later for the next request.
pub(super) const CLAIM_US: i64 = 250_000;

/// The granted requests of every scope on this machine.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use cxvault::{clock::SystemClock, ringcx::Ledger};
///
/// let folder = tempfile::tempdir()?;
/// let ledger = Ledger::open(&folder.path().join("ledger.sqlite"), Arc::new(SystemClock))?;
/// // A backfill lets the nightly run go first.
/// let backfill = ledger.yielding();
/// # Ok(())
/// # }
/// ```
pub struct Ledger {
    path: PathBuf,
    yields: bool,
    connection: Mutex<Connection>,
    clock: Arc<dyn Clock>,
    /// Calls of [`Ledger::try_grant`] since the last checkpoint.
    calls: AtomicU32,
}

/// The ledger's answer to a request for a grant. `rate` is the share of the limits in use: 1, or less for a while
/// after a 429.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Grant {
    /// The request must be sent now; the grant is recorded.
    Granted { rate: f64 },
    /// The caller must try again at `until_us` (UTC microseconds); nothing is recorded.
    Wait { until_us: i64, rate: f64 },
}

/// A row of the table `scope`.
struct LedgerScope {
    schedule_us: Option<i64>,
    paused_until_ms: i64,
    throttle: Throttle,
    /// Until then, only processes that do not yield are granted requests.
    claimed_us: i64,
}

impl Ledger {
    /// Opens the ledger in the file `path`, or creates it.
    ///
    /// # Errors
    /// [`ApiError::Ledger`] where the file cannot be used or belongs to a newer version.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, ApiError> {
        Self::connect(path)
            .and_then(|connection| {
                // With a write-ahead log a killed process leaves an intact file, and NORMAL leaves an intact file
                // after a power cut as well, at the price of the last few grants.
                connection.pragma_update(None, "journal_mode", "wal")?;
                connection.pragma_update(None, "synchronous", "normal")?;
                // A checkpoint waits for the disk: see `checkpoint`.
                connection.pragma_update(None, "wal_autocheckpoint", LONGEST_LOG)?;
                Ok(connection)
            })
            .map_err(|error| unusable(path, &error))
            .and_then(|connection| Self::with_connection(connection, path, clock))
    }

    fn connect(path: &Path) -> rusqlite::Result<Connection> {
        // SQLite would let the umask decide who can read it. A failure shows when SQLite opens the file.
        let _ = private::open_or_create(path);
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    }

    /// Creates a ledger in memory, for tests and the demo.
    ///
    /// # Errors
    /// [`ApiError::Ledger`] where SQLite cannot work at all.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Self, ApiError> {
        let path = Path::new(":memory:");
        let connection = Connection::open_in_memory().map_err(|error| unusable(path, &error))?;
        Self::with_connection(connection, path, clock)
    }

    fn with_connection(
        mut connection: Connection,
        path: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ApiError> {
        let version = create_tables(&mut connection).map_err(|error| unusable(path, &error))?;
        if version > VERSION {
            return Err(ApiError::Ledger {
                path: path.into(),
                why: format!(
                    "it has format {version}, and this version of cxvault knows {VERSION}"
                ),
            });
        }
        Ok(Ledger {
            path: path.into(),
            yields: false,
            connection: Mutex::new(connection),
            clock,
            calls: AtomicU32::new(0),
        })
    }

    /// Lets other processes on this machine go first: a backfill uses what the nightly run leaves.
    #[must_use]
    pub fn yielding(self) -> Self {
        Ledger {
            yields: true,
            ..self
        }
    }

    /// Grants the next request of `scope` if it may leave now. Blocks for a short write transaction.
    ///
    /// # Errors
    /// [`ApiError::Ledger`].
    pub(super) fn try_grant(
        &self,
        scope: &str,
        limits: &Limits,
        spacing: Spacing,
    ) -> Result<Grant, ApiError> {
        let grant = self.write(|transaction, now_us| {
            let state = scope_state(transaction, scope, now_us)?;
            let shortest_us = Pace::new(limits, spacing, 1.0).shortest_us();
            let rate = state.throttle.rate_at(now_us, shortest_us);
            let pace = Pace::new(limits, spacing, rate);
            let history = grant_history(transaction, scope, &state, &pace, now_us)?;
            let slot = pace.next(now_us, &history);
            let claimed_us = if self.yields { state.claimed_us } else { 0 };
            let until_us = slot.at_us.max(claimed_us);
            if until_us > now_us {
                if !self.yields {
                    transaction
                        .prepare_cached("UPDATE scope SET claimed_us = ?2 WHERE name = ?1")?
                        .execute(params![scope, slot.at_us + CLAIM_US])?;
                }
                return Ok(Grant::Wait { until_us, rate });
            }
            transaction
                .prepare_cached("INSERT INTO request (scope, at_us) VALUES (?1, ?2)")?
                .execute(params![scope, now_us])?;
            let id = transaction.last_insert_rowid();
            transaction
                .prepare_cached("UPDATE scope SET schedule_us = ?2 WHERE name = ?1")?
                .execute(params![scope, slot.schedule_us])?;
            if id % PRUNE_EVERY == 0 {
                prune(transaction, scope, &pace)?;
            }
            Ok(Grant::Granted { rate })
        })?;
        let calls = self.calls.fetch_add(1, Relaxed);
        if calls >= CHECKPOINT_EVERY && matches!(grant, Grant::Wait { .. }) {
            self.checkpoint()?;
        }
        Ok(grant)
    }

    /// Copies the write-ahead log into the database, so that it does not grow. That waits for the disk, sometimes for
    /// longer than the pace has to spare, so it is done by a request that must wait anyway.
    fn checkpoint(&self) -> Result<(), ApiError> {
        self.calls.store(0, Relaxed);
        self.connection()
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            .map_err(|error| unusable(&self.path, &error))
    }

    /// Records a 429 to a request that left at `sent_ms`: no request of `scope` leaves before `until_ms`, and the pace is
    /// cut. Times are UTC milliseconds. Returns the rate from now on.
    ///
    /// # Errors
    /// [`ApiError::Ledger`].
    pub(super) fn pause(
        &self,
        scope: &str,
        limits: &Limits,
        sent_ms: i64,
        until_ms: i64,
    ) -> Result<f64, ApiError> {
        let shortest_us = Pace::new(limits, Spacing::Even, 1.0).shortest_us();
        self.write(|transaction, now_us| {
            let state = scope_state(transaction, scope, now_us)?;
            let sent_us = sent_ms.saturating_mul(1_000);
            let throttle = state.throttle.cut(sent_us, now_us, shortest_us);
            let until_ms = plausible_pause(state.paused_until_ms, now_us).max(until_ms);
            transaction.prepare_cached(
                "UPDATE scope SET paused_until_ms = ?2, rate = ?3, slowed_us = ?4 WHERE name = ?1",
            )?
            .execute(params![scope, until_ms, throttle.rate, throttle.since_us])?;
            Ok(throttle.rate_at(now_us, shortest_us))
        })
    }

    /// A panic elsewhere leaves no open transaction (it was rolled back), so a poisoned lock is usable.
    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `body` in a write transaction. The time that `body` receives, in UTC microseconds, is read inside the
    /// transaction: after waiting for another process it would otherwise lie in the past.
    fn write<T>(
        &self,
        body: impl FnOnce(&Transaction<'_>, i64) -> rusqlite::Result<T>,
    ) -> Result<T, ApiError> {
        self.try_write(body)
            .map_err(|error| unusable(&self.path, &error))
    }

    fn try_write<T>(
        &self,
        body: impl FnOnce(&Transaction<'_>, i64) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now_us = self.clock.now_ms().saturating_mul(1_000);
        let result = body(&transaction, now_us)?;
        transaction.commit()?;
        Ok(result)
    }
}

/// Creates the tables, or migrates those of version 1. Returns the file's version; of a newer file nothing is changed.
fn create_tables(connection: &mut Connection) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        return Ok(version);
    }
    if version == 1 {
        let sql = "ALTER TABLE scope ADD COLUMN claimed_us INTEGER NOT NULL DEFAULT 0";
        transaction.execute_batch(sql)?;
    }
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(VERSION)
}

fn unusable(path: &Path, error: &rusqlite::Error) -> ApiError {
    ApiError::Ledger {
        path: path.into(),
        why: error.to_string(),
    }
}

/// Returns 0 for a pause beyond the longest that is ever recorded: it comes from a clock that has since been corrected.
fn plausible_pause(until_ms: i64, now_us: i64) -> i64 {
    match until_ms > now_us / 1_000 + LONGEST_PAUSE_MS {
        true => 0,
        false => until_ms,
    }
}

/// Reads the state of a scope, creating it where it is new.
fn scope_state(
    transaction: &Transaction<'_>,
    scope: &str,
    now_us: i64,
) -> rusqlite::Result<LedgerScope> {
    transaction
        .prepare_cached("INSERT INTO scope (name) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([scope])?;
    let sql = "SELECT schedule_us, paused_until_ms, rate, slowed_us, claimed_us FROM scope WHERE name = ?1";
    transaction.prepare_cached(sql)?.query_row([scope], |row| {
        // A claim far ahead was made before the clock was set back.
        let claimed_us =
            Some(row.get(4)?).filter(|&claimed_us| claimed_us <= now_us + LONGEST_PAUSE_MS * 1_000);
        Ok(LedgerScope {
            schedule_us: row.get(0)?,
            paused_until_ms: row.get(1)?,
            throttle: Throttle {
                rate: row.get(2)?,
                since_us: row.get(3)?,
            },
            claimed_us: claimed_us.unwrap_or(0),
        })
    })
}

/// Reads the grants that matter for the next one.
///
/// Grants that lie ahead of the clock were made before it was set back. They count as made just now: otherwise they
/// would block the scope until the clock has caught up with them.
fn grant_history(
    transaction: &Transaction<'_>,
    scope: &str,
    state: &LedgerScope,
    pace: &Pace,
    now_us: i64,
) -> rusqlite::Result<GrantHistory> {
    transaction
        .prepare_cached("UPDATE request SET at_us = ?2 WHERE scope = ?1 AND at_us > ?2")?
        .execute(params![scope, now_us])?;
    let mut select = transaction.prepare_cached(
        "SELECT at_us FROM request WHERE scope = ?1 ORDER BY at_us DESC LIMIT 1 OFFSET ?2",
    )?;
    let gates_us = pace.depths().map(|depth| {
        select
            .query_row(params![scope, i64::from(depth) - 1], |row| row.get(0))
            .optional()
    });
    Ok(GrantHistory {
        gates_us: gates_us.collect::<rusqlite::Result<_>>()?,
        schedule_us: state.schedule_us.filter(|&schedule| schedule <= now_us),
        not_before_us: plausible_pause(state.paused_until_ms, now_us).saturating_mul(1_000),
    })
}

/// Removes old grants. Twice as many as the largest limit looks back at are retained, whatever their age: a slowed pace
/// stretches the windows, and another process may have larger limits.
fn prune(transaction: &Transaction<'_>, scope: &str, pace: &Pace) -> rusqlite::Result<()> {
    let retained = 2 * i64::from(pace.depths().max().unwrap_or(0));
    let mut delete = transaction.prepare_cached(
        "DELETE FROM request WHERE scope = ?1 AND at_us < \
         (SELECT at_us FROM request WHERE scope = ?1 ORDER BY at_us DESC LIMIT 1 OFFSET ?2)",
    )?;
    delete.execute(params![scope, retained]).map(drop)
}
