//! A disk that is saved and restored with requests in flight.

use super::*;

#[test]
fn a_restored_device_goes_on_as_the_saved_one_would() {
    let mut first = ready();
    first.fill(BUFFER, &[5; 512]);
    first.submit(OUT, 3, &[readable(BUFFER, 512)]);
    first.submit(IN, 4, &[writable(BUFFER, 1024)]);
    first.submit(FLUSH, 0, &[]);
    first.complete(2, &[]).unwrap();
    let mut second = first.duplicate(disk());
    assert_eq!(second.transport.save(), first.transport.save());
    assert_eq!(second.transport.device().reissue(), first.transport.device().reissue());
    for driver in [&mut first, &mut second] {
        driver.complete(1, &[8; 1024]).unwrap();
        driver.complete(0, &[]).unwrap();
        driver.submit(IN, 5, &[writable(BUFFER, 512)]);
    }
    assert_eq!(second.outputs, first.outputs);
    assert_eq!(second.transport.save(), first.transport.save());
    assert_eq!(dump(&second.memory), dump(&first.memory));
}

#[test]
fn states_that_no_disk_has_are_refused() {
    let mut driver = ready();
    driver.submit(IN, 4, &[writable(BUFFER, 512)]);
    driver.submit(FLUSH, 0, &[]);
    let good = driver.transport.save();
    let changes: [fn(&mut BlockState); 11] = [
        |state| state.next_request = 1,
        |state| state.next_request = u64::MAX,
        |state| state.in_flight.swap(0, 1),
        |state| state.in_flight[1].id = 0,
        |state| state.in_flight[1].head = 0,
        |state| state.in_flight[1].head = 16,
        |state| state.in_flight[1].answer.clear(),
        |state| state.in_flight[1].answer[0].address = u64::MAX,
        |state| state.in_flight[0].answer[0].bytes = 100,
        |state| state.in_flight[0].operation = OperationState::Read { sector: SECTORS, bytes: 512 },
        |state| state.in_flight[0].operation = OperationState::Write { sector: 0, data: vec![0; 9] },
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut state = good.clone();
        change(&mut state.device);
        let restored = VirtioMmio::new(disk()).restore(state, &driver.memory);
        assert!(matches!(restored, Err(RestoreError::Impossible(_))), "change {i}");
    }
    let mut stopped = good;
    stopped.queues[0].position = None;
    assert!(VirtioMmio::new(disk()).restore(stopped, &driver.memory).is_err());
}
