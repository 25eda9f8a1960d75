//! `cxvault demo`: archives an invented day of a simulated RingCX, without credentials.
//!
//! The simulator runs in this process and listens on loopback. Everything else is the real program: the demo creates an archive
//! that all other commands can read.
//!
//! It writes the archive into the folder of the argument, and the journal and the request ledger into the usual state folder. A
//! demo that is killed is continued by the next one, like any run; the simulator itself stores nothing. The day is always
//! yesterday, so that a second demo on the same day finds it archived, and one on the next day adds a day.

use jiff::ToSpan;

use crate::cli::setup::DemoArgs;
use crate::clock::{Clock, SystemClock};
use crate::command::Context;
use crate::command::night::sub_accounts::archive_sub_accounts;
use crate::command::night::summary;
use crate::command::night::worklist::NightCommand;
use crate::config::{Environment, Settings};
use crate::outcome::{Exit, Failure, Result};
use crate::simulator;
use crate::simulator::SimulatorOptions;

/// Seconds of the simulated RingCX in one second. Rate limits and tokens behave as in reality, but 60 times as fast.
const TIME_SCALE: u32 = 60;
/// The id of the invented sub-account.
const SUB_ACCOUNT: &str = "99999999";

/// Runs the command: starts the simulator, archives yesterday, and prints what to try next.
///
/// # Errors
/// If the simulator cannot start, or the day cannot be archived into the folder.
pub(crate) async fn run(args: &DemoArgs, context: &Context) -> Result<Exit> {
    let now = jiff::Timestamp::from_millisecond(SystemClock.now_ms())
        .map_err(|error| Failure::usage("this host's clock is out of range").because(error))?;
    let today = now.to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
    let yesterday = today.yesterday().unwrap_or(today);
    let simulator = start(now, today).await?;
    let settings = settings(args, context, &simulator.url)?;
    context.output.print_info(format!(
        "A simulated RingCX ({} times as fast) answers at {}.\nIts clock runs as fast, so the times in its answers can be later than this host's.\nArchiving {yesterday} of sub-account {SUB_ACCOUNT} into {} ...\n",
        TIME_SCALE, simulator.url, args.dir.display()
    ));
    let command = NightCommand::nightly(Some(yesterday));
    let outcome = archive_sub_accounts(&command, &settings, context).await?;
    simulator.stop().await;
    summary::print_run(&outcome, &context.output);
    if outcome.exit == Exit::Done {
        context
            .output
            .print_info(next_steps(args, &yesterday.to_string()));
    }
    Ok(outcome.exit)
}

/// Starts the simulator on a free port of loopback, with some faults so that retries can be seen.
///
/// `today` is the date in UTC. The faults are percentages of the answers: errors of the server, connections that are reset,
/// texts with unusual characters, and segments that discovery lists twice.
///
/// # Errors
/// [`Exit::Unexpected`] if no port of loopback can be bound.
async fn start(now: jiff::Timestamp, today: jiff::civil::Date) -> Result<simulator::RunningServer> {
    let midnight = today
        .to_zoned_datetime(jiff::tz::TimeZone::UTC)
        .map(|day| day.timestamp())
        .unwrap_or(now);
    // Just after midnight, yesterday has not settled yet: the simulated clock is set ahead.
    let settled = midnight.checked_add(20.minutes()).unwrap_or(now);
    let mut options = SimulatorOptions {
        now: Some(now.max(settled)),
        // Every demo shows the same segments, whatever the date is.
        day_zero: midnight.as_second() / 86_400,
        time_scale: f64::from(TIME_SCALE),
        ..SimulatorOptions::default()
    };
    options.faults.fault_500 = 2.0;
    options.faults.fault_reset = 1.0;
    options.faults.strange_texts = 2.0;
    options.faults.duplicates = 2.0;
    let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    simulator::start(options, loopback).await.map_err(|error| {
        Failure::unexpected("cannot start the simulated RingCX on loopback").because(error)
    })
}

