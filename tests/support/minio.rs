//! A real MinIO: found on this machine or built once, with one server for each test binary.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
use cxvault::format::place::location::Location;
use cxvault::store::{S3Options, S3Settings};
use secrecy::SecretString;

use super::{exclusively, must_run, target};

/// MinIO is distributed as source only. This release is known to enforce create-only PUTs,
/// checksums and Object Lock.
const MODULE: &str = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c";
const REMEDY: &str = "The tests need MinIO. Install Go 1.24 or newer (https://go.dev/dl) so that it can be built, or put \
                      `minio` on PATH, or set CXVAULT_TEST_MINIO to its path.";
const REGION: &str = "us-east-1";
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Keeps the server running only as long as this process lives: when the pipe at its standard input
/// closes, it kills the server and removes its folder. A `static` is never dropped, and nothing
/// runs after a SIGKILL.
pub(super) const KEEPER: &str = r#"
trap '' HUP INT TERM
folder=$1; shift
exec 3<&0
"$@" >"$folder.log" 2>&1 </dev/null 3<&- &
server=$!
( cat <&3 >/dev/null; kill -9 "$server" 2>/dev/null ) &
exec 3<&-
wait "$server"
code=$?
rm -rf "$folder"
[ "$code" -ne 137 ] || rm -f "$folder.log"
"#;

/// A running MinIO with random root credentials.
pub struct Minio {
    pub address: SocketAddr,
    access_key: String,
    secret_key: String,
    /// The process whose input pipe keeps the server alive.
    keeper: Child,
}

/// Returns the server of this test binary, started at the first call.
pub fn minio() -> &'static Minio {
    // Not a OnceLock: after a failed start, each later test would wait for another start.
    static SERVER: LazyLock<Minio> = LazyLock::new(Minio::start);
    &SERVER
}

impl Minio {
    /// Starts a server for the caller alone; it ends when the value is dropped.
    pub fn start() -> Minio {
        let binary = binary();
        // Between the choice of a port and the server's own bind, another process can take it.
        for _ in 0..5 {
            if let Some(server) = Self::try_start(&binary) {
                return server;
            }
        }
        panic!(
            "MinIO ({}) found no free port in five attempts",
            binary.display()
        );
    }

    fn try_start(binary: &Path) -> Option<Minio> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("this host has loopback ports");
        let address = listener.local_addr().expect("a bound port has an address");
        drop(listener);
        let folder = tempfile::Builder::new()
            .prefix("minio-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let folder = folder.expect("target/tmp is writable").keep();
        let (access_key, secret_key) = (random(10), random(20));
        let mut keeper = Command::new("sh");
        keeper
            .args(["-c", KEEPER, "minio-keeper"])
            .arg(&folder)
            .arg(binary)
            .args(["server", "--quiet"]);
        keeper
            .args(["--address", &address.to_string()])
            .arg(&folder);
        keeper
            .env("MINIO_ROOT_USER", &access_key)
            .env("MINIO_ROOT_PASSWORD", &secret_key);
        keeper
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off")
            .env("MINIO_REGION", REGION);
        let keeper = keeper
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut keeper = keeper.expect("`sh` can be run");
        let log = folder.with_extension("log");
        let deadline = Instant::now() + READY_WITHIN;
        while !answers_ok(address, "/minio/health/ready") {
            if keeper
                .try_wait()
                .expect("a child can be waited for")
                .is_some()
            {
                let said = fs::read_to_string(&log).unwrap_or_default();
                assert!(
                    said.contains("address already in use"),
                    "MinIO ended at once: {said}\n{REMEDY}"
                );
                return None;
            }
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "MinIO was not ready within {READY_WITHIN:?}: {}",
                said()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(Minio {
            address,
            access_key,
            secret_key,
            keeper,
        })
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Creates a bucket whose name begins with `name` (lower-case letters, digits, hyphens); with
    /// Object Lock, and so with versioning, or with neither.
    pub async fn bucket(&self, name: &str, object_lock: bool) -> S3Settings {
        static MADE: AtomicU32 = AtomicU32::new(1);
        let bucket = format!("{name}-{}", MADE.fetch_add(1, Ordering::Relaxed));
        let made = self
            .client()
            .create_bucket()
            .bucket(&bucket)
            .object_lock_enabled_for_bucket(object_lock);
        made.send().await.expect("MinIO makes buckets");
        S3Settings {
            bucket,
            prefix: "the/archive".to_owned(),
            options: self.options(),
        }
    }

    /// Returns the connection settings of this server, with its root credentials.
    pub fn options(&self) -> S3Options {
        S3Options {
            endpoint: Some(self.endpoint()),
            region: Some(REGION.to_owned()),
            path_style: true,
            credentials: Some((
                self.access_key.clone(),
                SecretString::from(self.secret_key.clone()),
            )),
            ..S3Options::default()
        }
    }

    /// Returns an SDK client, for requests that cxvault's store never sends.
    pub fn client(&self) -> Client {
        let root = Credentials::new(&self.access_key, &self.secret_key, None, None, "minio");
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(self.endpoint())
            .region(Region::new(REGION))
            .force_path_style(true)
            .credentials_provider(root);
        Client::from_conf(config.build())
    }

    /// Returns the environment of a `cxvault` that uses this server.
    pub fn env(&self) -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ACCESS_KEY_ID", self.access_key.as_str()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_key.as_str()),
            ("AWS_REGION", REGION),
            ("CXVAULT_S3_ENDPOINT", &self.endpoint()),
            ("CXVAULT_S3_PATH_STYLE", "true"),
        ];
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Returns the location of a bucket's archive, as a user writes it.
pub fn location(settings: &S3Settings) -> Location {
    Location::S3 {
        bucket: settings.bucket.clone(),
        prefix: settings.prefix.clone(),
    }
}

/// Returns whether a server answers 200 to a GET of `path`.
pub(super) fn answers_ok(address: SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes())?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

/// Returns random bytes as hexadecimal digits.
fn random(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).expect("this host has randomness");
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CXVAULT_TEST_MINIO") {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "CXVAULT_TEST_MINIO names no file: {}\n{REMEDY}",
            path.display()
        );
        return path;
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    if let Some(path) = std::env::split_paths(&folders)
        .map(|folder| folder.join("minio"))
        .find(|path| path.is_file())
    {
        return path;
    }
    let tools = target().join("tools");
    let built = tools.join("minio");
    exclusively("minio", || {
        if !built.is_file() {
            eprintln!("building MinIO once, which takes some minutes: go install {MODULE}");
            let bin = tools.join("new");
            fs::create_dir_all(&bin).expect("target/tools can be made");
            must_run(
                Command::new("go")
                    .args(["install", MODULE])
                    .env("GOBIN", &bin),
                REMEDY,
            );
            fs::rename(bin.join("minio"), &built).expect("go install leaves `minio` in GOBIN");
        }
    });
    built
}
