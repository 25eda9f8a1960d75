//! `cxvault verify`.

use crate::cli::audit::VerifyArgs;
use crate::command::Context;
use crate::config::Settings;
use crate::outcome::{Exit, Failure, Result};

pub async fn run(_args: &VerifyArgs, _settings: &Settings, _context: &Context) -> Result<Exit> {
    Err(Failure::new(Exit::Unexpected, "not written yet"))
}
