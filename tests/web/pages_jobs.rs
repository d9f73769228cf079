//! The pages of cron jobs: forms, previews, refusals.

use gaia_actors::web::{Access, AccessToken, AdminOptions, Permission};
use serde_json::{Value, json};

use crate::{
    client::{Answer, LIMITED, OPERATOR, PAGES, Served, VIEWER},
    support::{PATIENCE, eventually},
};

/// What a browser sends of the form of a job.
const FORM: [(&str, &str); 19] = [
    ("back", "jobs"),
    ("job_name", "report"),
    ("enabled", "true"),
    ("cron_expr", "0 0 1 * * *"),
    ("time_zone", "Asia/Shanghai"),
    ("job_type", "cron_job"),
    ("service_name", "Demo"),
    ("service_method", "Echo"),
    ("hook_url", ""),
    ("hook_method", "POST"),
    ("hook_headers", ""),
    ("hook_secret", ""),
    ("args", "{\"n\": 12345678901234567890123}"),
    ("timeout", "60"),
    ("overlap_policy", "allow"),
    ("misfire_policy", "skip"),
    ("misfire_grace", ""),
    ("max_retry", "2"),
    ("retry_delay_ms", "5"),
];

/// The form with other values, and further fields.
fn form<'a>(others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = FORM
        .into_iter()
        .filter(|(name, _)| others.iter().all(|(other, _)| other != name));
    kept.chain(others.iter().copied()).collect()
}

/// How often a page has a text.
fn count(page: &str, text: &str) -> usize {
    page.matches(text).count()
}

/// The next fires that a page lists.
fn fires(page: &str) -> usize {
    let list = page.split("<ol class=\"fires\">").nth(1).unwrap_or_default();
    count(list.split("</ol>").next().unwrap_or_default(), "<li>")
}

/// The part of a page from one text on to another one.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let rest = page.split_once(from).map(|(_, rest)| rest);
    let part = rest.and_then(|rest| rest.split_once(to)).map(|(part, _)| part);
    part.unwrap_or_else(|| panic!("{from:?} to {to:?} in {page}"))
}

impl Served {
    async fn jobs(&self) -> Value {
        self.get("/jobs").await.with(200)["jobs"].clone()
    }

    /// Adds a job by its form; answers with its path.
    async fn added(&self, others: &[(&str, &str)]) -> String {
        let answer = self.post(OPERATOR, "/jobs", &form(others)).await;
        let (path, done) = answer.leads_to().split_once("?done=").expect("says what was done");
        assert_eq!(done, "job.add");
        path.trim_start_matches('.').to_owned()
    }

    /// The page in this language.
    async fn page_in(&self, language: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {OPERATOR}");
        let headers = [("authorization", bearer.as_str()), ("accept-language", language)];
        self.raw("GET", &format!("{PAGES}{path}"), &headers, "").await
    }
}

