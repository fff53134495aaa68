//! How many names are looked up at once, and for whom.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::NotLookedUp;
use crate::caller::Account;
use crate::limits;

/// The look-ups that may run at once, and each account's share of them.
#[derive(Clone, Debug)]
pub(super) struct Permits {
    all: Arc<Semaphore>,
    /// Half of all, so that nobody can keep everybody else waiting.
    share: usize,
    /// Of accounts that have look-ups, or wait for them.
    shares: Arc<Mutex<HashMap<Account, Weak<Semaphore>>>>,
}

/// The right to one look-up; dropped, another may have it.
#[derive(Debug)]
pub(super) struct Permit {
    _one: OwnedSemaphorePermit,
    _own: Option<OwnedSemaphorePermit>,
}

impl Permits {
    pub(super) fn new(most: usize) -> Self {
        let all = Arc::new(Semaphore::new(most.max(1)));
        Self { all, share: most.div_ceil(2).max(1), shares: Arc::default() }
    }

    /// Waits for a permit: without an account for as long as there is time, with
    /// one not much longer than a look-up usually takes.
    pub(super) async fn acquire(
        &self,
        account: Option<&Account>,
        until: Option<Instant>,
    ) -> Result<Permit, NotLookedUp> {
        let patience = account.map(|_| Instant::now() + limits::LOOKUP_PATIENCE);
        let until = patience.into_iter().chain(until).min();
        // One's own comes first: so no account has more than its share of those
        // that wait for one of all.
        let own = match account {
            None => None,
            Some(account) => {
                let own = permit_of(self.share_of(account), until).await;
                Some(own.ok_or(NotLookedUp::CallerBusy)?)
            }
        };
        let one = permit_of(Arc::clone(&self.all), until).await;
        Ok(Permit { _one: one.ok_or(NotLookedUp::Busy)?, _own: own })
    }

    fn share_of(&self, account: &Account) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(account).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.share));
        shares.insert(account.clone(), Arc::downgrade(&share));
        share
    }
}

/// A permit of `semaphore`, if there is one in time.
async fn permit_of(
    semaphore: Arc<Semaphore>,
    until: Option<Instant>,
) -> Option<OwnedSemaphorePermit> {
    let permit = semaphore.acquire_owned();
    let permit = match until {
        None => permit.await,
        Some(until) => timeout_at(until.into(), permit).await.ok()?,
    };
    Some(permit.expect("never closed"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::caller::Caller;

    fn account(name: &str) -> Account {
        Caller::Token(name.into()).account()
    }

    /// Too short for anything to change.
    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_millis(5))
    }

    #[tokio::test]
    async fn an_account_has_half_of_the_look_ups_and_others_the_rest() {
        let permits = Permits::new(4);
        let (a, b, c) = (account("a"), account("b"), account("c"));
        let held = [
            permits.acquire(Some(&a), None).await.unwrap(),
            permits.acquire(Some(&a), None).await.unwrap(),
        ];
        let third = permits.acquire(Some(&a), soon()).await;
        assert!(matches!(third, Err(NotLookedUp::CallerBusy)), "{third:?}");
        let others = [
            permits.acquire(Some(&b), None).await.unwrap(),
            permits.acquire(Some(&b), None).await.unwrap(),
        ];
        let refused = permits.acquire(Some(&c), soon()).await;
        assert!(matches!(refused, Err(NotLookedUp::Busy)), "{refused:?}");
        drop(held);
        permits.acquire(Some(&a), None).await.unwrap();
        // Nothing is kept of those who have gone.
        drop(others);
        permits.acquire(Some(&account("d")), None).await.unwrap();
        assert!(!permits.shares.lock().unwrap().contains_key(&c));
    }

    #[tokio::test]
    async fn without_an_account_there_is_no_hurry() {
        let permits = Permits::new(1);
        let held = permits.acquire(None, None).await.unwrap();
        let late = permits.acquire(None, soon()).await;
        assert!(matches!(late, Err(NotLookedUp::Busy)), "{late:?}");
        let waiting = permits.acquire(None, None);
        drop(held);
        waiting.await.unwrap();
    }
}
