//! The webhook that receives the head of each chain.

use serde_json::json;

use super::*;
use crate::support::receiver::Receiver;
use crate::support::vault::DAY;

#[test]
fn a_webhook_gets_each_head_and_again_what_it_did_not_take() {
    let simulator = simulator();
    let receiver = Receiver::start();
    let mut vault = user(&simulator);
    let url = format!("{}/hooks/hush-hush", receiver.url);
    vault.set("ANCHOR_WEBHOOK_URL", &url);
    let run = vault.run_day(EVE, &[]).expect(0);
    let all = receiver.take();
    let [sent, of_the_run] = all.as_slice() else {
        panic!("{all:?}")
    };
    assert_eq!(
        (sent.method.as_str(), sent.path.as_str()),
        ("POST", "/hooks/hush-hush")
    );
    assert_eq!(sent.header("content-type"), Some("application/json"));
    let body = sent.json();
    let head = body["head"].as_str().unwrap();
    let (manifest, id) = (vault.newest(SUB), archive_id(&vault));
    assert_eq!(
        head,
        format!("{SUB}:1:{}", body["sha256"].as_str().unwrap())
    );
    assert_eq!(
        (&body["archive_id"], &body["key"]),
        (&json!(id), &manifest["key"])
    );
    assert_eq!(
        (&body["sequence"], &body["committed_at"]),
        (&json!(1), &manifest["run"]["finished_at"])
    );
    assert!(body["text"].as_str().unwrap().contains(head), "{body}");
    let roster = of_the_run.json();
    assert_eq!(
        (&roster["chain"], &roster["head"]),
        (&json!("roster"), &run.summary()["roster"])
    );
    assert!(
        roster["text"]
            .as_str()
            .unwrap()
            .contains(roster["head"].as_str().unwrap()),
        "{roster}"
    );
    let heads = [
        "--expect-head",
        head,
        "--expect-head",
        roster["head"].as_str().unwrap(),
    ];
    vault.run(&[&["verify"], &heads[..]].concat()).expect(0);

    // The webhook has this head already. A confirmed day is not reported again; the record of the
    // run is.
    vault.run_day(EVE, &[]).expect(0);
    assert_eq!(told_of(&receiver), ["roster 2"]);

    receiver.answer_always(500);
    let deaf = vault.run_day(DAY, &[]).expect(5);
    assert_eq!(vault.manifests(SUB).len(), 2, "the day is committed");
    let unanchored = deaf.summary()["unanchored"].take();
    let heads: Vec<_> = unanchored
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["exit"], &one["head"]))
        .collect();
    let [(of_day, day), (of_run, run)] = heads.as_slice() else {
        panic!("{deaf}")
    };
    assert_eq!(
        (*of_day, *of_run, *run),
        (&json!("later"), &json!("later"), &deaf.summary()["roster"])
    );
    assert!(
        day.as_str().unwrap().starts_with(&format!("{SUB}:2:")),
        "{deaf}"
    );
    assert!(deaf.stdout.contains("CXVAULT_ANCHOR_WEBHOOK_URL"), "{deaf}");
    assert!(!format!("{deaf}").contains("hush-hush"), "{deaf}");
    assert!(!receiver.take().is_empty());
    receiver.answer_always(200);
    vault.run_day(DAY, &[]).expect(0);
    assert_eq!(
        told_of(&receiver),
        ["roster 3", "roster 4", &format!("sub_account={SUB} 2")]
    );

    // A host without a state folder sends the heads again.
    std::fs::remove_dir_all(vault.state()).unwrap();
    vault.run_day(DAY, &[]).expect(0);
    assert_eq!(
        told_of(&receiver),
        ["roster 4", "roster 5", &format!("sub_account={SUB} 2")]
    );
}

/// Returns the chain and the sequence number of each head that arrived since the last call, in
/// order.
fn told_of(receiver: &Receiver) -> Vec<String> {
    let head = |body: Value| format!("{} {}", body["chain"].as_str().unwrap(), body["sequence"]);
    let mut all: Vec<String> = receiver
        .take()
        .iter()
        .map(|sent| head(sent.json()))
        .collect();
    all.sort();
    all
}
