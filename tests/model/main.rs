//! Models of what keeps tasks and fires safe on a shared database, small enough that every state they can reach is visited.
//!
//! A model is the protocol without its code: rows, nodes, runs, and what may happen to them in any order. It relies on *rules*; each rule
//! names the place of the code that keeps it, and that place names the rule ([`rules`]). A model that holds shows that the rules are enough.
//! The same model without one rule must break: that shows that the model can fail, and what the rule is for.
//!
//! `GAIA_MODEL_LONG=1 cargo test --release --test model` visits larger worlds: more faults in one history.

#![expect(clippy::expect_used, reason = "a test")]
#![expect(clippy::struct_excessive_bools, reason = "states are facts, each by itself")]

mod batch;
mod check;
mod fires;
mod rules;
mod slots;
mod task;
