//! How long things may be. The exceptions only shrink: one that is no longer needed is a complaint of its own.

use super::Complaint;
use super::rust::functions;
use super::tree::Tree;

/// Lines of a file.
const FILE_MAX: usize = 500;

/// Lines of a function, from its name to its closing brace.
const FUNCTION_MAX: usize = 70;

/// Lines of ARCHITECTURE.md.
const ARCHITECTURE_MAX: usize = 200;

/// Files that are longer, and how long they may stay.
const LONG_FILES: &[(&str, usize)] = &[];

/// Functions that are longer (`path::name`), and how long they may stay.
const LONG_FUNCTIONS: &[(&str, usize)] = &[];

const SOURCE_ENDINGS: [&str; 4] = [".rs", ".mjs", ".sql", ".sh"];

pub(super) fn files_are_short(tree: &Tree) -> Vec<Complaint> {
    let is_source = |path: &str| SOURCE_ENDINGS.iter().any(|ending| path.ends_with(ending));
    let files = tree.files.iter().filter(|file| is_source(&file.path));
    let sizes = files.map(|file| (file.path.clone(), file.text.lines().count()));
    too_long(sizes, FILE_MAX, LONG_FILES)
}

pub(super) fn functions_are_short(tree: &Tree) -> Vec<Complaint> {
    let sizes = tree.matching("", ".rs").flat_map(|file| {
        functions(&file.text).into_iter().map(|function| {
            let place = format!("{}::{}", file.path, function.name);
            (place, function.line, function.lines)
        })
    });
    let mut complaints = Vec::new();
    for (place, line, lines) in sizes {
        let at_line = |complaint: String| format!("{complaint} (line {line})");
        complaints
            .extend(too_long(std::iter::once((place, lines)), FUNCTION_MAX, LONG_FUNCTIONS).into_iter().map(at_line));
    }
    complaints
}

pub(super) fn architecture_is_short(tree: &Tree) -> Vec<Complaint> {
    let sizes = tree.file("ARCHITECTURE.md").map(|file| (file.path.clone(), file.text.lines().count()));
    too_long(sizes.into_iter(), ARCHITECTURE_MAX, &[])
}

fn too_long(sizes: impl Iterator<Item = (String, usize)>, max: usize, exceptions: &[(&str, usize)]) -> Vec<Complaint> {
    let judge = |(place, lines): (String, usize)| {
        let exception = exceptions.iter().find(|(name, _)| *name == place).map(|(_, lines)| *lines);
        match exception {
            Some(allowed) if lines < allowed => {
                Some(format!("{place}: is down to {lines} lines: lower its exception from {allowed}, or remove it"))
            }
            Some(allowed) if lines == allowed => None,
            None if lines <= max => None,
            _ => Some(format!("{place}: {lines} lines, at most {}", exception.unwrap_or(max))),
        }
    };
    sizes.filter_map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_500_lines_and_not_501() {
        let (fits, long) = ("x\n".repeat(500), "x\n".repeat(501));
        let tree = Tree::of(&[("a.rs", &fits), ("b.rs", &long), ("c.json", &long)]);
        assert_eq!(files_are_short(&tree), ["b.rs: 501 lines, at most 500"]);
    }

    #[test]
    fn a_function_may_have_70_lines_and_not_71() {
        let body = |lines: usize| format!("fn f() {{\n{}}}\n", "    a();\n".repeat(lines - 2));
        let tree = Tree::of(&[("a.rs", &body(70)), ("b.rs", &body(71))]);
        assert_eq!(functions_are_short(&tree), ["b.rs::f: 71 lines, at most 70 (line 1)"]);
    }

    #[test]
    fn architecture_is_held_to_200_lines() {
        assert_eq!(architecture_is_short(&Tree::of(&[("ARCHITECTURE.md", &"x\n".repeat(201))])).len(), 1);
        assert_eq!(architecture_is_short(&Tree::of(&[("ARCHITECTURE.md", &"x\n".repeat(200))])).len(), 0);
    }

    #[test]
    fn an_exception_only_shrinks() {
        let judge = |lines| too_long(std::iter::once(("a".to_owned(), lines)), 70, &[("a", 90)]);
        assert_eq!(judge(90).len(), 0);
        assert_eq!(judge(91), ["a: 91 lines, at most 90"]);
        assert_eq!(judge(80), ["a: is down to 80 lines: lower its exception from 90, or remove it"]);
    }
}
