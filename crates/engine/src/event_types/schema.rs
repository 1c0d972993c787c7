//! A JSON Schema that payloads are held against: compiled once, used for each. Owns what one evaluation may cost; which
//! schemas are taken at all is `shape`'s.
//!
//! Neither a schema nor a payload is trusted. A schema fetches nothing, its expressions run in linear time, and each step
//! of an evaluation is paid for out of an allowance: a small one on the caller's thread, a larger one beside it.

mod shape;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use jsonschema::paths::Location;
use jsonschema::{Keyword, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

pub use shape::{SCHEMA_MAX, SchemaProblem};

/// The longest payload that is held against a schema, in bytes.
pub const CHECKED_PAYLOAD_MAX: usize = 1 << 20;

/// How many places of a payload that do not fit are told.
pub const MISFITS_MAX: usize = 10;

/// The longest explanation of one, in characters.
const WORDS_MAX: usize = 300;

/// What an evaluation on the caller's thread may cost, in steps: a millisecond or less.
const SMALL_ALLOWANCE: u64 = 10_000;

/// What an evaluation may cost at all: some tenths of a second.
const ALLOWANCE: u64 = 2_000_000;

/// A step for this many bytes of a text, or members of a list.
const LENGTH_OF_A_STEP: usize = 32;

/// The largest program that one of a schema's expressions may become, in bytes.
const EXPRESSION_MAX: usize = 256 << 10;

/// The keyword by which a schema's parts are paid for. It is written into each of them.
const WEIGHT: &str = "hookward-weight";

thread_local! {
    /// What is left of the allowance of the evaluation on this thread.
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

/// A place in a payload that does not fit the schema of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The JSON pointer to it; empty for the whole payload.
    pub pointer: String,
    /// Why, in one sentence.
    pub message: String,
}

impl Misfit {
    fn whole(message: impl Into<String>) -> Vec<Self> {
        vec![Self { pointer: String::new(), message: message.into() }]
    }
}

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct PayloadSchema(Validator);

/// What came of an evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fit {
    Fits,
    Misfits(Vec<Misfit>),
    /// It took more steps than it may.
    TooMuch,
}

impl PayloadSchema {
    /// Compiles a schema of draft 2020-12 or 7.
    pub(crate) fn compile(schema: &Value) -> Result<Self, SchemaProblem> {
        let (draft, metered) = shape::metered(schema, WEIGHT)?;
        let options = jsonschema::options()
            .with_draft(draft)
            .should_validate_formats(true)
            // A payload's text as an expression would be compiled without a limit.
            .with_format("regex", |_: &str| true)
            .with_pattern_options(PatternOptions::regex().size_limit(EXPRESSION_MAX).dfa_size_limit(EXPRESSION_MAX))
            .with_keyword(WEIGHT, meter)
            .offline();
        options.build(&metered).map(Self).map_err(|error| SchemaProblem {
            pointer: error.instance_path().as_str().to_owned(),
            message: cut(&error.masked().to_string()),
        })
    }

    /// Holds a payload against it, for as many steps as there are on the caller's own thread.
    pub(crate) fn check_small(&self, payload: &[u8]) -> Fit {
        self.check_within(payload, SMALL_ALLOWANCE)
    }

    /// Holds a payload against it. Takes its time.
    pub(crate) fn check(&self, payload: &[u8]) -> Result<(), Vec<Misfit>> {
        match self.check_within(payload, ALLOWANCE) {
            Fit::Fits => Ok(()),
            Fit::Misfits(misfits) => Err(misfits),
            Fit::TooMuch => Err(Misfit::whole("it would take too long to hold this against its type's schema")),
        }
    }

    fn check_within(&self, payload: &[u8], allowance: u64) -> Fit {
        if payload.len() > CHECKED_PAYLOAD_MAX {
            let message = format!("a payload of a type with a schema has at most {CHECKED_PAYLOAD_MAX} bytes");
            return Fit::Misfits(Misfit::whole(message));
        }
        // It was seen to be JSON; what is left are numbers and depths that no reader takes.
        let value: Value = match serde_json::from_slice(payload) {
            Ok(value) => value,
            Err(error) => return Fit::Misfits(Misfit::whole(format!("it cannot be read as a value: {error}"))),
        };
        match metered(allowance, || self.0.is_valid(&value)) {
            None => Fit::TooMuch,
            Some(true) => Fit::Fits,
            Some(false) => self.misfits(&value, allowance),
        }
    }

    /// Where it does not fit: all places if that is cheap, or else the first.
    fn misfits(&self, value: &Value, allowance: u64) -> Fit {
        let told = |error: &ValidationError<'_>| Misfit {
            pointer: error.instance_path().as_str().to_owned(),
            message: cut(&error.masked().to_string()),
        };
        let some = metered(SMALL_ALLOWANCE, || self.0.iter_errors(value).take(MISFITS_MAX).map(|e| told(&e)).collect());
        let some = some.or_else(|| metered(allowance, || self.0.validate(value).err().iter().map(told).collect()));
        some.map_or(Fit::TooMuch, Fit::Misfits)
    }
}

/// Runs something whose steps are paid out of `allowance`; `None` when that was not enough.
fn metered<T>(allowance: u64, work: impl FnOnce() -> T) -> Option<T> {
    LEFT.set(allowance);
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Some(done),
        Err(thrown) if thrown.is::<Spent>() => None,
        Err(thrown) => resume_unwind(thrown),
    }
}

/// Thrown when an allowance is spent: a validator cannot be told to end in any other way.
struct Spent;

/// A part of a schema, as far as it is to be paid for.
struct Meter {
    weight: u64,
    is_deep: bool,
}

impl Meter {
    fn pay(&self, instance: &Value) {
        let length = if self.is_deep { nodes(instance) * LENGTH_OF_A_STEP } else { length(instance) };
        let steps = u64::try_from(1 + length / LENGTH_OF_A_STEP).unwrap_or(u64::MAX).saturating_mul(self.weight);
        let left = LEFT.get();
        if left < steps {
            resume_unwind(Box::new(Spent));
        }
        LEFT.set(left - steps);
    }
}

impl<'i> Keyword<'i> for Meter {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        self.pay(instance);
        Ok(())
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.pay(instance);
        true
    }
}

fn meter<'a>(
    part: &'a Map<String, Value>,
    weight: &'a Value,
    _: Location,
) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
    let is_deep = part.get("uniqueItems") == Some(&Value::Bool(true));
    Ok(Box::new(Meter { weight: weight.as_u64().unwrap_or(1), is_deep }))
}

fn length(instance: &Value) -> usize {
    match instance {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// How much there is of a list whose members are held against each other.
fn nodes(instance: &Value) -> usize {
    1 + match instance {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(members) => members.values().map(nodes).sum(),
        other => length(other) / LENGTH_OF_A_STEP,
    }
}

fn cut(words: &str) -> String {
    match words.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}
