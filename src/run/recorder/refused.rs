//! What to do with writes that a database refuses. Plain values: the recorder does the writing.
//!
//! Refused writes are halved until the one that the database refuses is alone. An outcome that is alone is tried a few times as it is,
//! then in [plainer forms](Form). An outcome that is taken in no form rests, and all of that is done again from time to time.

use std::{collections::VecDeque, time::Duration};

use crate::domain::Form;

/// An outcome that is alone is tried again as it is after these times, before its plainer forms are.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];

/// An outcome that no form is taken of is tried again after this time, then after twice that, and so on.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// After so many rounds an outcome is written apart from what belongs to it, although the database has taken no other
/// outcome in between: half a minute.
const ROUNDS_TOGETHER: u32 = 5;

/// Resting outcomes that are kept in memory at most.
const MOST: usize = 1_000;

/// Writes that can be halved, down to one.
pub(crate) trait Divisible: Sized {
    /// Two parts, or the whole if it is one write.
    fn split(self) -> Result<(Self, Self), Self>;

    /// The next plainer form of the one write that this is.
    fn plainer(&self, form: Form) -> Option<Form>;

    /// How many outcomes these are.
    fn outcomes(&self) -> usize;
}

/// Writes that were refused, and how they have been tried.
#[derive(Debug)]
pub(super) struct Piece<W> {
    pub(super) work: W,
    /// The form to try now.
    pub(super) form: Form,
    /// What the database said to the whole.
    pub(super) reason: String,
    /// Its row was marked as ended without an outcome.
    pub(super) let_go: bool,
    tries: usize,
    rounds: u32,
    /// How many other writes had been taken when it was first refused.
    since: u64,
}

/// The next step with a piece that was refused.
#[derive(Debug)]
pub(super) enum Step<W> {
    /// It waits to be tried, or its parts do.
    Go,
    /// It is to be tried again after this time.
    Pause(Piece<W>, Duration),
    /// It is taken in no form.
    Stubborn(Piece<W>),
}

/// The pieces that wait to be tried again.
#[derive(Debug)]
pub(super) struct Refused<W> {
    waiting: VecDeque<Piece<W>>,
    pausing: usize,
    resting: usize,
    /// Other writes that were taken.
    taken: u64,
    /// The process stops: an outcome that rests is not tried again.
    closed: bool,
}

