//! A cron job, nodes that fire it, and a change of its schedule.
//!
//! The schedule `0` is due each second, the schedule `1` each even second. Runs of the job may not overlap: a fire that finds an open run is
//! recorded as skipped.

use stateright::{Model, Property};

use crate::check::{Protocol, holds, is_long, needs};

const NODES: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The pair of job and second is unique among records.
    UniqueFire,
    /// The transaction that claims a fire locks the row of the job before it looks at open runs.
    LockedJob,
    /// A claim names the expression by which the job was due.
    NamedExpression,
    /// The end of a run is written only while its record is open and names the node.
    FencedEnd,
    /// A handler is called only while the lease of the node holds, and a node is taken for dead only after its lease.
    AskedLease,
    /// Records of nodes that have no row any more are ended as lost.
    EndedLostRuns,
    /// A node ends open records that name it and of which it holds no run.
    ComparedRuns,
    /// A timetable begins with the second that was claimed last.
    BeginsWithLast,
}

pub const RULES: [Rule; 8] = [
    Rule::UniqueFire,
    Rule::LockedJob,
    Rule::NamedExpression,
    Rule::FencedEnd,
    Rule::AskedLease,
    Rule::EndedLostRuns,
    Rule::ComparedRuns,
    Rule::BeginsWithLast,
];

const ONE_RUN: &str = "never two runs of one second";
const NO_OVERLAP: &str = "never two open runs of a job whose runs may not overlap";
const OLD_SCHEDULE: &str = "no fire by a schedule that the job does not have any more";
const ONE_RESULT: &str = "a record that has a result keeps it";
const OPEN_CALLS: &str = "no handler is called whose record has a result";
const NO_OPEN_END: &str = "while a node lives, no record stays open for ever";
const NO_GAP: &str = "no second is missed in silence";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Of {
    Open(usize),
    Ran,
    Lost,
    Skipped,
}

