use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::admission::{Quota, Quotas};
use crate::caller::Caller;
use crate::policy::Rules;
use crate::request::{Ceilings, ScanParams};
use crate::services;

/// What policy allows in these tests.
const ALLOW: &str = "127.0.0.0/8";

fn asker(allow: &str, deny: &str) -> Asker {
    asking(allow, deny, |_| panic!("no name is looked up"))
}

fn asking(
    allow: &str,
    deny: &str,
    look_up: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static,
) -> Asker {
    let rules = |list: &str| list.parse::<Rules>().unwrap();
    let scanner = Scanner::new(64, NonZeroUsize::MIN);
    let resolver = Resolver::asking(1, move |name| Ok(look_up(name)));
    Asker::new(scanner, resolver, Policy::new(rules(allow), rules(deny)))
}

/// An asker that runs one scan at a time, and one of each caller.
fn shared(asker: Asker) -> SharedAsker {
    let one = NonZeroUsize::MIN;
    let quotas = Quotas { scans: one, scans_per_caller: one, scans_per_target: one };
    SharedAsker::new(asker, Arc::new(Admission::new(quotas, 4)))
}

fn request(domain: &str, explain: bool) -> ScanRequest {
    let mut params = ScanParams::default();
    let explain = explain.to_string();
    for (name, text) in [("domain", domain), ("ports", "1-10"), ("explain", &explain)] {
        *params.slot(name).unwrap() = Some(text.to_owned());
    }
    let ceilings = Ceilings { deadline: Duration::from_secs(60), rate: None, sweep_targets: 1 };
    ScanRequest::try_new(&params, &ceilings).unwrap()
}

fn account(name: &str) -> Account {
    Caller::Token(name.into()).account()
}

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

fn resolved(addresses: &[IpAddr], left_out: &[IpAddr]) -> Resolved {
    Resolved { addresses: addresses.to_vec(), left_out: left_out.to_vec() }
}

fn ports() -> PortSet {
    PortSet::try_range(1, 10).unwrap()
}

fn plan_of(permitted: &Permitted) -> crate::scan::ScanPlan {
    permitted.plan(options(&request("127.0.0.1", false), Duration::from_secs(1)))
}

#[test]
fn exactly_the_addresses_that_policy_allowed_are_planned() {
    let asker = asker(ALLOW, "none");
    let judged = asker.judge(resolved(&[address(2), address(1)], &[address(3)]), &ports());
    let permitted = judged.unwrap();
    let plan = plan_of(&permitted);
    assert_eq!((plan.addresses, plan.ports), (vec![address(2), address(1)], ports()));
    assert_eq!(permitted.left_out(), [address(3)]);
}

#[test]
fn one_refused_address_is_enough_even_if_it_is_left_out_of_the_scan() {
    let asker = asker(ALLOW, "127.0.0.3");
    for (addresses, left_out) in [
        (&[address(3), address(1)][..], &[][..]),
        (&[address(1), address(3)], &[]),
        (&[address(1)], &[address(2), address(3)]),
        (&[], &[address(3)]),
    ] {
        let refusal = asker.judge(resolved(addresses, left_out), &ports()).unwrap_err();
        assert_eq!(refusal.address, address(3));
    }
}

#[test]
fn canaries_are_ports_that_policy_allows_on_every_address() {
    let [first, second, ..] = services::UNUSED;
    let deny = format!("127.0.0.1:{first},127.0.0.2:{second}");
    let asker = asker(ALLOW, &deny);
    let canaries = |addresses: &[IpAddr]| {
        let port = PortSet::try_range(22, 22).unwrap();
        plan_of(&asker.judge(resolved(addresses, &[]), &port).unwrap()).canaries
    };
    let without = |denied: &[u16]| {
        PortSet::from_ports(services::UNUSED.into_iter().filter(|port| !denied.contains(port)))
    };
    assert_eq!(canaries(&[address(3)]), without(&[]));
    assert_eq!(canaries(&[address(1)]), without(&[first]));
    assert_eq!(canaries(&[address(1), address(2)]), without(&[first, second]));
    // The same holds for hosts that are permitted one by one and scanned together.
    let port = PortSet::try_range(22, 22).unwrap();
    let part = |last| asker.judge(resolved(&[address(last)], &[]), &port).unwrap();
    let whole = Permitted::all_of(&[part(2), part(1), part(3), part(1)]).unwrap();
    let plan = plan_of(&whole);
    assert_eq!(plan.canaries, without(&[first, second]));
    assert_eq!(plan.addresses, [address(1), address(2), address(3)]);
    assert!(Permitted::all_of(&[]).is_none());
}

