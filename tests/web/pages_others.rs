//! The pages of themes, errors, methods, nodes and the audit.

use gaia_actors::web::AdminOptions;
use serde_json::{Value, json};

use crate::{
    client::{Answer, LIMITED, OPERATOR, PAGES, Served, VIEWER, escaped, tokens},
    support::{PATIENCE, eventually},
};

const CHINESE: (&str, &str) = ("accept-language", "zh-CN,zh;q=0.9");

/// The targets of the links of a page whose texts have this part, as a browser reads them.
fn links(page: &str, part: &str) -> Vec<String> {
    let plain = page.replace("&amp;", "&");
    let targets = plain.split("href=\"").skip(1);
    let targets = targets.filter_map(|rest| rest.split('"').next());
    targets
        .filter(|target| target.contains(part))
        .map(str::to_owned)
        .collect()
}

fn has_all(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "{part:?} is missing: {page}");
    }
}

fn has_none(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(!page.contains(part), "{part:?} is there: {page}");
    }
}

impl Served {
    async fn sees(&self, path: &str) -> String {
        self.page(OPERATOR, path).await.html(200).to_owned()
    }

    async fn sees_in_chinese(&self, path: &str) -> String {
        let bearer = format!("Bearer {OPERATOR}");
        let headers = [("authorization", bearer.as_str()), CHINESE];
        let answer: Answer = self.raw("GET", &format!("{PAGES}{path}"), &headers, "").await;
        answer.html(200).to_owned()
    }

    async fn add_task(&self, theme: &str, method: &str, args: Value) -> i64 {
        let task = json!({"theme": theme, "service": "Demo", "method": method, "args": args, "max_retry": 0});
        let added = self.send("POST", "/tasks", &task.to_string()).await.with(201);
        added["id"].as_i64().expect("an id")
    }

    /// A task that has ended.
    async fn ended_task(&self, method: &str, args: Value) -> i64 {
        let id = self.add_task("demo", method, args).await;
        let scheduler = self.gaia.scheduler("demo").expect("is a theme");
        scheduler.wait_for(id, PATIENCE).await.expect("ends");
        id
    }

    /// Waits until the node has told that it works, and what it serves.
    async fn is_told(&self) {
        eventually("the beat of the node", async || {
            let nodes = self.get("/nodes").await.with(200);
            let node = &nodes["nodes"][0];
            (node["themes"][0].is_object() && node["methods"][0].is_object()).then_some(())
        })
        .await;
    }
}

#[actix_rt::test]
async fn a_theme_is_paused_by_a_form_and_everybody_sees_by_whom_and_why() {
    let served = Served::start().await;
    served.is_told().await;
    let page = served.sees("/themes/demo").await;
    has_all(&page, &["Takes tasks", "action=\"../themes/demo/pause\"", "Pause…"]);
    has_none(&page, &["/resume\""]);

    let reason = "the <supplier> is \"closed\"";
    let fields = [("back", "themes/demo"), ("reason", reason)];
    let answer = served.post(OPERATOR, "/themes/demo/pause", &fields).await;
    assert_eq!(answer.leads_to(), "./../../themes/demo?done=theme.pause");
    let shown = "Paused by operator: the &lt;supplier&gt; is &quot;closed&quot;";
    let page = served.sees("/themes/demo?done=theme.pause").await;
    has_all(
        &page,
        &[
            shown,
            "The theme is paused on all nodes.",
            "action=\"../themes/demo/resume\"",
        ],
    );
    has_none(&page, &["themes/demo/pause\"", "<supplier>"]);
    has_all(&served.sees("/").await, &[shown]);
    let page = served.sees_in_chinese("/themes/demo?done=theme.pause").await;
    has_all(
        &page,
        &[
            "已暂停（operator）：the &lt;supplier&gt;",
            "主题已在所有节点上暂停",
            "恢复",
        ],
    );
    has_all(
        &served.sees_in_chinese("/").await,
        &["已暂停（operator）：the &lt;supplier&gt;"],
    );

    let fields = [("back", "themes/demo"), ("reason", "")];
    let answer = served.post(OPERATOR, "/themes/demo/resume", &fields).await;
    assert_eq!(answer.leads_to(), "./../../themes/demo?done=theme.resume");
    has_none(&served.sees("/themes/demo").await, &["Paused by"]);
    has_all(&served.sees("/").await, &["Nothing needs attention"]);
    served.stop().await;
}

