//! A dropped scan leaves nothing behind. Alone in its process, because it counts
//! the process's descriptors.

mod support;

use std::fs;
use std::time::Duration;

use open_ports::scan::{ScanPlan, Scanner};

use support::targets::Silent;
use support::{FANOUTS, own_address, runtime, wait_for, wait_within};

#[test]
fn a_dropped_scan_gives_its_descriptors_back_at_once() {
    let silent = Silent::bind(own_address(), 200);
    let plan = ScanPlan {
        timeout: Duration::from_secs(30),
        ..ScanPlan::new(vec![silent.address], silent.list().parse().unwrap())
    };
    let scanner = Scanner::new(4096, FANOUTS);
    let runtime = runtime();
    let before = descriptors();
    let running = scanner.clone();
    let scan = runtime.spawn(async move { running.scan(&plan).await });
    wait_for("every probe to be in flight", || {
        (descriptors() >= before + 200 && scanner.budget().used() >= 200).then_some(())
    });
    assert!(!scan.is_finished());

    // Aborting the task drops the scan's future, as a server does.
    scan.abort();
    wait_within(Duration::from_secs(1), "the descriptors to be free", || {
        (descriptors() == before && scanner.budget().used() == 0).then_some(())
    });
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("every process has one").count()
}
