//! One case of the matrix: what is done to an archive, and what a verification must report.

use std::collections::BTreeSet;

use cxvault::audit::verify::finding::{FindingCode, Severity};
use cxvault::format::hash::digest::Digest;
use cxvault::format::place::key;
use serde_json::Value;
use tempfile::TempDir;

use super::archives::{Made, commit_in, replace_in};
use crate::support::bucket::Bucket;
use crate::support::damage::Archive;
use crate::support::minio::minio;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Quick,
    Full,
    Deep,
}

use Level::{Deep, Full, Quick};

impl Level {
    fn name(self) -> &'static str {
        match self {
            Quick => "quick",
            Full => "full",
            Deep => "deep",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    Folder,
    Bucket,
}

/// One of these codes for this object.
type Wanted = (Vec<FindingCode>, String);

type Deed = Box<dyn Fn(&mut Archive) + Send + Sync>;
type BucketDeed = Box<dyn Fn(&Bucket) + Send + Sync>;

pub struct Case {
    pub name: String,
    deed: Deed,
    /// Possible only in a bucket with versions and locks.
    in_bucket: Option<BucketDeed>,
    unsigned: bool,
    /// Applied to the archive with a roster.
    rostered: bool,
    /// Applied before the objects are committed, so that a bucket's versions and checksums are
    /// those of the damaged objects.
    committed: bool,
    only: Option<Where>,
    /// The lowest level that must report it; the levels below must hold.
    level: Level,
    /// Levels below the lowest may report it as well.
    or_sooner: bool,
    /// The store's own checksums report it without reading.
    quick_in_bucket: bool,
    finds: Vec<Wanted>,
    /// What may be reported as well, as a consequence.
    beside: Vec<FindingCode>,
    /// Heads of the intact archive that the reader knows.
    heads: Vec<(&'static str, u64)>,
    knows_signers: bool,
}

pub fn case(name: impl Into<String>, deed: impl Fn(&mut Archive) + Send + Sync + 'static) -> Case {
    Case {
        name: name.into(),
        deed: Box::new(deed),
        in_bucket: None,
        unsigned: false,
        rostered: false,
        committed: false,
        only: None,
        level: Quick,
        or_sooner: false,
        quick_in_bucket: false,
        finds: Vec::new(),
        beside: Vec::new(),
        heads: Vec::new(),
        knows_signers: true,
    }
}

/// Creates a case that only a bucket can have.
pub fn bucket_case(
    name: impl Into<String>,
    deed: impl Fn(&Bucket) + Send + Sync + 'static,
) -> Case {
    let mut case = case(name, |_| {}).only(Where::Bucket);
    case.in_bucket = Some(Box::new(deed));
    case
}

impl Case {
    pub fn finds(mut self, code: FindingCode, object: impl Into<String>) -> Case {
        self.finds.push((vec![code], object.into()));
        self
    }

    /// Accepts either code as a correct name.
    pub fn finds_one_of(mut self, codes: &[FindingCode], object: impl Into<String>) -> Case {
        self.finds.push((codes.to_vec(), object.into()));
        self
    }

    /// Sets the object of the last finding.
    pub fn of(mut self, object: impl Into<String>) -> Case {
        self.finds.last_mut().expect("a finding").1 = object.into();
        self
    }

    pub fn beside(mut self, codes: &[FindingCode]) -> Case {
        self.beside.extend_from_slice(codes);
        self
    }

    pub fn at(mut self, level: Level) -> Case {
        self.level = level;
        self
    }

    pub fn or_sooner(mut self) -> Case {
        self.or_sooner = true;
        self
    }

    pub fn in_bucket_at_quick(mut self) -> Case {
        self.quick_in_bucket = true;
        self
    }

    /// Done by the owner of the key, or by a faulty writer: in a bucket before the objects are
    /// committed.
    pub fn by_owner(mut self) -> Case {
        self.committed = true;
        self
    }