#[actix_rt::test]
async fn a_further_reason_does_not_hide_who_has_paused_a_theme() {
    let served = Served::start().await;
    let pause = async |token: &str, reason: &str| {
        let fields = [("back", "themes/allowed"), ("reason", reason)];
        served.post(token, "/themes/allowed/pause", &fields).await.leads_to();
    };
    pause(OPERATOR, "long ago").await;
    served.post(OPERATOR, "/themes/allowed/resume", &[]).await.leads_to();
    pause(LIMITED, "the supplier is closed").await;
    has_none(&served.sees("/themes/allowed").await, &["First paused"]);
    pause(OPERATOR, "the supplier moves").await;
    pause(OPERATOR, "the supplier has moved").await;
    has_all(
        &served.sees("/themes/allowed").await,
        &[
            "Paused by operator: the supplier has moved",
            "First paused by limited: the supplier is closed",
        ],
    );
    served.post(OPERATOR, "/themes/allowed/resume", &[]).await.leads_to();
    has_none(&served.sees("/themes/allowed").await, &["First paused", "Paused by"]);
    served.stop().await;
}

#[actix_rt::test]
async fn workers_are_set_on_all_nodes_and_on_one() {
    let served = Served::start().await;
    served.is_told().await;
    let workers = async || {
        let status = served.gaia.scheduler("demo").expect("is a theme").status().await;
        status.expect("runs here").all_workers
    };
    let resize = async |path: &str, workers: &str| {
        let fields = [("back", "nodes"), ("workers", workers), ("reason", "the sale")];
        served.post(OPERATOR, path, &fields).await
    };
    assert_eq!(
        resize("/themes/demo/workers", "3").await.leads_to(),
        "./../../nodes?done=theme.resize"
    );
    assert_eq!(workers().await, 3);
    let page = served.sees("/themes/demo").await;
    has_all(&page, &["Workers set by operator: the sale", "Workers of each node: 3"]);
    // A blank field: each node has its own number again.
    resize("/themes/demo/workers", " ").await.leads_to();
    has_all(
        &served.sees("/themes/demo").await,
        &["As each node has it in its program"],
    );

    let node = served.gaia.node_id().to_owned();
    let path = format!("/nodes/{node}/themes/demo/workers");
    let page = served.sees("/themes/demo").await;
    assert_eq!(
        page.matches(&format!("action=\"..{path}\"")).count(),
        2,
        "set and drain: {page}"
    );
    let page = served.sees(&format!("/nodes/{node}")).await;
    assert_eq!(
        page.matches(&format!("action=\"..{path}\"")).count(),
        2,
        "set and drain: {page}"
    );
    let own = workers().await;
    assert_eq!(
        resize(&path, "0").await.leads_to(),
        "./../../../../nodes?done=node.resize"
    );
    assert_eq!(workers().await, 0);
    eventually("the node to tell its workers", async || {
        let page = served.sees("/themes/demo").await;
        // What is drained cannot be drained.
        (page.matches(&format!("action=\"..{path}\"")).count() == 1).then_some(())
    })
    .await;
    for page in ["/themes/demo".to_owned(), format!("/nodes/{node}")] {
        has_all(
            &served.sees(&page).await,
            &[&format!("Set from {own} by operator: the sale")],
        );
    }
    has_all(
        &served.sees("/audit").await,
        &[&format!("<code>workers</code>: {own} → 0")],
    );
    // A resize of all nodes is the last one then.
    resize("/themes/demo/workers", "0").await.leads_to();
    has_none(&served.sees("/themes/demo").await, &["Set from"]);
    for bad in ["", "many", "-1", "100001", "1.5"] {
        let page = resize(&path, bad).await;
        has_all(&page.html(422).to_lowercase(), &["workers"]);
    }
    resize("/nodes/nobody/themes/demo/workers", "1").await.html(404);
    served.stop().await;
}

