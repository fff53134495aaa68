//! All 65,535 ports of the loopback address, 101 of them open, scanned in ways
//! that are to be compared: the engine, what stands above it, and the plain
//! ways that it has to beat.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use open_ports::limits;
use open_ports::ports::PortSet;
use open_ports::scan::ScanPlan;
use serde_json::Value;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::service::Service;

/// How many ports a scan covers.
pub(crate) const PORTS: u32 = 65_535;

/// A way to scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The scanner alone, as the service sets it up.
    Engine,
    /// `tokio::net::TcpStream::connect` once a port, from tasks that live as
    /// long as the scan: the fastest of the arrangements tried.
    FreshTokioConnects,
    /// The same with a task a port behind a semaphore, as is often written.
    FreshTokioTasks,
    /// `std::net::TcpStream::connect` once a port, on as many threads as cores:
    /// the plain floor, three system calls a port and nothing else.
    BlockingStdConnects,
    /// One request to the service, its connection included.
    HttpRequest,
}

/// The listeners, and all that the ways need, set up once.
pub(crate) struct FullRange {
    listening: BTreeSet<u16>,
    plan: ScanPlan,
    service: Service,
    tokio: Runtime,
}

/// What a scan found.
struct Found {
    open_ports: Vec<u16>,
    /// How long the service says that the scan itself took.
    scan_time: Option<Duration>,
}

impl Way {
    pub(crate) const ALL: [Self; 5] = [
        Self::Engine,
        Self::FreshTokioConnects,
        Self::FreshTokioTasks,
        Self::BlockingStdConnects,
        Self::HttpRequest,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::FreshTokioConnects => "fresh_tokio_connects",
            Self::FreshTokioTasks => "fresh_tokio_tasks",
            Self::BlockingStdConnects => "blocking_std_connects",
            Self::HttpRequest => "http_request",
        }
    }
}

impl FullRange {
    pub(crate) fn new() -> Self {
        let plan = ScanPlan::new(vec![LOOPBACK], PortSet::all());
        let service = Service::start();
        let tokio = runtime::Builder::new_multi_thread()
            .worker_threads(cores())
            .enable_all()
            .build()
            .expect("a runtime");
        Self { listening: listen(), plan, service, tokio }
    }

    /// Scans once; a request tells how long the scan within it took.
    ///
    /// # Panics
    /// When a listener was missed: how fast that was would mean nothing. Ports
    /// found beyond the listeners are other services of this machine, and for
    /// the plain ways sockets connected to themselves.
    pub(crate) fn scan(&self, way: Way) -> Option<Duration> {
        let found = match way {
            Way::Engine => self.ask_engine(),
            Way::FreshTokioConnects => Found::ports(self.connect_with_tokio()),
            Way::FreshTokioTasks => Found::ports(self.connect_with_tasks()),
            Way::BlockingStdConnects => Found::ports(connect_with_std()),
            Way::HttpRequest => self.ask_service(),
        };
        let open: BTreeSet<u16> = found.open_ports.iter().copied().collect();
        let missed: Vec<_> = self.listening.difference(&open).collect();
        assert!(missed.is_empty(), "{} missed {missed:?}", way.name());
        found.scan_time
    }

    fn ask_engine(&self) -> Found {
        let tallies = self.service.runtime.block_on(self.service.scanner.scan(&self.plan));
        assert_eq!(tallies[0].not_scanned, 0, "the scan was not complete");
        Found::ports(tallies[0].findings.iter().map(|finding| finding.port).collect())
    }

    fn ask_service(&self) -> Found {
        let mut client = self.service.client();
        let body = client.get("/open-ports?domain=127.0.0.1&toPort=65535");
        let report: Value = serde_json::from_slice(body).expect("a report is JSON");
        assert_eq!(report["complete"], true, "the scan was not complete");
        let open_ports = report["open_ports"].as_array().into_iter().flatten();
        let scan_time = report["elapsed_ms"].as_f64().expect("a report tells its time");
        Found {
            open_ports: open_ports.filter_map(Value::as_u64).map(as_port).collect(),
            scan_time: Some(Duration::from_secs_f64(scan_time / 1e3)),
        }
    }

    /// As many tasks as may be in flight, each taking port after port.
    fn connect_with_tokio(&self) -> Vec<u16> {
        let unclaimed = Arc::new(AtomicU32::new(1));
        self.tokio.block_on(async {
            let mut tasks = JoinSet::new();
            for _ in 0..TOKIO_IN_FLIGHT {
                let unclaimed = Arc::clone(&unclaimed);
                tasks.spawn(async move {
                    let mut open_ports = Vec::new();
                    while let Some(ports) = claim(&unclaimed, 1) {
                        for port in ports {
                            open_ports.extend(tokio_connect(port).await);
                        }
                    }
                    open_ports
                });
            }
            tasks.join_all().await.concat()
        })
    }

