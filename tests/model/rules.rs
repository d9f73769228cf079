//! The rules of the models beside the code: each is named where the code keeps it, as `model: task::Fence`.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
};

use crate::{batch, fires, slots, task};

fn names<R: Debug>(module: &str, rules: &[R]) -> Vec<String> {
    rules.iter().map(|rule| format!("{module}::{rule:?}")).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("is a folder") {
        let path = entry.expect("is an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn rules() -> BTreeSet<String> {
    let mut rules = names("task", &task::RULES);
    rules.extend(names("fires", &fires::RULES));
    rules.extend(names("slots", &slots::RULES));
    rules.extend(names("batch", &batch::RULES));
    rules.into_iter().collect()
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_guarantees_name_what_exists_and_each_rule() {
    let text = read("docs/guarantees.md");
    let mut links = 0;
    for link in text.split("[`").skip(1) {
        let Some((name, rest)) = link.split_once("`](../") else {
            continue;
        };
        let (path, _) = rest.split_once(')').expect("ends with a bracket");
        let word = name.rsplit("::").next().unwrap_or(name);
        assert!(read(path).contains(word), "{path} has no {word}");
        links += 1;
    }
    assert!(links > 50, "{links}");
    for rule in rules() {
        assert!(text.contains(&format!("`{rule}`")), "{rule}");
    }
}

#[test]
fn the_code_names_each_rule_of_the_models_and_no_other() {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let mut named = BTreeSet::new();
    for path in found {
        let text = fs::read_to_string(&path).unwrap_or_default();
        for rest in text.split("(model: ").skip(1) {
            let (name, _) = rest.split_once(')').expect("ends with a bracket");
            named.insert(name.to_owned());
        }
    }
    assert_eq!(named, rules(), "left: what src names; right: the rules of the models");
}
