//! The threads on which workers run.
//!
//! Handlers share these threads. One that blocks (it should not, but it will) holds up its thread, so the threads are
//! asked for a sign of life, and a thread that gives none for [`STALLED_AFTER`] is replaced: the pools move what had not
//! begun to others, and leave the blocked run where it is until it ends.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix_rt::{Arbiter, ArbiterHandle, System};

/// A thread that has not answered for this long counts as blocked. Longer than any pause a loaded machine makes.
const STALLED_AFTER: Duration = Duration::from_secs(2);

/// One thread with an actix event loop. It ends with the last owner of this value.
#[derive(Debug)]
pub(crate) struct Thread {
    arbiter: Arbiter,
    /// When it was asked for a sign of life that it has not given yet.
    asked: Mutex<Option<Instant>>,
    answered: Arc<AtomicBool>,
    stalled: AtomicBool,
}

impl Thread {
    /// Starts a thread. Must be called inside an actix system.
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        if System::try_current().is_none() {
            return Err(io::Error::other(
                "no actix system runs here; start Gaia inside #[actix_rt::main], #[actix_web::main] or System::new().block_on(…)",
            ));
        }
        Ok(Arc::new(Self {
            arbiter: Arbiter::try_new()?,
            asked: Mutex::default(),
            answered: Arc::default(),
            stalled: AtomicBool::new(false),
        }))
    }

    pub(crate) fn handle(&self) -> ArbiterHandle {
        self.arbiter.handle()
    }

    /// Whether it was found blocked or dead. It stays so: it was replaced.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Asks for a sign of life; notes if the last one is overdue. True if the thread has just been found stalled.
    fn check(&self) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if self.answered.swap(false, Ordering::Relaxed) {
            *asked = None;
        }
        let dead = match *asked {
            Some(since) => since.elapsed() > STALLED_AFTER || !self.arbiter.alive(),
            None => {
                *asked = Some(Instant::now());
                let answered = Arc::clone(&self.answered);
                !self
                    .arbiter
                    .spawn_fn(move || answered.store(true, Ordering::Relaxed))
            }
        };
        dead && !self.stalled.swap(true, Ordering::Relaxed)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.arbiter.stop();
    }
}

/// The threads of one process, shared by all its pools.
#[derive(Debug, Clone)]
pub(crate) struct Threads(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    threads: Mutex<Vec<Arc<Thread>>>,
    next: AtomicUsize,
}

impl Threads {
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let threads = (0..count.max(1)).map(|_| Thread::start());
        Ok(Self(Arc::new(Inner {
            threads: Mutex::new(threads.collect::<io::Result<_>>()?),
            next: AtomicUsize::new(0),
        })))
    }

    /// The thread whose turn it is.
    pub(crate) fn pick(&self) -> Arc<Thread> {
        let threads = self.threads();
        let turn = self.0.next.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&threads[turn % threads.len()])
    }

    /// Asks every thread for a sign of life and replaces those that are blocked or dead. Answers whether any was.
    pub(crate) fn replace_stalled(&self) -> bool {
        let mut replaced = false;
        for thread in self.threads().iter_mut().filter(|thread| thread.check()) {
            replaced = true;
            match Thread::start() {
                Ok(fresh) => *thread = fresh,
                Err(error) => {
                    log::error!("cannot start a thread in place of a blocked one: {error}")
                }
            }
        }
        replaced
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Thread>>> {
        self.0
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