    fn connect_with_tasks(&self) -> Vec<u16> {
        let permits = Arc::new(Semaphore::new(TOKIO_IN_FLIGHT));
        self.tokio.block_on(async {
            let mut tasks = JoinSet::new();
            let mut open_ports = Vec::new();
            for port in 1..=u16::MAX {
                let permit = Arc::clone(&permits).acquire_owned().await.expect("never closed");
                tasks.spawn(async move {
                    let open_port = tokio_connect(port).await;
                    drop(permit);
                    open_port
                });
                while let Some(ended) = tasks.try_join_next() {
                    open_ports.extend(ended.expect("no task panics"));
                }
            }
            open_ports.extend(tasks.join_all().await.into_iter().flatten());
            open_ports
        })
    }
}

async fn tokio_connect(port: u16) -> Option<u16> {
    let attempt = tokio::net::TcpStream::connect((LOOPBACK, port));
    let stream = timeout(limits::DEFAULT_TIMEOUT, attempt).await.ok()?.ok()?;
    reset_on_close(&SockRef::from(&stream));
    Some(port)
}

/// As many threads as cores, each taking chunk after chunk of ports.
fn connect_with_std() -> Vec<u16> {
    let unclaimed = AtomicU32::new(1);
    let connect = || {
        let mut open_ports = Vec::new();
        while let Some(ports) = claim(&unclaimed, CHUNK) {
            for port in ports {
                if let Ok(stream) = TcpStream::connect(SocketAddr::new(LOOPBACK, port)) {
                    reset_on_close(&SockRef::from(&stream));
                    open_ports.push(port);
                }
            }
        }
        open_ports
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores()).map(|_| scope.spawn(connect)).collect();
        let parts = threads.into_iter().map(|thread| thread.join().expect("no thread panics"));
        parts.flatten().collect()
    })
}

impl Found {
    fn ports(open_ports: Vec<u16>) -> Self {
        Self { open_ports, scan_time: None }
    }
}

/// The next ports that nobody has claimed.
fn claim(unclaimed: &AtomicU32, chunk: u32) -> Option<RangeInclusive<u16>> {
    let first = unclaimed.fetch_add(chunk, Ordering::Relaxed);
    let last = (first + chunk - 1).min(PORTS);
    (first <= last).then(|| as_port(first.into())..=as_port(last.into()))
}

/// Leaves nothing in TIME_WAIT: some hundred scans in a row would fill the
/// kernel's tables with it, and slow down whichever way comes next.
fn reset_on_close(socket: &SockRef<'_>) {
    let _ = socket.set_linger(Some(Duration::ZERO));
}

/// Listeners on random ports, that accept and close from a thread of their own
/// for as long as the process runs.
fn listen() -> BTreeSet<u16> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    let listeners: Vec<TcpListener> = runtime.block_on(async {
        let mut listeners = Vec::with_capacity(LISTENERS);
        while listeners.len() < LISTENERS {
            let random = RandomState::new().hash_one(listeners.len());
            let port = as_port(FIRST_PORT + random % (u64::from(PORTS) + 1 - FIRST_PORT));
            // A port that is taken already is somebody else's.
            listeners.extend(TcpListener::bind((LOOPBACK, port)).await);
        }
        listeners
    });
    let address = |listener: &TcpListener| listener.local_addr().expect("it is bound");
    let ports = listeners.iter().map(|listener| address(listener).port()).collect();
    thread::spawn(move || {
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for listener in listeners {
                tasks.spawn(async move {
                    loop {
                        // A client that was reset before is an error, and no matter.
                        let _ = listener.accept().await;
                    }
                });
            }
            tasks.join_all().await
        })
    });
    ports
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn as_port(number: u64) -> u16 {
    u16::try_from(number).expect("ports end at 65535")
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// As many as the numbers in the design were measured with.
const LISTENERS: usize = 101;

/// Ports below need a privilege to listen on.
const FIRST_PORT: u64 = 1024;

/// Ports that a thread claims at once: the counter then costs nothing, and the
/// threads end together.
const CHUNK: u32 = 128;

/// Connections of tokio in flight at once: 64 to 1,000 were equally fast here,
/// and a limit of 1,024 descriptors, a common default, has room for these.
const TOKIO_IN_FLIGHT: usize = 500;
