//! What a check has found.

use serde::Serialize;

use crate::{
    exit::{Exit, Result},
    output::{Cell, Format, Tone, say},
    session::Session,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// Worth knowing, and no fault.
    Note,
    Wrong,
}

#[derive(Debug, Serialize)]
struct Finding {
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    /// Commands that help, or that show more.
    #[serde(rename = "do", skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
}

#[derive(Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub fn ok(&mut self, found: impl Into<String>) {
        self.add(State::Ok, found.into(), None, &[]);
    }

    pub fn note(&mut self, found: impl Into<String>, commands: &[&str]) {
        self.add(State::Note, found.into(), None, commands);
    }

    pub fn wrong(&mut self, found: impl Into<String>, expected: &str, commands: &[&str]) {
        self.add(State::Wrong, found.into(), Some(expected.to_owned()), commands);
    }

    fn add(&mut self, state: State, found: String, expected: Option<String>, commands: &[&str]) {
        let commands = commands.iter().map(|command| (*command).to_owned()).collect();
        self.0.push(Finding {
            state,
            found,
            expected,
            commands,
        });
    }

    /// Takes over the faults among these.
    pub fn take_wrong(&mut self, others: Self) {
        self.0
            .extend(others.0.into_iter().filter(|finding| finding.state == State::Wrong));
    }

    /// Whether nothing is wrong so far.
    pub fn all_well(&self) -> bool {
        self.0.iter().all(|finding| finding.state != State::Wrong)
    }

    /// Writes all findings. Exit code 1 if something is wrong.
    pub fn written(&self, session: &Session) -> Result {
        let out = &session.out;
        match out.format {
            Format::Table | Format::Wide | Format::Name => self
                .0
                .iter()
                .try_for_each(|finding| out.write(&finding.text(session)))?,
            Format::Jsonl => self.0.iter().try_for_each(|finding| out.value(finding))?,
            Format::Json | Format::Yaml => out.value(&self.0)?,
        }
        match self.all_well() {
            true => {
                say("Nothing is wrong.");
                Ok(Exit::Done)
            }
            false => Ok(Exit::Failed),
        }
    }
}

impl Finding {
    fn text(&self, session: &Session) -> String {
        let (word, tone) = match self.state {
            State::Ok => ("ok", Tone::Good),
            State::Note => ("note", Tone::Busy),
            State::Wrong => ("wrong", Tone::Bad),
        };
        let plain = |text: &str| session.out.coloured(&Cell::new(text));
        let word = session.out.coloured(&Cell::new(format!("{word:5}")).toned(tone));
        let expected = self
            .expected
            .iter()
            .map(|text| format!("       expected: {}\n", plain(text)));
        let commands = self.commands.iter().map(|text| format!("       do: {}\n", plain(text)));
        let more: String = expected.chain(commands).collect();
        format!("{word}  {}\n{more}", plain(&self.found))
    }
}

/// A name as a word of a shell's command line.
pub fn word(name: &str) -> String {
    let is_plain = |char: char| char.is_alphanumeric() || "-_./:@".contains(char);
    match !name.is_empty() && !name.starts_with('-') && name.chars().all(is_plain) {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', "'\\''")),
    }
}