#[actix_rt::test]
async fn a_job_is_added_shown_edited_run_disabled_and_deleted() {
    let served = Served::start().await;
    assert!(
        served
            .page(OPERATOR, "/jobs")
            .await
            .html(200)
            .contains("There is no job yet.")
    );
    served.page(OPERATOR, "/jobs/new").await.html(200);
    let path = served.added(&[("reason", "for the board")]).await;

    let shown = served.page(OPERATOR, &format!("{path}?done=job.add")).await;
    let shown = shown.html(200);
    for text in [
        "The job is added.",
        "report",
        "At 01:00:00 every day",
        "Asia/Shanghai",
        "ensure_job",
        "Skip",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert_eq!(fires(shown), 10);
    assert!(
        served
            .get(&path)
            .await
            .body
            .contains("{\"n\": 12345678901234567890123}")
    );

    let edit = served.page(OPERATOR, &format!("{path}/edit")).await;
    let edit = edit.html(200);
    for text in [
        "value=\"report\"",
        "name=\"version\" value=\"0\"",
        "12345678901234567890123",
        "value=\"0 0 1 * * *\"",
    ] {
        assert!(edit.contains(text), "{text}: {edit}");
    }
    let back = path.trim_start_matches('/');
    let changed = form(&[
        ("back", back),
        ("version", "0"),
        ("cron_expr", "@hourly"),
        ("reason", "too late"),
    ]);
    let answer = served.post(OPERATOR, &format!("{path}/edit"), &changed).await;
    assert_eq!(answer.leads_to(), format!("./../../{back}?done=job.update"));
    let job = served.get(&path).await.with(200);
    assert_eq!(
        (
            &job["cron_expr"],
            &job["misfire_grace"],
            &job["retry_delay_ms"],
            &job["time_zone"]
        ),
        (&json!("@hourly"), &json!(3_600), &json!(5), &json!("Asia/Shanghai"))
    );

    let back = [("back", back), ("reason", "to see it")];
    let answer = served.post(OPERATOR, &format!("{path}/run"), &back).await;
    let runs = served.get(&format!("{path}/runs")).await.with(200);
    let run = runs["runs"][0]["id"].as_i64().expect("is there");
    let place = format!("/runs/{run}?done=job.run");
    assert_eq!(answer.leads_to(), format!("./../..{place}"));
    let begun = served.page(OPERATOR, &place).await;
    for text in [
        &format!("<h1>Run {run}</h1>"),
        "The job was started.",
        &format!("href=\"..{path}\">report</a>"),
        "12345678901234567890123",
    ] {
        assert!(begun.html(200).contains(text), "{text}: {begun:?}");
    }
    served.gaia.jobs().wait_for_run(run, PATIENCE).await.expect("ends");
    let list = served.page(OPERATOR, "/jobs").await;
    let mark = format!("href=\"runs/{run}\"");
    assert!(list.html(200).contains(&mark), "{list:?}");
    let shown = served.page(OPERATOR, &path).await;
    let row = between(shown.html(200), &format!("id=\"run-{run}\""), "</tr>");
    assert!(
        row.contains("Succeeded") && row.contains("12345678901234567890123"),
        "{row}"
    );

    for (verb, enabled) in [
        ("cancel", true),
        ("disable", false),
        ("enable", true),
        ("disable", false),
    ] {
        served.post(OPERATOR, &format!("{path}/{verb}"), &back).await.leads_to();
        assert_eq!(served.get(&path).await.with(200)["enabled"], json!(enabled), "{verb}");
    }
    let shown = served.page(OPERATOR, &path).await;
    assert!(shown.html(200).contains("The job is disabled."), "{shown:?}");
    let answer = served
        .post(OPERATOR, &format!("{path}/delete"), &[("back", "jobs")])
        .await;
    assert_eq!(answer.leads_to(), "./../../jobs?done=job.delete");
    served.page(OPERATOR, &path).await.html(404);
    // A run outlives its job, and is hidden from callers who are limited to themes.
    let ended = served.page(OPERATOR, &format!("/runs/{run}")).await;
    assert!(
        ended.html(200).contains("Succeeded") && !ended.body.contains(&format!("..{path}")),
        "{ended:?}"
    );
    let unseen = served.page(VIEWER, &format!("/runs/{run}")).await;
    assert!(!unseen.html(200).contains("12345678901234567890123"), "{unseen:?}");
    served.page(LIMITED, &format!("/runs/{run}")).await.html(403);
    served.page(OPERATOR, "/runs/999999").await.html(404);
    assert_eq!(served.jobs().await, json!([]));

    let entries = served.get("/audit?limit=200").await.with(200)["entries"].clone();
    let entries = entries.as_array().expect("is a list").iter();
    let noted: Vec<(&str, Option<&str>)> = entries
        .map(|entry| (entry["action"].as_str().unwrap_or_default(), entry["reason"].as_str()))
        .collect();
    let see = Some("to see it");
    let expected = [
        ("job.delete", None),
        ("job.disable", see),
        ("job.enable", see),
        ("job.disable", see),
        ("job.cancel", see),
        ("job.run", see),
        ("job.update", Some("too late")),
        ("job.add", Some("for the board")),
    ];
    assert_eq!(noted, expected);
    served.stop().await;
}

#[actix_rt::test]
async fn faults_stand_beside_their_fields_and_everything_typed_is_kept() {
    let served = Served::start().await;
    let bad = form(&[
        ("cron_expr", "61 * * * *"),
        ("service_method", ""),
        ("args", "{\"a\": nothing}\n</textarea>"),
        ("reason", "a \"reason\""),
        ("max_retry", "1001"),
    ]);
    let answer = served.post(OPERATOR, "/jobs", &bad).await;
    let page = answer.html(422);
    assert!(page.contains("Nothing was saved."), "{page}");
    let explained = between(page, "id=\"explained\"", "</div>");
    assert!(explained.contains("61 is out of range 0-59"), "{explained}");
    for (name, fault) in [
        ("service_method", "is empty"),
        ("args", "the arguments are not JSON"),
        ("max_retry", "expected 0 to 1000"),
    ] {
        let help = between(page, &format!("id=\"{name}-help\""), "</div>");
        assert!(
            help.contains("class=\"fault\"") && help.contains(fault),
            "{name}: {help}"
        );
    }
    for typed in [
        "value=\"61 * * * *\"",
        "value=\"Asia/Shanghai\"",
        "value=\"report\"",
        "value=\"1001\"",
        "value=\"a &quot;reason&quot;\"",
        "\n{&quot;a&quot;: nothing}\n&lt;/textarea&gt;</textarea>",
        "<option value=\"allow\" selected>",
        "<option value=\"skip\" selected>",
    ] {
        assert!(page.contains(typed), "{typed}: {page}");
    }
    // What is no number is found before the definition is read.
    let answer = served
        .post(
            OPERATOR,
            "/jobs",
            &form(&[("timeout", "soon"), ("hook_headers", "no colon")]),
        )
        .await;
    let page = answer.html(422);
    for (name, fault) in [
        ("timeout", "expected a whole number"),
        ("hook_headers", "line 1 of the headers"),
    ] {
        let help = between(page, &format!("id=\"{name}-help\""), "</div>");
        assert!(help.contains(fault), "{name}: {help}");
    }
    assert!(page.contains("value=\"soon\"") && page.contains("no colon"), "{page}");
    assert_eq!(served.jobs().await, json!([]));

    served.added(&[]).await;
    let answer = served.post(OPERATOR, "/jobs", &form(&[])).await;
    let help = between(answer.html(409), "id=\"job_name-help\"", "</div>");
    assert!(help.contains("report"), "{help}");
    served.stop().await;
}

#[actix_rt::test]
async fn a_preview_shows_ten_fires_and_stores_nothing() {
    let served = Served::start().await;
    let asked = form(&[("cron_expr", "30 2 * * 1"), ("args", "[7]"), ("preview", "schedule")]);
    let answer = served.post(OPERATOR, "/jobs", &asked).await;
    let page = answer.html(200);
    assert_eq!(fires(page), 10);
    let explained = between(page, "id=\"explained\"", "</div>");
    assert!(
        explained.contains("Monday") && explained.contains("Asia/Shanghai"),
        "{explained}"
    );
    assert_eq!(count(explained, "Mon "), 10, "{explained}");
    assert!(
        page.contains("value=\"30 2 * * 1\"") && page.contains("\n[7]</textarea>"),
        "{page}"
    );
    assert_eq!(served.jobs().await, json!([]));

    let path = served.added(&[]).await;
    let bad = form(&[("cron_expr", "@dayly"), ("version", "0"), ("preview", "schedule")]);
    let answer = served.post(OPERATOR, &format!("{path}/edit"), &bad).await;
    let explained = between(answer.html(200), "id=\"explained\"", "</div>");
    assert!(
        explained.contains("class=\"fault\"") && explained.contains("@daily"),
        "{explained}"
    );
    assert_eq!(served.get(&path).await.with(200)["cron_expr"], "0 0 1 * * *");
    // A script asks with the fields of the schedule alone.
    for page in ["/jobs/new", &format!("{path}/edit")] {
        let answer = served
            .page(OPERATOR, &format!("{page}?cron_expr=%40hourly&time_zone="))
            .await;
        assert_eq!(fires(answer.html(200)), 10, "{page}");
        assert!(answer.body.contains("Every hour"), "{answer:?}");
    }
    served.page(OPERATOR, "/jobs/new?cron=%40hourly").await.html(400);
    let entries = served.get("/audit").await.with(200)["entries"].clone();
    assert_eq!(
        entries.as_array().map(Vec::len),
        Some(1),
        "only the job was added: {entries}"
    );
    served.stop().await;
}

#[actix_rt::test]
async fn an_edit_of_an_old_version_is_refused_and_keeps_what_was_typed() {
    let served = Served::start().await;
    let path = served.added(&[]).await;
    let edit = format!("{path}/edit");
    served
        .post(OPERATOR, &edit, &form(&[("version", "0"), ("cron_expr", "@daily")]))
        .await
        .leads_to();
    let late = form(&[("version", "0"), ("cron_expr", "@weekly")]);
    for _ in 0..2 {
        let answer = served.post(OPERATOR, &edit, &late).await;
        let page = answer.html(412);
        assert!(page.contains("Somebody else has changed this job"), "{page}");
        assert!(
            page.contains("value=\"@weekly\"") && page.contains("name=\"version\" value=\"0\""),
            "{page}"
        );
    }
    assert_eq!(served.get(&path).await.with(200)["cron_expr"], "@daily");
    served.post(OPERATOR, "/jobs/999/edit", &late).await.html(404);
    served.stop().await;
}

#[cfg(feature = "hooks")]
#[actix_rt::test]
async fn values_of_headers_and_secrets_are_never_shown_and_kept() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let served = Served::start().await;
    let hook = [
        ("job_type", "cron_hook"),
        ("hook_url", "http://localhost:9/sync"),
        ("hook_headers", "authorization: Bearer abc\r\nx-team: data\r\n"),
        ("hook_secret", SECRET),
    ];
    let path = served.added(&hook).await;
    for page in ["/jobs".to_owned(), path.clone(), format!("{path}/edit")] {
        let answer = served.page(OPERATOR, &page).await;
        for secret in ["Bearer abc", "data", "MfKQ9r8GKYqr"] {
            let shown = answer
                .html(200)
                .replace("datalist", "")
                .replace("data-", "")
                .replace("datetime", "");
            assert!(!shown.contains(secret), "{page} shows {secret}");
        }
        assert!(answer.body.contains("localhost"), "{answer:?}");
    }
    let edit = format!("{path}/edit");
    let kept = [
        hook[0],
        hook[1],
        ("hook_headers", "authorization: (hidden)\nx-team: other"),
        ("version", "0"),
    ];
    served.post(OPERATOR, &edit, &form(&kept)).await.leads_to();
    let id = path
        .rsplit('/')
        .next()
        .and_then(|id| id.parse().ok())
        .expect("is a number");
    let job = served.gaia.jobs().get_job_detail(id).await.expect("is there").job;
    assert_eq!(job.hook_headers["authorization"], "Bearer abc");
    assert_eq!(
        (job.hook_headers["x-team"].as_str(), job.has_hook_secret),
        ("other", true)
    );

    let removed = form(&[
        kept[0],
        kept[1],
        kept[2],
        ("version", "1"),
        ("hook_secret_remove", "true"),
    ]);
    served.post(OPERATOR, &edit, &removed).await.leads_to();
    assert_eq!(served.get(&path).await.with(200)["has_hook_secret"], false);
    // No header has the name whose value shall stay.
    let unknown = form(&[hook[0], hook[1], ("hook_headers", "x-other: (hidden)")]);
    let answer = served.post(OPERATOR, &edit, &unknown).await;
    let help = between(answer.html(422), "id=\"hook_headers-help\"", "</div>");
    assert!(help.contains("(hidden)") && help.contains("class=\"fault\""), "{help}");
    served.stop().await;
}

