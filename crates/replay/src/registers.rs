//! Registers by name, for reports of what differs.

use outlive_engine::{ExitNumber, VcpuState};
use outlive_machine::report::GuestReport;

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

/// Every field of a state with its path, from its long form: one line for each field, in their order.
fn by_name(state: &VcpuState) -> Vec<(String, String)> {
    let text = format!("{state:#x?}");
    // The whole state has no name.
    let lines = text.lines().skip(1).map(|line| line.trim().trim_end_matches(','));
    let mut fields = Vec::new();
    let mut around: Vec<(String, usize)> = vec![(String::new(), 0)];
    for line in lines {
        if matches!(line, "}" | "]" | ")") {
            around.pop();
            continue;
        }
        let Some((path, elements)) = around.last_mut() else { break };
        let (name, value) = match line.split_once(": ") {
            Some((name, value)) if path.is_empty() => (name.to_owned(), value),
            Some((name, value)) => (format!("{path}.{name}"), value),
            None => {
                *elements += 1;
                (format!("{path}[{}]", *elements - 1), line)
            }
        };
        if value.ends_with(['{', '[', '(']) {
            around.push((name, 0));
        } else {
            fields.push((name, value.to_owned()));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlive_engine::PendingEvent;

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

    #[test]
    fn registers_wider_than_a_word_and_nested_ones_have_names_too() {
        let one = VcpuState::default();
        let mut other = one.clone();
        other.floating_point.xmm[3] = u128::MAX;
        other.segments.cs.base = 7;
        other.pending = Some(PendingEvent::Interrupt { vector: 0x40 });
        let found = differences(&one, &other);
        let names: Vec<_> = found.iter().map(|difference| difference.name.as_str()).collect();
        assert_eq!(names, ["segments.cs.base", "floating_point.xmm[3]", "pending", "pending[0].vector"]);
    }
}
