//! The log of the library, on the error output.

use env_logger::Env;
use gaia_actors::logs::LogCapture;
use log::LevelFilter;

/// Errors alone, and of a node that stays warnings, too, unless the caller asks for more by `-v` or by `RUST_LOG`. A node that stays keeps
/// what its handlers log.
pub fn start(verbose: u8, stays: bool) {
    let filter = match (verbose, stays) {
        (0, false) => "gaia_actors=error",
        (0, true) => "gaia_actors=warn",
        (1, _) => "gaia_actors=info",
        _ => "debug",
    };
    let mut builder = env_logger::Builder::from_env(Env::default().default_filter_or(filter));
    if !stays {
        return builder.init();
    }
    let logger = builder.build();
    let most = logger.filter().max(LevelFilter::Info);
    // Nothing else in this process installs a logger.
    let _ = LogCapture::around(logger).install(most);
}
