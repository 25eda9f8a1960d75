//! The `cxvault` program: parses the command line, loads the settings, starts the log, and runs the command.
//!
//! Everything else is in the library. The exit codes are those of [`Exit`]; a second signal ends the process with
//! 128 + its number, as a shell reports it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser as _;
use cxvault::cli::{Cli, Command};
use cxvault::command;
use cxvault::command::Context;
use cxvault::command::night::notify;
use cxvault::config::{Environment, Loaded, Logging, Settings};
use cxvault::logging;
use cxvault::outcome::{Exit, Failure, Result};
use cxvault::render::Output;
use tokio_util::sync::CancellationToken;

/// Number of tasks that a thread runs before it polls for network events. At full speed hundreds of tasks are ready at
/// once, and each poll is a system call.
const EVENT_INTERVAL: u32 = 256;

/// Each request and each row allocates and frees dozens of small texts, which mimalloc serves faster than the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The option `mi_option_purge_delay` of mimalloc, in milliseconds. The binding names stable options only, and not this one;
/// the number is from `mimalloc.h`.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Makes mimalloc return freed memory to the system at once. By default it retains freed memory for a second, during which
/// a deep verification frees 100 MiB of pages: two thirds of its peak would be unused memory. A run, whose fetchers free
/// little at a time, would be a seventh slower with it. The variable `MIMALLOC_PURGE_DELAY` overrides the setting.
fn return_memory_at_once() {
    // SAFETY: the option is a plain number in a static table of mimalloc, which any thread may read. No other thread has
    // been started yet, so nothing reads the table while it is written.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, 0) }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Command::Verify(_)) {
        return_memory_at_once();
    }
    let output = Output::new(cli.global.json, cli.global.quiet);
    // A panic would end the process with 101, a code that no script knows.
    let result = catch_unwind(AssertUnwindSafe(|| run(&cli, &output)));
    let result = result.unwrap_or_else(|_| Err(Failure::unforeseen()));
    let exit = result.unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.exit
    });
    ExitCode::from(exit.code())
}

/// Loads the settings, starts the log, and runs the command on a runtime of its own.
fn run(cli: &Cli, output: &Output) -> Result<Exit> {
    let environment = Environment::of_process()?;
    let flags = cli.flags();
    let loaded = command::needs_settings(&cli.command)
        .then(|| Settings::load(&flags, &environment))
        .transpose()
        .inspect_err(|failure| {
            notify::notify_not_started(&cli.command, failure, &flags, &environment);
        })?;
    match &loaded {
        Some(loaded) => logging::start(&loaded.settings.logging, output)?,
        None => logging::start(&Logging::load(&flags, &environment)?, output)?,
    }
    warn_of_exposed_files(&cli.command, loaded.as_ref());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .event_interval(EVENT_INTERVAL)
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::unexpected("cannot start the program's threads").because(error)
        })?;
    let context = Context {
        output: output.clone(),
        flags,
        environment,
        sub_accounts: cli.global.sub_accounts(),
        cancel: CancellationToken::new(),
    };
    let result = runtime.block_on(async {
        let signals = Signals::listen()
            .map_err(|error| Failure::unexpected("cannot listen to signals").because(error))?;
        tokio::spawn(cancel_on_signal(signals, context.cancel.clone()));
        command::dispatch(&cli.command, &context, loaded.as_ref()).await
    });
    // Tasks that still run in the background have nothing to report.
    runtime.shutdown_background();
    result
}

/// Warns of files with secrets that other users can read. The doctor reports them as results of its own.
fn warn_of_exposed_files(command: &Command, loaded: Option<&Loaded>) {
    if matches!(command, Command::Doctor(_)) {
        return;
    }
    for exposed in loaded.iter().flat_map(|loaded| &loaded.exposed) {
        tracing::warn!("{}. {}", exposed.message, exposed.remedy);
    }
}

/// Cancels the command on the first SIGTERM or Ctrl-C, and ends the process on the second. Neither harms the archive or the
/// journal: the next run continues from both.
async fn cancel_on_signal(mut signals: Signals, cancel: CancellationToken) {
    signals.next().await;
    tracing::warn!("stopping: no more work is taken; a second signal aborts at once");
    cancel.cancel();
    let signal = signals.next().await;
    std::process::exit(128 + signal);
}

/// The signals that end a command. Both are listened to from the start, so that none is missed.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal, and returns its number.
    async fn next(&mut self) -> i32 {
        use tokio::signal::unix::SignalKind;
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
        }
    }
}
