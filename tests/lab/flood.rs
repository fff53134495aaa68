//! The wire under load: frames from both hosts as fast as they can send them.

use std::io;
use std::os::fd::AsFd;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::hosts::Lab;
use super::scenario::Scenario;
use super::wire::{BATCH, SendError, Tap};

/// Sends [`FRAMES`] in each direction at the same time; returns how many arrived a
/// second in each.
///
/// # Errors
/// When a frame is missing, or the wire reports one as dropped.
pub(crate) fn frames_a_second(plain: &Scenario) -> io::Result<f64> {
    let lab = Lab::up(plain, &plain.cast(0), 0)?;
    let (hosts, both_are_there) = (&lab.hosts, Barrier::new(2));
    let slowest = thread::scope(|scope| {
        let scanner = scope.spawn(|| hosts.on_scanner(|| exchange(&both_are_there)));
        let target = scope.spawn(|| hosts.on_target(|| exchange(&both_are_there)));
        let ends = [scanner, target].map(|end| end.join().expect("an exchange does not panic"));
        ends.into_iter().collect::<io::Result<Vec<_>>>().map(|times| times.into_iter().max())
    })?;
    let accounts = lab.down()?;
    let dropped = accounts.there.dropped + accounts.back.dropped;
    if dropped > 0 {
        return Err(io::Error::other(format!("the wire dropped {dropped} frames")));
    }
    Ok(FRAMES as f64 / slowest.unwrap_or_default().as_secs_f64())
}

/// Sends this host's frames and receives the other's; returns how long that took.
fn exchange(both_are_there: &Barrier) -> io::Result<Duration> {
    let mut tap = Tap::try_new("eth0")?;
    both_are_there.wait();
    let started = Instant::now();
    let batch = vec![frame(); BATCH];
    let (mut sent, mut received) = (0, 0);
    while received < FRAMES {
        if sent < FRAMES {
            match tap.send(&batch[..BATCH.min(FRAMES - sent)]) {
                Ok(count) => sent += count,
                Err(SendError::Full) => {}
                Err(SendError::Refused) => return Err(io::Error::other("cannot send")),
            }
        } else {
            poll(&mut [PollFd::new(tap.as_fd(), PollFlags::POLLIN)], PollTimeout::from(100u8))?;
        }
        tap.receive(|frame| received += usize::from(frame[12..14] == ETHERTYPE))?;
        if started.elapsed() > PATIENCE {
            let text = format!("{received} of {FRAMES} frames arrived");
            return Err(io::Error::other(text));
        }
    }
    Ok(started.elapsed())
}

/// The shortest Ethernet frame, to the broadcast address.
fn frame() -> Box<[u8]> {
    let mut frame = [0; 60];
    frame[..6].fill(0xff);
    frame[12..14].copy_from_slice(&ETHERTYPE);
    frame.into()
}

/// As many as a scan of all ports sends SYNs.
const FRAMES: usize = 65_535;

/// The EtherType that IEEE 802 reserves for local experiments.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];

/// It takes half a second.
const PATIENCE: Duration = Duration::from_secs(30);
