//! A batch and its callback: tasks end, and a separate transaction, the release, counts their ends and has the callback run.

use stateright::{Model, Property};

use crate::check::{Protocol, holds, is_long, needs};

const NODES: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The release locks the row of the callback before it reads which tasks have ended.
    LockedHeld,
    /// An end is counted together with the closing of its link.
    ClosedLink,
    /// Links that are open although their tasks have ended are found by a look.
    Looked,
    /// The release changes a callback only while it waits for the release.
    StillWaits,
}

pub const RULES: [Rule; 4] = [Rule::LockedHeld, Rule::ClosedLink, Rule::Looked, Rule::StillWaits];

const ONCE: &str = "the callback runs at most once";
const COUNTS: &str = "a callback that is released finds the right counts";
const RUNS: &str = "while a node lives, the callback runs once all tasks have ended";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Callback {
    Held,
    Due,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Link {
    /// Whether the task has succeeded, once it has ended.
    ended: Option<bool>,
    open: bool,
}

/// A release between its look at the links and its commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Release {
    node: usize,
    /// Tasks whose ends it counts.
    counted: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    lives: bool,
    /// It has written ends that it has not counted yet.
    noted: bool,
    releases: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    links: Vec<Link>,
    succeeded: u8,
    failed: u8,
    callback: Callback,
    releases: Vec<Release>,
    nodes: [Node; NODES],
    deaths: u8,
    lost_answers: u8,
    hand: u8,
    runs: u8,
    released_wrong: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A node writes the end, or plain SQL does.
    End {
        task: usize,
        succeeded: bool,
        node: Option<usize>,
    },
    Look {
        node: usize,
    },
    Begin {
        node: usize,
    },
    Commit {
        release: usize,
        answered: bool,
    },
    RollBack {
        release: usize,
    },
    Run,
    RunByHand,
    Die {
        node: usize,
    },
}

#[derive(Clone, Debug)]
pub struct Batch {
    tasks: usize,
    deaths: u8,
    lost_answers: u8,
    without: Option<Rule>,
}

impl Batch {
    fn has(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    fn ended(state: &State) -> Vec<usize> {
        let links = state.links.iter().enumerate();
        let ended = links.filter(|(_, link)| link.open && link.ended.is_some());
        ended.map(|(task, _)| task).collect()
    }

    fn own_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let is_locked = self.has(Rule::LockedHeld) && !state.releases.is_empty();
        for (node, of) in state.nodes.iter().enumerate().filter(|(_, of)| of.lives) {
            if of.noted && !of.releases && !is_locked {
                actions.push(Action::Begin { node });
            }
            if self.has(Rule::Looked) && !of.noted && !Self::ended(state).is_empty() {
                actions.push(Action::Look { node });
            }
        }
        for release in 0..state.releases.len() {
            actions.push(Action::Commit {
                release,
                answered: true,
            });
        }
        if state.callback == Callback::Due {
            actions.push(Action::Run);
        }
        for task in (0..state.links.len()).filter(|task| state.links[*task].ended.is_none()) {
            for succeeded in [true, false] {
                let nodes = (0..NODES).filter(|node| state.nodes[*node].lives).map(Some);
                actions.extend(nodes.chain([None]).map(|node| Action::End { task, succeeded, node }));
            }
        }
    }

    fn other_actions(state: &State, actions: &mut Vec<Action>) {
        for (release, of) in state.releases.iter().enumerate() {
            if !state.nodes[of.node].lives {
                actions.push(Action::RollBack { release });
            } else if state.lost_answers > 0 {
                actions.push(Action::Commit {
                    release,
                    answered: false,
                });
            }
        }
        if state.deaths > 0 {
            actions.extend(
                (0..NODES)
                    .filter(|node| state.nodes[*node].lives)
                    .map(|node| Action::Die { node }),
            );
        }
        if state.hand > 0 && state.callback == Callback::Held {
            actions.push(Action::RunByHand);
        }
    }

