//! From JSON and the environment to a checked [`Config`].

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use serde_json::{Map, Value};

use super::{
    Config, ConfigError, databases,
    error::name,
    shape::{PREFIX, check_keys, names_databases, put, shape, to_value, unknown_place},
    strict,
};

impl Config {
    /// Reads a JSON file, and not the environment. The file may hold comments, and commas behind the last entry.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read, is not JSON, or has an unknown key in a section of this crate or a value that does not fit.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::new(format!("cannot read {}: {error}", name(&path.to_string_lossy()))))?;
        Self::from_json(&text)
    }

    /// Reads JSON text, and not the environment.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        build(strict::read(text)?, std::iter::empty())
    }

    /// The defaults, with the settings of the environment put over them.
    ///
    /// # Errors
    /// [`ConfigError`] for a variable that names no known key, or a value that does not fit.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::default().with_env()
    }

    /// These settings, with the settings of the environment put over them.
    ///
    /// # Errors
    /// As for [`from_env`](Self::from_env).
    pub fn with_env(&self) -> Result<Self, ConfigError> {
        // A variable whose name or value is not Unicode is no setting of this crate.
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let mut config = build(to_value(self)?, std::env::vars_os().filter_map(text))?;
        config.left_alone.clone_from(&self.left_alone);
        Ok(config)
    }

    /// Checks rules that the types cannot express. The fields are public, so every start of a node checks again.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let seconds = [
            ("AsyncTask.ScanTaskInterval", Some(self.async_task.scan_task_interval)),
            (
                "AsyncTask.ShortestScanInterval",
                Some(self.async_task.shortest_scan_interval),
            ),
            ("AsyncTask.Timeout", self.async_task.timeout),
            ("Node.Lease", Some(self.node.lease)),
            ("Node.Grace", Some(self.node.grace)),
            ("Node.Retention", Some(self.node.retention)),
        ];
        let alerts = self.alerts.seconds().map(|(key, value)| (key, Some(value)));
        let named = seconds.into_iter().chain(alerts);
        let named = named.map(|(key, value)| (key.to_owned(), value));
        for (key, value) in named.chain(self.themes_seconds()).chain(self.services_seconds()) {
            // No sensible setting is longer than a century, and a `Duration` can hold far more.
            if let Some(value) = value
                && !(0.0..=3_155_760_000.0).contains(&value)
            {
                return Err(ConfigError::new(format!(
                    "{key} is {value}, expected 0 to 3155760000 seconds"
                )));
            }
        }
        let themes = self.themes.iter();
        let of_themes = themes.map(|(theme, own)| (format!("Themes.{}.MaxRetry", name(theme)), own.max_retry));
        for (key, times) in of_themes.chain([("AsyncTask.MaxRetry".to_owned(), self.async_task.max_retry)]) {
            if let Some(times) = times.filter(|times| !(0..i64::from(i32::MAX)).contains(times)) {
                return Err(ConfigError::new(format!("{key} is {times}, expected 0 to 2147483646")));
            }
        }
        self.http.check()
    }
}

fn build(mut value: Value, variables: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    let shape = shape()?;
    let mut url = None;
    // Sorted, so that the same environment always gives the same answer.
    for (name, text) in variables.collect::<BTreeMap<_, _>>() {
        if name == "DATABASE_URL" {
            url = Some(text);
        } else if name.to_ascii_uppercase().starts_with(PREFIX) {
            put(&mut value, &shape, &name, &text)?;
        }
    }
    let left_alone = check_keys(&value, &shape)?;
    databases::find_places(&mut value);
    databases::to_urls(&mut value)?;
    name_no_database(&mut value, &left_alone)?;
    let mut config: Config = serde_path_to_error::deserialize(value).map_err(|error| {
        ConfigError::new(format!(
            "{}: {}",
            name(&error.path().to_string()),
            expected(error.inner())
        ))
    })?;
    // Where a section has a URL, the entry that every configuration has by default counts as not written.
    if config.databases == Config::default().databases && config.names_a_url() {
        config.databases.clear();
    }
    if let Some(url) = url {
        config.replace_url(url);
    }
    config.left_alone = left_alone;
    config.check()?;
    // Without an entry, the database may still come from the environment, or from the builder.
    if !config.databases.is_empty() {
        config.async_task_url()?;
    }
    Ok(config)
}

