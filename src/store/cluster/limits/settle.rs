//! One holder settles with the others how many slots of a method it has: one transaction, under the lock of the limit (model: slots::LockedLimit).

use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper, dsl::exists};

use super::{LimitRow, StoredLimit, holder_lives, of_method};
use crate::{
    domain::Limit,
    store::{
        lenient::{AnyInt, AnyText, number},
        schema::{gaia_limits, gaia_nodes, gaia_remote_claims, gaia_slots},
        statement::transaction::on_each_connection,
    },
};

/// A holder gets this part of what is left, at most, beyond what its tasks wait for.
const PLENTY: usize = 10;

/// The slots of a holder, and its wishes.
#[derive(Debug, Clone)]
pub(crate) struct Settle {
    pub(crate) service: String,
    pub(crate) method: String,
    /// The node.
    pub(crate) holder: String,
    /// How many slots it has and needs, and not how many it gives back (model: slots::AbsoluteNumber).
    pub(crate) held: usize,
    /// How many further ones its tasks wait for.
    pub(crate) wants: usize,
    /// How many beyond these it would use, if there are plenty.
    pub(crate) spare: usize,
    /// It has had more than its part for long enough: if others wait, it gets no more than every holder can have.
    pub(crate) yields: bool,
    /// How many tasks it was allowed to start, and will not.
    pub(crate) not_started: usize,
    /// Slots that go over to the claims of remote workers, with the marks of the claims. They are not among those held.
    pub(crate) moved: Vec<(String, usize)>,
    /// Microseconds since 1970.
    pub(crate) now: i64,
}

/// The answer to the holder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// `None`: the method has no limit any more.
    pub(crate) limit: Option<Limit>,
    /// How many tasks more it may start.
    pub(crate) granted: usize,
    /// How many slots it may use at most.
    pub(crate) most: usize,
    /// How many of them are its part while others wait.
    pub(crate) part: usize,
    /// Whether its tasks wait for slots that others have.
    pub(crate) wants: bool,
    /// When the next task may start, if it is the pace that holds them up.
    pub(crate) next: Option<i64>,
}

/// A holder as its row has it.
#[derive(Debug, Clone)]
struct Holder {
    name: String,
    slots: usize,
    wants: bool,
    lives: bool,
}

impl From<(AnyText, AnyInt, AnyInt, bool)> for Holder {
    fn from((name, slots, wants, lives): (AnyText, AnyInt, AnyInt, bool)) -> Self {
        Self {
            name: name.0,
            slots: number(slots).and_then(|slots| usize::try_from(slots).ok()).unwrap_or(0),
            wants: number(wants).is_some_and(|wants| wants != 0),
            lives,
        }
    }
}

impl Holder {
    /// Its row says nothing any more.
    fn is_gone(&self) -> bool {
        !self.lives || (self.slots == 0 && !self.wants)
    }
}

/// The outcome of a settlement.
#[derive(Debug, PartialEq, Eq)]
struct Share {
    settled: Settled,
    full_at: i64,
}

impl Settle {
    #[cfg(feature = "sqlite")]
    pub(in crate::store) fn rows(&self) -> usize {
        2 + self.moved.len()
    }

    fn is_mine(&self, holder: &Holder) -> bool {
        holder.name == self.holder
    }

    /// Shares out no more than is left. While others wait, each of those that wait has an equal part of what the others do not
    /// need, and who has more gives back what becomes free.
    fn share(&self, limit: Limit, full_at: i64, holders: &[Holder]) -> Share {
        let others = || holders.iter().filter(|holder| holder.lives && !self.is_mine(holder));
        let (mut granted, mut most, mut part) = (self.wants, usize::MAX, usize::MAX);
        let mut spare = self.spare;
        let mut lacks_slots = false;
        if let Some(running) = limit.running.and_then(|running| usize::try_from(running).ok()) {
            let moved = self
                .moved
                .iter()
                .map(|(_, slots)| *slots)
                .fold(0, usize::saturating_add);
            let taken = others().map(|other| other.slots).fold(moved, usize::saturating_add);
            most = running.saturating_sub(taken);
            let mut may_have = most;
            let waiting = others().filter(|other| other.wants).count();
            if waiting > 0 {
                let content = others().filter(|other| !other.wants).map(|other| other.slots);
                let contended = running.saturating_sub(content.fold(moved, usize::saturating_add));
                let contenders = 1 + waiting;
                part = contended / contenders;
                may_have = most.min(if self.yields {
                    part
                } else {
                    contended.div_ceil(contenders)
                });
            }
            let room = may_have.saturating_sub(self.held);
            granted = granted.min(room);
            lacks_slots = granted < self.wants;
            spare = if waiting > 0 {
                0
            } else {
                spare.min((room - granted) / PLENTY)
            };
        }
        let (mut full_at, mut next) = (full_at, None);
        if let Some(pace) = limit.starts {
            let back = pace.after(0, self.not_started, full_at, self.now);
            let ready = pace.ready(back, self.now);
            if ready < granted {
                granted = ready;
                lacks_slots = false;
                next = (granted == 0).then(|| pace.next(back, self.now));
            }
            spare = spare.min((ready - granted) / PLENTY);
            granted += spare;
            full_at = pace.after(granted, 0, back, self.now);
        } else {
            granted += spare;
        }
        Share {
            settled: Settled {
                limit: Some(limit),
                granted,
                most,
                part,
                wants: lacks_slots,
                next,
            },
            full_at,
        }
    }
}

