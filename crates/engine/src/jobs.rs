//! Redelivery jobs: all events that match are owed again, at a pace, in steps that a crash neither repeats nor loses.
//! Owns the pace and who is owed; a step's one transaction is the store's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::expression::Expression;
use crate::fanout;
use crate::ids::{DeliveryId, JobId, OrganizationId};
use crate::model::{AuditEntry, DeliveryCause, Destination, JobSpec, JobState, Principal, Recovery, RedeliveryJob};
use crate::redeliver::named;
use crate::routing::LiveRules;
use crate::store::{JobChange, JobStep, LookedAt, NewDelivery, StoreError};

/// The fastest that a job may be asked to go, in events per second.
pub const RATE_MAX: u32 = 10_000;

/// Events redelivered in one step, at most.
const STEP_MAX: u32 = 64;

/// Events looked at in one step, at most.
const LOOK_MAX: u32 = 1_000;

/// The pause after a step that found nothing: looking is cheap, but not for nothing.
const PAUSE: Duration = Duration::from_millis(10);

/// The pause after a step that the store could not take.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What an operator may do to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobAction {
    /// Stop for now.
    Pause,
    /// Go on, also after a failure.
    Resume,
    /// End for good.
    Cancel,
}

impl JobAction {
    fn verb(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }

    fn change(self) -> (Vec<JobState>, JobState) {
        match self {
            Self::Pause => (vec![JobState::Running], JobState::Paused),
            Self::Resume => (vec![JobState::Paused, JobState::Failed], JobState::Running),
            Self::Cancel => (vec![JobState::Running, JobState::Paused, JobState::Failed], JobState::Cancelled),
        }
    }
}

impl Engine {
    /// How many events a job would redeliver if it ran now. Nothing is changed.
    ///
    /// # Errors
    ///
    /// As [`Engine::create_job`].
    pub async fn count_redeliveries(&self, organization: OrganizationId, spec: JobSpec) -> Result<u64, EngineError> {
        self.check_job(organization, &spec).await?;
        let filter = filter_of(&spec);
        let mut range = self.inner().store().range().await?;
        let mut matched = 0;
        while range.next <= range.end {
            let look = self.inner().store().look(organization, spec.clone(), range, LOOK_MAX, LOOK_MAX).await?;
            let targets = self.job_targets(organization, &spec)?;
            for event in &look.events {
                matched +=
                    u64::from(!self.owed_to(organization, &spec, filter.as_ref(), event, &targets).await?.is_empty());
            }
            range.next = look.next;
        }
        Ok(matched)
    }

    /// Begins the redelivery of every event of now that matches. Events that come later are not its.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] for the source or the destination; [`EngineError::Invalid`]; [`EngineError::Unavailable`].
    pub async fn create_job(&self, spec: JobSpec, by: &Principal) -> Result<RedeliveryJob, EngineError> {
        self.check_job(by.organization, &spec).await?;
        let now = self.inner().clock().now();
        let id = JobId::new(now, self.inner().entropy());
        let audit = audit(id, "create", by, now, json!(spec));
        let job = self.inner().store().create_job(id, spec, audit).await?;
        self.inner().nudge_jobs();
        Ok(job)
    }

    /// Pauses, resumes or ends a job. `Ok(false)` when it is not in a state for that.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`]; [`EngineError::Unavailable`].
    pub async fn act_on_job(&self, job: JobId, action: JobAction, by: &Principal) -> Result<bool, EngineError> {
        let (from, to) = action.change();
        let audit = audit(job, action.verb(), by, self.inner().clock().now(), json!({}));
        let changed =
            self.inner().store().change_job(JobChange { job, from, to, problem: String::new(), audit }).await?;
        self.inner().nudge_jobs();
        Ok(changed)
    }

    async fn check_job(&self, organization: OrganizationId, spec: &JobSpec) -> Result<(), EngineError> {
        if let Some(source) = &spec.source {
            self.source_id(organization, source).await?;
        }
        self.job_targets(organization, spec)?;
        if let Some(text) = &spec.filter {
            Expression::compile(text).map_err(|problem| EngineError::Invalid(format!("filter: {problem}")))?;
        }
        if !(1..=RATE_MAX).contains(&spec.rate_per_s) {
            return Err(EngineError::Invalid(format!("the rate is from 1 to {RATE_MAX} events a second")));
        }
        if spec.recover.is_some() && (spec.destination.is_none() || spec.state.is_some()) {
            return Err(EngineError::Invalid("say which destination recovers, and no state".to_owned()));
        }
        if spec.from.zip(spec.to).is_some_and(|(from, to)| from >= to) {
            return Err(EngineError::Invalid("there is no time from `from` on that is before `to`".to_owned()));
        }
        Ok(())
    }

