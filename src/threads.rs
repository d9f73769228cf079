//! The threads on which the actors run.
//!
//! They belong to an actix system that only this crate uses. When the application's system stops (actix-web stops it at every signal), its
//! arbiters end immediately; if the handlers ran on those arbiters, their runs would end without the grace that this crate promises.
//!
//! Handlers share the worker threads. A handler that blocks (it should not, but some do) holds up its thread. So [`Threads`] asks
//! each thread for a sign of life. If a thread gives none for [`STALLED_AFTER`] checks, `Threads` replaces the thread, and says by
//! [`Event::ThreadReplaced`] which run blocks it. The pools and the cron actor ask [`Thread::is_stalled`]: they move runs that have not
//! begun to another thread, and leave the blocked run where it is until it ends.

use std::{
    fmt::{self, Display},
    future::poll_fn,
    io,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use actix_rt::{Arbiter, ArbiterHandle, System};
use tokio::sync::{oneshot, watch};

use crate::{
    events::{Event, Events},
    repeats::Repeats,
};

/// How often each thread is asked for a sign of life.
const LOOK: Duration = Duration::from_millis(500);

/// A thread that has not answered by so many checks counts as blocked: after 2 s, longer than any pause on a loaded machine. Checks
/// are counted, not seconds: if the whole process stands still for a minute, only one check passes, and no thread counts as blocked.
const STALLED_AFTER: u32 = 4;

/// The log line if the system of the actors has stopped.
pub(crate) const SYSTEM_STOPPED: &str =
    "the actix system of the actors was stopped, perhaps by a handler that calls `System::current().stop()`";

/// The thread of all actors except those that call handlers: no handler can block it. The worker threads belong to its system: all of them
/// end when the last owner drops this value.
#[derive(Debug)]
pub(crate) struct Control {
    system: System,
    /// Closed when the thread ends: its sender lives as long as the thread.
    ended: watch::Receiver<()>,
    /// Whether this value was dropped, so that the end of the thread is intended.
    dropped: Arc<AtomicBool>,
}

impl Control {
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let (tell, told) = mpsc::channel();
        let (alive, ended) = watch::channel(());
        let dropped = Arc::new(AtomicBool::new(false));
        let is_wanted = Arc::clone(&dropped);
        thread::Builder::new().name("gaia-control".to_owned()).spawn(move || {
            // Dropped with this thread, however it ends.
            let _alive = alive;
            let runner = System::new();
            // The caller of `start` waits for this.
            let _ = tell.send(System::current());
            if let Err(error) = runner.run() {
                say!(Error, "the control thread ended with an error: {error}");
            }
            if !is_wanted.load(Ordering::SeqCst) {
                say!(Error, "{SYSTEM_STOPPED}; all actors of this process end with it");
            }
        })?;
        let system = told
            .recv()
            .map_err(|_| io::Error::other("the control thread ended before it began"))?;
        Ok(Arc::new(Self { system, ended, dropped }))
    }

    pub(crate) fn handle(&self) -> ArbiterHandle {
        self.system.arbiter().clone()
    }

    /// Completes when the thread has ended, and with it all actors.
    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    /// Does `work` on this thread, and waits for it.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
        let (tell, told) = oneshot::channel();
        self.handle().spawn(async move {
            // The caller may have given up.
            let _ = tell.send(work.await);
        });
        told.await.map_err(|_| io::Error::other("the control thread is gone"))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
        self.system.stop();
    }
}

/// Shows which run (or direct call of a handler) a thread polls. If a thread is blocked, the run that it polls is the run that blocks it.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<Mutex<Option<Arc<dyn Display + Send + Sync>>>>);

impl Desk {
    /// Does `work`, and shows `whose` work it is while the thread polls it.
    pub(crate) async fn at_work<F: Future>(&self, whose: Arc<dyn Display + Send + Sync>, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.set(Some(Arc::clone(&whose)));
            let polled = work.as_mut().poll(context);
            self.set(None);
            polled
        })
        .await
    }

    fn set(&self, whose: Option<Arc<dyn Display + Send + Sync>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = whose;
    }
}

impl Display for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(whose) => whose.fmt(f),
            None => f.write_str("something that is no run of a handler"),
        }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Desk({self})")
    }
}

/// One thread with an actix event loop. It ends when the last owner drops this value.
#[derive(Debug)]
pub(crate) struct Thread {
    arbiter: Arbiter,
    /// How many checks have found no answer since the thread was last asked for a sign of life. 0: it has answered.
    unanswered: AtomicU32,
    answered: Arc<AtomicBool>,
    stalled: AtomicBool,
    desk: Desk,
}

