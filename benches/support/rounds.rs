//! Rounds that compare: how many to run, and what their figures come to.

use std::env;

/// How many rounds the arguments ask for: `--quick` as few as `quick`, `--test`
/// one, OPEN_PORTS_BENCH_ROUNDS any number; `None` if they ask for other benches
/// than `name`.
pub(crate) fn wanted_rounds(name: &str, rounds: usize, quick: usize) -> Option<usize> {
    let has = |wanted: &str| env::args().any(|argument| argument == wanted);
    let (_, filters): (Vec<_>, Vec<_>) =
        env::args().skip(1).partition(|argument| argument.starts_with('-'));
    if has("--list") || !filters.iter().all(|filter| name.contains(filter)) {
        return None;
    }
    if let Ok(rounds) = env::var("OPEN_PORTS_BENCH_ROUNDS") {
        let rounds = rounds.parse().ok().filter(|&rounds| rounds > 0);
        return Some(rounds.expect("OPEN_PORTS_BENCH_ROUNDS is a number above 0"));
    }
    // `cargo bench` says --bench; `cargo test --benches` does not.
    Some(if has("--test") || !has("--bench") {
        1
    } else if has("--quick") {
        quick
    } else {
        rounds
    })
}

/// Value by reference, round by round.
pub(crate) fn ratios(values: &[f64], references: &[f64]) -> Vec<f64> {
    values.iter().zip(references).map(|(value, reference)| value / reference).collect()
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let steps = u32::try_from(values.len() - 1).expect("rounds are few");
    let place = (f64::from(steps) * part).round();
    values.into_iter().zip(0..).find(|&(_, i)| f64::from(i) >= place).expect("part is below 1").0
}
