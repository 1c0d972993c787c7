//! Showing JSON to people: a table for a list, lines for one thing.
//! Knows no endpoint; the commands say which fields are columns.

use std::io::{ErrorKind, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::exit::Exit;

/// A column: its title and the field it shows.
pub(super) type Column = (&'static str, &'static str);

/// Writes to standard output. A reader that has read enough (`| head`) is no failure.
pub(super) fn out(bytes: &[u8]) -> Result<(), Exit> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Exit::failure(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard output.
pub(super) fn line(text: &str) -> Result<(), Exit> {
    out(format!("{text}\n").as_bytes())
}

/// Writes JSON as it is, readable.
pub(super) fn json(value: &Value) -> Result<(), Exit> {
    line(&harmless(&format!("{value:#}")))
}

/// Writes JSON on one line.
pub(super) fn json_line(value: &Value) -> Result<(), Exit> {
    line(&harmless(&value.to_string()))
}

fn harmless(json: &str) -> String {
    // JSON's own escapes leave characters that steer a terminal; in a text they may be written as numbers.
    let steers = |c: char| turns(c) || (c.is_control() && c != '\n');
    let written = |c: char| if steers(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    json.chars().map(written).collect()
}

/// A table of `items`.
pub(super) fn table(items: &[Value], columns: &[Column]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|(title, _)| *title));
    for item in items {
        table.add_row(columns.iter().map(|(_, field)| scalar(&item[*field])));
    }
    tidy(&table.to_string())
}

/// The fields of one thing, a line each; lists of things become tables below.
pub(super) fn fields(value: &Value) -> String {
    let mut lines = Vec::new();
    let mut tables = Vec::new();
    collect("", value, &mut lines, &mut tables);
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in lines {
        text += format!("{name:width$}  {value}").trim_end();
        text.push('\n');
    }
    for (name, items) in tables {
        text += &format!("\n{name}\n");
        for item in items {
            text += &fields(item).lines().map(|line| format!("  {line}\n")).collect::<String>();
            text.push('\n');
        }
    }
    text.trim_end().to_owned()
}

fn collect<'v>(
    prefix: &str,
    value: &'v Value,
    lines: &mut Vec<(String, String)>,
    tables: &mut Vec<(String, &'v [Value])>,
) {
    let Value::Object(map) = value else { return lines.push((prefix.to_owned(), scalar(value))) };
    // Maps come sorted by name; what something is called stands first all the same.
    let first = ["id", "name"].into_iter().filter_map(|name| map.get_key_value(name));
    let rest = map.iter().filter(|(name, _)| !matches!(name.as_str(), "id" | "name"));
    for (name, value) in first.chain(rest) {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Object(_) => collect(&name, value, lines, tables),
            Value::Array(items) if items.iter().any(Value::is_object) => tables.push((name, items)),
            Value::Array(items) if items.iter().any(Value::is_array) => {
                let pair =
                    |item: &Value| lines.push((name.clone(), format!("{}: {}", scalar(&item[0]), scalar(&item[1]))));
                items.iter().for_each(pair);
            }
            _ => lines.push((name, scalar(value))),
        }
    }
}

/// One value on one line. Control characters are written out: what a sender sent does not steer a terminal.
fn scalar(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    escaped(&text)
}

/// A text in which nothing steers a terminal: control characters, and those that turn the direction of writing, are written
/// out.
pub(super) fn escaped(text: &str) -> String {
    let written = |c: char| if c.is_control() || turns(c) { c.escape_default().collect() } else { vec![c] };
    text.chars().flat_map(written).collect()
}

fn tidy(table: &str) -> String {
    table.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

/// Whether a character turns the direction of writing.
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
