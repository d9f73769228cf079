//! What Prometheus reads: sums of this process since it began, the state of its actors, and the state of everything in the database.

mod cluster;
mod database;
mod families;
mod jobs;
mod labels;
mod process;
mod tasks;

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::CONTENT_TYPE},
};
use tokio::time::timeout;

use self::families::{Families, TEXT};
use super::{call::Call, problem::Problem};
use crate::error::Error;

/// How long an answer waits for the state of the database. Prometheus itself waits for 10 s unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn metrics(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call.caller.needs_all_themes()?;
    let gaia = call.gaia();
    let themes = gaia.all_scheduler_status().await?;
    let jobs = gaia.jobs().status().await?;
    let watch = call.watch();
    let state = match timeout(PATIENCE, watch.state()).await {
        Ok(state) => Some(state.ok_or(Error::Stopped)?),
        Err(_) => None,
    };
    let (totals, sums) = gaia.events().totals();
    let mut families = Families::default();
    process::node(&mut families, &call);
    cluster::state(&mut families, state.as_deref());
    process::workers(&mut families, &themes);
    process::schedules(&mut families, &jobs);
    tasks::sums(&mut families, &totals, &sums, &themes, &gaia.registry().served());
    jobs::sums(&mut families, &totals, &sums);
    database::sums(&mut families, &sums, &themes, &jobs);
    let text = families.text().map_err(|error| Problem::unwritable(&error))?;
    let mut response = HttpResponse::build(StatusCode::OK);
    response.insert_header((CONTENT_TYPE, TEXT));
    Ok(response.body(text))
}

pub(super) mod described {
    use utoipa::openapi::{Content, ObjectBuilder, Type};

    use crate::web::openapi::Described;

    pub(in crate::web) fn metrics() -> Described {
        let text = ObjectBuilder::new().schema_type(Type::String).description(Some(
            "The text format of Prometheus. docs/monitoring.md names each metric.",
        ));
        Described::new().answer_content(200, "text/plain", Content::new(Some(text)), "The metrics.")
    }
}