    /// Done in an unsigned archive, so that everything in it can be made to follow; in a bucket by
    /// the owner of the key.
    pub fn unsigned(mut self) -> Case {
        self.unsigned = true;
        self.by_owner()
    }

    /// Done in the archive whose roster records the chains.
    pub fn rostered(mut self) -> Case {
        self.rostered = true;
        self.only(Where::Folder)
    }

    pub fn only(mut self, place: Where) -> Case {
        self.only = Some(place);
        self
    }

    /// The reader knows a head of the intact archive.
    pub fn expecting(mut self, sub: &'static str, sequence: u64) -> Case {
        self.heads.push((sub, sequence));
        self
    }

    pub fn without_allowed_signers(mut self) -> Case {
        self.knows_signers = false;
        self
    }

    pub fn is_for(&self, place: Where) -> bool {
        self.only.is_none_or(|only| only == place)
    }

    fn level(&self, place: Where) -> Level {
        if self.quick_in_bucket && place == Where::Bucket {
            Quick
        } else {
            self.level
        }
    }

    fn exit(&self) -> i32 {
        let worst = self
            .finds
            .iter()
            .flat_map(|(codes, _)| codes)
            .map(|code| code.severity())
            .max();
        match worst {
            Some(Severity::Violation) => 4,
            Some(Severity::Gap) => 3,
            Some(Severity::Notice) | None => 0,
        }
    }

    /// Applies the damage and compares it with the report of each level; returns the differences.
    pub fn check(&self, made: &Made, place: Where) -> Vec<String> {
        let folder = TempDir::new().unwrap();
        let bucket;
        let (location, intact) = match place {
            Where::Folder => {
                let root = folder.path().join("archive");
                let intact = match (self.unsigned, self.rostered) {
                    (true, _) => &made.unsigned,
                    (false, true) => &made.rostered,
                    (false, false) => &made.signed,
                };
                self.damaged(intact).lay(&root);
                (root.to_str().unwrap().to_owned(), intact.clone())
            }
            Where::Bucket => {
                bucket = Bucket::new(minio(), "case", true);
                (bucket.location(), self.damage_in(&bucket, made))
            }
        };
        let args = self.args(made, &intact);
        let least = self.level(place);
        let mut wrong = Vec::new();
        // Requests are slow, and what each level leaves out is the same everywhere.
        let levels = if place == Where::Folder {
            &[Quick, Full, Deep][..]
        } else {
            &[least]
        };
        for &level in levels {
            let said = match level < least {
                true if self.or_sooner => continue,
                true => Verdict::of(made, &location, level, &args).holds(),
                false => self.judge(&Verdict::of(made, &location, level, &args)),
            };
            if !said.is_empty() {
                wrong.push(format!("{place:?} {}: {}", level.name(), said.join("; ")));
            }
        }
        wrong
    }

    /// Restores the archive.
    fn damage_in(&self, bucket: &Bucket, made: &Made) -> Archive {
        if self.committed {
            commit_in(bucket, self.damaged(&made.locked));
            return made.locked.clone();
        }
        let intact = commit_in(bucket, made.locked.clone());
        match &self.in_bucket {
            None => replace_in(bucket, &intact, &self.damaged(&intact)),
            Some(deed) => {
                let before = bucket.versions();
                deed(bucket);
                assert!(
                    bucket.versions() != before,
                    "{}: the deed changes nothing",
                    self.name
                );
            }
        }
        intact
    }

    fn damaged(&self, intact: &Archive) -> Archive {
        let mut archive = intact.clone();
        (self.deed)(&mut archive);
        assert!(
            archive.objects != intact.objects,
            "{}: the deed changes nothing",
            self.name
        );
        archive
    }

    fn args(&self, made: &Made, intact: &Archive) -> Vec<String> {
        let mut args = Vec::new();
        if self.knows_signers && intact.owner.is_some() {
            args.extend([
                "--allowed-signers".to_owned(),
                made.signers.to_str().unwrap().to_owned(),
            ]);
        }
        for (sub, sequence) in &self.heads {
            let sha256 = Digest::of(&intact.bytes(&key::manifest(sub, *sequence)));
            args.extend([
                "--expect-head".to_owned(),
                format!("{sub}:{sequence}:{sha256}"),
            ]);
        }
        args
    }

