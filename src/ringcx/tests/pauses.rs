//! 429, shared pauses, the pace, and when many failures are an outage.

use futures_util::future::join_all;

use crate::clock::Clock;
use crate::ringcx::Usage;
use crate::ringcx::tests::*;

const DATE: &str = "Date: Fri, 20 Nov 2026 12:05:00 GMT\r\n";

/// A 429 for the first request, then answers.
fn too_many_once(headers: &'static str) -> impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static {
    for_summaries(move |seen| {
        if seen.nth == 0 {
            Reply::new(429, headers, "")
        } else {
            Reply::ok("")
        }
    })
}

fn limited(limits: &'static str) -> impl FnOnce(&mut ClientSettings) {
    move |settings| settings.summary_limits = limits.parse().unwrap()
}

#[tokio::test]
async fn retry_after_is_observed_in_both_forms() {
    // The server's clock is five minutes ahead: its dates are in its own time.
    let date =
        "Date: Fri, 20 Nov 2026 12:05:00 GMT\r\nRetry-After: Fri, 20 Nov 2026 12:05:42 GMT\r\n";
    for (headers, seconds) in [
        ("Retry-After: 42\r\n", 42),
        (date, 42),
        ("Retry-After: 600\r\n", 600),
    ] {
        for limits in ["off", "120/60s"] {
            let world = world_with(limited(limits), jwt(), too_many_once(headers)).await;
            let answer = world.summary("p-v-1").await.unwrap();
            assert_eq!(answer.attempts, 2);
            assert_eq!(
                world.clock.elapsed_ms(),
                seconds * 1_000,
                "{headers} {limits}"
            );
            assert_eq!(world.api.usage().summaries.too_many, 1);
        }
    }
}

#[tokio::test]
async fn without_retry_after_pauses_double_up_to_the_window() {
    let reply = |seen: &Seen| {
        if seen.nth < 10 {
            Reply::new(429, "", "")
        } else {
            Reply::ok("")
        }
    };
    let world = world_with(limited("4/8s"), jwt(), for_summaries(reply)).await;
    assert_eq!(world.summary("p-v-1").await.unwrap().attempts, 11);
    let at: Vec<_> = world
        .server
        .seen("/summary/")
        .iter()
        .map(|seen| seen.at_ms)
        .collect();
    let pauses: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (pause, least) in pauses.iter().zip([1_000, 2_000, 4_000, 4_000, 4_000]) {
        assert!(*pause >= least, "{pauses:?}");
    }
    // Half of it is jitter; the cut pace may hold a request longer, yet never beyond ten windows' distance.
    assert!(pauses.iter().all(|&pause| pause <= 21_000), "{pauses:?}");
}

#[tokio::test]
async fn a_429_is_not_a_failure_of_the_summary_but_finally_ends_the_run() {
    for (headers, requests) in [("", 13), ("Retry-After: 3601\r\n", 1)] {
        let once = |settings: &mut ClientSettings| settings.max_attempts = 1;
        let world = world_with(
            once,
            jwt(),
            for_summaries(move |_| Reply::new(429, headers, "Ann")),
        )
        .await;
        let error = world.summary("p-v-1").await.unwrap_err();
        assert!(matches!(error, ApiError::Unavailable { .. }), "{error:?}");
        assert!(
            shown(&error).contains("too many requests") && !shown(&error).contains("Ann"),
            "{error}"
        );
        assert_eq!(world.server.count("/summary/"), requests);
    }
}

