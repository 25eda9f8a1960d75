//! `cxvault check-receipt`.

use crate::cli::audit::CheckReceiptArgs;
use crate::command::Context;
use crate::outcome::{Exit, Failure, Result};

pub fn run(_args: &CheckReceiptArgs, _context: &Context) -> Result<Exit> {
    Err(Failure::new(Exit::Unexpected, "not written yet"))
}