fn column(slots: usize) -> i64 {
    i64::try_from(slots).unwrap_or(i64::MAX)
}

/// The update locks the limit, so that the statements behind it see what all others have settled. A row is updated or deleted only if it was
/// read: a statement that finds none would lock the gap on MySQL.
macro_rules! settle {
    ($conn:ident, $settle:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let (service, method) = (&$settle.service, &$settle.method);
        let locked = diesel::update(of_method!(gaia_limits, service, method))
            .set(gaia_limits::settled.eq(gaia_limits::settled + 1))
            .execute($conn)$($wait)*?;
        let row: Option<(LimitRow, AnyInt)> = match locked {
            0 => None,
            _ => of_method!(gaia_limits, service, method)
                .select((LimitRow::as_select(), gaia_limits::full_at))
                .first($conn)$($wait)*
                .optional()?,
        };
        let stored = row.and_then(|(row, full_at)| Some((row.stored()?, number(full_at).unwrap_or_default())));
        let Some((StoredLimit { limit, .. }, full_at)) = stored else {
            return Ok(Settled::default());
        };
        let holders: Vec<(AnyText, AnyInt, AnyInt, bool)> = of_method!(gaia_slots, service, method)
            .select((gaia_slots::holder, gaia_slots::slots, gaia_slots::wants, holder_lives!()))
            .load($conn)$($wait)*?;
        let holders: Vec<Holder> = holders.into_iter().map(Holder::from).collect();
        let share = $settle.share(limit, full_at, &holders);
        if share.full_at != full_at {
            diesel::update(of_method!(gaia_limits, service, method))
                .set(gaia_limits::full_at.eq(share.full_at))
                .execute($conn)$($wait)*?;
        }
        let gone: Vec<&str> = holders.iter().filter(|holder| holder.is_gone() && !$settle.is_mine(holder)).map(|holder| &*holder.name).collect();
        if !gone.is_empty() {
            diesel::delete(of_method!(gaia_slots, service, method).filter(gaia_slots::holder.eq_any(gone)))
                .execute($conn)$($wait)*?;
        }
        let slots = match limit.running {
            Some(_) => $settle.held + share.settled.granted,
            // Runs are not counted.
            None => 0,
        };
        let mine = holders.iter().find(|holder| $settle.is_mine(holder));
        let wants = share.settled.wants;
        match mine {
            Some(mine) if slots == 0 && !wants => {
                diesel::delete(of_method!(gaia_slots, service, method).filter(gaia_slots::holder.eq(&mine.name)))
                    .execute($conn)$($wait)*?;
            }
            Some(mine) if mine.slots == slots && mine.wants == wants => {}
            Some(mine) => {
                diesel::update(of_method!(gaia_slots, service, method).filter(gaia_slots::holder.eq(&mine.name)))
                    .set((gaia_slots::slots.eq(column(slots)), gaia_slots::wants.eq(i32::from(wants))))
                    .execute($conn)$($wait)*?;
            }
            None if slots == 0 && !wants => {}
            None => {
                diesel::insert_into(gaia_slots::table)
                    .values((
                        gaia_slots::service.eq(service),
                        gaia_slots::method.eq(method),
                        gaia_slots::holder.eq(&$settle.holder),
                        gaia_slots::slots.eq(column(slots)),
                        gaia_slots::wants.eq(i32::from(wants)),
                    ))
                    .execute($conn)$($wait)*?;
            }
        }
        // An earlier question may have moved them, and its answer was lost.
        let moved = $settle.moved.iter().filter(|(mark, _)| holders.iter().all(|holder| holder.name != *mark));
        let moved: Vec<_> = moved
            .filter(|_| limit.running.is_some())
            .map(|(mark, slots)| {
                (
                    gaia_slots::service.eq(service),
                    gaia_slots::method.eq(method),
                    gaia_slots::holder.eq(mark),
                    gaia_slots::slots.eq(column(*slots)),
                    gaia_slots::wants.eq(0),
                )
            })
            .collect();
        for moved in moved {
            diesel::insert_into(gaia_slots::table).values(moved).execute($conn)$($wait)*?;
        }
        Ok(share.settled)
    }};
}

