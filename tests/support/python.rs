//! Python with DuckDB and PyArrow, for reading archives with code that is independent of cxvault.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{exclusively, must_run, target};

const PACKAGES: [&str; 2] = ["duckdb==2.0.0", "pyarrow==26.0.1"];
/// The newest DuckDB whose S3 extension is available as a Python package.
const S3_PACKAGES: [&str; 2] = ["duckdb==1.5.5", "duckdb-extension-httpfs==1.5.5"];
/// The packages that parse metrics and traces.
const TELEMETRY_PACKAGES: [&str; 2] = ["prometheus-client==0.26.0", "opentelemetry-proto==1.45.2"];
/// A stand-in for Amazon S3, as a server.
const MOTO_PACKAGES: [&str; 1] = ["moto[server]==5.2.5"];
const REMEDY: &str = "The tests read with Python packages what cxvault writes. Install Python 3.10 or newer with `venv` and \
                      `pip` (Debian: apt-get install python3-venv), and allow pip to reach its package index.";

/// Returns the Python of a virtual environment at `target/venv`, created at the first call.
pub fn duckdb_python() -> PathBuf {
    environment("venv", &PACKAGES)
}

/// Returns the Python of the environment at `target/venv-s3`, whose DuckDB can read S3.
pub fn duckdb_s3_python() -> PathBuf {
    environment("venv-s3", &S3_PACKAGES)
}

/// Returns the Python of the environment at `target/venv-telemetry`, with the parsers of Prometheus
/// and OpenTelemetry.
pub fn telemetry_python() -> PathBuf {
    environment("venv-telemetry", &TELEMETRY_PACKAGES)
}

/// Returns the Python of the environment at `target/venv-moto`, with moto's server.
pub fn moto_python() -> PathBuf {
    environment("venv-moto", &MOTO_PACKAGES)
}

fn environment(name: &str, packages: &[&str]) -> PathBuf {
    let venv = target().join(name);
    let python = venv.join("bin").join("python");
    // Written last: an environment whose creation was interrupted, or with other versions, is
    // created again.
    let (made, wanted) = (venv.join("cxvault-packages"), packages.join("\n"));
    exclusively(name, || {
        if fs::read_to_string(&made).is_ok_and(|packages| packages == wanted) {
            return;
        }
        eprintln!("making a Python environment once: {}", packages.join(" "));
        must_run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&venv),
            REMEDY,
        );
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
        ];
        must_run(Command::new(&python).args(install).args(packages), REMEDY);
        fs::write(&made, &wanted).expect("a folder of target/ is writable");
    });
    python
}

/// Returns a `PATH` on which `python3` is that Python.
pub fn path_with_duckdb() -> String {
    let python = duckdb_python();
    let rest = std::env::var("PATH").unwrap_or_default();
    format!(
        "{}:{rest}",
        python.parent().expect("it lies in bin").display()
    )
}
