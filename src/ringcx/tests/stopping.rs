//! Stopping the run ends every wait at once. In these tests no sleep ends by itself.

use crate::ringcx::tests::*;

/// A client whose clock stands still from the first request to `path` on, which is answered with `reply`.
async fn frozen(limits: &str, path: &'static str, reply: fn() -> Reply) -> World {
    let clock = ManualClock::new();
    let freezing = clock.clone();
    let handler = move |seen: &Seen| {
        seen.path().contains(path).then(|| {
            freezing.freeze();
            reply()
        })
    };
    let server = Server::start(clock.clone(), handler).await;
    let settings = ClientSettings {
        summary_limits: limits.parse().unwrap(),
        ..settings(&server.url())
    };
    client(server, settings, jwt(), clock)
}

#[tokio::test]
async fn waits_end_at_once() {
    type Case = (&'static str, &'static str, fn() -> Reply);
    let cases: [Case; 6] = [
        ("off", "/summary/", || Reply::new(500, "", "")),
        ("off", "/summary/", || {
            Reply::new(503, "Retry-After: 20\r\n", "")
        }),
        ("off", "/summary/", || {
            Reply::new(429, "Retry-After: 600\r\n", "")
        }),
        ("120/60s", "/summary/", || Reply::new(429, "", "")),
        ("off", "/oauth/", || Reply::new(500, "", "")),
        ("120/60s", "/rc/accesstoken", || Reply::new(429, "", "")),
    ];
    for (limits, path, reply) in cases {
        let world = frozen(limits, path, reply).await;
        let api = world.api.clone();
        let worker =
            tokio::spawn(async move { api.summary("21630001", "p-v-1", SummaryKind::Agent).await });
        world.clock.sleep_begun().await;
        assert!(!worker.is_finished());
        world.stop.cancel();
        assert_eq!(
            worker.await.unwrap(),
            Err(ApiError::Stopped),
            "{limits} {path}"
        );
        assert_eq!(world.server.count(path), 1);
    }
}

#[tokio::test]
async fn waiting_for_a_grant_ends_at_once() {
    let world = frozen("1/60s", "/summary/", || Reply::ok("")).await;
    world.summary("p-v-1").await.unwrap();
    let api = world.api.clone();
    let worker =
        tokio::spawn(async move { api.summary("21630001", "p-v-2", SummaryKind::Agent).await });
    world.clock.sleep_begun().await;
    world.stop.cancel();
    assert_eq!(worker.await.unwrap(), Err(ApiError::Stopped));
    assert_eq!(world.server.count("/summary/"), 1);
}

#[tokio::test]
async fn after_stopping_nothing_is_sent() {
    let world = world(|_| None).await;
    world.stop.cancel();
    assert_eq!(world.summary("p-v-1").await, Err(ApiError::Stopped));
    assert_eq!(world.api.sub_accounts().await, Err(ApiError::Stopped));
    assert_eq!(
        world.server.count("/summary/") + world.server.count("/admin/"),
        0
    );
}

#[tokio::test]
async fn an_answer_in_progress_is_still_used() {
    let (clock, stop) = (ManualClock::new(), CancellationToken::new());
    let (freezing, stopping) = (clock.clone(), stop.clone());
    let handler = for_summaries(move |_| {
        freezing.freeze();
        stopping.cancel();
        Reply::ok("paid for")
    });
    let server = Server::start(clock.clone(), handler).await;
    let ledger = Arc::new(Ledger::in_memory(clock.clone()).unwrap());
    let api = RingCx::new(settings(&server.url()), jwt(), clock, ledger, stop).unwrap();
    let answer = api
        .summary("21630001", "p-v-1", SummaryKind::Agent)
        .await
        .unwrap();
    assert_eq!(&answer.body[..], b"paid for");
}

#[tokio::test]
async fn an_answer_that_does_not_arrive_is_not_waited_for() {
    let clock = ManualClock::new();
    let asked = Arc::new(tokio::sync::Notify::new());
    let tell = asked.clone();
    let handler = for_summaries(move |_| {
        tell.notify_one();
        Reply::Silence
    });
    let server = Server::start(clock.clone(), handler).await;
    let world = client(server.clone(), settings(&server.url()), jwt(), clock);
    let api = world.api.clone();
    let worker =
        tokio::spawn(async move { api.summary("21630001", "p-v-1", SummaryKind::Agent).await });
    asked.notified().await;
    world.stop.cancel();
    assert_eq!(worker.await.unwrap(), Err(ApiError::Stopped));
    assert_eq!(world.clock.elapsed_ms(), 2_000, "the grace is two seconds");
}
