//! How much callers may ask for: searches at a time, requests in a second, and failures to say who they are.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Problem, whole_seconds};

/// How many searches run at a time, and how many requests a caller may send in a second, unless the application says otherwise.
const SEARCHES: u32 = 8;
const REQUESTS: u32 = 200;

/// How long a search waits for its turn.
const TURN: Duration = Duration::from_secs(2);

/// How many failures an address may have in a second, and how many at once.
const FAILURES: u32 = 10;
const FAILURES_AT_ONCE: u32 = 50;

/// How many names, or addresses, are remembered. All others share one allowance.
const REMEMBERED: usize = 10_000;

/// How often those are forgotten that have their whole allowance.
const FORGET: Duration = Duration::from_secs(1);

fn nonzero(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The limits of one set of options. All threads of a server share them.
pub(super) struct Limits {
    /// The numbers from which this is made.
    at_a_time: u32,
    per_second: u32,
    searches: Arc<Semaphore>,
    exports: Arc<Semaphore>,
    requests: Rates<String>,
    failures: Rates<IpAddr>,
    /// Until when these addresses were told to wait.
    silenced: Mutex<HashMap<IpAddr, Instant>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(SEARCHES, REQUESTS)
    }
}

impl Limits {
    fn new(at_a_time: u32, per_second: u32) -> Self {
        let requests = Quota::per_second(nonzero(per_second)).allow_burst(nonzero(per_second.saturating_mul(2)));
        let failures = Quota::per_second(nonzero(FAILURES)).allow_burst(nonzero(FAILURES_AT_ONCE));
        let turns = usize::try_from(at_a_time.max(1))
            .unwrap_or(usize::MAX)
            .min(Semaphore::MAX_PERMITS);
        Self {
            at_a_time,
            per_second,
            searches: Arc::new(Semaphore::new(turns)),
            exports: Arc::new(Semaphore::new(turns)),
            requests: Rates::new(requests),
            failures: Rates::new(failures),
            silenced: Mutex::default(),
        }
    }

    pub(super) fn with_searches(&self, at_a_time: u32) -> Self {
        Self::new(at_a_time, self.per_second)
    }

    pub(super) fn with_requests(&self, per_second: u32) -> Self {
        Self::new(self.at_a_time, per_second)
    }

    /// The turn of a search. It lasts until the value is dropped.
    pub(super) async fn search(&self) -> Result<Turn, Problem> {
        turn(&self.searches).await
    }

    /// The turn of a search that goes on with an export, and may wait as long as it takes. `None`: there are no turns any more.
    pub(super) async fn search_at_last(&self) -> Option<Turn> {
        let permit = Arc::clone(&self.searches).acquire_owned().await;
        permit.ok().map(Turn)
    }

    /// The place of an export. A client that takes its time keeps it, and keeps no search waiting.
    pub(super) async fn export(&self) -> Result<Turn, Problem> {
        turn(&self.exports).await
    }

    /// Counts a request of a caller.
    pub(super) fn request(&self, caller: &str) -> Result<(), Problem> {
        self.requests
            .take(caller.to_owned())
            .map_err(Problem::too_many_requests)
    }

    /// Whether an address may try to say who it is.
    pub(super) fn may_try(&self, peer: Option<IpAddr>) -> Result<(), Problem> {
        let until = locked(&self.silenced).get(&counted(peer)).copied();
        match until.and_then(|until| until.checked_duration_since(Instant::now())) {
            Some(wait) if !wait.is_zero() => Err(Problem::too_many_requests(wait)),
            _ => Ok(()),
        }
    }

    /// Counts a request of which it is not known who has sent it.
    pub(super) fn failure(&self, peer: Option<IpAddr>) -> Result<(), Problem> {
        let peer = counted(peer);
        self.failures.take(peer).map_err(|wait| {
            let now = Instant::now();
            let mut silenced = locked(&self.silenced);
            if silenced.len() >= REMEMBERED {
                silenced.retain(|_, until| *until > now);
            }
            if silenced.len() < REMEMBERED {
                silenced.insert(peer, now + whole_seconds(wait));
            }
            Problem::too_many_requests(wait)
        })
    }
}

