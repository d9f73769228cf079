//! The threads on which the actors run.
//!
//! They belong to an actix system of their own: when the application's system stops (as actix-web makes it do at every
//! signal), its arbiters are gone at once, and so would be the tasks that run, without the grace they were promised.
//!
//! Handlers share the worker threads. One that blocks (it should not, but it will) holds up its thread, so the threads are
//! asked for a sign of life, and a thread that gives none for [`STALLED_AFTER`] is replaced: the pools move what had not
//! begun to others, and leave the blocked run where it is until it ends.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use actix_rt::{Arbiter, ArbiterHandle, System};
use tokio::sync::oneshot;

/// A thread that has not answered for this long counts as blocked. Longer than any pause a loaded machine makes.
const STALLED_AFTER: Duration = Duration::from_secs(2);

/// The thread of all actors but the workers, where no code of users can block them. Its system is that of the worker
/// threads too: they all end with the last owner of this value.
#[derive(Debug)]
pub(crate) struct Control(System);

impl Control {
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let (tell, told) = mpsc::channel();
        thread::Builder::new().name("gaia-control".to_owned()).spawn(move || {
            let runner = System::new();
            // Whoever started us waits for this.
            let _ = tell.send(System::current());
            if let Err(error) = runner.run() {
                log::error!("the control thread ended with an error: {error}");
            }
        })?;
        let system = told
            .recv()
            .map_err(|_| io::Error::other("the control thread ended before it began"))?;
        Ok(Arc::new(Self(system)))
    }

    pub(crate) fn handle(&self) -> ArbiterHandle {
        self.0.arbiter().clone()
    }

    /// Does `work` on this thread, and waits for it.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
        let (tell, told) = oneshot::channel();
        self.handle().spawn(async move {
            // Whoever asked may have given up.
            let _ = tell.send(work.await);
        });
        told.await.map_err(|_| io::Error::other("the control thread is gone"))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.0.stop();
    }
}

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
    /// Starts a thread in the system that is current on this one.
    fn start() -> io::Result<Arc<Self>> {
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

    /// Asks for a sign of life; answers whether the last one is overdue.
    fn is_silent(&self) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if self.answered.swap(false, Ordering::Relaxed) {
            *asked = None;
        }
        if let Some(since) = *asked {
            since.elapsed() > STALLED_AFTER || !self.arbiter.alive()
        } else {
            *asked = Some(Instant::now());
            let answered = Arc::clone(&self.answered);
            !self.arbiter.spawn_fn(move || answered.store(true, Ordering::Relaxed))
        }
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
    /// Starts `count` worker threads in the system of `control`.
    pub(crate) async fn start(control: &Control, count: usize) -> io::Result<Self> {
        let threads = async move { (0..count.max(1)).map(|_| Thread::start()).collect::<io::Result<_>>() };
        let threads = control.run(threads).await??;
        Ok(Self(Arc::new(Inner {
            threads: Mutex::new(threads),
            next: AtomicUsize::new(0),
        })))
    }

    /// The thread whose turn it is.
    pub(crate) fn pick(&self) -> Arc<Thread> {
        let threads = self.threads();
        let turn = self.0.next.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&threads[turn % threads.len()])
    }

    /// Asks every thread for a sign of life and replaces those that are blocked or dead. Answers whether any was. To be
    /// called on the control thread.
    pub(crate) fn replace_stalled(&self) -> bool {
        let mut replaced = false;
        for thread in self.threads().iter_mut().filter(|thread| thread.is_silent()) {
            match Thread::start() {
                Ok(fresh) => {
                    thread.stalled.store(true, Ordering::Relaxed);
                    *thread = fresh;
                    replaced = true;
                }
                Err(error) => {
                    log::error!("cannot start a thread in place of a blocked one: {error}");
                }
            }
        }
        replaced
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Thread>>> {
        self.0.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
