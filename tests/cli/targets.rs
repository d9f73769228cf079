//! Where the program looks.

use crate::{
    program::Way,
    served::{OPERATOR, Served},
};

#[actix_rt::test]
async fn a_configuration_names_the_database() {
    let served = Served::start().await;
    let file = served.database.file("config.json");
    let config = format!(
        "{{\"Databases\": {{\"jobs\": \"{}\"}}, \"AsyncTask\": {{\"Mysql\": \"jobs\"}}, \"Framework\": {{\"Mysql\": \"jobs\"}}}}",
        served.database.url()
    );
    std::fs::write(&file, config).expect("is written");
    let way = Way {
        options: vec!["--config".to_owned(), file.display().to_string()],
        ..Way::default()
    };
    way.ends(0, &["task", "list"]).await;
    let shared = format!(
        "{{\"Databases\": {{\"default\": \"{}\"}}, \"Databses\": {{}}}}",
        served.database.url()
    );
    std::fs::write(&file, shared).expect("is written");
    let slip = way.ends(0, &["task", "list"]).await;
    assert!(slip.stderr.contains("is \"Databases\" meant?"), "{slip:?}");
    for (config, fault) in [
        ("{\"Node\": {\"Leese\": 1}}", "the nearest known key is \"Lease\""),
        (
            "{\"AsyncTask\": {\"Mysql\": \"default\"}}",
            "there is no section Databases",
        ),
    ] {
        std::fs::write(&file, config).expect("is written");
        let bad = way.ends(2, &["task", "list"]).await;
        assert!(bad.stderr.contains(fault), "{bad:?}");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn options_go_before_the_environment() {
    let served = Served::start().await;
    let remote = served.remote();
    let token_file = remote.options.last().expect("is the file").clone();
    // An option for the database, and a server in the environment that is not there.
    let way = Way {
        options: vec!["--database".to_owned(), served.database.url()],
        environment: vec![("GAIA_SERVER", "http://127.0.0.1:1".to_owned())],
    };
    way.ends(0, &["task", "list"]).await;
    // In the environment the server goes first.
    let way = Way {
        environment: vec![
            ("GAIA_SERVER", format!("{}/api/v1/", served.url)),
            ("GAIA_TOKEN_FILE", token_file),
            ("DATABASE_URL", "sqlite:/nowhere/at/all.db".to_owned()),
        ],
        ..Way::default()
    };
    way.ends(0, &["task", "list"]).await;
    let both = Way {
        options: vec![
            "--server".to_owned(),
            served.url.clone(),
            "--database".to_owned(),
            served.database.url(),
        ],
        ..Way::default()
    };
    both.ends(2, &["task", "list"]).await;
    served.stop().await;
}

#[actix_rt::test]
async fn the_url_of_a_server_is_judged() {
    for (url, said) in [
        ("ftp://host/", "none of http or https"),
        ("host:8080", "none of http or https"),
        (&format!("http://me:{OPERATOR}@host/"), "write a token into a file"),
        ("http://host/?a=b", "a query"),
        ("", "cannot be read"),
    ] {
        let way = Way {
            options: vec![format!("--server={url}")],
            ..Way::default()
        };
        let refused = way.ends(2, &["task", "list"]).await;
        assert!(refused.stderr.contains(said), "{url}: {refused:?}");
        assert!(!refused.stderr.contains(OPERATOR), "{refused:?}");
    }
}

/// The program is a node of the database while it works, shows itself in no list, and leaves nothing behind.
#[actix_rt::test]
async fn the_program_is_no_node_that_anybody_sees() {
    let served = Served::start().await;
    let before = served.gaia.nodes().await.expect("are told").len();
    for way in served.ways() {
        let nodes = way.json(&["node", "list"]).await;
        let ids: Vec<&str> = nodes
            .as_array()
            .expect("is a list")
            .iter()
            .filter_map(|node| node["id"].as_str())
            .collect();
        assert_eq!(ids, [served.gaia.node_id()]);
    }
    assert_eq!(served.gaia.nodes().await.expect("are told").len(), before);
    served.stop().await;
}
