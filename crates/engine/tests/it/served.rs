//! What the served file says of destinations and may be a credential: used, and not kept.

use hookward_engine::model::{Destination, DestinationKind, Outcome, Principal};
use hookward_engine::{Authority, Declared, DeclaredDestination};

use crate::ORG;
use crate::support::receiver::Receiver;
use crate::support::{Rig, SECRET, everything_in, github, http_to, push};

const HEADER: &str = "Bearer canary-of-a-header";
const QUERY: &str = "key=canary-of-a-query";

fn declared(receiver: &Receiver, header: &str) -> Declared {
    Declared { sources: vec![github()], destinations: vec![destination(receiver, header)], ..Declared::default() }
}

fn destination(receiver: &Receiver, header: &str) -> DeclaredDestination {
    let mut destination = http_to("ci", format!("{}?{QUERY}", receiver.url()));
    let DestinationKind::Http(http) = &mut destination.spec.kind else { panic!("it is http") };
    http.set_headers = vec![("authorization".to_owned(), header.to_owned())];
    destination
}

impl Rig {
    async fn deliver(&self, delivery_id: &str) {
        self.send(push(SECRET, delivery_id, &format!("{{\"id\":\"{delivery_id}\"}}"))).await;
        self.engine.run_until_idle().await;
    }

    /// Whether any file of the rig has this text.
    pub(crate) fn keeps(&self, text: &str) -> bool {
        everything_in(self.dir.path()).windows(text.len()).any(|window| window == text.as_bytes())
    }

    async fn stored(&self) -> Destination {
        self.store.load().await.unwrap().destinations.remove(0)
    }
}

fn authorization(receiver: &Receiver) -> String {
    let received = receiver.received();
    let last = received.last().expect("something came");
    let header = last.headers().into_iter().find(|(name, _)| name == "authorization");
    header.expect("it has the header").1
}

#[tokio::test]
async fn what_the_file_says_is_sent_and_nowhere_at_rest() {
    let receiver = Receiver::start().await;
    let rig = Rig::new(declared(&receiver, HEADER)).await;
    rig.deliver("d-1").await;
    assert_eq!(authorization(&receiver), HEADER);
    let shown = rig.engine.destination(ORG, "ci").unwrap();
    assert_eq!(shown.spec, destination(&receiver, HEADER).spec, "who asks the engine is told what is in force");
    assert!(!rig.keeps("canary-of-a-header") && !rig.keeps("canary-of-a-query"));

    let before = rig.audit().await.len();
    let rig = rig.restart().await;
    rig.engine.declare(&Principal::config(), Authority::ServedFile, declared(&receiver, HEADER)).await.unwrap();
    rig.deliver("d-2").await;
    assert_eq!((receiver.received().len(), authorization(&receiver).as_str()), (2, HEADER));
    assert_eq!(rig.audit().await.len(), before + 1, "only the second request is news");
    assert!(!rig.keeps("canary-of-a-header") && !rig.keeps("canary-of-a-query"));
}

#[tokio::test]
async fn another_value_is_in_force_at_once_and_told() {
    let receiver = Receiver::start().await;
    let rig = Rig::new(declared(&receiver, HEADER)).await;
    let config = Principal::config();
    let planned = rig.engine.declare(&config, Authority::ServedFile, declared(&receiver, "another")).await.unwrap();
    assert!(planned.len() == 1 && planned[0].values_changed);
    assert_eq!(rig.audit().await[0], "destination.update");
    rig.deliver("d-1").await;
    assert_eq!(authorization(&receiver), "another");
    let rig = rig.restart().await;
    rig.engine.declare(&config, Authority::ServedFile, declared(&receiver, "a third")).await.unwrap();
    rig.deliver("d-2").await;
    assert_eq!(authorization(&receiver), "a third");
}

#[tokio::test]
async fn without_the_file_nothing_is_sent_in_its_place() {
    let receiver = Receiver::start().await;
    let rig = Rig::new(declared(&receiver, HEADER)).await.restart().await;
    rig.deliver("d-1").await;
    assert_eq!(receiver.received().len(), 0);
    let delivery = rig.deliveries().await.remove(0);
    let (_, attempts) = rig.store.delivery(ORG, delivery.id).await.unwrap();
    assert_eq!((attempts[0].outcome, attempts.len()), (Outcome::Unusable, 1));
    assert!(attempts[0].detail.contains("a file that is not served"), "{}", attempts[0].detail);
}

#[tokio::test]
async fn what_was_kept_before_the_file_said_it_goes() {
    let receiver = Receiver::start().await;
    let rig = Rig::new(Declared::default()).await;
    let config = Principal::config();
    rig.engine.declare(&config, Authority::AppliedFile, declared(&receiver, HEADER)).await.unwrap();
    assert!(!format!("{:?}", rig.stored().await.spec).contains("canary"), "what is applied is sealed");
    rig.deliver("d-0").await;
    assert_eq!(authorization(&receiver), HEADER);
    rig.engine.declare(&config, Authority::ServedFile, declared(&receiver, HEADER)).await.unwrap();
    assert!(!format!("{:?}", rig.stored().await.spec).contains("canary"));
    rig.deliver("d-1").await;
    assert_eq!(authorization(&receiver), HEADER);
}
