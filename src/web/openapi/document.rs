//! The whole document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use utoipa::openapi::{
    AllOfBuilder, ComponentsBuilder, Content, HeaderBuilder, HttpMethod, InfoBuilder, LicenseBuilder, ObjectBuilder,
    OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref, RefOr, Response, ResponseBuilder, Schema, Server, Type,
    path::{Operation, OperationBuilder, ParameterIn},
    schema::SchemaType,
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

use super::{
    Described,
    schemas::{Named, named, one_of, reference},
};
use crate::domain::MAX_REASON_CHARS;
use crate::web::{ROUTES, Route, RouteAccess, body::BodyRule, permission::Permission, problem::ProblemSchema};

const ABOUT: &str = "Operators see and change tasks, themes and jobs; programs in other languages add tasks. Times are RFC 3339 in UTC, \
    durations are whole milliseconds in keys that end in `_ms`. Unknown keys and unknown parameters are refused.";

/// A description that an operation has besides its summary, if the route is open to some callers only.
fn who(access: RouteAccess) -> Option<String> {
    let names = |permissions: &[Permission]| {
        let names: Vec<String> = permissions
            .iter()
            .map(|permission| format!("`{}`", permission.as_str()))
            .collect();
        names.join(" or ")
    };
    match access {
        RouteAccess::Anybody => Some("Callers need no access.".to_owned()),
        RouteAccess::AnyCaller => None,
        RouteAccess::Permission(permission) => Some(format!("Needs the permission {}.", names(&[permission]))),
        RouteAccess::OneOf(permissions) => Some(format!("Needs the permission {}.", names(permissions))),
    }
}

/// Adds the reason that a call may give for a change of which the audit is told: in a header, and in a body that holds nothing else for the
/// database.
fn add_reason(route: &Route, described: Described) -> Described {
    if route.action.is_none() {
        return described;
    }
    let header = "Why, for other operators: percent-encoded UTF-8, at most 500 characters.";
    let mut described = described.header("X-Reason", ObjectBuilder::new().schema_type(Type::String), header);
    let bodies = described.body.iter().flat_map(|body| body.content.values());
    let names: BTreeSet<String> = bodies
        .filter_map(|content| match content {
            RefOr::T(Content {
                schema: Some(RefOr::Ref(schema)),
                ..
            }) => schema.ref_location.rsplit('/').next().map(str::to_owned),
            _ => None,
        })
        .collect();
    for (name, schema) in &mut described.schemas {
        if let RefOr::T(Schema::Object(object)) = schema
            && route.body == BodyRule::Small
            && names.contains(name)
        {
            let reason = ObjectBuilder::new()
                .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
                .min_length(Some(1))
                .max_length(Some(MAX_REASON_CHARS))
                .description(Some("Why, for other operators."));
            object.properties.insert("reason".to_owned(), reason.build().into());
        }
    }
    described
}

/// Adds the refusals that follow from the table.
fn add_refusals(route: &Route, described: Described) -> Described {
    let described_has = |place: ParameterIn| {
        described
            .parameters
            .iter()
            .any(|parameter| parameter.parameter_in == place)
    };
    let has_path = described_has(ParameterIn::Path);
    let is_open = matches!(route.access, RouteAccess::Anybody | RouteAccess::AnyCaller);
    let takes_body = route.body != BodyRule::Empty;
    let may_be_invalid = has_path || takes_body || described_has(ParameterIn::Query);
    let has_cursor = described.parameters.iter().any(|parameter| parameter.name == "cursor");
    let mut described = described
        .refuses(400, &["bad_query"])
        .refuses(408, &["body_too_slow"])
        .refuses(413, &["body_too_long"]);
    if has_path {
        described = described.refuses(400, &["bad_path"]);
    }
    if has_cursor {
        described = described.refuses(400, &["bad_cursor"]);
    }
    if takes_body {
        described = described
            .refuses(400, &["bad_json", "body_lost"])
            .refuses(415, &["content_type"]);
    }
    if may_be_invalid {
        described = described.refuses(422, &["invalid"]);
    }
    if route.access != RouteAccess::Anybody {
        described = described
            .refuses(401, &["no_access"])
            .refuses(429, &["too_many_requests"]);
    }
    if !is_open {
        described = described.refuses(403, &["no_permission", "theme_not_allowed"]);
    }
    if route.method != "GET" {
        described = described.refuses(403, &["cross_site"]);
    }
    described
}

fn refusal(status: u16, schema: impl Into<RefOr<Schema>>) -> Response {
    let title = actix_web::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let content = Content::new(Some(schema));
    let response = ResponseBuilder::new().description(title.unwrap_or_default());
    let header = |kind: Type, what: &str| {
        let value = ObjectBuilder::new().schema_type(kind);
        HeaderBuilder::new().schema(Some(value)).description(Some(what)).build()
    };
    let response = match status {
        401 => response.header(
            "WWW-Authenticate",
            header(
                Type::String,
                "`Bearer`, if the API knows callers by tokens. `Basic`, if it knows callers by passwords.",
            ),
        ),
        429 | 503 => response.header(
            "Retry-After",
            header(Type::Integer, "After how many seconds to try again."),
        ),
        _ => response,
    };
    response.content("application/problem+json", content).build()
}

/// What operations refer to.
#[derive(Default)]
struct Shared {
    schemas: Named,
    responses: BTreeMap<String, Response>,
}

impl Shared {
    /// A refusal with this status and one of these codes; without codes: any.
    fn refusal(&mut self, status: u16, codes: &BTreeSet<&'static str>) -> RefOr<Response> {
        let problem = reference::<ProblemSchema>;
        let codes: Vec<&str> = codes.iter().copied().collect();
        let name = [&[&*status.to_string()], codes.as_slice()].concat().join("_");
        let schema = if codes.is_empty() {
            problem()
        } else {
            let code = ObjectBuilder::new().property("code", one_of(&codes));
            Schema::from(AllOfBuilder::new().item(problem()).item(code)).into()
        };
        let place = Ref::from_response_name(&name);
        self.responses.insert(name, refusal(status, schema));
        place.into()
    }
}