/// A row of `job_record`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Record {
    second: u8,
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Held,
    Called,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Run {
    second: u8,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    lives: bool,
    row: bool,
    lease: bool,
    /// The schedule that it has read, and the last second that it has claimed or found claimed.
    schedule: u8,
    done: u8,
    /// A claim between its look at open runs and its insert: the second, and whether a run was open. Only where no lock makes both one step.
    looked: Option<(u8, bool)>,
    runs: Vec<Run>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Left {
    deaths: u8,
    silences: u8,
    lost_answers: u8,
    changes: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    now: u8,
    /// The row of the job: its schedule, and `scheduled_from`.
    schedule: u8,
    from: u8,
    records: Vec<Record>,
    nodes: [Node; NODES],
    left: Left,
    /// Seconds whose handler was called, in order.
    calls: Vec<u8>,
    /// When the schedule was changed.
    changed: Option<u8>,
    fired_by_old: bool,
    result_changed: bool,
    strange_call: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Tick,
    Read { node: usize },
    Claim { node: usize, answered: bool },
    Look { node: usize },
    Insert { node: usize },
    Call { node: usize, run: usize },
    Return { node: usize, run: usize },
    Write { node: usize, run: usize, answered: bool },
    LeaseEnds { node: usize },
    Beat { node: usize },
    Die { node: usize },
    Bury { node: usize },
    EndLost,
    EndUnknown { node: usize },
    Change,
}

#[derive(Clone, Debug)]
pub struct Job {
    seconds: u8,
    left: Left,
    without: Option<Rule>,
}

const fn is_due(schedule: u8, second: u8) -> bool {
    schedule == 0 || second.is_multiple_of(2)
}

impl Job {
    fn has(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// The next second of this node's timetable, if it is here.
    fn next(state: &State, node: &Node) -> Option<u8> {
        (node.done + 1..=state.now).find(|second| is_due(node.schedule, *second))
    }

    fn is_open(state: &State) -> bool {
        state.records.iter().any(|record| matches!(record.of, Of::Open(_)))
    }

    /// What a claim writes: a record, unless the second has one.
    fn insert(&self, state: &mut State, node: usize, second: u8, is_open: bool, answered: bool) {
        if self.has(Rule::NamedExpression) && state.nodes[node].schedule != state.schedule {
            // The job has another schedule by now: the node reads it.
            return;
        }
        let found = state.records.iter().find(|record| record.second == second);
        if let Some(found) = found.filter(|_| self.has(Rule::UniqueFire)) {
            let is_own = found.of == Of::Open(node);
            let runs = &mut state.nodes[node].runs;
            if is_own && runs.iter().all(|run| run.second != second) {
                // The answer to an earlier claim was lost.
                runs.push(Run {
                    second,
                    phase: Phase::Held,
                });
            }
            state.nodes[node].done = second;
            return;
        }
        state.fired_by_old |= state.nodes[node].schedule != state.schedule;
        let of = if is_open { Of::Skipped } else { Of::Open(node) };
        state.records.push(Record { second, of });
        state.from = state.from.max(second);
        if !answered {
            return;
        }
        let node = &mut state.nodes[node];
        node.done = second;
        if !is_open {
            node.runs.push(Run {
                second,
                phase: Phase::Held,
            });
        }
    }

    fn end(&self, state: &mut State, node: usize, second: u8, of: Of) {
        let is_it = |record: &&mut Record| {
            record.second == second
                && record.of != Of::Skipped
                && (record.of == Of::Open(node) || !self.has(Rule::FencedEnd))
        };
        if let Some(record) = state.records.iter_mut().find(is_it) {
            state.result_changed |= !matches!(record.of, Of::Open(_)) && record.of != of;
            record.of = of;
        }
    }

    /// An open record of this node, of which it holds no run and which it will not claim once more.
    fn unknown(state: &State, node: usize) -> Option<u8> {
        let of = &state.nodes[node];
        let is_unknown = |record: &&Record| {
            record.of == Of::Open(node)
                && record.second <= of.done
                && of.runs.iter().all(|run| run.second != record.second)
        };
        state.records.iter().find(is_unknown).map(|record| record.second)
    }

    fn own_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < self.seconds {
            actions.push(Action::Tick);
        }
        let looks = |node: &Node| node.lives && node.lease;
        let others_look = |dead: usize| (0..NODES).any(|node| node != dead && looks(&state.nodes[node]));
        for (node, of) in state.nodes.iter().enumerate() {
            let may_be_dead = !of.lives || !of.lease || !self.has(Rule::AskedLease);
            if of.row && may_be_dead && others_look(node) {
                actions.push(Action::Bury { node });
            }
            if !of.lives {
                continue;
            }
            if !of.lease {
                actions.push(Action::Beat { node });
            }
            if of.schedule != state.schedule {
                actions.push(Action::Read { node });
            }
            if looks(of) && of.row {
                match (self.has(Rule::LockedJob), of.looked) {
                    (true, _) if Self::next(state, of).is_some() => {
                        actions.push(Action::Claim { node, answered: true });
                    }
                    (false, None) if Self::next(state, of).is_some() => actions.push(Action::Look { node }),
                    (false, Some(_)) => actions.push(Action::Insert { node }),
                    _ => {}
                }
                if self.has(Rule::ComparedRuns) && Self::unknown(state, node).is_some() {
                    actions.push(Action::EndUnknown { node });
                }
            }
            for (run, of_run) in of.runs.iter().enumerate() {
                let lease = of.lease || !self.has(Rule::AskedLease);
                match of_run.phase {
                    Phase::Held if lease => actions.push(Action::Call { node, run }),
                    Phase::Held => {}
                    Phase::Called => actions.push(Action::Return { node, run }),
                    Phase::Ended => actions.push(Action::Write {
                        node,
                        run,
                        answered: true,
                    }),
                }
            }
        }
        if self.has(Rule::EndedLostRuns) && Self::lost(state).is_some_and(|(node, _)| others_look(node)) {
            actions.push(Action::EndLost);
        }
    }

    fn lost(state: &State) -> Option<(usize, u8)> {
        let of_dead = |record: &Record| match record.of {
            Of::Open(node) => (!state.nodes[node].row).then_some((node, record.second)),
            _ => None,
        };
        state.records.iter().find_map(of_dead)
    }

    fn other_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        for (node, of) in state.nodes.iter().enumerate().filter(|(_, of)| of.lives) {
            if left.deaths > 0 {
                actions.push(Action::Die { node });
            }
            if left.silences > 0 && of.lease {
                actions.push(Action::LeaseEnds { node });
            }
            if left.lost_answers > 0 {
                if self.has(Rule::LockedJob) && of.lease && of.row && Self::next(state, of).is_some() {
                    actions.push(Action::Claim { node, answered: false });
                }
                for run in (0..of.runs.len()).filter(|run| of.runs[*run].phase == Phase::Ended) {
                    actions.push(Action::Write {
                        node,
                        run,
                        answered: false,
                    });
                }
            }
        }
        if left.changes > 0 {
            actions.push(Action::Change);
        }
    }

    fn step(&self, state: &mut State, action: Action) {
        match action {
            Action::Tick => state.now += 1,
            Action::Read { node } => {
                let begins = match self.has(Rule::BeginsWithLast) {
                    true => state.from,
                    false => state.now,
                };
                let node = &mut state.nodes[node];
                node.schedule = state.schedule;
                node.done = begins;
            }
            Action::Claim { node, answered } => {
                state.left.lost_answers -= u8::from(!answered);
                if let Some(second) = Self::next(state, &state.nodes[node]) {
                    let is_open = Self::is_open(state);
                    self.insert(state, node, second, is_open, answered);
                }
            }
            Action::Look { node } => {
                let is_open = Self::is_open(state);
                state.nodes[node].looked = Self::next(state, &state.nodes[node]).map(|second| (second, is_open));
            }
            Action::Insert { node } => {
                if let Some((second, is_open)) = state.nodes[node].looked.take() {
                    self.insert(state, node, second, is_open, true);
                }
            }
            Action::Call { node, run } => {
                let run = &mut state.nodes[node].runs[run];
                run.phase = Phase::Called;
                let second = run.second;
                state.calls.push(second);
                let open = |record: &Record| record.second == second && record.of == Of::Open(node);
                state.strange_call |= !state.records.iter().any(open);
            }
            Action::Return { node, run } => state.nodes[node].runs[run].phase = Phase::Ended,
            Action::Write { node, run, answered } => {
                state.left.lost_answers -= u8::from(!answered);
                let second = state.nodes[node].runs[run].second;
                if answered {
                    state.nodes[node].runs.remove(run);
                }
                self.end(state, node, second, Of::Ran);
            }
            Action::LeaseEnds { node } => {
                state.left.silences -= 1;
                state.nodes[node].lease = false;
            }
            Action::Beat { node } => {
                let node = &mut state.nodes[node];
                if !node.row {
                    node.row = true;
                    node.runs.retain(|run| run.phase != Phase::Held);
                }
                node.lease = true;
            }
            Action::Die { node } => {
                state.left.deaths -= 1;
                let node = &mut state.nodes[node];
                node.lives = false;
                node.lease = false;
                node.looked = None;
                node.runs.clear();
            }
            Action::Bury { node } => state.nodes[node].row = false,
            Action::EndLost => {
                if let Some((node, second)) = Self::lost(state) {
                    self.end(state, node, second, Of::Lost);
                }
            }
            Action::EndUnknown { node } => {
                if let Some(second) = Self::unknown(state, node) {
                    self.end(state, node, second, Of::Lost);
                }
            }
            Action::Change => {
                state.left.changes -= 1;
                state.schedule = 1;
                state.from = state.now;
                state.changed = Some(state.now);
            }
        }
    }
}

