//! The data flows one way: each module uses only the modules below it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The other modules that each top-level module may name with `crate::`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("format", &[]),
    ("outcome", &[]),
    ("clock", &[]),
    ("store", &["format", "clock", "outcome"]),
    ("journal", &["format", "clock", "outcome"]),
    ("ringcx", &["format", "clock", "outcome"]),
    ("telemetry", &["format", "clock", "outcome"]),
    ("chain", &["format", "clock", "outcome", "store", "journal"]),
    // An auditor needs neither the API nor a journal.
    ("audit", &["chain", "format", "clock", "outcome", "store"]),
    // Parts are read, and progress is counted, as an auditor does; what a copy writes are the archive's own objects.
    (
        "copy",
        &["chain", "format", "audit", "clock", "outcome", "store"],
    ),
    (
        "day",
        &[
            "chain", "format", "clock", "outcome", "store", "journal", "ringcx",
        ],
    ),
    // Only the limits' notation is shared, so that its flags read like the settings.
    ("simulator", &["format", "ringcx"]),
    ("config", &["format", "outcome", "ringcx", "telemetry"]),
    ("logging", &["config", "outcome", "render"]),
    ("render", &["clock", "format", "outcome"]),
    (
        "cli",
        &["format", "audit", "config", "outcome", "simulator"],
    ),
    (
        "command",
        &[
            "format",
            "audit",
            "chain",
            "copy",
            "clock",
            "outcome",
            "store",
            "journal",
            "ringcx",
            "day",
            "simulator",
            "telemetry",
            "config",
            "cli",
            "render",
        ],
    ),
];

/// The only modules that may use an external crate.
const ONLY_USER: &[(&str, &[&str])] = &[
    ("reqwest", &["ringcx", "telemetry"]),
    ("rusqlite", &["journal", "ringcx"]),
    ("aws_sdk_s3", &["store"]),
    // `audit::remote` presents a stored object as the file that the Parquet reader expects.
    ("parquet", &["format", "audit"]),
    ("clap", &["cli", "simulator", "command"]),
];

/// The format does no input or output and reads no clock.
const PURE_NEVER: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net",
    "std::env",
    "std::time::SystemTime",
    "Timestamp::now",
];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Returns the source lines by top-level module, without comments and unit tests.
fn lines_by_module() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut modules = BTreeMap::<String, Vec<(PathBuf, String)>>::new();
    for file in files {
        let relative = file.strip_prefix(&root).unwrap().to_owned();
        let is_test = relative
            .file_stem()
            .is_some_and(|stem| stem == "tests" || stem == "testing");
        let first = relative
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_string_lossy()
            .into_owned();
        let module = first.trim_end_matches(".rs").to_owned();
        if matches!(module.as_str(), "main" | "lib") || is_test {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = code
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.starts_with("//"));
        modules
            .entry(module)
            .or_default()
            .extend(lines.map(|line| (relative.clone(), line.to_owned())));
    }
    modules
}

#[test]
fn each_module_uses_only_the_modules_below_it() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    for (module, lines) in lines_by_module() {
        let may_use = allowed
            .get(module.as_str())
            .unwrap_or_else(|| panic!("give `{module}` a place in MAY_USE"));
        for (file, line) in lines {
            for used in line.split("crate::").skip(1) {
                let used: String = used
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let fine = used.is_empty() || used == module || may_use.contains(&used.as_str());
                assert!(
                    fine,
                    "{}: `{module}` must not use `{used}`: {line}",
                    file.display()
                );
            }
        }
    }
}

/// A verifier that shares code with the writer would share its mistakes.
#[test]
fn the_verifier_uses_nothing_that_knows_chains() {
    // The modules of `audit` that it uses must not use the chain either.
    let shared = ["blocking", "verify", "anchors", "scratch"];
    for (file, line) in lines_by_module().remove("audit").unwrap() {
        let path = file.to_string_lossy().into_owned();
        let of_verifier = path.starts_with("audit/verify");
        let without_chain = of_verifier
            || shared.contains(&path.trim_start_matches("audit/").trim_end_matches(".rs"));
        assert!(
            !without_chain || !line.contains("crate::chain"),
            "{path}: the verifier must not use `chain`: {line}"
        );
        for used in line.split("crate::audit::").skip(1) {
            let used = used
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .unwrap();
            assert!(
                !of_verifier || shared.contains(&used),
                "{path}: the verifier must not use `audit::{used}`: {line}"
            );
        }
    }
}

#[test]
fn external_crates_are_used_only_where_allowed() {
    for (module, lines) in lines_by_module() {
        for (file, line) in lines {
            for (krate, users) in ONLY_USER {
                let uses =
                    line.contains(&format!("{krate}::")) && !line.contains(&format!("::{krate}::"));
                let fine = !uses || users.contains(&module.as_str());
                assert!(
                    fine,
                    "{}: only {users:?} may use `{krate}`: {line}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn the_pure_core_does_nothing_outside() {
    for (file, line) in lines_by_module().remove("format").unwrap() {
        for never in PURE_NEVER {
            assert!(
                !line.contains(never),
                "{}: the pure core must not use `{never}`: {line}",
                file.display()
            );
        }
    }
}
