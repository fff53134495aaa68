//! `--dry-run`: what a scan would take, and what that depends on. Nothing is sent, not
//! even a question to a name server.

use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use super::exit_of;
use super::job::Job;
use super::sink::Sink;
use crate::cli::engine::Engine;
use crate::cli::{Exit, print_error};
use crate::machine::descriptors::descriptor_limits;
use crate::machine::doctor::Machine;
use crate::output::Format;
use crate::sweep::estimate::{Bound, Ground, Load, Shards};
use crate::sweep::forecast::{Attached, Forecast};

/// Prints what the scan would take, and returns the exit status.
pub(super) fn run(mut job: Job, engine: Engine) -> Exit {
    let load = match load(&mut job) {
        Ok(load) => load,
        Err(exit) => return exit,
    };
    let scanner = engine.scanner();
    let room = Machine::observe(descriptor_limits(), engine.cores).room();
    let ground = Ground { scanner: &scanner, room: &room };
    let forecast = Forecast::new(load, job.shard.unwrap_or_default(), job.deadline, ground);
    let output = job.outputs.first();
    let path = output.map(|output| output.path.as_path()).filter(|path| path.as_os_str() != "-");
    let text = match output.map_or(job.format, |output| output.format) {
        Some(Format::Json) => format!("{:#}\n", forecast.document()),
        _ => table(&forecast),
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

/// Reads the list of hosts to its end.
fn load(job: &mut Job) -> Result<Load, Exit> {
    let attached = Attached::observe();
    let mut load = Load::none(job.ports.len(), job.timeout, job.rate);
    let mut next = Some(job.first.clone());
    while let Some(set) = next {
        attached.count(&set, &mut load);
        next = job.rest.next_set().map_err(|error| {
            print_error(&format!("--targets: {error}"));
            exit_of(&error)
        })?;
    }
    Ok(load)
}

/// Lines for people.
fn table(forecast: &Forecast) -> String {
    let Forecast { load, estimate, shards } = forecast;
    let mut text = String::new();
    let mut line = |what: &str, value: String| {
        writeln!(text, "{what:15} {value}").expect("to a string");
    };
    let names = if load.names > 0 { format!(", {} of them names", load.names) } else { "".into() };
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