#[actix_rt::test]
async fn a_viewer_changes_nothing_and_sees_no_buttons() {
    let served = Served::start().await;
    let path = served.added(&[]).await;
    for page in ["/jobs", &path] {
        let answer = served.page(VIEWER, page).await;
        let page = between(answer.html(200), "<main", "</main>");
        for button in ["method=\"post\"", "popover", "jobs/new", "/edit\""] {
            assert!(!page.contains(button), "{button}: {page}");
        }
        assert!(!page.contains("12345678901234567890123"), "{page}");
    }
    for page in ["/jobs/new".to_owned(), format!("{path}/edit")] {
        served.page(VIEWER, &page).await.html(403);
    }
    for action in ["", "/edit", "/delete", "/enable", "/disable", "/run", "/cancel"] {
        let to = if action.is_empty() {
            "/jobs".to_owned()
        } else {
            format!("{path}{action}")
        };
        served.post(VIEWER, &to, &form(&[])).await.html(403);
        served
            .post(VIEWER, &to, &form(&[("preview", "schedule")]))
            .await
            .html(403);
    }
    for page in [
        "/jobs".to_owned(),
        path.clone(),
        format!("{path}/edit"),
        "/jobs/new".to_owned(),
    ] {
        served.page(LIMITED, &page).await.html(403);
    }
    served
        .post(LIMITED, "/jobs", &form(&[("job_name", "other")]))
        .await
        .html(403);
    assert_eq!(served.jobs().await.as_array().map(Vec::len), Some(1));
    served.stop().await;
}

