//! SIGKILL at every PUT of a run, before and after it takes effect; then the run again, with its
//! state folder and without.

use crate::support::bucket::Bucket;
use crate::support::minio::minio;
use crate::support::protocol::{check, check_truth, expected};
use crate::support::proxy::{Act, Proxy, holds};
use crate::support::vault::{DAY, SUB, Simulator, Vault, options};
use axum::http::Method;

const SEGMENTS: u64 = 24;

fn simulator() -> Simulator {
    let mut options = options();
    options.segments_per_day = SEGMENTS;
    (
        options.faults.no_id,
        options.faults.no_end,
        options.faults.duplicates,
    ) = (8.0, 8.0, 15.0);
    Simulator::start(options)
}

fn truth(simulator: &Simulator) -> String {
    simulator.truth(SUB, "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
}

fn vault(simulator: &Simulator, bucket: &Bucket, proxy: &Proxy) -> Vault {
    let mut vault = Vault::new(simulator);
    bucket.used_by(&mut vault, Some(&proxy.url));
    vault.set("PART_ROWS", "8");
    vault
}

/// Returns every PUT of an undisturbed run.
fn puts(simulator: &Simulator) -> Vec<String> {
    let bucket = Bucket::new(minio(), "undisturbed", false);
    let proxy = Proxy::start(minio().address, &bucket.settings.bucket);
    vault(simulator, &bucket, &proxy)
        .run_day(DAY, &[])
        .expect(0);
    proxy.requests(Method::PUT)
}

/// Kills a run before or after a PUT takes effect: the PUT whose key contains `pattern`, after
/// `skip` others of that kind.
fn kill(vault: &Vault, proxy: &Proxy, pattern: &str, put: u32, after: bool) {
    let (arrival, holds) = holds();
    let act = if after {
        Act::HoldAfter(arrival())
    } else {
        Act::HoldBefore(arrival())
    };
    proxy.once(Method::PUT, pattern, put, act);
    let run = vault.spawn(&["run", "--json", "--date", DAY]);
    let held = holds.next();
    run.signal("KILL");
    assert_eq!(run.wait().status.code(), None);
    held.discard();
}

fn killed_at(simulator: &Simulator, put: usize, after: bool, loses_state: bool) {
    println!("PUT {put}, after it: {after}, loses its state: {loses_state}");
    let bucket = Bucket::new(minio(), "crash", false);
    let proxy = Proxy::start(minio().address, &bucket.settings.bucket);
    let vault = vault(simulator, &bucket, &proxy);
    simulator.reset_stats();
    kill(&vault, &proxy, "", put as u32, after);

    let parts = bucket
        .contents()
        .into_iter()
        .filter(|(key, _)| key.starts_with("segments/"));
    let parts: Vec<_> = parts.collect();
    let committed = check(&bucket.contents(), SUB).manifests.len();
    let asked = simulator.requests();
    let fetched = simulator.requests_to("summaries");
    if loses_state {
        // A run that was killed before the archive was created has none.
        let _ = std::fs::remove_dir_all(vault.state());
        assert!(!vault.state().exists());
        simulator.reset_stats();
    }
    vault.run_day(DAY, &[]).expect(0);

    let contents = bucket.contents();
    let checked = check(&contents, SUB);
    check_truth(&checked, DAY, &expected(&truth(simulator)));
    assert_eq!(checked.manifests.len(), 1, "one commit");
    assert!(checked.unlisted.is_empty(), "{:?}", checked.unlisted);
    assert!(
        parts.iter().all(|(key, bytes)| contents[key] == *bytes),
        "a part has changed"
    );
    let adopted = checked.records(DAY)[0]
        .files
        .iter()
        .filter(|file| file.adopted)
        .count();
    assert_eq!(adopted, if committed == 1 { 0 } else { parts.len() });
    if !loses_state {
        assert_eq!(simulator.stats()["summaries_answered_twice"], 0);
        assert!(
            fetched == 0 || simulator.requests() == asked,
            "everything was journalled"
        );
    } else if committed == 1 {
        assert_eq!(simulator.requests(), 0, "a sealed day is not asked again");
    } else {
        let rows: u64 = checked.records(DAY)[0]
            .files
            .iter()
            .filter(|file| file.adopted)
            .map(|file| file.rows)
            .sum();
        let asked = simulator.requests_to("summaries");
        assert!(
            asked <= 2 * (SEGMENTS + 2 - rows.min(SEGMENTS)),
            "{asked} although {rows} rows were adopted"
        );
    }
    assert_eq!(
        bucket.versions().len(),
        contents.len(),
        "nothing was written over"
    );
    vault.run_day(DAY, &[]).expect(0);
    let mut confirmed = bucket.contents();
    let new = confirmed
        .keys()
        .filter(|key| !contents.contains_key(*key))
        .cloned()
        .collect::<Vec<_>>();
    assert!(
        matches!(&new[..], [one] if one.starts_with("roster/v1/")),
        "one record of the run: {new:?}"
    );
    confirmed.remove(&new[0]);
    assert_eq!(confirmed, contents);
}

/// Every PUT; of those of `archive.json` that only prove create-only, only the last.
fn kill_everywhere(after: bool, loses_state: bool) {
    let simulator = simulator();
    let puts = puts(&simulator);
    let kinds: Vec<&str> = puts
        .iter()
        .map(|key| key.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(
        kinds[kinds.len() - 3..],
        ["0000000001.json", "archive.json", "0000000001.json"],
        "{kinds:?}"
    );
    assert!(
        kinds
            .iter()
            .filter(|kind| kind.ends_with(".parquet"))
            .count()
            >= 3,
        "{kinds:?}"
    );
    let proofs = kinds.iter().filter(|kind| **kind == "archive.json").count() - 1;
    for put in (0..puts.len()).filter(|put| !(1..proofs).contains(put)) {
        killed_at(&simulator, put, after, loses_state);
    }
}

#[test]
fn killed_before_any_put() {
    kill_everywhere(false, false);
}

#[test]
fn killed_after_any_put() {
    kill_everywhere(true, false);
}

#[test]
fn killed_before_any_put_with_its_disk() {
    kill_everywhere(false, true);
}

#[test]
fn killed_after_any_put_with_its_disk() {
    kill_everywhere(true, true);
}

/// The answer to a PUT is lost or says 500, whether the object was stored or not: one run succeeds
/// nevertheless.
#[test]
fn requests_with_unclear_answers_are_repeated() {
    let simulator = simulator();
    let (manifest, roster) = ("99999999/0000000001.json", "roster/v1/0000000001.json");
    for pattern in ["r0001-p0000", "r0001-p0001", manifest, roster] {
        for act in [
            Act::Answer(503),
            Act::Drop,
            Act::StoreThenAnswer(500),
            Act::StoreThenDrop,
        ] {
            let bucket = Bucket::new(minio(), "unclear", false);
            let proxy = Proxy::start(minio().address, &bucket.settings.bucket);
            let vault = vault(&simulator, &bucket, &proxy);
            proxy.once(Method::PUT, pattern, 0, act);
            vault.run_day(DAY, &[]).expect(0);
            let checked = check(&bucket.contents(), SUB);
            check_truth(&checked, DAY, &expected(&truth(&simulator)));
            assert_eq!((checked.manifests.len(), checked.unlisted.len()), (1, 0));
            let puts = proxy.requests(Method::PUT);
            assert_eq!(
                puts.iter().filter(|key| key.contains(pattern)).count(),
                2,
                "{puts:?}"
            );
            assert_eq!(bucket.versions().len(), bucket.contents().len());
        }
    }
}

/// A run that is killed when its manifest has just been stored sends no notification of the day's
/// warnings.
#[test]
fn the_next_run_notifies_what_a_killed_run_could_not() {
    let mut options = options();
    options.segments_per_day = 0;
    let simulator = Simulator::start(options);
    let bucket = Bucket::new(minio(), "untold", false);
    let proxy = Proxy::start(minio().address, &bucket.settings.bucket);
    let vault = vault(&simulator, &bucket, &proxy);
    kill(&vault, &proxy, "manifests/", 0, true);
    assert_eq!(check(&bucket.contents(), SUB).manifests.len(), 1);

    let told = vault.run_day(DAY, &[]).expect(3);
    assert_eq!(
        told.day()["archived"]["warnings"][0]["code"],
        "first-day-empty",
        "{told}"
    );
    assert_eq!(
        check(&bucket.contents(), SUB).manifests.len(),
        1,
        "nothing new was committed"
    );
    // The next run does not repeat it.
    let confirmed = vault.run_day(DAY, &[]).expect(0);
    assert_eq!(
        confirmed.day()["archived"]["warnings"],
        serde_json::json!([])
    );
}
