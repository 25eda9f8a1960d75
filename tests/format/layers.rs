//! The import test: which folder uses which, that no import points up, and how many import cycles there are.
//!
//! It reads `use` declarations and `crate::` paths as text. The allowed directions below are the picture of
//! `src/lib.rs` and `docs/architecture.md`; a direction that no file uses any more is removed here, so that the three
//! stay exact.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What the files of each folder (or single file) of `src/` may use, apart from the folder itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("format", &[]),
    ("outcome", &[]),
    ("clock", &[]),
    ("private", &[]),
    ("store", &["format", "clock", "outcome", "private"]),
    ("journal", &["format", "outcome", "private"]),
    ("ringcx", &["format", "clock", "outcome", "private"]),
    ("telemetry", &["format", "clock", "outcome", "private"]),
    ("chain", &["format", "clock", "outcome", "store", "journal"]),
    ("audit", &["chain", "format", "outcome", "private", "store"]),
    // Parts are read, and progress is counted, as an auditor does.
    (
        "copy",
        &["chain", "format", "audit", "clock", "outcome", "store"],
    ),
    (
        "day",
        &[
            "chain", "format", "journal", "outcome", "private", "ringcx", "store",
        ],
    ),
    // Only the notation of limits, so that its flags read like the settings.
    ("simulator", &["ringcx"]),
    ("config", &["format", "outcome", "ringcx", "telemetry"]),
    ("render", &["clock", "format", "outcome"]),
    ("logging", &["config", "outcome", "render"]),
    (
        "cli",
        &["format", "audit", "config", "outcome", "simulator"],
    ),
    (
        "command",
        &[
            "format",
            "clock",
            "outcome",
            "private",
            "store",
            "journal",
            "ringcx",
            "telemetry",
            "chain",
            "audit",
            "copy",
            "day",
            "simulator",
            "config",
            "render",
            "cli",
        ],
    ),
];

/// A verifier that shares code with the writer shares its mistakes.
const VERIFY_NEVER_USES: &[&str] = &["chain", "journal", "copy", "day", "ringcx"];

/// Outside crates that only some folders may use.
const ONLY_USED_BY: &[(&str, &[&str])] = &[
    ("reqwest", &["ringcx", "telemetry"]),
    ("rusqlite", &["journal", "ringcx"]),
    ("aws_sdk_s3", &["store"]),
    ("parquet", &["format", "audit"]),
    ("clap", &["cli", "simulator", "command"]),
];

/// The format does no input or output and reads no clock.
const FORMAT_NEVER_USES: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "ToSocketAddrs",
    "std::env",
    "std::time::SystemTime",
    "Timestamp::now",
];

/// One source file without comments, strings and unit tests.
struct Source {
    /// Relative to `src/`.
    path: PathBuf,
    /// Its module path, such as `["chain", "notes", "hold"]`.
    module: Vec<String>,
    code: String,
}

impl Source {
    fn folder(&self) -> &str {
        &self.module[0]
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    find_files(&root, &mut files);
    files.sort();
    let read = files.into_iter().filter_map(|file| {
        let path = file.strip_prefix(&root).unwrap().to_owned();
        let mut module: Vec<String> = path
            .with_extension("")
            .components()
            .map(|part| part.as_os_str().to_str().unwrap().to_owned())
            .collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        let is_test = module
            .iter()
            .any(|part| part == "tests" || part == "testing");
        if is_test || module == ["main"] || module == ["lib"] {
            return None;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code = without_comments_and_strings(code);
        Some(Source { path, module, code })
    });
    read.collect()
}

fn find_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Rust code line by line, where `//` begins a comment and plain string literals are emptied.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        let (mut in_string, mut escaped, mut previous) = (false, false, ' ');
        for c in line.chars() {
            match (in_string, c) {
                (false, '/') if previous == '/' => {
                    code.pop();
                    break;
                }
                (false, '"') if previous != '\'' => in_string = true,
                (false, _) => code.push(c),
                (true, '"') if !escaped => in_string = false,
                (true, _) => {}
            }
            escaped = in_string && c == '\\' && !escaped;
            previous = c;
        }
        code.push('\n');
    }
    code
}

