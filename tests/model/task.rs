//! One task, nodes that claim it, die, fall silent and come back, a database that loses its last commits, and people.
//!
//! A claim takes the task out of its segment and leaves the row as it is; the run is *unseen* until something is written about it. Most faults
//! of such a protocol need an old run and a new one at the same time, so the model keeps every run until its process has done with it.

use stateright::{Model, Property};

use crate::check::{Protocol, holds, is_long, needs};

/// A task may be tried so often.
const ATTEMPTS: u8 = 2;
const NODES: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A write about a run counts only while the task is in the hands of that node and that claim.
    Fence,
    /// The fence names the mark of the claim, too: after a crash a number may be given a second time, a mark may not.
    Mark,
    /// A task that leaves a claim unseen takes the number of the claim: the claim, whose list still names it, cannot have it again.
    RaisedToken,
    /// The database knows that a last attempt begins before its handler is called.
    NotedLastAttempt,
    /// The commit of that note waits for the disk.
    NoteOnDisk,
    /// A handler is called only while the lease of the node holds, and a node is taken for dead only after its lease.
    AskedLease,
    /// A node gives back tasks that the database calls its own, and of which it holds no run.
    ComparedRuns,
    /// Tasks of nodes that have no row any more are ended as lost attempts.
    Rescue,
    /// A run that would put a task back into the queue ends it if a caller has asked to cancel it.
    CancelledInstead,
    /// The statement that deletes old rows looks again whether they are finished.
    PruneLooksAgain,
}

pub const RULES: [Rule; 10] = [
    Rule::Fence,
    Rule::Mark,
    Rule::RaisedToken,
    Rule::NotedLastAttempt,
    Rule::NoteOnDisk,
    Rule::AskedLease,
    Rule::ComparedRuns,
    Rule::Rescue,
    Rule::CancelledInstead,
    Rule::PruneLooksAgain,
];

const NO_STALE_END: &str = "no end of a run is accepted once the task is in other hands";
const ONE_OWNER: &str = "never two runs that may write about the task";
const ONE_PLACE: &str = "a task that waits is in one place: beside the queue, in a segment or in a claim";
const ATTEMPTS_COUNT: &str = "a handler is called no more often than the task may be tried";
const OWNER_CALLS: &str = "no handler is called on a node from which the task was taken";
const SUCCESS_IS_FINAL: &str = "a task that has succeeded stays so";
const CANCELS_COUNT: &str = "a task that is to be cancelled never waits again";
const FINISHED_DELETED: &str = "no row is deleted whose task is not finished";
const NOT_LOST: &str = "while a node lives, the task is finished or something leads on";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Status {
    Wait,
    Retry,
    Running,
    Success,
    Failed,
    Cancelled,
    Deleted,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Succeeded,
    Failed,
    Snoozed,
    HandedBack,
    Cancelled,
    /// Its node is dead.
    Lost,
}

/// The row of `asynctasks`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Row {
    status: Status,
    owner: Option<usize>,
    token: u8,
    mark: u8,
    retries: u8,
    /// The last attempt has begun.
    began: bool,
    cancel: bool,
    /// The column `queued`.
    queued: u8,
}

/// A row of `gaia_claims`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Claim {
    node: usize,
    number: u8,
    mark: u8,
}

/// What the database has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Tables {
    row: Row,
    in_segment: bool,
    claims: Vec<Claim>,
    /// The last number of a claim.
    number: u8,
    /// The mark of the claim that has the task; not a column: what the columns are to say.
    holder: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Held,
    /// The node knows that the last attempt is noted as begun.
    Noted,
    Called,
    Ended {
        outcome: Outcome,
        called: bool,
    },
}

/// A run in the memory of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Run {
    claim: Claim,
    last: bool,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    lives: bool,
    /// It has a row in `gaia_nodes`.
    row: bool,
    /// By its own clock its lease is not over.
    lease: bool,
    runs: Vec<Run>,
}

