//! Tokens: how they are requested, renewed once for all workers, and what happens when there is none.

use futures_util::future::join_all;

use crate::clock::Clock;
use crate::ringcx::testing::{EXCHANGE, OAUTH, REFRESH};
use crate::ringcx::tests::*;

const EXPIRED: &str = "Jwt is expired";

impl World {
    fn later(&self, seconds: i64) {
        self.clock.set(self.clock.now_ms() + seconds * 1_000);
    }

    /// Counts the requests of each step: JWT grant, exchange, refresh.
    fn steps(&self) -> [usize; 3] {
        [OAUTH, EXCHANGE, REFRESH].map(|path| self.server.count(path))
    }
}

/// Answers summaries, except those that `refused` selects: they are answered 401.
fn refusing(refused: fn(&Seen) -> bool) -> impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static {
    for_summaries(move |seen| {
        if refused(seen) {
            Reply::new(401, "", EXPIRED)
        } else {
            Reply::ok("")
        }
    })
}

#[tokio::test]
async fn each_step_is_requested_as_documented() {
    let world = world(for_summaries(|_| Reply::ok(""))).await;
    world.summary("p-v-1").await.unwrap();
    world.later(250);
    world.summary("p-v-1").await.unwrap();
    let only = |path| world.server.seen(path).pop().unwrap();
    let (grant, exchange, refresh) = (only(OAUTH), only(EXCHANGE), only(REFRESH));
    assert!(
        grant
            .head
            .starts_with("POST /restapi/oauth/token HTTP/1.1\r\n"),
        "{}",
        grant.head
    );
    // `printf client-1:secret-of-client | base64`
    assert_eq!(
        grant.header("authorization"),
        Some("Basic Y2xpZW50LTE6c2VjcmV0LW9mLWNsaWVudA==")
    );
    assert_eq!(
        grant.body,
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=jwt-of-user"
    );
    let line = "POST /api/auth/login/rc/accesstoken?includeRefresh=true HTTP/1.1\r\n";
    assert!(exchange.head.starts_with(line), "{}", exchange.head);
    assert_eq!(exchange.body, "rcAccessToken=rc-0&rcTokenType=Bearer");
    assert_eq!(refresh.body, "refresh_token=again-cx-0");
    for seen in [&grant, &exchange, &refresh] {
        assert_eq!(
            seen.header("content-type"),
            Some("application/x-www-form-urlencoded")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_workers_renew_an_expired_token_once() {
    let world = world(refusing(|seen| {
        seen.token() == "cx-0" && !seen.path().contains("/first/")
    }))
    .await;
    world.summary("first").await.unwrap();
    let request = |n| {
        let api = world.api.clone();
        tokio::spawn(async move {
            api.summary("21630001", &format!("p-v-{n}"), SummaryKind::Agent)
                .await
        })
    };
    for answer in join_all((0..50).map(request)).await {
        assert_eq!(answer.unwrap().unwrap().http_status, 200);
    }
    assert_eq!(world.steps(), [1, 1, 1]);
    assert!(world.server.count("/summary/") <= 101);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires_and_no_refresh_token_is_used_twice() {
    let world = world(refusing(|_| false)).await;
    let mut tokens = Vec::new();
    for seconds in [0, 239, 2, 239, 2, 239, 2] {
        world.later(seconds);
        world.summary("p-v-1").await.unwrap();
        tokens.push(
            world
                .server
                .seen("/summary/")
                .pop()
                .unwrap()
                .token()
                .to_owned(),
        );
    }
    assert_eq!(
        tokens,
        ["cx-0", "cx-0", "cy-0", "cy-0", "cy-1", "cy-1", "cy-2"]
    );
    let spent: Vec<_> = world
        .server
        .seen(REFRESH)
        .into_iter()
        .map(|seen| seen.body)
        .collect();
    assert_eq!(
        spent,
        ["again-cx-0", "again-cy-0", "again-cy-1"].map(|token| format!("refresh_token={token}"))
    );
    assert_eq!(world.steps(), [1, 1, 3]);
    assert_eq!(world.server.count("/summary/"), 7, "none was refused");
}

#[tokio::test]
async fn the_life_in_the_settings_is_observed() {
    let short =
        |settings: &mut ClientSettings| settings.token_life = std::time::Duration::from_secs(10);
    let world = world_with(short, jwt(), refusing(|_| false)).await;
    for seconds in [0, 7, 2] {
        world.later(seconds);
        world.summary("p-v-1").await.unwrap();
    }
    assert_eq!(world.steps(), [1, 1, 1]);
}

#[tokio::test]
async fn an_exchange_follows_where_refreshing_fails() {
    let failures: [fn() -> Reply; 5] = [
        || Reply::new(400, "", r#"{"errorCode":"spent"}"#),
        || Reply::new(401, "", EXPIRED),
        || Reply::new(500, "", ""),
        || Reply::ok("{}"),
        || Reply::Reset,
    ];
    for failure in failures {
        let handler = move |seen: &Seen| match seen.path() {
            REFRESH => Some(failure()),
            _ => is_summary(seen).then(|| Reply::ok("")),
        };
        let world = world(handler).await;
        world.summary("p-v-1").await.unwrap();
        world.later(250);
        world.summary("p-v-1").await.unwrap();
        assert_eq!(
            world.server.seen("/summary/").pop().unwrap().token(),
            "cx-1"
        );
        // One attempt: a refresh token whose answer was lost may be spent.
        assert_eq!(world.steps(), [1, 2, 1]);
    }
}

#[tokio::test]
async fn a_refreshed_token_that_is_refused_is_exchanged() {
    let world = world(refusing(|seen| seen.token() != "cx-1")).await;
    assert_eq!(world.summary("p-v-1").await.unwrap().attempts, 3);
    let tried: Vec<_> = world
        .server
        .seen("/summary/")
        .iter()
        .map(|seen| seen.token().to_owned())
        .collect();
    assert_eq!(tried, ["cx-0", "cy-0", "cx-1"]);
}

#[tokio::test]
async fn an_exchange_that_is_refused_takes_a_new_ringcentral_token() {
    let handler = |seen: &Seen| match (seen.path(), seen.nth) {
        (REFRESH, _) => Some(Reply::new(400, "", "")),
        (EXCHANGE, 1) => Some(Reply::new(401, "", EXPIRED)),
        _ => is_summary(seen).then(|| Reply::ok("")),
    };
    let world = world(handler).await;
    world.summary("p-v-1").await.unwrap();
    world.later(301);
    world.summary("p-v-1").await.unwrap();
    assert_eq!(world.steps(), [2, 3, 1]);
    assert_eq!(
        world.server.seen(EXCHANGE).pop().unwrap().body,
        "rcAccessToken=rc-1&rcTokenType=Bearer"
    );
}

#[tokio::test]
async fn a_ringcentral_token_is_not_used_past_its_hour() {
    let handler = |seen: &Seen| match seen.path() {
        REFRESH => Some(Reply::new(400, "", "")),
        _ => is_summary(seen).then(|| Reply::ok("")),
    };
    let world = world(handler).await;
    for (seconds, grants) in [(0, 1), (3_500, 1), (50, 2)] {
        world.later(seconds);
        // Exchanged again in any case: the RingCX token has expired, or is due.
        world.summary("p-v-1").await.unwrap();
        if seconds == 50 {
            world.later(301);
            world.summary("p-v-1").await.unwrap();
        }
        assert_eq!(world.server.count(OAUTH), grants, "{seconds}");
    }
}

#[tokio::test]
async fn an_early_renewal_that_fails_leaves_the_old_token_in_use() {
    let handler = |seen: &Seen| match (seen.path(), seen.nth) {
        (REFRESH, _) => Some(Reply::new(503, "", "")),
        (EXCHANGE, 1..) => Some(Reply::new(503, "", "")),
        _ => is_summary(seen).then(|| Reply::ok("")),
    };
    let world = world_with(|settings| settings.max_attempts = 1, jwt(), handler).await;
    world.summary("p-v-1").await.unwrap();
    world.later(250);
    for _ in 0..10 {
        world.summary("p-v-1").await.unwrap();
    }
    assert_eq!(
        world.server.seen("/summary/").pop().unwrap().token(),
        "cx-0"
    );
    assert_eq!(
        world.server.count(EXCHANGE),
        2,
        "and not every summary tries again"
    );
    world.later(6);
    world.summary("p-v-1").await.unwrap();
    assert_eq!(
        world.server.count(EXCHANGE),
        3,
        "after a while it is tried again"
    );
    assert_eq!(
        world.server.count(REFRESH),
        1,
        "with the refresh token whose answer got lost spent"
    );
}

#[tokio::test]
async fn exchanges_observe_their_limit() {
    let limit = |settings: &mut ClientSettings| settings.token_limits = "5/60s".parse().unwrap();
    let handler = |seen: &Seen| match seen.path() {
        REFRESH => Some(Reply::new(400, "", "")),
        _ => is_summary(seen).then(|| Reply::new(401, "", EXPIRED)),
    };
    let world = world_with(limit, jwt(), handler).await;
    for _ in 0..4 {
        let error = world.summary("p-v-1").await.unwrap_err();
        assert!(
            matches!(error, ApiError::Denied { .. }),
            "fresh tokens are refused, too: {error:?}"
        );
    }
    let at: Vec<_> = world
        .server
        .seen(EXCHANGE)
        .iter()
        .map(|seen| seen.at_ms)
        .collect();
    assert!(at.len() > 10, "{at:?}");
    assert!(at.windows(6).all(|six| six[5] - six[0] >= 60_000), "{at:?}");
    assert_eq!(world.api.usage().tokens.requests, at.len() as u64);
}

#[tokio::test]
async fn wrong_credentials_are_reported() {
    for status in [400, 401] {
        let body = r#"{"error":"invalid_grant","error_description":"jwt-of-user of Ann is wrong"}"#;
        let handler =
            move |seen: &Seen| (seen.path() == OAUTH).then(|| Reply::new(status, "", body));
        let world = world(handler).await;
        let error = world.summary("p-v-1").await.unwrap_err();
        assert!(matches!(error, ApiError::Denied { .. }), "{error:?}");
        let text = shown(&error);
        for part in [
            "CXVAULT_CLIENT_ID",
            "CXVAULT_CLIENT_SECRET",
            "CXVAULT_JWT",
            "invalid_grant",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        for secret in ["Ann", "jwt-of-user", "secret-of-client"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert_eq!(world.steps(), [1, 0, 0]);
    }
}

#[tokio::test]
async fn a_user_unknown_to_ringcx_is_reported() {
    let body = r#"{"errorCode":"user.unknown","details":"Ann of rc-0"}"#;
    let world =
        world(move |seen| (seen.path() == EXCHANGE).then(|| Reply::new(401, "", body))).await;
    let error = world.summary("p-v-1").await.unwrap_err();
    assert!(matches!(error, ApiError::Denied { .. }), "{error:?}");
    let text = shown(&error);
    assert!(
        text.contains("WEM") && text.contains("CXVAULT_JWT") && text.contains("user.unknown"),
        "{text}"
    );
    assert!(!text.contains("Ann") && !text.contains("rc-0"), "{text}");
    assert_eq!(
        world.steps(),
        [1, 1, 0],
        "a new RingCentral token is not requested twice"
    );
}

#[tokio::test]
async fn an_expired_ready_token_is_reported() {
    let world = world_with(|_| {}, ready_token(), refusing(|_| true)).await;
    for _ in 0..2 {
        let error = world.summary("p-v-1").await.unwrap_err();
        assert!(matches!(error, ApiError::Denied { .. }), "{error:?}");
        assert!(
            shown(&error).contains("CXVAULT_RINGCX_TOKEN")
                && !shown(&error).contains("ready-token")
        );
    }
    assert_eq!(
        world.server.count(""),
        1,
        "nothing renews it, and it is not tried again"
    );
}

#[tokio::test]
async fn a_ready_token_needs_the_account_id() {
    let world = world_with(
        |settings| settings.rc_account_id = None,
        ready_token(),
        |_| None,
    )
    .await;
    let error = world.api.rc_account_id().await.unwrap_err();
    assert!(matches!(error, ApiError::Usage { .. }), "{error:?}");
    assert!(shown(&error).contains("CXVAULT_RC_ACCOUNT_ID"), "{error}");
    assert_eq!(world.server.count(""), 0);
}

#[tokio::test]
async fn a_ready_token_that_no_cookie_can_carry_is_refused() {
    for token in ["", " ", "a;b", "a b", "a\r\nX: y", "\"a\"", "é"] {
        let clock = ManualClock::new();
        let ledger = Arc::new(Ledger::in_memory(clock.clone()).unwrap());
        let (settings, token) = (
            settings("http://127.0.0.1:9"),
            Credentials::Token(token.into()),
        );
        let error =
            RingCx::new(settings, token, clock, ledger, CancellationToken::new()).unwrap_err();
        assert!(shown(&error).contains("CXVAULT_RINGCX_TOKEN"), "{error}");
    }
}

#[tokio::test]
async fn no_token_is_an_outage_and_not_this_summarys_failure() {
    let failures: [fn() -> Reply; 6] = [
        || Reply::new(500, "", "Ann"),
        || Reply::new(503, "", "Ann"),
        || Reply::Reset,
        || Reply::ok("Ann"),
        || Reply::ok(r#"{"access_token":"a b\u0000 Ann","accessToken":"a;b Ann"}"#),
        || Reply::Send(b"HTTP/1.1 200 X\r\nContent-Length: 10000000000\r\n\r\nAnn".to_vec()),
    ];
    for path in [OAUTH, EXCHANGE] {
        for (n, failure) in failures.iter().copied().enumerate() {
            // Any RingCentral token can be put into a form.
            if (path, n) == (OAUTH, 4) {
                continue;
            }
            let handler = move |seen: &Seen| (seen.path() == path).then(failure);
            let world = world_with(|settings| settings.max_attempts = 3, jwt(), handler).await;
            let error = world.summary("p-v-1").await.unwrap_err();
            assert!(
                matches!(error, ApiError::Unavailable { .. }),
                "{path} {n}: {error:?}"
            );
            assert!(!shown(&error).contains("Ann"), "{error:?}");
            assert_eq!(world.server.count("/summary/"), 0);
        }
    }
}

#[tokio::test]
async fn fifty_workers_share_the_error_of_one_renewal() {
    let handler = |seen: &Seen| (seen.path() == OAUTH).then(|| Reply::new(503, "", ""));
    let world = world_with(|settings| settings.max_attempts = 3, jwt(), handler).await;
    for answer in join_all((0..50).map(|_| world.summary("p-v-1"))).await {
        assert!(
            matches!(answer, Err(ApiError::Unavailable { .. })),
            "{answer:?}"
        );
    }
    assert_eq!(world.steps(), [3, 0, 0]);
}

#[tokio::test]
async fn a_login_service_that_recovers_is_used() {
    let handler = |seen: &Seen| match (seen.path(), seen.nth) {
        (OAUTH, 0) => Some(Reply::new(503, "", "")),
        (EXCHANGE, 0) => Some(Reply::new(429, "Retry-After: 20\r\n", "")),
        _ => is_summary(seen).then(|| Reply::ok("")),
    };
    let world = world(handler).await;
    assert_eq!(world.summary("p-v-1").await.unwrap().attempts, 1);
    assert_eq!(world.steps(), [2, 2, 0]);
    assert!(world.clock.elapsed_ms() >= 20_000);
}
