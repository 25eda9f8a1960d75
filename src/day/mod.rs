//! One archive day of one sub-account, from the API to the manifest.
//!
//! [`run::run_day`] reads as the list of these steps. Each step takes what the step before it made:
//!
//! ```text
//! step  module           takes -> makes                       a crash after it leaves
//! 0     preconditions    the chain -> nothing, or a refusal    nothing
//! 0, 3  prior            chain, store -> PriorState            a journal with the committed rows
//! 1     observe          PriorState -> ApiTime                 a journal with the answers received so far
//!         pipeline         which of several days may send requests
//!         discover         windows -> segments in the journal
//!         fetch            segments -> summaries in the journal, while discovery goes on
//! 2     encode           journal -> NewRevision                parts in the scratch folder, removed by the next run
//! 3     publish          NewRevision -> Published              stored parts that no manifest lists
//! 4     revision_record  all of these -> DayRecord             the same
//! 4     commit           DayRecord -> CommitOutcome            a committed revision and a journal to remove
//! ```
//!
//! The journal holds every answer until the revision that contains it is committed. The next run therefore repeats no
//! request that was answered, encodes the same rows to the same bytes, and finds its own parts in the store.
//!
//! [`context`] holds what the steps share, [`filters`] which summaries are requested, [`progress`] the counters behind
//! the progress display, and [`shared_chain`] the chain that the days of one sub-account share.

pub mod context;
pub mod day_outcome;
pub mod filters;
pub mod pipeline;
pub mod progress;
pub mod run;
pub mod shared_chain;

mod adopt;
mod commit;
mod discover;
mod download;
mod encode;
mod fetch;
mod first_failure;
mod observe;
mod preconditions;
mod prior;
mod publish;
mod revision_record;
