use std::net::Ipv4Addr;
use std::num::NonZeroU32;

use super::*;
use crate::caller::Caller;
use crate::ports::PortSet;
use crate::scan::Scanner;

/// Admission with its quotas, and an engine that nobody drives: these tests never
/// wait, so a scan that was started runs, and sends nothing.
struct Service {
    admission: Arc<Admission>,
    scanner: Scanner,
}

impl Service {
    fn new(scans: usize, scans_per_caller: usize, scans_per_target: usize) -> Self {
        let [scans, scans_per_caller, scans_per_target] =
            [scans, scans_per_caller, scans_per_target]
                .map(|count| NonZeroUsize::new(count).unwrap());
        let quotas = Quotas { scans, scans_per_caller, scans_per_target };
        let scanner = Scanner::new(64, NonZeroUsize::MIN);
        Self { admission: Arc::new(Admission::new(quotas, 8)), scanner }
    }

    /// What becomes of a request for `plan`.
    fn ask(&self, caller: &str, plan: &ScanPlan) -> Result<(Entry, Admitted), NotAdmitted> {
        let entry = self.admission.enter(&account(caller))?;
        let admitted = self.admission.admit(&entry, plan, || self.scanner.try_start(plan))?;
        Ok((entry, admitted))
    }

    /// Why a request for `plan` is not admitted.
    #[track_caller]
    fn refusal(&self, caller: &str, plan: &ScanPlan) -> NotAdmitted {
        self.ask(caller, plan).map(|_| ()).unwrap_err()
    }
}

fn account(name: &str) -> Account {
    Caller::Token(name.into()).account()
}

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// A scan of ten ports of this address.
fn plan(last: u8) -> ScanPlan {
    ScanPlan::new(vec![address(last)], PortSet::try_range(1, 10).unwrap())
}

#[tokio::test]
async fn a_caller_at_its_limit_is_refused_and_others_are_not() {
    let service = Service::new(8, 2, 1);
    let held = [service.ask("a", &plan(1)).unwrap(), service.ask("a", &plan(2)).unwrap()];
    assert_eq!(service.refusal("a", &plan(3)).quota, Quota::CallerScans);
    // Even a scan that runs already.
    assert_eq!(service.refusal("a", &plan(1)).quota, Quota::CallerScans);
    let _other = service.ask("b", &plan(3)).unwrap();
    drop(held);
    service.ask("a", &plan(4)).unwrap();
}

#[tokio::test]
async fn a_joined_scan_counts_for_the_caller_that_joined_it() {
    let service = Service::new(8, 1, 1);
    let (entry, first) = service.ask("a", &plan(1)).unwrap();
    let (_joiner, joined) = service.ask("b", &plan(1)).unwrap();
    assert!(Arc::ptr_eq(&first.scan, &joined.scan));
    assert_eq!(service.admission.running(), 1);
    assert_eq!(service.refusal("b", &plan(2)).quota, Quota::CallerScans);
    // It still counts when the caller that started it has left.
    drop((entry, first));
    assert_eq!(service.admission.running(), 1);
    assert_eq!(service.refusal("b", &plan(2)).quota, Quota::CallerScans);
    service.ask("a", &plan(2)).unwrap();
}

#[tokio::test]
async fn only_the_same_question_joins() {
    let service = Service::new(8, 8, 8);
    let (_entry, first) = service.ask("a", &plan(1)).unwrap();
    let ports = PortSet::try_range(1, 11).unwrap();
    for other in [
        ScanPlan { ports, ..plan(1) },
        ScanPlan { timeout: plan(1).timeout / 2, ..plan(1) },
        ScanPlan { rate: NonZeroU32::new(5), ..plan(1) },
    ] {
        let (_entry, admitted) = service.ask("a", &other).unwrap();
        assert!(!Arc::ptr_eq(&first.scan, &admitted.scan), "{other:?}");
    }
    // The deadline is the caller's own, and a scan without one keeps none.
    let later = ScanPlan { deadline: Some(Duration::from_secs(9)), ..plan(1) };
    let (_entry, admitted) = service.ask("a", &later).unwrap();
    assert!(Arc::ptr_eq(&first.scan, &admitted.scan));
    assert!(admitted.until.is_some() && first.scan.until().is_none());
}

#[tokio::test]
async fn a_joined_scan_goes_on_for_the_longest_deadline() {
    let service = Service::new(8, 8, 8);
    let within = |seconds| ScanPlan { deadline: Some(Duration::from_secs(seconds)), ..plan(1) };
    let (_entry, first) = service.ask("a", &within(20)).unwrap();
    let (_entry, brief) = service.ask("b", &within(10)).unwrap();
    assert_eq!(first.scan.until(), first.until);
    assert!(brief.until < first.until);
    let (_entry, long) = service.ask("b", &within(30)).unwrap();
    assert_eq!(first.scan.until(), long.until);
    assert!(long.until > first.until);
}

#[tokio::test]
async fn dropping_an_entry_makes_room_for_another() {
    let service = Service::new(8, 8, 8);
    let enter = |caller: &str| service.admission.enter(&account(caller));
    let quota = |caller: &str| enter(caller).map(|_| ()).unwrap_err().quota;
    // Of eight requests at once, one caller has four.
    let mut own: Vec<Entry> = (0..4).map(|_| enter("a").unwrap()).collect();
    assert_eq!(quota("a"), Quota::CallerRequests);
    own.pop();
    own.push(enter("a").unwrap());
    assert_eq!(quota("a"), Quota::CallerRequests);
    let _others: Vec<Entry> = (0..4).map(|_| enter("b").unwrap()).collect();
    assert_eq!(quota("c"), Quota::Requests);
    own.pop();
    enter("c").unwrap();
}

