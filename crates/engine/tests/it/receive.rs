//! What the inbound door makes of a request besides believing it or not.

use bytes::Bytes;
use hookward_engine::{Declared, Receipt};

use crate::support::{Rig, SECRET, github, http_to, push};

#[tokio::test]
async fn an_event_type_that_its_source_does_not_pass_on_is_recorded_and_owed_to_nobody() {
    let mut source = github();
    source.spec.event_types = vec!["release.*".to_owned(), "push".to_owned()];
    let url = "http://127.0.0.1:9/".to_owned();
    let rig = Rig::new(Declared { sources: vec![source], destinations: vec![http_to("ci", url)] }).await;
    let of_type = |id: &str, event_type: &str| {
        let mut request = push(SECRET, id, &format!("{{\"id\":\"{id}\"}}"));
        let header = request.headers.iter_mut().find(|(name, _)| name == "x-github-event").expect("a type");
        header.1 = Bytes::copy_from_slice(event_type.as_bytes());
        request
    };
    for (id, event_type, owed) in [("a", "push", 1), ("b", "ping", 0), ("c", "release.published", 1), ("d", "", 0)] {
        let Receipt::Accepted(committed) = rig.send(of_type(id, event_type)).await else { panic!("{id} is accepted") };
        assert_eq!(committed.owed(), owed, "{event_type}");
    }
    assert_eq!(rig.event_counts().await, (4, 0));
}
