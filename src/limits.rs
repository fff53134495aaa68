//! All defaults and limits, each with its reason.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The default timeout of a probe. The article that this service grew from dials for
/// 2 s, and Linux repeats a lost SYN after 1 s, so one lost packet does not hide a port.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// The shortest timeout that a request may ask for. With a shorter one, delays of a
/// busy scanner would look like a host's silence.
pub const MIN_TIMEOUT: Duration = Duration::from_millis(50);

/// The longest timeout that a request may ask for. Linux sends five SYNs within it (the
/// later ones 1, 3, 7 and 15 s after the first).
pub const MAX_TIMEOUT: Duration = Duration::from_secs(30);

/// The most addresses of one name that are scanned. More are used for load balancing
/// by DNS, where one address is like all others.
pub const MAX_ADDRESSES: usize = 16;

/// How long the system's resolver may take. By default glibc waits 5 s for each server
/// (resolv.conf(5)); this lets it ask a second one.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a request waits for its turn to look up its name, and for a thread to do
/// it. Look-ups that are answered take milliseconds; nobody should have to wait behind
/// those that are not.
pub const LOOKUP_PATIENCE: Duration = Duration::from_secs(2);

/// The pause before another attempt to start a thread.
pub const THREAD_PAUSE: Duration = Duration::from_millis(20);

/// The fewest look-ups at a time, however few descriptors there are: two callers with
/// slow names, with two look-ups each.
pub const MIN_LOOKUPS: usize = 4;

/// The most look-ups at a time: each holds a thread and [`LOOKUP_DESCRIPTORS`], and
/// cannot be cancelled.
pub const MAX_LOOKUPS: usize = 16;

/// Descriptors that a look-up may hold: a UDP socket for the questions, and a TCP
/// socket for each of the two answers, if they are too long for UDP.
pub const LOOKUP_DESCRIPTORS: usize = 3;

/// One look-up at a time for so many descriptors: 16 look-ups with the usual limit of
/// 1,024.
pub const DESCRIPTORS_A_LOOKUP: usize = 64;

/// Descriptors that neither probes nor clients get: for standard streams, the runtime
/// (epoll, waker, signals), listeners and route look-ups. An idle service holds 10, and
/// the listener for metrics takes some of the rest.
pub const OWN_DESCRIPTORS: usize = 16;

/// [`OWN_DESCRIPTORS`], and those of the fewest look-ups.
pub const RESERVED_DESCRIPTORS: usize = OWN_DESCRIPTORS + LOOKUP_DESCRIPTORS * MIN_LOOKUPS;

/// The lowest usable limit on open descriptors: the reserved ones, and some for a few
/// clients and probes.
pub const MIN_DESCRIPTORS: usize = RESERVED_DESCRIPTORS + 12;

/// The most connections at a time on the listener for metrics, with reserved
/// descriptors: for a few scrapers, and a person who looks.
pub const MAX_METRICS_CONNECTIONS: usize = 4;

/// The most client connections at a time: far more than running scans. For a further
/// client, an idle connection is closed. Each may take [`CONNECTION_MEMORY`].
pub const MAX_CONNECTIONS: usize = 256;

/// The fewest client connections at a time, however little memory there is.
pub const MIN_CONNECTIONS: usize = 4;

/// The most descriptors for probes, however high the limit is: a TCP socket in its
/// handshake takes about 4 KB in the kernel, and by default Linux has 28,232 ephemeral
/// ports (ip_local_port_range).
pub const MAX_PROBE_DESCRIPTORS: usize = 20_000;

/// The fewest descriptors for probes, however little memory there is.
pub const MIN_PROBE_DESCRIPTORS: usize = 8;

/// Memory, in bytes, of a process without connections and probes in flight: measured
/// were 2 MB when idle, and 6 MB in scans of all ports.
pub const PROCESS_MEMORY: usize = 8 << 20;

/// The most memory, in bytes, of a client's connection. Measured with 1,000 of them:
/// 11 KB when idle, 30 to 37 KB with half a request head. With 150 large replies that
/// nobody read: 25 KB each in this process, and 32 KB in the kernel.
pub const CONNECTION_MEMORY: usize = 64 << 10;

/// The send buffer of a client's connection, in bytes. The kernel doubles it for its
/// own bookkeeping (socket(7)). By default it would grow to 4 MB (tcp_wmem), and a
/// hundred clients that read a large reply slowly would fill a container's memory.
pub const SEND_BUFFER: u32 = 16 << 10;

