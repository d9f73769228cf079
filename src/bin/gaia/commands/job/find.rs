//! Finding a job by its id or name.

use crate::{
    api::Api,
    exit::{Failure, Result},
};

/// The most jobs of one page.
const PAGE: u32 = 200;

/// The id of the job with this id or name. A text of digits is an id.
pub async fn id_of(api: &Api, job: &str) -> Result<String> {
    if job.parse::<i64>().is_ok() {
        return Ok(job.to_owned());
    }
    let mut cursor: Option<String> = None;
    loop {
        let page = api
            .get(&["jobs"])
            .query("name", job)
            .query("limit", PAGE)
            .maybe("cursor", cursor.as_ref());
        let page = page.send().await?.fields()?;
        if let Some(found) = page.list("jobs").iter().find(|found| found.text("job_name") == job) {
            return Ok(found.text_of_id());
        }
        cursor = page.get("next_cursor");
        if cursor.is_none() {
            return Err(Failure::not_found(format!(
                "there is no job with the name {job:?}; `gaia job list` shows the names"
            )));
        }
    }
}
