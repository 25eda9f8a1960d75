//! What the benchmarks share: a static nginx, the simulator, and the binary as a measured child process.

pub mod recorded;
pub mod rows;

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cxvault::simulator;
use cxvault::simulator::{RunningServer, SimulatorOptions};

/// A summary of usual length; every request gets the same.
pub const SUMMARY: &str = "The customer called about a billing issue. The agent reviewed the account, explained the \
     next steps, and created a follow-up request. The customer was satisfied with the answer.";

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// nginx answering every summary request with [`SUMMARY`] from memory.
pub struct Nginx {
    child: Child,
    pub url: String,
    _folder: tempfile::TempDir,
}

impl Nginx {
    pub fn start() -> Nginx {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let config = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
             events {{ worker_connections 2048; }}
             http {{
               access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
               client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
               uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
               server {{
                 listen 127.0.0.1:{port};
                 location / {{ default_type 'text/plain;charset=UTF-8'; return 200 '{SUMMARY}'; }}
               }}
             }}",
            folder = folder.path().display()
        );
        let path = folder.path().join("nginx.conf");
        std::fs::File::create(&path)
            .unwrap()
            .write_all(config.as_bytes())
            .unwrap();
        let child = Command::new("nginx")
            .arg("-c")
            .arg(&path)
            .arg("-p")
            .arg(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is needed: install it (Debian: apt-get install nginx-light)");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "nginx does not listen"
            );
            std::thread::yield_now();
        }
        Nginx {
            child,
            url: format!("http://{address}"),
            _folder: folder,
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The simulator in this process, on a runtime of its own.
pub struct Simulator {
    pub runtime: tokio::runtime::Runtime,
    pub running: RunningServer,
}

impl Simulator {
    pub fn start(options: SimulatorOptions) -> Simulator {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let running = runtime
            .block_on(simulator::start(options, ([127, 0, 0, 1], 0).into()))
            .unwrap();
        Simulator { runtime, running }
    }

    pub fn stats(&self) -> serde_json::Value {
        let url = format!("{}/__sim/stats", self.running.url);
        self.runtime
            .block_on(async { reqwest::get(url).await.unwrap().json().await.unwrap() })
    }
}

/// One run of the binary, measured from outside.
pub struct Measured {
    pub wall: Duration,
    pub peak_kib: u64,
    pub cpu: Duration,
    pub exit: i32,
}

/// Runs `cxvault run --date DATE` into a fresh folder under `folder`, all three hosts at the simulator but for
/// `settings`.
pub fn run(folder: &Path, simulator: &str, date: &str, settings: &[(&str, &str)]) -> Measured {
    cxvault(
        folder,
        simulator,
        &["run", "--quiet", "--date", date],
        settings,
    )
}

/// Like [`run`], with other arguments.
pub fn cxvault(
    folder: &Path,
    simulator: &str,
    args: &[&str],
    settings: &[(&str, &str)],
) -> Measured {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cxvault"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CXVAULT_")) {
        command.env_remove(name);
    }
    command
        .args(args)
        .env("HOME", folder)
        .env("CXVAULT_ARCHIVE", folder.join("archive"))
        .env("CXVAULT_STATE_DIR", folder.join("state"))
        .env("CXVAULT_PLATFORM_URL", simulator)
        .env("CXVAULT_RINGCX_URL", simulator)
        .env("CXVAULT_SUMMARIES_URL", simulator)
        .env("CXVAULT_CLIENT_ID", "demo-client")
        .env("CXVAULT_CLIENT_SECRET", "demo-secret")
        .env("CXVAULT_JWT", "demo-jwt")
        .env("CXVAULT_SUB_ACCOUNTS", "99999999")
        .env("CXVAULT_SUMMARY_LIMITS", "off")
        .env("CXVAULT_DISCOVERY_LIMITS", "off")
        .envs(settings.iter().copied());
    measured(folder, &command)
}

/// The vendor's limits, in time that runs `scale` times as fast.
pub fn documented_limits(scale: u64) -> [(&'static str, String); 4] {
    let ms = |seconds: u64| seconds * 1_000 / scale;
    [
        ("CXVAULT_SUMMARY_LIMITS", format!("120/{}ms", ms(60))),
        (
            "CXVAULT_DISCOVERY_LIMITS",
            format!("3/{}ms,9/{}ms", ms(60), ms(900)),
        ),
        ("CXVAULT_TOKEN_LIMITS", format!("5/{}ms", ms(60))),
        ("CXVAULT_TOKEN_LIFE", format!("{}ms", ms(300))),
    ]
}

/// Runs a command to its end; `folder` is for the figures.
pub fn measured(folder: &Path, command: &Command) -> Measured {
    // The kernel's own account of the child, through the shell's `time`-like tool that every system has.
    let usage = folder.join("usage");
    let mut timed = Command::new("/usr/bin/env");
    timed
        .args(["python3", "-c", WAIT])
        .arg(&usage)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    let status = timed
        .status()
        .expect("python3 is needed to measure a child's memory");
    let text = std::fs::read_to_string(&usage).unwrap();
    let mut figures = text
        .split_whitespace()
        .map(|figure| figure.parse::<f64>().unwrap());
    let mut next = || figures.next().unwrap();
    Measured {
        wall: Duration::from_secs_f64(next()),
        peak_kib: next() as u64,
        cpu: Duration::from_secs_f64(next()),
        exit: status.code().unwrap_or(-1),
    }
}

/// Starts the rest of its arguments and writes seconds, peak KiB and CPU seconds of that child.
const WAIT: &str = "
import os, sys, time
begun = time.monotonic()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
with open(sys.argv[1], 'w') as out:
    out.write(f'{time.monotonic() - begun} {usage.ru_maxrss} {usage.ru_utime + usage.ru_stime}')
sys.exit(os.waitstatus_to_exitcode(status))
";

/// A date that is settled long since, and the simulator's options for a day of `segments`.
pub fn day(segments: u64) -> (&'static str, SimulatorOptions) {
    let options = SimulatorOptions {
        segments_per_day: segments,
        now: Some("2026-11-22T12:00:00Z".parse().unwrap()),
        track: Some(false),
        discovery_limits: "off".parse().unwrap(),
        summary_limits: "off".parse().unwrap(),
        ..SimulatorOptions::default()
    };
    ("2026-11-20", options)
}

/// A number from the environment, for shorter or longer runs.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

pub fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}
