//! Tasks whose method is called by HTTP, beside a bare HTTP client that sends as many requests to the same server in the same run. Both have
//! a hundred calls under way, and keep their connections. A service that answers at once shows what a call costs: client, server and database
//! share the cores. A service that takes some time for each call shows what is left of that cost beside real work.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::ServerHandle,
    web::{self, Bytes},
};
use awc::{Client, Connector};
use futures_util::future::try_join_all;
use gaia_actors::{RemoteService, prelude::*};

use crate::{
    Options, US,
    database::{Kind, Result},
    place::{Place, on_fresh},
    report::{Figure, Report},
    timing::{Aim, rate},
};

const THEME: &str = "bench";
const IN_FLIGHT: usize = 100;
const CALL: usize = 1_000;
const AIM: f64 = 0.7;
/// How long a service works on a call that does some work.
const WORK: Duration = Duration::from_millis(5);
const ARGS: &str = r#"{"order":17,"amount":4200,"currency":"EUR"}"#;

pub(crate) async fn run(database: &str, options: &Options, report: &mut Report) -> Result<()> {
    compare(database, options, Duration::ZERO, "at once", report).await?;
    compare(database, options, WORK, "after 5 ms", report).await
}

async fn compare(database: &str, options: &Options, work: Duration, when: &str, report: &mut Report) -> Result<()> {
    let (url, server) = server(work)?;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        // Which of them comes first changes from round to round.
        for turn in 0..2 {
            match (turn + round) % 2 {
                0 => bare.push(requests(&url, options.tasks).await?),
                _ => ours.push(on_fresh(database, async |place| drain(place, &url, options).await).await?),
            }
        }
    }
    server.stop(true).await;
    let kind = Kind::of(database)?.name();
    let figure =
        |case: &str, side: &str, unit| Figure::new("runtime", &format!("{case}, answered {when}"), kind, side, unit);
    report.add(figure("remote: requests, 100 in flight", "awc", "requests/s").of(&bare))?;
    let mut ours = figure("remote: tasks, 100 workers", US, "tasks/s").beside(&ours, &bare);
    ours.note = Aim::AtLeast(AIM).verdict(ours.ratio.unwrap_or_default(), "of the bare client");
    report.add(ours)?;
    Ok(())
}

/// A server that reads the arguments, works for so long, and answers with a result.
fn server(work: Duration) -> Result<(String, ServerHandle)> {
    let server = HttpServer::new(move || {
        let answer = move |body: Bytes| async move {
            drop(body);
            if !work.is_zero() {
                actix_rt::time::sleep(work).await;
            }
            HttpResponse::Ok()
                .content_type("application/json")
                .body(r#"{"done":true}"#)
        };
        App::new().route("/orders/{method}", web::post().to(answer))
    });
    let server = server.workers(1).disable_signals().bind("127.0.0.1:0")?;
    let address = server.addrs().first().copied().ok_or("the server has no address")?;
    let server = server.run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok((format!("http://{address}/orders"), handle))
}

/// Requests a second of a client that does nothing else.
async fn requests(url: &str, count: usize) -> Result<f64> {
    let client = Client::builder()
        .connector(Connector::new().limit(IN_FLIGHT))
        .disable_timeout()
        .finish();
    let (url, left) = (format!("{url}/Create"), Cell::new(count));
    let one_by_one = || async {
        while let Some(rest) = left.get().checked_sub(1) {
            left.set(rest);
            let request = client.post(&url).content_type("application/json");
            let mut answer = request.send_body(ARGS).await?;
            let body = answer.body().await?;
            if !answer.status().is_success() || body.is_empty() {
                return Err(format!("the server answered {}", answer.status()).into());
            }
        }
        Result::Ok(())
    };
    let began = Instant::now();
    try_join_all((0..IN_FLIGHT).map(|_| one_by_one())).await?;
    Ok(rate(count, began.elapsed()))
}

/// Tasks a second of a backlog.
async fn drain(place: &Place, url: &str, options: &Options) -> Result<f64> {
    let service = RemoteService::at(url).methods(["Create"]);
    let gaia = Gaia::builder()
        .database(&place.url)
        .service("Orders", service)
        .start()
        .await?;
    let scheduler = gaia.scheduler(THEME)?;
    for first in (0..options.tasks).step_by(CALL) {
        let count = CALL.min(options.tasks - first);
        let task = NewTask::new("Orders", "Create").raw_args(ARGS);
        scheduler.add_tasks(vec![task; count]).await?;
    }
    place.settle().await?;
    let theme = SchedulerOptions::new(THEME).worker_num(IN_FLIGHT);
    let began = Instant::now();
    let scheduler = gaia.start_scheduler(theme).await?;
    while scheduler.status().await?.succeeded < options.tasks as u64 {
        actix_rt::time::sleep(Duration::from_millis(5)).await;
    }
    let drained = rate(options.tasks, began.elapsed());
    gaia.stop().await?;
    place.check(options.tasks).await?;
    Ok(drained)
}
