//! What the doctor reports.

use super::*;
use crate::scan::{ScanPlan, Scanner};

fn roomy() -> Machine {
    Machine {
        descriptors: (Some(1024), Some(1 << 20)),
        source_ports: Some((32_768, 60_999)),
        conntrack: None,
        neighbours: [None; 2],
        ipv6: Ipv6Reach::Everywhere,
        cores: NonZeroUsize::new(2).unwrap(),
        memory: None,
    }
}

fn diagnosis(machine: Machine) -> Result<Diagnosis, TooFewDescriptors> {
    let plan = ScanPlan::new(vec![[192, 0, 2, 1].into()], PortSet::all());
    let cores = machine.cores;
    machine.diagnosis(|probes| Scanner::new(probes, cores).worst_case(&plan))
}

fn advice(machine: Machine) -> Vec<String> {
    diagnosis(machine).unwrap().advice()
}

#[test]
fn a_machine_with_room_has_nothing_to_change() {
    assert_eq!(advice(roomy()), Vec::<String>::new());
    assert_eq!(advice(Machine { descriptors: (None, None), ..roomy() }), Vec::<String>::new());
}

#[test]
fn what_narrows_a_scan_is_named_with_the_number_to_set() {
    let few = Machine { descriptors: (Some(256), Some(256)), ..roomy() };
    assert!(diagnosis(few.clone()).unwrap().to_string().contains("228 probes in flight"));
    assert!(advice(few)[0].contains("20064"));
    let ports = Machine { source_ports: Some((50_000, 51_000)), ..roomy() };
    assert!(advice(ports)[0].contains("ip_local_port_range"));
    let table = Conntrack {
        max: 65_536,
        used: 5_536,
        syn_sent: Duration::from_secs(120),
        seen: Seen::Node,
    };
    assert!(advice(Machine { conntrack: Some(table), ..roomy() })[0].contains("--rate 500,"));
    let line = |seen| {
        let table = Conntrack { seen, ..table };
        diagnosis(Machine { conntrack: Some(table), ..roomy() }).unwrap().to_string()
    };
    assert!(line(Seen::Node).contains("5536 of 65536 entries used; room for 500 silent"));
    assert!(line(Seen::Namespace).contains("5536 of 65536 entries used in this network names"));
    let table = TableRoom { max: 1024, used: 300, overflows: 0 };
    let room = Machine { neighbours: [Some(table); 2], ..roomy() };
    let text = diagnosis(room.clone()).unwrap().to_string();
    assert!(text.contains("IPv6 300 of 1024 entries used, looks for 256 at a time"));
    assert_eq!(advice(room), Vec::<String>::new());
    let table = TableRoom { overflows: 7, ..table };
    let tight = Machine { neighbours: [None, Some(table)], ..roomy() };
    let advice_on_it = &advice(tight)[0];
    assert!(advice_on_it.contains("net.ipv6.neigh.default.gc_thresh3"), "{advice_on_it}");
    assert!(advice_on_it.contains("7 times"), "{advice_on_it}");
    let memory = Machine { memory: Some(64 << 20), ..roomy() };
    assert!(advice(memory)[0].starts_with("allow 264 MB of memory for 20000 probes"));
    let enough = Machine { memory: Some(264 << 20), ..roomy() };
    assert_eq!(advice(enough), Vec::<String>::new());
    let none = Machine { descriptors: (Some(20), Some(20)), ..roomy() };
    assert!(diagnosis(none).is_err());
}

#[test]
fn the_kernels_files_are_understood() {
    assert_eq!(port_range("32768\t60999"), Some((32_768, 60_999)));
    assert_eq!((port_range("60999 32768"), port_range("")), (None, None));
    let line = |scope: &str| format!("fe80000000000000 02 40 {scope} 80 eth0\n");
    let reach = |scopes: &[&str]| {
        Ipv6Reach::of_interfaces(&scopes.iter().map(|scope| line(scope)).collect::<String>())
    };
    assert_eq!(reach(&[]), Ipv6Reach::Nowhere);
    assert_eq!(reach(&["10"]), Ipv6Reach::Loopback);
    assert_eq!(reach(&["20", "10"]), Ipv6Reach::Link);
    assert_eq!(reach(&["10", "00", "20"]), Ipv6Reach::Everywhere);
}
