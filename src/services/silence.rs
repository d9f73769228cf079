//! For how long the host of a service has refused connections.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// So long a refused connection uses no attempt, from the first one since the service has last answered.
const PATIENCE: Duration = Duration::from_secs(600);

/// The first pause and the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// After so long without a call nothing is known: another process may have had an answer meanwhile.
const FORGOTTEN: Duration = Duration::from_secs(90);

/// The time in which nothing but refusals has come. `None`: the service answers.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<Option<Refusals>>);

/// The first refusal and the last one, by the clock's reading.
#[derive(Debug, Clone, Copy)]
struct Refusals {
    first: Duration,
    last: Duration,
}

/// What a refused connection means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    /// It is the first one since the service has last answered.
    pub(super) is_first: bool,
    /// When to call again without a used attempt. `None`: the service has been down for too long.
    pub(super) pause: Option<Duration>,
}

impl Silence {
    /// The service has answered at this reading. Answers how long it was silent before, if it was.
    pub(super) fn end(&self, now: Duration) -> Option<Duration> {
        let refusals = self.refusals().take()?;
        Some(now.saturating_sub(refusals.first))
    }

    /// A connection was refused at this reading.
    pub(super) fn refused(&self, now: Duration) -> Refusal {
        let mut refusals = self.refusals();
        let known = refusals.filter(|known| now.saturating_sub(known.last) <= FORGOTTEN);
        let (is_first, first) = (known.is_none(), known.map_or(now, |known| known.first));
        *refusals = Some(Refusals { first, last: now });
        let lasts = now.saturating_sub(first);
        let pause = (lasts < PATIENCE).then(|| pause_after(lasts));
        Refusal { is_first, pause }
    }

    fn refusals(&self) -> MutexGuard<'_, Option<Refusals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pauses double from one second to the longest: each is about as long as the silence before it, however many calls share the service.
fn pause_after(lasts: Duration) -> Duration {
    let [first, longest] = PAUSES;
    Duration::from_secs(lasts.as_secs()).clamp(first, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_minutes_after_the_last_answer() {
        let silence = Silence::default();
        let mut now = Duration::from_secs(7);
        let mut pauses = Vec::new();
        assert!(silence.refused(now).is_first);
        while let Some(pause) = silence.refused(now).pause {
            // A second call at the same time makes no pause longer.
            let (is_first, pause) = (false, Some(pause));
            assert_eq!(silence.refused(now), Refusal { is_first, pause });
            pauses.extend(pause.map(|pause| pause.as_secs()));
            now += pause.unwrap();
        }
        assert_eq!(pauses[..8], [1, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pauses.iter().sum::<u64>(), 602);
        assert_eq!(silence.end(now), Some(Duration::from_secs(602)));
        assert_eq!(silence.end(now), None);
        assert_eq!(silence.refused(now).pause, Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_silence_that_nobody_has_heard_for_long_begins_anew() {
        let silence = Silence::default();
        let hour = Duration::from_secs(3_600);
        silence.refused(Duration::ZERO);
        let refusal = silence.refused(hour);
        assert!(refusal.is_first && refusal.pause == Some(Duration::from_secs(1)));
        assert_eq!(silence.end(hour), Some(Duration::ZERO));
    }
}
