//! The connections of a listener, and which of them close when there are too many.
//!
//! A connection without a request in progress can be closed at any time, and
//! its client tries again. When all slots are taken, a connection that is idle, or
//! sends its request too slowly, makes room for the next client. So the service
//! stays reachable, however many connections somebody holds open. The client with
//! the most idle connections loses some, so that a flood of connections is at the
//! cost of those who make it.
//!
//! A connection that is to close gets some time first, so that a request which is
//! on its way is answered. While there is no free slot, and when the service is to
//! stop, replies say `Connection: close`, so that no client sends a further request
//! on a connection that is about to end.

use std::cmp::Reverse;
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
    /// By number, in the order in which they were accepted.
    seats: Mutex<BTreeMap<u64, Arc<Seat>>>,
    /// Notified when a connection becomes idle, ends, or has a request after all
    /// when it was to close.
    changed: Notify,
    /// How long a connection may be idle before it is closed, in microseconds.
    patience: AtomicU64,
    /// Whether a client waits for a slot.
    crowded: AtomicBool,
    /// Whether each connection is to end with its next reply.
    winding_up: AtomicBool,
}

/// What the other connections see of one.
#[derive(Debug)]
struct Seat {
    client: Neighbourhood,
    // A lock of its own: a request takes it twice, and contends with nobody except
    // a client that waits for a slot.
    state: Mutex<State>,
    /// Notified when the connection is to close.
    leave: Notify,
}

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A request is being answered.
    Busy,
    Idle {
        since: Instant,
    },
    /// Idle, and closed at this time unless a request comes first.
    Leaving {
        at: Instant,
    },
}

/// One connection, with its slot. It starts out idle.
#[derive(Debug)]
pub(super) struct Connection {
    connections: Arc<Connections>,
    number: u64,
    seat: Arc<Seat>,
    _slot: OwnedSemaphorePermit,
}

/// A connection is busy while this lives.
#[derive(Debug)]
pub(super) struct Busy(Arc<Connection>);