/// The right to search, or to export, until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the turn"]
pub(super) struct Turn(
    #[expect(dead_code, reason = "it is held, and given back when it is dropped")] OwnedSemaphorePermit,
);

async fn turn(turns: &Arc<Semaphore>) -> Result<Turn, Problem> {
    match tokio::time::timeout(TURN, Arc::clone(turns).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(Turn(permit)),
        _ => Err(Problem::too_many_searches()),
    }
}

/// The address that is counted. Somebody who has one IPv6 address has the whole network of 64 bits. Callers on a Unix socket count as one.
fn counted(peer: Option<IpAddr>) -> IpAddr {
    match peer.map(|peer| peer.to_canonical()) {
        Some(IpAddr::V6(address)) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        Some(address) => address,
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// An allowance for each key.
struct Rates<K: Hash + Eq + Clone> {
    /// The key `None` is for all keys beyond those that are remembered.
    limiter: DefaultKeyedRateLimiter<Option<K>>,
    clock: DefaultClock,
    forgotten: Mutex<Instant>,
}

impl<K: Hash + Eq + Clone> Rates<K> {
    fn new(quota: Quota) -> Self {
        Self {
            limiter: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            forgotten: Mutex::new(Instant::now()),
        }
    }

    /// Takes one from the allowance; else answers how long the caller must wait.
    fn take(&self, key: K) -> Result<(), Duration> {
        let key = self.has_room().then_some(key);
        let taken = self.limiter.check_key(&key);
        taken.map_err(|later| later.wait_time_from(self.clock.now()))
    }

    fn has_room(&self) -> bool {
        if self.limiter.len() < REMEMBERED {
            return true;
        }
        let mut forgotten = locked(&self.forgotten);
        if forgotten.elapsed() >= FORGET {
            self.limiter.retain_recent();
            *forgotten = Instant::now();
        }
        self.limiter.len() < REMEMBERED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_allowance_and_the_keys_beyond_share_one() {
        let rates = Rates::new(Quota::per_second(nonzero(1)).allow_burst(nonzero(2)));
        for key in 0..REMEMBERED {
            assert!(rates.take(key).is_ok());
        }
        assert!(rates.limiter.len() <= REMEMBERED);
        let taken = (REMEMBERED..REMEMBERED + 100)
            .filter(|key| rates.take(*key).is_ok())
            .count();
        assert!((2..50).contains(&taken), "{taken}");
        assert!(rates.limiter.len() <= REMEMBERED + 1);
    }

    #[test]
    fn an_address_that_fails_often_is_told_to_wait() {
        let limits = Limits::default();
        let [one, other] = ["203.0.113.7", "203.0.113.8"].map(|address| address.parse::<IpAddr>().ok());
        for _ in 0..FAILURES_AT_ONCE {
            assert!(limits.failure(one).is_ok());
        }
        let refused = (0..100).filter(|_| limits.failure(one).is_err()).count();
        assert!(refused > 50, "{refused}");
        assert!(limits.may_try(one).is_err());
        assert!(limits.failure(other).is_ok() && limits.may_try(other).is_ok());
    }

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let of = |address: &str| counted(address.parse().ok());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:203.0.113.7"), of("203.0.113.7"));
        assert_ne!(of("203.0.113.7"), of("203.0.113.8"));
    }

    #[actix_rt::test]
    async fn a_search_waits_for_its_turn_and_not_for_long() {
        let limits = Limits::new(1, REQUESTS);
        let turn = limits.search().await.expect("is free");
        let waits = limits.search();
        futures_util::pin_mut!(waits);
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        drop(turn);
        let turn = waits.await.expect("has its turn");
        let refused = limits.search().await.expect_err("the other search goes on");
        assert_eq!(refused.status().as_u16(), 429);
        // An export that goes on waits for longer.
        let page = limits.search_at_last();
        futures_util::pin_mut!(page);
        assert!(futures_util::poll!(page.as_mut()).is_pending());
        drop(turn);
        assert!(page.await.is_some());
        let export = limits.export().await.expect("is free");
        assert!(limits.export().await.is_err());
        drop(export);
    }
}
