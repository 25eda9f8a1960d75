//! The report in a real browser: what a compliance officer sees, points at and prints is what is archived.

mod support;

use std::path::Path;

use support::browser::Browser;
use support::vault::{DAY, SUB, Simulator, Vault, options};

fn simulator(permanent_500: f64) -> Simulator {
    let mut options = options();
    options.segments_per_day = 40;
    options.faults.permanent_500 = permanent_500;
    Simulator::start(options)
}

#[test]
fn try_it() {
    let simulator = simulator(0.0);
    let vault = Vault::new(&simulator);
    vault.run_day(DAY, &[]);
    let page = vault.folder.path().join("report.html");
    let done = vault.run(&["report", "--out", page.to_str().unwrap()]);
    println!("{done}");
    let mut browser = Browser::start();
    browser.open(&page);
    println!("{:?}", browser.misbehaviour());
    browser.screenshot(Path::new("/tmp/shot.png"));
    let _ = SUB;
}
