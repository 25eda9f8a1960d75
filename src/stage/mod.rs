//! One archive day, from the API to the manifest.
//!
//! ```text
//! archive   which archive is this, and does its store keep its word       (protocol step 0)
//! links     a chain of records: numbers, links, versions, signatures      (step 0)
//! chain     the manifests of one sub-account, newest first                (step 0)
//! basis     what is committed, and parts of an uncommitted revision       (steps 0, 3)
//! pipeline  which of several days may ask                                 (step 1)
//! observe   everything that asks the API, side by side                     (step 1)
//! discover  windows  -> journal                                           (step 1)
//! fetch     segments -> journal, while discovery goes on                  (step 1)
//! encode    journal  -> parts on the local disk                           (step 2)
//! publish   parts    -> store, one after the other                        (step 3)
//! orders    what holds and longer retention ask of objects                (steps 3, 4)
//! commit    the record of a revision, and its place in the chain           (step 4)
//! append    the manifest: the commit point                                (step 4)
//! anchor    heads kept elsewhere                                          (step 5)
//! day       all of it, in order
//! ```
//!
//! `acknowledge`, `hold`, `retention` and `disposal` commit records of other kinds through the same commit point, and so
//! does `roster`, which is a chain of its own: what a run has made of all sub-accounts; `takeover` lets a copy be continued.

pub mod acknowledge;
pub mod anchor;
pub mod append;
pub mod archive;
pub mod basis;
pub mod chain;
pub mod commit;
pub mod day;
pub mod discover;
pub mod disposal;
pub mod encode;
pub mod fetch;
pub mod hold;
pub mod links;
pub mod observe;
pub mod orders;
pub mod pipeline;
pub mod publish;
pub mod retention;
pub mod roster;
pub mod takeover;
