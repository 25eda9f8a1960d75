//! A host inside the test's process: its state folder, its clock, its view of the API, and its
//! pipeline, which the test drives directly.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cxvault::chain::archive::Archive;
use cxvault::chain::writer;
use cxvault::chain::writer::{Policy, RunFacts, Signers, Writer};
use cxvault::clock::Clock;
use cxvault::day::context::{ApiSource, DayJob};
use cxvault::day::day_outcome::DayOutcome;
use cxvault::day::filters::Filters;
use cxvault::day::pipeline::Pipeline;
use cxvault::day::progress::DayMeter;
use cxvault::day::run::run_day;
use cxvault::day::shared_chain::SharedChain;
use cxvault::format::hash::digest::Digest;
use cxvault::format::record::manifest::Why;
use cxvault::format::row::observation::{Status, SummaryKind};
use cxvault::format::row::omit::Omission;
use cxvault::format::signature::{AllowedSigners, SigningKey};
use cxvault::format::time::day::Zone;
use cxvault::journal::StateDir;
use cxvault::outcome::{Exit, Result};
use cxvault::ringcx::{ClientSettings, Credentials, Ledger, RingCx};
use cxvault::store::{RetryingStore, Store};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::vault::{NOW, SUB};

/// A clock that moves only when it is read or waited for: no two readings are equal.
pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn new() -> Arc<TestClock> {
        let now: jiff::Timestamp = NOW.parse().unwrap();
        Arc::new(TestClock(AtomicI64::new(now.as_millisecond())))
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    async fn sleep(&self, duration: Duration) {
        self.0
            .fetch_add(duration.as_millis() as i64, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}

/// A machine that archives days.
pub struct Host {
    pub name: String,
    pub part_rows: u64,
    pub filters: Filters,
    pub omitted_fields: Omission,
    pub signers: Arc<Signers>,
    clock: Arc<TestClock>,
    state: Mutex<Arc<TempDir>>,
    api: Api,
    runs: AtomicU32,
}

/// An answer that a host has received.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Look {
    pub segment: String,
    pub kind: SummaryKind,
    pub status: Status,
    pub sha256: Option<Digest>,
    pub fetched_at: i64,
}

/// Returns a folder for a host's disk: in memory, where the machine has such a folder. These hosts
/// die as tasks of one process, so that what they have written remains whether or not it was
/// synced, and waiting for a real disk would prove nothing.
fn disk() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .unwrap()
}

struct Api(Arc<RingCx>);

impl ApiSource for Api {
    async fn api(&self) -> Result<Arc<RingCx>> {
        Ok(self.0.clone())
    }
}

impl Host {
    pub fn new(name: &str, simulator_url: &str, clock: &Arc<TestClock>) -> Host {
        Host {
            name: name.to_owned(),
            part_rows: 3,
            filters: Filters::default(),
            omitted_fields: Omission::default(),
            signers: Arc::default(),
            clock: clock.clone(),
            state: Mutex::new(Arc::new(disk())),
            api: Api(client(simulator_url, clock)),
            runs: AtomicU32::new(0),
        }
    }

    /// Replaces the disk: observations that are not committed and the recorded head are lost.
    /// Gives the host a signing key.
    pub fn sign(&mut self, key: SigningKey) {
        let mut allowed = AllowedSigners::default();
        allowed.allow(key.public_key());
        self.signers = Arc::new(Signers {
            key: Some(key),
            allowed,
        });
    }

    pub fn lose_state(&self) {
        *self.state.lock().unwrap() = Arc::new(disk());
    }

    fn state(&self) -> Arc<TempDir> {
        self.state.lock().unwrap().clone()
    }

    /// Returns the journals of this host by their paths.
    pub fn journal(&self, archive_id: &str, date: &str) -> PathBuf {
        self.state()
            .path()
            .join(archive_id)
            .join(SUB)
            .join(date)
            .join("journal.sqlite")
    }

