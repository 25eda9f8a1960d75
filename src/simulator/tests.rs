//! The simulator as a client sees it, over the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::simulator::{Faults, RunningServer, SimulatorOptions, start};

const NOW: &str = "2026-11-21T06:00:00Z";
const SUB: &str = "99999999";

/// A day ago, unthrottled, and with a clock that practically stands still.
fn calm() -> SimulatorOptions {
    SimulatorOptions {
        now: NOW.parse().ok(),
        time_scale: 1e-6,
        summary_limits: "off".parse().unwrap(),
        discovery_limits: "off".parse().unwrap(),
        ..SimulatorOptions::default()
    }
}

struct Caller {
    http: Client,
    running: RunningServer,
}

impl Caller {
    async fn new(options: SimulatorOptions) -> Self {
        let running = start(options, SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        Caller {
            http: Client::new(),
            running,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.running.url)
    }

    async fn grant(&self, secret: &str, jwt: &str) -> Response {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", jwt),
        ];
        let request = self
            .http
            .post(self.url("/restapi/oauth/token"))
            .basic_auth("demo-client", Some(secret));
        request.form(&form).send().await.unwrap()
    }

    async fn rc_token(&self) -> String {
        let answer: Value = self
            .grant("demo-secret", "demo-jwt")
            .await
            .json()
            .await
            .unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    async fn exchange(&self, rc_token: &str) -> Response {
        let url = self.url("/api/auth/login/rc/accesstoken?includeRefresh=true");
        let form = [("rcAccessToken", rc_token), ("rcTokenType", "Bearer")];
        self.http.post(url).form(&form).send().await.unwrap()
    }

    async fn refresh(&self, token: &str) -> Response {
        let url = self.url("/api/auth/token/refresh");
        self.http
            .post(url)
            .form(&[("refresh_token", token)])
            .send()
            .await
            .unwrap()
    }

    async fn sub_accounts(&self, token: &str) -> Response {
        self.http
            .get(self.url("/voice/api/v1/admin/accounts"))
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
    }

    async fn try_discover(
        &self,
        sub: &str,
        begin: &str,
        seconds: u64,
    ) -> reqwest::Result<Response> {
        let path = format!(
            "/voice/api/cx/integration/v1/accounts/809646016/sub-accounts/{sub}/interaction-metadata"
        );
        let body = json!({ "segmentEndTime": begin, "timeInterval": seconds, "timeZone": "UTC" });
        self.http
            .post(self.url(&path))
            .bearer_auth("demo-token")
            .json(&body)
            .send()
            .await
    }

    async fn discover(&self, begin: &str, seconds: u64) -> Response {
        self.try_discover(SUB, begin, seconds).await.unwrap()
    }

    async fn try_summary(&self, id: &str, kind: &str) -> reqwest::Result<Response> {
        let url = self.url(&format!(
            "/voice/api/v1/summary/accounts/{SUB}/segments/{id}/{kind}"
        ));
        let request = self
            .http
            .get(url)
            .header("cookie", "access_token=demo-token");
        request.header("accept", "application/json").send().await
    }

    async fn stats(&self) -> Value {
        self.http
            .get(self.url("/__sim/stats"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    async fn post(&self, path: &str) {
        assert_eq!(
            self.http
                .post(self.url(path))
                .send()
                .await
                .unwrap()
                .status(),
            StatusCode::OK
        );
    }

    async fn truth(&self, from: &str, to: &str) -> Vec<Value> {
        let url = self.url(&format!("/__sim/truth?sub={SUB}&from={from}&to={to}"));
        let text = self
            .http
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    async fn ids(&self) -> Vec<String> {
        let rows: Vec<Value> = self
            .discover("2026-11-20 15:00:00", 10_800)
            .await
            .json()
            .await
            .unwrap();
        rows.iter()
            .filter_map(|row| row["segmentId"].as_str().map(str::to_owned))
            .collect()
    }
}

#[tokio::test]
async fn a_login_leads_to_accounts_and_its_refresh_token_is_spent_once() {
    let caller = Caller::new(calm()).await;
    assert_eq!(
        caller.grant("wrong", "demo-jwt").await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        caller.grant("demo-secret", "wrong").await.status(),
        StatusCode::BAD_REQUEST
    );
    let rc_token = caller.rc_token().await;
    let account = caller
        .http
        .get(caller.url("/restapi/v1.0/account/~"))
        .bearer_auth(&rc_token);
    let account: Value = account.send().await.unwrap().json().await.unwrap();
    assert_eq!(account["id"], json!(809_646_016));

    let pair: Value = caller.exchange(&rc_token).await.json().await.unwrap();
    let (access, refresh) = (
        pair["accessToken"].as_str().unwrap(),
        pair["refreshToken"].as_str().unwrap(),
    );
    let accounts: Value = caller.sub_accounts(access).await.json().await.unwrap();
    assert_eq!(accounts[0]["accountId"], json!(SUB));
    let next: Value = caller.refresh(refresh).await.json().await.unwrap();
    assert_eq!(
        caller.refresh(refresh).await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        caller.exchange("nonsense").await.status(),
        StatusCode::UNAUTHORIZED
    );

    caller.post("/__sim/advance?by=5m").await;
    let refused = caller
        .sub_accounts(next["accessToken"].as_str().unwrap())
        .await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(
        refused
            .text()
            .await
            .unwrap()
            .to_lowercase()
            .contains("jwt is expired")
    );
    let stats = caller.stats().await;
    assert_eq!(
        (&stats["exchanges"], &stats["refreshes"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test]
async fn the_sixth_exchange_in_a_minute_is_refused() {
    let caller = Caller::new(calm()).await;
    let rc_token = caller.rc_token().await;
    for _ in 0..5 {
        assert_eq!(caller.exchange(&rc_token).await.status(), StatusCode::OK);
    }
    assert_eq!(
        caller.exchange(&rc_token).await.status(),
        StatusCode::TOO_MANY_REQUESTS
    );
    caller.post("/__sim/advance?by=60s").await;
    assert_eq!(caller.exchange(&rc_token).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn every_answer_is_dated_in_simulated_time() {
    let caller = Caller::new(calm()).await;
    let answer = caller.sub_accounts("nonsense").await;
    let dates: Vec<_> = answer.headers().get_all("date").iter().collect();
    assert_eq!(dates, ["Sat, 21 Nov 2026 06:00:00 GMT"]);
}

#[tokio::test]
async fn discovery_checks_the_request() {
    let options = SimulatorOptions {
        sub_accounts: vec![SUB.into(), "1".into()],
        faults: Faults {
            deny: vec!["1".into()],
            ..Faults::default()
        },
        ..calm()
    };
    let caller = Caller::new(options).await;
    for sub in ["1", "2"] {
        let answer = caller
            .try_discover(sub, "2026-11-20 15:00:00", 60)
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["errorCode"], json!("access.denied.exception"));
    }
    for (begin, seconds) in [
        ("2026-11-20 15:00:00", 10_801),
        ("2026-11-20 15:00", 60),
        ("2026-11-21 05:54:01", 60),
    ] {
        assert_eq!(
            caller.discover(begin, seconds).await.status(),
            StatusCode::BAD_REQUEST,
            "{begin}"
        );
    }
    assert_eq!(
        caller.discover("2026-11-21 05:54:00", 60).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn discovery_limits_hold_for_each_sub_account() {
    let sub_accounts = vec![SUB.into(), "1".into()];
    let discovery_limits = "3/60s,9/15m".parse().unwrap();
    let caller = Caller::new(SimulatorOptions {
        sub_accounts,
        discovery_limits,
        ..calm()
    })
    .await;
    for _ in 0..3 {
        assert_eq!(
            caller.discover("2026-11-20 15:00:00", 60).await.status(),
            StatusCode::OK
        );
    }
    let refused = caller.discover("2026-11-20 15:00:00", 60).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(!refused.headers().contains_key("retry-after"));
    let other = caller
        .try_discover("1", "2026-11-20 15:00:00", 60)
        .await
        .unwrap();
    assert_eq!(other.status(), StatusCode::OK);
    let limit = &caller.stats().await["limits"]["discovery"];
    assert_eq!(
        (&limit["refused"], &limit["windows"][0]["share"]),
        (&json!(1), &json!(1.0))
    );
}

#[tokio::test]
async fn windows_tile_the_day_and_equal_the_truth() {
    let caller = Caller::new(calm()).await;
    let mut found = Vec::new();
    for hour in (0..24).step_by(3) {
        let rows = caller
            .discover(&format!("2026-11-20 {hour:02}:00:00"), 10_800)
            .await;
        found.extend(rows.json::<Vec<Value>>().await.unwrap());
    }
    let truth = caller
        .truth("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
        .await;
    let expected: Vec<Value> = truth.iter().map(|line| line["segment"].clone()).collect();
    assert_eq!(found.len(), 400);
    assert_eq!(found, expected);
    let again = Caller::new(calm()).await;
    assert_eq!(
        again
            .truth("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
            .await,
        truth
    );
    let other = Caller::new(SimulatorOptions { seed: 2, ..calm() }).await;
    assert_ne!(
        other
            .truth("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
            .await,
        truth
    );
}

#[tokio::test]
async fn a_large_answer_is_streamed_and_whole() {
    let caller = Caller::new(SimulatorOptions {
        segments_per_day: 20_000,
        ..calm()
    })
    .await;
    let answer = caller.discover("2026-11-20 15:00:00", 10_800).await;
    assert_eq!(
        answer.headers().get("transfer-encoding").unwrap(),
        "chunked"
    );
    let rows: Vec<Value> = answer.json().await.unwrap();
    let ids: BTreeSet<_> = rows
        .iter()
        .map(|row| row["segmentId"].as_str().unwrap())
        .collect();
    assert!(
        rows.len() > 2_500 && ids.len() == rows.len(),
        "{}",
        rows.len()
    );
}

#[tokio::test]
async fn summaries_equal_the_truth_byte_for_byte() {
    let faults = Faults {
        strange_texts: 60.0,
        late_population: 10.0,
        ..Faults::default()
    };
    let caller = Caller::new(SimulatorOptions {
        segments_per_day: 150,
        faults,
        ..calm()
    })
    .await;
    let mut statuses = BTreeMap::new();
    for line in caller
        .truth("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
        .await
    {
        for kind in ["agent", "auto"] {
            let (id, truth) = (line["segment"]["segmentId"].as_str().unwrap(), &line[kind]);
            let answer = caller.try_summary(id, kind).await.unwrap();
            let status = answer.status();
            let content_type = answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned();
            let body = answer.bytes().await.unwrap();
            *statuses
                .entry(truth["status"].as_str().unwrap().to_owned())
                .or_insert(0) += 1;
            if truth["status"] == "NOT_FOUND" {
                assert_eq!(status, StatusCode::NOT_FOUND);
                continue;
            }
            assert_eq!(
                (status, &truth["content_type"]),
                (StatusCode::OK, &json!(content_type))
            );
            let digest = crate::format::hash::digest::Digest::of(&body).hex();
            assert_eq!(
                (&truth["sha256"], &truth["bytes"]),
                (&json!(digest), &json!(body.len()))
            );
        }
    }
    let names: Vec<_> = statuses.keys().map(String::as_str).collect();
    assert_eq!(names, ["BINARY", "EMPTY", "NOT_FOUND", "PRESENT"]);
    let stats = caller.stats().await;
    assert_eq!(stats["summaries_answered"], json!(300));
    assert_eq!(stats["summaries_answered_twice"], json!(0));
}

#[tokio::test]
async fn the_token_goes_to_summaries_as_a_cookie_only() {
    let caller = Caller::new(calm()).await;
    let id = &caller.ids().await[0];
    let url = caller.url(&format!(
        "/voice/api/v1/summary/accounts/{SUB}/segments/{id}/agent"
    ));
    let get = || caller.http.get(&url).header("accept", "application/json");
    let cookie = || get().header("cookie", "access_token=demo-token");
    assert_eq!(
        get().send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(caller.stats().await["authorization_on_summaries"], json!(0));
    for request in [
        get().bearer_auth("demo-token"),
        cookie().bearer_auth("demo-token"),
    ] {
        assert_eq!(
            request.send().await.unwrap().status(),
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(caller.stats().await["authorization_on_summaries"], json!(2));
    assert_ne!(
        cookie().send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    let html = cookie().header("accept", "text/html");
    assert_eq!(
        html.send().await.unwrap().status(),
        StatusCode::OK,
        "one accepted form is enough"
    );
    let only_html = caller
        .http
        .get(&url)
        .header("accept", "text/html")
        .header("cookie", "access_token=demo-token");
    assert_eq!(
        only_html.send().await.unwrap().status(),
        StatusCode::NOT_ACCEPTABLE
    );
    assert_eq!(
        caller
            .try_summary("p-v-00", "agent")
            .await
            .unwrap()
            .status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn the_summary_limit_is_over_both_kinds() {
    let caller = Caller::new(SimulatorOptions {
        summary_limits: "4/60s".parse().unwrap(),
        ..calm()
    })
    .await;
    let id = &caller.ids().await[0];
    for kind in ["agent", "auto", "agent", "auto"] {
        assert_ne!(
            caller.try_summary(id, kind).await.unwrap().status(),
            StatusCode::TOO_MANY_REQUESTS
        );
    }
    assert_eq!(
        caller.try_summary(id, "auto").await.unwrap().status(),
        StatusCode::TOO_MANY_REQUESTS
    );
    caller.post("/__sim/advance?by=60s").await;
    assert_ne!(
        caller.try_summary(id, "auto").await.unwrap().status(),
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(caller.stats().await["summaries_answered_twice"], json!(3));
    caller.post("/__sim/reset-stats").await;
    assert_eq!(caller.stats().await["summaries_answered_twice"], json!(0));
}

#[tokio::test]
async fn a_dropped_connection_and_a_short_body_are_errors_to_the_client() {
    let faults = Faults {
        fault_reset: 100.0,
        ..Faults::default()
    };
    let caller = Caller::new(SimulatorOptions { faults, ..calm() }).await;
    assert!(caller.try_summary("any", "agent").await.is_err());

    let faults = Faults {
        fault_short_body: 100.0,
        ..Faults::default()
    };
    let caller = Caller::new(SimulatorOptions { faults, ..calm() }).await;
    let answer = caller.discover("2026-11-20 15:00:00", 10_800).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.bytes().await.is_err());
    for line in caller
        .truth("2026-11-20T15:00:00Z", "2026-11-20T16:00:00Z")
        .await
    {
        let answer = caller
            .try_summary(line["segment"]["segmentId"].as_str().unwrap(), "agent")
            .await
            .unwrap();
        assert!(answer.bytes().await.is_err(), "an empty one too: {line}");
    }
    assert_eq!(caller.stats().await["summaries_answered"], json!(0));
}

#[tokio::test]
async fn with_all_faults_retries_still_get_everything() {
    let faults = Faults {
        all_faults: true,
        ..Faults::default()
    };
    let caller = Caller::new(SimulatorOptions { faults, ..calm() }).await;
    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    for hour in (0..24).step_by(3) {
        let mut rows = None;
        for _ in 0..4 {
            let answer = caller
                .try_discover(SUB, &format!("2026-11-20 {hour:02}:00:00"), 10_800)
                .await;
            rows = match answer {
                Ok(answer) if answer.status() == StatusCode::OK => {
                    answer.json::<Vec<Value>>().await.ok()
                }
                _ => None,
            };
            if rows.is_some() {
                break;
            }
        }
        for row in rows.unwrap() {
            *shown
                .entry(row["segmentId"].to_string() + &row["dialogId"].to_string())
                .or_default() += 1;
        }
    }
    let truth = caller
        .truth("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
        .await;
    let expected = truth.iter().map(|line| {
        let segment = &line["segment"];
        let name = segment["segmentId"].to_string() + &segment["dialogId"].to_string();
        (name, line["shown"].as_u64().unwrap() as usize)
    });
    assert_eq!(shown, expected.collect());
    assert!(truth.iter().any(|line| line["agent"]["status"] == "NO_ID"));
    assert!(truth.iter().any(|line| line["in_range"] == false));
    assert!(truth.iter().any(|line| line["shown"] == 2));
}

#[tokio::test]
async fn a_summary_that_is_broken_for_good_is_reported_as_failed() {
    let faults = Faults {
        permanent_500: 100.0,
        ..Faults::default()
    };
    let caller = Caller::new(SimulatorOptions { faults, ..calm() }).await;
    let id = &caller.ids().await[0];
    for _ in 0..6 {
        assert_eq!(
            caller.try_summary(id, "auto").await.unwrap().status(),
            StatusCode::INTERNAL_SERVER_ERROR
        );
    }
    let truth = caller
        .truth("2026-11-20T15:00:00Z", "2026-11-20T18:00:00Z")
        .await;
    assert!(truth.iter().all(|line| line["auto"]["status"] == "FAILED"));
}

#[tokio::test]
async fn an_account_without_permission_looks_empty_and_a_broken_discovery_broken() {
    let empty = Faults {
        empty: true,
        ..Faults::default()
    };
    let caller = Caller::new(SimulatorOptions {
        faults: empty,
        ..calm()
    })
    .await;
    assert_eq!(
        caller
            .discover("2026-11-20 15:00:00", 60)
            .await
            .text()
            .await
            .unwrap(),
        "[]"
    );
    assert!(
        caller
            .truth("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
            .await
            .is_empty()
    );

    let broken = Faults {
        discovery_500: 100.0,
        ..Faults::default()
    };
    let caller = Caller::new(SimulatorOptions {
        faults: broken,
        ..calm()
    })
    .await;
    for _ in 0..6 {
        let status = caller.discover("2026-11-20 15:00:00", 60).await.status();
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    }
}

#[tokio::test]
async fn a_transcript_exists_where_discovery_says_so() {
    let caller = Caller::new(calm()).await;
    let rows: Vec<Value> = caller
        .discover("2026-11-20 15:00:00", 10_800)
        .await
        .json()
        .await
        .unwrap();
    let mut pairs = BTreeSet::new();
    for row in rows {
        let path = |kind: &str| {
            format!(
                "/voice/api/cx/integration/v1/accounts/809646016/sub-accounts/{SUB}/{kind}/dialogs/{}/segments/{}",
                row["dialogId"].as_str().unwrap(),
                row["segmentId"].as_str().unwrap()
            )
        };
        for (kind, flag) in [
            ("transcripts", "hasTranscript"),
            ("recordings", "hasRecording"),
        ] {
            let answer = caller
                .http
                .get(caller.url(&path(kind)))
                .bearer_auth("demo-token")
                .send()
                .await
                .unwrap();
            let has = row[flag].as_bool().unwrap();
            let known = answer.status() == StatusCode::OK;
            // The limit of 120 a minute is above this window's rows.
            assert_eq!(known, has, "{kind} {}", answer.status());
            pairs.insert((kind, has));
        }
    }
    assert_eq!(pairs.len(), 4);
}

#[tokio::test]
async fn a_stopped_simulator_frees_its_port() {
    let Caller { running, .. } = Caller::new(calm()).await;
    let address: SocketAddr = running
        .url
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    running.stop().await;
    start(calm(), address).await.unwrap().stop().await;
}
