//! Tables that came as JSON, written as the TOML they could have been, so that one reader and one set of checks serve both.
//! Owns the way back, too: from a place in that text to the JSON pointer of what stands there.

use serde_json::{Map, Value};

/// Tables as TOML, each value with the pointer that it came from.
#[derive(Debug, Default)]
pub(super) struct Document {
    text: String,
    /// Where something begins, and its pointer; in the text's order.
    places: Vec<(usize, String)>,
}

impl Document {
    /// Adds `[[header]]` with what `table` says, which stands at `pointer` in what was sent. A member that is null is one
    /// that is absent.
    pub(super) fn add(&mut self, header: &str, pointer: &str, table: &Map<String, Value>) {
        self.places.push((self.text.len(), pointer.to_owned()));
        self.text += &format!("[[{header}]]\n");
        for (name, value) in table.iter().filter(|(_, value)| !value.is_null()) {
            self.member(pointer, name, value);
            self.text.push('\n');
        }
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What stands at byte `offset` of the text.
    pub(super) fn pointer(&self, offset: usize) -> &str {
        let after = self.places.partition_point(|(start, _)| *start <= offset);
        after.checked_sub(1).map_or("", |at| &self.places[at].1)
    }

    fn member(&mut self, above: &str, name: &str, value: &Value) {
        let pointer = format!("{above}/{}", name.replace('~', "~0").replace('/', "~1"));
        self.places.push((self.text.len(), pointer.clone()));
        self.string(name);
        self.text += " = ";
        self.value(&pointer, value);
    }

    fn value(&mut self, pointer: &str, value: &Value) {
        match value {
            // TOML has no null: in a list it is as wrong as any text would be.
            Value::Null => self.text += "{}",
            Value::Bool(value) => self.text += &value.to_string(),
            Value::Number(number) => self.text += &number.to_string(),
            Value::String(text) => self.string(text),
            Value::Array(items) => {
                self.text.push('[');
                for (index, item) in items.iter().enumerate() {
                    let pointer = format!("{pointer}/{index}");
                    self.places.push((self.text.len(), pointer.clone()));
                    self.value(&pointer, item);
                    self.text.push(',');
                }
                self.text.push(']');
            }
            Value::Object(members) => {
                let members = members.iter().filter(|(_, value)| !value.is_null());
                self.text.push('{');
                for (index, (name, value)) in members.enumerate() {
                    if index > 0 {
                        self.text.push(',');
                    }
                    self.member(pointer, name, value);
                }
                self.text.push('}');
            }
        }
    }

    /// JSON's escapes are TOML's, but for one character.
    fn string(&mut self, text: &str) {
        let quoted = Value::from(text).to_string();
        self.text += &quoted.replace('\u{7f}', "\\u007f");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(tables: &[Value]) -> Document {
        let mut document = Document::default();
        for (index, table) in tables.iter().enumerate() {
            document.add("source", &format!("/source/{index}"), table.as_object().expect("a table"));
        }
        document
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let table = json!({
            "text": "a \"b\" \\ \r\n\u{0}\u{7f}\u{1f}é🦀 ${X}", "": "no name", "a.b": 1, "X-A\r\nX": -9_007_199_254_740_993_i64,
            "list": [1, [true, "x"], {"a/b": {"~": 1.5}}], "empty": {}, "none": [],
        });
        let document = document(&[json!({ "name": "first", "gone": null, "in": { "gone": null } }), table.clone()]);
        let read: toml::Table = toml::from_str(document.text()).expect("it is TOML");
        let sources = serde_json::to_value(&read["source"]).expect("plain data");
        assert_eq!(sources, json!([{ "name": "first", "in": {} }, table]));
    }

    #[test]
    fn a_place_leads_back_to_what_was_sent() {
        let document = document(&[json!({ "name": "x" }), json!({ "a": [1, { "b/c": "here" }], "z": 2 })]);
        let at = |text: &str| document.pointer(document.text().find(text).expect("it is there"));
        assert_eq!(at("[[source]]"), "/source/0");
        assert_eq!(at("\"x\""), "/source/0/name");
        assert_eq!(at("here"), "/source/1/a/1/b~1c");
        assert_eq!(at("\"b/c\""), "/source/1/a/1/b~1c");
        assert_eq!(at("1,"), "/source/1/a/0");
        assert_eq!(at("2"), "/source/1/z");
        assert_eq!(Document::default().pointer(0), "");
    }
}