/// What may still go wrong, and what people may still do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Left {
    pub deaths: u8,
    pub silences: u8,
    pub lost_answers: u8,
    pub crashes: u8,
    pub snoozes: u8,
    pub cancels: u8,
    pub retries_by_hand: u8,
}

/// What has happened, for the properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Seen {
    calls: u8,
    /// Calls that used no attempt.
    free: u8,
    may_be_called: u8,
    succeeded: bool,
    stale_end: bool,
    strange_call: bool,
    deleted_unfinished: bool,
    /// Marks of claims that a crash has undone, as bits.
    undone: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    tables: Tables,
    /// What the disk has, where it is not all of that.
    disk: Option<Tables>,
    nodes: [Node; NODES],
    marks: u8,
    /// Ends that a dead process has sent, and that the server may still get.
    sent: Vec<Run>,
    /// The pruner has read that the task is finished.
    to_delete: bool,
    left: Left,
    seen: Seen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Queue,
    Claim { node: usize, answered: bool },
    RemoveClaim { claim: usize },
    Note { node: usize, run: usize, answered: bool },
    Call { node: usize, run: usize },
    Return { node: usize, run: usize, outcome: Outcome },
    Write { node: usize, run: usize, answered: bool },
    LeaseEnds { node: usize },
    GiveUp { node: usize, run: usize },
    Beat { node: usize },
    Die { node: usize },
    Arrive { sent: usize },
    Bury { node: usize },
    EndLost,
    GiveBackUnknown { node: usize },
    Crash,
    Cancel,
    HearCancel { node: usize, run: usize },
    RetryByHand,
    FindOld,
    DeleteOld,
}

#[derive(Clone, Debug)]
pub struct Task {
    left: Left,
    /// The insert claims the task.
    is_added_claimed: bool,
    without: Option<Rule>,
}

impl Row {
    fn waits(&self) -> bool {
        matches!(self.status, Status::Wait | Status::Retry)
    }

    fn is_finished(&self) -> bool {
        matches!(
            self.status,
            Status::Success | Status::Failed | Status::Cancelled | Status::Deleted
        )
    }

    fn is_last_attempt(&self) -> bool {
        self.retries + 1 == ATTEMPTS
    }
}

impl State {
    /// A transaction whose commit does not wait for the disk.
    fn soft(&mut self) -> &mut Tables {
        if self.disk.is_none() {
            self.disk = Some(self.tables.clone());
        }
        &mut self.tables
    }

    /// A transaction whose commit waits for the disk: what was committed before is there with it.
    fn hard(&mut self) -> &mut Tables {
        self.disk = None;
        &mut self.tables
    }

    fn is_undone(&self, claim: Claim) -> bool {
        self.seen.undone & (1 << claim.mark) != 0
    }
}