/// A form would put nothing in the place of the arguments.
#[actix_rt::test]
async fn who_may_not_see_arguments_edits_no_job_that_may_have_some() {
    const EDITOR: &str = "editor-0123456789";
    let token = AccessToken::new("editor", &AccessToken::hash_of(EDITOR)).expect("is good");
    let editor = token.permissions(&[Permission::View, Permission::EditJobs]);
    let served = Served::with(AdminOptions::new(Access::tokens([editor]))).await;
    let answer = served.post(EDITOR, "/jobs", &form(&[])).await;
    assert_eq!(answer.leads_to(), "./jobs/1?done=job.add");
    let page = served.page(EDITOR, "/jobs/1/edit").await;
    assert!(page.html(200).contains("hidden from you"), "{page:?}");
    assert!(!page.body.contains("name=\"args\""), "{page:?}");
    let page = served.page(EDITOR, "/jobs/1").await;
    assert!(
        !page.html(200).contains("/edit\"") && page.body.contains("Delete"),
        "{page:?}"
    );
    served.stop().await;
}

#[actix_rt::test]
async fn hostile_texts_are_shown_as_texts() {
    const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}";
    let served = Served::start().await;
    let texts = [
        ("job_name", HOSTILE),
        ("service_name", HOSTILE),
        ("service_method", HOSTILE),
    ];
    let path = served.added(&texts).await;
    served
        .post(OPERATOR, &format!("{path}/run"), &[("back", HOSTILE)])
        .await
        .leads_to();
    let typed = form(&[
        ("job_name", HOSTILE),
        ("cron_expr", HOSTILE),
        ("hook_secret", HOSTILE),
        ("timeout", HOSTILE),
    ]);
    for answer in [
        served.page(OPERATOR, "/jobs").await,
        served.page(OPERATOR, &path).await,
        served.page(OPERATOR, &format!("{path}/edit")).await,
        served.post(OPERATOR, "/jobs", &typed).await,
    ] {
        assert!(answer.body.contains("&lt;script&gt;alert"), "{answer:?}");
        for bad in ["<script>alert", "<img"] {
            assert!(!answer.body.contains(bad), "{bad}: {answer:?}");
        }
        assert!(
            answer
                .header("content-security-policy")
                .is_some_and(|policy| policy.starts_with("default-src 'none'"))
        );
    }
    served.stop().await;
}

