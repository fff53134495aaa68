use std::time::Duration;

use super::rows::Rows;
use super::*;
use crate::matrix::{
    Answers, Column, Ended, NotAsked, Plan, Resolved, Round, Rules, Seat, State, Target, Wanted,
};
use crate::scan::Reason;

const SILENT: State = State::Filtered(Reason::NoResponse);

/// The plan of rules about hosts, whose vantages are in the namespace before their slash.
fn plan(rules: &str) -> Plan {
    let rules = Rules::read(rules).unwrap_or_else(|errors| panic!("{errors:?}"));
    let wanted = Wanted { rules, ..Wanted::default() };
    let (from, to) = wanted.peers();
    let seats = from.into_iter().map(|peer| {
        let name = peer.to_string();
        let group = name.split_once('/').map(|(group, _)| group.to_owned());
        let group = group.filter(|group| !group.contains(':'));
        let vantage = Err(NotAsked::new("nobody is there"));
        (peer, vec![Seat { name, group, vantage }])
    });
    let columns = to.into_iter().map(|target| {
        let Target::Hosts(hosts) = &target else { panic!("no cluster") };
        let columns = Column::of_hosts(hosts).unwrap();
        (target, columns)
    });
    let resolved = Resolved { seats: seats.collect(), columns: columns.collect() };
    Plan::try_new(&wanted, &resolved).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn written(format: &str, plan: &Plan, answers: Vec<Result<Answers, NotAsked>>) -> String {
    let round = Round { answers, witnesses: Vec::new() };
    let ended = Ended { round, rounds: 1, has_settled: true, elapsed: Duration::from_millis(1234) };
    let judged = Judged::new(plan, &ended.round);
    let summary = MatrixSummary::new(&judged, &ended);
    let head = MatrixHead {
        command: "open-ports matrix reach.txt",
        file: Some("reach.txt"),
        started: SystemTime::UNIX_EPOCH,
        colour: Colour::No,
    };
    let mut out = Vec::new();
    write_matrix(MatrixFormat::named(format).unwrap(), &head, &judged, &summary, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// One cell of every verdict and state.
fn of_every_kind(format: &str) -> String {
    let plan = plan(
        "shop/web => db : TCP 5432\n\
         shop/web => db : none TCP 22,23,24\n\
         shop/ops => db : TCP 22,5432\n\
         shop/gone => db : none TCP 22\n",
    );
    let web = [
        ("db", 5432, State::Refused),
        ("db", 22, SILENT),
        ("db", 23, State::Open),
        ("db", 24, SILENT),
    ];
    let ops = [("db", 22, State::Open), ("db", 5432, State::Open)];
    let gone = Err(NotAsked::new("it is gone, \"really\""));
    written(format, &plan, vec![Ok(Answers::of(web)), Ok(Answers::of(ops)), gone])
}

#[test]
fn the_table_shows_every_state_and_what_is_wrong() {
    assert_eq!(
        of_every_kind("table"),
        "1  shop/web\n\
         2  shop/ops\n\
         3  shop/gone\n\
         \n\
         TARGET  PORT   1  2  3\n\
         db      22     X  .  !\n\
         db      23    [.]\n\
         db      24     ?\n\
         db      5432  [x] .\n\
         \n\
         . open  x refused  X filtered  ? unproved  ! not asked  [ ] not as expected\n\
         7 cells in 1.23 s: 3 ok, 1 unexpected, 1 missing, 1 unproved, 1 not asked\n\
         unexpected: shop/web => db : TCP 23 is open (reach.txt:2)\n\
         missing: shop/web => db : TCP 5432 is refused (reach.txt:1)\n\
         unproved: shop/web => db : TCP 24 is filtered (no-response), and nobody could open it \
         (reach.txt:2)\n\
         shop/web reaches nothing that others reach: likely its egress\n\
         shop/gone was not asked: it is gone, \"really\"\n"
    );
}

#[test]
fn documents_and_records_have_every_cell_and_the_summary() {
    let document: serde_json::Value = serde_json::from_str(&of_every_kind("json")).unwrap();
    let cells = document["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 7);
    assert_eq!(cells[0]["vantage"], "shop/web");
    assert_eq!(cells[0]["port"], 22);
    assert_eq!(cells[0]["state"], "filtered");
    assert_eq!(cells[0]["reason"], "no-response");
    assert_eq!(cells[0]["expected"], "denied");
    assert_eq!(cells[0]["verdict"], "ok");
    assert_eq!(cells[0]["line"], 2);
    assert_eq!(document["complete"], false);
    assert_eq!(document["as_expected"], false);
    assert_eq!(document["cell_count"], 7);
    assert_eq!(document["unproved"], 1);
    assert_eq!(document["causes"].as_array().unwrap().len(), 2);
    let records = of_every_kind("ndjson");
    let records: Vec<serde_json::Value> =
        records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 8);
    assert_eq!(records[6]["type"], "cell");
    assert_eq!(records[6]["state"], "not-asked");
    assert_eq!(records[7]["type"], "end");
    assert_eq!(records[7]["summary"]["not_asked"], 1);
    let csv = of_every_kind("csv");
    assert_eq!(csv.lines().count(), 8);
    let last = csv.lines().last().unwrap();
    assert_eq!(
        last,
        "shop/gone,db,db,22,tcp,not-asked,\"it is gone, \"\"really\"\"\",denied,not-asked,4"
    );
}

#[test]
fn no_format_for_ci_shows_a_doubt_as_passed() {
    let tap = of_every_kind("tap");
    assert_eq!(tap.lines().filter(|line| line.starts_with("ok ")).count(), 3, "{tap}");
    // Those of the cells, and of the run as a whole.
    assert_eq!(tap.lines().filter(|line| line.starts_with("not ok ")).count(), 4 + 1, "{tap}");
    assert!(tap.contains("not ok 4 - shop/web: does not reach db:24\n"), "{tap}");
    assert!(tap.contains("# shop/web => db:24 is filtered (no-response), but"), "{tap}");
    assert!(tap.contains("# reach.txt:2"), "{tap}");
    let junit = of_every_kind("junit");
    assert_eq!(junit.matches("<failure").count(), 3, "{junit}");
    assert_eq!(junit.matches("<error").count(), 2, "{junit}");
    let sarif: serde_json::Value = serde_json::from_str(&of_every_kind("sarif")).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 5);
    assert_eq!(results[0]["locations"][0]["physicalLocation"]["region"]["startLine"], 1);
    assert_eq!(sarif["runs"][0]["invocations"][0]["executionSuccessful"], false);
    let github = of_every_kind("github");
    assert_eq!(github.matches("::error ").count(), 4, "{github}");
}

#[test]
fn a_graph_has_an_edge_for_what_is_reached_or_wrong() {
    let dot = of_every_kind("dot");
    for part in [
        "subgraph \"cluster_shop\" {",
        "\"shop/web\" -> \"db\" [label=\"unexpected: 23\", color=red, penwidth=2];",
        "\"shop/web\" -> \"db\" [label=\"missing: 5432\", color=red, style=dashed];",
        "\"shop/ops\" -> \"db\" [label=\"22,5432\", color=darkgreen];",
    ] {
        assert!(dot.contains(part), "{part}: {dot}");
    }
    assert_eq!(dot.matches(" -> ").count(), 5, "{dot}");
}

#[test]
fn what_looks_alike_is_folded() {
    let plan = plan("local => 10.0.0.0/24 : TCP 22,80\n");
    let hosts: Vec<String> = (0..=255).map(|last| format!("10.0.0.{last}")).collect();
    let open = |host: &str| if host == "10.0.0.9" { 80 } else { 22 };
    let answers = Answers::of(hosts.iter().map(|host| (host.as_str(), open(host), State::Open)));
    let round = Round { answers: vec![Ok(answers)], witnesses: Vec::new() };
    let judged = Judged::new(&plan, &round);
    let rows: Vec<String> = Rows::new(&judged)
        .rows
        .iter()
        .map(|row| format!("{} : {}", row.target, row.ports))
        .collect();
    assert_eq!(
        rows,
        [
            "10.0.0.0 and 254 alike : 22",
            "10.0.0.0 and 254 alike : 80",
            "10.0.0.9 : 22",
            "10.0.0.9 : 80",
        ]
    );
}

#[test]
fn many_vantages_of_a_namespace_that_see_the_same_share_a_column() {
    let vantages = |count: usize| -> Vec<String> {
        let shop = (1..count).map(|number| format!("shop/web-{number}"));
        shop.chain(["ops/cron".into()]).collect()
    };
    let table = |count: usize| {
        let vantages = vantages(count);
        let rules: String =
            vantages.iter().map(|name| format!("{name} => db : none TCP 22\n")).collect();
        let answer = |name: &String| {
            let state = if name == "shop/web-7" { State::Open } else { SILENT };
            Ok(Answers::of([("db", 22, state)]))
        };
        written("table", &plan(&rules), vantages.iter().map(answer).collect())
    };
    let folded = table(25);
    for part in [
        "1  shop/* (23 alike)\n2  shop/web-7\n3  ops/cron\n\n",
        "TARGET  PORT   1  2  3\n",
        "db      22     X [.] X\n",
        "25 cells in 1.23 s: 24 ok, 1 unexpected",
        "unexpected: shop/web-7 => db : TCP 22 is open",
    ] {
        assert!(folded.contains(part), "{part}: {folded}");
    }
    // Up to 24 columns fit on a screen.
    assert!(table(24).contains("24  ops/cron\n"), "{}", table(24));
}
