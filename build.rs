//! Passes the version of the Parquet library on to the program, which names it in each record that it signs
//! (FORMAT.md, `run.libraries`). `Cargo.lock` is the only file that says which version is built in.

use std::error::Error;
use std::fs;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=Cargo.lock");
    let lock = fs::read_to_string("Cargo.lock")?;
    let version = lock
        .split("[[package]]")
        .find(|package| package.contains("\nname = \"parquet\"\n"))
        .and_then(|package| package.split("\nversion = \"").nth(1)?.split('"').next())
        .ok_or("Cargo.lock names no version of parquet")?;
    println!("cargo::rustc-env=CXVAULT_PARQUET_LIBRARY=parquet {version}");
    Ok(())
}
