//! How a listener that is to close ignores new clients.

use socket2::{SockFilter, SockRef};
use tokio::net::TcpListener;

/// Makes the kernel drop every SYN to the listener. A client sends its SYN again
/// after a second, and is refused then.
pub(super) fn ignore_newcomers(listener: &TcpListener) {
    // The filter of a TCP socket sees segments from the TCP header on. The flags are
    // at offset 13 (RFC 9293, section 3.1). Accepted sockets inherit the filter, but
    // receive no SYN.
    let (syn, syn_ack, flags) = (0x02, 0x12, 13);
    let filter = [
        SockFilter::new(BPF_LOAD_BYTE, 0, 0, flags),
        SockFilter::new(BPF_AND, 0, 0, syn_ack),
        SockFilter::new(BPF_JUMP_IF_EQUAL, 0, 1, syn),
        SockFilter::new(BPF_RETURN, 0, 0, 0),
        SockFilter::new(BPF_RETURN, 0, 0, u32::MAX),
    ];
    // Without filters in the kernel, the last clients may be reset.
    let _ = SockRef::from(listener).attach_filter(&filter);
}

// linux/filter.h: BPF_LD | BPF_B | BPF_ABS, BPF_ALU | BPF_AND, BPF_JMP | BPF_JEQ
// and BPF_RET.
const BPF_LOAD_BYTE: u16 = 0x30;
const BPF_AND: u16 = 0x54;
const BPF_JUMP_IF_EQUAL: u16 = 0x15;
const BPF_RETURN: u16 = 0x06;
