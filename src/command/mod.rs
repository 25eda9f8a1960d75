//! What the user asked for, a file a command.

pub mod simulate;