#[actix_rt::test]
async fn a_method_is_limited_and_its_limit_lifted() {
    let served = Served::start().await;
    served.is_told().await;
    let method = "methods?service=Demo&method=Gate";
    let page = served.sees(&format!("/{method}")).await;
    has_all(&page, &["action=\"limits/Demo/Gate\"", "blank: any number"]);
    has_none(&page, &["limits/Demo/Gate/remove"]);
    // Without a limit there is no table of limits.
    has_none(&served.sees("/methods").await, &["Limits", "limits/"]);

    let set = async |running: &str, starts: &str| {
        let fields = [
            ("back", method),
            ("running", running),
            ("starts", starts),
            ("per", "2"),
            ("unit", "min"),
            ("reason", "as the provider asks"),
        ];
        served.post(OPERATOR, "/limits/Demo/Gate", &fields).await
    };
    let answer = set("2", "1000").await;
    assert_eq!(answer.leads_to(), format!("./../../{method}&done=limit.set"));
    let limit = served.get("/limits").await.with(200)["limits"][0]["limit"].clone();
    assert_eq!(
        limit,
        json!({
            "running": 2, "starts": {"count": 1000, "per_ms": 120_000}, "running_per_key": null, "starts_per_key": null,
        })
    );
    for n in 0..3 {
        served.add_task("demo", "Gate", json!(n)).await;
    }
    eventually("the third task waits", async || {
        let limit = served.get("/limits").await.with(200)["limits"][0].clone();
        (limit["slots"] == 2 && limit["waits"] == true).then_some(())
    })
    .await;
    let page = served.sees("/methods?done=limit.set").await;
    has_all(
        &page,
        &[
            "The method is limited.",
            "<h2>Limits</h2>",
            "2 / 2",
            "1,000 in 2 min",
            "tasks wait",
            "value=\"1000\"",
            "<option value=\"min\" selected>",
            "action=\"limits/Demo/Gate/remove\"",
        ],
    );
    has_all(
        &served.sees_in_chinese("/methods").await,
        &[
            "<h2>方法限流</h2>",
            "每 2 分钟 1,000 个",
            "有任务在等待",
            "设置限流",
            "解除限流",
        ],
    );
    has_all(
        &served.sees(&format!("/{method}")).await,
        &["<dt>Limit</dt>", "2 / 2", "1,000 in 2 min", "tasks wait"],
    );
    has_all(
        &served.sees("/audit").await,
        &["Limit a method", "Demo.Gate", "as the provider asks"],
    );
    has_none(
        &served.sees("/methods?service=Demo&method=Echo").await,
        &["<dt>Limit</dt>"],
    );
    let page = served.page(VIEWER, "/methods").await;
    has_all(page.html(200), &["<h2>Limits</h2>", "2 / 2"]);
    has_none(page.html(200), &["limits/Demo"]);
    for path in ["/methods", "/methods?service=Demo&method=Gate"] {
        let page = served.page(LIMITED, path).await;
        has_none(page.html(200), &["Limits", "Set limit", "<dt>Limit</dt>"]);
    }

    // Blank fields: any number.
    set("", "5").await.leads_to();
    has_all(&served.sees("/methods").await, &["5 in 2 min"]);
    set("3", "").await.leads_to();
    let limit = served.get("/limits").await.with(200)["limits"][0]["limit"].clone();
    assert_eq!(
        limit,
        json!({"running": 3, "starts": null, "running_per_key": null, "starts_per_key": null})
    );
    for bad in ["", "0", "many", "-1", "1000001"] {
        set(bad, "").await.html(422);
    }
    let fields = [("back", "methods"), ("reason", "")];
    let remove = async || served.post(OPERATOR, "/limits/Demo/Gate/remove", &fields).await;
    assert_eq!(remove().await.leads_to(), "./../../../methods?done=limit.remove");
    has_all(remove().await.html(404), &["has no limit"]);
    has_none(&served.sees("/methods").await, &["Limits"]);
    has_all(&served.sees("/audit").await, &["Lift the limit of a method"]);
    served.gate.let_pass(3);
    served.stop().await;
}

