//! The benchmarks. `cargo bench` runs all of them, `cargo bench -- throughput encode` runs those that are named.
//!
//! They print what they measure and compare it with another program in the same run, since absolute figures differ from
//! machine to machine. CONTRIBUTING.md says what each needs and how long it takes.
#![allow(clippy::disallowed_methods)] // a benchmark reads the clock and the environment

mod backfill;
mod encode;
mod memory;
mod quota;
mod support;
mod throughput;
mod verify;

const BENCHMARKS: [(&str, fn()); 6] = [
    ("encode", encode::run),
    ("quota", quota::run),
    ("throughput", throughput::run),
    ("backfill", backfill::run),
    ("verify", verify::run),
    ("memory", memory::run),
];

fn main() {
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    for name in &named {
        let known = BENCHMARKS.iter().any(|(benchmark, _)| benchmark == name);
        assert!(known, "there is no benchmark {name}");
    }
    for (name, run) in BENCHMARKS {
        if named.is_empty() || named.iter().any(|wanted| wanted == name) {
            println!("== {name}");
            run();
        }
    }
}
