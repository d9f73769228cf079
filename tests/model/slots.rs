//! The slots of a method of which a number of tasks may run at once in the cluster.
//!
//! A question is a transaction that reads what the others have and writes what this node has from now on. Its answer may be lost, and the server
//! may commit it after the node has given up.

use stateright::{Model, Property};

use crate::check::{Protocol, holds, is_long, needs};

const NODES: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A question locks the row of the limit before it reads who has slots.
    LockedLimit,
    /// The number that it writes is what the node has, not how much it takes or gives back.
    AbsoluteNumber,
    /// A node does not use a slot any more before it asks to give it back.
    StopsUseFirst,
    /// A node that finds its row gone has no slots.
    DroppedWithRow,
    /// A task begins only while the lease of the node holds, and a node is taken for dead only after its lease.
    AskedLease,
}

pub const RULES: [Rule; 5] = [
    Rule::LockedLimit,
    Rule::AbsoluteNumber,
    Rule::StopsUseFirst,
    Rule::DroppedWithRow,
    Rule::AskedLease,
];

const WITHIN: &str = "on nodes that hold their lease never more tasks run than the limit says";
const NO_LEAK: &str = "after an answer the database knows how many slots the node has";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Node {
    row: bool,
    lease: bool,
    /// Slots in its memory, and how many of them a task has.
    slots: u8,
    runs: u8,
    /// It waits for the answer to its question.
    asks: bool,
    /// Its last question had an answer.
    knows: bool,
}

/// A question that the server has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Question {
    node: usize,
    /// What the node has afterwards.
    grant: u8,
    /// What it had when it asked.
    had: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// `gaia_slots`
    rows: [i8; NODES],
    nodes: [Node; NODES],
    questions: Vec<Question>,
    lost_answers: u8,
    silences: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Ask {
        node: usize,
        slots: u8,
    },
    Commit {
        question: usize,
    },
    RollBack {
        question: usize,
    },
    /// The node hears nothing of its question, and may ask the next one.
    LoseAnswer {
        node: usize,
    },
    Begin {
        node: usize,
    },
    End {
        node: usize,
    },
    LeaseEnds {
        node: usize,
    },
    Beat {
        node: usize,
    },
    Bury {
        node: usize,
    },
}

#[derive(Clone, Debug)]
pub struct Slots {
    limit: u8,
    lost_answers: u8,
    silences: u8,
    without: Option<Rule>,
}

