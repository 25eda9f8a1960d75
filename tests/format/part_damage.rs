//! A part from the bucket may hold any bytes. For every changed byte and every shorter length the
//! reader returns an error or exactly the rows that were written, in short time, and without
//! allocating memory for a damaged number.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::panic::{self, PanicHookInfo};
use std::path::Path;
use std::sync::{Once, mpsc};
use std::time::Duration;

use bytes::Bytes;
use cxvault::format::part::{PartError, PartReader, Statement};
use cxvault::format::row::Row;

/// The system's allocator, which counts what each thread requests.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread reads damaged parts, whose contained panics are not shown.
    static READS_DAMAGE: Cell<bool> = const { Cell::new(false) };
}

fn count(bytes: usize) {
    // While a thread ends, its thread-local counters may be gone.
    let _ = ASKED.try_with(|asked| asked.set(asked.get() + bytes));
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        unsafe { System.realloc(old, layout, bytes) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A reader that needs longer hangs; no test measures time by it.
const FOREVER: Duration = Duration::from_secs(240);
/// Limits of memory for a file of 13 KiB.
const MOST_AT_ONCE: usize = 8 << 20;
const MOST_IN_ALL: usize = 64 << 20;
const MOST_ROWS: usize = 1_000;

fn part() -> Vec<u8> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/archive");
    fs::read(golden.join("segments/v1/sub_account=99999999/dt=2026-11-20/r0001-p0000.parquet"))
        .unwrap()
}

type Content = (Statement, String, Vec<Row>);

/// Everything that a part holds, and the fingerprint of its signer.
fn content(bytes: Vec<u8>) -> Result<Content, PartError> {
    let mut part = PartReader::open(Bytes::from(bytes))?;
    let signer = part
        .signer()?
        .map(|key| key.fingerprint())
        .unwrap_or_default();
    let mut rows = Vec::new();
    while let Some(row) = part.next_row()? {
        rows.push(row);
        assert!(rows.len() < MOST_ROWS, "rows without end");
    }
    Ok((part.statement().clone(), signer, rows))
}

fn checked(bytes: Vec<u8>) -> Result<(), PartError> {
    PartReader::open(Bytes::from(bytes))?.check()
}

/// Checks one damaged file with both ways of reading it.
fn judge(what: &str, damaged: &[u8], expected: &Content) {
    ASKED.set(0);
    LARGEST.set(0);
    let read = content(damaged.to_vec());
    if let Ok((statement, signer, rows)) = &read {
        assert!(
            (statement, rows) == (&expected.0, &expected.2),
            "{what}: other content, and no error"
        );
        // A signature under another name counts as none: readers that require a signature refuse
        // that.
        assert!(
            *signer == expected.1 || signer.is_empty(),
            "{what}: another signer"
        );
    }
    let checked = checked(damaged.to_vec());
    if let (Ok(()), Err(error)) = (&checked, &read) {
        // `check` validates only the encoding of the rows, not their meaning and not the signature.
        assert!(
            matches!(error, PartError::Signature(_)),
            "{what}: checked, and yet {error}"
        );
    }
    assert!(
        checked.is_ok() || read.is_err(),
        "{what}: read, but not checked"
    );
    assert!(
        LARGEST.get() <= MOST_AT_ONCE,
        "{what}: {} bytes of memory at once",
        LARGEST.get()
    );
    assert!(
        ASKED.get() <= MOST_IN_ALL,
        "{what}: {} bytes of memory in all",
        ASKED.get()
    );
}

/// Hides the panics of the threads that read damaged parts, unless a test itself panics: the Parquet library panics on
/// some of these parts, and the reader contains that. Other threads of the process report their panics as usual.
fn hush() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            let in_a_test = info
                .location()
                .is_none_or(|place| place.file().starts_with("tests/"));
            if in_a_test || !READS_DAMAGE.get() {
                usual(info);
            }
        }));
    });
}

/// Runs `judge` over `cases` on every core; a case that hangs is named.
fn all(cases: usize, make: impl Fn(usize) -> (String, Vec<u8>) + Sync, expected: &Content) {
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get());
    std::thread::scope(|scope| {
        let mut reports = Vec::new();
        for worker in 0..workers {
            let (report, reported) = mpsc::channel();
            reports.push(reported);
            let make = &make;
            scope.spawn(move || {
                READS_DAMAGE.set(true);
                for case in (worker..cases).step_by(workers) {
                    let (what, damaged) = make(case);
                    judge(&what, &damaged, expected);
                    report.send(what).unwrap();
                }
            });
        }
        for reported in reports {
            let mut last = "the first one".to_owned();
            loop {
                match reported.recv_timeout(FOREVER) {
                    Ok(what) => last = what,
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                    // A thread cannot be ended from outside, therefore the process is.
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        eprintln!("the reader hangs after {last}");
                        std::process::exit(1);
                    }
                }
            }
        }
    });
}

#[test]
fn no_changed_byte_gives_other_rows() {
    hush();
    let good = part();
    let expected = content(good.clone()).unwrap();
    assert!(expected.2.len() >= 5 && !expected.1.is_empty());
    all(
        good.len(),
        |place| {
            // Changes one bit or all bits.
            let mask = 1_u8.checked_shl(place as u32 % 9).unwrap_or(0xff);
            let mut damaged = good.clone();
            damaged[place] ^= mask;
            (format!("byte {place} changed by {mask:#04x}"), damaged)
        },
        &expected,
    );
}

#[test]
fn no_part_that_was_cut_is_read() {
    hush();
    let good = part();
    let expected = content(good.clone()).unwrap();
    READS_DAMAGE.set(true);
    for end in 0..good.len() {
        assert!(content(good[..end].to_vec()).is_err(), "cut at {end}");
    }
    // A transfer that lost its beginning or its middle still ends as a part does.
    let without = |from: usize, to: usize| {
        (
            format!("without {from} to {to}"),
            [&good[..from], &good[to..]].concat(),
        )
    };
    all(
        good.len() / 4,
        |case| {
            if case % 2 == 0 {
                without(0, 2 * case + 1)
            } else {
                without(2 * case, 4 * case)
            }
        },
        &expected,
    );
}
