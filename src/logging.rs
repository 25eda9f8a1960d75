//! The log: lines on stderr, as text or JSON.
//!
//! The setting `log` filters the program's own lines. Lines of libraries appear only from `warn` on, at every setting:
//! their debug messages contain headers and bodies, and with them credentials and summaries.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt as _, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogFormat, Logging};
use crate::outcome::{Failure, Result};
use crate::render::Output;

/// Starts logging, once for the process.
///
/// # Errors
/// `Exit::Unexpected` if the filter cannot be parsed, or logging was started before.
pub fn start(logging: &Logging, output: &Output) -> Result<()> {
    let wanted: Targets = logging.filter.parse().map_err(|error| unusable(&error))?;
    let filter = wanted.and(filter_fn(|event| {
        let is_own = event.target() == "cxvault" || event.target().starts_with("cxvault::");
        is_own || *event.level() <= LevelFilter::WARN
    }));
    let output = output.clone();
    let lines = fmt::layer().with_writer(move || output.log_writer());
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match logging.format {
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
        // On a terminal, the layer colours its lines unless NO_COLOR is set.
        LogFormat::Text if !is_terminal() => lines.with_ansi(false).with_filter(filter).boxed(),
        LogFormat::Text => lines.with_filter(filter).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer)
        .try_init()
        .map_err(|error| unusable(&error))
}

fn unusable(error: &dyn std::fmt::Display) -> Failure {
    Failure::unexpected(format!("cannot start the log: {error}"))
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}
