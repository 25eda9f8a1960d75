//! Unthrottled segments a second of the whole run against static servers (nginx for the summaries, recorded answers for
//! discovery), next to a bare loop and to wrk on the same nginx, in the same run.
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CONCURRENCY: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(30);

/// As many GETs as the whole run makes, with the same client library, time-outs, headers and concurrency; nothing is
/// kept.
async fn bare(url: &str, requests: u64) -> f64 {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .user_agent(concat!("cxvault/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(TIMEOUT)
        .read_timeout(TIMEOUT)
        .no_proxy()
        .build()
        .unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let workers: Vec<_> = (0..CONCURRENCY)
        .map(|_| {
            let (client, next, url) = (client.clone(), next.clone(), url.to_owned());
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= requests {
                        return;
                    }
                    let request = client
                        .get(address(&url, n))
                        .header("cookie", "access_token=sim-cx.1.0123456789abcdef")
                        .header("accept", "application/json");
                    request.send().await.unwrap().bytes().await.unwrap();
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    requests as f64 / begun.elapsed().as_secs_f64()
}

/// As long as the run's own.
fn address(url: &str, n: u64) -> String {
    format!(
        "{url}/voice/api/v1/summary/accounts/99999999/segments/p-v-{n:032x}-1763596800000-{n:013x}/agent"
    )
}

fn wrk(url: &str) -> Option<f64> {
    let output = Command::new("wrk")
        .args(["-t1", "-c64", "-d5s", &address(url, 1)])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text
        .lines()
        .find(|line| line.starts_with("Requests/sec:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

pub fn run() {
    let segments = crate::support::setting("CXVAULT_TEST_SEGMENTS", 100_000);
    let nginx = crate::support::Nginx::start();
    let (date, options) = crate::support::day(segments);
    let simulator = crate::support::Simulator::start(options);
    let recorded = crate::support::recorded::Recorded::start(&simulator);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    println!(
        "wrk                {:>10.0} requests/s",
        wrk(&nginx.url).unwrap_or(f64::NAN)
    );
    let (mut ours, mut loops) = (Vec::new(), Vec::new());
    // The first run is for the recording of its windows.
    for measured in [false, true, true, true] {
        let bare = runtime.block_on(bare(&nginx.url, 2 * segments));
        let (_keep, folder) = crate::support::scratch();
        let concurrency = CONCURRENCY.to_string();
        let settings = [
            ("CXVAULT_SUMMARIES_URL", nginx.url.as_str()),
            ("CXVAULT_CONCURRENCY", &concurrency),
        ];
        let run = crate::support::run(&folder, &recorded.url, date, &settings);
        assert_eq!(run.exit, 0, "the run failed");
        if !measured {
            continue;
        }
        let rate = segments as f64 / run.wall.as_secs_f64();
        println!(
            "bare reqwest loop  {bare:>10.0} requests/s    whole run {rate:>8.0} segments/s = {:>8.0} requests/s, {:.2} of the loop; CPU {:.1} s of {:.1} s, peak {} MiB",
            2.0 * rate,
            2.0 * rate / bare,
            run.cpu.as_secs_f64(),
            run.wall.as_secs_f64(),
            run.peak_kib / 1024
        );
        ours.push(rate);
        loops.push(2.0 * rate / bare);
    }
    ours.sort_by(f64::total_cmp);
    loops.sort_by(f64::total_cmp);
    println!(
        "median: {:.0} segments/s, {:.2} of the bare loop",
        ours[1], loops[1]
    );
}