/// Memory, in bytes, of a probe that waits for an answer. Measured on Linux 6.18 with
/// 18,946 in flight: 4.0 KB in the kernel's slabs for IPv4 and 4.2 KB for IPv6, 0.2 KB
/// in this process, and a page that cgroup version 2 (or version 1 with a limit on
/// kmem.tcp) charges for the SYN that is kept for retransmission.
pub const PROBE_MEMORY: usize = 9 << 10;

/// The most memory, in bytes, of a target of a scan. A silent target is on the lists
/// of two passes, with 4 bytes each, and the list that grows may have allocated twice
/// its size. The target's row takes 8 bytes: once in the order found and, after the
/// lists are dropped, once more to be sorted.
pub const TARGET_MEMORY: usize = 24;

/// The most memory, in bytes, of a scan that a request can ask for. The state of every
/// port takes two bits, and its silence one.
pub const LARGEST_SCAN_MEMORY: usize =
    MAX_ADDRESSES * (u16::MAX as usize * TARGET_MEMORY + (u16::MAX as usize * 3).div_ceil(8) + 1);

/// How long a fan-out keeps trying while every attempt fails because a resource has
/// run out. Then it leaves the rest as not scanned.
pub const SHORTAGE_PATIENCE: Duration = Duration::from_secs(5);

/// How long a scan waits for room in a neighbour table that is full of other programs'
/// entries. Then it leaves the rest as not scanned. Linux keeps an entry in use for up
/// to 45 s, and for 5 s after that.
pub const NEIGHBOUR_PATIENCE: Duration = Duration::from_secs(60);

/// The longest request target that is read, in bytes. The longest useful one, with a
/// list of a few hundred port ranges, is far shorter.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;

/// The largest token file that is read: the size limit of a Kubernetes Secret, enough
/// for some ten thousand callers.
pub const MAX_TOKEN_FILE_BYTES: u64 = 1 << 20;

/// How often the token file is read while there are requests. A token that is removed
/// from it works no longer than this; reading it takes microseconds.
pub const TOKEN_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long tokens stay valid when their file is missing or empty: longer than any tool
/// takes to replace it, and short enough to revoke tokens that way.
pub const TOKEN_GRACE: Duration = Duration::from_secs(60);

/// How long a client may take to send a request's head, and how long a connection may
/// be idle.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(15);

/// The first pause after a failed `accept`; it doubles up to
/// [`MAX_ACCEPT_PAUSE`].
pub const MIN_ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// The most connections that wait to be accepted. A further one is dropped, and its
/// client tries again after a second. This is Linux's default maximum
/// (net.core.somaxconn); tokio and std ask for 128.
pub const BACKLOG: u32 = 4096;

/// How long a connection without a request is kept when another client needs its slot:
/// enough for a request to be sent and to arrive. It gets shorter, down to
/// [`MIN_IDLE_PATIENCE`], while many connections send nothing.
pub const MAX_IDLE_PATIENCE: Duration = Duration::from_millis(500);

/// The same in a flood of connections that send nothing: a handful of slots is then
/// enough for thousands of connections a second.
pub const MIN_IDLE_PATIENCE: Duration = Duration::from_millis(1);

/// How often to check whether the client of a request is still there.
pub const PRESENCE_INTERVAL: Duration = Duration::from_millis(100);

/// After how many checks a client that has closed its sending side is asked whether it
/// is still there. Most requests are answered before that, and the scan of a client
/// that has left ends well within a second.
pub const PRESENCE_PATIENCE: u32 = 3;

/// After how many further checks it is asked again.
pub const PRESENCE_ASK_AGAIN: u32 = 150;

/// How often to check for an HTTP/1.0 client, which can be asked only by TCP.
pub const PRESENCE_KEEPALIVE: Duration = Duration::from_secs(10);

/// How long a stopping service, which ignores new connections, still accepts those that
/// have already begun: the rtt of most paths.
pub const DRAIN_SETTLE: Duration = Duration::from_millis(200);

/// How long connections without a request stay open after the listener is closed: time
/// for a client that reuses its connection to send a request and learn from the reply
/// that it has to close. A connection that is idle for longer may be closed at any time.
pub const DRAIN_IDLE: Duration = Duration::from_secs(2);

/// The longest pause after failed `accept`s.
pub const MAX_ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The default for how long running requests may go on after SIGTERM: as long as
/// Kubernetes waits by default before it kills (terminationGracePeriodSeconds).
pub const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// The longest request head that is read, in bytes: the target, and as much for header
/// fields.
pub const MAX_HEAD_BYTES: usize = 2 * MAX_TARGET_BYTES;

/// The longest grace period that can be configured.
pub const MAX_GRACE: Duration = Duration::from_secs(3600);

