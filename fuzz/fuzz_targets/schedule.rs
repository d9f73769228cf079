//! Arbitrary text as a cron expression: `cargo +nightly fuzz run schedule`.
#![no_main]

include!("../body.rs");

libfuzzer_sys::fuzz_target!(|input: (&str, i64)| explain_anything(input.0, input.1));
