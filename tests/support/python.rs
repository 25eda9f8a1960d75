//! A Python with DuckDB and PyArrow, to read archives with other code than ours.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{exclusively, must_run, target};

const PACKAGES: [&str; 2] = ["duckdb==2.0.0", "pyarrow==26.0.1"];
const REMEDY: &str = "The tests read archives with DuckDB's Python package. Install Python 3.10 or newer with `venv` and \
                      `pip` (Debian: apt-get install python3-venv), and allow pip to reach its package index.";

/// The Python of a virtual environment at `target/venv`, made at the first call.
pub fn duckdb_python() -> PathBuf {
    let venv = target().join("venv");
    let python = venv.join("bin").join("python");
    // Written last: an environment whose making was interrupted is made again, and so is one of other versions.
    let (made, wanted) = (venv.join("cxvault-packages"), PACKAGES.join("\n"));
    exclusively("venv", || {
        if fs::read_to_string(&made).is_ok_and(|packages| packages == wanted) {
            return;
        }
        eprintln!("making a Python environment once: {}", PACKAGES.join(" "));
        must_run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv), REMEDY);
        let install =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
        must_run(Command::new(&python).args(install).args(PACKAGES), REMEDY);
        fs::write(&made, &wanted).expect("target/venv is writable");
    });
    python
}

/// A `PATH` on which `python3` is that Python.
pub fn path_with_duckdb() -> String {
    let python = duckdb_python();
    let rest = std::env::var("PATH").unwrap_or_default();
    format!("{}:{rest}", python.parent().expect("it lies in bin").display())
}
