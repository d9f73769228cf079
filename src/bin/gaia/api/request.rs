//! One request and its answer.

use std::{fmt::Display, time::Duration};

use actix_web::web::Bytes;
use awc::{
    ClientResponse,
    error::{ConnectError, SendRequestError},
    http::{Method, header},
};
use chrono::DateTime;
use futures_util::{Stream, StreamExt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use url::form_urlencoded::Serializer;

use super::{Api, CONNECT, Fields, problem};
use crate::exit::{Failure, Result};

/// What a segment of a path may hold as it is. A dot is encoded, since `..` would be a step.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// For how long an answer may keep the program waiting, beyond the wait that the request itself asks for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer that is read as a whole.
const LONGEST: usize = 256 * 1024 * 1024;

pub struct Request<'a> {
    api: &'a Api,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    body: Option<(&'static str, String)>,
    waits: Duration,
}

/// What the API has answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    pub body: String,
}

impl<'a> Request<'a> {
    pub(super) fn new(api: &'a Api, method: Method, path: &[&str]) -> Self {
        let segments = path
            .iter()
            .map(|segment| format!("/{}", utf8_percent_encode(segment, SEGMENT)));
        Self {
            api,
            method,
            path: segments.collect(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            waits: Duration::ZERO,
        }
    }

    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// A parameter that is left out if it has no value.
    pub fn maybe(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    pub fn each(self, name: &str, values: &[String]) -> Self {
        values.iter().fold(self, |request, value| request.query(name, value))
    }

    /// Asks the server to wait, and waits so much longer for the answer.
    pub fn waits(self, wait: Duration) -> Self {
        Self { waits: wait, ..self }.query("wait_ms", wait.as_millis())
    }

    pub fn header(mut self, name: &'static str, value: Option<String>) -> Self {
        self.headers.extend(value.map(|value| (name, value)));
        self
    }

    /// Why the change is made, for the audit.
    pub fn reason(self, reason: Option<&str>) -> Self {
        let encoded = reason.map(|reason| utf8_percent_encode(reason, NON_ALPHANUMERIC).to_string());
        self.header("x-reason", encoded)
    }

    pub fn body(self, content_type: &'static str, body: String) -> Self {
        Self {
            body: Some((content_type, body)),
            ..self
        }
    }

    pub fn json(self, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_string(body)
            .map_err(|error| Failure::failed(format!("the request cannot be written: {error}")))?;
        Ok(self.body("application/json", body))
    }

    /// Sends the request and reads the whole answer. A refusal is a failure.
    pub async fn send(self) -> Result<Answer> {
        let base = self.api.shown.clone();
        let answer = self.exchanged().await?;
        match answer.status {
            200..=299 => Ok(answer),
            status => Err(problem::failure(&base, status, &answer.body)),
        }
    }

    /// Sends the request and reads the whole answer, whatever its status.
    pub async fn exchanged(self) -> Result<Answer> {
        let (base, patience) = (&self.api.shown, PATIENCE + self.waits);
        let exchange = async {
            let mut response = self.sent().await?;
            let body = response.body().limit(LONGEST).await;
            let body = body.map_err(|error| Failure::away(format!("the answer of {base} broke off: {error}")))?;
            Ok((response, body))
        };
        let answered = timeout(patience, exchange).await;
        let (response, body) = answered.unwrap_or_else(|_| Err(self.silence(patience)))?;
        Ok(Answer {
            status: response.status().as_u16(),
            etag: header_text(&response, &header::ETAG),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// Sends the request and answers with the parts of the body as they come.
    pub async fn stream(self) -> Result<impl Stream<Item = Result<Bytes>>> {
        let base = self.api.shown.clone();
        let sent = timeout(PATIENCE, self.sent()).await;
        let mut response = sent.unwrap_or_else(|_| Err(self.silence(PATIENCE)))?;
        if !response.status().is_success() {
            let body = response.body().await.unwrap_or_default();
            let status = response.status().as_u16();
            return Err(problem::failure(&base, status, &String::from_utf8_lossy(&body)));
        }
        Ok(response
            .map(move |part| part.map_err(|error| Failure::away(format!("the answer of {base} broke off: {error}")))))
    }

    async fn sent(
        &self,
    ) -> Result<ClientResponse<impl Stream<Item = std::result::Result<Bytes, awc::error::PayloadError>> + use<>>> {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(&self.query);
        let query = Some(query.finish()).filter(|query| !query.is_empty());
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let url = format!("{}{}{query}", self.api.base, self.path);
        let request = self.api.client.request(self.method.clone(), url);
        // awc would leave out the port 80 of an https URL.
        let mut request = request.insert_header((header::HOST, self.api.host.as_str()));
        if let Some(token) = &self.api.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.insert_header((*name, value.as_str()));
        }
        let sent = match &self.body {
            Some((content_type, body)) => request.content_type(*content_type).send_body(body.clone()).await,
            None => request.send().await,
        };
        let response = sent.map_err(|error| self.unsent(&error))?;
        if let Some(date) =
            header_text(&response, &header::DATE).and_then(|date| DateTime::parse_from_rfc2822(&date).ok())
        {
            self.api.saw(date.to_utc());
        }
        Ok(response)
    }

    fn silence(&self, patience: Duration) -> Failure {
        Failure::away(format!(
            "{} has not answered within {} s{}",
            self.api.shown,
            patience.as_secs(),
            self.unknown()
        ))
    }

    fn unsent(&self, error: &SendRequestError) -> Failure {
        let base = &self.api.shown;
        match error {
            SendRequestError::Connect(ConnectError::Timeout) => Failure::away(format!(
                "the server at {base} took no connection within {} s",
                CONNECT.as_secs()
            )),
            SendRequestError::Connect(error) => Failure::away(format!("cannot reach the server at {base}: {error}")),
            error => Failure::away(format!(
                "the server at {base} gave no answer: {error}{}",
                self.unknown()
            )),
        }
    }

    /// The end of an error about a change whose answer is missing.
    fn unknown(&self) -> &'static str {
        match self.method {
            Method::GET => "",
            _ => "; whether the change was made is unknown, so look before you try again",
        }
    }
}

fn header_text<S>(response: &ClientResponse<S>, name: &header::HeaderName) -> Option<String> {
    let value = response.headers().get(name)?;
    value.to_str().ok().map(str::to_owned)
}

impl Answer {
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.body).map_err(|error| {
            Failure::away(format!(
                "the answer of the server is not what this program knows: {error}; are their versions the same?"
            ))
        })
    }

    pub fn fields(&self) -> Result<Fields> {
        self.read()
    }
}
