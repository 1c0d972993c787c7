//! What may be done with events and deliveries: owed again, called off.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use hookward_engine::EngineError;
use hookward_engine::ids::{DeliveryId, EventId};
use hookward_engine::store::{Cancel, DeliveryFilter, Page as Span};
use serde::Deserialize;

use super::{EVENTS, id, marks, path_of};
use crate::api::Api;
use crate::api::caller::Redeliver;
use crate::api::problem::Problem;
use crate::dashboard::form::Form;
use crate::dashboard::notice::Notice;
use crate::dashboard::page::{Failure, Page, own_path, see_other};
use crate::dashboard::shell::{Section, Shell};
use crate::dashboard::visitor::Visitor;

/// How many events may be chosen at once.
const CHOSEN_MAX: usize = 100;

/// To whom; to everyone who hears such events when it is empty.
#[derive(Debug, Deserialize)]
pub(super) struct To {
    #[serde(default)]
    destination: String,
}

/// `POST /dashboard/events/{id}/redeliver`
pub(super) async fn redeliver(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Redeliver>,
    Path(event): Path<String>,
    Form(To { destination }): Form<To>,
) -> Result<Response, Failure> {
    let event: EventId = id(&event, "event")?;
    let destination = Some(destination.as_str()).filter(|name| !name.is_empty());
    let made = api.engine().redeliver(event, destination, &visitor).await?;
    let first = made.first().map(|delivery| format!("delivery={delivery}&")).unwrap_or_default();
    Ok(see_other(&format!("{}?{first}notice={}", path_of(event), Notice::Redelivered.code())))
}

/// A form that only says where it stands.
#[derive(Debug, Deserialize)]
pub(super) struct Nothing {}

/// `POST /dashboard/deliveries/{id}/cancel`
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Redeliver>,
    Path(delivery): Path<String>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failure> {
    let delivery: DeliveryId = id(&delivery, "delivery")?;
    let (of, _) = api.engine().store().delivery(visitor.organization, delivery).await?;
    let notice = match api.engine().cancel(delivery, &visitor).await? {
        Cancel::Done => Notice::Cancelled,
        Cancel::UnderWay => Notice::BeingCancelled,
        Cancel::TooLate => {
            let mark = marks::of_delivery(&of).word.to_lowercase();
            return Err(Failure::invalid(format!("The delivery is over ({mark}), so it cannot be cancelled.")));
        }
    };
    Ok(see_other(&format!("{}?delivery={delivery}&notice={}", path_of(of.event), notice.code())))
}

/// The events chosen in a list.
struct Chosen {
    events: Vec<EventId>,
    /// The list.
    back: String,
}

impl Chosen {
    fn read(fields: &[(String, String)]) -> Result<Self, Failure> {
        let all = |wanted: &'static str| {
            fields.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        let events = all("event").map(|event| id(event, "event")).collect::<Result<Vec<EventId>, _>>()?;
        if events.is_empty() {
            return Err(Failure::invalid("Choose events first."));
        }
        if events.len() > CHOSEN_MAX {
            return Err(Failure::invalid(format!("At most {CHOSEN_MAX} events are chosen at once.")));
        }
        let back = own_path(all("back").next().unwrap_or(EVENTS));
        let is_list = back.split('?').next() == Some(EVENTS);
        Ok(Self { events, back: if is_list { back } else { EVENTS }.to_owned() })
    }
}

/// The list again, with what is to be said.
fn with_notice(list: &str, notice: Notice) -> Response {
    let joint = if list.contains('?') { '&' } else { '?' };
    see_other(&format!("{list}{joint}notice={}", notice.code()))
}

#[derive(Debug, Template)]
#[template(path = "dashboard/events_done.html")]
struct Done {
    shell: Shell,
    title: &'static str,
    done: usize,
    /// Those for which it was not done, each with why.
    not_done: Vec<(String, String)>,
    back: String,
}

/// `POST /dashboard/events/redeliver`
pub(super) async fn redeliver_chosen(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Redeliver>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let Chosen { events, back } = Chosen::read(&fields)?;
    redeliver_each(&api, &visitor, &events, None, back).await
}

/// Owes events again, to `destination` or to everyone who hears such, and goes back to the list unless some could not be.
pub(super) async fn redeliver_each(
    api: &Api,
    visitor: &Visitor<Redeliver>,
    events: &[EventId],
    destination: Option<&str>,
    back: String,
) -> Result<Response, Failure> {
    let (mut done, mut not_done) = (0, Vec::new());
    for event in events {
        match api.engine().redeliver(*event, destination, visitor).await {
            Ok(_) => done += 1,
            Err(error) => not_done.push((event.to_string(), why_not(error)?)),
        }
    }
    if not_done.is_empty() {
        return Ok(with_notice(&back, Notice::Redelivered));
    }
    let (shell, title) = (visitor.shell(api, Section::Events, "Redelivered"), "Redelivered");
    Ok(Page(Done { shell, title, done, not_done, back }).into_response())
}

/// `POST /dashboard/events/cancel`
pub(super) async fn cancel_chosen(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Redeliver>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let chosen = Chosen::read(&fields)?;
    let mut cancelled = 0;
    for event in &chosen.events {
        let filter = DeliveryFilter { event: Some(*event), ..DeliveryFilter::default() };
        let page = Span { before: None, limit: Span::LIMIT_MAX };
        let owed = api.engine().store().deliveries(visitor.organization, filter, page).await?.items;
        for delivery in owed.iter().filter(|delivery| !marks::is_over(delivery)) {
            // What ended meanwhile is over as well.
            cancelled += usize::from(api.engine().cancel(delivery.id, &visitor).await? != Cancel::TooLate);
        }
    }
    Ok(with_notice(&chosen.back, if cancelled == 0 { Notice::NothingToCancel } else { Notice::Cancelled }))
}

/// Why one of several was not done, when that says nothing of the others.
fn why_not(error: EngineError) -> Result<String, Failure> {
    match error {
        EngineError::NotFound(_) | EngineError::Invalid(_) | EngineError::Conflict(_) => {
            Ok(Problem::from(error).detail().to_owned())
        }
        other => Err(other.into()),
    }
}
