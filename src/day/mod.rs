//! One archive day of one sub-account, from the API to the manifest.
//!
//! ```text
//! prior     what is committed, and parts of an uncommitted revision        (steps 0, 3)
//! pipeline  which of several days may send requests                        (step 1)
//! observe   everything that asks the API, side by side                     (step 1)
//! discover  windows  -> journal                                            (step 1)
//! fetch     segments -> journal, while discovery goes on                   (step 1)
//! encode    journal  -> parts on the local disk                            (step 2)
//! publish   parts    -> store, one after the other                         (step 3)
//! commit    the record of a revision, and its place in the chain           (step 4)
//! run       all of it, in order
//! ```

pub mod commit;
pub mod discover;
pub mod encode;
pub mod fetch;
pub mod observe;
pub mod pipeline;
pub mod prior;
pub mod publish;
pub mod run;
