//! The JSON schema of configurations.
//!
//! It is made of the very types that a configuration is read into, with their documentation as descriptions. A value
//! that is a string with a form of its own has a pattern. What a schema cannot say is left to
//! [`Config::read`](super::Config::read): how much memory a machine can have, that disks and networks share eight slots,
//! and which times of a pair fit together.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::Config;
use super::quantity::{HostAddress, MacAddress, MemorySize, PairName, Seed, Span, TapName};

/// The schema as text, with a newline at the end.
///
/// # Errors
/// Never, as long as the schema is made of text and numbers.
pub(super) fn text() -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(&schema())? + "\n")
}

fn schema() -> Schema {
    let settings = SchemaSettings::draft2020_12();
    let settings = settings
        .with_transform(RecursiveTransform(without_null))
        .with_transform(RecursiveTransform(without_line_breaks));
    let mut schema = settings.into_generator().into_root_schema_for::<Config>();
    schema.insert("title".to_owned(), "Configuration of a machine of Outlive".into());
    schema
}

/// TOML knows no null: a key without a value is left out.
fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [name] = &types[..] {
            let name = name.clone();
            schema.insert("type".to_owned(), name);
        }
    }
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else { return };
    choices.retain(|choice| choice["type"] != "null");
    if let [Value::Object(only)] = &choices[..] {
        let only = only.clone();
        schema.remove("anyOf");
        schema.ensure_object().extend(only);
    }
}

/// Where the lines of a comment end in the code is of no interest to a reader of the schema.
fn without_line_breaks(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

/// Implements `JsonSchema` for a value that is written as a string: what form it has, and what else holds for it.
macro_rules! string_of_form {
    ($type:ident, $example:literal, $pattern:expr $(, $keyword:literal: $value:tt)*) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": $pattern,
                    "examples": [$example]
                    $(, $keyword: $value)*
                })
            }
        }
    };
}

/// One of the four numbers of an IPv4 address.
const OCTET: &str = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";

string_of_form!(MemorySize, "256M", "^[0-9]+ *[KMG](iB)?$");
string_of_form!(Span, "200ms", r"^[0-9]+(\.[0-9]+)?m?s$");
string_of_form!(PairName, "redis", "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$");
string_of_form!(TapName, "outlive0", r"^[^\s/:%\x00]{1,15}$", "not": { "enum": [".", ".."] });
string_of_form!(
    MacAddress,
    "52:54:00:12:34:56",
    "^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$",
    "not": { "const": "00:00:00:00:00:00" }
);
string_of_form!(HostAddress, "10.0.2.1/24", format!(r"^{OCTET}(\.{OCTET}){{3}}/([1-9]|[12][0-9]|3[0-2])$"));
string_of_form!(
    Seed,
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "^[0-9A-Fa-f]{64}$"
);

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use tests::keys;
