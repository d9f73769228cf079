//! The actor that writes the lines of runs. Nothing is written while no run logs anything.

use std::{slice, sync::Arc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use tokio::sync::Mutex;

use crate::{
    backoff::Backoff,
    logs::{LogRow, LogWriter},
    repeats::Repeats,
    store::{Store, StoreError},
};

/// How long lines wait for others to be written with.
const PAUSE: Duration = Duration::from_millis(250);

/// One statement writes so many rows or bytes at most.
const ROWS: usize = 200;
const BYTES: usize = 2 << 20;

/// Writes the lines that wait in a [`LogWriter`].
pub(crate) struct LogActor {
    writer: LogWriter,
    store: Store,
    /// Held by the write that is under way.
    writing: Arc<Mutex<()>>,
}

/// Write all lines that wait, of runs that go on their first ones. Answers when everything is written, or the database has refused it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopLogs;

impl LogActor {
    pub(crate) fn new(writer: LogWriter, store: Store) -> Self {
        Self {
            writer,
            store,
            writing: Arc::default(),
        }
    }

    async fn flush(writer: &LogWriter, store: &Store, writing: &Mutex<()>, all: bool) -> Result<(), StoreError> {
        let _writing = writing.lock().await;
        flush(writer, store, all).await
    }
}

impl Actor for LogActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let work = work(self.writer.clone(), self.store.clone(), Arc::clone(&self.writing));
        ctx.spawn(work.into_actor(self));
    }
}

impl Handler<StopLogs> for LogActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StopLogs, _: &mut Context<Self>) -> Self::Result {
        let (writer, store, writing) = (self.writer.clone(), self.store.clone(), Arc::clone(&self.writing));
        Box::pin(async move {
            if let Err(error) = Self::flush(&writer, &store, &writing, true).await {
                say!(Warn, "the last lines of runs are lost: {error}");
            }
        })
    }
}

async fn work(writer: LogWriter, store: Store, writing: Arc<Mutex<()>>) {
    let (mut backoff, mut said) = (Backoff::default(), Repeats::default());
    loop {
        writer.has_work().await;
        actix_rt::time::sleep(PAUSE).await;
        match LogActor::flush(&writer, &store, &writing, false).await {
            Ok(()) => {
                backoff.succeeded();
                if let Some(failures) = said.over(&()) {
                    let dropped = writer.take_dropped();
                    say!(
                        Info,
                        "lines of runs are written again, after {failures} failures; {dropped} batches of lines are lost"
                    );
                }
            }
            Err(error) => {
                if let Some(said) = said.say((), &error.to_string()) {
                    say!(
                        Error,
                        "cannot write the lines of runs, will try again and again: {said}"
                    );
                }
                actix_rt::time::sleep(backoff.failed()).await;
            }
        }
    }
}

async fn flush(writer: &LogWriter, store: &Store, all: bool) -> Result<(), StoreError> {
    let mut rows = writer.take(all);
    while !rows.is_empty() {
        let rest = rows.split_off(batch(&rows));
        if let Err(error) = write(store, &rows).await {
            rows.extend(rest);
            writer.put_back(rows);
            return Err(error);
        }
        rows = rest;
    }
    Ok(())
}

/// Writes rows together, or each alone if the database refuses one of them: only that one is lost.
async fn write(store: &Store, rows: &[LogRow]) -> Result<(), StoreError> {
    match store.cluster().add_logs(rows).await {
        Err(error) if error.is_refusal() => {}
        done => return done,
    }
    for row in rows {
        match store.cluster().add_logs(slice::from_ref(row)).await {
            Err(error) if error.is_refusal() => {
                say!(
                    Warn,
                    "the database refuses a batch of lines of runs, which is lost: {error}"
                );
            }
            done => done?,
        }
    }
    Ok(())
}

/// How many of these rows one statement writes: one at least.
fn batch(rows: &[LogRow]) -> usize {
    let mut bytes = 0;
    let fits = |row: &&LogRow| {
        bytes += row.content.len();
        bytes <= BYTES
    };
    rows.iter().take(ROWS).take_while(fits).count().max(1)
}
