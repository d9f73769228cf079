//! Runs of the program.

use std::{
    ffi::OsString,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

/// Where the program lies.
pub const GAIA: &str = env!("CARGO_BIN_EXE_gaia");

/// How the program finds the tasks: by options, and by its environment.
#[derive(Debug, Clone, Default)]
pub struct Way {
    pub options: Vec<String>,
    pub environment: Vec<(&'static str, String)>,
}

/// The end of a run.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A command of the program in an environment that names nothing.
pub fn command() -> Command {
    let mut command = Command::new(GAIA);
    for name in [
        "DATABASE_URL",
        "GAIA_SERVER",
        "GAIA_TOKEN_FILE",
        "GAIA_CA_FILE",
        "NO_COLOR",
        "RUST_LOG",
        "CLICOLOR_FORCE",
    ] {
        command.env_remove(name);
    }
    command.env("RUST_BACKTRACE", "0");
    command
}

impl Way {
    pub fn database(url: &str) -> Self {
        Self {
            environment: vec![("DATABASE_URL", url.to_owned())],
            ..Self::default()
        }
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = command();
        command.args(&self.options).args(words).envs(self.environment.clone());
        command
    }

    pub async fn run(&self, words: &[&str]) -> Done {
        self.fed("", words).await
    }

    /// Runs with this text as the standard input.
    pub async fn fed(&self, input: &str, words: &[&str]) -> Done {
        ended(self.command(words), input.to_owned()).await
    }

    /// A run that must have this exit code.
    pub async fn ends(&self, code: i32, words: &[&str]) -> Done {
        let done = self.run(words).await;
        assert_eq!(done.code, code, "{words:?}: {done:?}");
        done
    }

    /// What a run that succeeds has written to the standard output.
    pub async fn out(&self, words: &[&str]) -> String {
        self.ends(0, words).await.stdout
    }

    /// The same as JSON.
    pub async fn json(&self, words: &[&str]) -> Value {
        let text = self.out(&[&["-o", "json"], words].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
    }

    /// A run in a terminal of so many columns, as people see it. `input` is typed.
    pub async fn typed(&self, columns: u16, input: &str, words: &[&str]) -> Done {
        let words: Vec<String> = self
            .options
            .iter()
            .map(String::as_str)
            .chain(words.iter().copied())
            .map(quoted)
            .collect();
        let line = format!(
            "stty cols {columns} rows 50 -echo; exec {} {}",
            quoted(GAIA),
            words.join(" ")
        );
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        for (name, value) in command().get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        script.envs(self.environment.clone()).env("TERM", "xterm-256color");
        ended(script, input.to_owned()).await
    }
}

/// The value of a line of details.
pub fn value<'a>(details: &'a str, name: &str) -> Option<&'a str> {
    let line = details
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix("  "));
    line.map(str::trim_start)
}

/// A word of a shell's line.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Runs a command to its end, on a thread of its own: the server of a test works meanwhile.
pub async fn ended(mut command: Command, input: String) -> Done {
    let run = move || {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut stdin = child.stdin.take().expect("is piped");
        let feeder = std::thread::spawn(move || {
            // The program may end before it has read all.
            let _ = stdin.write_all(input.as_bytes());
        });
        let output = child.wait_with_output().expect("ends");
        feeder.join().expect("does not panic");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("is text");
        Done {
            code: output.status.code().expect("ends by itself"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    };
    actix_rt::task::spawn_blocking(run).await.expect("does not panic")
}

/// The folder of the program, for the path of a shell.
pub fn folder() -> PathBuf {
    PathBuf::from(GAIA).parent().expect("lies in a folder").to_owned()
}

/// The path of a shell that finds this program first.
pub fn path() -> OsString {
    let mut path = OsString::from(folder());
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}
