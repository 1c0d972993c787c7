//! The bodies of answers: a short one, one that comes byte by byte, one that does not end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// What an endless body is made of.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A body of an answer.
pub(super) enum EchoBody {
    Whole(Option<Bytes>),
    Drip(Interval),
    Endless,
}

impl EchoBody {
    pub(super) fn whole() -> Self {
        Self::Whole(Some(Bytes::from_static(b"ok\n")))
    }

    pub(super) fn drip(pause: Duration) -> Self {
        let mut beat = interval(pause.max(Duration::from_millis(1)));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self::Drip(beat)
    }

    pub(super) fn endless() -> Self {
        Self::Endless
    }
}

impl Body for EchoBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(match &mut *self {
            Self::Whole(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Self::Drip(beat) => {
                ready!(beat.poll_tick(context));
                Some(Ok(Frame::data(Bytes::from_static(b"."))))
            }
            Self::Endless => Some(Ok(Frame::data(Bytes::from_static(&ZEROS)))),
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Drip(_) | Self::Endless => SizeHint::new(),
        }
    }
}
