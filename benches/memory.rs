//! Peak memory of the whole run at 100,000 and at 1,000,000 segments.
pub fn run() {
    let nginx = crate::support::Nginx::start();
    let mut peaks = Vec::new();
    for segments in [
        100_000,
        crate::support::setting("CXVAULT_TEST_SEGMENTS", 1_000_000),
    ] {
        let (date, options) = crate::support::day(segments);
        let simulator = crate::support::Simulator::start(options);
        let (_keep, folder) = crate::support::scratch();
        let settings = [
            ("CXVAULT_SUMMARIES_URL", nginx.url.as_str()),
            ("CXVAULT_CONCURRENCY", "64"),
        ];
        let run = crate::support::run(&folder, &simulator.running.url, date, &settings);
        assert_eq!(run.exit, 0, "the run failed");
        println!(
            "{segments:>9} segments: peak {} MiB in {:.0} s ({:.0} segments/s)",
            run.peak_kib / 1024,
            run.wall.as_secs_f64(),
            segments as f64 / run.wall.as_secs_f64()
        );
        peaks.push(run.peak_kib as f64);
    }
    println!("ratio: {:.2}", peaks[1] / peaks[0]);
}