#[tokio::test]
async fn all_workers_wait_out_the_same_pause() {
    let clock = ManualClock::new();
    let freezing = clock.clone();
    let handler = for_summaries(move |_| {
        freezing.freeze();
        Reply::new(429, "Retry-After: 30\r\n", "")
    });
    let server = Server::start(clock.clone(), handler).await;
    let world = client(
        server.clone(),
        settings(&server.url()),
        ready_token(),
        clock,
    );
    let ask = || {
        let api = world.api.clone();
        tokio::spawn(async move { api.summary("21630001", "p-v-1", SummaryKind::Agent).await })
    };
    let mut workers = vec![ask()];
    world.clock.sleep_begun().await;
    for _ in 0..5 {
        workers.push(ask());
        world.clock.sleep_begun().await;
    }
    assert_eq!(world.server.count("/summary/"), 1);
    assert_eq!(
        world.api.usage().summaries.paused_until,
        Some(ManualClock::START_MS + 30_000)
    );
    world.stop.cancel();
    for worker in workers {
        assert_eq!(worker.await.unwrap(), Err(ApiError::Stopped));
    }
}

#[tokio::test]
async fn another_process_waits_out_the_pause_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let process = |server: &Server, clock: &Arc<ManualClock>| {
        let ledger = Arc::new(Ledger::open(&path, clock.clone()).unwrap());
        let mut settings = settings(&server.url());
        limited("120/60s")(&mut settings);
        let stop = CancellationToken::new();
        Arc::new(RingCx::new(settings, ready_token(), clock.clone(), ledger, stop).unwrap())
    };
    let (mine, theirs) = (ManualClock::new(), ManualClock::new());
    let freezing = mine.clone();
    let handler = for_summaries(move |seen| {
        if seen.path().contains("p-v-2") {
            return Reply::ok("");
        }
        freezing.freeze();
        Reply::new(429, "Retry-After: 30\r\n", "")
    });
    let server = Server::start(theirs.clone(), handler).await;
    let api = process(&server, &mine);
    let worker =
        tokio::spawn(async move { api.summary("21630001", "p-v-1", SummaryKind::Agent).await });
    mine.sleep_begun().await;
    let other = process(&server, &theirs);
    other
        .summary("21630001", "p-v-2", SummaryKind::Agent)
        .await
        .unwrap();
    assert_eq!(theirs.elapsed_ms(), 30_000);
    worker.abort();
}

#[tokio::test]
async fn the_pace_slows_and_recovers() {
    let world = world_with(
        limited("120/60s"),
        ready_token(),
        too_many_once("Retry-After: 1\r\n"),
    )
    .await;
    let pace = || world.api.usage().summaries.pace;
    world.summary("p-v-1").await.unwrap();
    assert!((0.70..0.71).contains(&pace()), "{}", pace());
    // The first after the pause may still catch up with its schedule.
    world.summary("p-v-1").await.unwrap();
    let before = world.clock.elapsed_ms();
    world.summary("p-v-1").await.unwrap();
    assert!(
        world.clock.elapsed_ms() - before > 600,
        "a slow pace is wider than 503 ms"
    );
    world.clock.set(world.clock.now_ms() + 240_000);
    world.summary("p-v-1").await.unwrap();
    assert_eq!(pace(), 1.0);
}

#[tokio::test]
async fn requests_leave_at_the_published_rate() {
    let world = world_with(
        limited("120/60s"),
        ready_token(),
        for_summaries(|_| Reply::ok("")),
    )
    .await;
    for answer in join_all((0..130).map(|_| world.summary("p-v-1"))).await {
        answer.unwrap();
    }
    let mut at: Vec<_> = world
        .server
        .seen("/summary/")
        .iter()
        .map(|seen| seen.at_ms)
        .collect();
    at.sort_unstable();
    assert_eq!(at.len(), 130);
    // 129 distances of 503 ms, and no more lost than a percent.
    assert!(
        (64_800..65_500).contains(&(world.clock.elapsed_ms())),
        "{}",
        world.clock.elapsed_ms()
    );
}

