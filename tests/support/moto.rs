//! A real moto server: a stand-in for Amazon S3 that is strict where MinIO is not. It refuses a PUT
//! with a lock that does not name its checksum algorithm, as Amazon documents it, and it does not
//! encode the keys in a listing of versions.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
use cxvault::store::{S3Options, S3Settings};
use secrecy::SecretString;

use super::minio::{KEEPER, answers_ok};
use super::python::moto_python;

const REGION: &str = "us-east-1";
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running moto server. It accepts any credentials.
pub struct Moto {
    address: SocketAddr,
    /// The process whose input pipe keeps the server alive.
    keeper: Child,
}

/// Returns the server of this test binary, started at the first call.
pub fn moto() -> &'static Moto {
    static SERVER: LazyLock<Moto> = LazyLock::new(Moto::start);
    &SERVER
}

impl Moto {
    fn start() -> Moto {
        let python = moto_python();
        // Between the choice of a port and the server's own bind, another process can take it.
        for _ in 0..5 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("this host has loopback ports");
            let address = listener.local_addr().expect("a bound port has an address");
            drop(listener);
            let folder = tempfile::Builder::new()
                .prefix("moto-")
                .tempdir_in(env!("CARGO_TARGET_TMPDIR"));
            let folder = folder.expect("target/tmp is writable").keep();
            let keeper = Command::new("sh")
                .args(["-c", KEEPER, "moto-keeper"])
                .arg(&folder)
                .arg(&python)
                .args(["-m", "moto.server", "-H", "127.0.0.1", "-p"])
                .arg(address.port().to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let mut server = Moto {
                address,
                keeper: keeper.expect("`sh` can be run"),
            };
            if server.becomes_ready() {
                return server;
            }
        }
        panic!("moto did not start in five attempts; its logs are in target/tmp/moto-*.log");
    }

    /// Waits until the server answers; `false` where it ended.
    fn becomes_ready(&mut self) -> bool {
        let deadline = Instant::now() + READY_WITHIN;
        while !answers_ok(self.address, "/moto-api/") {
            let ended = self
                .keeper
                .try_wait()
                .expect("a child can be waited for")
                .is_some();
            if ended {
                return false;
            }
            assert!(Instant::now() < deadline, "moto was not ready in time");
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    }

    /// Creates a bucket whose name begins with `name`; with Object Lock, and so with versioning, or
    /// with neither.
    pub async fn bucket(&self, name: &str, object_lock: bool) -> S3Settings {
        static MADE: AtomicU32 = AtomicU32::new(1);
        let bucket = format!("{name}-{}", MADE.fetch_add(1, Ordering::Relaxed));
        self.client()
            .create_bucket()
            .bucket(&bucket)
            .object_lock_enabled_for_bucket(object_lock)
            .send()
            .await
            .expect("moto makes buckets");
        let options = S3Options {
            endpoint: Some(self.endpoint()),
            region: Some(REGION.to_owned()),
            path_style: true,
            credentials: Some(("any".to_owned(), SecretString::from("secret"))),
            ..S3Options::default()
        };
        S3Settings {
            bucket,
            prefix: "the/archive".to_owned(),
            options,
        }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns an SDK client, for requests that cxvault's store never sends.
    pub fn client(&self) -> Client {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(self.endpoint())
            .region(Region::new(REGION))
            .force_path_style(true)
            .credentials_provider(Credentials::new("any", "secret", None, None, "moto"));
        Client::from_conf(config.build())
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
