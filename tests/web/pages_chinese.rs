//! Faults and refusals on Chinese pages: no sentence of them is English.

use serde_json::json;

use crate::client::{Answer, LIMITED, OPERATOR, PAGES, Served, VIEWER, escaped};

const CHINESE: (&str, &str) = ("accept-language", "zh-CN");

/// Three English words one after the other in what the reader of a page sees.
fn english(page: &str) -> Option<String> {
    let (_, main) = page.split_once("<main").expect("has a main part");
    let main = main.split("</main>").next().unwrap_or_default();
    let texts: Vec<&str> = main
        .split('<')
        .filter_map(|piece| piece.split_once('>'))
        .map(|(_, text)| text)
        .collect();
    let texts = texts
        .join("\n")
        .replace("&quot;", "\"")
        .replace("&gt;", ">")
        .replace("&lt;", "<");
    let is_word = |word: &&str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    texts.lines().find_map(|line| {
        let words: Vec<&str> = line.split([' ', '，', '；', '：', '“', '”']).collect();
        let is_english = words.windows(3).any(|three| three.iter().all(is_word));
        is_english.then(|| line.to_owned())
    })
}

/// What is English on a page, with what was asked for.
fn english_of(what: &str, answer: &Answer) -> Option<String> {
    let page = answer.html(answer.status);
    english(page).map(|line| format!("{what}: {} {line}", answer.status))
}

impl Served {
    async fn asks_in_chinese(&self, token: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), CHINESE];
        self.raw("GET", &format!("{PAGES}{path}"), &headers, "").await
    }

    async fn posts_in_chinese(&self, token: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {token}");
        let form = ("content-type", "application/x-www-form-urlencoded");
        let headers = [("authorization", bearer.as_str()), form, CHINESE];
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", escaped(value)))
            .collect();
        self.raw("POST", &format!("{PAGES}{path}"), &headers, &fields.join("&"))
            .await
    }
}

#[actix_rt::test]
async fn faults_of_the_search_line_are_chinese() {
    let served = Served::start().await;
    let mut found = Vec::new();
    let long = format!("name:{}", "x".repeat(256));
    for line in [
        "stauts:failed",
        "nonsense:failed",
        "\"open",
        "status:",
        "status:failed,",
        "status:fialed",
        "status:nonsense",
        "theme:,",
        "key:",
        "limit-key:",
        "node:",
        "log:",
        "error:",
        "id:x",
        "method:x",
        "older:x",
        "newer:",
        "created-from:yesterday",
        "ended-before:",
        "key:a key:b",
        "older:2h created-before:2026-01-31",
        "key:\"a\u{0}b\"",
        "node:a node:none",
        &long,
    ] {
        let answer = served
            .asks_in_chinese(OPERATOR, &format!("/tasks?q={}", escaped(line)))
            .await;
        assert!(answer.html(200).contains("搜索条件有误"), "{line}: {answer:?}");
        found.extend(english_of(line, &answer));
    }
    for query in [
        "q=status:failed&status=Wait",
        "q=a&unknown=1",
        "q=a&stauts=1",
        "limit=0",
        "q=a&q=b",
        "created_from=x",
        "id=x",
        "without_node=x",
    ] {
        let answer = served.asks_in_chinese(OPERATOR, &format!("/tasks?{query}")).await;
        assert!(answer.html(200).contains("搜索条件有误"), "{query}: {answer:?}");
        found.extend(english_of(query, &answer));
    }
    served.stop().await;
    assert_eq!(found, Vec::<String>::new());
}

/// A job that is right.
const JOB: [(&str, &str); 6] = [
    ("job_name", "report"),
    ("job_type", "cron_job"),
    ("cron_expr", "@daily"),
    ("service_name", "Demo"),
    ("service_method", "Echo"),
    ("hook_url", "http://localhost/"),
];

