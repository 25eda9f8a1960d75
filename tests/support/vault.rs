//! The real binary, set up against a simulator of the test's own, and what came of running it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use cxvault::simulator;
use cxvault::simulator::{RunningServer, SimulatorOptions};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Where the tests' days lie: a Friday, on whose next morning the simulated clock stands.
pub const DAY: &str = "2026-11-20";
pub const NOW: &str = "2026-11-21T06:00:00Z";
pub const SUB: &str = "99999999";

/// A process that needs longer than this hangs; no test measures by it.
const FOREVER: Duration = Duration::from_secs(240);

/// A small world without limits and faults, in which it is [`NOW`].
pub fn options() -> SimulatorOptions {
    SimulatorOptions {
        now: Some(NOW.parse().unwrap()),
        segments_per_day: 80,
        summary_limits: "off".parse().unwrap(),
        discovery_limits: "off".parse().unwrap(),
        token_limits: "off".parse().unwrap(),
        ..SimulatorOptions::default()
    }
}

/// Like [`options`], but on the real calendar, for tests in which the program chooses the days itself. The segments of
/// each day depend only on how many days ago it was, so that no result depends on today's date.
pub fn options_of_today() -> SimulatorOptions {
    let today = now_away_from_midnight().as_millisecond() / 86_400_000;
    SimulatorOptions {
        now: Some(real_now()),
        day_zero: today,
        ..options()
    }
}

/// Returns the real time plus one hour: a simulator with this clock has settled yesterday also just after midnight.
pub fn real_now() -> jiff::Timestamp {
    now_away_from_midnight() + jiff::SignedDuration::from_hours(1)
}

/// Returns the UTC date that was `days` days ago; a negative number gives a date in the future.
pub fn days_ago(days: i64) -> String {
    let day = now_away_from_midnight() - jiff::SignedDuration::from_hours(24 * days);
    day.to_zoned_datetime(jiff::tz::TimeZone::UTC)
        .date()
        .to_string()
}

/// Returns the real time `hours` hours ago in UTC milliseconds.
pub fn hours_ago(hours: i64) -> i64 {
    (now_away_from_midnight() - jiff::SignedDuration::from_hours(hours)).as_millisecond()
}

/// Returns the real time. Shortly before midnight UTC it waits for the new day first, so that the date does not change
/// between a test's preparations and the program that it runs.
fn now_away_from_midnight() -> jiff::Timestamp {
    const DAY_MS: i64 = 86_400_000;
    const MARGIN_MS: i64 = 3 * 60_000;
    let now = jiff::Timestamp::now();
    let left_ms = DAY_MS - now.as_millisecond().rem_euclid(DAY_MS);
    if left_ms > MARGIN_MS {
        return now;
    }
    std::thread::sleep(Duration::from_millis(left_ms as u64));
    jiff::Timestamp::now()
}

/// Waits a moment that may as well be longer or shorter.
pub fn nap(moment: Duration) {
    std::thread::sleep(moment);
}

/// A simulator inside the test's process. It ends with the value.
pub struct Simulator {
    pub url: String,
    running: Option<RunningServer>,
    runtime: Runtime,
}

impl Simulator {
    pub fn start(options: SimulatorOptions) -> Simulator {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let loopback = ([127, 0, 0, 1], 0).into();
        let running = runtime
            .block_on(simulator::start(options, loopback))
            .expect("loopback can be listened on");
        Simulator {
            url: running.url.clone(),
            running: Some(running),
            runtime,
        }
    }

    pub fn stats(&self) -> Value {
        serde_json::from_str(&self.ask(reqwest::Method::GET, "/__sim/stats")).unwrap()
    }

    pub fn reset_stats(&self) {
        self.ask(reqwest::Method::POST, "/__sim/reset-stats");
    }

    /// Lets the simulated clock jump ahead by a duration such as `2d`.
    pub fn advance(&self, by: &str) {
        self.ask(reqwest::Method::POST, &format!("/__sim/advance?by={by}"));
    }

    /// What an archive of `from..to` must hold now, as JSON lines.
    pub fn truth(&self, sub: &str, from: &str, to: &str) -> String {
        self.ask(
            reqwest::Method::GET,
            &format!("/__sim/truth?sub={sub}&from={from}&to={to}"),
        )
    }

    /// Requests of every kind since the last reset.
    pub fn requests(&self) -> u64 {
        let stats = self.stats();
        let of_endpoint = |one: &Value| one["total"].as_u64().unwrap();
        stats["requests"]
            .as_object()
            .unwrap()
            .values()
            .map(of_endpoint)
            .sum()
    }

    /// Requests to one endpoint since the last reset.
    pub fn requests_to(&self, endpoint: &str) -> u64 {
        self.stats()["requests"][endpoint]["total"]
            .as_u64()
            .unwrap_or(0)
    }

    fn ask(&self, method: reqwest::Method, path: &str) -> String {
        let url = format!("{}{path}", self.url);
        self.runtime.block_on(async {
            let answer = reqwest::Client::new()
                .request(method, &url)
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 200, "{url}");
            answer.text().await.unwrap()
        })
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }
}

/// A user of the binary: an archive, a state folder and a home of its own, and settings from the environment.
pub struct Vault {
    pub folder: TempDir,
    environment: BTreeMap<String, String>,
}

