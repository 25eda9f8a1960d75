//! The checks of RingCX: token, sub-accounts, discovery, clock, and how long it still retains days that are not archived.
//!
//! They use the client and the request ledger of the nightly run, so that a doctor beside a run keeps to the same rate limits.
//! An account costs a token, a list of sub-accounts, and a discovery for each of the first [`TRIED`] sub-accounts. No summary is
//! requested, and the segments that discovery returns are counted and dropped. Nothing is written apart from the ledger.

use std::sync::Arc;

use jiff::ToSpan;
use tokio::sync::mpsc;

use crate::chain::{Chain, Writer};
use crate::clock::{Clock, SystemClock};
use crate::command::account_client::{AccountClient, LazyLedger, Urgency};
use crate::command::setup::doctor::{Checks, DoctorCheck, clocks_differ};
use crate::command::{Context, wiring};
use crate::config::Settings;
use crate::day::context::ApiSource as _;
use crate::format::record::DayState;
use crate::format::time::Zone;
use crate::outcome::{Exit, Failure, Result};
use crate::render::count;
use crate::ringcx::{Discovered, RingCx};

/// Largest number of sub-accounts of an account whose discovery is checked: each check is one of three requests per minute.
const TRIED: usize = 5;
/// Length of the discovered window, in milliseconds: long enough to have segments on a working day, and one request.
const WINDOW_MS: i64 = 3 * 3_600_000;
/// Days before the end of the source retention from which on an open day is a warning.
const SOON_DAYS: i64 = 7;
/// Length of a day, in milliseconds. The source retention counts days of 24 hours.
const DAY_MS: i64 = 24 * 3_600_000;

/// Runs the checks of all accounts. An account without a token is only checked for days that RingCX will soon delete, which
/// needs the archive alone.
pub(super) async fn examine(settings: &Settings, context: &Context, checks: &mut Checks<'_>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ledger = LazyLedger::new(settings, clock.clone(), Urgency::First);
    let archive = wiring::open_for_plan(settings, context).await;
    for account in &settings.accounts {
        let client = AccountClient::new(settings, account, clock.clone(), &ledger, context);
        let found = token(&client, &account.name, checks).await;
        // Without configured sub-accounts a run archives all that are listed.
        let sub_accounts = match (&found, account.sub_accounts.is_empty()) {
            (Some((_, listed)), true) => listed.clone(),
            _ => account.sub_accounts.clone(),
        };
        if let Some((api, listed)) = &found {
            checks.add(expected(&account.name, &account.sub_accounts, listed));
            for sub_account in sub_accounts.iter().take(TRIED) {
                checks.add(discovery(api, sub_account, settings).await);
            }
            if let Some(skew_ms) = api.clock_skew_ms() {
                checks.add(clocks_differ("RingCX's clock", skew_ms, "RingCX's clock"));
            }
        }
        if let Ok(archive) = &archive {
            let all = sub_accounts
                .iter()
                .filter_map(|id| Some((id.as_str(), Zone::named(account.zone_of(id)).ok()?)));
            checks.add(retention(archive, settings, &account.name, all).await);
        }
    }
}

/// Checks the credentials by getting a token and listing the sub-accounts. Returns the client and the ids of the list.
async fn token(
    client: &AccountClient<'_>,
    account: &str,
    checks: &mut Checks<'_>,
) -> Option<(Arc<RingCx>, Vec<String>)> {
    let name = format!("token of account {account}");
    let tried = async {
        let api = client.api().await?;
        let listed = api.sub_accounts().await.map_err(Failure::from)?;
        Ok::<_, Failure>((api, listed))
    };
    match tried.await {
        Ok((api, listed)) => {
            let ids: Vec<String> = listed
                .into_iter()
                .map(|sub_account| sub_account.account_id)
                .collect();
            checks.add(DoctorCheck::ok(
                &name,
                format!(
                    "granted; listed: {}",
                    count(ids.len() as u64, "sub-account")
                ),
            ));
            Some((api, ids))
        }
        Err(failure) => {
            checks.add(DoctorCheck::of_failure(&name, failure));
            None
        }
    }
}

/// Checks that all configured sub-accounts are listed for the user of the credentials.
///
/// A sub-account that is not listed cannot be archived: discovery answers 403, or with an empty list, which would look like a
/// day without interactions.
fn expected(account: &str, configured: &[String], listed: &[String]) -> DoctorCheck {
    let name = format!("sub-accounts of account {account}");
    if configured.is_empty() {
        return match listed.is_empty() {
            false => DoctorCheck::ok(&name, format!("all that are listed: {}", listed.join(", "))),
            true => DoctorCheck::failed(
                &name,
                Exit::Denied,
                "none is configured, and none is listed",
                "Check the access of the user in RingCX Admin, or set the sub-accounts in CXVAULT_SUB_ACCOUNTS.",
            ),
        };
    }
    let missing: Vec<&str> = configured
        .iter()
        .filter(|id| !listed.contains(id))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return DoctorCheck::ok(
            &name,
            format!("all {} that are configured are listed", configured.len()),
        );
    }
    DoctorCheck::failed(
        &name,
        Exit::Denied,
        format!("configured, but not listed: {}", missing.join(", ")),
        "Check the ids, and the access of the user to these sub-accounts in RingCX Admin.",
    )
}

