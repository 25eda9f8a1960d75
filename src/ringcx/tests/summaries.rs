//! The form of a summary request, and the result of each kind of answer.

use crate::ringcx::tests::*;

fn gave_up(class: &'static str, http_status: impl Into<Option<u16>>, attempts: u32) -> ApiError {
    ApiError::GaveUp {
        class,
        http_status: http_status.into(),
        attempts,
    }
}

#[tokio::test]
async fn the_token_is_sent_in_a_lowercase_cookie_only() {
    let world = world(for_summaries(|_| Reply::ok("Kunde zufrieden."))).await;
    world.summary("p-v-93bd").await.unwrap();
    world
        .api
        .summary("21630001", "p-v-93bd", SummaryKind::Auto)
        .await
        .unwrap();
    let paths: Vec<_> = world
        .server
        .seen("/summary/")
        .iter()
        .map(|seen| seen.path().to_owned())
        .collect();
    let segment = "/voice/api/v1/summary/accounts/21630001/segments/p-v-93bd";
    assert_eq!(
        paths,
        [format!("{segment}/agent"), format!("{segment}/auto")]
    );
    for seen in world.server.seen("/summary/") {
        assert!(seen.head.starts_with("GET "), "{}", seen.head);
        assert!(
            seen.head.contains("\r\ncookie: access_token=cx-0\r\n"),
            "{}",
            seen.head
        );
        assert!(
            seen.head.contains("\r\naccept: application/json\r\n"),
            "{}",
            seen.head
        );
        assert!(
            !seen.head.to_ascii_lowercase().contains("authorization"),
            "{}",
            seen.head
        );
        assert_eq!(seen.head.matches("cx-0").count(), 1, "{}", seen.head);
    }
}

#[tokio::test]
async fn unusual_ids_are_one_segment_of_the_path() {
    let world = world(for_summaries(|_| Reply::ok(""))).await;
    let odd = [
        ("a/b", "a%2Fb"),
        ("a?b#c", "a%3Fb%23c"),
        ("50%", "50%25"),
        ("%2e%2e", "%252e%252e"),
        ("né 日", "n%C3%A9%20%E6%97%A5"),
        ("a\r\nX: y", "a%0D%0AX%3A%20y"),
        ("...", "..."),
    ];
    for (id, encoded) in odd {
        world.summary(id).await.unwrap();
        let path = format!("/voice/api/v1/summary/accounts/21630001/segments/{encoded}/agent");
        assert_eq!(world.server.seen("/summary/").last().unwrap().path(), path);
    }
}

#[tokio::test]
async fn an_id_that_no_address_can_carry_is_not_requested() {
    let world = world(|_| None).await;
    for id in [".", "..", ""] {
        assert_eq!(
            world.summary(id).await,
            Err(gave_up("unaskable_id", None, 0)),
            "{id:?}"
        );
    }
    let error = world
        .api
        .summary("..", "p-v-1", SummaryKind::Agent)
        .await
        .unwrap_err();
    assert!(shown(&error).contains("CXVAULT_SUB_ACCOUNTS"), "{error}");
    assert_eq!(world.server.count(""), 0);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let thief = Server::start(ManualClock::new(), |_| Some(Reply::ok("{}"))).await;
    for status in [301, 302, 307, 308] {
        let location = format!("Location: {}/x\r\n", thief.url());
        let world = world(for_summaries(move |_| Reply::new(status, &location, ""))).await;
        assert_eq!(
            world.summary("p-v-1").await,
            Err(gave_up("redirect", status, 6))
        );
    }
    assert_eq!(thief.count(""), 0);
}

#[tokio::test]
async fn bodies_are_returned_byte_for_byte() {
    let bodies: [&[u8]; 5] = [
        b"",
        b"plain",
        b"\"quoted \\u00e9\"",
        b"\xff\xfe\0 a\0b\r\n ",
        b"\xef\xbb\xbfbom",
    ];
    for body in bodies {
        for chunked in [false, true] {
            let reply = move |_: &Seen| match chunked {
                false => Reply::new(200, "Content-Type: text/plain;charset=latin1\r\n", body),
                // A chunk of no bytes is the end of the body.
                true if body.is_empty() => Reply::ok(""),
                true => Reply::chunked(body, true),
            };
            let world = world(for_summaries(reply)).await;
            let answer = world.summary("p-v-1").await.unwrap();
            assert_eq!(
                (answer.http_status, &answer.body[..], answer.attempts),
                (200, body, 1)
            );
            let content_type = (!chunked).then_some("text/plain;charset=latin1");
            assert_eq!(answer.content_type.as_deref(), content_type);
        }
    }
}