impl Task {
    fn has(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// The claim has the task unseen.
    fn has_unseen(&self, tables: &Tables, claim: Claim) -> bool {
        let is_it = |row: &&Claim| {
            row.node == claim.node && row.number == claim.number && (row.mark == claim.mark || !self.has(Rule::Mark))
        };
        let row = &tables.row;
        row.waits() && row.queued == 1 && row.token < claim.number && tables.claims.iter().any(|row| is_it(&row))
    }

    /// The row says that the claim has the task.
    fn has_seen(&self, tables: &Tables, claim: Claim) -> bool {
        let row = &tables.row;
        row.status == Status::Running
            && row.owner == Some(claim.node)
            && row.token == claim.number
            && (row.mark == claim.mark || !self.has(Rule::Mark))
    }

    fn may_write(&self, tables: &Tables, claim: Claim) -> bool {
        match self.has(Rule::Fence) {
            true => self.has_unseen(tables, claim) || self.has_seen(tables, claim),
            false => !tables.row.is_finished() && !tables.in_segment,
        }
    }

    /// Claims that have the task, as the database says.
    fn holders(&self, tables: &Tables) -> Vec<Claim> {
        let unseen = tables
            .claims
            .iter()
            .copied()
            .filter(|claim| self.has_unseen(tables, *claim));
        let row = &tables.row;
        let seen = row.owner.filter(|_| row.status == Status::Running).map(|node| Claim {
            node,
            number: row.token,
            mark: row.mark,
        });
        unseen.chain(seen).collect()
    }

    /// The row says that the claim has the task, as at every write about a run that goes on.
    fn see(tables: &mut Tables, claim: Claim) {
        tables.row.status = Status::Running;
        tables.row.owner = Some(claim.node);
        tables.row.token = claim.number;
        tables.row.mark = claim.mark;
        tables.row.queued = 2;
    }

    /// The one write of an end. Nothing happens if the task is in other hands.
    fn end(&self, state: &mut State, claim: Claim, outcome: Outcome, called: bool) {
        if !self.may_write(&state.tables, claim) {
            return;
        }
        state.seen.stale_end |= state.tables.holder != claim.mark;
        let raises = self.has(Rule::RaisedToken);
        let cancels = self.has(Rule::CancelledInstead);
        let tables = state.hard();
        let row = &mut tables.row;
        let was_seen = row.status == Status::Running;
        let back = |retries: u8| if retries > 0 { Status::Retry } else { Status::Wait };
        row.status = match outcome {
            Outcome::Succeeded => Status::Success,
            Outcome::Cancelled => Status::Cancelled,
            Outcome::Failed | Outcome::Lost if !row.is_last_attempt() => {
                row.retries += 1;
                Status::Retry
            }
            Outcome::Failed => Status::Failed,
            Outcome::Lost if row.began => Status::Failed,
            Outcome::Lost | Outcome::Snoozed | Outcome::HandedBack => back(row.retries),
        };
        if cancels && row.cancel && row.waits() {
            row.status = Status::Cancelled;
        }
        if raises || was_seen {
            row.token = claim.number;
        }
        row.owner = None;
        row.mark = 0;
        row.began = false;
        row.queued = 0;
        tables.holder = 0;
        let succeeded = row.status == Status::Success;
        state.seen.succeeded |= succeeded;
        if called && matches!(outcome, Outcome::Snoozed | Outcome::HandedBack) {
            state.seen.free += 1;
        }
    }

    fn claim(state: &mut State, node: usize, answered: bool) {
        state.marks += 1;
        let mark = state.marks;
        let tables = state.soft();
        tables.number += 1;
        let claim = Claim {
            node,
            number: tables.number,
            mark,
        };
        tables.in_segment = false;
        tables.claims.push(claim);
        tables.holder = mark;
        let last = tables.row.is_last_attempt();
        if answered {
            state.nodes[node].runs.push(Run {
                claim,
                last,
                phase: Phase::Held,
            });
        }
    }

    /// What nodes do of themselves.
    fn own_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let tables = &state.tables;
        if tables.row.waits() && tables.row.queued == 0 {
            actions.push(Action::Queue);
        }
        let can_look = |node: &Node| node.lives && node.lease;
        for (index, node) in state.nodes.iter().enumerate() {
            if !node.lives {
                continue;
            }
            if can_look(node) && node.row && tables.in_segment && tables.row.waits() {
                actions.push(Action::Claim {
                    node: index,
                    answered: true,
                });
            }
            if !node.lease {
                actions.push(Action::Beat { node: index });
            }
            let holders = self.holders(tables);
            let is_unknown =
                |claim: &Claim| claim.node == index && node.runs.iter().all(|run| run.claim.mark != claim.mark);
            if self.has(Rule::ComparedRuns) && can_look(node) && node.row && holders.iter().any(is_unknown) {
                actions.push(Action::GiveBackUnknown { node: index });
            }
            for (number, run) in node.runs.iter().enumerate() {
                self.actions_of(state, index, number, run, actions);
            }
        }
        let others_look = |dead: usize| (0..NODES).any(|node| node != dead && can_look(&state.nodes[node]));
        for (index, node) in state.nodes.iter().enumerate() {
            let may_be_dead = !self.has(Rule::AskedLease) || !node.lease || !node.lives;
            if node.row && may_be_dead && others_look(index) {
                actions.push(Action::Bury { node: index });
            }
        }
        let is_dead = |claim: &Claim| !state.nodes[claim.node].row && others_look(claim.node);
        if self.has(Rule::Rescue) && self.holders(tables).iter().any(is_dead) {
            actions.push(Action::EndLost);
        }
    }

