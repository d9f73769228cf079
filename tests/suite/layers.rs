//! The layers of ARCHITECTURE.md, checked: a file imports from its own layer or from below.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// From the bottom. Modules of one row may know each other.
const LAYERS: [&[&str]; 16] = [
    &[
        "clock",
        "uptime",
        "config",
        "backoff",
        "blocking",
        "line",
        "repeats",
        "lease",
        "held_runs",
        "mac",
        "panic_text",
        "schedule",
    ],
    &["domain"],
    &["events", "logs", "threads", "traces"],
    &["store"],
    &["registry", "hook"],
    &["services"],
    &["error", "operations"],
    &["run"],
    &["admin", "asynctask", "jobs", "node"],
    &["definition"],
    &["remote"],
    &["alerts"],
    &["runtime"],
    &["web"],
    &["messages"],
    &["testing"],
];

#[test]
fn imports_point_downward() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for file in sources(&src) {
        let module = module_of(&src, &file);
        let Some(own) = layer(&module) else { continue };
        let text = fs::read_to_string(&file).expect("is readable");
        // Tests at the end of a file may use what they like.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for used in imports(code) {
            if layer(&used).is_some_and(|layer| layer > own) {
                faults.push(format!("{} imports crate::{used}", file.display()));
            }
        }
    }
    assert_eq!(faults, [""; 0]);
}

#[test]
fn only_the_store_knows_sql_and_it_knows_no_actors() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&src) {
        let text = fs::read_to_string(&file).expect("is readable");
        let code: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        let in_store = module_of(&src, &file) == "store";
        assert!(in_store || !code.contains("diesel"), "{} uses diesel", file.display());
        assert!(!in_store || !code.contains("actix"), "{} uses actix", file.display());
    }
}

/// One way leads to the log: it makes one line of each record.
#[test]
fn only_one_file_writes_to_the_log() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&src) {
        let text = fs::read_to_string(&file).expect("is readable");
        let code: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        let writes =
            ["trace", "debug", "info", "warn", "error", "log"].map(|level| code.contains(&format!("log::{level}!(")));
        let is_own = module_of(&src, &file) == "line";
        assert!(
            is_own || writes == [false; 6],
            "{} writes to the log itself",
            file.display()
        );
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

fn module_of(src: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(src).expect("lies in src");
    let first = inside.components().next().expect("has a name").as_os_str();
    first.to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The top modules that a text names as `crate::module`, alone or in braces.
fn imports(code: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|char| char.is_alphanumeric() || *char == '_')
            .collect()
    };
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        let (mut depth, mut item) = (0, String::new());
        for char in list.chars() {
            match char {
                '}' if depth == 0 => break,
                ',' if depth == 0 => found.push(word(&std::mem::take(&mut item))),
                _ => {
                    depth += i32::from(char == '{') - i32::from(char == '}');
                    item.push(char);
                }
            }
        }
        found.push(word(&item));
    }
    found
}

pub fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("is readable");
    let paths = entries.map(|entry| entry.expect("is readable").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
