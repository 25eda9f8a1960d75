//! SIGKILL at every PUT of a copy, before and after it takes effect; lost answers; and an orderly
//! stop.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::Method;
use serde_json::json;

use super::*;
use crate::support::minio::minio;
use crate::support::protocol::check;
use crate::support::proxy::{Act, Proxy, holds};
use crate::support::vault::{nap, until};

/// A bucket with two archived days, the way to it, and a user of both.
struct World<'a> {
    from: Bucket<'a>,
    source: Proxy,
    vault: Vault,
}

fn world<'a>(simulator: &Simulator) -> World<'a> {
    let from = Bucket::new(minio(), "whence", true);
    let mut vault = owner(simulator);
    from.used_by(&mut vault, None);
    vault.set("OBJECT_LOCK", "governance:2d");
    vault.run_day(EVE, &[]).expect(0);
    vault.run_day(DAY, &[]).expect(0);
    let source = Proxy::start(minio().address, &from.settings.bucket);
    from.used_by(&mut vault, Some(&source.url));
    World {
        from,
        source,
        vault,
    }
}

fn parts_seen(proxy: &Proxy, from: usize, method: Method) -> Vec<String> {
    let seen = proxy.requests(method);
    let mut parts: Vec<String> = seen[from..]
        .iter()
        .filter(|key| key.ends_with(".parquet"))
        .map(|key| key.split_once("/segments/").unwrap().1.to_owned())
        .collect();
    parts.sort();
    parts
}

/// Returns the objects of the copy once the requests under way have arrived; they outlive their
/// sender.
fn settled(to: &Bucket, place: &Proxy, never_arrived: Option<&str>) -> Contents {
    let mut contents = Contents::new();
    until("requests in flight arrive", || {
        nap(Duration::from_millis(50));
        contents = to.contents();
        let puts = place.requests(Method::PUT);
        let arrived = |key: &&String| {
            let same = puts.iter().filter(|put| put == key).count();
            never_arrived != Some(key.as_str()) || same > 1
        };
        let arrived: BTreeSet<&str> = puts
            .iter()
            .filter(arrived)
            .map(|key| {
                key.strip_prefix(&format!("{}/", to.settings.prefix))
                    .expect("the archive's")
            })
            .collect();
        contents.keys().map(String::as_str).collect::<BTreeSet<_>>() == arrived
    });
    contents
}

fn killed_at(world: &mut World, put: usize, after: bool) {
    println!("PUT {put}, after it: {after}");
    let to = Bucket::new(minio(), "whither", true);
    let place = Proxy::start(minio().address, &to.settings.bucket);
    may_copy_to(&mut world.vault, minio(), Some(&place.url));
    let (arrival, held) = holds();
    let act = if after {
        Act::HoldAfter(arrival())
    } else {
        Act::HoldBefore(arrival())
    };
    place.once(Method::PUT, "", put as u32, act);
    let copying = world
        .vault
        .spawn(&["copy", "--json", "--to", &to.location()]);
    let request = held.next();
    copying.signal("KILL");
    assert_eq!(copying.wait().status.code(), None);
    let held_before = (!after).then(|| request.key.clone());
    request.discard();

    // What exists is an archive, and it is marked as a copy before it is an archive.
    let found = settled(&to, &place, held_before.as_deref());
    let checked = check(&found, SUB);
    let began = found.keys().any(|key| key != MARK && key != "archive.json");
    assert!(
        !began || (found.contains_key(MARK) && found.contains_key("archive.json")),
        "{:?}",
        found.keys()
    );
    assert!(!found.contains_key("archive.json") || found.contains_key(MARK));
    let archive = world.from.contents();
    assert!(
        found
            .iter()
            .all(|(key, bytes)| key == MARK || archive[key] == *bytes)
    );
    if !checked.manifests.is_empty() {
        let read = world.vault.run(&[
            "verify",
            "--json",
            "--archive",
            &to.location(),
            "--level",
            "quick",
        ]);
        read.expect(0);
    }

    let (read, asked) = (
        world.source.requests(Method::GET).len(),
        place.requests(Method::PUT).len(),
    );
    let done = copied(&copy(&world.vault, &to.location(), &[]).expect(0));
    assert_eq!(without_mark(to.contents()), archive);
    assert_eq!(
        to.versions().len(),
        to.contents().len(),
        "nothing was put over anything"
    );
    assert!(
        found
            .get(MARK)
            .is_none_or(|mark| to.contents()[MARK] == *mark),
        "the mark has changed"
    );
    let locked = to
        .versions()
        .iter()
        .filter(|version| version.lock.is_some())
        .count();
    assert_eq!(locked, to.contents().len(), "{:?}", to.versions());
    // Objects that exist are neither read nor stored again.
    let lacking: Vec<String> = parts(&archive)
        .into_iter()
        .filter(|key| !found.contains_key(key))
        .map(|key| key.strip_prefix("segments/").unwrap().to_owned())
        .collect();
    assert_eq!(parts_seen(&world.source, read, Method::GET), lacking);
    assert_eq!(parts_seen(&place, asked, Method::PUT), lacking);
    assert_eq!(done["files"], lacking.len());
    assert_eq!(done["manifests"], 2 - checked.manifests.len());
}

