//! Retention: what is too old or too much is stripped, oldest first, in small steps that leave the writer to others.
//! Owns the pace; what stripping is, and what is never stripped, is the store's.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::ids::SourceId;
use crate::model::{AuditEntry, Principal, Retention, Source};
use crate::store::{Change, Old, StoreError, Strip};

/// How often it is looked whether something is too old or too much.
const EVERY: Duration = Duration::from_secs(60);

/// How often the oldest events are looked at again, some of which were still owed before.
const FROM_THE_START_EVERY: Duration = Duration::from_secs(3600);

/// Events in one step, and bytes of their bodies: a few milliseconds of the writer.
const STEP_EVENTS: u32 = 64;
const STEP_BYTES: u64 = 8 << 20;

/// Rows of stripped events removed in one step.
const STEP_ROWS: u32 = 256;

/// Where whole days go, a row goes this much later: its day is over by then, and had its chance.
const DAY: Duration = Duration::from_secs(26 * 3600);

/// The rest after a step.
const PAUSE: Duration = Duration::from_millis(20);

/// How far retention has come at each source.
#[derive(Debug, Default)]
struct Sweep {
    after: HashMap<SourceId, i64>,
    from_the_start_at: Option<Timestamp>,
}

impl Engine {
    /// Puts the retention of the engine's inner doors (`publish`, `hookward`) in force.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`].
    pub async fn declare_inner_retention(&self, retention: Retention) -> Result<(), EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        self.inner().anew(|| self.declare_inner_retention_once(retention)).await
    }

    async fn declare_inner_retention_once(&self, retention: Retention) -> Result<(), EngineError> {
        let registry = self.inner().registry();
        let now = self.inner().clock().now();
        let changed = registry.all_doors().flat_map(|doors| [&doors.publish, &doors.own]);
        let changed: Vec<Source> = changed.filter(|source| source.spec.retention != retention).cloned().collect();
        if changed.is_empty() {
            return Ok(());
        }
        let audit = changed.iter().map(|source| {
            let by = Principal { organization: source.organization, ..Principal::config() };
            let detail =
                json!({ "before": { "retention": source.spec.retention }, "after": { "retention": retention } });
            AuditEntry::by(&by, "source.update", format!("source:{}", source.name), now, detail)
        });
        let audit = audit.collect();
        let changes = changed.into_iter().map(|mut source| {
            source.spec.retention = retention;
            Change::PutSource(source)
        });
        self.inner().change(changes.collect(), audit).await?;
        self.inner().refresh().await
    }

    /// Strips what is too old or too much, again and again, until `stop`.
    pub(crate) async fn retain(&self, stop: &CancellationToken) {
        let mut sweep = Sweep::default();
        while !stop.is_cancelled() {
            let clock = self.inner().clock();
            let next = clock.now().plus(EVERY);
            if let Err(error) = self.inner().store().make_room().await {
                tracing::warn!(%error, "there is no room yet for the coming days");
            }
            if let Err(error) = self.inner().store().fold().await {
                tracing::warn!(%error, "what is counted cannot be added up yet");
            }
            if let Err(error) = self.retain_once(&mut sweep, stop).await {
                tracing::warn!(%error, "retention cannot go on yet");
            }
            stop.run_until_cancelled(clock.sleep_until(next)).await;
        }
    }

    /// Drops what goes as a whole day, and looks at every source, removed ones included.
    async fn retain_once(&self, sweep: &mut Sweep, stop: &CancellationToken) -> Result<(), StoreError> {
        let now = self.inner().clock().now();
        if sweep.from_the_start_at.is_none_or(|at| at <= now) {
            *sweep = Sweep { after: HashMap::new(), from_the_start_at: Some(now.plus(FROM_THE_START_EVERY)) };
        }
        let sources = self.inner().store().load().await?.sources;
        let before = sources.iter().filter_map(|source| Some((source.id, now.minus(source.spec.retention.age?))));
        let old = Old { before: before.collect(), now };
        let has_days = self.inner().store().drop_days(old).await?.is_some();
        for source in sources {
            let Retention { age, size_bytes } = source.spec.retention;
            if age.is_none() && size_bytes.is_none() {
                continue;
            }
            let mut goes_on = true;
            while goes_on && !stop.is_cancelled() {
                let now = self.inner().clock().now();
                let after = sweep.after.entry(source.id).or_insert(i64::MIN);
                let strip = Strip {
                    source: source.id,
                    after: *after,
                    before: age.map(|age| now.minus(age).minus(if has_days { DAY } else { Duration::ZERO })),
                    size_bytes,
                    events: STEP_EVENTS,
                    body_bytes: STEP_BYTES,
                    now,
                };
                let retained = self.inner().store().strip(strip).await?;
                *after = retained.next.unwrap_or(*after);
                goes_on = retained.next.is_some();
                if goes_on {
                    self.rest(stop).await;
                }
            }
        }
        while !stop.is_cancelled()
            && self.inner().store().remove_rows(self.inner().clock().now(), STEP_ROWS).await? == STEP_ROWS
        {
            self.rest(stop).await;
        }
        Ok(())
    }

    async fn rest(&self, stop: &CancellationToken) {
        let clock = self.inner().clock();
        stop.run_until_cancelled(clock.sleep_until(clock.now().plus(PAUSE))).await;
    }
}
