//! What an evaluation has left of its allowance. The interpreter's functions are plain functions, so this stands beside
//! the evaluation, on its thread.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;

use cel::ExecutionError;
use regex::Regex;

/// So many bytes of text cost as much as one step of a loop.
const TEXT_BYTES: usize = 128;

#[derive(Default)]
struct Meter {
    left: u64,
    used_up: bool,
    patterns: Option<Arc<[Regex]>>,
}

thread_local! {
    static METER: RefCell<Meter> = RefCell::default();
}

/// An evaluation under way on this thread, until dropped.
pub(super) struct Metered(PhantomData<*const ()>);

/// Begins an evaluation with `allowance` on this thread.
pub(super) fn start(allowance: u64, patterns: Arc<[Regex]>) -> Metered {
    METER.set(Meter { left: allowance, used_up: false, patterns: Some(patterns) });
    Metered(PhantomData)
}

impl Metered {
    /// Whether the allowance was not enough.
    pub(super) fn is_used_up(&self) -> bool {
        METER.with_borrow(|meter| meter.used_up)
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        METER.take();
    }
}

/// Takes `steps` from the allowance.
pub(super) fn charge(steps: usize) -> Result<(), ExecutionError> {
    METER.with_borrow_mut(|meter| match meter.left.checked_sub(steps as u64) {
        Some(left) => {
            meter.left = left;
            Ok(())
        }
        None => {
            meter.left = 0;
            meter.used_up = true;
            Err(ExecutionError::function_error("allowance", "it is used up"))
        }
    })
}

/// Takes what it costs to work on so many bytes of text.
pub(super) fn charge_text(bytes: usize) -> Result<(), ExecutionError> {
    charge(1 + bytes / TEXT_BYTES)
}

/// Whether the expression's pattern of this number matches.
pub(super) fn matches(pattern: usize, text: &str) -> Result<bool, ExecutionError> {
    charge_text(text.len())?;
    let patterns = METER.with_borrow(|meter| meter.patterns.clone());
    let pattern = patterns.as_deref().and_then(|patterns| patterns.get(pattern));
    pattern.map(|pattern| pattern.is_match(text)).ok_or_else(|| ExecutionError::undeclared_reference("matches"))
}
