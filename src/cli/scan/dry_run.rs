//! `--dry-run`: what a scan would take, and what that depends on. Nothing is sent, not
//! even a question to a name server.

use std::fmt::Write as _;
use std::io::Write;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde_json::{Value, json};

use super::exit_of;
use super::job::Job;
use super::sink::Sink;
use crate::cli::{Exit, print_error};
use crate::machine::attached::attached_networks;
use crate::machine::descriptors::{DescriptorPlan, descriptor_limits};
use crate::machine::doctor::Machine;
use crate::output::Format;
use crate::scan::Scanner;
use crate::sweep::estimate::{Bound, Estimate, Ground, Load, Shards};
use crate::targets::{AddressRange, AddressSet};

/// Prints what the scan would take, and returns the exit status.
pub(super) fn run(mut job: Job, descriptors: DescriptorPlan, cores: NonZeroUsize) -> Exit {
    let load = match load(&mut job) {
        Ok(load) => load,
        Err(exit) => return exit,
    };
    let scanner = Scanner::new(descriptors.for_command(), cores);
    let room = Machine::observe(descriptor_limits(), cores).room();
    let ground = Ground { scanner: &scanner, room: &room, cores };
    let shard = job.shard.unwrap_or_default();
    let forecast = Forecast {
        estimate: Estimate::new(&load, ground),
        shards: job.deadline.map(|time| {
            let whole = load.whole(shard.count().into());
            (time, Shards::within(time, &whole, ground))
        }),
        load,
    };
    let output = job.outputs.first();
    let path = output.map(|output| output.path.as_path()).filter(|path| path.as_os_str() != "-");
    let text = match output.map_or(job.format, |output| output.format) {
        Some(Format::Json) => format!("{:#}\n", forecast.document()),
        _ => forecast.table(),
    };
    let written = Sink::open(path).and_then(|mut sink| {
        sink.write_all(text.as_bytes())?;
        sink.flush()?;
        sink.finish()
    });
    match written {
        Ok(()) => Exit::Whole,
        Err(error) => Exit::of_output(&error),
    }
}

/// What a scan would take.
struct Forecast {
    load: Load,
    estimate: Estimate,
    /// The time that was asked for, and how many shards it wants.
    shards: Option<(Duration, Shards)>,
}

/// Reads the list of hosts to its end.
fn load(job: &mut Job) -> Result<Load, Exit> {
    let attached = attached_networks().into_iter();
    let (v4, v6): (Vec<_>, Vec<_>) = attached.partition(|(first, _)| first.is_ipv4());
    let networks = [v4, v6].map(|networks| {
        let ranges = networks.into_iter();
        let ranges = ranges.filter_map(|(first, last)| AddressRange::try_new(first, last));
        AddressSet::new(ranges.collect(), &AddressSet::default())
    });
    let (ports, timeout, rate) = (job.ports.len(), job.timeout, job.rate);
    let mut load = Load { hosts: 0, names: 0, attached: [0; 2], ports, timeout, rate };
    let mut next = Some(job.first.clone());
    while let Some(set) = next {
        load.hosts += set.remaining();
        load.names += set.names();
        for (networks, attached) in networks.iter().zip(&mut load.attached) {
            *attached += set.addresses_in(networks);
        }
        next = job.rest.next_set().map_err(|error| {
            print_error(&format!("--targets: {error}"));
            exit_of(&error)
        })?;
    }
    Ok(load)
}

impl Forecast {
    /// Lines for people.
    fn table(&self) -> String {
        let Self { load, estimate, shards } = self;
        let mut text = String::new();
        let mut line = |what: &str, value: String| {
            writeln!(text, "{what:15} {value}").expect("to a string");
        };
        let names =
            if load.names > 0 { format!(", {} of them names", load.names) } else { "".into() };
        line("hosts", format!("{}{names}; those that policy refuses are counted too", load.hosts));
        line("targets", format!("{}, {} a host", estimate.targets, load.ports));
        line("packets", format!("{} if nothing answers", estimate.packets));
        for Bound { name, allows, takes } in &estimate.bounds {
            line(name, format!("{}: {allows}", span(*takes)));
        }
        line("at best", format!("{}, if everything answers at once", span(estimate.best)));
        let binds = estimate.binds();
        line("if silent", format!("{}, bound by {binds}", span(estimate.silent)));
        line("at worst", format!("{}, if packets are lost as well", span(estimate.worst)));
        if let Some((time, Shards { silent, worst })) = shards {
            let number = |shards: &Option<u64>| match shards {
                Some(number) => number.to_string(),
                None => "no number is enough".into(),
            };
            line(
                "shards",
                format!(
                    "for {}: {} if silent, {} at worst",
                    span(*time),
                    number(silent),
                    number(worst)
                ),
            );
        }
        text
    }

    /// One JSON document.
    fn document(&self) -> Value {
        let Self { load, estimate, shards } = self;
        let bounds = estimate.bounds.iter().map(|Bound { name, allows, takes }| {
            json!({"name": name, "allows": allows, "takes_ms": milliseconds(*takes)})
        });
        let mut document = json!({
            "dry_run": true,
            "hosts": load.hosts,
            "names": load.names,
            "ports": load.ports,
            "targets": estimate.targets,
            "packets": estimate.packets,
            "best_ms": milliseconds(estimate.best),
            "silent_ms": milliseconds(estimate.silent),
            "worst_ms": milliseconds(estimate.worst),
            "bound_by": estimate.binds(),
            "bounds": bounds.collect::<Vec<Value>>(),
        });
        if let Some((time, Shards { silent, worst })) = shards {
            document["deadline_ms"] = milliseconds(*time).into();
            document["shards"] = json!({"silent": silent, "worst": worst});
        }
        document
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A time as people read it.
fn span(time: Duration) -> String {
    if time < Duration::from_secs(100) {
        return format!("{:.1} s", time.as_secs_f64());
    }
    humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_exact_as_people_want_them() {
        for (ms, text) in
            [(0, "0.0 s"), (1_300, "1.3 s"), (99_900, "99.9 s"), (3_725_500, "1h 2m 5s")]
        {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }
}