impl Model for Job {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let node = Node {
            lives: true,
            row: true,
            lease: true,
            schedule: 0,
            done: 0,
            looked: None,
            runs: Vec::new(),
        };
        vec![State {
            now: 0,
            schedule: 0,
            from: 0,
            records: Vec::new(),
            nodes: std::array::from_fn(|_| node.clone()),
            left: self.left,
            calls: Vec::new(),
            changed: None,
            fired_by_old: false,
            result_changed: false,
            strange_call: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.own_actions(state, actions);
        self.other_actions(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.step(&mut next, action);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_RUN, |_, state: &State| {
                let mut calls = state.calls.clone();
                calls.sort_unstable();
                calls.windows(2).all(|pair| pair[0] != pair[1])
            }),
            Property::always(NO_OVERLAP, |_, state: &State| {
                let open = state.records.iter().filter(|record| matches!(record.of, Of::Open(_)));
                open.count() < 2
            }),
            Property::always(OLD_SCHEDULE, |_, state: &State| !state.fired_by_old),
            Property::always(ONE_RESULT, |_, state: &State| !state.result_changed),
            Property::always(OPEN_CALLS, |_, state: &State| !state.strange_call),
            Property::always(NO_OPEN_END, |model: &Self, state: &State| {
                !model.is_at_rest(state) || !Self::is_open(state)
            }),
            Property::always(NO_GAP, |model: &Self, state: &State| {
                // Seconds that nobody had claimed when the schedule was changed fire no more.
                let begins = state.changed.map_or(1, |changed| changed + 1);
                let mut due = (begins..=state.now).filter(|second| is_due(state.schedule, *second));
                let has_record = |second| state.records.iter().any(|record| record.second == second);
                !model.is_at_rest(state) || due.all(has_record)
            }),
        ]
    }
}

impl Job {
    fn is_at_rest(&self, state: &State) -> bool {
        let mut actions = Vec::new();
        self.own_actions(state, &mut actions);
        actions
            .into_iter()
            .all(|action| self.next_state(state, action).is_none())
    }
}

impl Protocol for Job {
    type Rule = Rule;

    fn without(&self, rule: Rule) -> Self {
        Self {
            without: Some(rule),
            ..self.clone()
        }
    }

    fn broken_without(rule: Rule) -> &'static str {
        match rule {
            Rule::UniqueFire => ONE_RUN,
            Rule::LockedJob => NO_OVERLAP,
            Rule::NamedExpression => OLD_SCHEDULE,
            Rule::FencedEnd => ONE_RESULT,
            Rule::AskedLease => OPEN_CALLS,
            Rule::EndedLostRuns | Rule::ComparedRuns => NO_OPEN_END,
            Rule::BeginsWithLast => NO_GAP,
        }
    }
}

fn worlds() -> Vec<Job> {
    let more = u8::from(is_long());
    let world = |left| Job {
        seconds: 2 + more,
        left,
        without: None,
    };
    vec![
        world(Left {
            deaths: 1,
            silences: 1 + more,
            ..Left::default()
        }),
        world(Left {
            lost_answers: 1 + more,
            silences: 1,
            changes: 1,
            ..Left::default()
        }),
    ]
}

#[test]
fn each_second_of_a_job_has_one_record_and_at_most_one_run() {
    holds(&worlds());
}

#[test]
fn each_rule_about_fires_is_needed() {
    for rule in RULES {
        needs(&worlds(), rule);
    }
}
