//! The client against servers that misbehave, over real connections and with a clock on which waiting takes no time.

use std::sync::Arc;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::format::row::SummaryKind;
use crate::ringcx::testing::{ManualClock, Reply, Seen, Server};
use crate::ringcx::{ApiError, ClientSettings, Credentials, Ledger, Limits, RingCx, SummaryAnswer};

mod discovery;
mod ledger;
mod pauses;
mod stopping;
mod summaries;
mod tokens;

/// A client, its server, and the clock of both.
struct World {
    server: Arc<Server>,
    clock: Arc<ManualClock>,
    stop: CancellationToken,
    api: Arc<RingCx>,
}

/// A client with JWT credentials and no limits, before a server with `handler`.
async fn world(handler: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) -> World {
    world_with(|_| {}, jwt(), handler).await
}

async fn world_with(
    change: impl FnOnce(&mut ClientSettings),
    credentials: Credentials,
    handler: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
) -> World {
    let clock = ManualClock::new();
    let server = Server::start(clock.clone(), handler).await;
    let mut settings = settings(&server.url());
    change(&mut settings);
    client(server, settings, credentials, clock)
}

fn client(
    server: Arc<Server>,
    settings: ClientSettings,
    credentials: Credentials,
    clock: Arc<ManualClock>,
) -> World {
    let ledger = Arc::new(Ledger::in_memory(clock.clone()).unwrap());
    let stop = CancellationToken::new();
    let api = RingCx::new(settings, credentials, clock.clone(), ledger, stop.clone()).unwrap();
    World {
        server,
        clock,
        stop,
        api: Arc::new(api),
    }
}

fn settings(url: &str) -> ClientSettings {
    ClientSettings {
        platform_url: url.into(),
        ringcx_url: url.into(),
        summaries_url: url.into(),
        rc_account_id: Some("37439510".into()),
        summary_limits: Limits::default(),
        discovery_limits: Limits::default(),
        token_limits: Limits::default(),
        ..ClientSettings::default()
    }
}

fn jwt() -> Credentials {
    Credentials::Jwt {
        client_id: "client-1".into(),
        client_secret: SecretString::from("secret-of-client"),
        jwt: SecretString::from("jwt-of-user"),
    }
}

fn ready_token() -> Credentials {
    Credentials::Token(SecretString::from("ready-token"))
}

impl World {
    async fn summary(&self, segment_id: &str) -> Result<SummaryAnswer, ApiError> {
        self.api
            .summary("21630001", segment_id, SummaryKind::Agent)
            .await
    }
}

/// Returns everything that an error shows to users and in logs.
fn shown(error: &ApiError) -> String {
    let failure = crate::outcome::Failure::from(error.clone());
    format!("{error}\n{error:?}\n{failure}\n{failure:?}")
}

fn is_summary(seen: &Seen) -> bool {
    seen.path().contains("/summary/")
}

/// Replies to requests for summaries; logins are answered as usual.
fn for_summaries(
    reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static {
    move |seen| is_summary(seen).then(|| reply(seen))
}
