//! What may and may not stand in a file's text.

use super::Complaint;
use super::rust::{code_only, is_word};
use super::tree::{File, Tree};

pub(super) fn files_say_what_they_own(tree: &Tree) -> Vec<Complaint> {
    let silent = |file: &&File| !file.text.lines().next().is_some_and(|line| line.starts_with("//! "));
    tree.matching("", ".rs")
        .filter(silent)
        .map(|file| format!("{}: its first line must be `//!` and say what it owns", file.path))
        .collect()
}

pub(super) fn todo_has_its_condition(tree: &Tree) -> Vec<Complaint> {
    // Spelled in two parts, so that this file does not complain about itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    let conditional = concat!("TO", "DO(when ");
    let sloppy = |line: &str| marks.iter().any(|mark| has_word(line, mark)) && !line.contains(conditional);
    let code =
        tree.files.iter().filter(|file| [".rs", ".toml", ".sql", ".mjs"].iter().any(|end| file.path.ends_with(end)));
    on_lines(code, |line| sloppy(line).then(|| format!("write `{conditional}…)`, or do it now")))
}

pub(super) fn sql_is_lower_case(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.matching("crates/engine/", ".sql").chain(tree.matching("crates/engine/src/store", ".rs")) {
        // In Rust only literals are SQL: a constant may be called `SELECT`, and stand in a format string as `{SELECT}`.
        let code = if file.path.ends_with(".rs") { code_only(&file.text) } else { String::new() };
        let mut code_lines = code.lines();
        for (index, line) in file.text.lines().enumerate() {
            let code_line = code_lines.next().unwrap_or_default();
            let is_sql = |word: &str| has_word(&line.replace(&format!("{{{word}}}"), ""), word);
            let shouted = SHOUTED.iter().find(|word| is_sql(word) && !has_word(code_line, word));
            complaints.extend(
                shouted
                    .map(|word| format!("{}:{}: SQL is lower case: `{}`", file.path, index + 1, word.to_lowercase())),
            );
        }
    }
    complaints
}

const SHOUTED: [&str; 10] =
    ["SELECT", "INSERT", "UPDATE", "DELETE", "FROM", "WHERE", "VALUES", "CREATE TABLE", "CREATE INDEX", "ORDER BY"];

pub(super) fn pages_hold_no_code(tree: &Tree) -> Vec<Complaint> {
    on_lines(tree.matching("crates/gateway/templates/", ".html"), |line| {
        let line = line.to_ascii_lowercase();
        let mut tags = line.split('<').skip(1).map(|tag| tag.split('>').next().unwrap_or_default());
        let handles =
            |tag: &str| tag.split_ascii_whitespace().skip(1).any(|word| word.starts_with("on") && word.contains('='));
        let is_code = |tag: &str| {
            (tag.starts_with("script") && !tag.contains(" src="))
                || tag.starts_with("style")
                || tag.contains(" style=")
                || handles(tag)
        };
        if line.replace(' ', "").contains("|safe") {
            return Some("what is shown is text: it is not passed on as markup".to_owned());
        }
        tags.any(is_code).then(|| "scripts and styles stand in files of their own".to_owned())
    })
}

pub(super) fn exceptions_are_expected(tree: &Tree) -> Vec<Complaint> {
    tree.matching("", ".rs")
        .filter(|file| code_only(&file.text).contains(concat!("[al", "low(")))
        .map(|file| format!("{}: an exception is `#[expect(lint, reason = \"…\")]`", file.path))
        .collect()
}

pub(super) fn nothing_names_a_machine(tree: &Tree) -> Vec<Complaint> {
    let banned = [
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
        concat!("/wo", "rk/"),
        concat!("/tmp/", "wt"),
        concat!("registry", ".npm", "js"),
        concat!("static.", "crates", ".io"),
        concat!("index.", "crates", ".io"),
        concat!("deb.", "debian", ".org"),
        concat!("pypi", ".org"),
    ];
    // Cargo writes the name of its index into the lock file; nobody chooses it.
    let files = tree.files.iter().filter(|file| !file.path.ends_with("Cargo.lock"));
    on_lines(files, |line| {
        banned
            .iter()
            .find(|word| line.contains(*word))
            .map(|word| format!("names a place outside the project: `{word}`"))
    })
}

fn on_lines<'a>(files: impl Iterator<Item = &'a File>, judge: impl Fn(&str) -> Option<String>) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in files {
        for (index, line) in file.text.lines().enumerate() {
            complaints.extend(judge(line).map(|problem| format!("{}:{}: {problem}", file.path, index + 1)));
        }
    }
    complaints
}

/// Whether `word` stands in `line` by itself, not inside a longer word.
fn has_word(line: &str, word: &str) -> bool {
    let bytes = line.as_bytes();
    line.match_indices(word).any(|(at, _)| {
        let before = at.checked_sub(1).is_some_and(|before| is_word(bytes[before]));
        let after = bytes.get(at + word.len()).is_some_and(|&after| is_word(after));
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_its_first_line_is_found() {
        let tree = Tree::of(&[("a.rs", "//! Owns a.\n"), ("b.rs", "use x;\n"), ("c.rs", "")]);
        assert_eq!(files_say_what_they_own(&tree).len(), 2);
    }

    #[test]
    fn a_bare_todo_is_found() {
        let bare = concat!("// TO", "DO: later\n");
        let conditional = concat!("// TO", "DO(when Rust 2.0 is out): rewrite\n");
        let tree = Tree::of(&[("a.rs", bare), ("b.rs", conditional), ("c.rs", concat!("let a = \"TO", "DOS\";"))]);
        assert_eq!(todo_has_its_condition(&tree).len(), 1);
    }

    #[test]
    fn shouted_sql_is_found() {
        let tree = Tree::of(&[
            (
                "crates/engine/src/store/sqlite.rs",
                "\"SELECT 1\"\n\"select 1\"\nconst SELECT: &str = \"select\";\nformat!(\"{SELECT} where\")\n",
            ),
            ("crates/engine/migrations/sqlite/0001_a.sql", "CREATE TABLE a (b);\n"),
        ]);
        assert_eq!(sql_is_lower_case(&tree).len(), 2);
    }

    #[test]
    fn code_in_a_page_is_found() {
        let page = |text: &str| Tree::of(&[("crates/gateway/templates/dashboard/a.html", text)]);
        for code in [
            "<script>alert(1)</script>",
            "<p style=\"color: red\">",
            "<style>",
            "<button class=\"x\" onclick=\"go()\">",
            "{{ text|safe }}",
            "{{ text | safe }}",
        ] {
            assert_eq!(pages_hold_no_code(&page(code)).len(), 1, "{code}");
        }
        for text in
            ["<script src=\"{{ script }}\" defer></script>", "<p class=\"once\">{{ on }}</p>", "<option value=\"one\">"]
        {
            assert!(pages_hold_no_code(&page(text)).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_silent_exception_is_found() {
        let silent = concat!("#[al", "low(dead_code)]\nfn f() {}\n");
        let tree = Tree::of(&[("a.rs", silent), ("b.rs", "#[expect(dead_code, reason = \"…\")]\n")]);
        assert_eq!(exceptions_are_expected(&tree).len(), 1);
    }

    #[test]
    fn a_machines_path_is_found() {
        let tree = Tree::of(&[("README.md", concat!("see /ho", "me/me\n")), ("b.md", "see /tmp/x\n")]);
        assert_eq!(nothing_names_a_machine(&tree).len(), 1);
    }
}
