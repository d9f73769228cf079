//! No import circle: from no file a way leads by imports through other files back to it.
//!
//! A module and the modules inside it are one room, whatever they import of each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::layers::sources;

/// The segments of a path, such as `crate`, `store`, `Store`.
type Names = Vec<String>;

struct File {
    code: String,
    imports: BTreeSet<Names>,
    /// What it exports of other modules, by name.
    exports: BTreeMap<String, Names>,
    /// Modules of which it exports everything.
    globs: Vec<Names>,
}

struct Files(BTreeMap<Names, File>);

#[test]
fn no_file_imports_itself_through_others() {
    let files = Files::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let imports: BTreeMap<&Names, BTreeSet<Names>> = files.0.keys().map(|file| (file, files.imported(file))).collect();
    assert!(
        imports.values().map(BTreeSet::len).sum::<usize>() > 300,
        "the imports are read"
    );
    let mut circles = Vec::new();
    for file in imports.keys() {
        let mut way = BTreeMap::new();
        let mut next = vec![*file];
        while let Some(from) = next.pop() {
            for to in imports.get(from).into_iter().flatten() {
                let (to, _) = imports.get_key_value(to).expect("is a file");
                if way.insert(*to, from).is_none() {
                    next.push(to);
                }
            }
        }
        if let Some(last) = way.get(file) {
            circles.push(format!(
                "{} … {} → {}",
                file.join("::"),
                last.join("::"),
                file.join("::")
            ));
        }
    }
    assert_eq!(circles, [""; 0]);
}

impl Files {
    fn read(src: &Path) -> Self {
        let file = |path| (module_of(src, path), File::read(path));
        Self(sources(src).iter().map(|path| file(path)).collect())
    }

    /// The files that this one imports from, without its own room.
    fn imported(&self, file: &Names) -> BTreeSet<Names> {
        let paths = self.0[file].imports.iter();
        let found = paths
            .filter_map(|path| self.absolute(file, path))
            .map(|path| self.home(&path, 0));
        found
            .filter(|to| !to.starts_with(file) && !file.starts_with(to))
            .collect()
    }

    /// The path from the crate's root, if it leads into the crate.
    fn absolute(&self, file: &Names, path: &[String]) -> Option<Names> {
        let (first, rest) = path.split_first()?;
        let inside = |module: &[String], rest: &[String]| Some([module, rest].concat());
        match first.as_str() {
            "crate" => Some(path.to_vec()),
            "self" => inside(file, rest),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                inside(file.get(..file.len().checked_sub(ups)?)?, &path[ups..])
            }
            _ => inside(file, path).filter(|path| self.0.contains_key(&path[..=file.len()])),
        }
    }

    /// The file that defines what this path from the root names, through whatever modules export it.
    fn home(&self, path: &[String], depth: usize) -> Names {
        let length = (1..=path.len())
            .rev()
            .find(|length| self.0.contains_key(&path[..*length]));
        let (module, rest) = path.split_at(length.expect("the root is a file"));
        let Some(name) = rest.first().filter(|_| depth < 9) else {
            return module.to_vec();
        };
        let module = module.to_vec();
        let exported = self.0[&module].exports.get(name);
        let globs = self.0[&module].globs.iter();
        let exported = exported.and_then(|path| self.absolute(&module, path)).or_else(|| {
            let has = |glob: &Names| self.0.get(glob).is_some_and(|file| file.defines(name));
            let mut targets = globs.filter_map(|glob| self.absolute(&module, glob)).filter(has);
            targets.next().map(|glob| [glob, vec![name.clone()]].concat())
        });
        match exported {
            Some(path) if path != [module.as_slice(), &rest[..1]].concat() => {
                self.home(&[path.as_slice(), &rest[1..]].concat(), depth + 1)
            }
            _ => module,
        }
    }
}