#[test]
#[should_panic(expected = "the same ports")]
fn hosts_permitted_for_different_ports_are_not_scanned_together() {
    let asker = asker(ALLOW, "127.0.0.1:22");
    let part = |last, port| {
        let port = PortSet::try_range(port, port).unwrap();
        asker.judge(resolved(&[address(last)], &[]), &port).unwrap()
    };
    let _ = Permitted::all_of(&[part(1, 80), part(2, 22)]);
}

#[tokio::test]
async fn what_is_refused_starts_no_scan_and_names_its_rule() {
    let asker = shared(asker(ALLOW, "127.0.0.2"));
    for (domain, rule) in [("127.0.0.2", "deny 127.0.0.2"), ("192.0.2.1", "not-allowed")] {
        let asked = asker.ask(request(domain, false), &account("a")).await;
        assert!(matches!(asked.outcome, Err(NotStarted::Refused(_))), "{asked:?}");
        assert_eq!(asked.checks.rule, rule);
        assert_eq!(asked.checks.addresses, [domain.parse::<IpAddr>().unwrap()]);
        assert_eq!(asker.admission.running(), 0);
    }
}

#[tokio::test]
async fn what_policy_allows_but_no_quota_does_names_its_rule_too() {
    let asker = shared(asker(ALLOW, "none"));
    let first = asker.ask(request("127.0.0.1", false), &account("a")).await;
    assert!(matches!(first.outcome, Ok(Outcome::Running(_))), "{first:?}");
    let second = asker.ask(request("127.0.0.2", false), &account("b")).await;
    let Err(NotStarted::NotAdmitted(refusal)) = second.outcome else { panic!("{second:?}") };
    assert_eq!(refusal.quota, Quota::Scans);
    assert_eq!(second.checks.rule, format!("allow {ALLOW}"));
    // With the request, its scan and what it counted for are gone.
    drop(first);
    let third = asker.ask(request("127.0.0.2", false), &account("b")).await;
    assert!(matches!(third.outcome, Ok(Outcome::Running(_))), "{third:?}");
}

#[tokio::test]
async fn an_explanation_starts_no_scan_and_uses_no_quota_of_scans() {
    let asker = shared(asker(ALLOW, "none"));
    let running = asker.ask(request("127.0.0.1", false), &account("a")).await;
    for domain in ["127.0.0.2", "192.0.2.1"] {
        let asked = asker.ask(request(domain, true), &account("a")).await;
        assert!(matches!(asked.outcome, Ok(Outcome::Explained(_))), "{asked:?}");
        assert_eq!(asked.checks.rule, "");
    }
    assert_eq!(asker.admission.running(), 1);
    drop(running);
}

#[tokio::test]
async fn a_request_that_is_not_let_in_is_not_looked_up() {
    let looked_up = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&looked_up);
    let asker = shared(asking(ALLOW, "none", move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        vec![address(1)]
    }));
    // Of four requests at once, one caller has two.
    let held = [(); 2].map(|()| asker.admission.enter(&account("a")).unwrap());
    let asked = asker.ask(request("some.example", false), &account("a")).await;
    let Err(NotStarted::NotAdmitted(refusal)) = asked.outcome else { panic!("{asked:?}") };
    assert_eq!((refusal.quota, asked.checks.resolving), (Quota::CallerRequests, None));
    assert_eq!(looked_up.load(Ordering::Relaxed), 0);
    drop(held);
    let asked = asker.ask(request("some.example", false), &account("a")).await;
    assert!(asked.checks.resolving.is_some(), "{asked:?}");
    assert_eq!((asked.checks.addresses, looked_up.load(Ordering::Relaxed)), (vec![address(1)], 1));
}
