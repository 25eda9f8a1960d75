//! Windows and their streamed answers, and the account queries: sub-accounts, account id, the API's clock.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::mpsc;

use crate::clock::Clock as _;
use crate::format::hash::Digest;
use crate::ringcx::accounts::ListedSubAccount;
use crate::ringcx::testing::OAUTH;
use crate::ringcx::tests::*;
use crate::ringcx::{Discovered, WindowAnswer};

/// 2026-11-19T21:00:00Z, for three hours.
const START_MS: i64 = ManualClock::START_MS - 15 * 3_600_000;
const END_MS: i64 = START_MS + 10_800_000;
const METADATA: &str = "/interaction-metadata";

impl World {
    /// Requests the window; returns the answer and what the receiver got, in order.
    async fn window(&self) -> (Result<WindowAnswer, ApiError>, Vec<Discovered>) {
        let (out, mut from) = mpsc::channel(1);
        let receive = async {
            let mut given = Vec::new();
            while let Some(next) = from.recv().await {
                given.push(next);
            }
            given
        };
        let request = async {
            let out = out;
            self.api.discover("21630001", START_MS, END_MS, &out).await
        };
        tokio::join!(request, receive)
    }
}

fn for_windows(
    reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static {
    move |seen| seen.path().ends_with(METADATA).then(|| reply(seen))
}

fn object(n: usize) -> String {
    format!(r#"{{ "segmentId" : "p-v-{n}","agentNotes":"né, [{{\"" }}"#)
}

fn array(count: usize) -> String {
    format!(
        "[\n{}\n]\n",
        (0..count).map(object).collect::<Vec<_>>().join(" ,")
    )
}

/// The objects since the last restart.
fn valid_objects(given: &[Discovered]) -> Vec<String> {
    let mut valid = Vec::new();
    for next in given {
        match next {
            Discovered::Restart => valid.clear(),
            Discovered::Objects(objects) => valid.extend(objects.iter().cloned()),
        }
    }
    valid
}

fn restarts(given: &[Discovered]) -> usize {
    given
        .iter()
        .filter(|next| **next == Discovered::Restart)
        .count()
}

fn assert_complete(answer: &WindowAnswer, given: &[Discovered], count: usize) {
    let body = array(count);
    assert_eq!(answer.sha256, Digest::of(body.as_bytes()));
    assert_eq!(
        (answer.bytes, answer.rows),
        (body.len() as u64, count as u64)
    );
    assert!(
        valid_objects(given) == (0..count).map(object).collect::<Vec<_>>(),
        "byte for byte, in order"
    );
}

#[tokio::test]
async fn a_window_is_requested_in_utc_with_a_bearer_token() {
    let world = world(for_windows(|_| Reply::ok("[]"))).await;
    let (answer, given) = world.window().await;
    assert_eq!((answer.unwrap().rows, given.len()), (0, 0));
    let seen = world.server.seen(METADATA).pop().unwrap();
    let line = "POST /voice/api/cx/integration/v1/accounts/37439510/sub-accounts/21630001/interaction-metadata HTTP/1.1\r\n";
    assert!(seen.head.starts_with(line), "{}", seen.head);
    assert_eq!(seen.header("authorization"), Some("Bearer cx-0"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("accept"), Some("application/json"));
    assert!(
        !seen.head.to_ascii_lowercase().contains("cookie"),
        "{}",
        seen.head
    );
    assert_eq!(
        seen.body,
        r#"{"segmentEndTime":"2026-11-19 21:00:00","timeInterval":10800,"timeZone":"UTC"}"#
    );
}

#[tokio::test]
async fn an_answer_arrives_in_batches() {
    for chunked in [false, true] {
        let reply = move |_: &Seen| match chunked {
            true => Reply::chunked(array(6_000).as_bytes(), true),
            false => Reply::new(200, "Date: Fri, 20 Nov 2026 12:05:00 GMT\r\n", array(6_000)),
        };
        let world = world(for_windows(reply)).await;
        let (answer, given) = world.window().await;
        let answer = answer.unwrap();
        assert_complete(&answer, &given, 6_000);
        assert!(given.len() > 1, "held back until its end");
        assert_eq!(answer.attempts, 1);
        assert_eq!(
            answer.server_date,
            (!chunked).then_some(ManualClock::START_MS + 300_000)
        );
        assert_eq!(answer.answered_at, ManualClock::START_MS);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_discarded_and_requested_again() {
    let half = array(5_000)[..array(5_000).len() / 2].to_owned();
    let breaks: [fn(&str) -> Reply; 3] = [
        |half| Reply::chunked(half.as_bytes(), false),
        |half| {
            Reply::Close(
                format!("HTTP/1.1 200 X\r\nContent-Length: 9999999\r\n\r\n{half}").into_bytes(),
            )
        },
        // Complete for HTTP, but cut short by a proxy.
        |half| Reply::ok(half),
    ];
    for (n, breaking) in breaks.into_iter().enumerate() {
        let half = half.clone();
        let reply = move |seen: &Seen| match seen.nth {
            0 => breaking(&half),
            1 => Reply::new(500, "", ""),
            2 => Reply::new(401, "", "Jwt is expired"),
            3 => breaking(&half),
            _ => Reply::ok(array(700)),
        };
        let world = world(for_windows(reply)).await;
        let (answer, given) = world.window().await;
        let answer = answer.unwrap();
        assert_complete(&answer, &given, 700);
        assert_eq!((restarts(&given), answer.attempts), (2, 5), "{n}");
    }
}

#[tokio::test]
async fn nothing_is_discarded_where_nothing_was_sent() {
    let reply = |seen: &Seen| {
        if seen.nth == 0 {
            Reply::new(500, "", "[]")
        } else {
            Reply::ok(array(3))
        }
    };
    let world = world(for_windows(reply)).await;
    let (answer, given) = world.window().await;
    assert_complete(&answer.unwrap(), &given, 3);
    assert_eq!(restarts(&given), 0);
}

#[tokio::test]
async fn an_answer_that_is_not_an_array_of_objects_is_requested_again() {
    let wrong: [&[u8]; 9] = [
        b"",
        b"{\"errorCode\":\"Ann\"}",
        b"null",
        b"<html>Ann</html>",
        b"[{\"a\":1}",
        b"[{\"a\":1},]",
        b"[{\"a\":1}] x",
        b"[1,2]",
        b"[{\"a\":\"\xff\"}]",
    ];
    for body in wrong {
        let reply = move |seen: &Seen| {
            if seen.nth < 2 {
                Reply::ok(body)
            } else {
                Reply::ok(array(2))
            }
        };
        let mended = world(for_windows(reply)).await;
        let (answer, given) = mended.window().await;
        assert_eq!(answer.as_ref().unwrap().attempts, 3);
        assert_complete(&answer.unwrap(), &given, 2);

        let lasting = world(for_windows(move |_| Reply::ok(body))).await;
        let error = lasting.window().await.0.unwrap_err();
        let gave_up = ApiError::GaveUp {
            class: "bad_answer",
            http_status: Some(200),
            attempts: 6,
        };
        assert_eq!(error, gave_up);
        assert!(!shown(&error).contains("Ann"));
    }
}

#[tokio::test]
async fn an_object_that_is_too_large_ends_the_window() {
    let small = |settings: &mut ClientSettings| settings.max_object_bytes = 1_000;
    let body = || format!(r#"[{{"agentNotes":"{}"}}]"#, "x".repeat(1_000));
    let world = world_with(small, jwt(), for_windows(move |_| Reply::ok(body()))).await;
    let gave_up = ApiError::GaveUp {
        class: "too_large",
        http_status: Some(200),
        attempts: 1,
    };
    assert_eq!(world.window().await.0, Err(gave_up));
}

#[tokio::test]
async fn a_receiver_that_is_gone_ends_the_window() {
    let world = world(for_windows(|_| Reply::ok(array(700)))).await;
    let (out, from) = mpsc::channel(1);
    drop(from);
    assert_eq!(
        world.api.discover("21630001", START_MS, END_MS, &out).await,
        Err(ApiError::Stopped)
    );
}

#[tokio::test]
async fn an_error_of_a_window_quotes_no_person() {
    let body = r#"{"errorCode":"no.such.account","generalMessage":"Ann","details":"+15551234567"}"#;
    let cases = [
        (400, "CXVAULT", false),
        (404, "CXVAULT_RC_ACCOUNT_ID", true),
        (403, "WEM", true),
    ];
    for (status, remedy, named) in cases {
        let world = world(for_windows(move |_| Reply::new(status, "", body))).await;
        let error = world.window().await.0.unwrap_err();
        let text = shown(&error);
        assert!(
            text.contains("21630001") && text.contains("no.such.account"),
            "{text}"
        );
        assert_eq!(text.contains(remedy), named, "{text}");
        assert!(!text.contains("Ann") && !text.contains("1555"), "{text}");
        assert_eq!(world.server.count(METADATA), 1);
    }
}

#[tokio::test]
async fn debug_output_shows_no_metadata() {
    let text = format!(
        "{:?}",
        [
            Discovered::Objects(vec![object(1), object(2)]),
            Discovered::Restart
        ]
    );
    assert!(
        !text.contains("p-v") && text.contains('2') && text.contains("Restart"),
        "{text}"
    );
}

#[tokio::test]
async fn windows_observe_both_limits_for_each_sub_account() {
    let both =
        |settings: &mut ClientSettings| settings.discovery_limits = "3/60s,9/15m".parse().unwrap();
    let world = world_with(both, jwt(), for_windows(|_| Reply::ok("[]"))).await;
    let (out, _from) = mpsc::channel(1);
    for _ in 0..3 {
        for sub_account in ["21630001", "21630002"] {
            world
                .api
                .discover(sub_account, START_MS, END_MS, &out)
                .await
                .unwrap();
        }
    }
    assert_eq!(world.clock.elapsed_ms(), 0, "three each at once");
    for _ in 3..10 {
        world
            .api
            .discover("21630001", START_MS, END_MS, &out)
            .await
            .unwrap();
    }
    let at: Vec<_> = world
        .server
        .seen("/21630001/")
        .iter()
        .map(|seen| seen.at_ms)
        .collect();
    assert!(
        at.windows(4).all(|four| four[3] - four[0] >= 60_000),
        "{at:?}"
    );
    assert!(
        at[9] - at[0] >= 900_000 && at[8] - at[0] < 130_000,
        "{at:?}"
    );
    // A token expires during a wait of fifteen minutes; the window after it has a valid token.
    assert_ne!(
        world
            .server
            .seen(METADATA)
            .pop()
            .unwrap()
            .header("authorization"),
        Some("Bearer cx-0")
    );
    assert_eq!(world.api.usage().discovery.requests, 13);
}

#[tokio::test]
async fn the_api_clock_is_measured_by_its_answers() {
    let handler = |seen: &Seen| {
        let date = "Date: Fri, 20 Nov 2026 12:05:00 GMT\r\n";
        seen.path()
            .ends_with("/admin/accounts")
            .then(|| Reply::new(200, date, "[]"))
    };
    let world = world(handler).await;
    assert_eq!(world.api.clock_skew_ms(), None);
    assert_eq!(
        world.api.server_now().await,
        Ok(ManualClock::START_MS + 300_000)
    );
    assert_eq!(world.api.clock_skew_ms(), Some(300_000));
    world.clock.set(ManualClock::START_MS + 7);
    assert_eq!(
        world.api.server_now().await,
        Ok(ManualClock::START_MS + 300_007)
    );
    assert_eq!(
        world.server.count("/admin/accounts"),
        1,
        "one answer is enough"
    );
}

#[tokio::test]
async fn each_answer_has_its_own_date() {
    let asked = AtomicUsize::new(0);
    let handler = move |seen: &Seen| {
        let date = match asked.fetch_add(usize::from(seen.path().contains("/segments/")), Relaxed) {
            0 | 1 | 3 => "Date: Fri, 20 Nov 2026 12:05:00 GMT\r\n",
            2 => "Date: Fri, 20 Nov 2026 12:05:01 GMT\r\n",
            4 => "Date: yesterday\r\n",
            _ => "",
        };
        seen.path()
            .contains("/segments/")
            .then(|| Reply::new(200, date, "text"))
    };
    let world = world(handler).await;
    let mut dates = Vec::new();
    for _ in 0..6 {
        world.clock.set(world.clock.now_ms() + 400);
        let answer = world
            .api
            .summary("1", "s", SummaryKind::Agent)
            .await
            .unwrap();
        dates.push(answer.server_date.map(|date| date - ManualClock::START_MS));
    }
    assert_eq!(
        dates,
        [
            Some(300_000),
            Some(300_000),
            Some(301_000),
            Some(300_000),
            None,
            None
        ]
    );
    // By the first answer of a second: later answers would measure it as slower.
    assert_eq!(world.api.clock_skew_ms(), Some(300_000 - 4 * 400));
}

#[tokio::test]
async fn without_dates_the_api_clock_is_unknown() {
    let world = world(|seen| {
        seen.path()
            .ends_with("/admin/accounts")
            .then(|| Reply::ok("[]"))
    })
    .await;
    let error = world.api.server_now().await.unwrap_err();
    assert!(matches!(error, ApiError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("Date"), "{error}");
}

#[tokio::test]
async fn sub_accounts_are_in_order_with_text_ids() {
    let body = r#"[{"accountId":"9","accountName":"B","new":[1]},{"accountId":21630001},{"accountId":"7","accountName":null}]"#;
    let handler = move |seen: &Seen| {
        seen.path().ends_with("/admin/accounts").then(|| {
            if seen.nth == 0 {
                Reply::ok("[{")
            } else {
                Reply::ok(body)
            }
        })
    };
    let world = world(handler).await;
    let sub_account = |id: &str, name: Option<&str>| ListedSubAccount {
        account_id: id.into(),
        account_name: name.map(str::to_owned),
    };
    let expected = vec![
        sub_account("9", Some("B")),
        sub_account("21630001", None),
        sub_account("7", None),
    ];
    assert_eq!(world.api.sub_accounts().await, Ok(expected));
    assert_eq!(
        world
            .server
            .seen("/admin/")
            .pop()
            .unwrap()
            .header("authorization"),
        Some("Bearer cx-0")
    );
}

#[tokio::test]
async fn the_account_id_is_requested_once_with_the_ringcentral_token() {
    let handler = |seen: &Seen| {
        let refused = seen.header("authorization") == Some("Bearer rc-0");
        seen.path().ends_with("/account/~").then(|| match refused {
            true => Reply::new(401, "", r#"{"errorCode":"TokenInvalid"}"#),
            false => Reply::ok(r#"{"id":37439510,"mainNumber":"+15551234567"}"#),
        })
    };
    let world = world_with(|settings| settings.rc_account_id = None, jwt(), handler).await;
    for _ in 0..2 {
        assert_eq!(world.api.rc_account_id().await, Ok("37439510".into()));
    }
    assert_eq!(
        (world.server.count("/account/~"), world.server.count(OAUTH)),
        (2, 2)
    );
}
