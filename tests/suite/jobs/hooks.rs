//! Hooks end to end: what the client does by itself is tested beside it.
