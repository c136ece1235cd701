//! The checker finds every history bad that is, and no other.

use proptest::prelude::*;

use super::*;
use crate::moment::Moment;

fn operation(client: usize, call: Call, from: u64, answer: Option<(u64, Answer)>) -> Operation {
    let answer = answer.map(|(at, answer)| (Moment(at), answer));
    Operation { client, key: "k".to_owned(), call, invoked: Moment(from), answer }
}

fn set(value: u64, from: u64, to: u64) -> Operation {
    operation(0, Call::Set(value), from, Some((to, Answer::Done)))
}

fn get(value: Value, from: u64, to: u64) -> Operation {
    operation(1, Call::Get, from, Some((to, Answer::Value(value))))
}

fn increment(value: u64, from: u64, to: u64) -> Operation {
    operation(2, Call::Increment, from, Some((to, Answer::Value(Some(value)))))
}

fn unanswered(call: Call, from: u64) -> Operation {
    operation(3, call, from, None)
}

fn is_linearizable(operations: &[Operation]) -> bool {
    check(&History { operations: operations.to_vec() }).is_ok()
}

#[test]
fn a_lost_write_is_found() {
    assert!(is_linearizable(&[set(1, 0, 1), set(2, 2, 3), get(Some(2), 4, 5)]));
    assert!(!is_linearizable(&[set(1, 0, 1), set(2, 2, 3), get(Some(1), 4, 5)]));
    assert!(!is_linearizable(&[set(1, 0, 1), get(None, 4, 5)]));
}

#[test]
fn a_stale_read_behind_a_new_one_is_found() {
    // Two readings beside a write may see it or not, but not see it first and then not.
    let write = [set(1, 0, 1), set(2, 10, 50)];
    let with = |first, second| [&write[..], &[get(Some(first), 20, 25), get(Some(second), 30, 35)]].concat();
    assert!(is_linearizable(&with(1, 2)) && is_linearizable(&with(1, 1)) && is_linearizable(&with(2, 2)));
    assert!(!is_linearizable(&with(2, 1)));
}

#[test]
fn writes_that_were_turned_round_are_found() {
    let operations = [set(1, 0, 10), set(2, 20, 30), get(Some(2), 31, 32), get(Some(1), 33, 34)];
    assert!(!is_linearizable(&operations));
}

#[test]
fn an_increment_that_was_done_twice_or_not_at_all_is_found() {
    assert!(is_linearizable(&[increment(1, 0, 1), increment(2, 2, 3), get(Some(2), 4, 5)]));
    assert!(!is_linearizable(&[increment(1, 0, 1), increment(3, 2, 3)]), "done twice");
    assert!(!is_linearizable(&[increment(1, 0, 1), increment(1, 2, 3)]), "forgotten");
    assert!(is_linearizable(&[increment(2, 0, 5), increment(1, 1, 6)]), "either may be first");
}

#[test]
fn a_request_without_an_answer_may_take_effect_late_or_never_but_not_before_it_was_made() {
    let pending = unanswered(Call::Set(2), 5);
    assert!(is_linearizable(&[set(1, 0, 1), pending.clone(), get(Some(1), 6, 7)]), "never");
    assert!(
        is_linearizable(&[set(1, 0, 1), pending.clone(), get(Some(1), 6, 7), get(Some(2), 8, 9)]),
        "late"
    );
    assert!(!is_linearizable(&[set(1, 0, 1), pending.clone(), get(Some(2), 2, 3)]), "too early");
    assert!(
        !is_linearizable(&[
            set(1, 0, 1),
            pending,
            get(Some(2), 6, 7),
            get(Some(1), 8, 9),
            get(Some(2), 10, 11)
        ]),
        "twice"
    );
}

