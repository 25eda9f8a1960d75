//! `cxvault evidence`.

use crate::cli::audit::EvidenceArgs;
use crate::command::Context;
use crate::config::Settings;
use crate::outcome::{Exit, Failure, Result};

pub async fn run(_args: &EvidenceArgs, _settings: &Settings, _context: &Context) -> Result<Exit> {
    Err(Failure::new(Exit::Unexpected, "not written yet"))
}
