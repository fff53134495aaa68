//! How many clients are connected, and who has to go when there are too many.
//!
//! A connection without a request in progress can be closed at any time, and
//! its client tries again. When all slots are taken, one that is idle, or sends
//! its request too slowly, makes room for the next client: however many
//! connections somebody holds open, the service stays reachable. Whoever holds
//! most of them gives some up, so that a storm from one place is at the cost of
//! those who make it.
//!
//! A connection that has to go gets some time before it does: a request that was
//! sent is answered. While there is no room, and when the service is to stop,
//! replies say `Connection: close`, so that no client sends a further request on
//! a connection that is about to end.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, sleep_until};

use crate::caller::Neighbourhood;
use crate::limits;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Connections {
    slots: Arc<Semaphore>,
    /// By number, in the order they were accepted.
    seats: Mutex<BTreeMap<u64, Arc<Seat>>>,
    tickets: AtomicU64,
    /// Told when a connection comes to be idle, ends, or is not to go after all.
    changed: Notify,
    /// How long a connection may be idle before it goes, in microseconds.
    patience: AtomicU64,
    /// Whether a client waits for a slot.
    crowded: AtomicBool,
    /// Whether each connection is to end with its next reply.
    winding_up: AtomicBool,
}

/// One connection as the others see it.
#[derive(Debug)]
struct Seat {
    client: Neighbourhood,
    /// [`BUSY`], [`LEAVING`] or, if it is idle, a number that grows with every
    /// connection that comes to be idle.
    state: AtomicU64,
    /// When it came to be idle.
    since: Mutex<Instant>,
    /// How long it may be idle if it has to go, in microseconds.
    patience: AtomicU64,
    leave: Notify,
}

/// One connection's place among the others. It starts out idle.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    seat: Arc<Seat>,
    _slot: OwnedSemaphorePermit,
}

/// A connection is not idle while this lives.
#[derive(Debug)]
pub(super) struct Busy(Arc<Place>);

