//! The webhook that gets each head.

use serde_json::json;

use super::support::receiver::Receiver;
use super::support::vault::DAY;
use super::*;

#[test]
fn a_webhook_gets_each_head_and_again_what_it_did_not_take() {
    let simulator = simulator();
    let receiver = Receiver::start();
    let mut vault = user(&simulator);
    let url = format!("{}/hooks/hush-hush", receiver.url);
    vault.set("ANCHOR_WEBHOOK_URL", &url);
    vault.run_day(EVE, &[]).expect(0);
    let told = receiver.take_one();
    assert_eq!((told.method.as_str(), told.path.as_str()), ("POST", "/hooks/hush-hush"));
    assert_eq!(told.header("content-type"), Some("application/json"));
    let body = told.json();
    let head = body["head"].as_str().unwrap();
    let (manifest, id) = (vault.newest(SUB), archive_id(&vault));
    assert_eq!(head, format!("{SUB}:1:{}", body["sha256"].as_str().unwrap()));
    assert_eq!((&body["archive_id"], &body["key"]), (&json!(id), &manifest["key"]));
    assert_eq!((&body["sequence"], &body["committed_at"]), (&json!(1), &manifest["run"]["finished_at"]));
    assert!(body["text"].as_str().unwrap().contains(head), "{body}");
    vault.run(&["verify", "--expect-head", head]).expect(0);

    // It has it; a confirmed day is no news.
    vault.run_day(EVE, &[]).expect(0);
    assert_eq!(receiver.take().len(), 0);

    receiver.answer_always(500);
    let deaf = vault.run_day(DAY, &[]).expect(5);
    assert_eq!(vault.manifests(SUB).len(), 2, "the day is committed");
    assert_eq!(deaf.summary()["unanchored"][0]["exit"], "later", "{deaf}");
    assert!(deaf.stdout.contains("CXVAULT_ANCHOR_WEBHOOK_URL"), "{deaf}");
    assert!(!format!("{deaf}").contains("hush-hush"), "{deaf}");
    assert!(!receiver.take().is_empty());
    receiver.answer_always(200);
    vault.run_day(DAY, &[]).expect(0);
    assert_eq!(receiver.take_one().json()["sequence"], 2);

    // A host that remembers nothing tells the head again.
    std::fs::remove_dir_all(vault.state()).unwrap();
    vault.run_day(DAY, &[]).expect(0);
    assert_eq!(receiver.take_one().json()["sequence"], 2);
}