    /// The destinations that may be owed: the named one, or all.
    fn job_targets(&self, organization: OrganizationId, spec: &JobSpec) -> Result<Vec<Destination>, EngineError> {
        match &spec.destination {
            Some(name) => named(self, organization, name).map(|named| vec![named]),
            None => Ok(self.destinations(organization)),
        }
    }

    /// Moves running jobs on, each at its own pace, until `stop`.
    pub(crate) async fn run_jobs(&self, stop: &CancellationToken) {
        let mut due: HashMap<JobId, Timestamp> = HashMap::new();
        while !stop.is_cancelled() {
            let clock = self.inner().clock();
            let wake_at = match self.inner().store().running_jobs().await {
                Ok(jobs) => {
                    due.retain(|id, _| jobs.iter().any(|job| job.id == *id));
                    for job in jobs {
                        if due.get(&job.id).is_none_or(|at| *at <= clock.now()) {
                            let pause = self.step_or_fail(&job).await;
                            due.insert(job.id, clock.now().plus(pause));
                        }
                    }
                    due.values().min().copied()
                }
                Err(error) => {
                    tracing::warn!(%error, "redelivery jobs cannot go on yet");
                    Some(clock.now().plus(STORE_PAUSE))
                }
            };
            let pause = async {
                match wake_at {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.inner().jobs_nudged() => {}
                () = pause => {}
            }
        }
    }

    /// One step of a job; returns how long it rests then.
    async fn step_or_fail(&self, job: &RedeliveryJob) -> Duration {
        match self.step(job).await {
            Ok(matched) => PAUSE.max(Duration::from_secs(1) * matched / job.spec.rate_per_s.max(1)),
            Err(EngineError::Unavailable(problem)) => {
                tracing::warn!(job = %job.id, problem, "a redelivery job cannot go on yet");
                STORE_PAUSE
            }
            Err(error) => {
                tracing::error!(job = %job.id, %error, "a redelivery job failed");
                if let Err(error) = self.fail(job, error.to_string()).await {
                    tracing::error!(job = %job.id, %error, "that a redelivery job failed could not be written");
                }
                STORE_PAUSE
            }
        }
    }

    /// Returns how many events it redelivered.
    async fn step(&self, job: &RedeliveryJob) -> Result<u32, EngineError> {
        let spec = &job.spec;
        let matches = spec.rate_per_s.clamp(1, STEP_MAX);
        let look = self.inner().store().look(job.organization, spec.clone(), job.range, LOOK_MAX, matches).await?;
        let now = self.inner().clock().now();
        let targets = self.job_targets(job.organization, spec)?;
        let owe = |(to, order): (&Destination, Option<[u8; 32]>)| -> NewDelivery {
            let id = DeliveryId::new(now, self.inner().entropy());
            NewDelivery { order, ..fanout::owe(to, id, now, DeliveryCause::Redelivery { of: None }) }
        };
        let filter = filter_of(spec);
        let mut deliveries = Vec::new();
        for event in &look.events {
            let owed = self.owed_to(job.organization, spec, filter.as_ref(), event, &targets).await?;
            if !owed.is_empty() {
                deliveries.push((event.event, owed.into_iter().map(owe).collect()));
            }
        }
        let step = JobStep {
            job: job.id,
            from: job.range.next,
            next: look.next,
            looked_at: look.looked_at,
            deliveries,
            now,
            audit_done: audit(job.id, "done", &Principal::system(job.organization), now, json!({})),
        };
        let Some(after) = self.inner().store().advance(step).await? else { return Ok(0) };
        if after.redelivered > job.redelivered {
            self.inner().nudge();
        }
        Ok(u32::try_from(after.matched - job.matched).unwrap_or(STEP_MAX))
    }

    /// Which of `targets` a job owes an event: those that are meant, if its filter lets the event through, and theirs do
    /// where nobody said to whom; each with the order key that it joins. One whose key fails is left alone.
    async fn owed_to<'t>(
        &self,
        organization: OrganizationId,
        spec: &JobSpec,
        filter: Option<&Arc<LiveRules>>,
        event: &LookedAt,
        targets: &'t [Destination],
    ) -> Result<Vec<(&'t Destination, Option<[u8; 32]>)>, EngineError> {
        let owed = self.owed(organization, spec, filter, event, targets).await?;
        if owed.iter().all(|to| to.spec.order.is_none()) {
            return Ok(owed.into_iter().map(|to| (to, None)).collect());
        }
        let keys = async { self.order_keys(&self.store().event(organization, event.event).await?, &owed).await };
        match keys.await {
            Ok(keys) => Ok(owed.into_iter().zip(keys).filter_map(|(to, key)| Some((to, key.ok()?))).collect()),
            Err(EngineError::NotFound(_)) => Ok(vec![]),
            Err(error) => Err(error),
        }
    }

