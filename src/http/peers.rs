//! Other instances of this service.
//!
//! They are the addresses of a name: in Kubernetes of a headless Service, which has one for
//! each pod that is ready.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, StatusCode};
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::curl::Answer;
use super::exchange::identity::X_REQUEST_ID;
use super::vantage::{exchange, not_reached, refused};
use crate::caller::Account;
use crate::config::PeerName;
use crate::host::Family;
use crate::matrix::NotAsked;
use crate::resolve::{Patience, ResolveError, Resolver, Terms};

/// Where peers are found.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    name: PeerName,
    /// Of this service, which is that of its peers if no other was named.
    port: u16,
}

/// The peers that were found.
#[derive(Debug)]
pub(super) struct Found {
    /// In the order of their addresses.
    pub(super) asked: Vec<SocketAddr>,
    /// How many there are besides, at least.
    pub(super) left_out: usize,
}

/// What each of them is asked.
#[derive(Debug)]
pub(super) struct Peer {
    /// The caller's credentials.
    pub(super) token: Option<HeaderValue>,
    pub(super) request_id: String,
    pub(super) query: String,
    /// How long the answer may take.
    pub(super) patience: Duration,
}

impl Peers {
    pub(super) fn new(name: PeerName, listen: SocketAddr) -> Self {
        let port = name.port.unwrap_or(listen.port());
        Self { name, port }
    }

    pub(super) async fn find(
        &self,
        resolver: &Resolver,
        account: &Account,
    ) -> Result<Found, ResolveError> {
        let terms = Terms {
            family: Family::Any,
            account: Some(account),
            patience: Patience::Short,
            until: None,
        };
        let found = resolver.resolve(&self.name.host, terms).await?;
        let mut addresses = found.addresses;
        addresses.extend(found.left_out);
        addresses.sort_unstable();
        let left_out = addresses.split_off(addresses.len().min(MOST_PEERS)).len();
        let asked = addresses.into_iter().map(|address| (address, self.port).into()).collect();
        Ok(Found { asked, left_out })
    }
}

impl Peer {
    /// Asks the peer at `address`, and reads its answer as a whole.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn ask<T: DeserializeOwned>(&self, address: SocketAddr) -> Result<T, String> {
        match timeout(self.patience, self.try_ask(address)).await {
            Ok(answer) => answer.map_err(|reason| reason.to_string()),
            Err(_) => Err(format!("it did not answer within {} s", self.patience.as_secs())),
        }
    }

    async fn try_ask<T: DeserializeOwned>(&self, address: SocketAddr) -> Result<T, NotAsked> {
        let mut request = Request::get(format!("/matrix?{}", self.query))
            .header(HOST, address.to_string())
            .header(X_REQUEST_ID, &self.request_id);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Full::new(Bytes::new()));
        let request = request.map_err(|error| NotAsked::new(error.to_string()))?;
        let stream = timeout(CONNECTING, TcpStream::connect(address)).await;
        let stream = stream.map_err(|_| NotAsked::new("it cannot be reached: no answer"))?;
        let stream = stream.map_err(|error| not_reached(&error))?;
        let Answer { status, body, .. } = exchange(stream, request, MOST_BYTES).await?;
        if status != StatusCode::OK {
            return Err(refused(status, &body));
        }
        let unread = |error| NotAsked::new(format!("its answer cannot be read: {error}"));
        serde_json::from_slice(&body).map_err(unread)
    }
}

/// How long a peer may take besides the scan, which has its own deadline: for the way
/// there and back, and for its look-up.
pub(super) const MARGIN: Duration = Duration::from_secs(2);

/// How long a connection to a peer may take: a lost SYN is sent again after 1 s.
const CONNECTING: Duration = Duration::from_secs(2);

/// The most peers that are asked. musl's resolver, which is in the static binary, gives 48
/// addresses of a name at most, and does not say that there are more.
const MOST_PEERS: usize = 47;

/// The longest answer of a peer. Ports are lists of ranges; 10,000 ranges take half of it.
const MOST_BYTES: usize = 256 << 10;