    fn actions_of(&self, state: &State, node: usize, run: usize, of: &Run, actions: &mut Vec<Action>) {
        let lease = state.nodes[node].lease || !self.has(Rule::AskedLease);
        let row = &state.tables.row;
        let notes = of.last && self.has(Rule::NotedLastAttempt);
        let hears = row.cancel && row.status == Status::Running && row.mark == of.claim.mark;
        match of.phase {
            Phase::Held if notes => actions.push(Action::Note {
                node,
                run,
                answered: true,
            }),
            Phase::Held | Phase::Noted if lease => actions.push(Action::Call { node, run }),
            Phase::Called => {
                for outcome in [Outcome::Succeeded, Outcome::Failed] {
                    actions.push(Action::Return { node, run, outcome });
                }
            }
            Phase::Ended { .. } => actions.push(Action::Write {
                node,
                run,
                answered: true,
            }),
            _ => {}
        }
        let is_open = !matches!(of.phase, Phase::Ended { .. });
        if is_open && !state.nodes[node].lease {
            actions.push(Action::GiveUp { node, run });
        }
        if is_open && hears {
            actions.push(Action::HearCancel { node, run });
        }
    }

    /// Faults, people, and what nodes may do or leave.
    fn other_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let (tables, left) = (&state.tables, &state.left);
        for (claim, of) in tables.claims.iter().enumerate() {
            if !self.has_unseen(tables, *of) && !self.has_seen(tables, *of) {
                actions.push(Action::RemoveClaim { claim });
            }
        }
        for (index, node) in state.nodes.iter().enumerate() {
            if !node.lives {
                continue;
            }
            if left.silences > 0 && node.lease {
                actions.push(Action::LeaseEnds { node: index });
            }
            if left.deaths > 0 {
                actions.push(Action::Die { node: index });
            }
            if left.lost_answers > 0 {
                if node.lease && node.row && tables.in_segment && tables.row.waits() {
                    actions.push(Action::Claim {
                        node: index,
                        answered: false,
                    });
                }
                for (run, of) in node.runs.iter().enumerate() {
                    match of.phase {
                        Phase::Held if of.last => actions.push(Action::Note {
                            node: index,
                            run,
                            answered: false,
                        }),
                        Phase::Ended { .. } => actions.push(Action::Write {
                            node: index,
                            run,
                            answered: false,
                        }),
                        _ => {}
                    }
                }
            }
            if left.snoozes > 0 {
                for (run, _) in node.runs.iter().enumerate().filter(|(_, of)| of.phase == Phase::Called) {
                    actions.push(Action::Return {
                        node: index,
                        run,
                        outcome: Outcome::Snoozed,
                    });
                }
            }
        }
        for sent in 0..state.sent.len() {
            actions.push(Action::Arrive { sent });
        }
        if left.crashes > 0 && state.disk.is_some() {
            actions.push(Action::Crash);
        }
        if left.cancels > 0 && !tables.row.is_finished() && !tables.row.cancel {
            actions.push(Action::Cancel);
        }
        if left.retries_by_hand > 0 && matches!(tables.row.status, Status::Failed | Status::Cancelled) {
            actions.push(Action::RetryByHand);
        }
        if state.to_delete {
            actions.push(Action::DeleteOld);
        } else if left.retries_by_hand > 0 && tables.row.is_finished() && tables.row.status != Status::Deleted {
            actions.push(Action::FindOld);
        }
    }

    /// What a node does with its runs.
    fn step(&self, state: &mut State, action: Action) {
        match action {
            Action::Claim { node, answered } => {
                state.left.lost_answers -= u8::from(!answered);
                Self::claim(state, node, answered);
            }
            Action::Note { node, run, answered } => {
                state.left.lost_answers -= u8::from(!answered);
                let claim = state.nodes[node].runs[run].claim;
                if !self.may_write(&state.tables, claim) {
                    // Refused: the run does not begin.
                    state.nodes[node].runs.remove(run);
                    return;
                }
                let waits_for_disk = self.has(Rule::NoteOnDisk);
                let tables = if waits_for_disk { state.hard() } else { state.soft() };
                Self::see(tables, claim);
                tables.row.began = true;
                if answered {
                    state.nodes[node].runs[run].phase = Phase::Noted;
                }
            }
            Action::Call { node, run } => {
                let Run { claim, last, .. } = state.nodes[node].runs[run];
                state.nodes[node].runs[run].phase = Phase::Called;
                state.seen.calls += 1;
                if state.is_undone(claim) {
                    state.seen.free += u8::from(!last);
                } else if state.tables.holder != claim.mark {
                    state.seen.strange_call = true;
                }
            }
            Action::Return { node, run, outcome } => {
                state.left.snoozes -= u8::from(outcome == Outcome::Snoozed);
                state.nodes[node].runs[run].phase = Phase::Ended { outcome, called: true };
            }
            Action::Write { node, run, answered } => {
                state.left.lost_answers -= u8::from(!answered);
                let Run { claim, phase, .. } = state.nodes[node].runs[run];
                if answered {
                    state.nodes[node].runs.remove(run);
                }
                if let Phase::Ended { outcome, called } = phase {
                    self.end(state, claim, outcome, called);
                }
            }
            Action::GiveUp { node, run } => Self::leave(&mut state.nodes[node].runs[run], Outcome::HandedBack),
            Action::HearCancel { node, run } => Self::leave(&mut state.nodes[node].runs[run], Outcome::Cancelled),
            _ => self.step_around(state, action),
        }
    }

    /// What happens around the runs.
    fn step_around(&self, state: &mut State, action: Action) {
        match action {
            Action::Queue => {
                let tables = state.soft();
                tables.row.queued = 1;
                tables.in_segment = true;
            }
            Action::RemoveClaim { claim } => {
                state.soft().claims.remove(claim);
            }
            Action::LeaseEnds { node } => {
                state.left.silences -= 1;
                state.nodes[node].lease = false;
            }
            Action::Beat { node } => {
                let node = &mut state.nodes[node];
                if !node.row {
                    node.row = true;
                    node.runs.retain(|run| !matches!(run.phase, Phase::Held | Phase::Noted));
                }
                node.lease = true;
            }
            Action::Die { node } => {
                state.left.deaths -= 1;
                let node = &mut state.nodes[node];
                node.lives = false;
                node.lease = false;
                let runs = std::mem::take(&mut node.runs).into_iter();
                state
                    .sent
                    .extend(runs.filter(|run| matches!(run.phase, Phase::Ended { .. })));
            }
            Action::Arrive { sent } => {
                let Run { claim, phase, .. } = state.sent.remove(sent);
                if let Phase::Ended { outcome, called } = phase {
                    self.end(state, claim, outcome, called);
                }
            }
            Action::Bury { node } => state.nodes[node].row = false,
            Action::EndLost => {
                let lost = |claim: &Claim| !state.nodes[claim.node].row;
                if let Some(claim) = self.holders(&state.tables).into_iter().find(lost) {
                    self.end(state, claim, Outcome::Lost, false);
                }
            }
            Action::GiveBackUnknown { node } => {
                let runs = &state.nodes[node].runs;
                let unknown = |claim: &Claim| claim.node == node && runs.iter().all(|run| run.claim.mark != claim.mark);
                if let Some(claim) = self.holders(&state.tables).into_iter().find(unknown) {
                    let outcome = match state.tables.row.began {
                        true => Outcome::Lost,
                        false => Outcome::HandedBack,
                    };
                    self.end(state, claim, outcome, false);
                }
            }
            Action::Crash => Self::crash(state),
            Action::Cancel => {
                state.left.cancels -= 1;
                let holder = self.holders(&state.tables).first().copied();
                let tables = state.hard();
                if let Some(claim) = holder {
                    Self::see(tables, claim);
                    tables.row.cancel = true;
                } else {
                    tables.row.status = Status::Cancelled;
                    tables.row.queued = 0;
                    tables.in_segment = false;
                }
            }
            Action::RetryByHand => {
                state.left.retries_by_hand -= 1;
                state.seen.may_be_called += ATTEMPTS;
                let row = &mut state.hard().row;
                row.status = Status::Wait;
                row.retries = 0;
                row.cancel = false;
            }
            Action::FindOld => state.to_delete = true,
            Action::DeleteOld => {
                state.to_delete = false;
                let is_finished = state.tables.row.is_finished();
                if self.has(Rule::PruneLooksAgain) && !is_finished {
                    return;
                }
                state.seen.deleted_unfinished |= !is_finished;
                let tables = state.hard();
                tables.row.status = Status::Deleted;
                tables.in_segment = false;
                tables.holder = 0;
            }
            _ => {}
        }
    }

    /// A run ends before its handler has returned.
    fn leave(run: &mut Run, outcome: Outcome) {
        let called = run.phase == Phase::Called;
        run.phase = Phase::Ended { outcome, called };
    }

    fn crash(state: &mut State) {
        state.left.crashes -= 1;
        let Some(disk) = state.disk.take() else {
            return;
        };
        let undone = state.tables.claims.iter().filter(|claim| !disk.claims.contains(claim));
        for claim in undone {
            state.seen.undone |= 1 << claim.mark;
        }
        for run in state.nodes.iter().flat_map(|node| &node.runs) {
            let called = matches!(run.phase, Phase::Called | Phase::Ended { called: true, .. });
            let is_undone = state.seen.undone & (1 << run.claim.mark) != 0 && !disk.claims.contains(&run.claim);
            // A call of which no commit knows. Last attempts have none.
            if called && is_undone && !run.last {
                state.seen.free += 1;
            }
        }
        state.tables = disk;
    }
}