on_each_connection!(settle, Settle, Settled);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn holder(name: &str, slots: usize, wants: bool) -> Holder {
        Holder {
            name: name.to_owned(),
            slots,
            wants,
            lives: true,
        }
    }

    fn settle(held: usize, wants: usize) -> Settle {
        Settle {
            service: "Mail".to_owned(),
            method: "Send".to_owned(),
            holder: "me".to_owned(),
            held,
            wants,
            spare: 0,
            yields: false,
            not_started: 0,
            moved: Vec::new(),
            now: 1_000_000_000,
        }
    }

    /// How many it is granted and may keep, and whether it still wants some.
    fn shared(settle: &Settle, limit: u32, holders: &[Holder]) -> (usize, usize, bool) {
        let share = settle.share(Limit::running(limit), 0, holders);
        (
            share.settled.granted,
            share.settled.most.min(share.settled.part),
            share.settled.wants,
        )
    }

    #[test]
    fn a_holder_alone_gets_all_and_no_more() {
        assert_eq!(shared(&settle(0, 3), 10, &[]), (3, 10, false));
        assert_eq!(shared(&settle(8, 5), 10, &[holder("me", 8, true)]), (2, 10, true));
        assert_eq!(shared(&settle(12, 5), 10, &[]), (0, 10, true));
    }

    #[test]
    fn what_the_living_have_is_taken_and_what_the_dead_had_is_not() {
        let mut other = holder("other", 7, false);
        assert_eq!(shared(&settle(0, 5), 10, &[other.clone()]), (3, 3, true));
        other.lives = false;
        assert_eq!(shared(&settle(0, 5), 10, &[other]), (5, 10, false));
    }

    #[test]
    fn while_others_wait_each_has_an_equal_part() {
        assert_eq!(shared(&settle(10, 1), 10, &[holder("other", 0, true)]), (0, 5, true));
        assert_eq!(shared(&settle(0, 10), 10, &[holder("other", 5, true)]), (5, 5, true));
        assert_eq!(shared(&settle(1, 1), 1, &[holder("other", 0, true)]), (0, 0, true));
        assert_eq!(shared(&settle(0, 1), 1, &[holder("other", 0, true)]), (1, 0, false));
        // A node with a long run and a remote worker want no more than they have.
        let others = [
            holder("other", 4, true),
            holder("long", 1, false),
            holder("mark", 1, false),
        ];
        assert_eq!(shared(&settle(4, 9), 12, &others), (1, 5, true));
        let yielding = Settle {
            yields: true,
            ..settle(0, 1)
        };
        assert_eq!(shared(&yielding, 1, &[holder("other", 0, true)]), (0, 0, true));
        assert_eq!(shared(&yielding, 1, &[holder("other", 0, false)]), (1, 1, false));
    }

    #[test]
    fn slots_that_go_over_to_a_remote_worker_stay_taken() {
        let moving = Settle {
            moved: vec![("mark".to_owned(), 2)],
            ..settle(1, 5)
        };
        assert_eq!(shared(&moving, 4, &[holder("me", 3, false)]), (1, 2, true));
    }

    #[test]
    fn a_holder_gets_spare_slots_while_there_are_plenty_and_nobody_waits() {
        let spare = |held, wants| Settle {
            spare: 50,
            ..settle(held, wants)
        };
        assert_eq!(shared(&spare(0, 10), 1_000, &[]), (60, 1_000, false));
        assert_eq!(shared(&spare(700, 10), 1_000, &[]), (39, 1_000, false));
        assert_eq!(shared(&spare(0, 3), 8, &[]), (3, 8, false));
        assert_eq!(shared(&spare(0, 10), 1_000, &[holder("other", 0, true)]).0, 10);
        let pace = Limit::starts(100, Duration::from_secs(1));
        assert_eq!(spare(0, 10).share(pace, 0, &[]).settled.granted, 19);
    }

    #[test]
    fn the_pace_says_when_the_next_task_may_start() {
        let limit = Limit::starts(2, Duration::from_secs(1));
        let share = settle(0, 5).share(limit, 0, &[]);
        assert_eq!(
            (share.settled.granted, share.settled.next, share.settled.wants),
            (2, None, false)
        );
        let later = settle(0, 3).share(limit, share.full_at, &[]);
        assert_eq!((later.settled.granted, later.settled.next), (0, Some(1_000_500_000)));
        let back = Settle {
            not_started: 1,
            ..settle(0, 3)
        };
        assert_eq!(back.share(limit, share.full_at, &[]).settled.granted, 1);
    }
}
