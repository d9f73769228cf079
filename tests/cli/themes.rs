//! Themes, nodes, methods, the audit and metrics.

use crate::{
    program::value,
    served::{Served, kinds},
};

#[actix_rt::test]
async fn a_theme_is_paused_resumed_and_resized() {
    for kind in kinds() {
        let served = Served::on(kind).await;
        for way in served.ways() {
            let paused = way.json(&["theme", "pause", "demo", "--reason", "供应商关闭"]).await;
            assert_eq!(paused["paused"], true);
            let shown = way.out(&["theme", "get", "demo"]).await;
            assert!(
                value(&shown, "state") == Some("paused") && shown.contains(": 供应商关闭\n"),
                "{shown}"
            );
            assert_eq!(way.json(&["theme", "resume", "demo"]).await["paused"], false);

            assert_eq!(way.json(&["theme", "resize", "demo", "3"]).await["workers"], 3);
            assert_eq!(
                way.json(&["theme", "resize", "demo", "default"]).await["workers"],
                serde_json::Value::Null
            );
            let node = served.gaia.node_id();
            assert_eq!(way.json(&["node", "resize", node, "demo", "2"]).await["workers"], 2);
            way.ends(0, &["theme", "list"]).await;
            let listed = way.out(&["theme", "list", "-o", "name"]).await;
            assert_eq!(listed, "demo\n");
        }
        let audit = served
            .local()
            .json(&["audit", "list", "--theme", "demo", "--author", "operator"])
            .await;
        let actions: Vec<&str> = audit
            .as_array()
            .expect("is a list")
            .iter()
            .filter_map(|entry| entry["action"].as_str())
            .collect();
        assert_eq!(
            actions,
            [
                "node.resize",
                "theme.resize",
                "theme.resize",
                "theme.resume",
                "theme.pause"
            ]
        );
        served.stop().await;
    }
}

#[actix_rt::test]
async fn methods_errors_and_history_are_told() {
    let served = Served::start().await;
    for way in served.ways() {
        way.ends(1, &["task", "add", "demo", "Demo", "Fail", "1", "--wait"])
            .await;
        let methods = way.out(&["theme", "methods", "demo", "-o", "name"]).await;
        assert!(methods.lines().any(|line| line == "Demo.Echo"), "{methods}");
        assert!(way.out(&["method", "list"]).await.contains("Demo.Fail"));
        let errors = way
            .json(&["theme", "errors", "demo", "--since", "1h", "--all-attempts"])
            .await;
        assert_eq!(errors[0]["error"], "refused by a handler");
        way.ends(0, &["theme", "history", "demo", "--by-method"]).await;
        way.ends(2, &["theme", "history", "demo", "--from", "yesterday"]).await;
        let metrics = way.out(&["metrics"]).await;
        assert!(metrics.contains("# TYPE gaia_tasks"), "{metrics}");
        way.ends(0, &["alert", "list"]).await;
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_node_is_shown_with_its_counters() {
    let served = Served::start().await;
    for way in served.ways() {
        let node = served.gaia.node_id();
        let shown = way.out(&["node", "get", node]).await;
        assert!(
            value(&shown, "state") == Some("alive") && shown.contains("Demo.Echo"),
            "{shown}"
        );
        assert_eq!(way.json(&["node", "get", node]).await["node"]["id"], node);
        assert_eq!(way.out(&["node", "get", node, "-o", "name"]).await, format!("{node}\n"));
        assert_eq!(way.out(&["node", "list", "-o", "name"]).await, format!("{node}\n"));
    }
    served.stop().await;
}

/// Names of themes that mean something in paths, in shells and in searches.
#[actix_rt::test]
async fn odd_names_stay_whole() {
    let served = Served::start().await;
    for way in served.ways() {
        for name in ["a/b", "..", "订单 处理", "a?b=c&d#e%2F", "-x"] {
            let paused = way.json(&["theme", "pause", "--", name]).await;
            assert_eq!(paused["theme"], name);
            way.ends(0, &["theme", "resume", "--", name]).await;
        }
    }
    served.stop().await;
}
