use std::path::Path;

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::quantity::ValueError;
use crate::config::tests::MISTAKES;
use crate::config::{Config, explain};

/// A key of a configuration, by its schema.
#[derive(Debug)]
pub(in crate::config) struct Key {
    /// The table it belongs to; empty for those of the machine itself.
    pub(in crate::config) section: String,
    pub(in crate::config) name: String,
    pub(in crate::config) required: bool,
    /// As a configuration would say it, strings without their quotes. There are defaults that it could not say.
    pub(in crate::config) default: Option<String>,
}

/// All keys. A table is told by its own keys.
pub(in crate::config) fn keys() -> Vec<Key> {
    let schema = schema().to_value();
    let mut keys = Vec::new();
    collect_keys(&schema, &schema, "", &mut keys);
    keys
}

fn collect_keys(root: &Value, object: &Value, section: &str, keys: &mut Vec<Key>) {
    for (name, property) in object["properties"].as_object().unwrap() {
        let own = if property["type"] == "array" { &property["items"] } else { property };
        let reference = own["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        let own = reference.map_or(own, |pointer| root.pointer(pointer).unwrap());
        if own["properties"].is_object() {
            assert!(section.is_empty(), "tables are one deep, but {section} has {name}");
            collect_keys(root, own, name, keys);
            continue;
        }
        let required = object["required"].as_array().unwrap().contains(&json!(name));
        let default = property.get("default");
        let default = default.map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
        keys.push(Key { section: section.to_owned(), name: name.clone(), required, default });
    }
}

fn validator() -> Validator {
    jsonschema::validator_for(&schema().to_value()).unwrap()
}

/// Why the schema refuses a configuration, if it does.
fn refusal(text: &str) -> Option<String> {
    let value: Value = toml::from_str(text).unwrap();
    validator().validate(&value).err().map(|error| error.to_string())
}

#[test]
fn the_kept_schema_is_what_the_code_makes() {
    let kept = include_str!("../../../../../docs/configuration.schema.json");
    let renew = "cargo run --package outlive -- config schema > docs/configuration.schema.json";
    assert!(text().unwrap() == kept, "docs/configuration.schema.json is out of date; renew it:\n{renew}");
}

#[test]
fn the_schema_is_one_by_the_standard_and_knows_no_null() {
    let schema = schema().to_value();
    jsonschema::meta::validate(&schema).unwrap();
    assert!(!schema.to_string().contains("null"), "{schema:#}");
}

#[test]
fn configurations_that_are_understood_are_valid() {
    assert_eq!(refusal(explain::example()), None);
    let folders = ["guest-images", "docs/examples"];
    let folders = folders.map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder));
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let files = entries.map(|entry| entry.unwrap().path());
    let files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        Config::read(&file).unwrap();
        assert_eq!(refusal(&std::fs::read_to_string(&file).unwrap()), None, "{}", file.display());
    }
    for console in ["\"pty\"", "{ file = \"console.log\" }"] {
        let text = format!("memory = \"16M\"\nkernel = \"x\"\nconsole = {console}");
        toml::from_str::<Config>(&text).unwrap();
        assert_eq!(refusal(&text), None);
    }
}

#[test]
fn mistakes_are_invalid() {
    for (text, ..) in MISTAKES {
        assert!(refusal(text).is_some(), "{text}");
    }
    let disks = "[[disk]]\npath = \"d\"\n".repeat(9);
    for more in ["", "console = \"tty\"", "[pair]\nname = \"a\"", "wall-clock = 1.5", disks.as_str()] {
        let kernel = if more.is_empty() { "" } else { "kernel = \"x\"\n" };
        assert!(refusal(&format!("memory = \"16M\"\n{kernel}{more}")).is_some(), "{more}");
    }
}

#[test]
fn the_defaults_of_the_schema_are_those_of_the_code() {
    let text =
        "memory = \"16M\"\nkernel = \"x\"\n[[disk]]\npath = \"d\"\n[pair]\nname = \"a\"\narbiter = \"b\"";
    let config: Config = toml::from_str(text).unwrap();
    let mut table: toml::Table = toml::from_str(text).unwrap();
    let mut told = 0;
    for key in keys() {
        let Some(default) = key.default else { continue };
        let value = default.parse().map_or(toml::Value::String(default), toml::Value::Boolean);
        let section = match table.get_mut(&key.section) {
            Some(toml::Value::Array(disks)) => disks[0].as_table_mut(),
            Some(section) => section.as_table_mut(),
            None => Some(&mut table),
        };
        section.unwrap().insert(key.name, value);
        told += 1;
    }
    assert_eq!(told, 8, "engine, command-line, console, read-only, and four times");
    let explicit: Config = toml::from_str(&table.to_string()).unwrap();
    assert_eq!(format!("{explicit:?}"), format!("{config:?}"));
}

/// Tries texts that are nearly of a `form`, a regular expression: the schema must accept each exactly if the code does.
fn agree<T: JsonSchema>(form: &'static str, is_accepted: impl Fn(&str) -> bool) {
    let schema = T::json_schema(&mut SchemaGenerator::default()).to_value();
    let validator = jsonschema::validator_for(&schema).unwrap();
    proptest!(|(text in nearly(form))| {
        prop_assert_eq!(validator.is_valid(&json!(text)), is_accepted(&text), "{:?} as {}", text, T::schema_name());
    });
}

/// Text of `form` with something between its parts, or nothing.
fn nearly(form: &'static str) -> impl Strategy<Value = String> {
    let noise = "[ +.:%/a-zA-Z0-9-]{1,2}|[[:ascii:]]";
    (form, proptest::option::of((any::<prop::sample::Index>(), noise))).prop_map(|(mut text, noise)| {
        if let Some((place, noise)) = noise {
            text.insert_str(place.index(text.len() + 1), &noise);
        }
        text
    })
}

#[test]
fn sizes_have_the_form_that_the_schema_tells() {
    // How large a machine can be is no matter of form.
    let is_size = |text: &str| !matches!(text.parse::<MemorySize>(), Err(ValueError::Size(_)));
    agree::<MemorySize>("[0-9]{0,7} {0,2}[KMGT]?(iB|B|)", is_size);
}

#[test]
fn times_have_the_form_that_the_schema_tells() {
    agree::<Span>(r"[0-9]{0,3}(\.[0-9]{0,2})?(ms|s|m|)", |text| text.parse::<Span>().is_ok());
}

#[test]
fn names_have_the_form_that_the_schema_tells() {
    let form = r"\.?[a-z0-9._-]{0,17}|[a-z]{62,66}";
    agree::<PairName>(form, |text| text.parse::<PairName>().is_ok());
    agree::<TapName>(form, |text| text.parse::<TapName>().is_ok());
}

#[test]
fn mac_addresses_have_the_form_that_the_schema_tells() {
    let form = "([0-9a-fA-F]{2}:){4,6}[0-9a-f]{2}|(00:){5}0[0-1]";
    agree::<MacAddress>(form, |text| text.parse::<MacAddress>().is_ok());
}

#[test]
fn host_addresses_have_the_form_that_the_schema_tells() {
    let form = r"(0?[0-9]|1[0-9]{2}|2[4-6][0-9])(\.[0-9]{1,3}){3}/[0-9]{0,2}|(10\.){3}1/(3[0-9]|[0-9]{1,2})";
    agree::<HostAddress>(form, |text| text.parse::<HostAddress>().is_ok());
}

#[test]
fn seeds_have_the_form_that_the_schema_tells() {
    agree::<Seed>("[0-9a-fA-F]{63,65}|[g0]{64}", |text| text.parse::<Seed>().is_ok());
}