    fn judge(&self, verdict: &Verdict) -> Vec<String> {
        let mut wrong = verdict.malformed();
        if verdict.exit != self.exit() {
            wrong.push(format!(
                "exit {}, where {} is due",
                verdict.exit,
                self.exit()
            ));
        }
        for (codes, object) in &self.finds {
            if !verdict
                .found
                .iter()
                .any(|(code, of)| codes.contains(code) && names(of, object))
            {
                wrong.push(format!("no {codes:?} of {object}"));
            }
        }
        let wanted: BTreeSet<FindingCode> = self
            .finds
            .iter()
            .flat_map(|(codes, _)| codes)
            .chain(&self.beside)
            .copied()
            .collect();
        for (code, object) in &verdict.found {
            if code.severity() != Severity::Notice && !wanted.contains(code) {
                wrong.push(format!("beside the point: {code:?} of {object}"));
            }
        }
        if !wrong.is_empty() {
            wrong.push(format!(
                "it found {}; {}",
                verdict.worst(),
                verdict.stderr.trim()
            ));
        }
        wrong
    }
}

/// What a verification reported.
pub struct Verdict {
    pub exit: i32,
    pub found: Vec<(FindingCode, String)>,
    pub verified: Value,
    events: Vec<Value>,
    stderr: String,
}

impl Verdict {
    pub fn of(made: &Made, location: &str, level: Level, more: &[String]) -> Verdict {
        let mut args = vec![
            "verify",
            "--archive",
            location,
            "--json",
            "--level",
            level.name(),
        ];
        args.extend(more.iter().map(String::as_str));
        let done = made.auditor.run(&args);
        let mut events = done.events();
        let verified = events.pop().unwrap_or_default();
        let found = events.iter().map(|event| {
            let name = event["code"].as_str().unwrap_or_default();
            let code = FindingCode::ALL.iter().find(|code| code.name() == name);
            let code = *code.unwrap_or_else(|| panic!("not a finding: {event}"));
            (
                code,
                event["object"].as_str().unwrap_or_default().to_owned(),
            )
        });
        Verdict {
            exit: done.exit(),
            found: found.collect(),
            verified,
            events,
            stderr: done.stderr,
        }
    }

    /// Returns what differs from "everything holds, and something was verified".
    pub fn holds(&self) -> Vec<String> {
        let mut wrong = self.malformed();
        if self.exit != 0
            || self
                .found
                .iter()
                .any(|(code, _)| code.severity() != Severity::Notice)
        {
            wrong.push(format!(
                "it must hold, and does not: exit {}, {}",
                self.exit,
                self.worst()
            ));
        }
        wrong
    }

    /// Returns the findings that are not notices, in short form.
    fn worst(&self) -> String {
        let weigh = self
            .found
            .iter()
            .filter(|(code, _)| code.severity() > Severity::Notice);
        let said: Vec<String> = weigh
            .map(|(code, object)| format!("{} of {object}", code.name()))
            .collect();
        if said.is_empty() {
            "nothing that weighs".to_owned()
        } else {
            said.join(", ")
        }
    }

    /// Findings must be understandable without anything else.
    fn malformed(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for event in &self.events {
            let whole = ["object", "expected", "found", "meaning", "severity"];
            if whole
                .iter()
                .any(|name| event[name].as_str().is_none_or(str::is_empty))
            {
                wrong.push(format!("half a finding: {event}"));
            }
        }
        if self.verified["event"] != "verified" || self.verified["exit"] != self.exit {
            wrong.push(format!(
                "no verdict, or another one: {}; {}",
                self.verified,
                self.stderr.trim()
            ));
        }
        wrong
    }
}

/// A foreign folder is named once for all objects in it.
fn names(found: &str, object: &str) -> bool {
    found == object || found.ends_with('/') && object.starts_with(found)
}
