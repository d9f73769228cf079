//! A call: from the name of a method, or from a route that was kept, to the handler and back. No database.
//!
//! Each thread is an arbiter with a few callers side by side, as the workers of a pool are. Processor time is that of the
//! calling threads; it says more than the rate where others use the machine, too. Allocations are those of the calling thread,
//! from the arguments to the result.
//!
//! The actor lives on the first of the threads. What is said of it is beside the same message sent straight to its mailbox
//! (`bare`): that part is actix's own.

use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::future::{join_all, try_join_all};
use gaia_actors::{Invoke, Json, Registry, Route, TaskContext, TaskError, async_fn};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{
    CpuTime, Options, US, cpu_time,
    database::Result,
    report::{Figure, Report, median},
    verdict,
};

const BENCH: &str = "registry";
const SERVICE: &str = "Bench";

/// On two threads together.
const RATE_AIM: f64 = 1_000_000.0;
const ALLOCATIONS_AIM: f64 = 3.0;

/// Side by side on each thread.
const CALLERS: usize = 16;

/// Calls whose allocations are counted.
const COUNTED: usize = 100_000;

/// Without a heap of its own: what is counted is ours.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Order {
    id: u64,
    amount: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    id: u64,
    total: f64,
}

/// Counts what it is asked.
struct Counter(u64);

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<Invoke> for Counter {
    type Result = std::result::Result<Json, TaskError>;

    fn handle(&mut self, call: Invoke, _: &mut Context<Self>) -> Self::Result {
        call.args::<()>()?;
        self.0 += 1;
        Ok(Json::null())
    }
}

/// The same, without anything of ours.
#[derive(Message)]
#[rtype(result = "std::result::Result<String, String>")]
struct Bare(String);

impl Handler<Bare> for Counter {
    type Result = std::result::Result<String, String>;

    fn handle(&mut self, Bare(args): Bare, _: &mut Context<Self>) -> Self::Result {
        self.0 += u64::from(args == "null");
        Ok(args)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// An async function without arguments or result.
    Unit,
    /// One with small structs.
    Typed,
    /// One that reads and answers any JSON: what serde_json allocates for that comes on top.
    Value,
    Actor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Named,
    Kept,
    /// Past the registry.
    Bare,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Typed => "typed",
            Self::Value => "value",
            Self::Actor => "actor",
        }
    }
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Kept => "kept",
            Self::Bare => "bare",
        }
    }
}

/// What a thread needs for its calls.
#[derive(Clone)]
struct Place {
    registry: Registry,
    actor: Recipient<Bare>,
}

/// All ways take turns.
fn cases() -> Vec<(Method, Way)> {
    let methods = [Method::Unit, Method::Typed, Method::Value, Method::Actor];
    let ways = |method| [Way::Named, Way::Kept].map(|way| (method, way));
    let mut cases: Vec<_> = methods.into_iter().flat_map(ways).collect();
    cases.push((Method::Actor, Way::Bare));
    cases
}

pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<()> {
    let threads = [Arbiter::new(), Arbiter::new()];
    let actor = Counter::start_in_arbiter(&threads[0].handle(), |_| Counter(0));
    let registry = Registry::start();
    fill(&registry, actor.clone().recipient()).await?;
    let actor = actor.recipient();
    let place = Place { registry, actor };
    for count in [1, 2] {
        let (mut rates, mut used) = (vec![Vec::new(); cases().len()], vec![Vec::new(); cases().len()]);
        for _ in 0..options.rounds {
            for (at, (method, way)) in cases().into_iter().enumerate() {
                let (rate, nanos) = round(&threads[..count], &place, method, way, options.calls).await?;
                rates[at].push(rate);
                used[at].push(nanos);
            }
        }
        for (at, (method, way)) in cases().into_iter().enumerate() {
            let mut figure = figure(method, way, &format!("threads {count}"), "calls/s");
            figure = match way {
                Way::Bare => figure.of(&rates[at]),
                _ if method == Method::Actor => figure.beside(&rates[at], &rates[cases().len() - 1]),
                _ => figure.of(&rates[at]),
            };
            let mut note = format!("{:.0} ns of processor time a call", median(&used[at]));
            if count == 2 && method != Method::Actor {
                let reached = median(&rates[at]) >= RATE_AIM;
                note = format!("{}; {note}", verdict(reached, "1,000,000/s on two threads"));
            }
            report.add(figure.note(note))?;
        }
    }
    for (method, way) in cases() {
        let allocations = allocations(method, way)?;
        let mut figure = figure(method, way, "heap", "allocations").of(&[allocations]);
        if matches!(method, Method::Unit | Method::Typed) {
            figure = figure.note(verdict(allocations <= ALLOCATIONS_AIM, "3 a call"));
        }
        report.add(figure)?;
    }
    for thread in threads {
        thread.stop();
        thread.join().map_err(|_| "a thread panicked")?;
    }
    Ok(())
}

