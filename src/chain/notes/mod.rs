//! Records without rows: acknowledgements, legal holds, longer retention, and disposal.

pub mod acknowledge;
pub mod disposal;
pub mod hold;
pub mod retention;