#[test]
fn killed_at_any_put_the_same_command_completes_it() {
    let simulator = simulator();
    let mut world = world(&simulator);
    let undisturbed = Bucket::new(minio(), "undisturbed", true);
    let place = Proxy::start(minio().address, &undisturbed.settings.bucket);
    may_copy_to(&mut world.vault, minio(), Some(&place.url));
    copy(&world.vault, &undisturbed.location(), &[]).expect(0);
    let puts = place.requests(Method::PUT);
    // The mark, the record and its proof of create-only, each object, and a lock for the mark and
    // the record.
    assert_eq!(
        puts.len(),
        3 + world.from.contents().len() - 1 + 2,
        "{puts:?}"
    );
    for put in 0..puts.len() {
        for after in [false, true] {
            killed_at(&mut world, put, after);
        }
    }
}

/// The answer to a PUT is lost or says 503, whether the object was stored or not: one copy succeeds
/// nevertheless.
#[test]
fn requests_with_unclear_answers_are_repeated() {
    let simulator = simulator();
    let mut world = world(&simulator);
    for pattern in [MARK, "archive.json", "r0001-p0001", "0000000002.json"] {
        for act in [
            Act::Answer(503),
            Act::Drop,
            Act::StoreThenAnswer(500),
            Act::StoreThenDrop,
        ] {
            let to = Bucket::new(minio(), "unclear", true);
            let place = Proxy::start(minio().address, &to.settings.bucket);
            may_copy_to(&mut world.vault, minio(), Some(&place.url));
            place.once(Method::PUT, pattern, 0, act);
            copy(&world.vault, &to.location(), &[]).expect(0);
            assert_eq!(without_mark(to.contents()), world.from.contents());
            assert_eq!(to.versions().len(), to.contents().len(), "{pattern}");
        }
    }
}

#[test]
fn asked_to_stop_it_ends_with_5_and_goes_on() {
    let simulator = simulator();
    let mut world = world(&simulator);
    let to = Bucket::new(minio(), "stopped", true);
    let place = Proxy::start(minio().address, &to.settings.bucket);
    may_copy_to(&mut world.vault, minio(), Some(&place.url));
    let (arrival, held) = holds();
    place.once(
        Method::PUT,
        "0000000001.json",
        0,
        Act::HoldBefore(arrival()),
    );
    let copying = world
        .vault
        .spawn(&["copy", "--json", "--to", &to.location()]);
    let request = held.next();
    copying.signal("TERM");
    let stopped = copying.wait().expect(5);
    request.discard();
    let last = stopped.events().pop().unwrap();
    assert_eq!(
        (&last["event"], &last["exit"]),
        (&json!("error"), &json!(5)),
        "{stopped}"
    );
    copy(&world.vault, &to.location(), &[]).expect(0);
    assert_eq!(without_mark(to.contents()), world.from.contents());
}

/// Two copiers at once: each finds what the other has stored, and both succeed.
#[test]
fn two_concurrent_copiers_make_one_copy() {
    let simulator = simulator();
    let mut world = world(&simulator);
    let to = Bucket::new(minio(), "twice", true);
    let place = Proxy::start(minio().address, &to.settings.bucket);
    may_copy_to(&mut world.vault, minio(), Some(&place.url));
    let (arrival, held) = holds();
    // The first copier has listed the place and found nothing.
    place.once(Method::PUT, MARK, 0, Act::HoldBefore(arrival()));
    let first = world
        .vault
        .spawn(&["copy", "--json", "--to", &to.location()]);
    let request = held.next();
    copy(&world.vault, &to.location(), &[]).expect(0);
    request.release();
    let done = copied(&first.wait().expect(0));
    assert_eq!((&done["files"], &done["manifests"]), (&json!(0), &json!(0)));
    assert_eq!(without_mark(to.contents()), world.from.contents());
    assert_eq!(to.versions().len(), to.contents().len());
}
