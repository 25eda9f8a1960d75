//! `cxvault export`.

use crate::cli::audit::ExportArgs;
use crate::command::Context;
use crate::config::Settings;
use crate::outcome::{Exit, Failure, Result};

pub async fn run(_args: &ExportArgs, _settings: &Settings, _context: &Context) -> Result<Exit> {
    Err(Failure::new(Exit::Unexpected, "not written yet"))
}
