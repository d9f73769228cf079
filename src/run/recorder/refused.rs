//! What to do with writes that a database refuses. Plain values: the recorder does the writing.
//!
//! Refused writes are halved until the write that the database refuses is alone. An outcome that is alone is tried a few times unchanged,
//! then in [plainer forms](Form): that is one round. If the database refuses every form, the next round follows after a delay that doubles.

use std::{collections::VecDeque, time::Duration};

use crate::domain::Form;

/// An outcome that is alone is tried again unchanged after these times, before its plainer forms are tried.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];

/// An outcome that the database refuses in every form is tried again after this time, then after twice this time, and so on.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// After so many rounds, which take half a minute, [`Form::Apart`] is tried (the row itself, without its execution record or its job's
/// status) even if the database has accepted no other outcome in between.
const ROUNDS_WITH_RECORD: u32 = 5;

/// The most outcomes that wait in memory for their next round.
const MAX_DELAYED: usize = 1_000;

/// Writes that can be halved, down to one.
pub(crate) trait Divisible: Sized {
    /// Two parts, or the whole if it is one write.
    fn split(self) -> Result<(Self, Self), Self>;

    /// The next plainer form. These writes are a single one.
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
    /// The error of the database for [`Form::Whole`], the unchanged outcome.
    pub(super) reason: String,
    /// The run has let go of its row: the row was marked as ended without an outcome, and the run must take it up before the next try.
    pub(super) let_go: bool,
    /// How often the outcome was refused in [`Form::Whole`] in this round, since it is alone.
    tries: usize,
    /// How many rounds are over: in each the database refused every form.
    rounds: u32,
    /// The value of [`Refused::accepted`] when this was first refused.
    since: u64,
}

/// The next step with a piece that was refused.
#[derive(Debug)]
pub(super) enum Step<W> {
    /// The piece, or its two halves, were queued: [`Refused::next`] will return them.
    Queued,
    /// Try it again after this time.
    RetryAfter(Piece<W>, Duration),
    /// The database refuses it in every form.
    RefusedInEveryForm(Piece<W>),
}

/// The pieces that wait to be tried again.
#[derive(Debug)]
pub(super) struct Refused<W> {
    /// Pieces that can be tried now.
    waiting: VecDeque<Piece<W>>,
    /// How many pieces the recorder holds for one of the [`PAUSES`].
    pausing: usize,
    /// How many pieces the recorder holds until their next round.
    delayed: usize,
    /// How many other batches or pieces the database has accepted, with everything that belongs to them.
    accepted: u64,
    /// The process stops: no outcome has a further round.
    closed: bool,
}

impl<W: Divisible> Refused<W> {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            pausing: 0,
            delayed: 0,
            accepted: 0,
            closed: false,
        }
    }

    /// Adds writes that were refused for the first time.
    pub(super) fn add(&mut self, work: W, reason: String) -> Step<W> {
        let piece = Piece {
            work,
            form: Form::Whole,
            reason: String::new(),
            let_go: false,
            tries: 0,
            rounds: 0,
            since: self.accepted,
        };
        self.refused(piece, reason)
    }

    /// Takes the piece to be tried next.
    pub(super) fn next(&mut self) -> Option<Piece<W>> {
        self.waiting.pop_front()
    }

    /// Puts back a piece that could not be tried, because the database was away.
    pub(super) fn put_back(&mut self, piece: Piece<W>) {
        self.waiting.push_front(piece);
    }

    /// The database refused this piece in the form `piece.form`.
    pub(super) fn refused(&mut self, piece: Piece<W>, reason: String) -> Step<W> {
        // The reason that people see is that for the unchanged outcome, not for a plainer form.
        let reason = match piece.form {
            Form::Whole => reason,
            _ => piece.reason,
        };
        let (tries, since) = (piece.tries + 1, piece.since);
        match piece.work.split() {
            // The halves come before all other pieces, in their order. Tries are counted only once a write is alone.
            Ok((half, rest)) => {
                for work in [rest, half] {
                    let reason = reason.clone();
                    self.waiting.push_front(Piece { work, reason, ..piece });
                }
                Step::Queued
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

    /// A single write was refused.
    ///
    /// 1. In its whole form it is tried again after each of the [`PAUSES`].
    /// 2. Then each plainer form is tried once; `Form::Apart` only if [`may_be_apart`](Self::may_be_apart) allows it.
    /// 3. When no form is left, the round is over.
    fn refused_alone(&mut self, mut piece: Piece<W>) -> Step<W> {
        let pause = PAUSES.get(piece.tries.saturating_sub(1));
        if let (Form::Whole, Some(pause)) = (piece.form, pause) {
            self.pausing += 1;
            return Step::RetryAfter(piece, *pause);
        }
        let plainer = piece.work.plainer(piece.form);
        match plainer.filter(|form| *form != Form::Apart || self.may_be_apart(&piece)) {
            Some(form) => {
                piece.form = form;
                self.waiting.push_front(piece);
                Step::Queued
            }
            None => Step::RefusedInEveryForm(piece),
        }
    }

    /// Whether the row may be written without its execution record or its job's status. Normally only once the database has accepted another
    /// outcome with these: if their tables refuse everything for a while, outcomes wait for them, for at most [`ROUNDS_WITH_RECORD`] rounds.
    fn may_be_apart(&self, piece: &Piece<W>) -> bool {
        self.accepted > piece.since || piece.rounds >= ROUNDS_WITH_RECORD
    }

    /// The pause of this piece is over.
    pub(super) fn resume(&mut self, piece: Piece<W>) {
        self.pausing = self.pausing.saturating_sub(1);
        self.waiting.push_back(piece);
    }

    /// The database accepted other writes, with everything that belongs to them.
    pub(super) fn others_accepted(&mut self) {
        self.accepted += 1;
    }

    /// The process stops: no outcome has a further round. A round begins by taking the row up, which makes this node its owner again. If the
    /// process ended right after that, another node would rescue the row and run the task again.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Prepares the next round of a piece that was refused in every form; answers the delay until then. `None`: forget the piece, since the
    /// process stops or too many pieces wait for their next round already.
    pub(super) fn delay_retry(&mut self, piece: &mut Piece<W>) -> Option<Duration> {
        if self.closed || self.delayed >= MAX_DELAYED {
            return None;
        }
        self.delayed += 1;
        let delay = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(piece.rounds));
        piece.rounds = piece.rounds.saturating_add(1);
        // A later round makes no pauses.
        (piece.form, piece.tries) = (Form::Whole, PAUSES.len());
        Some(delay.min(LONGEST_DELAY))
    }

    /// The delay before the next round of this piece is over.
    pub(super) fn delay_over(&mut self, piece: Piece<W>) {
        self.delayed = self.delayed.saturating_sub(1);
        if !self.closed {
            self.waiting.push_back(piece);
        }
    }

    /// Whether there is nothing to try, except pieces that wait for their next round.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.pausing == 0
    }

    /// How many outcomes wait for their first round to end.
    pub(super) fn unwritten(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(Piece::unwritten).sum();
        waiting + self.pausing
    }
}