#[actix_rt::test]
async fn a_limit_for_keys_is_set_and_shown() {
    let served = Served::start().await;
    let method = "methods?service=Demo&method=Gate";
    let set = async |running: &str, starts: &str| {
        let fields = [
            ("back", method),
            ("running", ""),
            ("starts", ""),
            ("per", "1"),
            ("unit", "min"),
            ("running_per_key", running),
            ("starts_per_key", starts),
            ("per_key", "3"),
            ("unit_per_key", "h"),
            ("reason", ""),
        ];
        served.post(OPERATOR, "/limits/Demo/Gate", &fields).await.leads_to();
        served.get("/limits").await.with(200)["limits"][0]["limit"].clone()
    };
    assert_eq!(
        set("1", "2000").await,
        json!({
            "running": null, "starts": null, "running_per_key": 1, "starts_per_key": {"count": 2000, "per_ms": 10_800_000},
        })
    );
    let page = served.sees("/methods").await;
    has_all(
        &page,
        &[
            "<h2>Limits</h2>",
            "Per limit key",
            ">1 at once<",
            "2,000 in 3 h",
            "value=\"2000\"",
            "<option value=\"h\" selected>",
        ],
    );
    has_none(&page, &["wait</span>"]);
    let first = served.waits_for_key("tenant-1").await;
    eventually("tasks of one key wait", async || {
        let page = served.sees("/methods").await;
        page.contains("tasks of 1 key wait").then_some(())
    })
    .await;
    served.waits_for_key("tenant-2").await;
    eventually("tasks of two keys wait", async || {
        let page = served.sees(&format!("/{method}")).await;
        page.contains("tasks of 2 keys wait").then_some(())
    })
    .await;
    has_all(
        &served.sees(&format!("/{method}")).await,
        &["<dt>Per limit key</dt>", "<dd>1 at once<", "2,000 in 3 h"],
    );
    has_none(&served.sees(&format!("/{method}")).await, &["<dt>Limit</dt>"]);
    has_all(
        &served.sees_in_chinese("/methods").await,
        &[
            ">每个限流键<",
            "同时 1 个",
            "每 3 小时 2,000 个",
            "2 个键有任务在等待",
            "每个限流键同时执行",
        ],
    );

    let waits = "waits until fewer tasks with its limit key run";
    has_all(&served.sees("/tasks?limit_key=tenant-1").await, &[waits]);
    has_none(&served.sees("/tasks?limit_key=tenant-3").await, &[waits]);
    let page = served.sees(&format!("/tasks/{first}")).await;
    has_all(
        &page,
        &[waits, "<dt>Limit key</dt>", "tasks?limit_key=tenant-1", ">tenant-1</a>"],
    );
    // It would only wait again.
    has_none(&page, &["/run_now", "9999"]);
    has_all(
        &served.sees_in_chinese(&format!("/tasks/{first}")).await,
        &["等待同一限流键的任务减少", "<dt>限流键</dt>"],
    );

    // Blank fields: any number.
    assert_eq!(set("3", "").await["starts_per_key"], Value::Null);
    has_none(&served.sees("/methods").await, &["2,000 in 3 h"]);
    served.gate.let_pass(4);
    served.stop().await;
}

#[actix_rt::test]
async fn names_of_limited_methods_are_escaped() {
    let served = Served::start().await;
    for name in ["a/b", "..", "订单 <b>", "a?b#c&d=\"e\"'"] {
        let path = format!("limits/{}/{}", escaped(name), escaped("<i>"));
        let fields = [("back", "methods"), ("running", "1"), ("reason", "")];
        served.post(OPERATOR, &format!("/{path}"), &fields).await.leads_to();
        let page = served.sees("/methods").await;
        has_none(&page, &["<i>", "<b>"]);
        has_all(&page, &["&lt;i&gt;"]);
        // Browsers reach no path with such a part.
        assert_eq!(page.contains("limits/"), name != "..", "{name}");
        served
            .post(OPERATOR, &format!("/{path}/remove"), &fields[..1])
            .await
            .leads_to();
    }
    served.stop().await;
}

#[actix_rt::test]
async fn pages_of_themes_with_strange_names_work_and_escape_them() {
    let served = Served::start().await;
    for (name, shown) in [
        ("a/b", "a/b"),
        ("..", ".."),
        (".", "."),
        ("订单 <b>", "订单 &lt;b&gt;"),
        ("%2F", "%2F"),
        ("a?b#c&d=\"e\"'", "a?b#c&amp;d=&quot;e&quot;'"),
    ] {
        served.add_task(name, "<i>", json!(null)).await;
        let path = format!("themes/{}", escaped(name));
        let fields = [("back", path.as_str()), ("reason", "<script>alert(1)</script>")];
        let answer = served.post(OPERATOR, &format!("/{path}/pause"), &fields).await;
        assert_eq!(answer.leads_to(), format!("./../../{path}?done=theme.pause"));
        let page = served.sees(&format!("/{path}")).await;
        has_all(
            &page,
            &[&format!("<h1>{shown}</h1>"), "Paused by operator", "Demo.&lt;i&gt;"],
        );
        has_none(&page, &["<script>alert", "<b>", "<i>"]);
        for other in ["", "?since=24h", "?since=7d", "?count=exact"] {
            served.sees(&format!("/{path}{other}")).await;
        }
        // The links of the page lead to this theme.
        for part in ["methods?", "tasks?", "errors?"] {
            let links = links(&page, part);
            let link = links.iter().find(|link| link.contains("theme=")).expect("has one");
            let seen = served.sees(link.trim_start_matches("..")).await;
            has_none(&seen, &["<b>", "<i>"]);
        }
        let methods = served.sees(&format!("/methods?theme={}", escaped(name))).await;
        has_all(&methods, &["Demo", "&lt;i&gt;", "nobody"]);
        let audit = served.sees(&format!("/audit?theme={}", escaped(name))).await;
        has_all(&audit, &["Pause a theme", "&lt;script&gt;", &format!(">{shown}</a>")]);
        has_none(&audit, &["<script>alert", "<b>"]);
    }
    let overview = served.sees("/").await;
    has_all(&overview, &["订单 &lt;b&gt;"]);
    // Browsers take even an escaped `..` for a folder.
    has_all(&overview, &["href=\"tasks?theme=%2E%2E\"", "href=\"tasks?theme=%2E\""]);
    has_none(&overview, &["themes/%2E", "themes/."]);
    has_none(&overview, &["<script>alert", "<b>"]);
    for bad in [
        "/themes/%FF",
        "/themes/a%00b",
        "/themes/demo?since=8d",
        "/themes/demo?count=all",
        "/themes/demo?x=1",
    ] {
        let answer = served.page(OPERATOR, bad).await;
        assert!([400, 422].contains(&answer.status), "{bad}: {answer:?}");
        answer.html(answer.status);
    }
    served.stop().await;
}

