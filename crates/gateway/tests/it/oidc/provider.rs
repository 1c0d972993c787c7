//! A strict OpenID Connect provider on loopback: real signatures, codes that count once for who was sent with them, PKCE,
//! the exact redirect. It can be told to lie.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hookward_engine::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(super) const CLIENT_SECRET: &str = "the secret of OIDC";

/// How the next ID tokens differ from what they should be.
#[derive(Debug, Clone, Default)]
pub(super) enum Lie {
    #[default]
    None,
    /// A claim says something else.
    Claim(&'static str, Value),
    /// The header names this algorithm, and nothing is signed.
    Unsigned(&'static str),
    /// HMAC under the public key, which everybody has.
    Confused,
    /// Signed with a key that is not in the set, under the id of one that is.
    Stolen,
}

/// What the provider is and knows.
pub(super) struct State {
    pub(super) issuer: String,
    pub(super) redirect_uri: String,
    /// Claims about whoever signs in.
    pub(super) user: Value,
    pub(super) lie: Lie,
    /// What its document says in place of the truth.
    pub(super) document: Value,
    pub(super) user_info: Option<Value>,
    pub(super) is_down: bool,
    pub(super) keys_asked: u32,
    key: Ed25519KeyPair,
    key_id: u32,
    codes: HashMap<String, HashMap<String, String>>,
}

/// A provider that is running.
#[derive(Clone)]
pub(crate) struct StrictProvider {
    state: Arc<Mutex<State>>,
}

impl StrictProvider {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let state = State {
            issuer,
            redirect_uri: String::new(),
            user: json!({ "sub": "ada-1", "email": "ada@example.com", "email_verified": true, "groups": ["dev"] }),
            lie: Lie::None,
            document: json!({}),
            user_info: None,
            is_down: false,
            keys_asked: 0,
            key: Ed25519KeyPair::generate().unwrap(),
            key_id: 1,
            codes: HashMap::new(),
        };
        let provider = Self { state: Arc::new(Mutex::new(state)) };
        let served = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let provider = served.clone();
                tokio::spawn(async move { provider.serve(stream).await });
            }
        });
        provider
    }

    /// Looks at the provider, or changes it.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    pub(super) fn issuer(&self) -> String {
        self.with(|state| state.issuer.clone())
    }

    /// Signs with another key from now on.
    pub(super) fn rotate(&self) {
        self.with(|state| {
            state.key = Ed25519KeyPair::generate().unwrap();
            state.key_id += 1;
        });
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        let (head, body) = loop {
            let mut part = [0; 4096];
            match stream.read(&mut part).await {
                Ok(read) if read > 0 => bytes.extend_from_slice(&part[..read]),
                _ => return,
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                break (head.to_owned(), body.to_owned());
            }
        };
        let (status, more, body) = self.with(|state| state.answer(&head, &body));
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{more}\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

impl State {
    fn answer(&mut self, head: &str, body: &str) -> (&'static str, String, String) {
        let target = head.split(' ').nth(1).unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let ok = |value: Value| ("200 OK", String::new(), value.to_string());
        if self.is_down {
            return ("500 Internal Server Error", String::new(), String::new());
        }
        match path {
            "/.well-known/openid-configuration" => ok(self.description()),
            "/jwks" => {
                self.keys_asked += 1;
                ok(json!({ "keys": [self.jwk()] }))
            }
            "/authorize" => self.authorize(&fields(query)),
            "/token" => match self.redeem(header(head, "authorization").unwrap_or_default(), &fields(body)) {
                Ok(tokens) => ok(tokens),
                Err(error) => ("400 Bad Request", String::new(), json!({ "error": error }).to_string()),
            },
            "/userinfo" if header(head, "authorization") == Some("Bearer the access token") => {
                ok(self.user_info.clone().unwrap())
            }
            _ => ("404 Not Found", String::new(), String::new()),
        }
    }

    fn description(&self) -> Value {
        let issuer = &self.issuer;
        let mut document = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "authorization_response_iss_parameter_supported": true,
        });
        document.as_object_mut().unwrap().extend(self.document.as_object().unwrap().clone());
        document
    }

    fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.key_id.to_string(), "x": x })
    }

    /// Somebody was sent here, and is who they should be.
    fn authorize(&mut self, asked: &HashMap<String, String>) -> (&'static str, String, String) {
        for (name, wanted) in [
            ("response_type", "code"),
            ("client_id", "hookward"),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("scope", "openid email profile"),
            ("code_challenge_method", "S256"),
        ] {
            assert_eq!(asked[name], wanted, "{name}");
        }
        let code = format!("code-{}-{}", self.codes.len(), asked["state"].len());
        self.codes.insert(code.clone(), asked.clone());
        let issuer = percent(&self.issuer);
        let location = format!("{}?code={code}&state={}&iss={issuer}", self.redirect_uri, asked["state"]);
        ("303 See Other", format!("location: {location}\r\n"), String::new())
    }

    /// A code counts once, for who it was given to.
    fn redeem(&mut self, authorization: &str, given: &HashMap<String, String>) -> Result<Value, &'static str> {
        let client = STANDARD.encode(format!("hookward:{}", percent(CLIENT_SECRET)));
        if authorization != format!("Basic {client}") {
            return Err("invalid_client");
        }
        let asked = self.codes.remove(&given["code"]).ok_or("invalid_grant")?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&given["code_verifier"]));
        let is_right = given["grant_type"] == "authorization_code"
            && given["redirect_uri"] == asked["redirect_uri"]
            && challenge == asked["code_challenge"];
        if !is_right {
            return Err("invalid_grant");
        }
        Ok(
            json!({ "access_token": "the access token", "token_type": "Bearer", "id_token": self.id_token(&asked["nonce"]) }),
        )
    }

    fn id_token(&self, nonce: &str) -> String {
        let now = SystemClock::new().now().as_secs();
        let mut claims = json!({ "iss": self.issuer, "aud": "hookward", "nonce": nonce, "iat": now, "exp": now + 300 });
        claims.as_object_mut().unwrap().extend(self.user.as_object().unwrap().clone());
        let alg = match &self.lie {
            Lie::Claim(name, value) => {
                claims[*name] = value.clone();
                "EdDSA"
            }
            Lie::Unsigned(alg) => alg,
            Lie::Confused => "HS256",
            Lie::None | Lie::Stolen => "EdDSA",
        };
        let header = json!({ "alg": alg, "kid": self.key_id.to_string() });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let public = self.key.public_key().as_ref();
        let signature = match &self.lie {
            Lie::Unsigned(_) => Vec::new(),
            Lie::Confused => {
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public);
                aws_lc_rs::hmac::sign(&key, signed.as_bytes()).as_ref().to_vec()
            }
            Lie::Stolen => Ed25519KeyPair::generate().unwrap().sign(signed.as_bytes()).as_ref().to_vec(),
            Lie::None | Lie::Claim(..) => self.key.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut pairs = head.lines().filter_map(|line| line.split_once(": "));
    pairs.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn fields(form: &str) -> HashMap<String, String> {
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    pairs.map(|(name, value)| (plain(name), plain(value))).collect()
}

fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
