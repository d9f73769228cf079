//! The client that calls hooks.

use std::{cell::Cell, rc::Rc, sync::Arc};

use actix_service::fn_service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::{
    Client, ClientRequest, ClientResponse, Connector as Transport,
    error::{ConnectError as TransportError, SendRequestError},
    http::{Method, Uri, header},
};
use url::{Position, Url};

use super::{
    HookAnswer, HookCall, HookError, HookOptions, answer,
    connect::{Connector, Lookup, system_lookup, tls},
    connection::LIFETIME,
    signature::signature,
    wire::Wire,
};
use crate::{
    domain::{HookMethod, InvalidInput, check_hook_headers, check_hook_url},
    traces::{Span, Traces},
};

const USER_AGENT: &str = concat!("gaia-actors/", env!("CARGO_PKG_VERSION"));

impl HookCall {
    /// The URL, if it and the headers may be sent. Both were checked when the job was made, unless plain SQL made the job.
    fn checked(&self) -> Result<Url, HookError> {
        check_hook_url(&self.url).map_err(HookError::Invalid)?;
        check_hook_headers(&self.headers).map_err(HookError::Invalid)?;
        Url::parse(&self.url).map_err(|error| HookError::Invalid(error.to_string()))
    }
}

/// Calls hooks. Cloning is cheap; any arbiter may hold a clone.
#[derive(Clone)]
pub(crate) struct HookClient {
    pub(super) connector: Connector,
    pub(super) response_limit: usize,
    traces: Traces,
}

impl HookClient {
    /// A client with these `options`. Their file of authorities is read now.
    pub(crate) fn new(options: &HookOptions) -> Result<Self, InvalidInput> {
        Self::with_lookup(options, Arc::new(system_lookup))
    }

    /// Like [`new`](Self::new), with another function that looks up names.
    pub(super) fn with_lookup(options: &HookOptions, lookup: Arc<Lookup>) -> Result<Self, InvalidInput> {
        if options.connect_timeout.is_zero() {
            let fault = "connect_timeout is 0, so that no hook could be called; the default is 10 s";
            return Err(InvalidInput::one(fault.to_owned()));
        }
        let tls = tls(options.root_certificates.as_deref()).map_err(InvalidInput::one)?;
        Ok(Self {
            connector: Connector {
                policy: options.policy,
                limit: options.connect_timeout,
                tls,
                lookup,
            },
            response_limit: options.response_limit,
            traces: Traces::default(),
        })
    }

