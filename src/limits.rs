//! Every default and ceiling, each with its reason.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A probe's timeout unless the request gives one: the article this service
/// grew from dials for 2 s, and Linux repeats a lost SYN after 1 s, so that
/// one lost packet does not hide a port.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// The shortest timeout a request may ask for. Below it, a busy scanner's own
/// delays would pass for a host's silence.
pub const MIN_TIMEOUT: Duration = Duration::from_millis(50);

/// The longest timeout a request may ask for: by then Linux has sent five
/// SYNs (1, 3, 7 and 15 s after the first).
pub const MAX_TIMEOUT: Duration = Duration::from_secs(30);

/// Addresses of one name that are scanned. More is load balancing by DNS at a
/// scale where one address stands for all.
pub const MAX_ADDRESSES: usize = 16;

/// How long the system's resolver may take. glibc gives up after 5 s a server
/// by default (resolv.conf(5)); this lets it ask a second one.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a request waits for its turn to look its name up, and for a thread
/// to do it: look-ups that are answered take milliseconds, and those that are
/// not, longer than anybody should wait to be told so.
pub const LOOKUP_PATIENCE: Duration = Duration::from_secs(2);

/// The pause before the system is asked again for a thread that it had not.
pub const THREAD_PAUSE: Duration = Duration::from_millis(20);

/// Names being resolved at once, however few descriptors there are: two callers
/// with slow names, and two look-ups each.
pub const MIN_LOOKUPS: usize = 4;

/// Names being resolved at once at most: each holds a thread and
/// [`LOOKUP_DESCRIPTORS`], and cannot be cancelled.
pub const MAX_LOOKUPS: usize = 16;

/// Descriptors that a look-up may hold: a socket for questions over UDP, and one
/// over TCP for each of the two answers that may be too long for it.
pub const LOOKUP_DESCRIPTORS: usize = 3;

/// Of so many descriptors, one look-up may take its part: 16 look-ups where the
/// limit is the usual 1,024.
pub const DESCRIPTORS_A_LOOKUP: usize = 64;

/// Descriptors kept from probes and clients: standard streams, the runtime
/// (epoll, waker, signals), listeners and route look-ups. An idle service was
/// seen to hold 10, and the listener for metrics takes its part of the rest.
pub const OWN_DESCRIPTORS: usize = 16;

/// Those, and what the fewest look-ups take.
pub const RESERVED_DESCRIPTORS: usize = OWN_DESCRIPTORS + LOOKUP_DESCRIPTORS * MIN_LOOKUPS;

/// The lowest usable limit on open descriptors: what is reserved, and enough
/// for a handful of clients and probes.
pub const MIN_DESCRIPTORS: usize = RESERVED_DESCRIPTORS + 12;

/// Connections held at once on the listener for metrics, out of what is
/// reserved: a few scrapers, and a person who looks.
pub const MAX_METRICS_CONNECTIONS: usize = 4;

/// Client connections held at once: far more than scans that run. More clients
/// take turns: an idle one has to go. [`CONNECTION_MEMORY`] each at worst.
pub const MAX_CONNECTIONS: usize = 256;

/// Client connections held at once, however little memory there is.
pub const MIN_CONNECTIONS: usize = 4;

/// Descriptors that probes may use, however high the limit is: a TCP socket in
/// its handshake costs the kernel about 4 KB, and Linux has 28,232 ephemeral
/// ports unless told otherwise (ip_local_port_range).
pub const MAX_PROBE_DESCRIPTORS: usize = 20_000;

/// Descriptors that probes may use, however little memory there is.
pub const MIN_PROBE_DESCRIPTORS: usize = 8;

/// Memory, in bytes, of a process with no connection and no probe in flight:
/// 2 MB were measured when idle, 6 MB in scans of all ports.
pub const PROCESS_MEMORY: usize = 8 << 20;

/// Memory, in bytes, of a client's connection at worst. Measured with 1,000 of
/// them: 11 KB when idle, 30 to 37 KB with a request's head half sent. With 150
/// whose large replies nobody read: 25 KB each here, and 32 KB in the kernel.
pub const CONNECTION_MEMORY: usize = 64 << 10;

/// Bytes that the kernel takes in for a client before it has to wait; it counts
/// them twice, for what it needs besides (socket(7)). Without a limit it would
/// take 4 MB (tcp_wmem), and a hundred clients that read a large reply slowly
/// would fill a container with what they have not read.
pub const SEND_BUFFER: u32 = 16 << 10;

