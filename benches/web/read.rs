//! Lists, single tasks and the dashboard's pages beside many finished tasks.

use crate::{
    Options,
    database::Result,
    figure,
    place::{Place, on_fresh},
    report::Report,
    rows,
    served::{API, Served},
    timing::{Aim, QUANTILES, Times},
};

/// The 95th percentile of every look, in milliseconds.
const AIM: Aim = Aim::Below(100.0);
/// About how many ids the single looks choose from.
const KNOWN: usize = 1_000;
/// Where the 95th percentile lies in [`QUANTILES`].
const P95: usize = 1;

pub(crate) async fn run(database: &str, options: &Options, report: &mut Report) -> Result<()> {
    on_fresh(database, async |place| measure(database, place, options, report).await).await
}

async fn measure(database: &str, place: &Place, options: &Options, report: &mut Report) -> Result<()> {
    let mut plain = place.plain().await?;
    rows::add_finished(&mut plain, place.kind, "'bench'", options.rows).await?;
    // A server may leave ids out.
    let apart = options.rows.div_ceil(KNOWN).max(1);
    let some = format!("SELECT CONCAT('', id) AS line FROM asynctasks WHERE id % {apart} = 0");
    let known = plain.lines(&some).await?;
    drop(plain);
    place.settle().await?;
    let served = Served::start(&place.url).await?;
    let rows = options.rows;
    let random = || fastrand::choice(&known).map_or("1", String::as_str);
    let of_api = |path: &str| format!("{API}{path}");
    let looks: [(&str, &dyn Fn() -> String); 13] = [
        ("list, newest 50", &|| of_api("/tasks?theme=bench")),
        ("list, all themes, 200", &|| of_api("/tasks?limit=200")),
        ("list, failed", &|| of_api("/tasks?theme=bench&status=Failed")),
        ("list, an error that no task has", &|| {
            of_api("/tasks?theme=bench&error=nothing")
        }),
        ("list, unfinished, of which there are none", &|| {
            of_api("/tasks?status=Wait,Retry")
        }),
        ("get", &|| of_api(&format!("/tasks/{}", random()))),
        ("get, records", &|| of_api(&format!("/tasks/{}/records", random()))),
        ("page of everything", &|| "/".to_owned()),
        ("page of tasks", &|| "/tasks?theme=bench".to_owned()),
        ("page of failed tasks", &|| "/tasks?q=status:failed".to_owned()),
        ("page of a task", &|| format!("/tasks/{}", random())),
        ("page of a theme", &|| "/themes/bench".to_owned()),
        ("page of errors", &|| "/errors?theme=bench".to_owned()),
    ];
    for (what, path) in looks {
        let mut times = Times::new()?;
        // The first look opens connections.
        served.get(&path()).await?;
        // A search for something that is not there ends after half a second and says how far it has looked.
        let count = if what.contains("no task") {
            options.reads.div_ceil(50)
        } else {
            options.reads
        };
        for _ in 0..count.max(1) {
            times.note(served.get(&path()).await?)?;
        }
        let quantiles = times.quantiles();
        for (at, (name, _)) in QUANTILES.iter().enumerate() {
            let case = format!("{what}, beside {rows} rows, {name}");
            let mut figure = figure(&case, database, "http", "ms")?.of(&[quantiles[at]]);
            figure.rounds = count;
            if at == P95 && !what.contains("no task") {
                figure = figure.note(AIM.verdict(quantiles[at], "ms"));
            }
            report.add(figure)?;
        }
    }
    served.stop().await
}
