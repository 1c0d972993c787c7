//! The doors that are open now: an entrance for each path that the engine's sources have. They follow what is declared, from
//! one request to the next; what an entrance is, is `entrance`'s.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use hookward_engine::Engine;

use super::entrance::{Entrance, entrances};
use crate::config::Limits;
use crate::metrics::Metrics;

/// Every door, as of the engine's newest generation.
#[derive(Debug)]
pub(super) struct Doors {
    engine: Engine,
    metrics: Metrics,
    limits: Limits,
    open: ArcSwap<Open>,
    /// Held by whoever opens them anew; everybody else who comes too early waits.
    opening: Mutex<()>,
}

#[derive(Debug)]
struct Open {
    generation: u64,
    entrances: HashMap<String, Arc<Entrance>>,
}

impl Doors {
    /// Opens a door for every declared source.
    ///
    /// # Errors
    /// When a source's kept door is not one, or two do not fit on one path: a sentence for each such source.
    pub(super) fn open(engine: Engine, metrics: Metrics, limits: Limits) -> Result<Self, String> {
        let (open, problems) = build(&engine, &metrics, &limits);
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        Ok(Self { engine, metrics, limits, open: ArcSwap::from_pointee(open), opening: Mutex::new(()) })
    }

    /// The entrance at this path, if there is one now. Costs a look at a number unless something was declared since.
    pub(super) fn at(&self, path: &str) -> Option<Arc<Entrance>> {
        if self.open.load().generation != self.engine.generation() {
            self.follow();
        }
        self.open.load().entrances.get(path).cloned()
    }

    fn follow(&self) {
        let _one_at_a_time = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if self.open.load().generation == self.engine.generation() {
            return;
        }
        let (open, problems) = build(&self.engine, &self.metrics, &self.limits);
        for problem in problems {
            tracing::error!("a door stays closed: {problem}");
        }
        self.open.store(Arc::new(open));
    }
}

fn build(engine: &Engine, metrics: &Metrics, limits: &Limits) -> (Open, Vec<String>) {
    // Read before what it stands for: should that change meanwhile, the next request looks again.
    let generation = engine.generation();
    let (entrances, problems) = entrances(engine, metrics, limits);
    let entrances = entrances.into_iter().map(|(path, entrance)| (path, Arc::new(entrance))).collect();
    (Open { generation, entrances }, problems)
}