impl<W: Divisible> Refused<W> {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            pausing: 0,
            resting: 0,
            taken: 0,
            closed: false,
        }
    }

    /// Writes that were refused for the first time.
    pub(super) fn add(&mut self, work: W, reason: String) -> Step<W> {
        let piece = Piece {
            work,
            form: Form::Whole,
            reason: String::new(),
            let_go: false,
            tries: 0,
            rounds: 0,
            since: self.taken,
        };
        self.refused(piece, reason)
    }

    /// The piece to be tried next.
    pub(super) fn next(&mut self) -> Option<Piece<W>> {
        self.waiting.pop_front()
    }

    /// A piece that could not be tried: the database was away.
    pub(super) fn put_back(&mut self, piece: Piece<W>) {
        self.waiting.push_front(piece);
    }

    /// A piece was refused, in the form that it says.
    pub(super) fn refused(&mut self, piece: Piece<W>, reason: String) -> Step<W> {
        let reason = match piece.form {
            Form::Whole => reason,
            _ => piece.reason,
        };
        let (tries, since) = (piece.tries + 1, piece.since);
        match piece.work.split() {
            Ok((half, rest)) => {
                for work in [rest, half] {
                    let reason = reason.clone();
                    self.waiting.push_front(Piece { work, reason, ..piece });
                }
                Step::Go
            }
            Err(work) => self.refused_alone(Piece {
                work,
                reason,
                tries,
                since,
                ..piece
            }),
        }
    }

    fn refused_alone(&mut self, mut piece: Piece<W>) -> Step<W> {
        let pause = PAUSES.get(piece.tries.saturating_sub(1));
        if let (Form::Whole, Some(pause)) = (piece.form, pause) {
            self.pausing += 1;
            return Step::Pause(piece, *pause);
        }
        let plainer = piece.work.plainer(piece.form);
        match plainer.filter(|form| *form != Form::Apart || self.may_be_apart(&piece)) {
            Some(form) => {
                piece.form = form;
                self.waiting.push_front(piece);
                Step::Go
            }
            None => Step::Stubborn(piece),
        }
    }

    /// The other tables may refuse everything for a while: then an outcome waits for them. But not for ever.
    fn may_be_apart(&self, piece: &Piece<W>) -> bool {
        self.taken > piece.since || piece.rounds >= ROUNDS_TOGETHER
    }

    /// A piece has made its pause.
    pub(super) fn resume(&mut self, piece: Piece<W>) {
        self.pausing = self.pausing.saturating_sub(1);
        self.waiting.push_back(piece);
    }

    /// Other writes were taken, with all that belongs to them.
    pub(super) fn others_taken(&mut self) {
        self.taken += 1;
    }

    /// The process stops. A further try would give the row an owner again, and a process that ends in the middle of it would
    /// leave the row to the rescue of another node, which runs the task again.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Lays a stubborn piece to rest: answers how long. `None`: too many rest already, or the process stops; the piece is to be
    /// forgotten.
    pub(super) fn rest(&mut self, piece: &mut Piece<W>) -> Option<Duration> {
        if self.closed || self.resting >= MOST {
            return None;
        }
        self.resting += 1;
        let rest = FIRST_REST.saturating_mul(2_u32.saturating_pow(piece.rounds));
        piece.rounds = piece.rounds.saturating_add(1);
        (piece.form, piece.tries) = (Form::Whole, PAUSES.len());
        Some(rest.min(LONGEST_REST))
    }

    /// A piece has rested.
    pub(super) fn rested(&mut self, piece: Piece<W>) {
        self.resting = self.resting.saturating_sub(1);
        if !self.closed {
            self.waiting.push_back(piece);
        }
    }

    /// Whether nothing is to be tried but what rests.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.pausing == 0
    }

    /// Outcomes that are to be tried, without those that rest or have rested.
    pub(super) fn unwritten(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(Piece::unwritten).sum();
        waiting + self.pausing
    }
}

impl<W: Divisible> Piece<W> {
    /// How many outcomes these are that may yet be taken.
    pub(super) fn unwritten(&self) -> usize {
        match self.is_stubborn() {
            true => 0,
            false => self.work.outcomes(),
        }
    }

    /// Whether it was taken in no form before.
    pub(super) fn is_stubborn(&self) -> bool {
        self.rounds > 0
    }

