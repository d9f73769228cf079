//! Arbitrary text as a cron expression: `cargo +nightly fuzz run schedule`.
#![no_main]

// The tests of the crate run the same body; it lies with them, as this folder is not published.
include!("../../tests/schedule/anything.rs");

libfuzzer_sys::fuzz_target!(|input: (&str, i64)| explain_anything(input.0, input.1));
