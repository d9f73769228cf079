//! The log of the library, on the error output.

use env_logger::Env;

/// Errors alone, unless the caller asks for more by `-v` or by `RUST_LOG`.
pub fn start(verbose: u8) {
    let filter = match verbose {
        0 => "gaia_actors=error",
        1 => "gaia_actors=info",
        _ => "debug",
    };
    env_logger::Builder::from_env(Env::default().default_filter_or(filter)).init();
}
