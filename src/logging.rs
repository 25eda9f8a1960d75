//! Log lines on stderr, as text or JSON.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt as _, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogFormat, Logging};
use crate::outcome::{Exit, Failure, Result};
use crate::render::Output;

/// Starts logging, once for the process.
pub fn start(logging: &Logging, output: &Output) -> Result<()> {
    let unusable =
        |error: String| Failure::new(Exit::Unexpected, format!("cannot start the log: {error}"));
    let wanted: Targets = logging
        .filter
        .parse()
        .map_err(|error| unusable(format!("{error}")))?;
    // Libraries show headers and bodies in their debug messages, so a secret or a summary could get into the log:
    // whatever is asked for, they speak from `warn` on only.
    let ours_or_serious = filter_fn(|event| {
        let ours = event.target() == "cxvault" || event.target().starts_with("cxvault::");
        ours || *event.level() <= LevelFilter::WARN
    });
    let filter = wanted.and(ours_or_serious);
    let output = output.clone();
    let lines = fmt::layer().with_writer(move || output.log_writer());
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match logging.format {
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
        // Otherwise it decides by itself, by NO_COLOR.
        LogFormat::Text if !is_terminal() => lines.with_ansi(false).with_filter(filter).boxed(),
        LogFormat::Text => lines.with_filter(filter).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer)
        .try_init()
        .map_err(|error| unusable(error.to_string()))
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}
