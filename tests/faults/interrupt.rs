//! Ctrl-C and SIGTERM: the servers and nodes must be stopped all the same.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use tokio::signal::unix::{SignalKind, signal};

static CAME: AtomicBool = AtomicBool::new(false);

/// From now on a signal ends the next [`rest`], and by that everything, in order.
pub fn listen() {
    thread::spawn(|| {
        crate::sql::block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).expect("can be listened for");
            let mut terminate = signal(SignalKind::terminate()).expect("can be listened for");
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            CAME.store(true, Ordering::SeqCst);
        });
    });
}

pub fn came() -> bool {
    CAME.load(Ordering::SeqCst)
}

/// Every wait of the main thread.
pub fn rest(duration: Duration) {
    let began = Instant::now();
    loop {
        assert!(!came(), "interrupted");
        let left = duration.saturating_sub(began.elapsed());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(Duration::from_millis(100)));
    }
}

/// Looks until `look` finds something; `None` if it does not in time.
pub fn within<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if began.elapsed() > patience {
            return None;
        }
        rest(Duration::from_millis(50));
    }
}
