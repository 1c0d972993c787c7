//! The KMS that is AWS's: data keys go there and come back, the master key never does.
//! Owns how it is called and what its errors mean; who calls, and where, is configuration.

use std::fmt;

use async_trait::async_trait;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kms::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookward::Secret;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::TokioExecutor;
use zeroize::Zeroizing;

use super::master::data_key;
use super::{Kms, KmsError};
use crate::egress::tls_config;

/// The most that is read of an answer: a wrapped key and a few names.
const ANSWER_MAX: usize = 64 << 10;

/// The name of the one pair in the encryption context.
const CONTEXT: &str = "hookward";

/// How AWS KMS is called.
#[derive(Debug, Clone)]
pub struct AwsConfig {
    /// The key's id or ARN.
    pub key_id: String,
    /// Where it is.
    pub region: String,
    /// What to call in place of the region's own endpoint.
    pub endpoint: Option<String>,
    /// Who calls.
    pub access_key_id: Secret,
    /// The caller's secret.
    pub secret_access_key: Secret,
    /// For temporary credentials.
    pub session_token: Option<Secret>,
    /// PEM certificates trusted besides the public ones.
    pub extra_roots_pem: Option<Vec<u8>>,
}

/// A key in AWS KMS.
pub struct AwsKms {
    id: String,
    key: String,
    client: aws_sdk_kms::Client,
}

impl AwsKms {
    /// Nothing is called yet.
    ///
    /// # Errors
    ///
    /// One sentence, when a credential is not text or the extra certificates are none.
    pub fn new(config: AwsConfig) -> Result<Self, String> {
        let AwsConfig { key_id, region, endpoint, access_key_id, secret_access_key, session_token, extra_roots_pem } =
            config;
        let text = |secret: &Secret, name: &str| {
            let text = std::str::from_utf8(secret.expose()).map_err(|_| format!("`{name}` of AWS KMS is not text"))?;
            Ok::<_, String>(text.to_owned())
        };
        let credentials = Credentials::new(
            text(&access_key_id, "access_key_id")?,
            text(&secret_access_key, "secret_access_key")?,
            session_token.map(|token| text(&token, "session_token")).transpose()?,
            None,
            "hookward",
        );
        let tls = tls_config(extra_roots_pem.as_deref()).map_err(|error| error.to_string())?;
        let mut config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(credentials)
            // Whoever asks decides when to ask again.
            .retry_config(RetryConfig::disabled())
            .http_client(http_client(tls));
        config.set_endpoint_url(endpoint);
        // The same key under its id and under its ARN is one key.
        let id = format!("aws:{}", key_id.rsplit_once('/').map_or(key_id.as_str(), |(_, id)| id));
        Ok(Self { id, key: key_id, client: aws_sdk_kms::Client::from_conf(config.build()) })
    }
}

impl fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKms").field("id", &self.id).finish_non_exhaustive()
    }
}

#[async_trait]
impl Kms for AwsKms {
    fn key_id(&self) -> &str {
        &self.id
    }

    async fn wrap(&self, data_key: &[u8; 32], aad: &[u8]) -> Result<Vec<u8>, KmsError> {
        let call = self.client.encrypt().key_id(&self.key).plaintext(Blob::new(data_key.as_slice()));
        let answer = call.encryption_context(CONTEXT, STANDARD.encode(aad)).send().await;
        let wrapped = answer.map_err(|error| self.failure(&error))?.ciphertext_blob;
        wrapped.map(Blob::into_inner).ok_or_else(|| KmsError::Unavailable("AWS KMS answered without a key".to_owned()))
    }

    async fn unwrap(&self, key_id: &str, wrapped: &[u8], aad: &[u8]) -> Result<Zeroizing<[u8; 32]>, KmsError> {
        if key_id != self.id {
            return Err(KmsError::WrongKey { sealed_under: key_id.to_owned(), holds: self.id.clone() });
        }
        let call = self.client.decrypt().key_id(&self.key).ciphertext_blob(Blob::new(wrapped));
        let answer = call.encryption_context(CONTEXT, STANDARD.encode(aad)).send().await;
        let opened = answer.map_err(|error| self.failure(&error))?.plaintext;
        data_key(&Zeroizing::new(opened.map(Blob::into_inner).unwrap_or_default()))
    }
}

impl AwsKms {
    /// What an error of AWS KMS means here. Anything that may pass is a KMS that is away.
    fn failure<E: ProvideErrorMetadata + std::error::Error + 'static>(
        &self,
        error: &SdkError<E, HttpResponse>,
    ) -> KmsError {
        match error.code() {
            Some("InvalidCiphertextException" | "IncorrectKeyException") => KmsError::Damaged,
            Some("NotFoundException") => KmsError::WrongKey {
                sealed_under: self.id.clone(),
                holds: "nothing: AWS KMS has no such key".to_owned(),
            },
            Some(code) => KmsError::Unavailable(format!("AWS KMS: {code}: {}", error.message().unwrap_or_default())),
            None => KmsError::Unavailable(format!("AWS KMS: {}", DisplayErrorContext(error))),
        }
    }
}

/// The SDK's requests over the same client and TLS as everything else here.
fn http_client(tls: rustls::ClientConfig) -> SharedHttpClient {
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    let connector = SharedHttpConnector::new(Connector(Client::builder(TokioExecutor::new()).build(https)));
    http_client_fn(move |_, _| connector.clone())
}

#[derive(Debug, Clone)]
struct Connector(Client<HttpsConnector<TcpConnector>, Full<Bytes>>);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let other = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::other(error, None);
            let request = request.try_into_http1x().map_err(|error| other(error.into()))?;
            let request = request.map(|body| Full::new(Bytes::copy_from_slice(body.bytes().unwrap_or_default())));
            let answer = client.request(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(ConnectorError::io)?.to_bytes();
            let answer = http::Response::from_parts(head, SdkBody::from(body));
            aws_smithy_runtime_api::http::Response::try_from(answer).map_err(|error| other(error.into()))
        })
    }
}