#[actix_rt::test]
async fn pages_speak_both_languages() {
    let served = Served::start().await;
    let path = served.added(&[]).await;
    for (language, list, detail) in [
        ("en", ["Jobs", "At 01:00:00 every day"], ["Next fires", "Edit"]),
        (
            "zh-CN,zh;q=0.9",
            ["定时任务", "每天 01:00:00"],
            ["接下来的触发时间", "编辑"],
        ),
    ] {
        for (page, texts) in [("/jobs", list), (path.as_str(), detail)] {
            let answer = served.page_in(language, page).await;
            for text in texts {
                assert!(answer.html(200).contains(text), "{language} {page} {text}: {answer:?}");
            }
        }
        served.page_in(language, "/jobs/new").await.html(200);
        served.page_in(language, &format!("{path}/edit")).await.html(200);
    }
    served.stop().await;
}

#[actix_rt::test]
async fn jobs_are_found_by_name_and_state_page_by_page() {
    let served = Served::start().await;
    for number in 0..30 {
        let enabled = if number % 2 == 0 { "true" } else { "false" };
        served
            .added(&[("job_name", &format!("job {number:02}")), ("enabled", enabled)])
            .await;
    }
    let rows = |page: &str| count(page, "<tr id=\"job-");
    let first = served.page(OPERATOR, "/jobs").await;
    assert_eq!(rows(first.html(200)), 25);
    let older = between(&first.body, "<nav class=\"pager\"", "</nav>");
    let older = between(older, "href=\"", "\"").replace("&amp;", "&");
    let second = served.page(OPERATOR, &format!("/{older}")).await;
    assert_eq!(rows(second.html(200)), 5);
    for (query, found) in [
        ("name=job+0&enabled=", 10),
        ("name=&enabled=true", 15),
        ("name=job+0&enabled=false", 5),
        ("name=nothing&enabled=", 0),
    ] {
        let answer = served.page(OPERATOR, &format!("/jobs?{query}")).await;
        assert_eq!(rows(answer.html(200)), found, "{query}");
    }
    assert!(
        served
            .page(OPERATOR, "/jobs?name=x")
            .await
            .html(200)
            .contains("No job meets this filter.")
    );
    served.page(OPERATOR, "/jobs?enabled=perhaps").await.html(400);
    served.page(OPERATOR, "/jobs?cursor=x").await.html(400);
    served.stop().await;
}

