//! The damage matrix: every kind of object is damaged in every known way, and each time `cxvault
//! verify` must name the damage.

mod archives;
mod buckets;
mod case;
mod chains;
mod fields;
mod intact;
mod objects;
mod rosters;
mod rows;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use archives::MADE;
use case::{Case, Where};

/// Number of cases at once: a verification waits for its process and its disk more than it
/// computes.
const AT_ONCE: usize = 4;

/// Runs all cases that apply to a place; reports every one that is wrong.
fn run(cases: &[Case], place: Where) {
    let cases: Vec<&Case> = cases.iter().filter(|case| case.is_for(place)).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = case.check(&MADE, place);
                    if !found.is_empty() {
                        let report = format!("{}\n    {}", case.name, found.join("\n    "));
                        wrong.lock().unwrap().push(report);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    assert!(!cases.is_empty(), "a matrix without cases finds nothing");
}

#[test]
fn damage_to_objects_in_a_folder() {
    run(&objects::cases(), Where::Folder);
}

#[test]
fn damage_to_objects_in_a_bucket() {
    run(&objects::cases(), Where::Bucket);
}

#[test]
fn damage_to_chains_in_a_folder() {
    run(&chains::cases(), Where::Folder);
}

#[test]
fn damage_to_chains_in_a_bucket() {
    run(&chains::cases(), Where::Bucket);
}

#[test]
fn damage_to_manifests_in_a_folder() {
    run(&fields::cases(), Where::Folder);
}

#[test]
fn damage_to_manifests_in_a_bucket() {
    run(&fields::cases(), Where::Bucket);
}

#[test]
fn damage_to_rows_in_a_folder() {
    run(&rows::cases(), Where::Folder);
}

#[test]
fn damage_to_rows_in_a_bucket() {
    run(&rows::cases(), Where::Bucket);
}

#[test]
fn damage_that_a_roster_detects() {
    run(&rosters::cases(), Where::Folder);
}

#[test]
fn damage_to_versions_and_locks() {
    run(&buckets::cases(), Where::Bucket);
}
