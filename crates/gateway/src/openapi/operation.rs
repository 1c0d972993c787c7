//! One operation while it is being described: what it takes, what it answers, who may ask.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use crate::api::problem::Code;

/// What is known of an operation.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) path: String,
    pub(super) method: &'static str,
    id: String,
    section: &'static str,
    text: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: BTreeMap<u16, Value>,
    pub(super) codes: BTreeSet<Code>,
    /// Who may ask: what each way to prove oneself has to bring. Nobody has to, when there is none.
    security: Vec<Value>,
}

/// An operation that its handler's parts are telling about.
#[derive(Debug)]
pub(crate) struct Operation<'s> {
    pub(super) schemas: &'s mut Schemas,
    pub(super) described: &'s mut Described,
}

impl Operation<'_> {
    /// It may answer with this problem.
    pub(crate) fn may(&mut self, code: Code) {
        self.described.codes.insert(code);
    }

    /// It wants to know who asks, and that they have this scope.
    pub(crate) fn needs(&mut self, scope: &str) {
        self.described.security = vec![json!({ "bearer": [scope] }), json!({ "session": [scope] })];
        self.described.codes.extend([Code::Unauthorized, Code::Forbidden]);
    }

    /// It wants to know who asks, whoever it is.
    pub(crate) fn needs_anybody(&mut self) {
        self.described.security = vec![json!({ "bearer": [] }), json!({ "session": [] })];
        // A session's cookie counts only from the gateway's own pages.
        self.described.codes.extend([Code::Unauthorized, Code::Forbidden]);
    }

    /// It wants a user who is signed in.
    pub(crate) fn needs_person(&mut self) {
        self.needs_anybody();
        self.may(Code::InvalidRequest);
    }

    /// The variable parts of its path, in their order.
    pub(crate) fn takes_path(&mut self, segments: Vec<Value>) {
        let template = self.described.path.clone();
        let names = template.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        for (name, schema) in names.zip(segments) {
            self.parameter("path", name, schema, true);
        }
        self.may(Code::NotFound);
    }

    /// The fields of `T` in its query, and nothing else.
    pub(crate) fn takes_query<T: JsonSchema>(&mut self) {
        for (name, schema, required) in self.schemas.fields::<T>() {
            match name.as_str() {
                "limit" => self.may(Code::InvalidLimit),
                "cursor" => self.may(Code::InvalidCursor),
                _ => {}
            }
            self.parameter("query", &name, schema, required);
        }
        self.may(Code::InvalidQuery);
    }

    /// A header that may be there.
    pub(crate) fn takes_header(&mut self, name: &str, schema: Value) {
        self.parameter("header", name, schema, false);
    }

    /// A JSON body.
    pub(crate) fn takes_body<T: JsonSchema>(&mut self, required: bool) {
        let schema = self.schemas.taken::<T>();
        self.described.body =
            Some(json!({ "required": required, "content": { "application/json": { "schema": schema } } }));
        self.described.codes.extend([
            Code::MalformedRequest,
            Code::PayloadTooLarge,
            Code::UnsupportedMediaType,
            Code::InvalidRequest,
        ]);
    }

    /// It may answer with this status and a JSON document.
    pub(crate) fn answers<T: JsonSchema>(&mut self, status: StatusCode) {
        let schema = self.schemas.given::<T>();
        self.answers_as(status, "application/json", schema);
    }

    /// It may answer with this status and something of this kind.
    pub(crate) fn answers_as(&mut self, status: StatusCode, media_type: &str, schema: Value) {
        let content = json!({ media_type: { "schema": schema } });
        let description = status.canonical_reason().unwrap_or_default();
        self.described.answers.insert(status.as_u16(), json!({ "description": description, "content": content }));
    }

    /// It may answer with this status and nothing else.
    pub(crate) fn answers_nothing(&mut self, status: StatusCode) {
        let description = status.canonical_reason().unwrap_or_default();
        self.described.answers.insert(status.as_u16(), json!({ "description": description }));
    }

    /// An answer of this status has a header.
    pub(crate) fn answers_header(&mut self, status: StatusCode, name: &str, description: &str) {
        if let Some(answer) = self.described.answers.get_mut(&status.as_u16()) {
            answer["headers"][name] = json!({ "description": description, "schema": { "type": "string" } });
        }
    }

    fn parameter(&mut self, place: &str, name: &str, mut schema: Value, required: bool) {
        let mut parameter = json!({ "in": place, "name": name, "required": required });
        if let Some(description) = schema.as_object_mut().and_then(|schema| schema.remove("description")) {
            parameter["description"] = description;
        }
        parameter["schema"] = schema;
        self.described.parameters.push(parameter);
    }
}

impl Described {
    /// What stands at a path, before anything is known of it.
    pub(super) fn new(
        path: String,
        method: &'static str,
        id: String,
        section: &'static str,
        text: &'static str,
    ) -> Self {
        Self {
            path,
            method,
            id,
            section,
            text,
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            codes: BTreeSet::from([Code::Unavailable, Code::Inconsistent]),
            security: Vec::new(),
        }
    }

    /// The operation as the document has it; its problems join those that `problems` has by name.
    pub(super) fn into_json(self, problems: &mut Map<String, Value>) -> Value {
        let (summary, description) = self.text.split_once(": ").unwrap_or((self.text, ""));
        let mut operation = json!({ "operationId": self.id, "tags": [self.section], "summary": summary });
        if !description.is_empty() {
            operation["description"] = json!(capitalized(description) + ".");
        }
        operation["security"] = json!(self.security);
        if !self.parameters.is_empty() {
            operation["parameters"] = json!(self.parameters);
        }
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        let mut answers = self.answers;
        let statuses: BTreeSet<StatusCode> = self.codes.iter().map(|code| code.status()).collect();
        for status in statuses {
            let codes: Vec<Code> = self.codes.iter().copied().filter(|code| code.status() == status).collect();
            let names: Vec<&str> = codes.iter().map(|code| code.name()).collect();
            let name = format!("{}.{}", status.as_u16(), names.join("."));
            answers.insert(status.as_u16(), json!({ "$ref": format!("#/components/responses/{name}") }));
            problems.entry(name).or_insert_with(|| problem(status, &codes));
        }
        operation["responses"] = answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect();
        operation
    }
}

/// The answer of a status that has only problems.
fn problem(status: StatusCode, codes: &[Code]) -> Value {
    let title = status.canonical_reason().unwrap_or_default();
    let meanings: Vec<String> = codes.iter().map(|code| format!("`{}`: {}", code.name(), code.meaning())).collect();
    let names: Vec<&str> = codes.iter().map(|code| code.name()).collect();
    let schema = json!({ "allOf": [
        { "$ref": "#/components/schemas/Problem" },
        { "properties": { "status": { "const": status.as_u16() }, "code": { "enum": names } } },
    ]});
    let detail = codes.first().map(|code| code.meaning());
    let example = json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "code": names.first(), "detail": detail,
    });
    let content = json!({ "application/problem+json": { "schema": schema, "example": example } });
    let mut answer = json!({ "description": meanings.join("; "), "content": content });
    for (name, description) in Code::headers(status) {
        answer["headers"][name] = json!({ "description": description, "schema": { "type": "string" } });
    }
    answer
}

fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}