#[actix_rt::test]
async fn faults_of_the_form_of_a_job_are_chinese() {
    let served = Served::start().await;
    let mut found = Vec::new();
    let (long, longest) = ("x".repeat(256), "x".repeat(501));
    let many_headers: Vec<String> = (0..200).map(|number| format!("x-{number}: a")).collect();
    let many_headers = many_headers.join("\n");
    let long_expr = format!("{} * * * *", "1,".repeat(60));
    let hook = ("job_type", "cron_hook");
    let bad = [
        ("job_name", ""),
        ("job_name", "a\u{0}b"),
        ("job_name", &long),
        ("job_type", "x"),
        ("service_name", ""),
        ("service_method", &long),
        ("service_method", "a\u{1}"),
        ("cron_expr", ""),
        ("cron_expr", &long_expr),
        ("cron_expr", "*"),
        ("cron_expr", "* * *"),
        ("cron_expr", "* * * * * * *"),
        ("cron_expr", "61 * * * *"),
        ("cron_expr", "* 24 * * *"),
        ("cron_expr", "* * 0 * *"),
        ("cron_expr", "* * * 13 *"),
        ("cron_expr", "* * * * 8"),
        ("cron_expr", "60 * * * * *"),
        ("cron_expr", "*/0 * * * *"),
        ("cron_expr", "*/x * * * *"),
        ("cron_expr", "1, * * * *"),
        ("cron_expr", "5- * * * *"),
        ("cron_expr", "a! * * * *"),
        ("cron_expr", "* * * JANU *"),
        ("cron_expr", "* * * qqqqq *"),
        ("cron_expr", "* * * * FRU"),
        ("cron_expr", "* * 30 2 *"),
        ("cron_expr", "* * L-99 * *"),
        ("cron_expr", "* * L-3W * *"),
        ("cron_expr", "* * 1-5W * *"),
        ("cron_expr", "* * *,L * *"),
        ("cron_expr", "* * * * L"),
        ("cron_expr", "* * * * 5#9"),
        ("cron_expr", "* * * * 1-2#1"),
        ("cron_expr", "@dayly"),
        ("cron_expr", "@qqqqqqqq"),
        ("cron_expr", "@every"),
        ("cron_expr", "@every x"),
        ("cron_expr", "@every 5"),
        ("cron_expr", "@every 1.2.3s"),
        ("cron_expr", "@every 0s"),
        ("cron_expr", "@every 2000000h"),
        ("time_zone", "Asia/Shanhai"),
        ("time_zone", "qqqqqqqqqqqqqq"),
        ("time_zone", &long),
        ("timeout", "x"),
        ("timeout", "0"),
        ("timeout", "99999999999"),
        ("misfire_grace", "-1"),
        ("max_retry", "1001"),
        ("max_retry", "1.5"),
        ("retry_delay_ms", "-5"),
        ("overlap_policy", "x"),
        ("misfire_policy", "x"),
        ("args", "{"),
        ("args", "{\"a\": nothing}"),
        ("reason", &longest),
        ("reason", "a\u{1}b"),
    ];
    let bad_hook = [
        ("hook_url", ""),
        ("hook_url", "nothing"),
        ("hook_url", "ftp://a"),
        ("hook_url", "http://"),
        ("hook_url", "http://a:b@c/"),
        ("hook_url", "http://a/\u{1}"),
        ("hook_method", "x"),
        ("hook_headers", "no colon"),
        ("hook_headers", "a: 1\na: 2"),
        ("hook_headers", "a: 1\nA: 2"),
        ("hook_headers", "host: x"),
        ("hook_headers", "two words: x"),
        ("hook_headers", "a: 订单"),
        ("hook_headers", "a: (hidden)"),
        ("hook_headers", &many_headers),
        ("hook_secret", "!"),
        ("hook_secret", "whsec_AAAA"),
    ];
    let bad = bad.into_iter().map(|one| vec![one]);
    for bad in bad.chain(bad_hook.into_iter().map(|one| vec![hook, one])) {
        let right = JOB
            .iter()
            .filter(|(name, _)| bad.iter().all(|(other, _)| other != name));
        let fields: Vec<(&str, &str)> = right.chain(&bad).copied().collect();
        let answer = served.posts_in_chinese(OPERATOR, "/jobs", &fields).await;
        let page = answer.html(answer.status);
        assert!(
            answer.status >= 400 && (page.contains("未保存") || page.contains("操作未执行")),
            "{bad:?}: {answer:?}"
        );
        found.extend(english_of(&format!("{bad:?}"), &answer));
    }
    // A name that is taken, and a preview.
    assert_eq!(served.posts_in_chinese(OPERATOR, "/jobs", &JOB).await.status, 303);
    found.extend(english_of(
        "taken",
        &served.posts_in_chinese(OPERATOR, "/jobs", &JOB).await,
    ));
    let preview = served.asks_in_chinese(OPERATOR, "/jobs/new?cron_expr=61+*+*+*+*").await;
    assert!(
        preview.html(200).contains("61 超出范围 0-59；整点是第 0 分"),
        "{preview:?}"
    );
    found.extend(english_of("preview", &preview));
    // What another program has written into the row of a job is named in Chinese, too.
    served
        .database
        .execute("UPDATE job_center SET cron_expr = '61 * * * *', timeout = 0");
    for path in ["/jobs", "/jobs/1"] {
        let answer = served.asks_in_chinese(OPERATOR, path).await;
        assert!(answer.html(200).contains("61 超出范围"), "{answer:?}");
        found.extend(english_of(path, &answer));
    }
    found.extend(english_of(
        "run",
        &served.posts_in_chinese(OPERATOR, "/jobs/1/run", &[]).await,
    ));
    served.stop().await;
    assert_eq!(found, Vec::<String>::new());
}

