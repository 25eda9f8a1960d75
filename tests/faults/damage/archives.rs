//! The archives that are damaged: written once by the real program, several days of two
//! sub-accounts.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use aws_sdk_s3::types::ObjectLockMode;
use cxvault::format::place::key;
use cxvault::format::signature::SigningKey;
use cxvault::simulator::SimulatorOptions;
use serde_json::{Value, json};

use crate::support::bucket::Bucket;
use crate::support::damage::{Archive, Pen};
use crate::support::minio::minio;
use crate::support::vault::{Simulator, Vault, days_ago, options_of_today};

/// The sub-account with a chain of five manifests; the constants below are their sequence numbers.
pub const SUB: &str = "99999999";
/// A day without segments.
pub const EMPTY: u64 = 1;
/// A day with gaps.
pub const GAPS: u64 = 2;
/// The newest day, archived before the day between.
pub const LAST: u64 = 3;
/// The day between.
pub const BETWEEN: u64 = 4;
/// The gaps are filled: the head of the chain.
pub const FILLED: u64 = 5;
/// Another sub-account, with the newest day only.
pub const OTHER: &str = "88888888";

/// A zone whose midnight is not UTC's, so that its days cannot be mistaken for UTC days.
const ZONE: &str = "America/New_York";

/// Dates of the real calendar, since Object Lock uses no other; all days are over in every zone.
static DATES: LazyLock<[String; 4]> = LazyLock::new(|| [5, 4, 3, 2].map(days_ago));

/// Returns the date of a manifest of [`SUB`].
pub fn date(sequence: u64) -> &'static str {
    let [empty, gaps, between, last] = &*DATES;
    match sequence {
        EMPTY => empty,
        GAPS | FILLED => gaps,
        BETWEEN => between,
        LAST => last,
        _ => panic!("no manifest has number {sequence}"),
    }
}

/// Returns the key of a manifest of [`SUB`].
pub fn manifest(sequence: u64) -> String {
    key::manifest(SUB, sequence)
}

/// Returns the parts that a manifest of [`SUB`] lists, in order.
pub fn parts(sequence: u64) -> Vec<String> {
    let revision = if sequence == FILLED { 2 } else { 1 };
    MADE.signed.parts(SUB, date(sequence), revision)
}

pub static OWNER: LazyLock<Arc<SigningKey>> =
    LazyLock::new(|| Arc::new(SigningKey::generate().unwrap()));

pub struct Made {
    /// Signed, in a folder, with its roster. The other archives have none, like archives of older
    /// releases: damage to them must show in their chains alone.
    pub rostered: Archive,
    /// Signed, in a folder.
    pub signed: Archive,
    /// The same days in a folder, unsigned.
    pub unsigned: Archive,
    /// Signed, from a bucket with versions and Object Lock.
    pub locked: Archive,
    /// An allowed_signers file with the owner's key.
    pub signers: PathBuf,
    /// An auditor's machine, without any setting of RingCX.
    pub auditor: Vault,
}

pub static MADE: LazyLock<Made> = LazyLock::new(make);

fn make() -> Made {
    let world = World::start();
    let (rostered, mut unsigned, mut locked) = std::thread::scope(|scope| {
        let signed = scope.spawn(|| in_folder(&world, true));
        let unsigned = scope.spawn(|| in_folder(&world, false));
        let locked = in_bucket(&world);
        (signed.join().unwrap(), unsigned.join().unwrap(), locked)
    });
    let mut signed = rostered.clone();
    for archive in [&mut signed, &mut unsigned, &mut locked] {
        archive.remove_all(key::ROSTERS);
    }
    let keys = |archive: &Archive| archive.objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        (keys(&signed), keys(&signed)),
        (keys(&unsigned), keys(&locked)),
        "the same world everywhere"
    );
    let mut auditor = Vault::new(&world.whole);
    for name in [
        "CLIENT_ID",
        "CLIENT_SECRET",
        "JWT",
        "ARCHIVE",
        "SUB_ACCOUNTS",
    ] {
        auditor.unset(name);
    }
    for (name, value) in minio().env() {
        auditor.set_foreign(&name, &value);
    }
    let signers = auditor.folder.path().join("allowed_signers");
    std::fs::write(
        &signers,
        OWNER.public_key().allowed_signers_line("cxvault") + "\n",
    )
    .unwrap();
    Made {
        rostered,
        signed,
        unsigned,
        locked,
        signers,
        auditor,
    }
}

/// One simulated contact centre on days without and with failures.
struct World {
    whole: Simulator,
    broken: Simulator,
    silent: Simulator,
}