#[actix_rt::test]
async fn a_job_says_that_nobody_serves_its_method() {
    let served = Served::start().await;
    let (good, bad) = (
        served.added(&[]).await,
        served
            .added(&[("job_name", "misspelt"), ("service_method", "Ecco")])
            .await,
    );
    eventually("the node to tell its methods", async || {
        let page = served.page(OPERATOR, &good).await;
        (!page.html(200).contains("No node that is alive serves")).then_some(())
    })
    .await;
    let page = served.page(OPERATOR, &format!("{bad}?done=job.add")).await;
    let notice = between(page.html(200), "No node that is alive serves this method.", "</p>");
    assert!(
        notice.contains(">Demo.Ecco<") && notice.contains("href=\"../methods\""),
        "{notice}"
    );
    served.stop().await;
}

#[actix_rt::test]
async fn each_job_has_its_own_last_runs_and_turns_their_pages() {
    let served = Served::start().await;
    let (busy, quiet) = (
        served.added(&[]).await,
        served
            .added(&[("job_name", "quiet"), ("service_method", "Fail"), ("max_retry", "0")])
            .await,
    );
    let mut last = 0;
    for path in std::iter::once(&quiet).chain(std::iter::repeat_n(&busy, 31)) {
        served.post(OPERATOR, &format!("{path}/run"), &[]).await.leads_to();
        let runs = served.get(&format!("{path}/runs?limit=1")).await.with(200);
        last = runs["runs"][0]["id"].as_i64().expect("is there");
        served.gaia.jobs().wait_for_run(last, PATIENCE).await.expect("ends");
    }
    let list = served.page(OPERATOR, "/jobs").await;
    let marks = |path: &str| {
        let row = format!("id=\"job-{}\"", path.trim_start_matches("/jobs/"));
        count(between(list.html(200), &row, "</tr>"), "href=\"runs/")
    };
    assert_eq!((marks(&busy), marks(&quiet)), (12, 1));
    assert!(
        list.body.contains(&format!("Run {last}: Succeeded")) && list.body.contains(": Failed"),
        "{list:?}"
    );

    let shown = served.page(OPERATOR, &busy).await;
    assert_eq!(count(shown.html(200), "<tr id=\"run-"), 30);
    let older = between(between(&shown.body, "<nav class=\"pager\"", "</nav>"), "?", "#runs");
    let older = served.page(OPERATOR, &format!("{busy}?{older}")).await;
    assert_eq!(count(older.html(200), "<tr id=\"run-"), 1);
    let failed = served.page(OPERATOR, &quiet).await;
    assert!(failed.html(200).contains("refused by a handler"), "{failed:?}");
    served.stop().await;
}
