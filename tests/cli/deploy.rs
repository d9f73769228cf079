//! The files for systemd and for containers, as far as they can be tried without either.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde_json::Value;

use crate::program::{GAIA, Way, ended};

const CONFIG: &str = "/etc/gaia/config.json";
const PROGRAM: &str = "/usr/local/bin/gaia";
const HASH: &str = "$argon2id$v=19$m=4096,t=3,p=1$c29tZXNhbHQxMjM0$tcVYNZKk6cBwXKVVBAcTkGQ6jtUbyMpQdJCjBJV4qkc";

fn path(name: &str) -> String {
    format!("{}/deploy/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Checks these words of a command line with the configuration of this folder.
async fn checked(words: &[String], environment: &BTreeMap<String, String>) {
    let config = path("config.json");
    let words = words.iter().map(|word| if word == CONFIG { &config } else { word });
    let words: Vec<&str> = words.map(String::as_str).chain(["--check"]).collect();
    assert!(words.contains(&config.as_str()), "{words:?}");
    let mut command = Way::default().command(&words);
    command.envs(environment);
    let done = ended(command, String::new()).await;
    assert_eq!(done.code, 0, "{words:?}: {done:?}");
}

/// The values of one key of the unit.
fn of_unit<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .collect()
}

#[actix_rt::test]
async fn the_unit_starts_the_server() {
    let unit = text("gaia.service");
    let [start] = of_unit(&unit, "ExecStart")[..] else {
        panic!("{unit}")
    };
    let words: Vec<String> = start.split_whitespace().map(str::to_owned).collect();
    assert_eq!(words[0], PROGRAM);
    checked(&words[1..], &BTreeMap::new()).await;
    assert_eq!(of_unit(&unit, "DynamicUser"), ["yes"]);
    // The database lies where the unit may write.
    let config: Value = serde_json::from_str(&text("config.json")).expect("is JSON");
    let [folder] = of_unit(&unit, "WorkingDirectory")[..] else {
        panic!("{unit}")
    };
    let url = config["Databases"]["default"].as_str().expect("is a text");
    assert!(url.starts_with(&format!("sqlite:{folder}/")), "{url}");
    // systemd looks for the program.
    let folder = tempfile::tempdir().expect("is made");
    let copy = folder.path().join("gaia.service");
    std::fs::write(&copy, unit.replace(PROGRAM, GAIA)).expect("is written");
    let on_path = |folder: &str| Path::new(folder).join("systemd-analyze").exists();
    if std::env::var("PATH").is_ok_and(|path| path.split(':').any(on_path)) {
        let mut verify = Command::new("systemd-analyze");
        verify.arg("verify").arg(&copy);
        let done = ended(verify, String::new()).await;
        assert!(done.code == 0 && !done.stderr.contains("gaia.service"), "{done:?}");
    }
}

#[actix_rt::test]
async fn the_image_serves_and_is_not_root() {
    let file = text("Dockerfile");
    let of_image = |key: &str| -> Vec<&str> {
        let last = file.rsplit("\nFROM ").next().unwrap_or_default();
        last.lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
            .collect()
    };
    let words = |key: &str| -> Vec<String> {
        let [list] = of_image(key)[..] else { panic!("{key}") };
        serde_json::from_str(list).unwrap_or_else(|error| panic!("{key}: {error}"))
    };
    assert_eq!(words("ENTRYPOINT"), [PROGRAM]);
    let environment = of_image("ENV").into_iter().filter_map(|line| line.split_once('='));
    let mut environment: BTreeMap<String, String> = environment
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    // Without a user it would let in nobody, and says so.
    let mut command = Way::default().command(&["serve", "--config", &path("config.json")]);
    command.envs(&environment);
    let refused = ended(command, String::new()).await;
    assert!(
        refused.code == 2 && refused.stderr.contains("Http.Access"),
        "{refused:?}"
    );
    environment.insert("GAIA__HTTP__ACCESS__BASIC__OPS__HASH".to_owned(), HASH.to_owned());
    checked(&words("CMD"), &environment).await;
    let user = of_image("USER");
    assert!(
        user.len() == 1 && user[0].parse::<u32>().is_ok_and(|user| user > 0),
        "{user:?}"
    );
    for source in file.lines().filter_map(|line| line.strip_prefix("COPY deploy/")) {
        text(source.split(' ').next().unwrap_or_default());
    }
}

#[actix_rt::test]
async fn the_composed_servers_have_a_good_configuration() {
    let file: Value = serde_saphyr::from_str(&text("compose.yaml")).expect("is YAML");
    let gaia = &file["services"]["gaia"];
    let words: Vec<String> = serde_json::from_value(gaia["command"].clone()).expect("are words");
    let environment: BTreeMap<String, String> = serde_json::from_value(gaia["environment"].clone()).expect("are texts");
    let given = environment.into_iter().map(|(name, value)| {
        let (before, rest) = value.split_once("${").unwrap_or((&value, ""));
        let (variable, after) = rest.split_once('}').unwrap_or_default();
        let secret = match variable.split(':').next().unwrap_or_default() {
            "GAIA_OPS_HASH" => HASH,
            "GAIA_DATABASE_PASSWORD" => "s3cret",
            "" => "",
            other => panic!("{other}"),
        };
        (name, format!("{before}{secret}{after}"))
    });
    let given: BTreeMap<String, String> = given.collect();
    assert!(
        given["DATABASE_URL"].starts_with("postgres://gaia:s3cret@database/gaia"),
        "{given:?}"
    );
    checked(&words, &given).await;
    assert!(file["services"]["database"]["image"].is_string());
    assert_eq!(gaia["depends_on"]["database"]["condition"], "service_healthy");
    for (volume, what) in [
        (&gaia["volumes"][0], "./config.json:"),
        (&file["services"]["database"]["volumes"][0], "database:"),
    ] {
        assert!(
            volume.as_str().is_some_and(|volume| volume.starts_with(what)),
            "{volume}"
        );
    }
    let dockerfile = gaia["build"]["dockerfile"].as_str().expect("is named");
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(dockerfile).exists());
}
