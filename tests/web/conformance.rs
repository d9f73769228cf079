//! Holds answers against the description of the API: `Served::raw` does this with every answer.

use std::{collections::HashMap, sync::LazyLock, sync::Mutex};

use gaia_actors::web::{ROUTES, Route, openapi};
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::client::{API, Answer};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(openapi()).expect("is JSON"));

/// The description, as JSON.
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// The route that a request goes to. The path is below the API's.
pub fn route_of(method: &str, path: &str) -> Option<&'static Route> {
    let method = if method == "HEAD" { "GET" } else { method };
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |route: &&Route| {
        let expected: Vec<&str> = route.path.split('/').collect();
        let part_fits =
            |(expected, part): (&&str, &&str)| expected == part || (expected.starts_with('{') && !part.is_empty());
        route.method == method && expected.len() == parts.len() && expected.iter().zip(&parts).all(part_fits)
    };
    // Words come before variable parts.
    ROUTES
        .iter()
        .filter(fits)
        .min_by_key(|route| route.path.matches('{').count())
}

/// What the description says of an answer with this status; `null`: nothing.
fn response(route: &Route, status: &str) -> &'static Value {
    let response = &document()["paths"][route.path][route.method.to_lowercase()]["responses"][status];
    match response["$ref"]
        .as_str()
        .and_then(|place| place.strip_prefix("#/components/responses/"))
    {
        Some(name) => &document()["components"]["responses"][name],
        None => response,
    }
}

/// Fails if the description does not have this answer.
pub fn check(method: &str, target: &str, answer: &Answer) {
    let Some(route) = target.strip_prefix(API).and_then(|path| route_of(method, path)) else {
        return;
    };
    let what = format!("{method} {target}");
    let status = answer.status.to_string();
    let response = response(route, &status);
    assert!(
        response.is_object(),
        "{what}: the description has no answer {status}: {answer:?}"
    );
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let is_optional = name == "Retry-After" || name == "WWW-Authenticate" || header["required"] != json!(true);
        assert!(
            is_optional || answer.header(&name.to_lowercase()).is_some(),
            "{what}: no {name}: {answer:?}"
        );
    }
    let Some(contents) = response["content"].as_object() else {
        assert_eq!(answer.body, "", "{what}");
        return;
    };
    // Parameters of a type are not described.
    let content_type = answer.header("content-type").and_then(|all| all.split(';').next());
    let content_type = content_type.unwrap_or_default();
    assert!(
        contents.contains_key(content_type),
        "{what}: {content_type:?} is not described: {answer:?}"
    );
    if method == "HEAD" || !content_type.ends_with("json") {
        return;
    }
    let body: Value = match serde_json::from_str(&answer.body) {
        Ok(body) => body,
        // This program cannot read numbers beyond those of 64 bits, which the API passes on.
        Err(error) if error.to_string().contains("out of range") => return,
        Err(error) => panic!("{what}: {error}: {answer:?}"),
    };
    let faults = faults(route, &status, content_type, &body);
    assert!(faults.is_empty(), "{what}: {faults:#?} {answer:?}");
}

/// Fails if the description does not have an event with these data.
pub fn check_event(name: &str, data: &Value) {
    let (first, rest) = name.split_at(1);
    let schema = format!("#/components/schemas/{}{rest}Event", first.to_uppercase());
    let faults = faults_by(("event", "", schema.clone()), || json!({ "$ref": schema }), data);
    assert!(faults.is_empty(), "event {name}: {faults:#?} {data}");
}

/// The method and the path of a route, and a status.
type Place = (&'static str, &'static str, String);

fn faults(route: &'static Route, status: &str, content_type: &str, body: &Value) -> Vec<String> {
    let schema = || response(route, status)["content"][content_type]["schema"].clone();
    faults_by((route.method, route.path, status.to_owned()), schema, body)
}

/// The faults of a value by a schema, which is made once for a place.
fn faults_by(place: Place, schema: impl FnOnce() -> Value, body: &Value) -> Vec<String> {
    static VALIDATORS: LazyLock<Mutex<HashMap<Place, Validator>>> = LazyLock::new(Mutex::default);
    let mut validators = VALIDATORS.lock().expect("no test fails here");
    let validator = validators.entry(place).or_insert_with(|| {
        let mut schema = schema();
        close(&mut schema);
        let mut components = document()["components"]["schemas"].clone();
        for schema in components.as_object_mut().expect("has schemas").values_mut() {
            close_parts(schema);
        }
        let whole = json!({"allOf": [schema], "components": {"schemas": components}});
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
        options
            .should_validate_formats(true)
            .build(&whole)
            .expect("is a schema")
    });
    validator
        .iter_errors(body)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect()
}

/// Has a schema refuse keys that it does not name. The description allows them, since a later version may add some; in this version each
/// key must be described.
fn close(schema: &mut Value) {
    let Some(keys) = schema.as_object_mut() else { return };
    let is_of_object = ["properties", "$ref", "allOf"]
        .iter()
        .any(|key| keys.contains_key(*key));
    if is_of_object && !keys.contains_key("additionalProperties") {
        keys.insert("unevaluatedProperties".to_owned(), json!(false));
    }
    close_parts(schema);
}

/// Closes what lies in a schema, but not the schema itself: it may be a part of another one.
fn close_parts(schema: &mut Value) {
    let Some(keys) = schema.as_object_mut() else { return };
    for (key, value) in keys {
        match key.as_str() {
            "properties" => value
                .as_object_mut()
                .into_iter()
                .flat_map(Map::values_mut)
                .for_each(close),
            "items" | "additionalProperties" => close(value),
            "oneOf" | "anyOf" => value.as_array_mut().into_iter().flatten().for_each(close),
            "allOf" => value.as_array_mut().into_iter().flatten().for_each(close_parts),
            _ => {}
        }
    }
}

#[test]
fn routes_are_found() {
    for (method, path, found) in [
        ("GET", "/tasks/1", Some("/tasks/{id}")),
        ("HEAD", "/tasks?limit=1", Some("/tasks")),
        ("POST", "/tasks/batch", Some("/tasks/batch")),
        ("PUT", "/jobs/by_name/x", Some("/jobs/by_name/{name}")),
        ("GET", "/tasks/", None),
        ("PATCH", "/tasks", None),
    ] {
        assert_eq!(route_of(method, path).map(|route| route.path), found, "{method} {path}");
    }
}

#[test]
fn a_key_that_is_not_described_is_a_fault() {
    let route = route_of("GET", "/healthz").expect("is a route");
    let faults = |body: Value| faults(route, "200", "application/json", &body).len();
    assert_eq!(faults(json!({"healthy": true})), 0);
    assert_eq!(faults(json!({"healthy": true, "more": 1})), 1);
    assert_eq!(faults(json!({"healthy": "yes"})), 1);
    assert_eq!(faults(json!({})), 1);
}