#[actix_rt::test]
async fn refusals_are_chinese() {
    let served = Served::start().await;
    let mut found = Vec::new();
    let task = json!({"theme": "demo", "service": "Demo", "method": "Echo", "args": 1});
    let added = served.send("POST", "/tasks?wait_ms=60000", &task.to_string()).await;
    let id = added.with(201)["id"].to_string();
    let longest = "x".repeat(501);
    let destroys = json!({"action": "destroy", "filter": {"ids": [1]}}).to_string();
    for (path, fields) in [
        ("/themes/demo/workers", &[("workers", "many")][..]),
        ("/themes/demo/workers", &[("workers", "-1")]),
        ("/themes/demo/workers", &[("workers", "100001")]),
        ("/themes/demo/workers", &[("workers", "1"), ("reason", &longest)]),
        ("/themes/demo/workers", &[("workers", "1"), ("other", "1")]),
        ("/limits/Demo/Echo", &[("running", "many")]),
        ("/limits/Demo/Echo", &[("running", "-1")]),
        ("/limits/Demo/Echo", &[("running", "0")]),
        ("/limits/Demo/Echo", &[("running", "")]),
        ("/limits/Demo/Echo", &[("starts", "0"), ("per", "1"), ("unit", "min")]),
        ("/limits/Demo/Echo", &[("starts", "1"), ("per", "400"), ("unit", "d")]),
        ("/limits/Demo/Echo", &[("starts", "1"), ("per", "-1"), ("unit", "d")]),
        ("/limits/Demo/Echo", &[("starts", "1"), ("per", ""), ("unit", "d")]),
        ("/limits/Demo/Echo", &[("starts", "1"), ("per", "1"), ("unit", "w")]),
        ("/limits/Demo/Echo", &[("running_per_key", "many")]),
        ("/limits/Demo/Echo", &[("running_per_key", "0")]),
        (
            "/limits/Demo/Echo",
            &[("starts_per_key", "1"), ("per_key", ""), ("unit_per_key", "d")],
        ),
        (
            "/limits/Demo/Echo",
            &[("starts_per_key", "1"), ("per_key", "1"), ("unit_per_key", "w")],
        ),
        ("/limits/Demo/Echo/remove", &[]),
        (&format!("/limits/{longest}/%20"), &[("running", "1")]),
        ("/themes/demo/pause", &[("reason", "a\u{1}b")]),
        ("/themes/%20/pause", &[]),
        ("/nodes/nobody/themes/demo/workers", &[("workers", "1")]),
        ("/nodes/nobody/themes/demo/workers", &[("workers", "")]),
        (&format!("/tasks/{id}/cancel"), &[]),
        (&format!("/tasks/{id}/retry"), &[("reason", &longest)]),
        ("/tasks/999999/retry", &[]),
        ("/tasks/999999/delete", &[]),
        ("/tasks/x/retry", &[]),
        ("/tasks/bulk", &[("bulk", "x")]),
        ("/tasks/bulk", &[("bulk", &destroys)]),
        ("/operations/999999/cancel", &[]),
        ("/jobs/999999/run", &[]),
        ("/jobs/999999/enable", &[]),
        ("/jobs/999999/cancel", &[]),
    ] {
        let answer = served.posts_in_chinese(OPERATOR, path, fields).await;
        assert!(answer.status >= 400, "{path}: {answer:?}");
        found.extend(english_of(&format!("{path} {fields:?}"), &answer));
    }
    for path in [
        "/tasks?cursor=x",
        "/tasks/x",
        "/tasks/999999",
        "/tasks/bulk?action=destroy",
        "/tasks/bulk",
        "/tasks/bulk?action=retry&found=some",
        "/tasks/bulk?action=retry&q=stauts:x",
        "/errors?since=2h",
        "/errors?attempts=some",
        "/errors?theme=%00",
        "/errors?x=1",
        "/themes/demo?count=all",
        "/themes/%FF",
        "/jobs?enabled=perhaps",
        "/jobs?cursor=x",
        "/jobs/999999",
        "/runs/999999",
        "/nodes/nobody",
        "/operations/999999",
        "/audit?limit=0",
    ] {
        let answer = served.asks_in_chinese(OPERATOR, path).await;
        assert!(answer.status >= 400, "{path}: {answer:?}");
        found.extend(english_of(path, &answer));
    }
    found.extend(english_of(
        "a viewer",
        &served
            .posts_in_chinese(VIEWER, &format!("/tasks/{id}/delete"), &[])
            .await,
    ));
    found.extend(english_of(
        "a theme",
        &served.asks_in_chinese(LIMITED, "/themes/demo").await,
    ));
    found.extend(english_of("jobs", &served.asks_in_chinese(LIMITED, "/jobs").await));
    found.extend(english_of(
        "nobody",
        &served.raw("GET", &format!("{PAGES}/"), &[CHINESE], "").await,
    ));
    served.stop().await;
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn english_is_told_from_names() {
    let page = |text: &str| format!("<main id=\"main\"><p title=\"not what is meant\">{text}</p></main>");
    assert_eq!(english(&page("“名称”不能为空 night run")), None);
    assert!(english(&page("61 is out of range")).is_some());
    assert!(english(&page("错误：the name is empty")).is_some());
}
