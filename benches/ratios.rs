//! How many times longer other ways take than the engine, fit to be quoted.
//!
//! Each round runs every way once, in rotating order, and compares within the
//! round: what else the machine does meets all of them alike. The CPU time of
//! this process, all its threads together, depends on that even less.
//! See `rounds` for how to set the number of rounds.
#![expect(clippy::print_stdout, reason = "the table is what this is for")]

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::support::full_range::{FullRange, PORTS, Way};
use crate::support::rounds::{median, quantile, ratios, wanted_rounds};

mod support {
    pub(crate) mod full_range;
    pub(crate) mod rounds;
    pub(crate) mod service;
}

/// The times of every way, round by round, in the order of [`Way::ALL`].
#[derive(Default)]
struct Rounds {
    times: [Vec<f64>; Way::ALL.len()],
    cpu_times: [Vec<f64>; Way::ALL.len()],
    /// What the requests took beyond the scans within, relative to these.
    beyond_scan: Vec<f64>,
}

impl Rounds {
    fn run(&mut self, range: &FullRange, round: usize) {
        for turn in 0..Way::ALL.len() {
            let index = (round + turn) % Way::ALL.len();
            let (start, cpu_start) = (Instant::now(), cpu_time());
            let scan_time = range.scan(Way::ALL[index]);
            let (time, cpu_time) = (start.elapsed(), cpu_time() - cpu_start);
            self.times[index].push(time.as_secs_f64());
            self.cpu_times[index].push(cpu_time.as_secs_f64());
            if let Some(scan_time) = scan_time {
                self.beyond_scan.push(time.div_duration_f64(scan_time) - 1.0);
            }
        }
    }

    fn print(&self) {
        let ([engine, ..], [cpu_engine, ..]) = (&self.times, &self.cpu_times);
        println!("\nloopback_full_range, {} rounds in rotating order", engine.len());
        println!(
            "{:<22} {:>10} {:>9} {:>10}  times the engine's (middle half), its CPU time",
            "way", "median", "ports/s", "CPU a port",
        );
        for ((way, times), cpu_times) in Way::ALL.into_iter().zip(&self.times).zip(&self.cpu_times)
        {
            let time = median(times);
            let ratios = ratios(times, engine);
            println!(
                "{:<22} {:>7.1} ms {:>9.0} {:>7.2} us  {:.3} ({:.3} to {:.3}), {:.3}",
                way.name(),
                time * 1e3,
                f64::from(PORTS) / time,
                median(cpu_times) / f64::from(PORTS) * 1e6,
                median(&ratios),
                quantile(&ratios, 0.25),
                quantile(&ratios, 0.75),
                median(&crate::ratios(cpu_times, cpu_engine)),
            );
        }
        let beyond = median(&self.beyond_scan) * 100.0;
        println!("http_request spent {beyond:.2} % more than the scan within it (median)");
    }
}

/// What all threads of this process have used.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("CPU time is not negative")
}

fn main() {
    let Some(rounds) = wanted_rounds("ratios", ROUNDS, QUICK_ROUNDS) else { return };
    let range = FullRange::new();
    let mut kept = Rounds::default();
    // The first scans of a process pay for pages and caches.
    Rounds::default().run(&range, 0);
    let start = Instant::now();
    for round in 0..rounds {
        kept.run(&range, round);
    }
    kept.print();
    let took: Duration = start.elapsed();
    println!("{:.1} s in all\n", took.as_secs_f64());
}

/// Enough for the middle half of the ratios to be a few per cent wide.
const ROUNDS: usize = 15;

/// Enough for each way to come first once.
const QUICK_ROUNDS: usize = Way::ALL.len();
