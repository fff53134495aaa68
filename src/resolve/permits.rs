//! The limits on look-ups at once, of one account and of all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::NotLookedUp;
use crate::caller::Account;

/// The permits for look-ups, and each account's share of them.
#[derive(Clone, Debug)]
pub(super) struct Permits {
    all: Arc<Semaphore>,
    /// Half of all, so that one account cannot block the others.
    share: usize,
    /// The accounts that have look-ups or wait for them.
    shares: Arc<Mutex<HashMap<Account, Weak<Semaphore>>>>,
}

/// The right to one look-up. Dropping it frees the permit for another.
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

    /// Waits for a permit, until `until` if that is given.
    pub(super) async fn acquire(
        &self,
        account: Option<&Account>,
        until: Option<Instant>,
    ) -> Result<Permit, NotLookedUp> {
        // The account's permit comes first, so that no account has more than its
        // share of those that wait for one of all.
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

/// A permit of `semaphore`, if it has one in time.
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
    async fn one_account_gets_half_of_the_permits_and_others_the_rest() {
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
        // Accounts without look-ups are forgotten.
        drop(others);
        permits.acquire(Some(&account("d")), None).await.unwrap();
        assert!(!permits.shares.lock().unwrap().contains_key(&c));
    }

    #[tokio::test]
    async fn without_an_account_a_look_up_waits_as_long_as_it_takes() {
        let permits = Permits::new(1);
        let held = permits.acquire(None, None).await.unwrap();
        let late = permits.acquire(None, soon()).await;
        assert!(matches!(late, Err(NotLookedUp::Busy)), "{late:?}");
        let waiting = permits.acquire(None, None);
        drop(held);
        waiting.await.unwrap();
    }
}
