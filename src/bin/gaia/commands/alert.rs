//! Open alerts.

use crate::{
    args::AlertCommand,
    exit::{Exit, Result},
    output::{Cell, Column, Sheet, Tone, words},
    session::Session,
    watch::watched,
};

const SHEET: Sheet = Sheet {
    columns: &[
        Column::whole("SEVERITY", |alert, _| {
            let severity = Cell::of(alert, "severity");
            if alert.text("severity") == "page" {
                severity.toned(Tone::Bad)
            } else {
                severity.toned(Tone::Warning)
            }
        }),
        Column::whole("KIND", |alert, _| Cell::of(alert, "kind")),
        Column::whole("SINCE", |alert, view| {
            Cell::new(words::in_table(alert.time("since"), view))
        }),
        Column::number("TIMES", |alert, _| Cell::int(alert, "times")),
        Column::new("SUBJECT", |alert, _| Cell::of(alert, "subject")),
        Column::new("TEXT", |alert, _| Cell::of(alert, "text_en")),
        Column::whole("NODE", |alert, _| Cell::of(alert, "node")).for_wide(),
        Column::whole("PLACE", |alert, _| Cell::of(alert, "place")).for_wide(),
    ],
    empty: "No alert is open. Only processes with alarms write alerts.",
    name: |alert| alert.text("subject"),
};

pub async fn run(session: &Session, AlertCommand::List { theme, watch }: AlertCommand) -> Result {
    let (api, out) = (session.api().await?, &session.out);
    watched(session, watch.watch, async || {
        let alerts = api
            .get(&["alerts"])
            .each("theme", &theme)
            .send()
            .await?
            .fields()?
            .list("alerts");
        out.list(&SHEET, &alerts, &out.view(api))?;
        Ok(Exit::Done)
    })
    .await
}
