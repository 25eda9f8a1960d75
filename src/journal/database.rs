//! The journal's tables, and statements on them. This is the only place that maps SQLite's errors.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, Params, Row as SqlRow};

use crate::journal::state::private_file;
use crate::journal::{JournalError, Result};

/// The tables. A change of them is a new [`super::day_journal::VERSION`]: there is no migration, since a journal
/// lives for days at most.
const TABLES: &str = "
    -- Rows are of half a kilobyte: smaller pages are more work for the same bytes.
    PRAGMA page_size = 16384;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    -- 512 MiB of log: most days are committed and deleted before it is copied into the database.
    PRAGMA wal_autocheckpoint = 32000;
    -- The segments of one window and their observations: they are read back in another order.
    PRAGMA cache_size = -32768;
    PRAGMA temp_store = FILE;
    PRAGMA busy_timeout = 10000;
    -- Identity of the day, and notes by name.
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    -- Windows with a complete answer.
    CREATE TABLE IF NOT EXISTS window (
        start_ms INTEGER PRIMARY KEY, end_ms INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL, server_date INTEGER, answered_at INTEGER NOT NULL, attempts INTEGER NOT NULL,
        duplicates INTEGER NOT NULL);
    -- Objects of discovery, each text once; without effect until the answer of their window is complete.
    CREATE TABLE IF NOT EXISTS object (
        id INTEGER PRIMARY KEY, window_ms INTEGER, key TEXT NOT NULL, end_ms INTEGER, has_id INTEGER NOT NULL,
        channel_class TEXT, segment_type TEXT, raw TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS object_window ON object (window_ms);
    CREATE TABLE IF NOT EXISTS segment (
        seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, end_ms INTEGER, object INTEGER NOT NULL, others TEXT,
        discovered_at INTEGER NOT NULL, discovered_by TEXT NOT NULL, vanished INTEGER NOT NULL DEFAULT 0);
    -- In order of arrival, so that a transaction writes few pages; summary = 2 * seq + kind.
    CREATE TABLE IF NOT EXISTS observation (
        id INTEGER PRIMARY KEY, summary INTEGER NOT NULL UNIQUE, status TEXT NOT NULL, body BLOB, sha256 BLOB, http_status INTEGER,
        content_type TEXT, fetched_at INTEGER, server_date INTEGER, attempts INTEGER NOT NULL, error TEXT,
        observed_by TEXT NOT NULL, committed INTEGER NOT NULL DEFAULT 0);
    -- The current row of each segment in committed revisions or adopted parts; open has a bit for each kind of
    -- summary that may be requested all the same.
    CREATE TABLE IF NOT EXISTS known (
        key TEXT PRIMARY KEY, row TEXT NOT NULL, adopted INTEGER NOT NULL, open INTEGER NOT NULL) WITHOUT ROWID;
    -- Keys under which discovery returns segments whose committed rows cannot have later ones.
    CREATE TABLE IF NOT EXISTS settled (key TEXT PRIMARY KEY) WITHOUT ROWID;
";

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.set_prepared_statement_cache_capacity(64);
    // A journal is mostly deleted when it is closed; where it is not, the next process reads the log.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch(TABLES)?;
    Ok(connection)
}

/// An open journal database. Statements are prepared once and cached.
pub(super) struct Database {
    connection: Connection,
    path: PathBuf,
}

impl Database {
    /// Opens the database in `path`, or creates it with its tables.
    pub fn open(path: &Path) -> Result<Database> {
        // SQLite gives its log the mode of the database file.
        private_file(path)?;
        let path = path.to_owned();
        match connect(&path) {
            Ok(connection) => Ok(Database { connection, path }),
            Err(source) => Err(JournalError::Database { path, source }),
        }
    }

    /// The file of the database.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Maps an error of SQLite.
    pub fn check<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|source| JournalError::Database {
            path: self.path.clone(),
            source,
        })
    }

    /// Builds the error for a stored value that cannot be read.
    pub fn corrupt(&self, what: &str) -> JournalError {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        JournalError::Database {
            path: self.path.clone(),
            source: rusqlite::Error::SqliteFailure(code, Some(format!("{what} is unreadable"))),
        }
    }

    /// Runs statements without parameters and without results.
    pub fn batch(&self, sql: &str) -> Result<()> {
        self.check(self.connection.execute_batch(sql))
    }

    /// Runs a statement; returns the number of rows that it changed.
    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        let statement = self.connection.prepare_cached(sql);
        self.check(statement.and_then(|mut statement| statement.execute(params)))
    }

    /// Inserts a row; returns its number.
    pub fn insert(&self, sql: &str, params: impl Params) -> Result<i64> {
        let statement = self.connection.prepare_cached(sql);
        self.check(statement.and_then(|mut statement| statement.insert(params)))
    }

    /// Returns the only row of a query.
    pub fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&SqlRow) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let statement = self.connection.prepare_cached(sql);
        self.check(statement.and_then(|mut statement| statement.query_row(params, read)))
    }

    /// Returns the first row of a query, if it has any.
    pub fn optional<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&SqlRow) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        let statement = self.connection.prepare_cached(sql);
        self.check(statement.and_then(|mut statement| statement.query_row(params, read).optional()))
    }

    /// Returns all rows of a query.
    pub fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&SqlRow) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let statement = self.connection.prepare_cached(sql);
        self.check(statement.and_then(|mut statement| statement.query_map(params, read)?.collect()))
    }

    /// Calls `each` for every row of a query, so that memory does not grow with their number.
    pub fn for_each<E: From<JournalError>>(
        &self,
        sql: &str,
        mut each: impl FnMut(&SqlRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self.check(self.connection.prepare_cached(sql))?;
        let mut rows = self.check(statement.query([]))?;
        while let Some(row) = self.check(rows.next())? {
            each(row)?;
        }
        Ok(())
    }

    /// Returns the number that a query counts.
    pub fn count(&self, sql: &str, params: impl Params) -> Result<u64> {
        self.one(sql, params, |row| row.get::<_, i64>(0))
            .map(|count| count as u64)
    }

    /// Runs `work` in a savepoint: where it fails, none of its writes remain.
    pub(crate) fn in_savepoint<T, E: From<JournalError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.batch("SAVEPOINT attempt")?;
        let result = work();
        self.batch(match result {
            Ok(_) => "RELEASE attempt",
            Err(_) => "ROLLBACK TO attempt; RELEASE attempt",
        })?;
        result
    }
}