impl Model for Task {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let node = Node {
            lives: true,
            row: true,
            lease: true,
            runs: Vec::new(),
        };
        let row = Row {
            status: Status::Wait,
            owner: None,
            token: 0,
            mark: 0,
            retries: 0,
            began: false,
            cancel: false,
            queued: 0,
        };
        let mut state = State {
            tables: Tables {
                row,
                in_segment: false,
                claims: Vec::new(),
                number: 0,
                holder: 0,
            },
            disk: None,
            nodes: std::array::from_fn(|_| node.clone()),
            marks: 0,
            sent: Vec::new(),
            to_delete: false,
            left: self.left,
            seen: Seen {
                may_be_called: ATTEMPTS,
                ..Seen::default()
            },
        };
        if !self.is_added_claimed {
            return vec![state];
        }
        // With the answer, and without it.
        Self::claim(&mut state, 0, true);
        let claim = state.tables.claims[0];
        Self::see(state.hard(), claim);
        let mut unanswered = state.clone();
        unanswered.nodes[0].runs.clear();
        vec![state, unanswered]
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
            Property::always(NO_STALE_END, |_, state: &State| !state.seen.stale_end),
            Property::always(ONE_OWNER, |model: &Self, state: &State| {
                let runs = state.nodes.iter().flat_map(|node| &node.runs).chain(&state.sent);
                let mut marks: Vec<u8> = runs
                    .filter(|run| model.may_write(&state.tables, run.claim))
                    .map(|run| run.claim.mark)
                    .collect();
                marks.sort_unstable();
                marks.dedup();
                marks.len() < 2
            }),
            Property::always(ONE_PLACE, |model: &Self, state: &State| {
                let tables = &state.tables;
                let claims = tables.claims.iter().filter(|claim| model.has_unseen(tables, **claim));
                let places = usize::from(tables.in_segment) + claims.count();
                match (tables.row.waits(), tables.row.queued) {
                    (true, 1) => places == 1,
                    (true, _) => places == 0,
                    (false, _) => !tables.in_segment,
                }
            }),
            Property::always(ATTEMPTS_COUNT, |_, state: &State| {
                state.seen.calls <= state.seen.may_be_called + state.seen.free
            }),
            Property::always(OWNER_CALLS, |_, state: &State| !state.seen.strange_call),
            Property::always(SUCCESS_IS_FINAL, |_, state: &State| {
                !state.seen.succeeded || matches!(state.tables.row.status, Status::Success | Status::Deleted)
            }),
            Property::always(CANCELS_COUNT, |_, state: &State| {
                !(state.tables.row.cancel && state.tables.row.waits())
            }),
            Property::always(FINISHED_DELETED, |_, state: &State| !state.seen.deleted_unfinished),
            Property::always(NOT_LOST, |model: &Self, state: &State| {
                let mut actions = Vec::new();
                model.own_actions(state, &mut actions);
                let leads_on = |action| model.next_state(state, action).is_some();
                state.tables.row.is_finished() || actions.into_iter().any(leads_on)
            }),
        ]
    }
}