    async fn owed<'t>(
        &self,
        organization: OrganizationId,
        spec: &JobSpec,
        filter: Option<&Arc<LiveRules>>,
        event: &LookedAt,
        targets: &'t [Destination],
    ) -> Result<Vec<&'t Destination>, EngineError> {
        let mut owed: Vec<_> = targets.iter().filter(|to| is_meant(to, spec, event)).collect();
        if spec.recover == Some(Recovery::Missing) && !self.passes_on(event) {
            owed.clear();
        }
        if owed.is_empty() || (filter.is_none() && (names(spec) || self.wants_all(event, &owed))) {
            return Ok(owed);
        }
        let decided = async {
            let kept = self.store().event(organization, event.event).await?;
            if let Some(filter) = filter
                && !self.is_let_through(Arc::clone(filter), &kept).await?
            {
                return Ok(Some(vec![]));
            }
            if names(spec) { Ok(None) } else { self.wanting(&kept).await.map(Some) }
        };
        match decided.await {
            Ok(Some(wanting)) => owed.retain(|to| wanting.iter().any(|wanting| wanting.id == to.id)),
            Ok(None) => {}
            // Retention was here first.
            Err(EngineError::NotFound(_)) => owed.clear(),
            Err(error) => return Err(error),
        }
        Ok(owed)
    }

    /// Whether the event's source passes events like it on today; one that is gone did so then.
    fn passes_on(&self, event: &LookedAt) -> bool {
        let registry = self.inner().registry();
        registry.source(event.source_id).is_none_or(|live| fanout::passes_on(&live.source.spec, &event.event_type))
    }

    /// Whether no expression has a say in who wants the event: then nothing of it need be read.
    fn wants_all(&self, event: &LookedAt, hearing: &[&Destination]) -> bool {
        let registry = self.inner().registry();
        registry.source(event.source_id).is_none_or(|live| live.rules.is_empty())
            && hearing.iter().all(|to| registry.destination(to.id).is_some_and(|live| live.rules.is_empty()))
    }

    async fn fail(&self, job: &RedeliveryJob, problem: String) -> Result<bool, StoreError> {
        let (now, by) = (self.inner().clock().now(), Principal::system(job.organization));
        let audit = audit(job.id, "fail", &by, now, json!({ "problem": problem }));
        let change = JobChange { job: job.id, from: vec![JobState::Running], to: JobState::Failed, problem, audit };
        self.inner().store().change_job(change).await
    }
}

fn filter_of(spec: &JobSpec) -> Option<Arc<LiveRules>> {
    spec.filter.as_deref().map(|text| Arc::new(LiveRules::of_source(Some(text))))
}

/// Whether a job names whom it owes, whatever their filters say. What is missing is what they want today.
fn names(spec: &JobSpec) -> bool {
    spec.destination.is_some() && spec.recover != Some(Recovery::Missing)
}

/// Whether a job may owe an event to `to`, as far as no expression has a say.
fn is_meant(to: &Destination, spec: &JobSpec, event: &LookedAt) -> bool {
    let is_meant = names(spec) || fanout::hears(&to.spec, &event.source, &event.event_type);
    is_meant && event.at.as_ref().is_none_or(|destinations| destinations.contains(&to.id))
}

fn audit(job: JobId, verb: &str, by: &Principal, at: Timestamp, detail: serde_json::Value) -> AuditEntry {
    AuditEntry::by(by, format!("job.{verb}"), format!("job:{job}"), at, detail)
}
