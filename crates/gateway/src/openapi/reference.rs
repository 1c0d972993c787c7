//! The reference: the document as one page that a browser shows without asking anyone else. Owns its markup; all text
//! in it is escaped here, and what stands between backticks is code.

mod schema;

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What stands unescaped in a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Methods in the order in which they are read.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The page.
pub(super) fn page(document: &Value) -> String {
    let info = &document["info"];
    let mut page = Page { html: String::new(), known: &document["components"] };
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\">\n<title>Hookward API</title>\n");
    page.raw("<link rel=\"stylesheet\" href=\"reference.css\">\n</head>\n<body>\n");
    let sections = sections(document);
    page.contents(&sections);
    page.raw("<main>\n<h1>Hookward API</h1>\n");
    page.paragraph(text(&info["description"]));
    page.paragraph(
        "As a program reads it: `/api/openapi.json`. In the examples `$HOOKWARD_URL` is the admin listener.",
    );
    for section in &sections {
        let _ = write!(page.html, "<section>\n<h2 id=\"{}\">", anchor(section.name));
        page.text(section.name);
        page.raw("</h2>\n");
        page.paragraph(section.about);
        for operation in &section.operations {
            page.operation(operation);
        }
        page.raw("</section>\n");
    }
    page.named_schemas();
    page.raw("</main>\n</body>\n</html>\n");
    page.html
}

/// Operations about one kind of thing.
struct Section<'d> {
    name: &'d str,
    about: &'d str,
    operations: Vec<Operation<'d>>,
}

struct Operation<'d> {
    method: &'d str,
    path: &'d str,
    says: &'d Value,
}

fn sections(document: &Value) -> Vec<Section<'_>> {
    let of = |tag: &str| {
        let mut operations = Vec::new();
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            for method in METHODS {
                if let Some(says) = methods.get(method).filter(|says| says["tags"][0] == tag) {
                    operations.push(Operation { method, path, says });
                }
            }
        }
        operations
    };
    let mut sections = Vec::new();
    for tag in document["tags"].as_array().into_iter().flatten() {
        let name = text(&tag["name"]);
        sections.push(Section { name, about: text(&tag["description"]), operations: of(name) });
    }
    sections
}

struct Page<'d> {
    html: String,
    /// What has a name.
    known: &'d Value,
}

impl Page<'_> {
    fn raw(&mut self, html: &str) {
        self.html += html;
    }

    fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.html += "&amp;",
                '<' => self.html += "&lt;",
                '>' => self.html += "&gt;",
                '"' => self.html += "&quot;",
                other => self.html.push(other),
            }
        }
    }

    /// Text in which every second piece between backticks is code.
    fn prose(&mut self, text: &str) {
        for (place, piece) in text.split('`').enumerate() {
            if place % 2 == 1 {
                self.code(piece);
            } else {
                self.text(piece);
            }
        }
    }

    fn paragraph(&mut self, text: &str) {
        if !text.is_empty() {
            self.raw("<p>");
            self.prose(text);
            self.raw("</p>\n");
        }
    }

    fn code(&mut self, text: &str) {
        self.raw("<code>");
        self.text(text);
        self.raw("</code>");
    }

    fn block(&mut self, label: &str, text: &str) {
        let _ = write!(self.html, "<figure><figcaption>{label}</figcaption><pre tabindex=\"0\">");
        self.text(text);
        self.raw("</pre></figure>\n");
    }

    fn contents(&mut self, sections: &[Section<'_>]) {
        self.raw("<nav aria-label=\"Contents\">\n<a class=\"home\" href=\"#\">Hookward API</a>\n");
        for section in sections {
            let _ = write!(self.html, "<details open><summary>");
            self.text(section.name);
            self.raw("</summary>\n<ul>\n");
            for operation in &section.operations {
                let _ = write!(self.html, "<li><a href=\"#{}\">", operation.anchor());
                self.method(operation.method);
                self.text(text(&operation.says["summary"]));
                self.raw("</a></li>\n");
            }
            self.raw("</ul></details>\n");
        }
        self.raw("<a href=\"#schemas\">Schemas</a>\n</nav>\n");
    }

    fn method(&mut self, method: &str) {
        let _ = write!(self.html, "<span class=\"method {method}\">{}</span> ", method.to_uppercase());
    }

    fn operation(&mut self, operation: &Operation<'_>) {
        let anchor = operation.anchor();
        let _ = write!(self.html, "<article id=\"{anchor}\">\n<h3><a href=\"#{anchor}\">");
        self.text(text(&operation.says["summary"]));
        self.raw("</a></h3>\n<p class=\"route\">");
        self.method(operation.method);
        self.code(operation.path);
        self.raw("</p>\n");
        self.paragraph(text(&operation.says["description"]));
        match (operation.is_open(), operation.scope()) {
            (true, _) => self.paragraph("Needs no key."),
            (false, Some(scope)) => self.paragraph(&format!("Needs the scope `{scope}`.")),
            (false, None) => self.paragraph("Needs no scope."),
        }
        self.parameters(&operation.says["parameters"]);
        let body = &operation.says["requestBody"]["content"]["application/json"];
        if body.is_object() {
            self.raw("<h4>Body</h4>\n");
            self.schema(&body["schema"]);
        }
        self.block("curl", &operation.curl());
        self.answers(&operation.says["responses"]);
        self.raw("</article>\n");
    }

    fn parameters(&mut self, parameters: &Value) {
        let Some(parameters) = parameters.as_array() else { return };
        self.raw("<h4>Parameters</h4>\n<table>\n<thead><tr><th>Name<th>In<th>Is<th>Means</tr></thead>\n<tbody>\n");
        for parameter in parameters {
            self.raw("<tr><td>");
            self.code(text(&parameter["name"]));
            self.raw("<td>");
            self.text(text(&parameter["in"]));
            self.raw("<td>");
            self.kind(&parameter["schema"]);
            if parameter["required"] != true {
                self.raw(", optional");
            }
            self.raw("<td>");
            self.prose(text(&parameter["description"]));
            self.raw("</tr>\n");
        }
        self.raw("</tbody>\n</table>\n");
    }

    fn answers(&mut self, answers: &Value) {
        self.raw("<h4>Answers</h4>\n");
        let Some(answers) = answers.as_object() else { return };
        for (status, answer) in answers.iter().filter(|(status, _)| status.starts_with('2')) {
            let _ = write!(self.html, "<p><b class=\"status\">{status}</b> ");
            self.prose(text(&answer["description"]));
            for (media_type, media) in answer["content"].as_object().into_iter().flatten() {
                self.raw(": ");
                self.code(media_type);
                self.raw(", ");
                self.kind(&media["schema"]);
                self.raw("</p>\n");
                if media_type == "application/json" {
                    let example = serde_json::to_string_pretty(&media["example"]).unwrap_or_default();
                    self.block("example", &example);
                }
            }
        }
        self.raw("<table>\n<tbody>\n");
        for (status, answer) in answers.iter().filter(|(status, _)| !status.starts_with('2')) {
            let name = answer["$ref"].as_str().and_then(|text| text.rsplit('/').next()).unwrap_or_default();
            let answer = &self.known["responses"][name];
            let _ = write!(self.html, "<tr><td><b class=\"status\">{status}</b><td>");
            for (place, part) in text(&answer["description"]).split("; ").enumerate() {
                if place > 0 {
                    self.raw("<br>");
                }
                self.prose(part);
            }
            self.raw("</tr>\n");
        }
        self.raw("</tbody>\n</table>\n");
    }
}