/// The paths that a file's code names, as absolute module paths without `crate`.
fn named_paths(source: &Source) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let starts = ["crate::", "super::", "self::"];
    let mut rest = source.code.as_str();
    while let Some(at) = starts.iter().filter_map(|start| rest.find(start)).min() {
        let before = rest[..at].chars().next_back();
        let is_start = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
        let tree = &rest[at..];
        let end = end_of_tree(tree);
        if is_start {
            expand(&tree[..end], &mut Vec::new(), &mut paths);
        }
        rest = &tree[end.max(1)..];
    }
    paths
        .into_iter()
        .map(|path| absolute(path, &source.module))
        .collect()
}

/// The length of a path with its braces: `crate::a::{b, c::{d, e}}`.
fn end_of_tree(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' if depth > 0 || text[..at].ends_with("::") => depth += 1,
            '}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ if depth > 0 => {}
            c if c.is_alphanumeric() || c == '_' || c == ':' => {}
            _ => return at,
        }
    }
    text.len()
}

/// All paths of a use tree.
fn expand(tree: &str, prefix: &mut Vec<String>, into: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let (path, group) = match tree.split_once('{') {
        Some((path, group)) => (path, Some(group.strip_suffix('}').unwrap_or(group))),
        None => (tree, None),
    };
    let depth = prefix.len();
    for segment in path.split("::") {
        let segment = segment.split_whitespace().next().unwrap_or_default();
        if !segment.is_empty() && (segment != "self" || prefix.is_empty()) {
            prefix.push(segment.to_owned());
        }
    }
    match group {
        None => into.push(prefix.clone()),
        Some(group) => {
            for item in split_group(group) {
                expand(item, prefix, into);
            }
        }
    }
    prefix.truncate(depth);
}

/// The items of a group, at its top level.
fn split_group(group: &str) -> Vec<&str> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&group[start..]);
    items.retain(|item| !item.trim().is_empty());
    items
}

fn absolute(path: Vec<String>, module: &[String]) -> Vec<String> {
    let mut base = if path[0] == "crate" {
        Vec::new()
    } else {
        module.to_vec()
    };
    for segment in path {
        match segment.as_str() {
            "crate" | "self" => {}
            "super" => drop(base.pop()),
            _ => base.push(segment),
        }
    }
    base
}

/// For each file, the other files that it uses, by module path.
fn uses(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeSet<String> = sources
        .iter()
        .map(|source| source.module.join("::"))
        .collect();
    let mut uses = BTreeMap::<String, BTreeSet<String>>::new();
    for source in sources {
        let own = source.module.join("::");
        let used = uses.entry(own.clone()).or_default();
        for path in named_paths(source) {
            let longest = (1..=path.len()).rev().map(|n| path[..n].join("::"));
            used.extend(longest.into_iter().find(|module| modules.contains(module)));
        }
        used.remove(&own);
    }
    uses
}

#[test]
fn each_folder_uses_only_what_stands_below_it() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut unused: BTreeSet<(String, String)> = MAY_USE
        .iter()
        .flat_map(|(folder, below)| below.iter().map(|used| (*folder, *used)))
        .map(|(folder, used)| (folder.to_owned(), used.to_owned()))
        .collect();
    for source in sources() {
        let folder = source.folder();
        let may_use = allowed
            .get(folder)
            .unwrap_or_else(|| panic!("give `{folder}` a place in MAY_USE"));
        for path in named_paths(&source) {
            let Some(used) = path.first().filter(|used| *used != folder) else {
                continue;
            };
            assert!(
                may_use.contains(&used.as_str()),
                "{}: `{folder}` must not use `{}`",
                source.path.display(),
                path.join("::")
            );
            unused.remove(&(folder.to_owned(), used.clone()));
        }
    }
    assert!(
        unused.is_empty(),
        "no file uses these directions any more: {unused:?}"
    );
}