#[tokio::test]
async fn a_busy_target_is_named_whichever_address_of_the_plan_it_is() {
    let service = Service::new(8, 8, 1);
    let _held = service.ask("a", &plan(1)).unwrap();
    let ports = PortSet::try_range(1, 11).unwrap();
    let both = ScanPlan::new(vec![address(2), address(1)], ports);
    assert_eq!(service.refusal("b", &both).quota, Quota::Target(address(1)));
    // Nothing was started at the other address.
    service.ask("b", &plan(2)).unwrap();
}

#[tokio::test]
async fn a_full_service_refuses_a_further_scan_but_not_a_joining_request() {
    let service = Service::new(1, 8, 8);
    let held = service.ask("a", &plan(1)).unwrap();
    assert_eq!(service.refusal("b", &plan(2)).quota, Quota::Scans);
    let joined = service.ask("b", &plan(1)).unwrap();
    drop(held);
    assert_eq!(service.refusal("c", &plan(2)).quota, Quota::Scans);
    drop(joined);
    service.ask("c", &plan(2)).unwrap();
}

#[tokio::test]
async fn a_scan_without_memory_is_refused_and_leaves_nothing_behind() {
    let mut service = Service::new(8, 8, 1);
    service.scanner = service.scanner.with_memory(0);
    let refused = service.refusal("a", &plan(1));
    assert!(matches!(refused.quota, Quota::Memory(_)), "{refused:?}");
    assert_eq!(service.admission.running(), 0);
    service.scanner = Scanner::new(64, NonZeroUsize::MIN);
    service.ask("a", &plan(1)).unwrap();
}

#[tokio::test]
async fn retry_after_is_when_the_first_of_the_scans_in_question_has_to_end() {
    let service = Service::new(2, 1, 1);
    let within = |last, seconds| ScanPlan {
        timeout: Duration::from_secs(60),
        deadline: Some(Duration::from_secs(seconds)),
        ..plan(last)
    };
    let (_entry, long) = service.ask("a", &within(1, 40)).unwrap();
    let (_entry, short) = service.ask("b", &within(2, 20)).unwrap();
    // In question are all scans, those of the caller, or those of the target.
    for (caller, last, quota, ends) in [
        ("c", 3, Quota::Scans, short.until),
        ("a", 3, Quota::CallerScans, long.until),
        ("b", 3, Quota::CallerScans, short.until),
        ("c", 1, Quota::Target(address(1)), long.until),
    ] {
        let before = Instant::now();
        let refused = service.refusal(caller, &plan(last));
        let after = Instant::now();
        assert_eq!(refused.quota, quota);
        let left = |now| ends.unwrap().saturating_duration_since(now);
        let possible = left(after)..=left(before);
        assert!(possible.contains(&refused.retry_after), "{refused:?}, not {possible:?}");
    }
}

#[tokio::test]
async fn without_a_deadline_retry_after_follows_from_how_far_the_scan_is() {
    let (service, timeout) = (Service::new(1, 1, 1), Duration::from_secs(60));
    let begun = Instant::now();
    let _held = service.ask("a", &ScanPlan { timeout, ..plan(1) }).unwrap();
    // Nothing is done: as long again as it took so far, and one timeout.
    let retry_after = service.refusal("b", &plan(2)).retry_after;
    assert!((timeout..=timeout + begun.elapsed()).contains(&retry_after), "{retry_after:?}");
}

#[tokio::test]
async fn a_sweep_counts_as_one_scan_until_its_deadline() {
    let service = Service::new(2, 1, 1);
    let soon = Instant::now() + Duration::from_secs(60);
    let entry = service.admission.enter(&account("a")).unwrap();
    service.admission.admit_sweep(&entry, soon).unwrap();
    assert_eq!(service.admission.running(), 1);
    let refusal = service.refusal("a", &plan(1));
    assert_eq!(refusal.quota, Quota::CallerScans);
    assert!(refusal.retry_after <= Duration::from_secs(60), "{refusal:?}");
    // Its batches count for their addresses, and not as scans.
    let start =
        |plan: &ScanPlan| service.admission.admit_batch(plan, || service.scanner.try_start(plan));
    let batches = [start(&plan(1)).unwrap(), start(&plan(2)).unwrap()];
    assert_eq!(service.admission.running(), 1);
    assert_eq!(service.refusal("b", &plan(1)).quota, Quota::Target(address(1)));
    assert_eq!(start(&plan(2)).unwrap_err().quota, Quota::Target(address(2)));
    assert!(service.admission.is_any_busy(&[address(3), address(2)]));
    assert!(!service.admission.is_any_busy(&[address(3)]));
    // One more scan fills the service.
    let other = service.ask("b", &plan(3)).unwrap();
    let entry_of_c = service.admission.enter(&account("c")).unwrap();
    let refusal = service.admission.admit_sweep(&entry_of_c, soon).unwrap_err();
    assert_eq!(refusal.quota, Quota::Scans);
    drop((batches, other));
    service.ask("b", &plan(1)).unwrap();
    // A reader that is slow holds its quota no longer than that.
    service.admission.admit_sweep(&entry_of_c, Instant::now()).unwrap();
    drop(entry);
    assert_eq!(service.admission.running(), 0);
}