impl Slots {
    fn has(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    fn step(&self, state: &mut State, action: Action) {
        match action {
            Action::Ask { node, slots } => {
                let others = (0..NODES).filter(|other| *other != node && state.nodes[*other].row);
                let others: i8 = others.map(|other| state.rows[other].max(0)).sum();
                let free = u8::try_from(i8::try_from(self.limit).expect("is small") - others).unwrap_or(0);
                let of = &mut state.nodes[node];
                let had = of.slots;
                let grant = slots.min(free.max(of.runs));
                if self.has(Rule::StopsUseFirst) {
                    of.slots = of.slots.min(grant);
                }
                of.asks = true;
                of.knows = false;
                state.questions.push(Question { node, grant, had });
            }
            Action::Commit { question } => {
                let Question { node, grant, had } = state.questions.remove(question);
                let signed = |number: u8| i8::try_from(number).expect("is small");
                let most = 2 * signed(self.limit);
                state.rows[node] = match self.has(Rule::AbsoluteNumber) {
                    true => signed(grant),
                    false => (state.rows[node] + signed(grant) - signed(had)).clamp(-most, most),
                };
                let of = &mut state.nodes[node];
                let is_heard = of.asks && state.questions.iter().all(|other| other.node != node);
                if is_heard {
                    of.asks = false;
                    // A node that was buried meanwhile asks anew.
                    if of.row || !self.has(Rule::DroppedWithRow) {
                        of.slots = grant;
                        of.knows = true;
                    }
                }
            }
            Action::RollBack { question } => {
                let node = state.questions.remove(question).node;
                state.nodes[node].asks &= state.questions.iter().any(|other| other.node == node);
            }
            Action::LoseAnswer { node } => {
                state.lost_answers -= 1;
                state.nodes[node].asks = false;
            }
            Action::Begin { node } => state.nodes[node].runs += 1,
            Action::End { node } => state.nodes[node].runs -= 1,
            Action::LeaseEnds { node } => {
                state.silences -= 1;
                state.nodes[node].lease = false;
            }
            Action::Beat { node } => {
                let node = &mut state.nodes[node];
                if !node.row {
                    // Its runs are cancelled.
                    node.runs = 0;
                    if self.has(Rule::DroppedWithRow) {
                        node.slots = 0;
                        node.asks = false;
                        node.knows = false;
                    }
                }
                node.row = true;
                node.lease = true;
            }
            Action::Bury { node } => state.nodes[node].row = false,
        }
    }
}

impl Model for Slots {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let node = Node {
            row: true,
            lease: true,
            slots: 0,
            runs: 0,
            asks: false,
            knows: false,
        };
        vec![State {
            rows: [0; NODES],
            nodes: [node; NODES],
            questions: Vec::new(),
            lost_answers: self.lost_answers,
            silences: self.silences,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let is_locked = self.has(Rule::LockedLimit) && !state.questions.is_empty();
        for question in 0..state.questions.len() {
            actions.push(Action::Commit { question });
            actions.push(Action::RollBack { question });
        }
        for (node, of) in state.nodes.iter().enumerate() {
            if !of.asks && !is_locked && of.lease && of.row && state.questions.len() < NODES + 1 {
                let wishes = of.runs..=self.limit;
                actions.extend(
                    wishes
                        .filter(|slots| *slots != of.slots)
                        .map(|slots| Action::Ask { node, slots }),
                );
            }
            if of.asks && state.lost_answers > 0 {
                actions.push(Action::LoseAnswer { node });
            }
            if of.runs < of.slots && (of.lease || !self.has(Rule::AskedLease)) {
                actions.push(Action::Begin { node });
            }
            if of.runs > 0 {
                actions.push(Action::End { node });
            }
            if of.lease && state.silences > 0 {
                actions.push(Action::LeaseEnds { node });
            }
            if !of.lease || !of.row {
                actions.push(Action::Beat { node });
            }
            if of.row && (!of.lease || !self.has(Rule::AskedLease)) {
                actions.push(Action::Bury { node });
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.step(&mut next, action);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(WITHIN, |model: &Self, state: &State| {
                let runs: u8 = state.nodes.iter().filter(|node| node.lease).map(|node| node.runs).sum();
                runs <= model.limit
            }),
            Property::always(NO_LEAK, |_, state: &State| {
                let mut rows = state.nodes.iter().zip(state.rows);
                rows.all(|(node, row)| !node.knows || !node.row || i8::try_from(node.slots) == Ok(row))
            }),
        ]
    }
}

impl Protocol for Slots {
    type Rule = Rule;

    fn without(&self, rule: Rule) -> Self {
        Self {
            without: Some(rule),
            ..self.clone()
        }
    }

    fn broken_without(rule: Rule) -> &'static str {
        match rule {
            Rule::AbsoluteNumber => NO_LEAK,
            _ => WITHIN,
        }
    }
}

fn worlds() -> Vec<Slots> {
    let more = u8::from(is_long());
    let world = |limit| Slots {
        limit,
        lost_answers: 1 + more,
        silences: 1 + more,
        without: None,
    };
    vec![world(1), world(2)]
}

#[test]
fn no_more_tasks_run_than_the_limit_says() {
    holds(&worlds());
}

#[test]
fn each_rule_about_slots_is_needed() {
    for rule in RULES {
        needs(&worlds(), rule);
    }
}