/// Open pages share one look; an operator who changes something sees it on the next page.
#[actix_rt::test]
async fn the_overview_tells_what_waits_and_what_was_just_done() {
    let served = Served::start().await;
    served.add_task("mail", "Sned", json!({})).await;
    let page = served.sees("/").await;
    has_all(
        &page,
        &["Oldest due", "1 task is due, and no node has workers", "<time"],
    );
    for (change, tag) in [("pause", true), ("resume", false)] {
        served
            .send("POST", &format!("/themes/mail/{change}"), "{}")
            .await
            .with(200);
        let page = served.sees("/").await;
        assert_eq!(page.contains("Paused by operator"), tag, "{page}");
    }
    // Workers alone do not help: no handler has the name.
    served
        .send("PUT", "/themes/demo/workers", r#"{"workers":1}"#)
        .await
        .with(200);
    served.add_task("demo", "Sned", json!({})).await;
    eventually("the overview tells of the method", async || {
        served
            .sees("/")
            .await
            .contains("and no node that is alive serves it")
            .then_some(())
    })
    .await;
    served.stop().await;
}

#[actix_rt::test]
async fn counts_by_status_are_made_when_asked_for() {
    let served = Served::start().await;
    served.ended_task("Echo", json!(1)).await;
    let page = served.sees("/themes/demo").await;
    has_all(
        &page,
        &["theme=demo&amp;status=Failed", "count=exact", "data-refresh=\"5\""],
    );
    let page = served.sees("/themes/demo?count=exact&since=24h").await;
    has_all(&page, &["Succeeded</span></a> 1"]);
    // Reading all tasks again and again would be a load.
    has_none(&page, &["count=exact\"", "data-refresh"]);
    served.stop().await;
}

#[actix_rt::test]
async fn due_work_that_nobody_serves_is_shown_with_its_methods() {
    let served = Served::start().await;
    served.add_task("demo", "Misspelt", json!(null)).await;
    served.is_told().await;
    let page = served.sees("/themes/demo").await;
    has_all(&page, &["1 task is due, and no node", "Demo.Misspelt", "nobody"]);
    has_all(
        &served.sees_in_chinese("/themes/demo").await,
        &["已到期", "Demo.Misspelt"],
    );
    // Where no node has workers, the methods are not at fault.
    served.add_task("elsewhere", "Echo", json!(null)).await;
    has_all(
        &served.sees("/themes/elsewhere").await,
        &["1 task is due, and no node has workers"],
    );
    has_all(
        &served.sees("/methods?theme=demo").await,
        &["Demo", "Misspelt", "Echo", "nobody"],
    );
    let all = served.sees("/methods").await;
    has_all(&all, &["Echo", served.gaia.node_id()]);
    // Of all themes together: what nobody serves, and what no node of its theme serves.
    let row = |method: &str| {
        let row = all
            .split("<tr id=\"method-")
            .find(|row| row.contains(&format!(">Demo.{method}<")));
        row.expect("is listed").to_owned()
    };
    has_all(
        &row("Misspelt"),
        &["<td class=\"n\">1</td>", "<span class=\"tag bad\">nobody</span>"],
    );
    has_all(
        &row("Echo"),
        &["<td class=\"n\">1</td>", "unserved: 1", served.gaia.node_id()],
    );
    has_all(&row("Fail"), &["<td class=\"n\">0</td>"]);
    has_none(&row("Fail"), &["unserved"]);
    let limited = served.page(LIMITED, "/methods").await;
    has_none(limited.html(200), &["Misspelt", "Echo"]);
    let method = served.sees("/methods?theme=demo&service=Demo&method=Misspelt").await;
    has_all(&method, &["nobody", "A name may be misspelt"]);
    let unknown = served.sees("/methods?service=No&method=Such").await;
    has_all(&unknown, &["nobody", "Nothing has ended in this time."]);
    served.stop().await;
}

#[actix_rt::test]
async fn what_ended_is_a_chart_and_a_table() {
    let served = Served::start().await;
    for method in ["Echo", "Echo", "Fail"] {
        served.ended_task(method, json!(1)).await;
    }
    eventually("the counts to be written", async || {
        let history = served.get("/themes/demo/history?step=3600").await.with(200);
        let points = history["points"].as_array().expect("a list");
        let ended = points
            .iter()
            .map(|point| point["succeeded"].as_u64().unwrap_or(0) + point["failed"].as_u64().unwrap_or(0));
        (ended.sum::<u64>() == 3).then_some(())
    })
    .await;
    let node = served.gaia.node_id();
    has_all(
        &served.sees("/nodes").await,
        &[
            "data-label=\"Attempts, last 10 min\">3<",
            "data-label=\"Failed attempts\"><span class=\"error\">33.3 %",
        ],
    );
    has_all(
        &served.sees(&format!("/nodes/{node}")).await,
        &["<dt>Attempts, last 10 min</dt><dd>3</dd>", "33.3 %"],
    );
    let limited = served.page(LIMITED, &format!("/nodes/{node}")).await;
    has_all(limited.html(200), &["<dt>Attempts, last 10 min</dt><dd>0</dd>"]);
    let errors = "errors?theme=demo&amp;since=1h&amp;attempts=all\"><span class=\"error\">33.3 %";
    has_all(&served.sees("/").await, &[errors]);
    for since in ["1h", "24h", "7d"] {
        let page = served.sees(&format!("/themes/demo?since={since}")).await;
        has_all(&page, &["data-chart=\"{&quot;", "id=\"ends-table\"", "33.3 %"]);
        let page = served
            .sees(&format!("/methods?service=Demo&method=Fail&since={since}"))
            .await;
        has_all(
            &page,
            &[
                "100.0 %",
                "id=\"ran-table\"",
                "id=\"waited-table\"",
                "up to",
                "refused by a handler",
            ],
        );
        let list = served.sees(&format!("/methods?since={since}")).await;
        let place = |name: &str| list.find(&format!(">{name}<")).expect("is listed");
        assert!(place("Demo.Fail") < place("Demo.Echo"), "those that fail come first");
        has_all(&list, &["<svg class=\"spark\""]);
    }
    let chinese = served.sees_in_chinese("/methods?service=Demo&method=Fail").await;
    has_all(&chinese, &["失败率", "耗时分布", "最近失败的任务"]);
    served.stop().await;
}

#[actix_rt::test]
async fn errors_are_grouped_and_their_retry_finds_them() {
    let served = Served::start().await;
    let mut last = 0;
    for _ in 0..3 {
        last = served.ended_task("Fail", json!(1)).await;
    }
    served.add_task("quiet", "Echo", json!(1)).await;
    served.is_told().await;
    for path in [
        "/errors",
        "/errors?theme=demo",
        "/errors?theme=&since=1h",
        "/errors?since=7d",
    ] {
        let page = served.sees(path).await;
        has_all(&page, &["refused by a handler", "Demo.Fail", "Retry those that failed"]);
        // Themes without errors have no part of the page.
        assert_eq!(page.matches("id=\"errors-").count(), 1, "{page}");
        let retry = links(&page, "tasks/bulk?");
        let [retry] = retry.as_slice() else {
            panic!("one group: {retry:?}")
        };
        let question = served.sees(&format!("/{retry}")).await;
        has_all(&question, &["3 tasks"]);
        // The API finds the same tasks by the same conditions.
        let (_, conditions) = retry.split_once('?').expect("has conditions");
        let conditions: Vec<&str> = conditions
            .split('&')
            .filter(|condition| !condition.starts_with("action=") && !condition.starts_with("back="))
            .collect();
        let found = served.get(&format!("/tasks?{}", conditions.join("&"))).await.with(200);
        assert_eq!(
            found["tasks"].as_array().map(Vec::len),
            Some(3),
            "{conditions:?}: {found}"
        );
        let tasks = links(&page, "tasks?");
        let listed = served.sees(&format!("/{}", tasks.first().expect("a list"))).await;
        has_all(&listed, &["refused by a handler"]);
    }
    has_all(
        &served.sees("/errors?theme=quiet").await,
        &["No task has failed in this time."],
    );
    has_all(
        &served.sees_in_chinese("/errors").await,
        &["重试其中失败的任务", "refused by a handler"],
    );
    let viewer = served.page(VIEWER, "/errors").await;
    has_all(viewer.html(200), &["refused by a handler"]);
    has_none(viewer.html(200), &["tasks/bulk"]);
    // An attempt that a later one made good is among all attempts alone.
    served.database.execute(&format!(
        "UPDATE asynctasks SET task_status = 'Success', last_err_msg = NULL WHERE id = {last}"
    ));
    has_all(
        &served.sees("/errors?theme=demo").await,
        &[
            "errors?theme=demo&amp;since=24h&amp;attempts=all\">All failed attempts",
            "tasks/bulk?",
        ],
    );
    let page = served.sees("/errors?theme=demo&attempts=all").await;
    let counts = "data-label=\"Attempts\">3</td><td class=\"n\" data-label=\"Tasks\">3</td><td class=\"n\" data-label=\"Succeeded since\">1<";
    has_all(
        &page,
        &[
            "refused by a handler",
            "Succeeded since",
            counts,
            &format!("href=\"tasks/{last}\""),
        ],
    );
    has_none(&page, &["tasks/bulk?"]);
    has_all(
        &served.sees("/errors?theme=quiet&attempts=all").await,
        &["No attempt has failed in this time."],
    );
    served.page(OPERATOR, "/errors?attempts=some").await.html(400);
    served.page(OPERATOR, "/errors?since=2h").await.html(400);
    served.page(OPERATOR, "/errors?theme=%00").await.html(422);
    served.stop().await;
}

#[actix_rt::test]
async fn a_text_in_place_of_an_error_is_shown_and_the_error_is_not() {
    let options = AdminOptions::new(tokens()).requests_per_second(1_000_000);
    let served =
        Served::with(options.redact(|redacted| redacted.text.contains("refused").then(|| "a secret".to_owned()))).await;
    served.ended_task("Fail", json!(1)).await;
    served.is_told().await;
    for path in ["/errors", "/methods?service=Demo&method=Fail"] {
        let page = served.sees(path).await;
        has_all(&page, &["a secret"]);
        has_none(&page, &["refused", "tasks/bulk"]);
    }
    served.stop().await;
}

#[actix_rt::test]
async fn nodes_are_shown_with_their_counters() {
    let served = Served::start().await;
    served.ended_task("Echo", json!(1)).await;
    served.is_told().await;
    let node = served.gaia.node_id().to_owned();
    let list = served.sees("/nodes").await;
    has_all(&list, &[&node, "Alive", "has made this page", "demo"]);
    let page = eventually("the node to write its counters", async || {
        let page = served.sees(&format!("/nodes/{node}")).await;
        page.contains("Runs recorded").then_some(page)
    })
    .await;
    has_all(
        &page,
        &[
            "Counters since its start",
            "Demo.Echo",
            "Drain…",
            &format!("tasks?node={node}"),
        ],
    );
    let chinese = served.sees_in_chinese(&format!("/nodes/{node}")).await;
    has_all(&chinese, &["启动以来的计数", "已记录的执行", "排空…"]);
    served.page(OPERATOR, "/nodes/nobody").await.html(404);
    served.page(OPERATOR, "/nodes?x=1").await.html(400);
    served.stop().await;
}

#[actix_rt::test]
async fn the_audit_is_searched_and_paged() {
    let served = Served::start().await;
    served
        .send("POST", "/themes/allowed/pause", r#"{"reason":"first"}"#)
        .await
        .with(200);
    served
        .send_as(LIMITED, "POST", "/themes/allowed/resume", "")
        .await
        .with(200);
    let id = served.ended_task("Echo", json!(1)).await;
    served.send("POST", &format!("/tasks/{id}/cancel"), "").await;
    let page = served.sees("/audit").await;
    has_all(
        &page,
        &[
            "Pause a theme",
            "Resume a theme",
            "Cancel a task",
            "first",
            "Done",
            "Refused",
        ],
    );
    has_all(&page, &[&format!("href=\"tasks/{id}\""), "href=\"themes/allowed\""]);
    // A form sends blank fields, too.
    let page = served.sees("/audit?theme=allowed&author=&action=").await;
    has_all(
        &page,
        &["Pause a theme</td>", "Resume a theme</td>", "value=\"allowed\""],
    );
    has_none(&page, &["Cancel a task</td>"]);
    let page = served.sees("/audit?theme=&author=limited&action=").await;
    has_all(&page, &["Resume a theme</td>"]);
    has_none(&page, &["Pause a theme</td>"]);
    let page = served.sees("/audit?action=theme.pause").await;
    has_all(&page, &["Pause a theme</td>", "value=\"theme.pause\" selected"]);
    has_none(&page, &["Resume a theme</td>"]);
    has_all(
        &served.sees("/audit?author=nobody%3Cb%3E").await,
        &["No change meets this filter.", "nobody&lt;b&gt;"],
    );
    has_all(
        &served.sees_in_chinese("/audit").await,
        &["暂停主题", "已完成", "被拒绝"],
    );

    let page = served.sees("/audit?limit=1").await;
    let mut seen = 0;
    let mut next = links(&page, "cursor=");
    while let Some(link) = next.pop() {
        seen += 1;
        assert!(seen < 10, "comes to an end");
        let page = served
            .page(OPERATOR, &format!("/{link}&limit=1"))
            .await
            .html(200)
            .to_owned();
        next = links(&page, "cursor=");
    }
    assert!(seen >= 2, "{seen}");
    served.page(OPERATOR, "/audit?cursor=x").await.html(400);
    served.stop().await;
}

#[actix_rt::test]
async fn a_viewer_sees_every_page_and_no_form_that_changes_anything() {
    let served = Served::start().await;
    served.ended_task("Fail", json!(1)).await;
    served.is_told().await;
    let node = served.gaia.node_id().to_owned();
    for path in [
        "/themes/demo",
        "/errors",
        "/methods",
        "/methods?service=Demo&method=Fail",
        "/nodes",
        &format!("/nodes/{node}"),
        "/audit",
        "/alerts",
    ] {
        let answer = served.page(VIEWER, path).await;
        has_none(answer.html(200), &["method=\"post\"", "popover", "tasks/bulk"]);
        has_all(answer.html(200), &["You may look, and change nothing."]);
    }
    let forms = [
        ("/themes/demo/pause".to_owned(), ""),
        ("/themes/demo/resume".to_owned(), ""),
        ("/themes/demo/workers".to_owned(), "1"),
        (format!("/nodes/{node}/themes/demo/workers"), "1"),
        ("/limits/Demo/Echo".to_owned(), ""),
        ("/limits/Demo/Gate/remove".to_owned(), ""),
    ];
    for (path, workers) in forms {
        let fields = [("back", ""), ("reason", "no"), ("workers", workers)];
        let fields = if workers.is_empty() { &fields[..2] } else { &fields };
        served.post(VIEWER, &path, fields).await.html(403);
    }
    assert_eq!(served.get("/themes/demo").await.with(200)["paused"], json!(false));
    served.stop().await;
}

#[actix_rt::test]
async fn a_caller_who_is_limited_to_themes_sees_no_other_theme() {
    let served = Served::start().await;
    served.ended_task("Fail", json!(1)).await;
    served.add_task("elsewhere<x>", "Secret", json!(1)).await;
    served.add_task("allowed", "Open", json!(1)).await;
    served
        .send("POST", "/themes/demo/pause", r#"{"reason":"a covert reason"}"#)
        .await
        .with(200);
    served
        .send("POST", "/themes/allowed/pause", r#"{"reason":"an open reason"}"#)
        .await
        .with(200);
    served.is_told().await;
    eventually("the counts to be written", async || {
        let history = served.get("/themes/demo/history").await.with(200);
        (history["points"] != json!([])).then_some(())
    })
    .await;
    let node = served.gaia.node_id().to_owned();
    for path in [
        "/",
        "/themes/allowed",
        "/errors",
        "/errors?since=7d",
        "/methods",
        "/methods?since=7d",
        "/methods?service=Demo&method=Fail",
        "/nodes",
        &format!("/nodes/{node}"),
        "/audit",
        "/alerts",
    ] {
        let answer = served.page(LIMITED, path).await;
        let page = answer.html(200);
        let asked_for = path.contains("method=Fail");
        has_none(
            page,
            &[
                "themes/demo",
                "value=\"demo\"",
                ">demo<",
                "elsewhere",
                "covert",
                "Secret",
                "refused by a handler",
            ],
        );
        assert!(asked_for || !page.contains("Demo.Fail"), "{path}: {page}");
    }
    has_all(served.page(LIMITED, "/audit").await.html(200), &["an open reason"]);
    has_all(served.page(LIMITED, "/methods").await.html(200), &["Demo.Open"]);
    for path in [
        "/themes/demo",
        "/errors?theme=demo",
        "/methods?theme=demo",
        "/audit?theme=demo",
    ] {
        served.page(LIMITED, path).await.html(403);
    }
    served.stop().await;
}
