//! The public interface with all features is the list in docs/api.txt. A change of the list is a change for users: it belongs into the changelog,
//! and what takes something away from them waits for the next incompatible version. `scripts/check-api` runs this, for which rustdoc must have
//! described the crate.

use std::path::Path;

use public_api::Builder;

#[test]
fn the_interface_is_the_listed_one() {
    let described = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../doc/gaia_actors.json");
    let api = Builder::from_rustdoc_json(described)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .expect("scripts/check-api describes the crate, by a version of Rust whose description public-api reads");
    api.assert_eq_or_update("docs/api.txt");
}