#[tokio::test]
async fn sub_accounts_have_separate_limits_where_the_settings_say_so() {
    for own in [false, true] {
        let limits = move |settings: &mut ClientSettings| {
            settings.summary_limits = "2/60s".parse().unwrap();
            settings.summaries_per_sub_account = own;
        };
        let world = world_with(limits, ready_token(), for_summaries(|_| Reply::ok(""))).await;
        for sub_account in ["21630001", "21630002"] {
            world
                .api
                .summary(sub_account, "p-v-1", SummaryKind::Agent)
                .await
                .unwrap();
        }
        let waited = world.clock.elapsed_ms();
        assert_eq!(waited == 0, own, "{waited}");
        world
            .api
            .summary("21630001", "p-v-1", SummaryKind::Auto)
            .await
            .unwrap();
        assert!(
            world.clock.elapsed_ms() >= 30_000,
            "a sub-account's own limit holds"
        );
        let Usage { summaries, .. } = world.api.usage();
        assert_eq!(summaries.requests, 3, "counted over all limiters");
    }
}

#[tokio::test]
async fn a_few_summaries_that_always_fail_are_gaps() {
    let reply = |seen: &Seen| match seen.path().contains("good") {
        true => Reply::new(404, "", ""),
        false => Reply::new(500, "", ""),
    };
    let world = world_with(
        |settings| settings.max_attempts = 3,
        ready_token(),
        for_summaries(reply),
    )
    .await;
    for round in 0..3 {
        for n in 0..24 {
            let gap = ApiError::GaveUp {
                class: "http_500",
                http_status: Some(500),
                attempts: 3,
            };
            assert_eq!(world.summary("bad").await, Err(gap), "{round} {n}");
        }
        world.summary("good").await.unwrap();
    }
    for _ in 0..24 {
        assert!(matches!(
            world.summary("bad").await,
            Err(ApiError::GaveUp { .. })
        ));
    }
    let error = world.summary("bad").await.unwrap_err();
    assert!(
        matches!(error, ApiError::Unavailable { .. }),
        "25 in a row are an outage: {error:?}"
    );
}

#[tokio::test]
async fn summaries_that_are_all_rejected_end_the_run() {
    let world = world_with(
        |_| {},
        ready_token(),
        for_summaries(|_| Reply::new(400, "", "Ann")),
    )
    .await;
    for _ in 0..24 {
        let gap = ApiError::GaveUp {
            class: "http_400",
            http_status: Some(400),
            attempts: 1,
        };
        assert_eq!(world.summary("p-v-1").await, Err(gap));
    }
    let error = world.summary("p-v-1").await.unwrap_err();
    assert!(
        matches!(
            error,
            ApiError::Rejected {
                http_status: 400,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!shown(&error).contains("Ann"), "{error:?}");
}

#[tokio::test]
async fn five_connections_that_fail_at_first_are_an_outage() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nowhere = |settings: &mut ClientSettings| {
        settings.summaries_url = format!("http://{closed}");
        settings.max_attempts = 2;
    };
    let world = world_with(nowhere, ready_token(), |_| None).await;
    for _ in 0..4 {
        let gap = ApiError::GaveUp {
            class: "connection",
            http_status: None,
            attempts: 2,
        };
        assert_eq!(world.summary("p-v-1").await, Err(gap));
    }
    let error = world.summary("p-v-1").await.unwrap_err();
    assert!(matches!(error, ApiError::Unavailable { .. }), "{error:?}");
    let text = shown(&error);
    assert!(text.contains("refused"), "the cause is named: {text}");
    assert!(
        !text.contains("p-v-1") && !text.contains("ready-token"),
        "{text}"
    );
}

#[tokio::test]
async fn retries_are_limited_in_total() {
    let stubborn = |settings: &mut ClientSettings| settings.max_attempts = 10_000;
    let world = world_with(
        stubborn,
        ready_token(),
        for_summaries(|_| Reply::new(500, DATE, "Ann")),
    )
    .await;
    let error = world.summary("p-v-1").await.unwrap_err();
    assert!(matches!(error, ApiError::Unavailable { .. }), "{error:?}");
    assert_eq!(world.server.count("/summary/"), 201);
}
