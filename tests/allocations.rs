//! How often a scan allocates memory. Alone in its process, because the allocations
//! of all threads are counted.

mod support;

use std::alloc::System;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use open_ports::ports::PortSet;
use open_ports::scan::{ScanPlan, Scanner, States};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Runtime;

use support::targets::Silent;
use support::{FANOUTS, own_address, runtime};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Held by the test that measures.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn sixty_times_the_ports_take_no_more_allocations() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let silent = Silent::bind(own_address(), 40);
    let runtime = runtime();
    let plan = |first, last| ScanPlan {
        timeout: Duration::from_millis(500),
        ..ScanPlan::new(vec![own_address()], PortSet::try_range(first, last).unwrap())
    };
    let silence = ScanPlan {
        addresses: vec![silent.address],
        ports: silent.list().parse().unwrap(),
        ..plan(1, 1)
    };
    let scanner = Scanner::new(4096, FANOUTS);
    // Threads and pools that are made once in a process.
    allocations(&runtime, &scanner, &plan(1, 1_000));

    let few = allocations(&runtime, &scanner, &plan(1, 1_000));
    let many = allocations(&runtime, &scanner, &plan(1, 60_000));
    eprintln!("allocations: {few} for 1,000 ports, {many} for 60,000");
    // Two fan-outs, tasks and tallies are the same for both. What may differ is
    // whether a fan-out finds work at all, and how far its tables have to
    // double; none of it comes near one in a hundred probes.
    assert!(many <= few + 64, "{few} for 1,000 ports, {many} for 60,000");

    // In-flight probes need room, once for each socket: tables that double, and
    // nothing a probe.
    let waiting = allocations(&runtime, &scanner, &silence);
    let more = ScanPlan { addresses: vec![silent.address], ..plan(1, 60_000) };
    let mixed = allocations(&runtime, &scanner, &more);
    eprintln!("with silent ports among them: {waiting} for 40, {mixed} for 60,000");
    assert!(mixed <= waiting + 64, "{waiting} for 40 ports, {mixed} for 60,000");
}

#[test]
fn states_cost_memory_only_where_they_are_kept() {
    const PORTS: u16 = 60_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = runtime();
    let scanner = Scanner::new(4096, FANOUTS);
    let ports = PortSet::try_range(1, PORTS).unwrap();
    let counted = ScanPlan::new(vec![own_address()], ports);
    let mapped = ScanPlan { states: States::Mapped, ..counted.clone() };
    // Threads and pools that are made once in a process.
    bytes(&runtime, &scanner, &counted);
    let least = |plan| (0..5).map(|_| bytes(&runtime, &scanner, plan)).min().unwrap();
    let (without, with) = (least(&counted), least(&mapped));
    eprintln!("bytes allocated: {without}, with states {with}");
    // Three bits for each port, and for each fan-out a list that doubles up to 6 KB.
    let map = usize::from(PORTS) * 3 / 8;
    assert!(with >= without + map, "{without} bytes, with states {with}");
    assert!(with <= without + map + 3 * 16 * 1024 + SLACK, "{without} bytes, with states {with}");
}

/// How much two runs of the same scan differ: tables in flight double or do not.
const SLACK: usize = 64 * 1024;

fn bytes(runtime: &Runtime, scanner: &Scanner, plan: &ScanPlan) -> usize {
    let region = Region::new(ALLOCATOR);
    let tallies = runtime.block_on(scanner.scan(plan));
    let change = region.change();
    assert_eq!(tallies[0].not_scanned, 0);
    change.bytes_allocated
}

fn allocations(runtime: &Runtime, scanner: &Scanner, plan: &ScanPlan) -> usize {
    let region = Region::new(ALLOCATOR);
    let tallies = runtime.block_on(scanner.scan(plan));
    let change = region.change();
    assert_eq!(tallies[0].not_scanned, 0);
    change.allocations + change.reallocations
}