/// Where the service listens by default: on loopback only, because nobody should expose
/// a scanner to others without thinking about it first.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// How long `healthcheck` waits for the connection, and then for the reply: together
/// less than the 3 s that it usually gets.
pub const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// How many tasks a worker runs before it checks for I/O. A turn of a fan-out takes
/// about half a millisecond, so with tokio's default of 61 a client would wait 30 ms
/// during a scan; with this, 4 ms.
pub const EVENT_INTERVAL: u32 = 8;

/// The default limit of concurrent scans; a further request is refused with the time to
/// come back. Each scan gets a fair share of the descriptors, so more scans would all be
/// slow.
pub const DEFAULT_MAX_SCANS: usize = 16;

/// The default limit of one caller's concurrent scans: half of all, so that nobody can
/// keep everybody else out.
pub const DEFAULT_MAX_SCANS_PER_CALLER: usize = 8;

/// The default limit of concurrent scans of one address. A second scan would find the
/// same, with twice the load on the target. A request for the same scan joins the first.
pub const DEFAULT_MAX_SCANS_PER_TARGET: usize = 1;

/// The default limit of targets, addresses times ports, of one sweep: as many as the largest
/// scan of one name has (all ports of 16 addresses), which ends within
/// [`DEFAULT_MAX_DEADLINE`] even if nothing answers. That is a /16 with 16 ports, or a /12
/// with one.
pub const DEFAULT_MAX_SWEEP_TARGETS: u64 = 1_048_576;

/// The longest list of hosts in a request, in bytes: 65,536 addresses of 15 characters.
pub const MAX_LIST_BYTES: usize = 1 << 20;

/// Bytes of memory for each byte of a list of hosts: the list as it arrived and as it is
/// read, and a part of it as hosts.
pub const LIST_MEMORY: usize = 4;

/// How long a list of hosts may take to arrive: 1 MiB at 70 KB a second.
pub const LIST_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a sweep's reply waits for the first host that policy allows, so that a sweep of
/// which nothing can be scanned gets a status that says so. A name takes at most this long
/// to resolve ([`LOOKUP_PATIENCE`] and [`RESOLVE_TIMEOUT`]).
pub const VERDICT_PATIENCE: Duration = Duration::from_secs(10);

/// The most targets that one reply of `/sd` has, which is made whole before it is sent: at
/// about 200 bytes each, 3 MB. A Prometheus that scrapes more is rare, and can ask in parts.
pub const MAX_DISCOVERED: usize = 16_384;

/// How long a probe may take that does not say when its scrape gives up: as long as with
/// blackbox_exporter.
pub const DEFAULT_SCRAPE_TIMEOUT: Duration = Duration::from_secs(120);

/// The default for how much earlier a probe ends than its scrape: as with
/// blackbox_exporter. A reply takes milliseconds; this is for a busy machine.
pub const DEFAULT_TIMEOUT_OFFSET: Duration = Duration::from_millis(500);

/// The longest such time that can be configured. Prometheus scrapes once a minute by
/// default.
pub const MAX_TIMEOUT_OFFSET: Duration = Duration::from_secs(60);

/// How long a probe waits for its turn, and at most half of its time: as long as the scan
/// of a silent port takes. Two probes of one host that are scraped at the same time then
/// run one after the other.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// A probe of more ports gives each of them less time to answer, so that it ends in time if
/// none does. So many fit into one round even with few descriptors.
pub const WIDE_PROBE: u32 = 4096;

/// The shortest pause before it asks again: a scan of a few ports takes less.
pub const PROBE_PAUSE: Duration = Duration::from_millis(20);

/// The default for how long a scan may take: enough for all ports of 16 silent addresses
/// with 10,000 descriptors and the default timeout (210 s).
pub const DEFAULT_MAX_DEADLINE: Duration = Duration::from_secs(300);

/// The shortest deadline that a request may ask for.
pub const MIN_DEADLINE: Duration = Duration::from_millis(100);

/// The longest deadline that can be configured.
pub const MAX_MAX_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// How long a scan may take after its deadline to return what it has found: on a busy
/// machine, its tasks may have to wait for their turn.
pub const LAST_FINDINGS: Duration = Duration::from_secs(1);

/// How many findings are written to a stream at once, about 12 KB: what a stream keeps
/// in memory for a slow reader.
pub const FINDINGS_A_CHUNK: usize = 128;

/// How many bytes of a report are made at once: what a reply keeps in memory for a slow
/// reader. A shorter report is made whole.
pub const REPLY_CHUNK: usize = 16 << 10;

/// The longest document about a sweep that waits for its end in memory, so that it can have
/// a tag: some 400 hosts. A hundred such requests hold as much memory as one large scan.
pub const MAX_TAGGED_BYTES: usize = 128 << 10;

