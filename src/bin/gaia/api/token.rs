//! The file that holds a token.

use std::path::Path;

use crate::{
    exit::{Failure, Result},
    output::say,
};

/// The token: the text of the file without blanks around it.
pub fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!(
            "cannot read the token file {shown}: {error}; write the token into it, in one line"
        ))
    })?;
    let token = text.trim();
    // A header holds visible ASCII alone. The token is not repeated.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage(format!(
            "the token file {shown} holds no token; expected one line of visible ASCII characters without blanks"
        )));
    }
    if is_open(path) {
        say(&format!(
            "gaia: warning: others may read the token file {shown}; run `chmod 600 {shown}`"
        ));
    }
    Ok(token.to_owned())
}

#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}
