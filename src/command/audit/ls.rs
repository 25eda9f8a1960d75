//! `cxvault ls`.

use crate::cli::audit::LsArgs;
use crate::command::Context;
use crate::config::Settings;
use crate::outcome::{Exit, Failure, Result};

pub async fn run(_args: &LsArgs, _settings: &Settings, _context: &Context) -> Result<Exit> {
    Err(Failure::new(Exit::Unexpected, "not written yet"))
}