impl Connections {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(most)),
            seats: Mutex::default(),
            tickets: AtomicU64::new(LEAVING + 1),
            changed: Notify::new(),
            patience: AtomicU64::new(micros(limits::MAX_IDLE_PATIENCE)),
            crowded: AtomicBool::new(false),
            winding_up: AtomicBool::new(false),
        })
    }

    /// Waits until there is a slot for one more, sending idle ones away.
    pub(super) async fn slot(&self) -> OwnedSemaphorePermit {
        loop {
            let changed = self.changed.notified();
            if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
                self.crowded.store(false, Ordering::Relaxed);
                return slot;
            }
            self.crowded.store(true, Ordering::Relaxed);
            self.send_some_away();
            tokio::select! {
                slot = Arc::clone(&self.slots).acquire_owned() => {
                    return slot.expect("never closed");
                }
                () = changed => {}
            }
        }
    }

    /// How many there are.
    pub(super) fn held(&self) -> usize {
        self.seats().len()
    }

    /// From now on, each connection ends with its next reply.
    pub(super) fn wind_up(&self) {
        self.winding_up.store(true, Ordering::Relaxed);
    }

    /// Ends when there is no connection left.
    pub(super) async fn none_left(&self) {
        loop {
            let changed = self.changed.notified();
            if self.held() == 0 {
                return;
            }
            changed.await;
        }
    }

    /// A connection went that had sent nothing in its time: the next ones get
    /// half of that time. Who sends a request wins some of it back.
    fn count_silent(&self) {
        let least = micros(limits::MIN_IDLE_PATIENCE);
        let halve = |patience: u64| Some((patience / 2).max(least));
        let _ = self.patience.fetch_update(Ordering::Relaxed, Ordering::Relaxed, halve);
    }

    fn count_request(&self) {
        let most = micros(limits::MAX_IDLE_PATIENCE);
        if self.patience.load(Ordering::Relaxed) < most {
            let add = |patience: u64| Some((patience + most / 16).min(most));
            let _ = self.patience.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
    }

    /// Asks idle connections of the client that has most of them to leave, the
    /// longest idle first, unless some are leaving already. A client with many
    /// loses an eighth of them at once.
    // One at a time, a horde that comes back would keep everybody behind it in the
    // listener's queue waiting for as many turns as it has members.
    fn send_some_away(&self) {
        let seats = self.seats();
        let mut idle: HashMap<Neighbourhood, Vec<(u64, &Seat)>> = HashMap::new();
        for seat in seats.values() {
            match seat.state.load(Ordering::Acquire) {
                BUSY => {}
                LEAVING => return,
                since => idle.entry(seat.client).or_default().push((since, seat)),
            }
        }
        for its_seats in idle.values_mut() {
            its_seats.sort_unstable_by_key(|&(since, _)| since);
        }
        let most = idle.into_values().max_by_key(|seats| (seats.len(), u64::MAX - seats[0].0));
        let Some(longest_idle_first) = most else { return };
        let count = longest_idle_first.len();
        let patience = self.patience.load(Ordering::Relaxed).min(patience_with(count));
        for &(since, seat) in &longest_idle_first[..leaving_at_once(count)] {
            seat.patience.store(patience, Ordering::Relaxed);
            let state = &seat.state;
            match state.compare_exchange(since, LEAVING, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => seat.leave.notify_one(),
                // Its request came in between; there are others.
                Err(_) => self.changed.notify_waiters(),
            }
        }
    }

    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    fn seats(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(super) fn new(
        connections: &Arc<Connections>,
        client: IpAddr,
        slot: OwnedSemaphorePermit,
    ) -> Arc<Self> {
        let number = connections.ticket();
        let seat = Arc::new(Seat {
            client: Neighbourhood::of(client),
            state: AtomicU64::new(number),
            since: Mutex::new(Instant::now()),
            patience: AtomicU64::new(micros(limits::MAX_IDLE_PATIENCE)),
            leave: Notify::new(),
        });
        connections.seats().insert(number, Arc::clone(&seat));
        Arc::new(Self { connections: Arc::clone(connections), number, seat, _slot: slot })
    }

    /// Ends when the connection is idle and has to go. `unread` tells whether
    /// something came that nobody has looked at.
    pub(super) async fn evicted(&self, unread: impl Fn() -> bool) {
        loop {
            self.seat.leave.notified().await;
            let patience = self.seat.patience.load(Ordering::Relaxed);
            sleep_until((self.seat.since() + Duration::from_micros(patience)).into()).await;
            if unread() {
                // The runtime looks for events before it looks at its clock, so
                // that a request which is here is read before this ends.
                sleep(limits::MIN_IDLE_PATIENCE).await;
            }
            if self.seat.state.load(Ordering::Acquire) == LEAVING {
                self.connections.count_silent();
                return;
            }
        }
    }

    /// Whether the client may send a further request on this connection.
    pub(super) fn stays(&self) -> bool {
        let Connections { crowded, winding_up, .. } = &*self.connections;
        !crowded.load(Ordering::Relaxed) && !winding_up.load(Ordering::Relaxed)
    }

    /// Takes the connection out of the idle ones.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        if self.seat.state.swap(BUSY, Ordering::AcqRel) == LEAVING {
            self.connections.changed.notify_waiters();
        }
        self.connections.count_request();
        Busy(Arc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.seats().remove(&self.number);
        self.connections.changed.notify_waiters();
    }
}

