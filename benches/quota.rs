//! A night at the documented limits, with time scaled: how much of the quota is used, and how many 429s there are.
pub fn run() {
    let scale = crate::support::setting("CXVAULT_TEST_TIME_SCALE", 60);
    let segments = crate::support::setting("CXVAULT_TEST_SEGMENTS", 3_600);
    let (date, mut options) = crate::support::day(segments);
    options.time_scale = scale as f64;
    options.summary_limits = "120/60s".parse().unwrap();
    options.discovery_limits = "3/60s,9/15m".parse().unwrap();
    let simulator = crate::support::Simulator::start(options);
    let (_keep, folder) = crate::support::scratch();
    let settings = crate::support::documented_limits(scale);
    let settings: Vec<(&str, &str)> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let run = crate::support::run(&folder, &simulator.running.url, date, &settings);
    assert_eq!(run.exit, 0, "the run failed");
    let stats = simulator.stats();
    let limit = &stats["limits"]["summaries"];
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or(f64::NAN);
    let minutes = (number(&limit["last_ms"]) - number(&limit["first_ms"])) / 60_000.0;
    let accepted = number(&limit["accepted"]);
    println!(
        "{accepted} summary requests in {minutes:.1} simulated minutes ({:.0} s at {scale} x): {:.2} % of 120 a minute",
        run.wall.as_secs_f64(),
        (accepted - 1.0) / minutes / 1.2
    );
    println!(
        "429s: {} of {accepted}; busiest minute: {}",
        limit["refused"], limit["windows"]
    );
    println!("discovery: {}", stats["limits"]["discovery"]);
}