fn operation(route: &Route, shared: &mut Shared) -> Operation {
    let mut described = add_refusals(route, add_reason(route, (route.described)()));
    shared.schemas.append(&mut described.schemas);
    let mut operation = OperationBuilder::new()
        .operation_id(Some(route.name))
        .tag(route.part)
        .summary(Some(route.summary))
        .description(who(route.access))
        .request_body(described.body);
    for parameter in described.parameters {
        operation = operation.parameter(parameter);
    }
    if route.access == RouteAccess::Anybody {
        operation = operation.securities(Some([]));
    }
    let mut refusals: BTreeMap<u16, BTreeSet<&'static str>> =
        BTreeMap::from([500, 503].map(|any| (any, BTreeSet::new())));
    refusals.extend(described.refusals);
    for (status, codes) in &refusals {
        operation = operation.response(status.to_string(), shared.refusal(*status, codes));
    }
    for (status, answer) in described.answers {
        operation = operation.response(status.to_string(), answer);
    }
    operation.build()
}

fn http_method(method: &str) -> HttpMethod {
    match method {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn made() -> OpenApi {
    let mut shared = Shared::default();
    named::<ProblemSchema>(&mut shared.schemas);
    let mut paths: BTreeMap<&str, PathItem> = BTreeMap::new();
    for route in ROUTES {
        let item = PathItem::new(http_method(route.method), operation(route, &mut shared));
        paths.entry(route.path).or_default().merge_operations(item);
    }
    let paths = paths
        .into_iter()
        .fold(PathsBuilder::new(), |paths, (path, item)| paths.path(path, item));
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("For an API that knows callers by tokens."));
    let basic = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("For an API that knows callers by passwords."));
    let components = ComponentsBuilder::new()
        .schemas_from_iter(shared.schemas)
        .responses_from_iter(shared.responses)
        .security_scheme("token", SecurityScheme::Http(bearer.build()))
        .security_scheme("password", SecurityScheme::Http(basic.build()));
    let license = LicenseBuilder::new()
        .name("MIT OR Apache-2.0")
        .identifier(Some("MIT OR Apache-2.0"));
    let info = InfoBuilder::new()
        .title("gaia-actors")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license.build()));
    OpenApiBuilder::new()
        .info(info.build())
        // Relative to the place of the document, which is `…/api/v1/openapi.json`.
        .servers(Some([Server::new("../v1")]))
        .paths(paths)
        .components(Some(components.build()))
        .security(Some([
            SecurityRequirement::default(),
            SecurityRequirement::new::<_, [&str; 0], &str>("token", []),
            SecurityRequirement::new::<_, [&str; 0], &str>("password", []),
        ]))
        .build()
}

/// The document as JSON.
pub(super) fn document() -> Value {
    let mut document = serde_json::to_value(made()).unwrap_or_else(|_| json!({}));
    plain_descriptions(&mut document);
    document
}

/// Descriptions are the comments of types: without examples, and without links that lead into the documentation of Rust.
fn plain_descriptions(value: &mut Value) {
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                match value {
                    Value::String(text) if key == "description" => {
                        let words = text.split("```").next().unwrap_or_default();
                        *text = without_links(words.trim_end());
                    }
                    value => plain_descriptions(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(plain_descriptions),
        _ => {}
    }
}

/// The text, with "`a`" in place of "[`a`](b)" and "[`a`]".
fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        plain.push_str(before);
        let Some((name, after)) = after.split_once("`]") else {
            plain.push_str("[`");
            rest = after;
            continue;
        };
        plain.push('`');
        plain.push_str(name);
        plain.push('`');
        let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
        rest = target.map_or(after, |(_, after)| after);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use utoipa::ToSchema;

    use super::*;

    #[test]
    fn links_become_names() {
        let text = "See [`NewTask::unique_key`](crate::NewTask::unique_key), [`Task`] and [RFC 3339](https://a).";
        assert_eq!(
            without_links(text),
            "See `NewTask::unique_key`, `Task` and [RFC 3339](https://a)."
        );
        assert_eq!(without_links("[`open"), "[`open");
    }

    #[test]
    fn every_route_has_an_answer_and_every_parameter_of_its_path() {
        for route in ROUTES {
            let described = (route.described)();
            assert!(
                described.answers.keys().any(|status| (200..300).contains(status)),
                "{route:?}"
            );
            assert_eq!(described.body.is_some(), route.body != BodyRule::Empty, "{route:?}");
            let names = route.path.split('{').skip(1).filter_map(|part| part.split('}').next());
            let described = described
                .parameters
                .iter()
                .filter(|parameter| parameter.parameter_in == ParameterIn::Path);
            let described: Vec<&str> = described.map(|parameter| parameter.name.as_str()).collect();
            assert_eq!(names.collect::<Vec<_>>(), described, "{route:?}");
        }
    }

    #[test]
    fn names_of_schemas_are_those_of_one_type() {
        let mut schemas = Named::new();
        for route in ROUTES {
            schemas.append(&mut (route.described)().schemas);
        }
        let mut known: BTreeMap<String, Value> = BTreeMap::new();
        for (name, schema) in schemas {
            let schema = serde_json::to_value(schema).expect("is JSON");
            let same = known.entry(name.clone()).or_insert_with(|| schema.clone());
            assert_eq!(*same, schema, "two types are called {name}");
        }
        assert!(known.contains_key(&*<crate::domain::Task as ToSchema>::name()));
    }
}