impl Protocol for Task {
    type Rule = Rule;

    fn without(&self, rule: Rule) -> Self {
        Self {
            without: Some(rule),
            ..self.clone()
        }
    }

    fn broken_without(rule: Rule) -> &'static str {
        match rule {
            Rule::Fence | Rule::Mark => NO_STALE_END,
            Rule::RaisedToken => ONE_PLACE,
            Rule::NotedLastAttempt | Rule::NoteOnDisk => ATTEMPTS_COUNT,
            Rule::AskedLease => OWNER_CALLS,
            Rule::ComparedRuns | Rule::Rescue => NOT_LOST,
            Rule::CancelledInstead => CANCELS_COUNT,
            Rule::PruneLooksAgain => FINISHED_DELETED,
        }
    }
}

fn worlds() -> Vec<Task> {
    let none = Left::default();
    let mut faults = vec![
        Left {
            deaths: 1,
            silences: 1,
            ..none
        },
        Left {
            deaths: 1,
            snoozes: 1,
            ..none
        },
        Left {
            silences: 1,
            lost_answers: 1,
            ..none
        },
        Left {
            silences: 1,
            crashes: 1,
            ..none
        },
        Left {
            silences: 1,
            cancels: 1,
            ..none
        },
        Left {
            deaths: 1,
            retries_by_hand: 1,
            ..none
        },
        Left {
            cancels: 1,
            retries_by_hand: 1,
            ..none
        },
    ];
    if is_long() {
        faults.extend([
            Left {
                deaths: 1,
                silences: 2,
                snoozes: 1,
                ..none
            },
            Left {
                silences: 2,
                lost_answers: 2,
                ..none
            },
            Left {
                silences: 1,
                crashes: 2,
                lost_answers: 1,
                ..none
            },
            Left {
                silences: 1,
                cancels: 1,
                retries_by_hand: 1,
                ..none
            },
            Left {
                deaths: 1,
                cancels: 1,
                lost_answers: 1,
                ..none
            },
        ]);
    }
    // A task that is claimed by its insert has another history where its node dies, or the answer is lost.
    let claimed = faults.iter().copied();
    let claimed: Vec<Left> = claimed
        .filter(|left| is_long() || left.deaths + left.lost_answers > 0)
        .collect();
    let world = |left: Left, is_added_claimed: bool| Task {
        left,
        is_added_claimed,
        without: None,
    };
    let added = faults.into_iter().map(|left| world(left, false));
    added.chain(claimed.into_iter().map(|left| world(left, true))).collect()
}

#[test]
fn a_task_is_neither_lost_nor_run_too_often() {
    holds(&worlds());
}

#[test]
fn each_rule_about_tasks_is_needed() {
    for rule in RULES {
        needs(&worlds(), rule);
    }
}