/// Checks the discovery of a sub-account with the last three hours that have settled.
async fn discovery(api: &RingCx, sub_account: &str, settings: &Settings) -> DoctorCheck {
    let name = format!("discovery of {sub_account} (WEM access)");
    match count_segments(api, sub_account, settings).await {
        Err(failure) => DoctorCheck::of_failure(&name, failure),
        Ok(0) => DoctorCheck::warning(
            &name,
            "the list of the last three hours is empty",
            "If there were interactions, the user lacks WEM access: without it, discovery answers with an empty list.",
        ),
        Ok(objects) => DoctorCheck::ok(
            &name,
            format!("{} in the last three hours", count(objects, "segment")),
        ),
    }
}

/// Returns the number of segments in the window that ended when the settings' `settle` was over, by RingCX's clock.
///
/// The segments are dropped, and read while they arrive: the channel holds four of them.
///
/// # Errors
/// Those of the client: credentials, permissions, rate limits, network.
async fn count_segments(api: &RingCx, sub_account: &str, settings: &Settings) -> Result<u64> {
    let settle_ms = i64::try_from(settings.settle.0.as_millis()).unwrap_or(0);
    let end_ms = (api.server_now().await? - settle_ms) / 1000 * 1000;
    let (objects, mut incoming) = mpsc::channel::<Discovered>(4);
    let asked = async move {
        api.discover(sub_account, end_ms - WINDOW_MS, end_ms, &objects)
            .await
    };
    let drained = async { while incoming.recv().await.is_some() {} };
    let (answer, ()) = tokio::join!(asked, drained);
    Ok(answer?.rows)
}

/// Checks how long RingCX still retains the oldest day that is not archived.
///
/// RingCX deletes interactions after a time that the API does not report; the setting `source_retention` states it. Of all
/// sub-accounts only the oldest open day is reported, since it is the first that can no longer be archived.
async fn retention(
    archive: &Writer,
    settings: &Settings,
    account: &str,
    sub_accounts: impl Iterator<Item = (&str, Zone)>,
) -> DoctorCheck {
    let name = format!("source retention of account {account}");
    let Some(kept) = settings.source_retention else {
        return DoctorCheck::not_applicable(
            &name,
            "source_retention is not set, so it is unknown how long RingCX retains days",
        );
    };
    let now_ms = archive.clock.now_ms();
    let mut oldest: Option<(i64, String)> = None;
    for (sub_account, zone) in sub_accounts {
        match oldest_open(archive, sub_account, &zone, now_ms).await {
            Ok(Some((start_ms, day)))
                if oldest.as_ref().is_none_or(|(known, _)| start_ms < *known) =>
            {
                oldest = Some((start_ms, day));
            }
            Ok(_) => {}
            Err(failure) => return DoctorCheck::of_failure(&name, failure),
        }
    }
    let Some((start_ms, day)) = oldest else {
        return DoctorCheck::ok(
            &name,
            "no day of an archived sub-account is missing or has gaps",
        );
    };
    let left_days = i64::from(kept.0) - (now_ms - start_ms).div_euclid(DAY_MS);
    let found = format!(
        "the oldest day that is missing or has gaps is {day}; RingCX retains it for {left_days} more days"
    );
    match left_days {
        ..=0 => DoctorCheck::failed(
            &name,
            Exit::Gaps,
            format!("{day} is missing or has gaps, and is older than source_retention ({kept})"),
            "It cannot become complete. Acknowledge it: cxvault acknowledge.",
        ),
        1..=SOON_DAYS => DoctorCheck::warning(
            &name,
            found,
            "Archive it today: cxvault backfill, oldest days first.",
        ),
        _ => DoctorCheck::ok(&name, found),
    }
}

/// Returns the oldest day of a chain that is missing or has gaps, with its begin in UTC milliseconds; `None` if every day from
/// the first archived one up to yesterday is complete, or if nothing is archived yet.
///
/// # Errors
/// A chain that is damaged, and errors of the store.
async fn oldest_open(
    archive: &Writer,
    sub_account: &str,
    zone: &Zone,
    now_ms: i64,
) -> Result<Option<(i64, String)>> {
    let coverage = Chain::open(archive, sub_account).await?.coverage();
    let Some(first) = coverage.first_day else {
        return Ok(None);
    };
    for date in first.series(1.day()) {
        // A date that the time zone has skipped is not a day.
        let Ok(window) = zone.day(date) else { continue };
        if window.end_ms > now_ms {
            break;
        }
        if matches!(coverage.state(date), DayState::Missing | DayState::Gaps) {
            return Ok(Some((window.start_ms, format!("{sub_account} {date}"))));
        }
    }
    Ok(None)
}