    /// Returns every answer in this host's journal.
    pub fn looks(&self, archive_id: &str, date: &str) -> BTreeSet<Look> {
        let path = self.journal(archive_id, date);
        if !path.exists() {
            return BTreeSet::new();
        }
        let journal = rusqlite::Connection::open(path).unwrap();
        let sql = "SELECT s.key, o.summary % 2, o.status, o.sha256, o.fetched_at FROM observation o
                   JOIN segment s ON s.seq = o.summary / 2 WHERE o.fetched_at IS NOT NULL";
        // A new journal's file exists for a moment before its tables do.
        let Ok(mut select) = journal.prepare(sql) else {
            return BTreeSet::new();
        };
        let look = |row: &rusqlite::Row| {
            Ok(Look {
                segment: row.get(0)?,
                kind: if row.get::<_, i64>(1)? == 0 {
                    SummaryKind::Agent
                } else {
                    SummaryKind::Auto
                },
                status: row.get::<_, String>(2)?.parse().unwrap(),
                sha256: row.get::<_, Option<[u8; 32]>>(3)?.map(Digest),
                fetched_at: row.get(4)?,
            })
        };
        select
            .query_map([], look)
            .unwrap()
            .map(|look| look.unwrap())
            .collect()
    }

    pub fn has_journal(&self, archive_id: &str, date: &str) -> bool {
        self.journal(archive_id, date).exists()
    }

    /// Opens the archive for writing as the program does, with the retries of the store around it.
    pub async fn open(&self, store: Arc<dyn Store>) -> Result<Writer> {
        let stop = CancellationToken::new();
        let state = self.state();
        let store: Arc<dyn Store> =
            Arc::new(RetryingStore::new(store, self.clock.clone(), stop.clone()));
        let run = format!("{}-{}", self.name, self.runs.fetch_add(1, Ordering::SeqCst));
        let started_at = self.clock.now_ms();
        let own = self.signers.key.as_ref().map(|key| key.public_key());
        let record =
            writer::open_or_create(&*store, &format!("archive-of-{run}"), started_at, None, own)
                .await?;
        Ok(Writer {
            state: StateDir::open(state.path(), &record.archive_id),
            archive: Archive::of(store, record, AllowedSigners::default(), stop).await?,
            clock: self.clock.clone(),
            signers: self.signers.clone(),
            policy: Policy {
                settle_ms: 900_000,
                part_rows: self.part_rows,
                part_bytes: 1 << 30,
                lock: None,
                source_retention_days: None,
                acknowledge: vec!["first-day-empty".into()],
                omitted_fields: self.omitted_fields.clone(),
                concurrency: 4,
                answers_under_way: 1,
            },
            run: RunFacts {
                id: run,
                started_at: cxvault::format::time::instant::Instant::from_millis(started_at),
                host: self.name.clone(),
                settings_sha256: Digest::of(b""),
            },
            anchoring: Default::default(),
        })
    }

    /// Does what the program does for `run --date DATE`.
    pub async fn run(&self, store: Arc<dyn Store>, date: &str) -> Result<DayOutcome> {
        let archive = self.open(store).await?;
        archive.check_create_only().await?;
        let zone = Zone::named("UTC").unwrap();
        let date = date.parse().unwrap();
        let window = zone.day(date).unwrap();
        let sub_account = SUB.to_owned();
        let job = DayJob {
            sub_account,
            date,
            zone,
            window,
            filters: self.filters.clone(),
            why: Why::Nightly,
            recheck: None,
            insist: false,
        };
        let chain = SharedChain::new(SUB);
        let (meter, pipeline) = (DayMeter::default(), Pipeline::default());
        let mut tries_left = 5_000;
        loop {
            let ended = run_day(&archive, &chain, &job, &self.api, &meter, pipeline.slot()).await;
            match ended {
                // No other host has this state folder. But a program that another test of this process is just
                // starting has the parent's files, locks included, until it executes. The lock comes before every
                // call to the store, so that trying again repeats nothing. A lock that is never released still fails.
                Err(failure) if failure.exit == Exit::Locked && tries_left > 0 => {
                    tries_left -= 1;
                    std::thread::sleep(Duration::from_millis(2));
                }
                ended => return ended,
            }
        }
    }
}

fn client(url: &str, clock: &Arc<TestClock>) -> Arc<RingCx> {
    let off = || "off".parse().unwrap();
    let settings = ClientSettings {
        platform_url: url.to_owned(),
        ringcx_url: url.to_owned(),
        summaries_url: url.to_owned(),
        rc_account_id: Some("809646016".to_owned()),
        summary_limits: off(),
        discovery_limits: off(),
        token_limits: off(),
        max_attempts: 2,
        ..ClientSettings::default()
    };
    let ledger = Arc::new(Ledger::in_memory(clock.clone()).unwrap());
    let token = Credentials::Token("demo-token".to_owned().into());
    Arc::new(
        RingCx::new(
            settings,
            token,
            clock.clone(),
            ledger,
            CancellationToken::new(),
        )
        .unwrap(),
    )
}
