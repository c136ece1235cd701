//! Registers by name, for reports of what differs.

use outlive_engine::{ExitNumber, VcpuState};
use outlive_machine::report::GuestReport;
use serde_json::Value;

use crate::divergence::RegisterDifference;

/// The registers that differ, by the names that the fields of a [`VcpuState`] have, in its order.
pub(crate) fn differences(expected: &VcpuState, found: &VcpuState) -> Vec<RegisterDifference> {
    let (expected, found) = (by_name(expected), by_name(found));
    let mut differences = Vec::new();
    for (name, value) in &expected {
        let other = found.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        if other.as_ref() != Some(value) {
            differences.push(RegisterDifference {
                name: name.clone(),
                expected: value.clone(),
                found: other.unwrap_or_else(absent),
            });
        }
    }
    let only_found = found.iter().filter(|(name, _)| expected.iter().all(|(other, _)| other != name));
    differences.extend(only_found.map(|(name, value)| RegisterDifference {
        name: name.clone(),
        expected: absent(),
        found: value.clone(),
    }));
    differences
}

/// What a person is shown of a processor.
pub(crate) fn listing(exit: ExitNumber, state: &VcpuState) -> Vec<String> {
    let report = GuestReport { exit, state: state.clone(), code: Vec::new() };
    // Without the line about the code, which was not looked at.
    let lines: Vec<_> = report.to_string().lines().map(str::to_owned).collect();
    lines.into_iter().filter(|line| !line.starts_with("code at rip")).collect()
}

fn absent() -> String {
    "none".to_owned()
}

fn by_name(state: &VcpuState) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // A plain structure always has a JSON value.
    if let Ok(value) = serde_json::to_value(state) {
        flatten(String::new(), &value, &mut found);
    }
    found
}

fn flatten(name: String, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(format!("{name}{dot}{field}"), value, into);
            }
        }
        Value::Array(elements) => {
            for (number, value) in elements.iter().enumerate() {
                flatten(format!("{name}[{number}]"), value, into);
            }
        }
        Value::Number(number) => {
            let text = number.as_u64().map_or_else(|| number.to_string(), |number| format!("{number:#x}"));
            into.push((name, text));
        }
        other => into.push((name, other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_registers_that_differ_are_named() {
        let one = VcpuState::default();
        assert!(differences(&one, &one).is_empty());
        let mut other = one.clone();
        other.rip = 0x1234;
        other.general.r9 = u64::MAX;
        let found = differences(&one, &other);
        let found: Vec<_> =
            found.iter().map(|d| (d.name.as_str(), d.expected.as_str(), d.found.as_str())).collect();
        assert_eq!(found, [("general.r9", "0x0", "0xffffffffffffffff"), ("rip", "0x0", "0x1234")]);
    }
}
