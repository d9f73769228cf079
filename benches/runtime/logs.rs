//! A drain whose handlers log ten lines a task: by a logger alone, through the capture with lines that are not kept, and with lines that
//! are kept.

use std::{
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use gaia_actors::{
    async_fn,
    logs::{KeepLogs, LogCapture},
    prelude::*,
};
use log::{LevelFilter, Log, Metadata, Record};

use crate::{
    Options, US,
    database::{Kind, Plain, Result},
    place::{Place, on_fresh},
    report::{Figure, Report},
    timing::{Aim, rate},
};

const THEME: &str = "bench";
const LINES: u32 = 10;
const CALL: usize = 1_000;

/// How lines are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The application's logger gets them.
    Plain,
    /// They go through the capture, and no run keeps them.
    Off,
    /// Runs keep them.
    On,
}

/// An application's logger, which drops what it gets, with the capture around it or without.
struct Logger {
    capture: LogCapture<Dropped>,
    plain: Dropped,
}

struct Dropped;

static CAPTURES: AtomicBool = AtomicBool::new(false);

impl Logger {
    fn active(&self) -> &dyn Log {
        match CAPTURES.load(Ordering::Relaxed) {
            true => &self.capture,
            false => &self.plain,
        }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.active().enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.active().log(record);
    }

    fn flush(&self) {}
}

impl Log for Dropped {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Info
    }

    /// Makes the text, as every logger does.
    fn log(&self, record: &Record<'_>) {
        std::hint::black_box(record.args().to_string());
    }

    fn flush(&self) {}
}

pub(crate) async fn run(database: &str, options: &Options, report: &mut Report) -> Result<()> {
    static LOGGER: Once = Once::new();
    LOGGER.call_once(|| {
        let logger = Logger {
            capture: LogCapture::around(Dropped),
            plain: Dropped,
        };
        if log::set_boxed_logger(Box::new(logger)).is_ok() {
            log::set_max_level(LevelFilter::Info);
        }
    });
    let modes = [Mode::Plain, Mode::Off, Mode::On];
    let mut rates = modes.map(|_| Vec::new());
    for round in 0..options.rounds {
        // Which of them comes first changes from round to round.
        for turn in 0..modes.len() {
            let at = (turn + round) % modes.len();
            let drained = on_fresh(database, async |place| drain(place, options, modes[at]).await).await?;
            rates[at].push(drained);
        }
    }
    let [plain, off, on] = rates;
    let kind = Kind::of(database)?.name();
    let figure = |case: &str| Figure::new("runtime", case, kind, US, "tasks/s");
    report.add(figure("drain, ten lines a task to a logger alone").of(&plain))?;
    for (case, rates, aim) in [
        ("drain, ten lines a task, not kept", &off, 0.99),
        ("drain, ten lines a task, kept", &on, 0.9),
    ] {
        let mut figure = figure(case).beside(rates, &plain);
        figure.note = Aim::AtLeast(aim).verdict(figure.ratio.unwrap_or_default(), "of the logger alone");
        report.add(figure)?;
    }
    Ok(())
}

async fn drain(place: &Place, options: &Options, mode: Mode) -> Result<f64> {
    CAPTURES.store(mode != Mode::Plain, Ordering::Relaxed);
    let handler = async_fn(async |ctx: TaskContext, (): ()| {
        for line in 0..LINES {
            log::info!(
                "order {} has passed step {line}: reserved, paid, packed and sent",
                ctx.id()
            );
        }
        Ok::<_, TaskError>(())
    });
    let gaia = Gaia::builder()
        .database(&place.url)
        .handler("Bench", "Talk", handler)
        .start()
        .await?;
    let scheduler = gaia.scheduler(THEME)?;
    for first in (0..options.tasks).step_by(CALL) {
        let count = CALL.min(options.tasks - first);
        scheduler.add_tasks(vec![NewTask::new("Bench", "Talk"); count]).await?;
    }
    place.settle().await?;
    let theme = SchedulerOptions::new(THEME);
    let began = Instant::now();
    let scheduler = match mode {
        Mode::Plain | Mode::Off => gaia.start_scheduler(theme).await?,
        Mode::On => gaia.start_scheduler(theme.keep_logs(KeepLogs::default())).await?,
    };
    while scheduler.status().await?.succeeded < options.tasks as u64 {
        actix_rt::time::sleep(Duration::from_millis(5)).await;
    }
    let drained = rate(options.tasks, began.elapsed());
    gaia.stop().await?;
    let lines = "SELECT CONCAT(COUNT(*), '') AS line FROM gaia_run_logs";
    let rows: usize = Plain::connect(place.kind, &place.url)
        .await?
        .lines(lines)
        .await?
        .join("")
        .parse()?;
    match (mode, rows) {
        (Mode::On, 0) => Err("no line was kept".into()),
        (Mode::Plain | Mode::Off, 1..) => Err("lines were kept that were not to be".into()),
        _ => Ok(drained),
    }
}