    /// A client whose requests name the traces of their spans.
    pub(crate) fn traced(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Sends the request and reads the answer. Only a 2xx is a success.
    pub(crate) async fn call(&self, call: HookCall) -> Result<HookAnswer, HookError> {
        let url = call.checked()?;
        let span = Span::of_hook(call.method.as_str(), url.host_str().unwrap_or_default());
        let answer = span.clone().around(self.exchange(&url, call)).await;
        match &answer {
            Ok(answer) => span.answered(answer.status),
            Err(error) => error.tell(&span),
        }
        answer
    }

    async fn exchange(&self, url: &Url, call: HookCall) -> Result<HookAnswer, HookError> {
        // Each call makes a fresh connection: the name is looked up and its addresses are judged anew, and no call meets a pooled
        // connection that the service is just closing.
        let (wire, watch) = Wire::new(self.connector.connect(url).await?);
        let request = self.request(&over(wire), url, &call)?.force_close();
        let response = send(request, call.method, call.body).await;
        let response = response.map_err(|error| no_answer(url, &error))?;
        answer::read(response, &watch.seen, self.response_limit).await
    }

    /// The request without its body, by a client whose connection is there. Refused if this node does not own the run any more.
    pub(super) fn request(&self, client: &Client, url: &Url, call: &HookCall) -> Result<ClientRequest, HookError> {
        if call.hold.as_ref().is_some_and(|hold| !hold.is_valid()) {
            return Err(HookError::Withdrawn);
        }
        let request = headed(client.request(method(call.method), target(url)?), url, call);
        Ok(signed(self.traced_request(request, call), call))
    }

    /// The request, with the trace of the present span unless the job gives one.
    fn traced_request(&self, request: ClientRequest, call: &HookCall) -> ClientRequest {
        match self.traces.current().or_else(|| call.traceparent.clone()) {
            Some(traceparent) => request.insert_header_if_none(("traceparent", traceparent)),
            None => request,
        }
    }
}

/// An awc client on `wire`. It follows no redirects, has no time limits, and makes no connection by itself. After an answer that leaves the
/// connection open, the client has it for the next request.
pub(super) fn over(wire: Wire) -> Client {
    let wire = Rc::new(Cell::new(Some(wire)));
    let hand_out = fn_service(move |info: ConnectInfo<Uri>| {
        let wire = wire.take().ok_or(ConnectError::Unresolved);
        async move { Ok(Connection::new(info.request().clone(), wire?)) }
    });
    Client::builder()
        .connector(
            Transport::new()
                .connector(hand_out)
                .conn_lifetime(LIFETIME)
                .conn_keep_alive(LIFETIME),
        )
        .disable_timeout()
        .disable_redirects()
        .finish()
}

/// The URL in the form for awc. Its scheme is always `http`: TLS, if any, is done before, and the scheme is not sent.
pub(super) fn target(url: &Url) -> Result<Uri, HookError> {
    let authority = &url[Position::BeforeHost..Position::AfterPort];
    let path = &url[Position::BeforePath..Position::AfterQuery];
    Uri::try_from(format!("http://{authority}{path}"))
        .map_err(|error| HookError::Invalid(format!("the hook's URL cannot be sent: {error}")))
}

pub(super) async fn send(
    request: ClientRequest,
    method: HookMethod,
    body: String,
) -> Result<ClientResponse, SendRequestError> {
    match method.has_body() {
        true => request.send_body(body).await,
        false => request.send_body(awc::body::None::new()).await,
    }
}

/// Adds the headers of the job, and the client's own where the job gives none.
fn headed(mut request: ClientRequest, url: &Url, call: &HookCall) -> ClientRequest {
    for (name, value) in &call.headers {
        request = request.insert_header((name.as_str(), value.as_str()));
    }
    if call.method.has_body() {
        request = request.insert_header_if_none((header::CONTENT_TYPE, "application/json"));
    }
    request
        .insert_header_if_none((header::USER_AGENT, USER_AGENT))
        // Given here because awc would leave out the port 443 of an `http` URL, and the port 80 of an `https` URL.
        .insert_header((header::HOST, &url[Position::BeforeHost..Position::AfterPort]))
        .insert_header(("idempotency-key", call.run_id.as_str()))
}

/// Signs the request by the rules of Standard Webhooks, if there is a secret. A request without a body is signed with an empty body.
fn signed(request: ClientRequest, call: &HookCall) -> ClientRequest {
    let Some(secret) = &call.secret else {
        return request;
    };
    let body = if call.method.has_body() { call.body.as_str() } else { "" };
    let sent_at = call.sent_at.timestamp();
    request
        .insert_header(("webhook-id", call.run_id.as_str()))
        .insert_header(("webhook-timestamp", sent_at.to_string()))
        .insert_header(("webhook-signature", signature(secret, &call.run_id, sent_at, body)))
}

fn method(method: HookMethod) -> Method {
    match method {
        HookMethod::Post => Method::POST,
        HookMethod::Get => Method::GET,
        HookMethod::Put => Method::PUT,
        HookMethod::Patch => Method::PATCH,
        HookMethod::Delete => Method::DELETE,
        HookMethod::Head => Method::HEAD,
    }
}

pub(super) fn no_answer(url: &Url, error: &SendRequestError) -> HookError {
    let reason = match error {
        SendRequestError::Connect(TransportError::Disconnected) => "it closed the connection".to_owned(),
        error => error.to_string(),
    };
    HookError::NoAnswer {
        host: url.host_str().unwrap_or_default().to_owned(),
        reason,
    }
}
