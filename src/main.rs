//! Parse, log, dispatch, outcome -> exit code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser as _;
use cxvault::cli::{Cli, Command};
use cxvault::command;
use cxvault::command::Context;
use cxvault::config::{Environment, Logging, Settings};
use cxvault::logging;
use cxvault::outcome::{Exit, Failure, Result};
use cxvault::render::Output;
use tokio_util::sync::CancellationToken;

/// Tasks that a thread runs before it looks for network events: at full speed hundreds are ready at once, and each look
/// is a system call.
const EVENT_INTERVAL: u32 = 256;

/// Each request and each row makes and drops dozens of small texts.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// mimalloc's `mi_option_purge_delay`, in milliseconds: its binding names the options that are stable, not this one.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Freed memory goes back to the system at once. By default mimalloc keeps it for a second, in which a deep verification
/// frees 100 MiB of pages: two thirds of its peak would be memory that nobody uses. A run, whose fetchers free little at
/// a time, is a seventh slower with it. Whoever prefers another delay sets `MIMALLOC_PURGE_DELAY`, as everywhere.
fn give_memory_back_at_once() {
    // SAFETY: the options are plain numbers, and no second thread has begun that could read one while it is written.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, 0) }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Command::Verify(_)) {
        give_memory_back_at_once();
    }
    let output = Output::new(cli.global.json, cli.global.quiet);
    let result = catch_unwind(AssertUnwindSafe(|| work(&cli, &output)));
    let result = result.unwrap_or_else(|_| Err(Failure::unforeseen()));
    let exit = result.unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.exit
    });
    ExitCode::from(exit.code())
}

fn work(cli: &Cli, output: &Output) -> Result<Exit> {
    let environment = Environment::of_process()?;
    let flags = cli.flags();
    let loaded = command::needs_settings(&cli.command)
        .then(|| Settings::load(&flags, &environment))
        .transpose();
    let loaded = loaded.inspect_err(|failure| {
        command::night::notify::notify_not_started(&cli.command, failure, &flags, &environment);
    })?;
    match &loaded {
        Some(loaded) => logging::start(&loaded.settings.logging, output)?,
        None => logging::start(&Logging::load(&flags, &environment)?, output)?,
    }
    let unusable =
        |error| Failure::new(Exit::Unexpected, "cannot start the program's threads").because(error);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .event_interval(EVENT_INTERVAL)
        .enable_all()
        .build()
        .map_err(unusable)?;
    let cancel = CancellationToken::new();
    let context = Context {
        output: output.clone(),
        flags,
        environment,
        sub_accounts: cli.global.sub_accounts(),
        cancel: cancel.clone(),
    };
    let result = runtime.block_on(async {
        let deaf =
            |error| Failure::new(Exit::Unexpected, "cannot listen to signals").because(error);
        tokio::spawn(watch_signals(Signals::listen().map_err(deaf)?, cancel));
        command::dispatch(&cli.command, &context, loaded.as_ref()).await
    });
    // Whatever is still at work in the background has nothing left to say.
    runtime.shutdown_background();
    result
}

/// The first SIGTERM or Ctrl-C asks to stop; the second ends the process at once, with 128 + signal as a shell
/// would say it. The archive and the journal stand both.
async fn watch_signals(mut signals: Signals, cancel: CancellationToken) {
    signals.next().await;
    tracing::warn!("stopping: no more work is taken; a second signal aborts at once");
    cancel.cancel();
    let signal = signals.next().await;
    std::process::exit(128 + signal);
}

/// Listens from the beginning to the end, so that no signal falls between two looks.
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

    /// The number of the next signal.
    async fn next(&mut self) -> i32 {
        use tokio::signal::unix::SignalKind;
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
        }
    }
}
