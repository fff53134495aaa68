//! Ports a second: the full loopback range, in the engine's way and in others.
//!
//! The ways run one after the other here, each for some seconds. On a machine
//! with other work their ratios drift; `ratios` compares them in turns.

use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};

use crate::support::full_range::{FullRange, PORTS, Way};

mod support {
    pub(crate) mod full_range;
    pub(crate) mod service;
}

fn loopback_full_range(criterion: &mut Criterion) {
    let range = FullRange::new();
    let mut group = criterion.benchmark_group("loopback_full_range");
    group.throughput(Throughput::Elements(PORTS.into()));
    // A scan takes long enough to be a sample by itself.
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    group.warm_up_time(Duration::from_secs(1));
    for way in Way::ALL {
        group.bench_function(way.name(), |bencher| bencher.iter(|| range.scan(way)));
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    loopback_full_range(&mut criterion);
    criterion.final_summary();
}