impl Connections {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(most)),
            seats: Mutex::default(),
            changed: Notify::new(),
            patience: AtomicU64::new(micros(limits::MAX_IDLE_PATIENCE)),
            crowded: AtomicBool::new(false),
            winding_up: AtomicBool::new(false),
        })
    }

    /// Waits until there is a slot for one more, and closes idle connections for it.
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

    /// How many connections there are.
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

    /// Counts a connection that was closed without a request: the next ones get half
    /// of its time. Each request wins some of that back.
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
        let mut idle: HashMap<Neighbourhood, Vec<(Instant, &Seat)>> = HashMap::new();
        // In the order in which they were accepted, which a stable sort keeps.
        for seat in seats.values() {
            match *seat.state() {
                State::Busy => {}
                State::Leaving { .. } => return,
                State::Idle { since } => idle.entry(seat.client).or_default().push((since, seat)),
            }
        }
        for its_seats in idle.values_mut() {
            its_seats.sort_by_key(|&(since, _)| since);
        }
        let most = idle.into_values().max_by_key(|seats| (seats.len(), Reverse(seats[0].0)));
        let Some(longest_idle_first) = most else { return };
        let count = longest_idle_first.len();
        let patience = self.patience.load(Ordering::Relaxed).min(patience_with(count));
        let patience = Duration::from_micros(patience);
        for &(since, seat) in &longest_idle_first[..leaving_at_once(count)] {
            let mut state = seat.state();
            if *state == (State::Idle { since }) {
                *state = State::Leaving { at: since + patience };
                seat.leave.notify_one();
            } else {
                // Its request came meanwhile; there are others.
                self.changed.notify_waiters();
            }
        }
    }

    fn seats(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    pub(super) fn new(
        connections: &Arc<Connections>,
        client: IpAddr,
        slot: OwnedSemaphorePermit,
    ) -> Arc<Self> {
        let seat = Arc::new(Seat {
            client: Neighbourhood::of(client),
            state: Mutex::new(State::Idle { since: Instant::now() }),
            leave: Notify::new(),
        });
        let mut seats = connections.seats();
        let number = seats.last_key_value().map_or(0, |(last, _)| last + 1);
        seats.insert(number, Arc::clone(&seat));
        drop(seats);
        Arc::new(Self { connections: Arc::clone(connections), number, seat, _slot: slot })
    }

    /// Ends when the connection is idle and has to close. `unread` says whether
    /// the client has sent something that was not read yet.
    pub(super) async fn evicted(&self, unread: impl Fn() -> bool) {
        loop {
            self.seat.leave.notified().await;
            let leaving = *self.seat.state();
            let State::Leaving { at } = leaving else { continue };
            sleep_until(at.into()).await;
            if unread() {
                // The runtime looks for events before it looks at its clock, so
                // that a request which is here is read before this ends.
                sleep(limits::MIN_IDLE_PATIENCE).await;
            }
            if *self.seat.state() == leaving {
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

    /// Marks the connection as busy, even if it was to close.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        let before = std::mem::replace(&mut *self.seat.state(), State::Busy);
        if let State::Leaving { .. } = before {
            self.connections.changed.notify_waiters();
        }
        self.connections.count_request();
        Busy(Arc::clone(self))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.seats().remove(&self.number);
        self.connections.changed.notify_waiters();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Connection { connections, seat, .. } = &*self.0;
        *seat.state() = State::Idle { since: Instant::now() };
        connections.changed.notify_waiters();
    }
}

impl Seat {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a connection may be idle, in microseconds, if its client has `count`
/// idle ones.
// A client that has more than a browser would open at once waits for none of them
// in particular. Others would wait for a horde: when each of its connections had
// half a second, they did so for as long.
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

/// Browsers open six connections to a host at once.
const FEW_CONNECTIONS: usize = 8;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn connect(connections: &Arc<Connections>, client: &str) -> Arc<Connection> {
        let slot = connections.slot().await;
        Connection::new(connections, client.parse().unwrap(), slot)
    }

    fn leaving(open: &[Arc<Connection>]) -> Vec<usize> {
        let is_leaving = |&at: &usize| matches!(*open[at].seat.state(), State::Leaving { .. });
        (0..open.len()).filter(is_leaving).collect()
    }

    #[test]
    fn the_more_idle_connections_a_client_has_the_sooner_one_closes() {
        let most = micros(limits::MAX_IDLE_PATIENCE);
        assert_eq!((patience_with(1), patience_with(8)), (most, most));
        assert_eq!(patience_with(16), most / 4);
        assert_eq!(patience_with(100_000), micros(limits::MIN_IDLE_PATIENCE));
    }

    #[tokio::test]
    async fn the_client_with_the_most_idle_connections_loses_the_oldest() {
        let connections = Connections::new(6);
        let mut open = Vec::new();
        for client in ["10.0.0.1", "10.0.0.2", "2001:db8::1", "10.0.0.2", "2001:db8::2", "10.0.0.1"]
        {
            open.push(connect(&connections, client).await);
        }
        // Two of each, but one is busy.
        let busy = open[0].busy();
        connections.send_some_away();
        assert_eq!(leaving(&open), [1]);
        connections.send_some_away();
        assert_eq!(leaving(&open), [1], "one at a time");
        drop(open.remove(1));
        connections.send_some_away();
        assert_eq!(leaving(&open), [1]);
        assert_eq!(open[1].seat.client, Neighbourhood::of("2001:db8::".parse().unwrap()));
        drop(open.remove(1));
        // Idle again, and since later than the other of its client.
        drop(busy);
        connections.send_some_away();
        assert_eq!(leaving(&open), [3]);
    }

    #[tokio::test]
    async fn a_client_with_many_idle_connections_loses_an_eighth_at_once() {
        let connections = Connections::new(33);
        let mut open = vec![connect(&connections, "10.0.0.2").await];
        for _ in 1..33 {
            open.push(connect(&connections, "10.0.0.1").await);
        }
        connections.send_some_away();
        assert_eq!(leaving(&open), [1, 2, 3, 4]);
        open.drain(1..4);
        connections.send_some_away();
        assert_eq!(leaving(&open), [1], "while one has to go, no others do");
        drop(open.remove(1));
        connections.send_some_away();
        assert_eq!(leaving(&open), [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_request_at_the_last_moment_saves_its_connection() {
        let connections = Connections::new(1);
        let connection = connect(&connections, "10.0.0.1").await;
        let waiting = connections.slot();
        tokio::pin!(waiting);
        let moment = Duration::from_millis(1);
        assert!(timeout(moment, &mut waiting).await.is_err());
        let busy = connection.busy();
        let patience = 2 * limits::MAX_IDLE_PATIENCE;
        assert!(timeout(patience, connection.evicted(|| false)).await.is_err());
        assert!(timeout(moment, &mut waiting).await.is_err());
        // Idle again, it has to go.
        drop(busy);
        assert!(timeout(moment, &mut waiting).await.is_err());
        connection.evicted(|| false).await;
        drop(connection);
        drop(waiting.await);
    }
}
