//! The shape of the crates: how long a room is, and which room imports which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A room's lines of code at most; more with a reason: `//! Long because …`.
const LONGEST: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

/// Whether a file holds nothing but tests.
fn is_test(path: &str) -> bool {
    path.split('/').any(|part| {
        let part = part.trim_end_matches(".rs");
        part == "tests" || part.ends_with("_tests") || part.ends_with("_shuttle")
    })
}

/// Module path (`cell::push`; of a folder's `mod.rs` the folder's) → source without its inline tests, of a crate's rooms.
fn rooms(of: &str) -> BTreeMap<String, String> {
    fn walk(folder: &Path, prefix: &str, into: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
            let inner = if prefix.is_empty() { name.clone() } else { format!("{prefix}::{name}") };
            if is_test(&name) {
                continue;
            }
            if path.is_dir() {
                walk(&path, &inner, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let source = fs::read_to_string(&path).expect("it can be read");
                let code = source.split("\n#[cfg(all(test, not(any(loom, shuttle))))]\nmod ").next();
                let code = code.and_then(|code| code.split("\n#[cfg(test)]\nmod ").next());
                let module = if name == "mod" { prefix.to_owned() } else { inner };
                into.insert(module, code.unwrap_or_default().to_owned());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&root().join("crates").join(of).join("src"), "", &mut found);
    found
}

fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

/// The paths of a tree of imports: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        return vec![tree.split(" as ").next().unwrap_or_default().trim().to_owned()];
    };
    let (before, inner) = (&tree[..open], tree[open + 1..].trim_end().trim_end_matches('}'));
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[begin..]);
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    // A group's braces may have lost one of theirs above.
    let whole = |part: &str| {
        let missing = part.matches('{').count().saturating_sub(part.matches('}').count());
        format!("{part}{}", "}".repeat(missing))
    };
    parts.flat_map(|part| paths(&whole(part))).map(|path| format!("{before}{path}")).collect()
}

/// The paths that a source names: its imports, and what begins with `crate`, `super` or `self`.
fn named(source: &str) -> Vec<String> {
    let code: Vec<&str> = source.lines().filter(|line| is_code(line)).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    let mut rest = String::new();
    for statement in code.split_inclusive(';') {
        let begin = statement.lines().position(|line| {
            let line = line.trim_start();
            line.starts_with("use ") || line.starts_with("pub") && line.contains(" use ")
        });
        match begin {
            Some(begin) => {
                let import: Vec<&str> = statement.lines().skip(begin).collect();
                let import = import.join(" ");
                let tree = import.split_once("use ").map_or("", |(_, tree)| tree);
                found.extend(paths(tree.trim_end_matches(';')));
            }
            None => rest.push_str(statement),
        }
    }
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for path in rest.split(|c| !word(c)) {
        if ["crate::", "super::", "self::"].iter().any(|root| path.starts_with(root)) {
            found.push(path.to_owned());
        }
    }
    found
}

/// Which rooms each room imports.
fn imports(rooms: &BTreeMap<String, String>) -> BTreeMap<&str, BTreeSet<&str>> {
    let resolve = |from: &str, path: &str| -> Option<&str> {
        let mut base: Vec<&str> = from.split("::").collect();
        let mut parts = path.split("::").peekable();
        match parts.next()? {
            "crate" => base.clear(),
            "super" => {
                base.pop();
                while parts.next_if_eq(&"super").is_some() {
                    base.pop();
                }
            }
            "self" => {}
            child if rooms.contains_key(&format!("{from}::{child}")) => base.push(child),
            _ => return None,
        }
        base.extend(parts);
        while !base.is_empty() {
            if let Some((room, _)) = rooms.get_key_value(&base.join("::")) {
                return Some(room);
            }
            base.pop();
        }
        None
    };
    rooms
        .iter()
        .map(|(room, source)| {
            let named = named(source);
            let of = named.iter().filter_map(|path| resolve(room, path)).filter(|other| *other != room);
            (room.as_str(), of.collect())
        })
        .collect()
}

/// All rooms that can be reached from this one.
fn reached<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = imports[from].iter().copied().collect();
    while let Some(room) = open.pop() {
        if reached.insert(room) {
            open.extend(imports[room].iter().copied());
        }
    }
    reached
}

/// Row A1: no room is longer than a reader can hold in mind, or it says why.
#[test]
fn no_room_is_too_long() {
    let crates = fs::read_dir(root().join("crates")).expect("crates/ exists");
    for folder in crates {
        let folder = folder.expect("it can be listed").file_name().to_string_lossy().into_owned();
        for (room, source) in rooms(&folder) {
            let lines = source.lines().filter(|line| is_code(line)).count();
            let reason = source.contains("//! Long because ");
            assert!(lines <= LONGEST || reason, "{folder}: {room} has {lines} lines of code");
        }
    }
}

/// Row A2: in core the rooms' imports make no circle.
#[test]
fn no_room_of_core_imports_itself_by_way_of_others() {
    let rooms = rooms("core");
    let imports = imports(&rooms);
    assert!(imports["cell::push"].contains("word") && imports["send"].contains("cell"), "{imports:?}");
    for room in imports.keys() {
        assert!(!reached(&imports, room).contains(room), "{room}: {:?}", imports[room]);
    }
}

/// Row A2: nor do those of supervisor's rules, by whatever way.
#[test]
fn no_rule_of_a_supervisor_imports_itself_by_way_of_others() {
    let rooms = rooms("supervisor");
    let imports = imports(&rooms);
    let rules: Vec<&&str> = imports.keys().filter(|room| room.starts_with("rules")).collect();
    assert!(rules.len() > 8, "{rules:?}");
    for room in rules {
        assert!(!reached(&imports, room).contains(*room), "{room}: {:?}", imports[*room]);
    }
}

#[test]
fn imports_are_read_as_they_are_written() {
    assert_eq!(paths("a::{b, c::{d, e as f}, self}"), ["a::b", "a::c::d", "a::c::e", "a::self"]);
    let rooms = BTreeMap::from([
        ("a".to_owned(), "use crate::b::{\n    C, D,\n};\nfn f() { crate::d::e::g() }".to_owned()),
        ("b".to_owned(), "//! use crate::a::A;\npub(crate) use self::e::E;\n".to_owned()),
        ("b::e".to_owned(), "use super::super::a::X;\nuse std::fmt;".to_owned()),
        ("d".to_owned(), String::new()),
    ]);
    let imports = imports(&rooms);
    assert_eq!(imports["a"], BTreeSet::from(["b", "d"]));
    assert_eq!(imports["b"], BTreeSet::from(["b::e"]));
    assert_eq!(imports["b::e"], BTreeSet::from(["a"]));
    assert!(reached(&imports, "a").contains("a") && reached(&imports, "d").is_empty());
}
