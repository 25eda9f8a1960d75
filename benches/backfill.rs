//! A month's backfill at the documented limits, with time scaled: how near it comes to the slower limit's own time.
const WINDOWS_A_DAY: u64 = 8;

pub fn run() {
    let scale = crate::support::setting("CXVAULT_TEST_TIME_SCALE", 30);
    let segments = crate::support::setting("CXVAULT_TEST_SEGMENTS", 900);
    let (_, mut options) = crate::support::day(segments);
    options.time_scale = scale as f64;
    options.summary_limits = "120/60s".parse().unwrap();
    options.discovery_limits = "3/60s,9/15m".parse().unwrap();
    let simulator = crate::support::Simulator::start(options);
    let (_keep, folder) = crate::support::scratch();
    let limits = crate::support::documented_limits(scale);
    let mut settings: Vec<(&str, &str)> = limits
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    settings.push(("CXVAULT_KNOWN_WARNINGS", "first-day-empty,low-volume"));
    let range = [
        "backfill",
        "--quiet",
        "--from",
        "2026-10-01",
        "--to",
        "2026-10-31",
    ];
    let run = crate::support::cxvault(&folder, &simulator.running.url, &range, &settings);
    assert_eq!(run.exit, 0, "the backfill failed");

    let stats = simulator.stats();
    let number =
        |limit: &str, member: &str| stats["limits"][limit][member].as_f64().unwrap_or(f64::NAN);
    let (windows, summaries) = (30 * WINDOWS_A_DAY, number("summaries", "accepted"));
    assert_eq!(
        number("discovery", "accepted"),
        windows as f64,
        "each window once"
    );
    // Nine at once in every quarter of an hour, three in every minute of it.
    let rounds = (windows - 1) / 9;
    let discovery_minutes = (rounds * 15 + (windows - 1 - rounds * 9) / 3) as f64;
    let summary_minutes = (summaries - 1.0) / 120.0;
    let first = number("discovery", "first_ms").min(number("summaries", "first_ms"));
    let last = number("discovery", "last_ms").max(number("summaries", "last_ms"));
    let minutes = (last - first) / 60_000.0;
    println!(
        "30 days, {windows} windows, {summaries} summaries in {minutes:.1} simulated minutes ({:.0} s at {scale} x)",
        run.wall.as_secs_f64()
    );
    println!(
        "discovery alone {discovery_minutes:.1}, summaries alone {summary_minutes:.1}: {:.3} of the larger",
        minutes / discovery_minutes.max(summary_minutes)
    );
    println!(
        "429s: {} and {}; peak memory {} MiB",
        stats["limits"]["discovery"]["refused"],
        stats["limits"]["summaries"]["refused"],
        run.peak_kib / 1024
    );
}