/// A file that names a database, or may mean to, gets no entry of `Databases` by default: nobody wants tasks in a new file of SQLite then.
fn name_no_database(value: &mut Value, left_alone: &[String]) -> Result<(), ConfigError> {
    if value.get("Databases").is_some() {
        return Ok(());
    }
    for place in left_alone {
        if names_databases(place) {
            return Err(unknown_place(place)?);
        }
    }
    let names = |section: &str| value.get(section).is_some_and(|section| section.get("Mysql").is_some());
    let has_others = left_alone.iter().any(|place| place.starts_with("Framework."));
    if names("AsyncTask") || names("Framework") || has_others {
        value["Databases"] = Value::Object(Map::new());
    }
    Ok(())
}

/// The kind of value that serde expected. The rest of serde's message repeats the value, which may be a URL in the wrong place.
fn expected(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => "the value does not fit".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*, sample};

    use super::*;

    /// Values with keys of this crate and others in any place.
    fn any_json() -> impl Strategy<Value = Value> {
        const KEYS: &[&str] = &[
            "Databases",
            "AsyncTask",
            "Framework",
            "Jobs",
            "Node",
            "Themes",
            "Services",
            "Limits",
            "Alerts",
            "Http",
            "Mysql",
            "default",
            "WorkerNum",
            "Url",
            "Host",
            "Port",
            "Database",
            "Lease",
            "BanEnvList",
        ];
        let key = prop_oneof![sample::select(KEYS).prop_map(str::to_owned), "[A-Za-z._]{0,10}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[ -~]{0,20}".prop_map(Value::from),
            Just(Value::from("mysql://ann:s3cr3t@host/db")),
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                collection::btree_map(key.clone(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = Config::from_json(&text);
        }

        #[test]
        fn any_json_is_read_or_refused_in_few_words_without_a_password(value in any_json()) {
            if let Err(refused) = Config::from_json(&value.to_string()) {
                let text = refused.to_string();
                prop_assert!(!text.contains("s3cr3t") && text.chars().count() < 4_000, "{text}");
            }
        }
    }

    fn with(json: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        build(serde_json::from_str(json).expect("is JSON"), variables)
    }

    fn refusal(json: &str, variables: &[(&str, &str)]) -> String {
        with(json, variables).expect_err("is bad").to_string()
    }

    #[test]
    fn the_guides_file_is_read() {
        let json = r#"{
            "AsyncTask": {"Mysql": "default"},
            "Framework": { "Mysql": "default" }, /* its section has more */
            "Jobs": {
                "BanEnvList": ["test", "local"],  // environments without jobs
            },
        }"#;
        let config = Config::from_json(json).expect("is good");
        assert_eq!(config.jobs.ban_env_list, ["test", "local"]);
        // It does not say where the database is.
        let text = config.async_task_url().expect_err("has no Databases").to_string();
        assert!(
            text.contains("AsyncTask.Mysql names the database \"default\"") && text.contains("DATABASE_URL"),
            "{text}"
        );
        let value = to_value(&config).expect("is JSON");
        let variable = ("DATABASE_URL".to_owned(), "mysql://h/shop".to_owned());
        let config = build(value, std::iter::once(variable)).expect("is good");
        assert_eq!(
            (config.async_task_url(), config.jobs_url()),
            (Ok("mysql://h/shop"), Ok("mysql://h/shop"))
        );
    }

    #[test]
    fn a_file_of_the_field_is_read() {
        let json = r#"{
            "Debug": false,
            "Framework": {
                "Mysql": "user:s3cret@tcp(127.0.0.1:3306)/shop?parseTime=true&loc=Local",
                "Redis": {"Address": "127.0.0.1:6379"}
            },
            "Server": {"Port": ":8080"},
            "Jobs": {"BanEnvList": ["development", "ci"]}
        }"#;
        let config = Config::from_json(json).expect("is good");
        let url = "user:s3cret@tcp(127.0.0.1:3306)/shop?parseTime=true&loc=Local";
        assert_eq!((config.jobs_url(), config.async_task_url()), (Ok(url), Ok(url)));
        assert_eq!(config.left_alone(), ["Debug", "Framework.Redis", "Server"]);
        assert!(!format!("{config:?}").contains("s3cret"));
        let again = config.with_env().expect("is good");
        assert_eq!(again.left_alone(), config.left_alone());
        let text = config.strict().expect_err("has more").to_string();
        assert!(
            text.starts_with("configuration: unknown key Debug, known here are "),
            "{text}"
        );
    }

    #[test]
    fn a_section_without_a_database_has_that_of_the_other() {
        let urls = |json: &str, variables: &[(&str, &str)]| {
            let config = with(json, variables).expect("is good");
            let url = |url: Result<&str, ConfigError>| url.map(str::to_owned).unwrap_or_default();
            (url(config.async_task_url()), url(config.jobs_url()))
        };
        let both = |url: &str| (url.to_owned(), url.to_owned());
        let two = r#"{"Databases": {"default": "mysql://h/a", "jobs": "mysql://h/b"}, "Framework": {"Mysql": "jobs"}}"#;
        assert_eq!(urls(two, &[]), ("mysql://h/a".to_owned(), "mysql://h/b".to_owned()));
        let one = r#"{"Databases": {"main": "mysql://h/a"}, "AsyncTask": {"Mysql": "main"}}"#;
        assert_eq!(urls(one, &[]), both("mysql://h/a"));
        let dsn = r#"{"Framework": {"Mysql": "u:p@tcp(h)/a"}}"#;
        assert_eq!(urls(dsn, &[]), both("u:p@tcp(h)/a"));
        assert_eq!(
            urls(dsn, &[("GAIA__FRAMEWORK__MYSQL", "u:p@tcp(h)/b")]),
            both("u:p@tcp(h)/b")
        );
        for json in [dsn, one, "{}"] {
            assert_eq!(
                urls(json, &[("DATABASE_URL", "mysql://h/c")]),
                both("mysql://h/c"),
                "{json}"
            );
        }
        let defaults = to_value(&Config::default()).expect("is JSON").to_string();
        assert_eq!(
            urls(&defaults, &[("GAIA__ASYNCTASK__MYSQL", "u:p@tcp(h)/b")]),
            both("u:p@tcp(h)/b")
        );
    }

    #[test]
    fn a_database_may_be_named_by_its_place_in_the_file() {
        let json = r#"{
            "AsyncTask": {"Mysql": "Framework.Mysql"},
            "Framework": {"Mysql": "u:p@tcp(h:3306)/tasks"}
        }"#;
        let config = with(json, &[]).expect("has a database");
        assert_eq!(config.async_task_url(), Ok("u:p@tcp(h:3306)/tasks"));
        let json = r#"{
            "Databases": {"default": "mysql://h/tasks"},
            "Framework": {"Mysql": "Reports.Mysql"},
            "Reports": {"Mysql": {"Host": "h", "Database": "reports"}}
        }"#;
        let config = with(json, &[]).expect("has two databases");
        assert_eq!(config.async_task_url(), Ok("mysql://h/tasks"));
        assert_eq!(config.jobs_url(), Ok("mysql://h/reports"));
        // What stands there is no database, or nothing does.
        for json in [
            r#"{"AsyncTask": {"Mysql": "Reports.Name"}, "Reports": {"Name": "monthly"}}"#,
            r#"{"AsyncTask": {"Mysql": "Reports.Mysql"}}"#,
            r#"{"AsyncTask": {"Mysql": "AsyncTask.Mysql"}}"#,
        ] {
            let text = with(json, &[])
                .expect("is read")
                .async_task_url()
                .expect_err("has none")
                .to_string();
            assert!(text.contains("AsyncTask.Mysql names the database"), "{text}");
        }
    }

    #[test]
    fn an_entry_of_databases_may_be_an_object() {
        let url = |entry: &str| {
            let config = with(&format!(r#"{{"Databases": {{"default": {entry}}}}}"#), &[]);
            config
                .map(|config| config.databases["default"].clone())
                .map_err(|error| error.to_string())
        };
        for (entry, expected) in [
            (r#"{"Url": "sqlite:a.db"}"#, "sqlite:a.db"),
            (r#"{"dsn": "u:p@tcp(h)/d"}"#, "u:p@tcp(h)/d"),
            (
                r#"{"Host": "db", "Port": 3306, "User": "ann", "Password": "p@s/s", "Database": "shop", "Params": "tls=true"}"#,
                "mysql://ann:p%40s%2Fs@db:3306/shop?tls=true",
            ),
            (
                r#"{"Driver": "postgres", "host": "::1", "dbname": "shop"}"#,
                "postgres://[::1]/shop",
            ),
            (r#"{"Driver": "sqlite", "Database": "a.db"}"#, "sqlite:a.db"),
        ] {
            assert_eq!(url(entry).as_deref(), Ok(expected), "{entry}");
        }
        for (entry, fault) in [
            ("{}", "Databases.default lacks the key Host, or Url"),
            (r#"{"Host": "h"}"#, "Databases.default lacks the key Database"),
            (
                r#"{"Host": "h", "Datbase": "d"}"#,
                "Databases.default.Datbase, the nearest known key is \"Database\"",
            ),
            (
                r#"{"User": "a", "Username": "b", "Host": "h", "Name": "d"}"#,
                "several of User and Username",
            ),
            (r#"{"Url": "sqlite:a.db", "Host": "h"}"#, "has a URL and other keys"),
            (
                r#"{"Host": true, "Name": "d"}"#,
                "Databases.default.Host: expected a text",
            ),
        ] {
            let text = url(entry).expect_err(entry);
            assert!(text.contains(fault), "{entry}: {text}");
        }
    }

    #[test]
    fn the_ban_list_may_be_one_text() {
        let config = with(r#"{"Jobs": {"BanEnvList": "test, local"}}"#, &[]).expect("is good");
        assert_eq!(config.jobs.ban_env_list, ["test", "local"]);
    }

    #[test]
    fn the_environment_wins() {
        let json = r#"{"Databases": {"main": "sqlite:a.db"}, "AsyncTask": {"Mysql": "main", "WorkerNum": 3}}"#;
        let config = with(
            json,
            &[
                ("DATABASE_URL", "sqlite:b.db"),
                ("GAIA__ASYNCTASK__WORKERNUM", "7"),
                ("GAIA__node__lease", "2.5"),
                ("GAIA__ASYNCTASK__MISSINGHANDLER", "Fail"),
            ],
        )
        .expect("is good");
        assert_eq!(config.async_task.missing_handler, Some(crate::MissingHandler::Fail));
        assert_eq!(config.async_task_url(), Ok("sqlite:b.db"));
        assert_eq!(config.async_task.worker_num, 7);
        assert!((config.node.lease - 2.5).abs() < f64::EPSILON);
    }

    #[test]
    fn unknown_keys_name_their_nearest() {
        let strict = |json: &str| {
            let config = with(json, &[]).expect("is good");
            config.strict().expect_err("is bad").to_string()
        };
        assert_eq!(
            strict(r#"{"Theems": {}}"#),
            "configuration: unknown key Theems, the nearest known key is \"Themes\""
        );
        // Who has meant to name a database gets no file of SQLite.
        for (json, near) in [
            (r#"{"AsyncTsk": {"Mysql": "mysql://h/d"}}"#, "AsyncTask"),
            (r#"{"Databses": {"default": "mysql://h/d"}}"#, "Databases"),
            (r#"{"Framework": {"Mysq": "mysql://h/d"}}"#, "Mysql"),
        ] {
            let text = refusal(json, &[]);
            assert!(text.contains(&format!("the nearest known key is {near:?}")), "{text}");
        }
        let other = with(r#"{"Framework": {"Postgresql": "host=db"}}"#, &[]).expect("is good");
        assert!(other.async_task_url().is_err());
        assert!(refusal(r#"{"Node": {"Leese": 1}}"#, &[]).contains("Node.Leese, the nearest known key is \"Lease\""));
        assert!(refusal("{}", &[("GAIA__NODE__LEESE", "1")]).contains("nearest known key is \"Lease\""));
        // No known key is like `Zebra`.
        assert!(strict(r#"{"Zebra": {}}"#).contains("unknown key Zebra, known here are "));
    }

    #[test]
    fn values_that_do_not_fit_name_their_key() {
        let text = refusal(r#"{"AsyncTask": {"WorkerNum": -1}}"#, &[]);
        assert!(text.contains("AsyncTask.WorkerNum"), "{text}");
        let text = refusal(r#"{"AsyncTask": {"MissingHandler": "Retry"}}"#, &[]);
        assert!(
            text.contains("AsyncTask.MissingHandler") && text.contains("`Wait` or `Fail`"),
            "{text}"
        );
        let text = refusal(r#"{"Node": {"Lease": -1}}"#, &[]);
        assert!(text.contains("Node.Lease is -1, expected 0"), "{text}");
        let text = refusal(
            r#"{"Databases": {"main": "sqlite:a.db"}, "AsyncTask": {"Mysql": "other"}}"#,
            &[],
        );
        assert!(text.contains("names the database \"other\""), "{text}");
    }

    #[test]
    fn no_password_is_shown() {
        const URL: &str = "postgres://me:s3cret@host/db";
        let config = with("{}", &[("DATABASE_URL", URL)]).expect("is good");
        assert!(!format!("{config:?}").contains("s3cret"));
        for json in [
            r#"{"Databases": "URL"}"#,
            r#"{"Databases": ["URL"]}"#,
            r#"{"Databases": {"default": {"URL": 1}}}"#,
            r#"{"Databases": {"default": ["URL"]}}"#,
            r#"{"Databases": {"URL": 1}}"#,
            r#"{"Databases": {"URL": "x"}, "AsyncTask": {"Mysql": "other"}}"#,
            r#"{"Databases": "URL", "AsyncTask": {"Mysql": "a.b"}, "a": {"b": "mysql://h/d"}}"#,
            r#"{"Databases": {"default": {"Host": "h", "Url": "URL"}}}"#,
            r#"{"Databases": {"default": {"Host": ["URL"]}}}"#,
            r#"{"AsyncTask": "URL"}"#,
            r#"{"AsyncTask": {"WorkerNum": "URL"}}"#,
            r#"{"AsyncTask": {"URL": 1}}"#,
            r#"{"Jobs": {"BanEnvList": {"URL": 1}}}"#,
            r#"{"Node": {"Migrate": "URL"}}"#,
            r#"{"Alerts": {"Webhooks": "URL"}}"#,
            r#"{"Alerts": {"Webhooks": ["URL"]}}"#,
            r#"{"Alerts": {"Webhooks": [{"Format": "Slack", "Url": ["URL"]}]}}"#,
            r#"{"Alerts": {"Webhooks": [{"Format": "URL", "Url": "x"}]}}"#,
            r#"{"Alerts": {"Webhooks": [{"Format": "Slack", "Url": "x", "URL": 1}]}}"#,
            r#"{"Alerts": {"OldestDue": "URL"}}"#,
            r#"{"Alerts": {"Language": {"URL": 1}}}"#,
            r#"{"Node": {"URL": 1}}"#,
        ] {
            let text = refusal(&json.replace("URL", URL), &[]);
            assert!(!text.contains("s3cret"), "{json}: {text}");
        }
        for variable in ["GAIA__DATABASES", "GAIA__ASYNCTASK", "GAIA__NODE__LEASE"] {
            let text = refusal("{}", &[(variable, URL)]);
            assert!(!text.contains("s3cret"), "{variable}: {text}");
        }
        let json = r#"{"Framework": {"Mysql": "URL"}, "URL": 1}"#.replace("URL", URL);
        let config = with(&json, &[]).expect("has a database");
        assert!(!format!("{config:?} {:?}", config.clone().strict()).contains("s3cret"));
        for read in [Config::load(URL), Config::from_json(URL)] {
            let text = read.expect_err("is no configuration").to_string();
            assert!(!text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn alerts_and_their_webhooks_are_settings_like_others() {
        let json = r#"{"Alerts": {"Webhooks": [{"Format": "Feishu", "Url": "https://a/T0KEN", "Secret": "s3cret"}], "Kinds": ["TaskFailed"]}}"#;
        let config = with(
            json,
            &[
                ("GAIA__ALERTS__OLDESTDUE", "90"),
                ("GAIA__ALERTS__KINDS", "JobBad, NodeDead"),
            ],
        )
        .expect("is good");
        assert_eq!(config.alerts.kinds, ["JobBad", "NodeDead"]);
        assert!((config.alerts.oldest_due - 90.0).abs() < f64::EPSILON);
        let shown = format!("{config:?}");
        assert!(
            shown.contains("Feishu") && !shown.contains("T0KEN") && !shown.contains("s3cret"),
            "{shown}"
        );
        let webhooks = r#"[{"Format": "Slack", "Url": "https://b/"}]"#;
        let config = with(json, &[("GAIA__ALERTS__WEBHOOKS", webhooks)]).expect("is good");
        assert_eq!(config.alerts.webhooks[0].url, "https://b/");

        let text = refusal(r#"{"Alerts": {"OldstDue": 1}}"#, &[]);
        assert!(
            text.contains("Alerts.OldstDue, the nearest known key is \"OldestDue\""),
            "{text}"
        );
        let text = refusal(
            r#"{"Alerts": {"Webhooks": [{"Format": "Slack", "Url": "x", "Secrt": "s3cret"}]}}"#,
            &[],
        );
        assert!(
            text.contains("Alerts.Webhooks[0]") && text.contains("`Secret`") && !text.contains("s3cret"),
            "{text}"
        );
        let text = refusal(r#"{"Alerts": {"Webhooks": [{"Format": "Teams", "Url": "x"}]}}"#, &[]);
        assert!(
            text.contains("Alerts.Webhooks[0].Format") && text.contains("`Feishu`"),
            "{text}"
        );
        let text = refusal(r#"{"Alerts": {"Quiet": -1}}"#, &[]);
        assert!(text.contains("Alerts.Quiet is -1, expected 0"), "{text}");
    }

    #[test]
    fn themes_and_users_have_names_that_operators_choose() {
        let json = r#"{"Themes": {"order-task": {"WorkerNum": 2}, "mail": {}},
            "Http": {"Access": {"Tokens": {"grafana": {"Hash": "h4sh", "Permissions": "view, retry"}}}}}"#;
        let config = with(
            json,
            &[
                ("GAIA__THEMES__ORDER-TASK__WORKERNUM", "7"),
                ("GAIA__THEMES__IMPORTS__KEEPLOGS", "Debug"),
                ("GAIA__HTTP__ACCESS__BASIC__OPS__HASH", "$argon2id$h4sh"),
            ],
        )
        .expect("is good");
        assert_eq!(config.themes["order-task"].worker_num, Some(7));
        assert_eq!(
            config.themes["imports"].keep_logs,
            Some(crate::config::KeepLogsLevel::Debug)
        );
        assert_eq!(config.http.access.tokens["grafana"].permissions, ["view", "retry"]);
        assert_eq!(config.http.access.basic["ops"].permissions, ["view"]);
        let shown = format!("{config:?}");
        assert!(shown.contains("grafana") && !shown.contains("h4sh"), "{shown}");

        for (json, nearest) in [
            (
                r#"{"Themes": {"mail": {"WorkrNum": 1}}}"#,
                "Themes.mail.WorkrNum, the nearest known key is \"WorkerNum\"",
            ),
            (
                r#"{"Http": {"Access": {"Tokens": {"a": {"Hsah": ""}}}}}"#,
                "Http.Access.Tokens.a.Hsah, the nearest known key is \"Hash\"",
            ),
            (
                r#"{"Themes": {"mail": {"Timeout": -1}}}"#,
                "Themes.mail.Timeout is -1, expected 0",
            ),
            (
                r#"{"Themes": {"mail": {"KeepLogs": "Loud"}}}"#,
                "Themes.mail.KeepLogs: expected one of `Error`",
            ),
            (r#"{"Http": {"Path": "gaia"}}"#, "Http.Path must begin with /"),
        ] {
            let text = refusal(json, &[]);
            assert!(text.contains(nearest), "{text}");
        }
    }

    #[test]
    fn a_declared_job_shows_its_name_alone() {
        let json = r#"{"Jobs": {"Declared": [{"job_name": "sync", "hook_secret": "s3cret"}]}}"#;
        let shown = format!("{:?}", with(json, &[]).expect("is good"));
        assert!(shown.contains("sync") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn a_value_that_does_not_fit_says_what_would() {
        let text = refusal(r#"{"Databases": {"default": 5}}"#, &[]);
        assert_eq!(text, "configuration: Databases.default: expected a string");
    }
}
