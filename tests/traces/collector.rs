//! OpenTelemetry in this process, whose spans go to a collector that the tests read.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    pin::Pin,
    sync::LazyLock,
};

use gaia_actors::Propagation;
use opentelemetry::{propagation::TextMapPropagator, trace::TracerProvider};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
use serde_json::Value;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    server::{Server, send},
    support::eventually,
};

/// The kinds of spans, as OTLP writes them.
pub const CLIENT: i64 = 3;
pub const PRODUCER: i64 = 4;
pub const CONSUMER: i64 = 5;

/// A status that says that the span has failed, as OTLP writes it.
const FAILED: i64 = 2;

/// A span as the collector got it.
#[derive(Debug, Clone)]
pub struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty: it has none.
    pub parent: String,
    pub kind: i64,
    pub has_failed: bool,
    pub fields: BTreeMap<String, String>,
}

impl Span {
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// As the header `traceparent` of its children.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.id)
    }
}

/// A `traceparent` of a trace that no other test has: the id of the trace, that of the span, and the whole text.
pub fn somewhere() -> (String, String, String) {
    let (trace, span) = (
        format!("{:032x}", fastrand::u128(1..)),
        format!("{:016x}", fastrand::u64(1..)),
    );
    let whole = format!("00-{trace}-{span}-01");
    (trace, span, whole)
}

/// The collector. The first call makes this process send its spans there.
pub fn collector() -> &'static Server {
    static COLLECTOR: LazyLock<Server> = LazyLock::new(|| {
        let collector = Server::start();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client)
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(format!("http://{}/v1/traces", collector.address))
            .build()
            .expect("is made");
        // Each span is sent when it ends.
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("tests"));
        let of_ours = Targets::new()
            .with_target("gaia_actors", tracing::Level::INFO)
            .with_target("traces", tracing::Level::INFO);
        tracing_subscriber::registry().with(layer.with_filter(of_ours)).init();
        collector
    });
    &COLLECTOR
}

/// The functions that an application has.
pub fn propagation() -> Propagation {
    collector();
    let current = || {
        let mut headers = HashMap::new();
        let context = tracing::Span::current().context();
        TraceContextPropagator::new().inject_context(&context, &mut headers);
        headers.remove("traceparent")
    };
    let attach = |span: &tracing::Span, traceparent: &str| {
        let headers = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
        let parent = TraceContextPropagator::new().extract(&headers);
        span.set_parent(parent).expect("is recorded and has not begun");
    };
    Propagation::new(current, attach)
}

/// The spans of a trace, once there are so many.
pub async fn spans_of(trace: &str, count: usize) -> Vec<Span> {
    eventually(&format!("{count} spans of {trace}"), async || {
        let spans: Vec<Span> = all_spans().into_iter().filter(|span| span.trace == trace).collect();
        (spans.len() >= count).then_some(spans)
    })
    .await
}

/// The spans of the attempts of a task, in the order of the attempts, once there are so many.
pub async fn attempts_of(log_ids: &[String]) -> Vec<Span> {
    eventually("spans of a task", async || {
        let spans = all_spans();
        let of_run = |log_id: &String| spans.iter().find(|span| span.field("log_id") == log_id).cloned();
        log_ids.iter().map(of_run).collect::<Option<Vec<_>>>()
    })
    .await
}

fn all_spans() -> Vec<Span> {
    let requests = collector().requests();
    requests.iter().flat_map(|request| read(&request.body)).collect()
}

fn read(body: &str) -> Vec<Span> {
    let body: Value = serde_json::from_str(body).expect("is JSON");
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let resources = list(&body, "resourceSpans");
    let scopes = resources.iter().flat_map(|resource| list(resource, "scopeSpans"));
    let spans = scopes.flat_map(|scope| list(&scope, "spans"));
    spans.map(|span| of_json(&span, &list(&span, "attributes"))).collect()
}

fn of_json(span: &Value, attributes: &[Value]) -> Span {
    let text = |key: &str| span[key].as_str().unwrap_or_default().to_owned();
    let field = |attribute: &Value| {
        let value = attribute["value"].as_object().and_then(|value| value.values().next());
        let value = value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        (
            attribute["key"].as_str().unwrap_or_default().to_owned(),
            value.unwrap_or_default(),
        )
    };
    Span {
        name: text("name"),
        trace: text("traceId"),
        id: text("spanId"),
        parent: text("parentSpanId"),
        kind: span["kind"].as_i64().unwrap_or_default(),
        has_failed: span["status"]["code"].as_i64() == Some(FAILED),
        fields: attributes.iter().map(field).collect(),
    }
}

/// The HTTP client of the exporter. Each span is a request of its own.
#[derive(Debug)]
struct Client;

type Sent = Result<Response<Bytes>, HttpError>;

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> Pin<Box<dyn Future<Output = Sent> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let address = parts.uri.authority().ok_or("no authority")?.as_str().parse()?;
            let head = format!("POST {} HTTP/1.1\r\ncontent-type: application/json", parts.uri.path());
            let (status, answer) = send(address, &head, std::str::from_utf8(&body)?);
            Ok(Response::builder().status(status).body(answer.into())?)
        })
    }
}