    fn commit(&self, state: &mut State, release: usize, answered: bool) {
        let Release { node, counted } = state.releases.remove(release);
        for task in &counted {
            let link = &mut state.links[*task];
            match link.ended {
                Some(true) => state.succeeded += 1,
                _ => state.failed += 1,
            }
            if self.has(Rule::ClosedLink) {
                link.open = false;
            }
        }
        // Without a closed link the number of counted ends says it.
        let tasks = u8::try_from(state.links.len()).expect("is small");
        let is_over = match self.has(Rule::ClosedLink) {
            true => state.links.iter().all(|link| !link.open),
            false => state.succeeded + state.failed >= tasks,
        };
        if is_over && !counted.is_empty() && (state.callback == Callback::Held || !self.has(Rule::StillWaits)) {
            let succeeded = state.links.iter().filter(|link| link.ended == Some(true)).count();
            state.released_wrong |=
                usize::from(state.succeeded) != succeeded || state.succeeded + state.failed != tasks;
            state.callback = Callback::Due;
        }
        let node = &mut state.nodes[node];
        node.releases = false;
        if !answered {
            // It does not know what was counted, and looks at all links.
            node.noted = true;
            state.lost_answers -= 1;
        }
    }

    fn step(&self, state: &mut State, action: Action) {
        match action {
            Action::End { task, succeeded, node } => {
                state.links[task].ended = Some(succeeded);
                if let Some(node) = node {
                    state.nodes[node].noted = true;
                }
            }
            Action::Look { node } => state.nodes[node].noted = true,
            Action::Begin { node } => {
                let counted = Self::ended(state);
                state.nodes[node].releases = true;
                // What ends from now on is noted anew.
                state.nodes[node].noted = false;
                state.releases.push(Release { node, counted });
            }
            Action::Commit { release, answered } => self.commit(state, release, answered),
            Action::RollBack { release } => {
                state.releases.remove(release);
            }
            Action::Run => {
                state.callback = Callback::Done;
                state.runs += 1;
            }
            Action::RunByHand => {
                state.hand -= 1;
                state.callback = Callback::Due;
            }
            Action::Die { node } => {
                state.deaths -= 1;
                state.nodes[node].lives = false;
            }
        }
    }
}

impl Model for Batch {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let node = Node {
            lives: true,
            noted: false,
            releases: false,
        };
        let link = Link {
            ended: None,
            open: true,
        };
        vec![State {
            links: vec![link; self.tasks],
            succeeded: 0,
            failed: 0,
            callback: Callback::Held,
            releases: Vec::new(),
            nodes: std::array::from_fn(|_| node.clone()),
            deaths: self.deaths,
            lost_answers: self.lost_answers,
            hand: 1,
            runs: 0,
            released_wrong: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.own_actions(state, actions);
        Self::other_actions(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.step(&mut next, action);
        (next != *state).then_some(next)
    }

    /// The counts of a model without closed links grow for ever.
    fn within_boundary(&self, state: &State) -> bool {
        usize::from(state.succeeded + state.failed) <= 2 * self.tasks
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONCE, |_, state: &State| state.runs < 2),
            Property::always(COUNTS, |_, state: &State| !state.released_wrong),
            Property::always(RUNS, |model: &Self, state: &State| {
                let mut actions = Vec::new();
                model.own_actions(state, &mut actions);
                let leads_on = |action| model.next_state(state, action).is_some();
                state.callback == Callback::Done || actions.into_iter().any(leads_on)
            }),
        ]
    }
}

impl Protocol for Batch {
    type Rule = Rule;

    fn without(&self, rule: Rule) -> Self {
        Self {
            without: Some(rule),
            ..self.clone()
        }
    }

    fn broken_without(rule: Rule) -> &'static str {
        match rule {
            Rule::LockedHeld | Rule::ClosedLink => COUNTS,
            Rule::Looked => RUNS,
            Rule::StillWaits => ONCE,
        }
    }
}

fn worlds() -> Vec<Batch> {
    let more = u8::from(is_long());
    vec![Batch {
        tasks: 2 + usize::from(more),
        deaths: 1,
        lost_answers: 1 + more,
        without: None,
    }]
}

#[test]
fn a_callback_runs_once_with_the_right_counts() {
    holds(&worlds());
}

#[test]
fn each_rule_about_releases_is_needed() {
    for rule in RULES {
        needs(&worlds(), rule);
    }
}
