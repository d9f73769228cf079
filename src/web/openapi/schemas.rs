//! Schemas of parameters, and those that have a place of their own among the components.

use std::{borrow::Cow, ops::RangeInclusive};

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Array, ArrayBuilder, Object, ObjectBuilder, Ref, RefOr, Schema, SchemaFormat, Type},
};

use crate::domain::Page;

/// Schemas by their names: each is there once, and others refer to it.
pub(in crate::web) type Named = Vec<(String, RefOr<Schema>)>;

/// A reference to the schema of a type.
pub(in crate::web) fn reference<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

/// The schema of a type, and of all types in it.
pub(in crate::web) fn named<T: ToSchema>(named: &mut Named) {
    named.push((T::name().into_owned(), T::schema()));
    T::schemas(named);
}

/// A whole number in a range.
pub(in crate::web) fn number(range: &RangeInclusive<u32>, default: u32) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(*range.start()))
        .maximum(Some(*range.end()))
        .default(Some(default.into()))
        .build()
}

/// The id of a row.
pub(in crate::web) fn id() -> Object {
    let format = SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::Int64);
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(format))
        .build()
}

/// A text of one character at least.
pub(in crate::web) fn text(most_chars: usize) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(most_chars))
        .build()
}

/// `true` or `false`.
pub(in crate::web) fn flag(default: Option<bool>) -> Object {
    let flag = ObjectBuilder::new().schema_type(Type::Boolean);
    flag.default(default.map(Into::into)).build()
}

/// A time as RFC 3339 has it.
pub(in crate::web) fn time() -> Object {
    let format = SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(format))
        .build()
}

/// One of these texts.
pub(in crate::web) fn one_of(texts: &[&str]) -> RefOr<Schema> {
    crate::domain::schema::texts(texts)
}

/// Several values: the parameter is repeated.
pub(in crate::web) fn list(of: impl Into<RefOr<Schema>>, most: usize) -> Array {
    ArrayBuilder::new().items(of.into()).max_items(Some(most)).build()
}

impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let number = |what: &str| {
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(0))
                .description(Some(what))
        };
        ObjectBuilder::new()
            .property(
                "items",
                ArrayBuilder::new()
                    .items(reference::<T>())
                    .description(Some("The rows of this page.")),
            )
            .property("total", number("How many rows all pages have together."))
            .property("page", number("Which page this is, from 1."))
            .property("page_size", number("How many rows a full page has."))
            .required("items")
            .required("total")
            .required("page")
            .required("page_size")
            .into()
    }
}

impl<T: ToSchema> ToSchema for Page<T> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(format!("PageOf{}", T::name()))
    }

    fn schemas(schemas: &mut Named) {
        named::<T>(schemas);
    }
}