#[test]
fn the_verifier_is_independent_of_the_writer() {
    for source in sources() {
        if !source.path.starts_with("audit/verify") {
            continue;
        }
        for path in named_paths(&source) {
            assert!(
                !VERIFY_NEVER_USES.contains(&path[0].as_str()),
                "{} must not use `{}`",
                source.path.display(),
                path.join("::")
            );
        }
    }
}

#[test]
fn no_files_of_a_folder_import_each_other_in_a_circle() {
    let sources = sources();
    let uses = uses(&sources);
    let folder_of: BTreeMap<String, &Path> = sources
        .iter()
        .map(|source| (source.module.join("::"), source.path.parent().unwrap()))
        .collect();
    let mut cycles = BTreeSet::<BTreeSet<String>>::new();
    let reached: BTreeMap<&String, BTreeSet<String>> = uses
        .keys()
        .map(|module| (module, reachable_in_folder(module, &uses, &folder_of)))
        .collect();
    for (module, others) in &reached {
        // A cycle is a group of files each of which reaches the others.
        let cycle = others
            .iter()
            .filter(|other| reached[other].contains(*module));
        cycles.insert(cycle.cloned().collect());
    }
    cycles.remove(&BTreeSet::new());
    assert!(cycles.is_empty(), "import cycles: {cycles:#?}");
}

fn reachable_in_folder(
    from: &str,
    uses: &BTreeMap<String, BTreeSet<String>>,
    folder_of: &BTreeMap<String, &Path>,
) -> BTreeSet<String> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(module) = open.pop() {
        for used in &uses[&module] {
            if folder_of[used] == folder_of[from] && reached.insert(used.clone()) {
                open.push(used.clone());
            }
        }
    }
    reached
}

#[test]
fn outside_crates_are_used_where_they_belong() {
    for source in sources() {
        for (name, users) in ONLY_USED_BY {
            let path = format!("{name}::");
            let uses = source.code.match_indices(&path).any(|(at, _)| {
                let before = source.code[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
            });
            assert!(
                !uses || users.contains(&source.folder()),
                "{}: only {users:?} may use `{name}`",
                source.path.display()
            );
        }
    }
}

#[test]
fn the_format_does_no_input_or_output() {
    for source in sources() {
        if source.folder() != "format" {
            continue;
        }
        for never in FORMAT_NEVER_USES {
            assert!(
                !source.code.contains(never),
                "{}: the format must not use `{never}`",
                source.path.display()
            );
        }
    }
}

/// Ways to create a file or a folder whose mode the umask would decide.
const CREATES_FILES: &[&str] = &[
    "File::create",
    "fs::write(",
    "fs::copy(",
    "create_dir",
    "OpenOptions",
    "DirBuilder",
    "tempdir(",
    "tempdir_in(",
    "tempfile_in(",
    "NamedTempFile::new",
    "TempDir::new",
];

/// What this program writes to a disk is for its user alone: one module knows the modes.
#[test]
fn files_are_created_by_one_module() {
    for source in sources() {
        if source.folder() == "private" {
            continue;
        }
        for way in CREATES_FILES {
            // `HashingFile::create` is another name.
            let found = source.code.match_indices(way).any(|(at, _)| {
                let before = source.code[..at].chars().next_back();
                !before.is_some_and(char::is_alphanumeric)
            });
            assert!(
                !found,
                "{}: create files and folders with `crate::private`, not with `{way}`",
                source.path.display()
            );
        }
    }
}

/// The picture of the layers, as `src/lib.rs` and `docs/architecture.md` show it.
#[test]
fn the_documents_show_the_same_picture() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let library: Vec<String> = read("src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned())
        .collect();
    let picture = |text: &str| {
        let block = text.split("```text\n").nth(1).expect("a picture");
        block.split("```").next().unwrap().to_owned()
    };
    let of_library = picture(&library.join("\n"));
    assert_eq!(of_library, picture(&read("docs/architecture.md")));
    for (folder, _) in MAY_USE {
        assert!(of_library.contains(folder), "the picture lacks `{folder}`");
    }
}