/// Memory, in bytes, of a probe that waits for an answer. Measured on Linux 6.18
/// with 18,946 in flight: 4.0 KB in the kernel's slabs for IPv4 and 4.2 KB for
/// IPv6, 0.2 KB in this process, and a page that cgroup version 2 (or version 1
/// with kmem.tcp limited) charges for the SYN kept to be sent again.
pub const PROBE_MEMORY: usize = 9 << 10;

/// Memory, in bytes, of a target of a scan at worst. One that stays silent is on
/// the lists of two passes with 4 bytes each, and the list that grows may have
/// room for as many again; its row takes 8 bytes, once in the order found and,
/// when the lists are gone, once sorted.
pub const TARGET_MEMORY: usize = 24;

/// Memory, in bytes, of the largest scan that a request can ask for.
pub const LARGEST_SCAN_MEMORY: usize = MAX_ADDRESSES * u16::MAX as usize * TARGET_MEMORY;

/// How long a fan-out goes on trying while every attempt fails for want of a
/// resource, before it leaves the rest as not scanned.
pub const SHORTAGE_PATIENCE: Duration = Duration::from_secs(5);

/// How long a scan waits for room in the neighbour table while that is full of
/// other programs' entries, before it leaves the rest as not scanned: Linux keeps
/// an entry in use for up to 45 s, and 5 s more.
pub const NEIGHBOUR_PATIENCE: Duration = Duration::from_secs(60);

/// The longest request target that is read, in bytes. The longest useful one,
/// a port list of some hundred ranges, stays far below.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;

/// The most that is read of a file of tokens: what Kubernetes lets a Secret
/// hold, some ten thousand callers.
pub const MAX_TOKEN_FILE_BYTES: u64 = 1 << 20;

/// How often a file of tokens is looked at while requests come: a token taken
/// out of it works no longer than this, and a look costs microseconds.
pub const TOKEN_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long tokens are valid once their file is gone or empty: longer than it
/// takes any tool to write it anew, and short enough to take tokens back by it.
pub const TOKEN_GRACE: Duration = Duration::from_secs(60);

/// How long a client may take to send a request's head, and an idle connection
/// may stay.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(15);

/// The first pause after a failed `accept`; it doubles up to
/// [`MAX_ACCEPT_PAUSE`].
pub const MIN_ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// Connections that wait to be accepted. A further one is as good as lost: its
/// client tries again after a second. Linux allows no more than this unless told
/// otherwise (net.core.somaxconn); tokio and std ask for 128.
pub const BACKLOG: u32 = 4096;

/// How long a connection may be without a request, at the most, before it has to
/// go for a further client: time for a request to be written and to arrive. It
/// gets shorter, down to [`MIN_IDLE_PATIENCE`], while many send nothing.
pub const MAX_IDLE_PATIENCE: Duration = Duration::from_millis(500);

/// The same, in a storm of connections that send nothing: with room for a handful
/// of them it lets thousands a second come and go.
pub const MIN_IDLE_PATIENCE: Duration = Duration::from_millis(1);

/// How often to look whether the client of a request is still there.
pub const PRESENCE_INTERVAL: Duration = Duration::from_millis(100);

/// For how many such looks a client that sends no more is believed to be there,
/// before it is asked. Most requests are answered by then; and a client that
/// leaves takes its scan with it well within a second.
pub const PRESENCE_PATIENCE: u32 = 3;

/// After how many looks it is asked again.
pub const PRESENCE_ASK_AGAIN: u32 = 150;

/// How often to look for an HTTP/1.0 client, which is to be asked by TCP alone.
pub const PRESENCE_KEEPALIVE: Duration = Duration::from_secs(10);

/// How long clients that are connecting when the service stops have to finish
/// that, once nobody else gets in: the rtt of most ways.
pub const DRAIN_SETTLE: Duration = Duration::from_millis(200);

/// How long connections without a request stay open once the listener is closed:
/// time for a client that uses its own again and again to hear that it is to
/// close. A connection that is idle longer is closed at any time anyway.
pub const DRAIN_IDLE: Duration = Duration::from_secs(2);

/// The longest pause after failed `accept`s.
pub const MAX_ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How long running requests may go on after SIGTERM, unless told otherwise:
/// the time Kubernetes waits before it kills (terminationGracePeriodSeconds).
pub const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// The longest request head that is read, in bytes: the target and as much
/// again for header fields.
pub const MAX_HEAD_BYTES: usize = 2 * MAX_TARGET_BYTES;

