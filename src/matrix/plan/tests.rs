use super::*;

/// Vantages and targets by what they are written as; those of a pattern are `a` and `b`.
fn resolved(wanted: &Wanted) -> Resolved {
    let (from, to) = wanted.peers();
    let none = || NotAsked::new("nobody is there");
    let seats = from.into_iter().map(|peer| {
        let names = match &peer {
            Peer::Workload(workload) if workload.is_pattern() => {
                let namespace = workload.namespace.as_deref().unwrap();
                vec![format!("{namespace}/a"), format!("{namespace}/b")]
            }
            _ => vec![peer.to_string()],
        };
        let group = |name: &str| name.split_once('/').map(|(group, _)| group.to_owned());
        let seat = |name: String| Seat { group: group(&name), name, vantage: Err(none()) };
        (peer, names.into_iter().map(seat).collect())
    });
    let columns = to.into_iter().map(|target| {
        let columns = match &target {
            Target::Hosts(hosts) => Column::of_hosts(hosts).unwrap(),
            Target::Workload(workload) => {
                let namespace = workload.namespace.clone().unwrap();
                let names: &[&str] =
                    if workload.is_pattern() { &["a", "b"] } else { &[workload.name.as_str()] };
                let column = |name: &&str| {
                    let name = format!("{namespace}/{name}");
                    let group = Some(namespace.clone());
                    Column { name, group, host: Err(none()) }
                };
                names.iter().map(column).collect()
            }
        };
        (target, columns)
    });
    Resolved { seats: seats.collect(), columns: columns.collect() }
}

fn wanted(rules: &str) -> Wanted {
    let rules = Rules::read(rules).unwrap_or_else(|errors| panic!("{errors:?}"));
    Wanted { rules, ..Wanted::default() }
}

/// The cells, one line each pair.
fn cells(wanted: &Wanted) -> Vec<String> {
    let plan = Plan::try_new(wanted, &resolved(wanted)).unwrap_or_else(|errors| {
        panic!("{errors:?}");
    });
    let pair = |pair: &Pair| {
        let parts = pair.parts.iter().map(|part| {
            let mark = match part.expected {
                None => "?",
                Some(Expected::Open) => "+",
                Some(Expected::Denied) => "-",
            };
            format!(" {mark}{}", part.ports)
        });
        let (seat, column) = (&plan.seats[pair.seat].name, &plan.columns[pair.column].name);
        format!("{seat} => {column}:{}", parts.collect::<String>())
    };
    plan.pairs.iter().map(pair).collect()
}

fn errors(wanted: &Wanted) -> Vec<String> {
    Plan::try_new(wanted, &resolved(wanted)).err().expect("it is wrong")
}

#[test]
fn only_what_rules_mention_has_cells() {
    let wanted = wanted("local => db : TCP 5432\nhttp://a => web : TCP 80,443\n");
    assert_eq!(cells(&wanted), ["local => db: +5432", "http://a => web: +80,443"]);
}

#[test]
fn none_is_about_all_ports_that_are_asked_of_the_target() {
    let rules = "local => db : TCP 5432\nhttp://a => db : none\nhttp://a => web : TCP 80\n";
    let denied = wanted(rules);
    assert_eq!(cells(&denied)[1], "http://a => db: -5432");
    let more = Wanted { ports: Some("22".parse().unwrap()), ..denied };
    assert_eq!(cells(&more)[1], "http://a => db: -22,5432");
    assert_eq!(cells(&wanted("local => db:80 : none")), ["local => db: -80"]);
    let both = wanted("local => db:80 : none\nhttp://a => db:443 : none\n");
    assert_eq!(cells(&both), ["local => db: -80", "http://a => db: -443"]);
    let nothing = errors(&wanted("local => db : none\nlocal => web : TCP 80"));
    assert_eq!(
        nothing,
        ["line 1: no port of db is named; give ports with -p, or in another rule about it"]
    );
}

#[test]
fn the_more_exact_rule_wins_and_equal_ones_may_not_contradict() {
    let rules = "shop/* => db : none\nshop/a => db : TCP 5432\nlocal => db : TCP 22";
    let found = cells(&wanted(rules));
    assert_eq!(found, ["shop/a => db: -22 +5432", "shop/b => db: -22,5432", "local => db: +22"]);
    let contradiction = errors(&wanted("local => db : TCP 22-25\nlocal => db : none TCP 23"));
    assert_eq!(contradiction, ["line 2: contradicts line 1 about local => db : TCP 23"]);
    // Two rules may be more exact on one side each.
    let crossed = "shop/* => db : none TCP 22\nshop/a => * : TCP 22\n";
    assert_eq!(cells(&wanted(crossed)), ["shop/a => db: -22", "shop/b => db: -22"]);
}

#[test]
fn a_star_does_not_pair_a_workload_with_itself() {
    let found = cells(&wanted("shop/* => shop/* : none TCP 80"));
    assert_eq!(found, ["shop/a => shop/b: -80", "shop/b => shop/a: -80"]);
    assert_eq!(cells(&wanted("shop/a => shop/a : TCP 80")), ["shop/a => shop/a: +80"]);
    let all = cells(&wanted("* => * : TCP 80\nlocal => shop/a : TCP 22\nshop/a => db : TCP 22"));
    assert_eq!(all, ["local => shop/a: +22 +80", "local => db: +80", "shop/a => db: +22 +80"]);
}

#[test]
fn listed_pairs_have_cells_that_nobody_judges() {
    let listed = Wanted {
        from: vec!["local".parse().unwrap(), "http://a".parse().unwrap()],
        to: vec!["db:5432".parse().unwrap(), "10.0.0.1-2".parse().unwrap()],
        ports: Some("22".parse().unwrap()),
        ..Wanted::default()
    };
    let found = cells(&listed);
    assert_eq!(found.len(), 6);
    assert_eq!(found[0], "local => db: ?22,5432");
    assert_eq!(found[5], "http://a => 10.0.0.2: ?22");
    let none = errors(&Wanted { to: vec!["db".parse().unwrap()], ports: None, ..listed.clone() });
    assert_eq!(none, ["no port is named: give ports with -p"]);
    let both = Wanted { rules: wanted("local => db : TCP 5432").rules, ..listed };
    assert_eq!(cells(&both)[0], "local => db: ?22 +5432");
}

#[test]
fn strictly_everything_else_ought_to_be_denied() {
    let rules = "shop/a => shop/b : TCP 80\nlocal => db : TCP 22,80";
    let strict = Wanted { is_strict: true, ..wanted(rules) };
    assert_eq!(
        cells(&strict),
        [
            "shop/a => shop/b: +80",
            "shop/a => db: -22,80",
            "local => shop/b: -80",
            "local => db: +22,80",
        ]
    );
}

#[test]
fn networks_become_hosts_within_a_limit() {
    let target = |text: &str| Column::of_hosts(&text.parse().unwrap()).map(|hosts| hosts.len());
    assert_eq!(target("10.0.0.0/30"), Ok(4));
    assert_eq!(target("10.0.0.0/16"), Ok(65536));
    let many = "the network or range from 10.0.0.0 has 131072 addresses, and 65536 can be asked";
    assert_eq!(target("10.0.0.0/15"), Err(many.into()));
}