impl Thread {
    /// Starts a thread in the current actix system.
    fn start() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            arbiter: Arbiter::try_new()?,
            unanswered: AtomicU32::new(0),
            answered: Arc::new(AtomicBool::new(true)),
            stalled: AtomicBool::new(false),
            desk: Desk::default(),
        }))
    }

    /// Starts a thread in the system of `control` that is no worker thread.
    pub(crate) async fn beside(control: &Control) -> io::Result<Arc<Self>> {
        control.run(async { Self::start() }).await?
    }

    pub(crate) fn handle(&self) -> ArbiterHandle {
        self.arbiter.handle()
    }

    /// Shows which run this thread polls.
    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    fn tell_replaced(&self, events: &Events) {
        events.tell(&Event::ThreadReplaced {
            runs: self.desk.to_string(),
            blocked: self.arbiter.alive().then_some(LOOK * STALLED_AFTER),
        });
    }

    /// Whether `Threads` found the thread blocked or dead, and replaced it. A stalled thread stays stalled.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Asks the thread for a sign of life, if it has given the last one; answers whether the last one is overdue or the thread is dead.
    fn is_silent(&self) -> bool {
        if self.answered.swap(false, Ordering::Relaxed) {
            self.unanswered.store(0, Ordering::Relaxed);
            let answered = Arc::clone(&self.answered);
            return !self.arbiter.spawn_fn(move || answered.store(true, Ordering::Relaxed));
        }
        let looks = self.unanswered.fetch_add(1, Ordering::Relaxed) + 1;
        looks >= STALLED_AFTER || !self.arbiter.alive()
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.arbiter.stop();
    }
}

/// The worker threads of one process. All its pools and the cron actor share them.
#[derive(Debug, Clone)]
pub(crate) struct Threads(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    threads: Mutex<Vec<Arc<Thread>>>,
    next: AtomicUsize,
    events: Events,
    /// The error because of which no thread could be started in place of a blocked one, so that the log does not repeat it.
    not_started: Mutex<Repeats<()>>,
}

impl Threads {
    /// Starts `count` worker threads in the system of `control`, and a task on the control thread that checks them.
    pub(crate) async fn start(control: &Control, count: usize, events: Events) -> io::Result<Self> {
        let start = async move {
            let threads: io::Result<_> = (0..count.max(1)).map(|_| Thread::start()).collect();
            let inner = Arc::new(Inner {
                threads: Mutex::new(threads?),
                next: AtomicUsize::new(0),
                events,
                not_started: Mutex::default(),
            });
            actix_rt::spawn(look_after(Arc::downgrade(&inner)));
            Ok(Self(inner))
        };
        control.run(start).await?
    }

    /// The thread whose turn it is.
    pub(crate) fn pick(&self) -> Arc<Thread> {
        let threads = self.threads();
        let turn = self.0.next.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&threads[turn % threads.len()])
    }

    /// Replaces the threads that are blocked or dead, and says which runs block them.
    fn replace_stalled(&self) {
        let mut replaced = Vec::new();
        for thread in self.threads().iter_mut().filter(|thread| thread.is_silent()) {
            match Thread::start() {
                Ok(fresh) => {
                    self.not_started().over(&());
                    thread.stalled.store(true, Ordering::Relaxed);
                    replaced.push(std::mem::replace(thread, fresh));
                }
                Err(error) => self.log_not_started(&error),
            }
        }
        // The lock is released by now: while an observer takes its time, actors can still pick a thread.
        for thread in replaced {
            thread.tell_replaced(&self.0.events);
        }
    }

    /// Logs that no thread could be started: at once, then seldom, since each check tries again, twice a second.
    fn log_not_started(&self, error: &io::Error) {
        if let Some(said) = self.not_started().say((), &error.to_string()) {
            say!(Error, "cannot start a thread in place of a blocked one: {said}");
        }
    }

    fn not_started(&self) -> std::sync::MutexGuard<'_, Repeats<()>> {
        self.0.not_started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Thread>>> {
        self.0.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks the threads while they have an owner. It runs on the control thread, so that new threads belong to its system.
async fn look_after(threads: Weak<Inner>) {
    loop {
        actix_rt::time::sleep(LOOK).await;
        let Some(threads) = threads.upgrade().map(Threads) else {
            return;
        };
        threads.replace_stalled();
    }
}