impl Seat {
    fn since(&self) -> Instant {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a connection may be idle, in microseconds, if its client has `count`
/// such connections.
// Whoever has more than a browser would open at once waits for none of them in
// particular. Others would wait for a horde: with half a second for each, they did
// so for as long.
fn patience_with(count: usize) -> u64 {
    let most = micros(limits::MAX_IDLE_PATIENCE);
    let (few, count) = (FEW_CONNECTIONS as u64, count as u64);
    let part = if count > few { most * few * few / (count * count) } else { most };
    part.max(micros(limits::MIN_IDLE_PATIENCE))
}

/// How many connections leave at once if their client has `count` idle ones.
fn leaving_at_once(count: usize) -> usize {
    (count / FEW_CONNECTIONS).max(1)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("fractions of a second")
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Place { connections, seat, .. } = &*self.0;
        *seat.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        seat.state.store(connections.ticket(), Ordering::Release);
        connections.changed.notify_waiters();
    }
}

/// Browsers open six connections to a host at once.
const FEW_CONNECTIONS: usize = 8;

const BUSY: u64 = 0;

/// Told to go; a request that comes all the same is answered.
const LEAVING: u64 = 1;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn place(connections: &Arc<Connections>, client: &str) -> Arc<Place> {
        let slot = connections.slot().await;
        Place::new(connections, client.parse().unwrap(), slot)
    }

    fn leaving(places: &[Arc<Place>]) -> Vec<usize> {
        let is_leaving = |&at: &usize| places[at].seat.state.load(Ordering::Relaxed) == LEAVING;
        (0..places.len()).filter(is_leaving).collect()
    }

    #[test]
    fn the_more_idle_connections_a_client_has_the_sooner_one_goes() {
        let most = micros(limits::MAX_IDLE_PATIENCE);
        assert_eq!((patience_with(1), patience_with(8)), (most, most));
        assert_eq!(patience_with(16), most / 4);
        assert_eq!(patience_with(100_000), micros(limits::MIN_IDLE_PATIENCE));
    }

    #[tokio::test]
    async fn who_has_most_idle_connections_gives_up_the_oldest() {
        let connections = Connections::new(6);
        let mut places = Vec::new();
        for client in ["10.0.0.1", "10.0.0.2", "2001:db8::1", "10.0.0.2", "2001:db8::2", "10.0.0.1"]
        {
            places.push(place(&connections, client).await);
        }
        // Two of each, but one is busy.
        let busy = places[0].busy();
        connections.send_some_away();
        assert_eq!(leaving(&places), [1]);
        connections.send_some_away();
        assert_eq!(leaving(&places), [1], "one at a time");
        drop(places.remove(1));
        connections.send_some_away();
        assert_eq!(leaving(&places), [1]);
        assert_eq!(places[1].seat.client, Neighbourhood::of("2001:db8::".parse().unwrap()));
        drop(places.remove(1));
        // Idle again, and since later than the other of its client.
        drop(busy);
        connections.send_some_away();
        assert_eq!(leaving(&places), [3]);
    }

    #[tokio::test]
    async fn of_many_idle_connections_of_a_client_an_eighth_goes_at_once() {
        let connections = Connections::new(33);
        let mut places = vec![place(&connections, "10.0.0.2").await];
        for _ in 1..33 {
            places.push(place(&connections, "10.0.0.1").await);
        }
        connections.send_some_away();
        assert_eq!(leaving(&places), [1, 2, 3, 4]);
        places.drain(1..4);
        connections.send_some_away();
        assert_eq!(leaving(&places), [1], "while one has to go, no others do");
        drop(places.remove(1));
        connections.send_some_away();
        assert_eq!(leaving(&places), [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_request_at_the_last_moment_saves_its_connection() {
        let connections = Connections::new(1);
        let place = place(&connections, "10.0.0.1").await;
        let waiting = connections.slot();
        tokio::pin!(waiting);
        let moment = Duration::from_millis(1);
        assert!(timeout(moment, &mut waiting).await.is_err());
        let busy = place.busy();
        let patience = 2 * limits::MAX_IDLE_PATIENCE;
        assert!(timeout(patience, place.evicted(|| false)).await.is_err());
        assert!(timeout(moment, &mut waiting).await.is_err());
        // Idle again, it has to go.
        drop(busy);
        assert!(timeout(moment, &mut waiting).await.is_err());
        place.evicted(|| false).await;
        drop(place);
        drop(waiting.await);
    }
}