impl<W: Divisible> Piece<W> {
    /// How many outcomes this piece has. 0 once a round is over: these count as refused, not as unwritten.
    pub(super) fn unwritten(&self) -> usize {
        match self.was_refused_in_every_form() {
            true => 0,
            false => self.work.outcomes(),
        }
    }

    /// Whether the database has refused it in every form before: a round is over.
    pub(super) fn was_refused_in_every_form(&self) -> bool {
        self.rounds > 0
    }

    /// Whether to report that the database refuses it in every form: in the rounds 0, 1, 2, 4, 8, and so on.
    pub(super) fn should_report(&self) -> bool {
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
                refused.others_accepted();
            }
        }
        assert!(refused.is_empty());
        (tried, stubborn)
    }

    /// Makes no pauses. Answers with a stubborn piece.
    fn go<W: Divisible>(refused: &mut Refused<W>, step: Step<W>) -> Option<Piece<W>> {
        match step {
            Step::Queued => None,
            Step::RetryAfter(piece, _) => {
                refused.resume(piece);
                None
            }
            Step::RefusedInEveryForm(piece) => Some(piece),
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
            rests.push(refused.delay_retry(&mut piece).expect("has room").as_secs());
            refused.delay_over(piece);
            let (tried, again) = search(&mut refused, Step::Queued, |_| true);
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
        assert!(refused.delay_retry(&mut piece).is_some());
        refused.close();
        refused.delay_over(piece);
        assert!(refused.next().is_none() && refused.is_empty());
        let step = refused.add(vec!["bad"], "no".to_owned());
        let (_, mut stubborn) = search(&mut refused, step, |_| true);
        assert_eq!(refused.delay_retry(&mut stubborn[0]), None);
    }

    #[test]
    fn an_outcome_is_written_apart_only_if_others_are_taken_or_after_long() {
        let apart = |others: bool, rounds: u32| {
            let mut refused = Refused::new();
            let step = refused.add(vec!["bad"], "no".to_owned());
            if others {
                refused.others_accepted();
            }
            let (mut tried, mut stubborn) = search(&mut refused, step, |form| form < Form::Apart);
            for _ in 0..rounds {
                let Some(mut piece) = stubborn.pop() else { break };
                refused.delay_retry(&mut piece);
                refused.delay_over(piece);
                (tried, stubborn) = search(&mut refused, Step::Queued, |form| form < Form::Apart);
            }
            tried.last() == Some(&(1, Form::Apart)) && stubborn.is_empty()
        };
        assert!(apart(true, 0));
        assert!(!apart(false, ROUNDS_WITH_RECORD - 1));
        assert!(apart(false, ROUNDS_WITH_RECORD));
    }

    #[test]
    fn no_more_than_so_many_rest() {
        let mut refused = Refused::new();
        for at in 0..=MAX_DELAYED {
            let step = refused.add(vec!["bad"], "no".to_owned());
            let (_, mut stubborn) = search(&mut refused, step, |_| true);
            let rest = stubborn.pop().and_then(|mut piece| refused.delay_retry(&mut piece));
            assert_eq!(rest.is_some(), at < MAX_DELAYED);
        }
    }
}