#[test]
fn each_key_is_checked_and_the_bad_one_is_named() {
    let mut bad = [set(1, 0, 1), get(Some(9), 2, 3)];
    bad.iter_mut().for_each(|operation| operation.key = "other".to_owned());
    let operations = [&[set(1, 0, 1), get(Some(1), 2, 3)][..], &bad].concat();
    let violation = check(&History { operations }).unwrap_err();
    assert_eq!((violation.key.as_str(), violation.explained, violation.answered), ("other", 1, 2));
    assert!(violation.to_string().contains("HERE client 1: get other, value 9"), "{violation}");
}

#[test]
fn a_long_history_with_many_repeated_requests_is_checked_in_no_time() {
    let mut operations = Vec::new();
    for round in 0..5000 {
        let from = round * 100;
        // Four clients at the same time, and now and then one of them gets no answer many times over.
        operations.extend((0..3).map(|client| set(4 * round + client, from + client, from + 90 + client)));
        operations.push(get(Some(4 * round + 1), from + 95, from + 99));
        if round % 1000 == 500 {
            operations
                .extend((0..10).map(|repetition| unanswered(Call::Set(4 * round + 3), from + repetition)));
            operations.push(get(Some(4 * round + 3), from + 99, from + 99));
        }
    }
    // Unanswered writes may come to light much later, so a wrong order is looked for far.
    assert!(is_linearizable(&operations));
    operations.push(get(Some(1), 600_000, 600_001));
    assert!(!is_linearizable(&operations));
}

/// All orders, one after the other.
fn has_an_order(operations: &[Operation]) -> bool {
    fn any(operations: &[Operation], effective: &mut Vec<bool>, value: Value) -> bool {
        let count = operations.len();
        if (0..count).all(|index| effective[index] || operations[index].answer.is_none()) {
            return true;
        }
        (0..count).any(|index| {
            let blocked =
                (0..count).any(|other| !effective[other] && operations[other].is_before(&operations[index]));
            if effective[index] || blocked {
                return false;
            }
            let Some(after) = effect(&operations[index], value) else { return false };
            effective[index] = true;
            let found = any(operations, effective, after);
            effective[index] = false;
            found
        })
    }
    any(operations, &mut vec![false; operations.len()], None)
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let call = prop_oneof![(1..4u64).prop_map(Call::Set), Just(Call::Get), Just(Call::Increment)];
    let value = prop_oneof![Just(None), (1..5u64).prop_map(Some)];
    (call, 0..30u64, 1..12u64, value, prop::bool::weighted(0.8)).prop_map(
        |(call, from, takes, value, answered)| {
            let answer = match call {
                Call::Set(_) => Answer::Done,
                Call::Get | Call::Increment => Answer::Value(value),
            };
            operation(0, call, from, answered.then_some((from + takes, answer)))
        },
    )
}

/// A history of a service that keeps its word: each operation takes effect at a moment of its own within its time.
fn true_history() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec((any_operation(), 0..10u64), 1..60).prop_map(|operations| {
        let mut value = None;
        let mut told = Vec::new();
        for (number, (mut operation, slack)) in operations.into_iter().enumerate() {
            let effect_at = 10 * number as u64 + 20;
            operation.invoked = Moment(effect_at - slack);
            let answered = operation.answer.take().is_some();
            let (after, answer) = match operation.call {
                Call::Set(new) => (Some(new), Answer::Done),
                Call::Get => (value, Answer::Value(value)),
                Call::Increment => {
                    (Some(value.unwrap_or(0) + 1), Answer::Value(Some(value.unwrap_or(0) + 1)))
                }
            };
            value = after;
            operation.answer = answered.then_some((Moment(effect_at + 3 * slack), answer));
            told.push(operation);
        }
        told
    })
}

proptest! {
    #[test]
    fn the_search_agrees_with_trying_all_orders(operations in prop::collection::vec(any_operation(), 1..8)) {
        prop_assert_eq!(is_linearizable(&operations), has_an_order(&operations));
    }

    #[test]
    fn a_service_that_keeps_its_word_is_never_blamed(operations in true_history()) {
        prop_assert!(is_linearizable(&operations));
    }
}