#[tokio::test]
async fn a_compressed_body_is_decompressed() {
    // `printf 'Ann called.' | gzip -n`
    const PACKED: &[u8] = &[
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x73, 0xcc, 0xcb, 0x53, 0x48, 0x4e, 0xcc, 0xc9, 0x49,
        0x4d, 0xd1, 3, 0, 0xb7, 0x89, 0x27, 0x19, 11, 0, 0, 0,
    ];
    let packed = |bytes: &'static [u8]| {
        world(for_summaries(move |_| {
            Reply::new(200, "Content-Encoding: gzip\r\n", bytes)
        }))
    };
    assert_eq!(
        &packed(PACKED).await.summary("p-v-1").await.unwrap().body[..],
        b"Ann called."
    );
    let mut broken = PACKED.to_vec();
    broken[24] ^= 0x55;
    let error = packed(broken.leak())
        .await
        .summary("p-v-1")
        .await
        .unwrap_err();
    assert_eq!(error, gave_up("bad_encoding", 200, 6));
}

#[tokio::test]
async fn absence_is_an_answer_without_its_body() {
    let world = world(for_summaries(|_| {
        Reply::new(404, "", r#"{"details":"Ann, +15551234567"}"#)
    }))
    .await;
    let answer = world.summary("p-v-1").await.unwrap();
    assert_eq!(
        (answer.http_status, answer.body.len(), answer.attempts),
        (404, 0, 1)
    );
}

#[tokio::test]
async fn transient_failures_are_retried_and_counted() {
    let world = world(for_summaries(|seen| match seen.nth {
        0 => Reply::new(500, "", "Ann"),
        1 => Reply::Reset,
        2 => Reply::Close(b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nshort".to_vec()),
        3 => Reply::Close(b"nonsense".to_vec()),
        4 => Reply::new(503, "Retry-After: 7\r\n", ""),
        _ => Reply::ok("whole"),
    }))
    .await;
    let answer = world.summary("p-v-1").await.unwrap();
    assert_eq!((&answer.body[..], answer.attempts), (&b"whole"[..], 6));
    let usage = world.api.usage().summaries;
    assert_eq!((usage.requests, usage.retries, usage.too_many), (6, 5, 0));
    let at = |n: usize| world.server.seen("/summary/")[n].at_ms;
    assert!(
        at(5) - at(4) >= 7_000,
        "a server that is busy names its own patience"
    );
}

#[tokio::test]
async fn a_lasting_failure_is_given_up_with_its_class() {
    type Make = fn(&Seen) -> Reply;
    let cases: [(Make, &'static str, Option<u16>); 7] = [
        (|_| Reply::new(500, "", "Ann"), "http_500", Some(500)),
        (|_| Reply::new(502, "", "<html>"), "http_502", Some(502)),
        (|_| Reply::new(204, "", ""), "http_2xx", Some(204)),
        (|_| Reply::Reset, "connection", None),
        (|_| Reply::Close(Vec::new()), "connection", None),
        (
            |_| Reply::Close(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nAnn".to_vec()),
            "short_body",
            Some(200),
        ),
        (|_| Reply::chunked(b"Ann", false), "short_body", Some(200)),
    ];
    for (reply, class, http_status) in cases {
        let world = world_with(
            |settings| settings.max_attempts = 3,
            jwt(),
            for_summaries(reply),
        )
        .await;
        let error = world.summary("p-v-1").await.unwrap_err();
        assert_eq!(error, gave_up(class, http_status, 3));
        assert!(!shown(&error).contains("Ann"), "{error:?}");
        assert_eq!(world.server.count("/summary/"), 3, "{class}");
    }
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let quick = |settings: &mut ClientSettings| {
        settings.request_timeout = std::time::Duration::from_millis(100);
        settings.max_attempts = 2;
    };
    let mute = world_with(quick, ready_token(), for_summaries(|_| Reply::Silence)).await;
    assert_eq!(
        mute.summary("p-v-1").await,
        Err(gave_up("timeout", None, 2))
    );
    let half = |_: &Seen| Reply::Send(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nAnn".to_vec());
    let half = world_with(quick, ready_token(), for_summaries(half)).await;
    assert_eq!(half.summary("p-v-1").await, Err(gave_up("timeout", 200, 2)));
    // Each byte arrives in time.
    for status in [200, 500] {
        let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n\r\n");
        let endless = move |_: &Seen| Reply::Drip(head.clone().into_bytes());
        let endless = world_with(quick, ready_token(), for_summaries(endless)).await;
        let class = if status == 200 { "timeout" } else { "http_500" };
        assert_eq!(
            endless.summary("p-v-1").await,
            Err(gave_up(class, status, 2))
        );
    }
}

#[tokio::test]
async fn too_large_is_known_after_one_request() {
    for chunked in [false, true] {
        let reply = move |_: &Seen| match chunked {
            // Each chunk alone is below the limit.
            true => {
                let chunk = format!("258\r\n{}\r\n", "x".repeat(600));
                let head = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n";
                Reply::Close(format!("{head}{chunk}{chunk}0\r\n\r\n").into_bytes())
            }
            // Ten gigabytes, of which nothing needs to be read.
            false => {
                Reply::Send(b"HTTP/1.1 200 X\r\nContent-Length: 10000000000\r\n\r\nx".to_vec())
            }
        };
        let small = |settings: &mut ClientSettings| settings.max_body_bytes = 1_000;
        let world = world_with(small, jwt(), for_summaries(reply)).await;
        assert_eq!(
            world.summary("p-v-1").await,
            Err(gave_up("too_large", 200, 1))
        );
        assert_eq!(world.server.count("/summary/"), 1);
    }
    let small = |settings: &mut ClientSettings| settings.max_body_bytes = 1_000;
    let world = world_with(small, jwt(), for_summaries(|_| Reply::ok([b'x'; 1_000]))).await;
    assert_eq!(world.summary("p-v-1").await.unwrap().body.len(), 1_000);
}

#[tokio::test]
async fn a_rejected_request_is_a_failure_of_its_summary_only() {
    let world = world(for_summaries(|_| {
        Reply::new(400, "", r#"{"errorCode":"bad.id","details":"Ann"}"#)
    }))
    .await;
    assert_eq!(
        world.summary("p-v-1").await,
        Err(gave_up("http_400", 400, 1))
    );
}

#[tokio::test]
async fn denied_access_names_the_sub_account_and_the_remedy() {
    let body =
        r#"{"errorCode":"access.denied.exception","generalMessage":"Ann of +15551234567 may not"}"#;
    let world = world(for_summaries(move |_| Reply::new(403, "", body))).await;
    let error = world.summary("p-v-1").await.unwrap_err();
    assert!(matches!(error, ApiError::Denied { .. }), "{error:?}");
    let text = shown(&error);
    for part in [
        "21630001",
        "access.denied.exception",
        "WEM",
        "CXVAULT_SUB_ACCOUNTS",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("Ann") && !text.contains("1555"), "{text}");
    assert_eq!(world.server.count("/summary/"), 1, "no retry helps");
}

#[tokio::test]
async fn debug_output_shows_no_summary_and_no_secret() {
    let world = world(for_summaries(|_| Reply::ok("Ann called from +15551234567"))).await;
    let answer = world.summary("p-v-1").await.unwrap();
    let settings = settings(&world.server.url());
    let text = format!(
        "{answer:?} {:?} {:?} {:?} {settings:?}",
        world.api,
        jwt(),
        ready_token()
    );
    for secret in [
        "Ann",
        "1555",
        "secret-of-client",
        "jwt-of-user",
        "ready-token",
        "cx-0",
        "rc-0",
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let bytes = answer
        .body
        .iter()
        .map(u8::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    assert!(!text.contains(&bytes), "nor as numbers");
}