/// Returns the settings of the demo. The settings of a real installation are not read, so that the demo cannot change its
/// archive.
///
/// They take the form of environment variables and go through the usual parser. From the real environment only the variables
/// that locate the state folder are taken.
///
/// # Errors
/// [`Exit::Usage`] if no state folder can be found.
fn settings(args: &DemoArgs, context: &Context, url: &str) -> Result<Settings> {
    let archive = args.dir.to_string_lossy();
    let mut pairs = vec![
        ("CXVAULT_ARCHIVE", archive.into_owned()),
        ("CXVAULT_PLATFORM_URL", url.to_owned()),
        ("CXVAULT_RINGCX_URL", url.to_owned()),
        ("CXVAULT_SUMMARIES_URL", url.to_owned()),
        ("CXVAULT_CLIENT_ID", "demo-client".to_owned()),
        ("CXVAULT_CLIENT_SECRET", "demo-secret".to_owned()),
        ("CXVAULT_JWT", "demo-jwt".to_owned()),
        ("CXVAULT_SUB_ACCOUNTS", SUB_ACCOUNT.to_owned()),
        ("CXVAULT_SUMMARY_LIMITS", scaled(120, 60)),
        (
            "CXVAULT_DISCOVERY_LIMITS",
            format!("{},{}", scaled(3, 60), scaled(9, 900)),
        ),
        ("CXVAULT_TOKEN_LIMITS", scaled(5, 60)),
        ("CXVAULT_TOKEN_LIFE", "5s".to_owned()),
        // No settings file is read.
        ("CXVAULT_CONFIG", "/dev/null".to_owned()),
    ];
    for name in ["HOME", "XDG_STATE_HOME", "CXVAULT_STATE_DIR"] {
        pairs.extend(
            context
                .environment
                .get(name)
                .map(|value| (name, value.to_owned())),
        );
    }
    let mut flags = context.flags.clone();
    flags.config = None;
    Ok(Settings::load(&flags, &Environment::from_pairs(pairs))?.settings)
}

/// Returns a rate limit in the time of the simulator: `requests` in `seconds` of simulated time, as a setting is written.
fn scaled(requests: u32, seconds: u32) -> String {
    format!("{requests}/{}ms", seconds * 1_000 / TIME_SCALE)
}

/// Returns the commands to try next. They can be pasted into a shell: the program is named as this process was started.
fn next_steps(args: &DemoArgs, date: &str) -> String {
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "cxvault".to_owned());
    let dir = args.dir.display();
    let manifest = format!("{dir}/manifests/v1/sub_account={SUB_ACCOUNT}/0000000001.json");
    format!(
        "
What to try next:
  Archive the same day again: no request is sent
    {program} run --archive {dir} --sub-account {SUB_ACCOUNT} --time-zone UTC --date {date}
  Verify the archive, show its days, search it, and show one result
    {program} verify --archive {dir} --level deep
    {program} status --archive {dir} --by queue
    {program} search --archive {dir} refund
    {program} show --archive {dir} $({program} search --archive {dir} refund --json | jq -r '.segment_id // empty' | head -n 1)
  The manifest, and the hash of each file that it lists
    jq .manifest {manifest}
    jq -r '.manifest.files[] | .sha256 + \"  {dir}/\" + .key' {manifest} | sha256sum --check
  The rows in SQL (pip install duckdb)
    python3 -c \"import duckdb; print(duckdb.sql(\\\"SELECT agent_status, auto_status, count(*) FROM '{dir}/segments/**/*.parquet' GROUP BY ALL\\\"))\"
  Every hash recomputed from its text: no row differs
    python3 -c \"import duckdb; print(duckdb.sql(\\\"SELECT count(*) AS differing FROM '{dir}/segments/**/*.parquet' WHERE sha256(agent_summary) <> agent_sha256 OR sha256(auto_summary) <> auto_sha256\\\"))\"
  A real installation: a commented settings file, and the settings in force
    {program} init ./cxvault.toml
    {program} config"
    )
}