impl World {
    fn start() -> World {
        let with = |change: fn(&mut SimulatorOptions)| {
            let mut options = options_of_today();
            options.sub_accounts = vec![SUB.to_owned(), OTHER.to_owned()];
            (options.segments_per_day, options.agent_groups) = (20, 2);
            // Enough of each status for every case.
            (options.present, options.not_found) = (60.0, 20.0);
            change(&mut options);
            Simulator::start(options)
        };
        World {
            whole: with(|_| {}),
            broken: with(|options| options.faults.permanent_500 = 30.0),
            silent: with(|options| options.faults.empty = true),
        }
    }

    fn archive(&self, vault: &mut Vault) {
        vault
            .set("TIME_ZONE", ZONE)
            .set("PART_ROWS", "6")
            .set("SUB_ACCOUNTS", SUB);
        vault.set(
            "KNOWN_WARNINGS",
            "first-day-empty,low-volume,summaries-stopped:4101,summaries-stopped:4102",
        );
        vault.move_to(&self.silent);
        vault.run_day(date(EMPTY), &[]).expect(0);
        vault.set("MAX_ATTEMPTS", "1").move_to(&self.broken);
        vault.run_day(date(GAPS), &[]).expect(3);
        vault
            .set("SUB_ACCOUNTS", &format!("{SUB},{OTHER}"))
            .move_to(&self.whole);
        vault.run_day(date(LAST), &[]).expect(0);
        vault.set("SUB_ACCOUNTS", SUB);
        vault.run_day(date(BETWEEN), &[]).expect(0);
        vault.run_day(date(GAPS), &[]).expect(0);
    }

    fn signing_vault(&self) -> Vault {
        let mut vault = Vault::new(&self.whole);
        let key = vault.folder.path().join("signing-key");
        std::fs::write(&key, OWNER.to_openssh_pem("test").unwrap().as_bytes()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        vault.set("SIGNING_KEY_FILE", key.to_str().unwrap());
        vault
    }
}

fn in_folder(world: &World, signed: bool) -> Archive {
    let mut vault = if signed {
        world.signing_vault()
    } else {
        Vault::new(&world.whole)
    };
    world.archive(&mut vault);
    Archive::in_folder(&vault.archive(), signed.then(|| OWNER.clone()))
}

fn in_bucket(world: &World) -> Archive {
    let bucket = Bucket::new(minio(), "made", true);
    let mut vault = world.signing_vault();
    bucket.used_by(&mut vault, None);
    vault.set("OBJECT_LOCK", "governance:1d");
    world.archive(&mut vault);
    Archive {
        objects: bucket.contents(),
        owner: Some(OWNER.clone()),
    }
}

/// A lock mode, and the end of the lock in UTC milliseconds.
pub type Lock = (ObjectLockMode, i64);

/// Returns the lock that every object of the locked archive gets in a new bucket: what its
/// manifests promise, and a minute.
pub fn lock() -> Lock {
    let until = |envelope: Value| {
        let text = envelope["manifest"]["object_lock"]["retain_until"]
            .as_str()?
            .to_owned();
        Some(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    };
    let of_chain = |sub: &'static str| {
        (1..=MADE.locked.manifests(sub)).map(move |n| MADE.locked.envelope(sub, n))
    };
    let latest = [SUB, OTHER]
        .into_iter()
        .flat_map(of_chain)
        .filter_map(until)
        .max();
    (
        ObjectLockMode::Governance,
        latest.expect("manifests promise a lock") + 60_000,
    )
}

/// Stores an archive in an empty bucket as if its owner had committed it there: the manifests name
/// the version ids that the parts get.
pub fn commit_in(bucket: &Bucket, mut archive: Archive) -> Archive {
    let (manifests, others): (Vec<_>, Vec<_>) = archive
        .objects
        .clone()
        .into_iter()
        .partition(|(key, _)| key.starts_with(key::MANIFESTS));
    let versions = bucket.store(&others.into_iter().collect(), Some(lock()));
    for sub in [SUB, OTHER] {
        archive.forge_each(sub, 1, Pen::Own, |_, manifest| {
            for file in manifest["files"].as_array_mut().unwrap() {
                file["version_id"] = json!(versions.get(file["key"].as_str().unwrap()));
            }
        });
    }
    let signed = manifests
        .into_iter()
        .map(|(key, _)| (key.clone(), archive.bytes(&key)));
    bucket.store(&signed.collect(), Some(lock()));
    archive
}

/// Makes a bucket that holds `before` hold `after`, as an administrator could: each object has one
/// version and is locked.
pub fn replace_in(bucket: &Bucket, before: &Archive, after: &Archive) {
    let other = |key: &&String| before.objects.get(*key) != after.objects.get(*key);
    before
        .objects
        .keys()
        .filter(other)
        .for_each(|key| bucket.purge(key));
    let changed = after.objects.iter().filter(|(key, _)| other(key));
    let changed = changed
        .map(|(key, bytes)| (key.clone(), bytes.clone()))
        .collect();
    bucket.store(&changed, Some(lock()));
}
