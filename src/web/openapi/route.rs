//! What stands beside a handler about its route.

use std::collections::{BTreeMap, BTreeSet};

use utoipa::{
    ToSchema,
    openapi::{
        Content, HeaderBuilder, ObjectBuilder, RefOr, Required, Response, ResponseBuilder, Schema, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
        request_body::{RequestBody, RequestBodyBuilder},
    },
};

use super::schemas::{Named, named, reference};

/// The parameters of a route, its body, its answers, and the refusals that are its own. Refusals that any route may answer with are added
/// where the document is made: 400, 401, 403, 408, 413, 415, 422 with `invalid`, 429 with `too_many_requests`, 500 and 503.
///
/// A route without answers is a mistake, which a test finds.
#[derive(Default)]
pub(in crate::web) struct Described {
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<RequestBody>,
    pub(super) answers: BTreeMap<u16, Response>,
    pub(super) refusals: BTreeMap<u16, BTreeSet<&'static str>>,
    pub(super) schemas: Named,
}

impl Described {
    pub(in crate::web) fn new() -> Self {
        Self::default()
    }

    fn parameter(mut self, place: ParameterIn, name: &str, schema: impl Into<RefOr<Schema>>, what: &str) -> Self {
        let required = match place {
            ParameterIn::Path => Required::True,
            _ => Required::False,
        };
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(required)
            .description(Some(what))
            .schema(Some(schema));
        self.parameters.push(parameter.build());
        self
    }

    /// A parameter of the path.
    pub(in crate::web) fn path(self, name: &str, schema: impl Into<RefOr<Schema>>, what: &str) -> Self {
        self.parameter(ParameterIn::Path, name, schema, what)
    }

    /// A parameter of the query, which a caller may leave out.
    pub(in crate::web) fn query(self, name: &str, schema: impl Into<RefOr<Schema>>, what: &str) -> Self {
        self.parameter(ParameterIn::Query, name, schema, what)
    }

    /// The parameters of a list of which a cursor names the next page.
    pub(in crate::web) fn paged_by_cursor(self, limit: impl Into<RefOr<Schema>>) -> Self {
        let cursor = ObjectBuilder::new().schema_type(Type::String);
        self.query("limit", limit, "The most rows of the answer.").query(
            "cursor",
            cursor,
            "`next_cursor` of the page before, asked for with the same conditions.",
        )
    }

    /// A header, which a caller may leave out.
    pub(in crate::web) fn header(self, name: &str, schema: impl Into<RefOr<Schema>>, what: &str) -> Self {
        self.parameter(ParameterIn::Header, name, schema, what)
    }

    /// A type that a parameter refers to.
    pub(in crate::web) fn with<T: ToSchema>(mut self) -> Self {
        named::<T>(&mut self.schemas);
        self
    }

    /// The body as JSON, which must be there.
    pub(in crate::web) fn body<T: ToSchema>(self) -> Self {
        self.body_of::<T>(Required::True)
    }

    /// The body as JSON. A caller may leave it out, which means the same as `{}`.
    pub(in crate::web) fn optional_body<T: ToSchema>(self) -> Self {
        self.body_of::<T>(Required::False)
    }

    fn body_of<T: ToSchema>(self, required: Required) -> Self {
        let content = Content::new(Some(reference::<T>()));
        self.with::<T>().body_content("application/json", content, required)
    }

    /// A body of any type. A route may take several types.
    pub(in crate::web) fn body_content(mut self, content_type: &str, content: Content, required: Required) -> Self {
        let body = self.body.take().map_or_else(RequestBodyBuilder::new, Into::into);
        let body = body.content(content_type, content).required(Some(required));
        self.body = Some(body.build());
        self
    }

    /// An answer as JSON.
    pub(in crate::web) fn answer<T: ToSchema>(self, status: u16, what: &str) -> Self {
        let content = Content::new(Some(reference::<T>()));
        self.with::<T>()
            .answer_content(status, "application/json", content, what)
    }

    /// An answer of any type. A route may answer with several types under one status.
    pub(in crate::web) fn answer_content(
        mut self,
        status: u16,
        content_type: &str,
        content: Content,
        what: &str,
    ) -> Self {
        let answer = self.answers.remove(&status);
        let answer = answer.map_or_else(ResponseBuilder::new, Into::into);
        let answer = answer.description(what).content(content_type, content);
        self.answers.insert(status, answer.build());
        self
    }

    /// An answer without a body.
    pub(in crate::web) fn empty_answer(mut self, status: u16, what: &str) -> Self {
        let answer = ResponseBuilder::new().description(what);
        self.answers.insert(status, answer.build());
        self
    }

    /// The answers so far have `Location`.
    pub(in crate::web) fn with_location(self, what: &str) -> Self {
        self.with_header("Location", what)
    }

    /// The answers so far have `ETag`.
    pub(in crate::web) fn with_etag(self, what: &str) -> Self {
        self.with_header("ETag", what)
    }

    fn with_header(mut self, name: &str, what: &str) -> Self {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let header = HeaderBuilder::new().schema(Some(text)).description(Some(what)).build();
        for answer in self.answers.values_mut() {
            answer.headers.insert(name.to_owned(), header.clone().into());
        }
        self
    }

    /// The route may refuse with this status and one of these codes.
    pub(in crate::web) fn refuses(mut self, status: u16, codes: &[&'static str]) -> Self {
        self.refusals.entry(status).or_default().extend(codes);
        self
    }
}