impl File {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("is readable");
        // Tests at the end of a file may use what they like.
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
        let code = lines.collect::<Vec<_>>().join("\n");
        let mut file = Self {
            imports: inline_paths(&code).collect(),
            exports: BTreeMap::new(),
            globs: Vec::new(),
            code: String::new(),
        };
        for (is_exported, path) in uses(&code) {
            let (name, module) = path.split_last().expect("is not empty");
            match (is_exported, name.as_str()) {
                (true, "*") => file.globs.push(module.to_vec()),
                (true, _) => drop(file.exports.insert(name.clone(), path.clone())),
                (false, _) => {}
            }
            file.imports.insert(path);
        }
        file.code = code;
        file
    }

    fn defines(&self, name: &str) -> bool {
        let is_definition = |word: &str| {
            self.code.match_indices(&format!("{word} {name}")).any(|(at, text)| {
                let next = self.code[at + text.len()..].chars().next();
                next.is_none_or(|char| !char.is_alphanumeric() && char != '_')
            })
        };
        let words = ["struct", "enum", "trait", "fn", "type", "const", "static"];
        self.exports.contains_key(name) || words.into_iter().any(is_definition)
    }
}

/// `src/store/mod.rs` is `crate::store`.
fn module_of(src: &Path, path: &Path) -> Names {
    let inside = path.strip_prefix(src).expect("lies in src").with_extension("");
    let names = inside.iter().map(|name| name.to_string_lossy().into_owned());
    let names = names.filter(|name| name != "mod" && name != "lib");
    std::iter::once("crate".to_owned()).chain(names).collect()
}

/// The paths of all `use` items, and whether others may import them from here.
fn uses(code: &str) -> Vec<(bool, Names)> {
    let mut found = Vec::new();
    for (at, word) in code.match_indices("use ") {
        let before = code[..at].rsplit('\n').next().unwrap_or_default().trim();
        let is_item = before.is_empty() || before.starts_with("pub");
        let item = code[at + word.len()..].split(';').next().unwrap_or_default();
        if is_item {
            let paths = flat(item, &[]).into_iter();
            found.extend(paths.map(|path| (before.starts_with("pub"), path)));
        }
    }
    found
}

/// The paths of a tree such as `super::{a::B, c}`.
fn flat(tree: &str, prefix: &[String]) -> Vec<Names> {
    let (path, list) = match tree.split_once('{') {
        Some((path, list)) => (path, list.rsplit_once('}').map(|(list, _)| list)),
        None => (tree.split(" as ").next().unwrap_or_default(), None),
    };
    let names = path.split("::").map(str::trim).filter(|name| !name.is_empty());
    let names = names.filter(|name| *name != "self" || prefix.is_empty());
    let path = [prefix, &names.map(str::to_owned).collect::<Names>()].concat();
    let Some(list) = list else {
        return if path.is_empty() { Vec::new() } else { vec![path] };
    };
    let (mut items, mut depth) = (vec![String::new()], 0);
    for char in list.chars() {
        depth += i32::from(char == '{') - i32::from(char == '}');
        match (char, depth) {
            (',', 0) => items.push(String::new()),
            _ => items.last_mut().expect("has one").push(char),
        }
    }
    let items = items.iter().filter(|item| !item.trim().is_empty());
    items.flat_map(|item| flat(item, &path)).collect()
}

/// Paths in the code itself, such as `crate::store::Store`.
fn inline_paths(code: &str) -> impl Iterator<Item = Names> {
    let starts = ["crate::", "super::"]
        .into_iter()
        .flat_map(|start| code.match_indices(start));
    let goes_on = |char: char| char.is_alphanumeric() || matches!(char, '_' | ':');
    let starts = starts.filter(move |(at, _)| !code[..*at].ends_with(goes_on));
    starts.filter_map(|(at, _)| {
        let path: String = code[at..]
            .chars()
            .take_while(|char| char.is_alphanumeric() || matches!(char, '_' | ':'))
            .collect();
        let names: Names = path
            .split("::")
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        (names.len() > 1).then_some(names)
    })
}
