use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::*;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs a task on a thread of its own, as a driver does.
fn start<T: Send + 'static>(
    make: impl FnOnce() -> Pin<Box<dyn Future<Output = T> + Send>>,
) -> (Task<T>, JoinHandle<Option<T>>) {
    let runtime = runtime();
    let task = Task::new(&runtime);
    let (ours, work) = (task.clone(), make());
    (task, thread::spawn(move || ours.run(&runtime, work)))
}

/// Carries a task on as soon as its driver waits.
fn carry_on<T>(task: &Task<T>) {
    while !task.carry_on() {
        thread::yield_now();
    }
}

#[test]
fn a_task_is_polled_on_the_thread_that_carries_it_on_and_goes_on_on_its_own() {
    let (polled, polls) = mpsc::channel::<ThreadId>();
    let more = Arc::new(Notify::new());
    let news = Arc::clone(&more);
    let (task, driver) = start(|| {
        Box::pin(async move {
            let mut count = 0;
            poll_fn(|context| {
                polled.send(thread::current().id()).unwrap();
                count += 1;
                // The third poll comes by itself.
                if count == 2 {
                    context.waker().wake_by_ref();
                }
                if count == 3 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            news.notified().await;
            thread::current().id()
        })
    });
    let (driver_id, here) = (driver.thread().id(), thread::current().id());
    assert_eq!(polls.recv().unwrap(), driver_id);
    carry_on(&task);
    assert_eq!(polls.recv().unwrap(), here);
    assert_eq!(polls.recv().unwrap(), driver_id, "what wakes the task wakes its driver");
    more.notify_one();
    assert_eq!(driver.join().unwrap(), Some(driver_id));
}

#[test]
fn timers_and_sockets_of_the_runtime_are_at_hand_wherever_it_is_carried_on() {
    let go = Arc::new(AtomicBool::new(false));
    let looks = Arc::clone(&go);
    let (task, driver) = start(|| {
        Box::pin(async move {
            poll_fn(|_| if looks.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }).await;
            // Both are made on the other thread, and end on the driver's.
            let is_late = timeout(Duration::from_millis(5), std::future::pending::<()>()).await.is_err();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sleep(Duration::from_millis(5)).await;
            is_late && listener.local_addr().is_ok()
        })
    });
    // The driver waits, and nothing wakes it.
    carry_on(&task);
    go.store(true, Ordering::Release);
    carry_on(&task);
    assert_eq!(driver.join().unwrap(), Some(true));
}

#[test]
fn an_end_that_comes_on_another_thread_ends_the_driver() {
    let go = Arc::new(AtomicBool::new(false));
    let looks = Arc::clone(&go);
    let (task, driver) = start(|| {
        Box::pin(poll_fn(move |_| if looks.load(Ordering::Acquire) { Poll::Ready(7) } else { Poll::Pending }))
    });
    carry_on(&task);
    go.store(true, Ordering::Release);
    carry_on(&task);
    assert_eq!(driver.join().unwrap(), Some(7));
    assert!(!task.carry_on(), "there is nothing left to do");
}

#[test]
fn nobody_waits_for_a_task_that_is_being_worked_on() {
    let (inside, is_inside) = mpsc::channel();
    let (release, is_released) = mpsc::channel::<()>();
    let mut is_released = Some(is_released);
    let (task, driver) = start(|| {
        Box::pin(poll_fn(move |_| {
            inside.send(()).unwrap();
            is_released.take().unwrap().recv().unwrap();
            Poll::Ready(())
        }))
    });
    is_inside.recv().unwrap();
    assert!(!task.carry_on());
    release.send(()).unwrap();
    assert_eq!(driver.join().unwrap(), Some(()));
}

#[test]
fn a_panic_on_another_thread_drops_the_work_and_ends_the_driver() {
    struct Connection(Arc<AtomicUsize>);
    impl Drop for Connection {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let closed = Arc::new(AtomicUsize::new(0));
    let connection = Connection(Arc::clone(&closed));
    let go = Arc::new(AtomicBool::new(false));
    let looks = Arc::clone(&go);
    let (task, driver) = start(|| {
        Box::pin(async move {
            let connection = connection;
            poll_fn(|_| {
                assert!(!looks.load(Ordering::Acquire), "asked to panic");
                Poll::<()>::Pending
            })
            .await;
            drop(connection);
        })
    });
    carry_on(&task);
    go.store(true, Ordering::Release);
    let other = task.clone();
    assert!(thread::spawn(move || carry_on(&other)).join().is_err());
    assert_eq!(driver.join().unwrap(), None);
    assert_eq!(closed.load(Ordering::Relaxed), 1);
    assert!(!task.carry_on());
}