/// The longest grace period that can be asked for.
pub const MAX_GRACE: Duration = Duration::from_secs(3600);

/// Where the service listens unless told otherwise: this host only, because a
/// scanner that others can reach wants thinking about first.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// How long `healthcheck` waits for an answer, and for the connection before:
/// together below the 3 s that its callers usually give it.
pub const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Tasks that a worker runs before it looks for new I/O. A turn of a fan-out
/// takes about half a millisecond, so that with tokio's default of 61 a client
/// would wait 30 ms to be noticed beside a scan; with this, 4 ms.
pub const EVENT_INTERVAL: u32 = 8;

/// Scans that run at once; a further one is told when to come back. Each gets a
/// fair share of the descriptors, and with more they would all be slow.
pub const DEFAULT_MAX_SCANS: usize = 16;

/// Scans that one caller may have running at once: half of all, so that nobody
/// can keep everybody else out.
pub const DEFAULT_MAX_SCANS_PER_CALLER: usize = 8;

/// Scans that may probe one address at once. A second one would only tell the
/// same at twice the load on the target; one that asks the same joins the first.
pub const DEFAULT_MAX_SCANS_PER_TARGET: usize = 1;

/// How long a scan may take unless told otherwise: time for every port of 16
/// silent addresses with 10,000 descriptors and the default timeout (210 s).
pub const DEFAULT_MAX_DEADLINE: Duration = Duration::from_secs(300);

/// The shortest deadline a scan may ask for.
pub const MIN_DEADLINE: Duration = Duration::from_millis(100);

/// The longest deadline that can be configured.
pub const MAX_MAX_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// How long after the end of its time a scan may take to hand over what it has
/// found: its tasks may have to wait for their turn on a busy machine.
pub const LAST_FINDINGS: Duration = Duration::from_secs(1);

/// Findings written to a stream at once, about 12 KB: what a stream holds back
/// for a reader that is slow.
pub const FINDINGS_A_CHUNK: usize = 128;

/// Bytes of a report that are made at once: what a reply holds back for a reader
/// that is slow. A report that needs no more is made whole.
pub const REPLY_CHUNK: usize = 16 << 10;

/// How often a stream tells of progress.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// How long a client may leave what was sent to it unread before its connection
/// is given up, and its scan with it.
pub const WRITE_STALL: Duration = Duration::from_secs(60);

/// How much longer than the rtt a probe waits at the least: what a busy machine
/// may delay a packet or a task by. RFC 6298 has the clock's granularity in its
/// place; nmap's shortest timeout is the same 100 ms.
pub const MIN_MARGIN: Duration = Duration::from_millis(100);

/// The wait for an answer before anything has answered, as a part of the
/// probe's timeout: the second attempt waits for the rest of it.
pub const FIRST_ATTEMPT_DIVISOR: u32 = 4;

/// The longest such wait: what RFC 6298, section 2, waits before it knows.
pub const MAX_FIRST_ATTEMPT: Duration = Duration::from_secs(1);

/// How often a silent port is asked at most, when much is lost: nmap's default
/// is 10 retransmissions.
pub const MAX_ATTEMPTS: usize = 11;

/// How long silent ports are asked again, all passes together, but for the
/// second attempt and for short passes after a long one. A host that limits its
/// RSTs would otherwise keep a scan for hours.
pub const RETRY_PATIENCE: Duration = Duration::from_secs(20);

/// Silent ports that a pilot asks; twice as many are worth having one.
pub const PILOT_TARGETS: usize = 128;

/// How fast a pilot asks them, in probes a second: below the limits that
/// networks and hosts have on SYNs, and over in 64 ms.
pub const PILOT_RATE: u32 = 2_000;

/// Probes that a fan-out starts with in flight. Their answers time the rest, and
/// a network that cannot take thousands at once is not hit by them.
pub const FIRST_WINDOW: usize = 256;

/// The narrowest window that loss leaves a fan-out: with a timeout of 100 ms
/// still some hundred probes a second if all are lost.
pub const MIN_WINDOW: usize = 32;

/// How long a host has to show that it answers at all, before probes go out to
/// it as fast as they can. Most ways on the internet take less.
pub const WINDOW_WAITS: Duration = Duration::from_millis(100);
