//! Expressions in CEL over an event: what a filter lets through, the value of which an event is the first, the key of
//! which it is the newest. Owns what an expression may see, say and cost; what follows from its value is `routing`'s.
//!
//! Whoever writes an expression is trusted, whoever sends a body is not: no body makes an evaluation cost more than its
//! allowance, whatever the expression.

mod guard;
mod meter;
mod subject;
mod values;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::common::ast::IdedExpr;
use cel::parser::PrattParser;
use cel::{Context, Value as Native};
use regex::Regex;

pub use subject::{Subject, View};

/// The longest expression, in bytes.
pub const LENGTH_MAX: usize = 4096;

/// How deep an expression may nest: brackets, operators and selections inside one another.
pub const DEPTH_MAX: usize = 48;

/// How deep `all`, `exists`, `exists_one`, `map` and `filter` may nest.
pub const LOOPS_MAX: usize = 3;

/// The most values of JSON that an expression looks at: lists, maps, texts and numbers in a body.
pub const BODY_VALUES_MAX: u32 = 1_000_000;

/// What one evaluation may cost: steps of loops, and 128 bytes of text each time a text is worked on.
pub const ALLOWANCE: u64 = 2_000_000;

/// The allowance that takes no longer than a caller can spare that has other things to do.
pub const SMALL_ALLOWANCE: u64 = 10_000;

/// The longest explanation of a failure, in bytes.
const EXPLANATION_MAX: usize = 500;

/// The parser recurses, and so does whatever walks what it made: both on a stack that holds the deepest text. The
/// interpreter needs about 50 KiB for each level.
const STACK: usize = 64 << 20;

/// How deep a tree may be to be evaluated on its caller's stack: the interpreter then needs less than 1 MiB.
const SHALLOW: usize = 16;

/// Why a text is not an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidExpression(pub(crate) String);

/// Why an expression has no value for an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A key that is not there, a type that does not fit.
    #[error("{0}")]
    Failed(String),
    /// It cost its allowance, or the body is more than an expression looks at.
    #[error("{0}")]
    TooMuch(String),
}

impl Failure {
    fn failed(explanation: impl Into<String>) -> Self {
        let mut explanation = explanation.into();
        if explanation.len() > EXPLANATION_MAX {
            let end = explanation.floor_char_boundary(EXPLANATION_MAX);
            explanation.truncate(end);
            explanation.push('…');
        }
        Self::Failed(explanation)
    }
}

/// An expression, ready to be evaluated.
#[derive(Debug)]
pub struct Expression {
    tree: IdedExpr,
    patterns: Arc<[Regex]>,
    depth: usize,
    reads_body: bool,
}

impl Expression {
    /// Compiles `text`.
    ///
    /// # Errors
    ///
    /// [`InvalidExpression`] for what is not CEL, is too long or too deep, names what is not there, or has a pattern
    /// that cannot be used.
    pub fn compile(text: &str) -> Result<Self, InvalidExpression> {
        if text.len() > LENGTH_MAX {
            return Err(InvalidExpression(format!("an expression has at most {LENGTH_MAX} bytes")));
        }
        let text = text.to_owned();
        let compiling = std::thread::Builder::new().name("hookward-compile".to_owned()).stack_size(STACK);
        let compiling = compiling.spawn(move || Self::compile_here(&text));
        let no_thread = |error| InvalidExpression(format!("there is no thread to compile it on: {error}"));
        let compiled = compiling.map_err(no_thread)?.join();
        compiled.unwrap_or_else(|_| Err(InvalidExpression("the parser cannot read it".to_owned())))
    }

    fn compile_here(text: &str) -> Result<Self, InvalidExpression> {
        // Twice as deep as an expression may be: brackets alone leave nothing in the tree.
        let parser = PrattParser::new().max_recursion_depth(2 * DEPTH_MAX as u16).error_reporting_limit(1);
        let tree = parser.parse(text).map_err(|errors| {
            let first = errors.errors.into_iter().next();
            InvalidExpression(first.map_or_else(
                || "it is not an expression".to_owned(),
                |error| format!("line {}, character {}: {}", error.pos.0.max(1), error.pos.1.max(1), error.msg),
            ))
        })?;
        let (tree, patterns) = guard::guard(tree)?;
        let (depth, reads_body) = (guard::depth(&tree), guard::reads_body(&tree));
        Ok(Self { tree, patterns: patterns.into(), depth, reads_body })
    }

    /// Its value for an event, as JSON.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub fn evaluate(&self, view: &mut View<'_>, allowance: u64) -> Result<serde_json::Value, Failure> {
        if self.depth <= SHALLOW {
            // A fault in the interpreter is this expression's failure, and the event is kept all the same.
            let evaluated = catch_unwind(AssertUnwindSafe(|| self.evaluate_here(view, allowance)));
            return evaluated.unwrap_or_else(|_| Err(Failure::failed("the interpreter broke off")));
        }
        let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("there is no thread for it: {error}"));
        std::thread::scope(|scope| {
            let evaluating = std::thread::Builder::new().name("hookward-evaluate".to_owned()).stack_size(STACK);
            let evaluating = evaluating.spawn_scoped(scope, move || self.evaluate_here(view, allowance));
            let evaluating = evaluating.map_err(|error| failed(&error))?;
            evaluating.join().unwrap_or_else(|_| Err(Failure::failed("the interpreter broke off")))
        })
    }

    fn evaluate_here(&self, view: &View<'_>, allowance: u64) -> Result<serde_json::Value, Failure> {
        let metered = meter::start(allowance, Arc::clone(&self.patterns));
        let mut context = Context::with_env(values::environment());
        view.add_to(&mut context, self.reads_body)?;
        let value = Native::resolve_val(&self.tree, &context);
        let value = value.map(|value| values::to_json(value.as_ref()));
        // Loops over truth values pass errors by, so what counts is whether the allowance was used up at all.
        if metered.is_used_up() {
            return Err(Failure::TooMuch(format!("it takes more than its allowance of {allowance} steps")));
        }
        value.map_err(|error| Failure::failed(error.to_string()))?.map_err(Failure::failed)
    }
}

#[cfg(test)]
mod tests;