    /// Whether its stubbornness is to be said: the first time, then ever more seldom.
    pub(super) fn is_news(&self) -> bool {
        self.rounds.is_power_of_two() || self.rounds == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Texts;

    impl Divisible for Words {
        fn split(mut self) -> Result<(Self, Self), Self> {
            if self.len() < 2 {
                return Err(self);
            }
            let rest = self.split_off(self.len() / 2);
            Ok((self, rest))
        }

        fn plainer(&self, form: Form) -> Option<Form> {
            form.plainer(Texts {
                result: Some(self[0]),
                error: None,
            })
        }

        fn outcomes(&self) -> usize {
            self.len()
        }
    }

    type Words = Vec<&'static str>;

    /// Tries until nothing waits, on a database that refuses `bad` in these forms. Answers with all tries, and with the
    /// stubborn pieces.
    fn search(
        refused: &mut Refused<Words>,
        step: Step<Words>,
        refuses: impl Fn(Form) -> bool,
    ) -> (Vec<(usize, Form)>, Vec<Piece<Words>>) {
        let (mut tried, mut stubborn) = (Vec::new(), Vec::new());
        stubborn.extend(go(refused, step));
        while let Some(piece) = refused.next() {
            tried.push((piece.work.len(), piece.form));
            if piece.work.contains(&"bad") && refuses(piece.form) {
                let step = refused.refused(piece, "no".to_owned());
                stubborn.extend(go(refused, step));
            } else if piece.form == Form::Whole {
                refused.others_taken();
            }
        }
        assert!(refused.is_empty());
        (tried, stubborn)
    }

    /// Makes no pauses. Answers with a stubborn piece.
    fn go<W: Divisible>(refused: &mut Refused<W>, step: Step<W>) -> Option<Piece<W>> {
        match step {
            Step::Go => None,
            Step::Pause(piece, _) => {
                refused.resume(piece);
                None
            }
            Step::Stubborn(piece) => Some(piece),
        }
    }

    #[test]
    fn what_is_refused_is_found_and_made_plainer() {
        let mut refused = Refused::new();
        let step = refused.add(vec!["a", "bad", "c", "d"], "no".to_owned());
        let (tried, stubborn) = search(&mut refused, step, |form| form < Form::Sentence);
        let whole = Form::Whole;
        assert_eq!(
            tried,
            [
                (2, whole),
                (1, whole),
                (1, whole),
                (2, whole),
                (1, whole),
                (1, whole),
                (1, Form::Sentence)
            ]
        );
        assert!(stubborn.is_empty());
    }

    #[test]
    fn a_stubborn_one_rests_ever_longer_and_is_tried_once_more_in_each_form() {
        let mut refused = Refused::new();
        let step = refused.add(vec!["bad"], "no".to_owned());
        let (_, mut stubborn) = search(&mut refused, step, |_| true);
        let mut rests = Vec::new();
        for _ in 0..8 {
            let mut piece = stubborn.pop().expect("is stubborn");
            rests.push(refused.rest(&mut piece).expect("has room").as_secs());
            refused.rested(piece);
            let (tried, again) = search(&mut refused, Step::Go, |_| true);
            assert_eq!(tried[..3], [(1, Form::Whole), (1, Form::Sentence), (1, Form::Bare)]);
            stubborn = again;
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_process_that_stops_tries_a_stubborn_one_no_more() {
        let mut refused = Refused::new();
        let step = refused.add(vec!["bad"], "no".to_owned());
        let (_, mut stubborn) = search(&mut refused, step, |_| true);
        let mut piece = stubborn.pop().expect("is stubborn");
        assert!(refused.rest(&mut piece).is_some());
        refused.close();
        refused.rested(piece);
        assert!(refused.next().is_none() && refused.is_empty());
        let step = refused.add(vec!["bad"], "no".to_owned());
        let (_, mut stubborn) = search(&mut refused, step, |_| true);
        assert_eq!(refused.rest(&mut stubborn[0]), None);
    }

    #[test]
    fn an_outcome_is_written_apart_only_if_others_are_taken_or_after_long() {
        let apart = |others: bool, rounds: u32| {
            let mut refused = Refused::new();
            let step = refused.add(vec!["bad"], "no".to_owned());
            if others {
                refused.others_taken();
            }
            let (mut tried, mut stubborn) = search(&mut refused, step, |form| form < Form::Apart);
            for _ in 0..rounds {
                let Some(mut piece) = stubborn.pop() else { break };
                refused.rest(&mut piece);
                refused.rested(piece);
                (tried, stubborn) = search(&mut refused, Step::Go, |form| form < Form::Apart);
            }
            tried.last() == Some(&(1, Form::Apart)) && stubborn.is_empty()
        };
        assert!(apart(true, 0));
        assert!(!apart(false, ROUNDS_TOGETHER - 1));
        assert!(apart(false, ROUNDS_TOGETHER));
    }

    #[test]
    fn no_more_than_so_many_rest() {
        let mut refused = Refused::new();
        for at in 0..=MOST {
            let step = refused.add(vec!["bad"], "no".to_owned());
            let (_, mut stubborn) = search(&mut refused, step, |_| true);
            let rest = stubborn.pop().and_then(|mut piece| refused.rest(&mut piece));
            assert_eq!(rest.is_some(), at < MOST);
        }
    }
}