impl Operation<'_> {
    fn anchor(&self) -> String {
        anchor(text(&self.says["operationId"]))
    }

    fn is_open(&self) -> bool {
        self.says["security"].as_array().is_none_or(Vec::is_empty)
    }

    fn scope(&self) -> Option<&str> {
        self.says["security"][0]["bearer"][0].as_str()
    }

    /// A command that does it, with what the document has as examples.
    fn curl(&self) -> String {
        let mut path = self.path.to_owned();
        for parameter in self.says["parameters"].as_array().into_iter().flatten() {
            let example = parameter["schema"]["examples"][0].as_str().or(parameter["schema"]["enum"][0].as_str());
            if let (Some(name), Some(example)) = (parameter["name"].as_str(), example) {
                let segment = utf8_percent_encode(example, PLAIN).to_string();
                path = path.replace(&format!("{{{name}}}"), &segment);
            }
        }
        let mut command = "curl".to_owned();
        if self.method != "get" {
            let _ = write!(command, " -X {}", self.method.to_uppercase());
        }
        if !self.is_open() {
            command += " -H \"Authorization: Bearer $HOOKWARD_API_KEY\"";
        }
        if let Some(media) = self.says["requestBody"]["content"].get("application/json") {
            let body = media["example"].to_string().replace('\'', "'\\''");
            let _ = write!(command, " \\\n  -H 'Content-Type: application/json' -d '{body}'");
        }
        command + &format!(" \\\n  \"$HOOKWARD_URL{path}\"")
    }
}

/// What of a name can stand in a fragment.
fn anchor(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' }).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_the_document_says_is_text() {
        let hostile = "<script>alert(1)</script> \"&\" `<b>`";
        let page = page(&json!({
            "info": { "description": hostile },
            "tags": [{ "name": hostile, "description": hostile }],
            "paths": { "/<i>": { "get": {
                "operationId": hostile, "tags": [hostile], "summary": hostile, "description": hostile,
                "security": [{ "bearer": ["read"] }],
                "parameters": [{ "name": hostile, "in": "query", "schema": { "type": hostile }, "description": hostile }],
                "responses": { "200": { "description": hostile, "content": {
                    "application/json": { "schema": { "type": "string" }, "example": hostile },
                } } },
            } } },
            "components": { "schemas": { "<u>": { "description": hostile, "enum": [hostile] } } },
        }));
        for tag in ["<script", "<b>", "<i>", "<u>"] {
            assert!(!page.contains(tag), "{tag}");
        }
        assert!(page.contains("<code>&lt;b&gt;</code>") && page.contains("Needs the scope <code>read</code>"));
    }

    #[test]
    fn the_page_asks_nobody_else() {
        let page = page(&json!({ "info": {}, "tags": [], "paths": {}, "components": { "schemas": {} } }));
        assert_eq!(page.matches("href=\"").count(), page.matches("href=\"#").count() + 1, "one stylesheet");
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("src="));
    }
}
