//! The log of the library, on the error output.

use env_logger::Env;

/// Errors alone, and of a node that stays warnings, too, unless the caller asks for more by `-v` or by `RUST_LOG`.
pub fn start(verbose: u8, stays: bool) {
    let filter = match (verbose, stays) {
        (0, false) => "gaia_actors=error",
        (0, true) => "gaia_actors=warn",
        (1, _) => "gaia_actors=info",
        _ => "debug",
    };
    env_logger::Builder::from_env(Env::default().default_filter_or(filter)).init();
}