fn figure(method: Method, way: Way, what: &str, unit: &'static str) -> Figure {
    let side = if way == Way::Bare { "bare" } else { US };
    let case = format!("call {} {}, {what}", method.name(), way.name());
    Figure::new(BENCH, &case, "", side, unit)
}

async fn fill(registry: &Registry, actor: Recipient<Invoke>) -> Result<()> {
    let unit = async_fn(async |_: TaskContext, (): ()| Ok(()));
    registry.register(SERVICE, Method::Unit.name(), unit).await?;
    let typed = async_fn(async |_: TaskContext, order: Order| {
        let Order { id, amount } = order;
        let total = amount * 2.0;
        Ok(Receipt { id, total })
    });
    registry.register(SERVICE, Method::Typed.name(), typed).await?;
    let value = async_fn(async |_: TaskContext, args: Value| Ok(args));
    registry.register(SERVICE, Method::Value.name(), value).await?;
    registry.register(SERVICE, Method::Actor.name(), actor).await?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "calls are far fewer than 2^53")]
/// Calls a second, and nanoseconds of processor time of one.
async fn round(threads: &[Arbiter], place: &Place, method: Method, way: Way, calls: usize) -> Result<(f64, f64)> {
    let took = threads.iter().map(|thread| {
        let (tell, told) = oneshot::channel();
        let place = place.clone();
        thread.spawn_fn(move || {
            actix_rt::spawn(async move {
                // Nobody else waits for it.
                let _ = tell.send(work(&place, method, way, calls).await);
            });
        });
        told
    });
    let (mut longest, mut all) = (Duration::ZERO, Duration::ZERO);
    for took in join_all(took).await {
        let (took, used) = took??;
        longest = longest.max(took);
        all += used;
    }
    let calls = (calls * threads.len()) as f64;
    Ok((calls / longest.as_secs_f64(), 1e9 * all.as_secs_f64() / calls))
}

/// So many calls on this thread; answers how long they took, and how much of its time.
async fn work(
    place: &Place,
    method: Method,
    way: Way,
    calls: usize,
) -> std::result::Result<(Duration, Duration), String> {
    let used = || cpu_time(CpuTime::Thread).map_err(|error| error.to_string());
    let (began, before) = (Instant::now(), used()?);
    let order = Order { id: 17, amount: 12.5 };
    let value = json!({ "id": 17, "item": "a pound of tea" });
    let each = calls / CALLERS;
    let callers = (0..CALLERS).map(async |_| match method {
        Method::Typed => call::<_, Receipt>(place, method, way, &order, each).await,
        Method::Value => call::<_, Value>(place, method, way, &value, each).await,
        Method::Actor if way == Way::Bare => bare(place, each).await,
        Method::Unit | Method::Actor => call::<_, ()>(place, method, way, &(), each).await,
    });
    try_join_all(callers).await.map_err(|error| error.to_string())?;
    Ok((began.elapsed(), used()?.saturating_sub(before)))
}

async fn call<T: Serialize, R: DeserializeOwned>(
    place: &Place,
    method: Method,
    way: Way,
    args: &T,
    calls: usize,
) -> Result<()> {
    let (registry, name) = (&place.registry, method.name());
    if way == Way::Named {
        for _ in 0..calls {
            registry.call::<R>(SERVICE, name, args).await?;
        }
        return Ok(());
    }
    let route: Route = registry.route(SERVICE, name)?;
    for _ in 0..calls {
        route.call::<R>(args).await?;
    }
    Ok(())
}

async fn bare(place: &Place, calls: usize) -> Result<()> {
    for _ in 0..calls {
        place.actor.send(Bare("null".to_owned())).await??;
    }
    Ok(())
}

/// Allocations of one call, counted on a thread where everything is.
#[expect(clippy::cast_precision_loss, reason = "allocations are far fewer than 2^53")]
fn allocations(method: Method, way: Way) -> Result<f64> {
    let count = move || {
        let system = System::new();
        let place = system
            .block_on(async {
                let actor = Counter(0).start();
                let registry = Registry::start();
                fill(&registry, actor.clone().recipient()).await?;
                let actor = actor.recipient();
                Ok(Place { registry, actor })
            })
            .map_err(|error: Box<dyn std::error::Error>| error.to_string())?;
        // Queues have their size after the first calls.
        system.block_on(work(&place, method, way, COUNTED))?;
        let mut worked = Ok((Duration::ZERO, Duration::ZERO));
        let info = allocation_counter::measure(|| worked = system.block_on(work(&place, method, way, COUNTED)));
        // To a hundredth: the callers themselves are allocated, too, but not for each call.
        worked.map(|_| (100.0 * info.count_total as f64 / COUNTED as f64).round() / 100.0)
    };
    let counted: std::result::Result<f64, String> =
        std::thread::spawn(count).join().map_err(|_| "a thread panicked")?;
    Ok(counted?)
}
