//! Owns the words that the library shares with the crate `http`: its header map as [`Headers`], its request as a [`Message`]. Knows no
//! server.

use ::http::{HeaderMap, Request, Uri};

use crate::message::{Headers, Message};
use crate::refusal::Refusal;
use crate::time::UnixTime;
use crate::verifier::Verifier;
use crate::verify::Verified;

impl Headers for HeaderMap {
    fn nth(&self, name: &str, n: usize) -> Option<&[u8]> {
        self.get_all(name).iter().nth(n).map(|value| value.as_bytes())
    }

    fn first_two(&self, name: &str) -> [Option<&[u8]>; 2] {
        let mut values = self.get_all(name).iter().map(|value| value.as_bytes());
        [values.next(), values.next()]
    }
}

impl Verifier {
    /// Decides on a request whose body was read whole. Behind a proxy, or where the request knows only its path, tell the verifier its
    /// [origin](Verifier::with_origin).
    ///
    /// ```
    /// use hookward::{UnixTime, Verifier};
    ///
    /// let github = Verifier::new("github", ["It's a Secret to Everybody"])?;
    /// let request = http::Request::post("/hook")
    ///     .header("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
    ///     .body("Hello, World!")?;
    ///
    /// assert_eq!(github.verify_request(&request, UnixTime::from_secs(1_700_000_000))?.key_version(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify_request<B: AsRef<[u8]>>(
        &self,
        request: &Request<B>,
        now: UnixTime,
    ) -> Result<Verified<'static>, Refusal> {
        let url = url_of(request.uri());
        let body = request.body().as_ref();
        let message = Message { method: request.method().as_str(), url: &url, headers: request.headers(), body };
        self.verify(&message, now).map(Verified::into_owned)
    }
}

/// The URL as the request has it: absolute, or a path with its query.
pub(crate) fn url_of(uri: &Uri) -> String {
    uri.to_string()
}