impl Vault {
    /// One sub-account, demo credentials, no limits.
    pub fn new(simulator: &Simulator) -> Vault {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("home")).unwrap();
        let mut vault = Vault {
            folder,
            environment: BTreeMap::new(),
        };
        vault.move_to(simulator);
        for (name, value) in [
            ("CLIENT_ID", "demo-client"),
            ("CLIENT_SECRET", "demo-secret"),
            ("JWT", "demo-jwt"),
            ("SUB_ACCOUNTS", SUB),
            ("SUMMARY_LIMITS", "off"),
            ("DISCOVERY_LIMITS", "off"),
            ("TOKEN_LIMITS", "off"),
        ] {
            vault.set(name, value);
        }
        let [archive, state] =
            [vault.archive(), vault.state()].map(|path| path.to_str().unwrap().to_owned());
        vault.set("ARCHIVE", &archive);
        vault.set("STATE_DIR", &state);
        vault
    }

    /// From now on the API is that simulator.
    pub fn move_to(&mut self, simulator: &Simulator) {
        for name in ["PLATFORM_URL", "RINGCX_URL", "SUMMARIES_URL"] {
            self.set(name, &simulator.url);
        }
    }

    /// Sets `CXVAULT_<name>`.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment
            .insert(format!("CXVAULT_{name}"), value.to_owned());
        self
    }

    /// Unsets `CXVAULT_<name>`.
    pub fn unset(&mut self, name: &str) -> &mut Self {
        self.environment.remove(&format!("CXVAULT_{name}"));
        self
    }

    /// Sets a variable that is not ours.
    pub fn set_foreign(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("cxvault"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.folder.path().join("home"));
        command
            .envs(&self.environment)
            .current_dir(self.folder.path());
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, args: &[&str]) -> Finished {
        self.spawn(args).wait()
    }

    /// `run --json --date DATE`, and whatever `more` says.
    pub fn run_day(&self, date: &str, more: &[&str]) -> Finished {
        self.run(&[&["run", "--json", "--date", date], more].concat())
    }

    pub fn spawn(&self, args: &[&str]) -> Started {
        let mut command = self.command(args);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Started::new(command.spawn().expect("the binary can be run"))
    }

    /// The manifests of a sub-account's chain, in order, envelopes and all.
    pub fn manifests(&self, sub: &str) -> Vec<Value> {
        let folder = self
            .archive()
            .join(format!("manifests/v1/sub_account={sub}"));
        let Ok(entries) = std::fs::read_dir(folder) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
            .iter()
            .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
            .collect()
    }

    /// The newest manifest of a sub-account, without its envelope.
    pub fn newest(&self, sub: &str) -> Value {
        self.manifests(sub).pop().expect("a manifest")["manifest"].take()
    }

    /// Every file of a folder below this user's, by its path there.
    pub fn files(&self, folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let Ok(entries) = std::fs::read_dir(folder) else {
            return found;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => found.extend(self.files(&path)),
                false => found.push(path),
            }
        }
        found.sort();
        found
    }
}

/// A process at work. It is killed when the test ends before it does.
pub struct Started {
    pub child: Child,
    began: Instant,
    stdout: Option<std::thread::JoinHandle<String>>,
    stderr: Option<std::thread::JoinHandle<String>>,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Started {
    fn new(mut child: Child) -> Started {
        // Read at once, or a full pipe would stop the child.
        fn read(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                from.read_to_end(&mut bytes).unwrap();
                String::from_utf8(bytes).expect("output is UTF-8")
            })
        }
        let (stdout, stderr) = (
            read(child.stdout.take().unwrap()),
            read(child.stderr.take().unwrap()),
        );
        Started {
            child,
            began: Instant::now(),
            stdout: Some(stdout),
            stderr: Some(stderr),
        }
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .expect("there is a `kill`");
        assert!(sent.success(), "kill -s {name} {pid}");
    }

    /// Like [`Started::signal`], for a process that may have ended by itself meanwhile.
    pub fn signal_if_running(&mut self, name: &str) {
        if self.is_running() {
            // Until it is waited for its id belongs to nobody else.
            self.signal(name);
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Finished {
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if self.began.elapsed() > FOREVER => {
                    self.child.kill().unwrap();
                    let status = self.child.wait().unwrap();
                    panic!("it hangs: {}", self.said(status));
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        self.said(status)
    }

    fn said(&mut self, status: ExitStatus) -> Finished {
        let text = |reader: &mut Option<std::thread::JoinHandle<String>>| {
            reader.take().unwrap().join().unwrap()
        };
        Finished {
            status,
            stdout: text(&mut self.stdout),
            stderr: text(&mut self.stderr),
        }
    }
}

/// Waits until `there` says so; what it waits for happens, or the test hangs and fails.
pub fn until(what: &str, mut there: impl FnMut() -> bool) {
    let began = Instant::now();
    while !there() {
        assert!(began.elapsed() < FOREVER, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How a process ended, and what it said.
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn exit(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("ended by a signal: {self}"))
    }

    /// Asserts the exit code, and shows everything when it is another.
    #[track_caller]
    pub fn expect(self, exit: i32) -> Finished {
        assert_eq!(self.status.code(), Some(exit), "{self}");
        self
    }

    /// Returns the JSON lines on stdout, each checked against the schema of events.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let mut events = Vec::new();
        for line in self.stdout.lines() {
            let event =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            crate::support::events::check(&event);
            events.push(event);
        }
        events
    }

    /// The last event of a run; it agrees with the exit code.
    #[track_caller]
    pub fn summary(&self) -> Value {
        let last = self
            .events()
            .pop()
            .unwrap_or_else(|| panic!("no event: {self}"));
        assert_eq!(
            (&last["event"], &last["exit"]),
            (&"summary".into(), &self.exit().into()),
            "{self}"
        );
        last
    }

    /// The only day of a run's summary.
    #[track_caller]
    pub fn day(&self) -> Value {
        let days = self.summary()["days"].take();
        assert_eq!(days.as_array().unwrap().len(), 1, "{self}");
        days[0].clone()
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Finished {
            status,
            stdout,
            stderr,
        } = self;
        write!(out, "{status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}
