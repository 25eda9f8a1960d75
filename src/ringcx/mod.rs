//! The RingCX API, and the only user of `reqwest`.

pub mod limits;
