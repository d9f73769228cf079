//! The programs of `examples`, built with the tests: `cargo test --test NAME` alone builds no examples.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

/// Where the program of this example lies, built from the sources as they are now.
pub fn example(name: &'static str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().expect("each build has succeeded");
    built.entry(name).or_insert_with(|| build(name)).clone()
}

fn build(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("has a path");
    let profile = tests.parent().and_then(Path::parent);
    let profile = profile.expect("lies in target/<profile>/deps");
    let release = profile.ends_with("release").then_some("--release");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--example", name])
        .args(["--no-default-features", "--features", &features()])
        .args(release)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    // Cargo sets these for a test. A build script of a dependency watches them: many dependencies would be built anew, and
    // again by the next `cargo test`.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|of_package| name.to_string_lossy().starts_with(of_package))
        {
            cargo.env_remove(name);
        }
    }
    let status = cargo.status();
    assert!(status.expect("cargo runs").success(), "the example does not build");
    profile.join("examples").join(name)
}

/// All features of this build: with others the library, and what it depends on, would be built once more.
fn features() -> String {
    let all = [
        ("default", cfg!(feature = "default")),
        ("sqlite", cfg!(feature = "sqlite")),
        ("postgres", cfg!(feature = "postgres")),
        ("mysql", cfg!(feature = "mysql")),
        ("hooks", cfg!(feature = "hooks")),
        ("web", cfg!(feature = "web")),
        ("metrics", cfg!(feature = "metrics")),
        ("tracing", cfg!(feature = "tracing")),
        ("cli", cfg!(feature = "cli")),
    ];
    let on: Vec<_> = all.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name).collect();
    on.join(",")
}