/// How long a document about a sweep waits for its end: well below the 60 s after which
/// nginx and most load balancers give up on a reply.
pub const TAG_PATIENCE: Duration = Duration::from_secs(20);

/// How often a stream reports progress.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// How often it does, and says which ports are in which state, to a client that asked for
/// states. It draws them, and a picture that moves less often looks stuck.
pub const STATES_INTERVAL: Duration = Duration::from_millis(250);

/// How many runs of ports are written to a stream at once, about 12 KB: what a stream
/// keeps in memory for a slow reader.
pub const RUNS_A_CHUNK: usize = 512;

/// How long a client may read nothing of its reply. Then its connection is closed, and
/// its scan stops.
pub const WRITE_STALL: Duration = Duration::from_secs(60);

/// How much longer than the rtt a probe waits at least: how long a busy machine may
/// delay a packet or a task. RFC 6298 uses the clock's granularity instead; nmap's
/// shortest timeout is also 100 ms.
pub const MIN_MARGIN: Duration = Duration::from_millis(100);

/// The same for the first attempt at a port, if several open ports showed how far the
/// host is. The second attempt, with [`MIN_MARGIN`], finds what this one gave up too
/// early. Delays of the scanner itself do not matter: before a probe is given up, its
/// socket is asked once more.
pub const FIRST_MARGIN: Duration = Duration::from_millis(50);

/// The first attempt waits for this part of the probe's timeout as long as nothing has
/// answered; the second attempt waits for the rest.
pub const FIRST_ATTEMPT_DIVISOR: u32 = 4;

/// The longest such wait: the initial timeout of RFC 6298, section 2.
pub const MAX_FIRST_ATTEMPT: Duration = Duration::from_secs(1);

/// The most attempts on a silent port when many packets are lost: nmap's default is 10
/// retransmissions.
pub const MAX_ATTEMPTS: usize = 11;

/// One of the two attempts at a silent address whose neighbours are near waits for this
/// part of the probe's timeout, by default 400 ms: hosts of one network need not be
/// equally far, and few paths take more than 300 ms. Four times as long as the
/// neighbours take, if that is more.
pub const OUTLIER_DIVISOR: u32 = 5;

/// How long all passes over silent ports may take together, without the second attempt
/// and without short passes after a long one. Otherwise a host that limits its RSTs
/// would keep a scan busy for hours.
pub const RETRY_PATIENCE: Duration = Duration::from_secs(20);

/// How many silent ports a pilot asks. There is a pilot if there are twice as many.
pub const PILOT_TARGETS: usize = 128;

/// How fast a pilot asks them, in probes a second: below the limits that
/// networks and hosts have on SYNs, and over in 64 ms.
pub const PILOT_RATE: u32 = 2_000;

/// How many probes a fan-out first has in flight. Their answers set the timeouts of the
/// rest, and they do no harm to a network that cannot take thousands at once.
pub const FIRST_WINDOW: usize = 256;

/// The narrowest window of a fan-out, however many packets are lost: with a timeout of
/// 100 ms, still some hundred probes a second if all are lost.
pub const MIN_WINDOW: usize = 32;

/// How long to wait for a host's first answer before probes are sent as fast as
/// possible. Most paths on the internet are shorter.
pub const WINDOW_WAITS: Duration = Duration::from_millis(100);

/// How often a watched port is asked by default: a change is dated to a second, and a
/// thousand ports cost next to nothing.
pub const DEFAULT_EVERY: Duration = Duration::from_secs(1);

/// The shortest time between two probes of a watched port: a few times the grain of the
/// runtime's timer, which is 1 ms.
pub const MIN_EVERY: Duration = Duration::from_millis(5);

/// The longest: with more, a scan by cron does as well.
pub const MAX_EVERY: Duration = Duration::from_secs(3600);

/// How long a watched port may take to answer, at most and by default. After a second
/// Linux repeats a SYN, and an answer to that would not say since when a port is open.
pub const WATCH_TIMEOUT: Duration = Duration::from_secs(1);

/// The most ports that a watch asks on each address. Each has a few hundred bytes of
/// memory, and a probe in every round.
pub const MAX_WATCHED_PORTS: u32 = 1024;

/// The most ports that a watch asks on all addresses together: as many as on the addresses
/// of one name.
pub const MAX_WATCHED: u64 = MAX_WATCHED_PORTS as u64 * MAX_ADDRESSES as u64;

/// The longest time that a watch may be given for a condition to become true, and that it
/// may have to hold.
pub const MAX_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// How often a watch looks whether a condition has held long enough.
pub const JUDGE_EVERY: Duration = Duration::from_millis(10);
