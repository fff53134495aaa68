//! Asks every vantage, side by side and as often as it takes for an answer to hold.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::{Instant, sleep, timeout};

use super::answers::{Answers, NotAsked, Question};
use super::plan::{Plan, Seat};
use super::vantage::Vantage;
use super::verdict::{Judged, Round};
use crate::ports::PortSet;

/// How vantages are asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// How many at once.
    pub(crate) parallel: usize,
    /// How long a port may take to answer.
    pub(crate) timeout: Duration,
    /// How long a vantage may take.
    pub(crate) deadline: Duration,
    /// Whether the address of the cloud's metadata may be asked.
    pub(crate) metadata: bool,
}

/// How long verdicts are waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patience {
    /// How long they have to stay the same.
    pub(crate) settle: Option<Duration>,
    /// How long they may take to be as expected.
    pub(crate) within: Option<Duration>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// The last round.
    pub(crate) round: Round,
    /// How often everybody was asked.
    pub(crate) rounds: u32,
    /// Whether verdicts stayed the same for as long as they had to.
    pub(crate) has_settled: bool,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

/// Asks until `patience` has an end.
pub(crate) async fn run(plan: &Plan, terms: &Terms, patience: Patience) -> Ended {
    let begun = Instant::now();
    let mut settling = Settling::new(patience, begun);
    let mut rounds = 0;
    loop {
        let asked = Instant::now();
        let round = ask_all(plan, terms).await;
        rounds += 1;
        let judged = Judged::new(plan, &round);
        let tally = judged.tally();
        let is_good = !tally.is_wrong() && tally.is_complete();
        let step = settling.step((asked, Instant::now()), judged.fingerprint(), is_good);
        match step {
            Step::Again(pause) => sleep(pause).await,
            Step::Done { has_settled } => {
                return Ended { round, rounds, has_settled, elapsed: begun.elapsed() };
            }
        }
    }
}

/// Lets every vantage and witness remove what it made.
pub(crate) async fn close(plan: &Plan) {
    let vantages = plan.seats.iter().filter_map(|seat| seat.vantage.as_ref().ok());
    let hosts = plan.columns.iter().filter_map(|column| column.host.as_ref().ok());
    let witnesses = hosts.filter_map(|target| target.witness.as_ref());
    let all: Vec<Arc<dyn Vantage>> = vantages.chain(witnesses).map(Arc::clone).collect();
    stream::iter(all)
        .for_each_concurrent(None, |vantage| async move { vantage.close().await })
        .await;
}

/// Asks everybody once, and then the witnesses of what is in doubt.
async fn ask_all(plan: &Plan, terms: &Terms) -> Round {
    let question = |hosts, ports| Question {
        hosts,
        ports,
        timeout: terms.timeout,
        deadline: terms.deadline,
        metadata: terms.metadata,
    };
    let everything = question(plan.hosts(), plan.ports.clone());
    let asked = plan.seats.iter().map(|seat| ask_seat(seat, &everything));
    let answers = stream::iter(asked).buffered(terms.parallel).collect().await;
    let mut round = Round { answers, witnesses: vec![None; plan.columns.len()] };
    let doubts = Judged::new(plan, &round).in_doubt();
    let witnesses = doubts.into_iter().filter_map(|(column, ports)| {
        let target = plan.columns[column].host.as_ref().ok()?;
        let witness = Arc::clone(target.witness.as_ref()?);
        let question = question(vec![target.host.clone()], PortSet::from_ports(ports)?);
        Some(async move { (column, ask(&*witness, &question).await) })
    });
    let mut heard = stream::iter(witnesses).buffer_unordered(terms.parallel);
    while let Some((column, answers)) = heard.next().await {
        round.witnesses[column] = Some(answers);
    }
    drop(heard);
    round
}

async fn ask_seat(seat: &Seat, question: &Question) -> Result<Answers, NotAsked> {
    match &seat.vantage {
        Ok(_) if question.hosts.is_empty() => Ok(Answers::default()),
        Ok(vantage) => ask(&**vantage, question).await,
        Err(reason) => Err(reason.clone()),
    }
}

async fn ask(vantage: &dyn Vantage, question: &Question) -> Result<Answers, NotAsked> {
    let most = question.deadline + GRACE;
    match timeout(most, vantage.ask(question)).await {
        Ok(answers) => answers,
        Err(_) => {
            let seconds = question.deadline.as_secs_f64();
            Err(NotAsked::new(format!("it did not answer within {seconds} s")))
        }
    }
}

/// Decides when verdicts have held. Pure.
#[derive(Debug)]
struct Settling {
    patience: Patience,
    begun: Instant,
    /// The verdicts, and since when they are known.
    held: Option<(u64, Instant)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Again(Duration),
    Done { has_settled: bool },
}

impl Settling {
    fn new(patience: Patience, begun: Instant) -> Self {
        Self { patience, begun, held: None }
    }

    /// Takes a round that was `asked` and `answered` at these times. `print` stands for its
    /// verdicts; `is_good` says whether all is as expected.
    // Verdicts are the same from the end of the first round to the start of the last one
    // for sure. What happened within a round is not known.
    fn step(&mut self, (asked, answered): (Instant, Instant), print: u64, is_good: bool) -> Step {
        let since = match self.held {
            Some((known, since)) if known == print => since,
            _ => answered,
        };
        self.held = Some((print, since));
        let Patience { settle, within } = self.patience;
        let held = asked.saturating_duration_since(since);
        let has_held = settle.is_none_or(|settle| held >= settle);
        if has_held && (is_good || within.is_none()) {
            return Step::Done { has_settled: true };
        }
        let most = within.or_else(|| settle.map(|settle| settle + MOST_UNSETTLED));
        if most.is_some_and(|most| answered.saturating_duration_since(self.begun) >= most) {
            return Step::Done { has_settled: has_held };
        }
        let pause = settle.map_or(PAUSE, |settle| settle / 8).clamp(PAUSE / 4, PAUSE * 4);
        Step::Again(pause)
    }
}

/// What a vantage may take beyond its deadline, which it keeps itself: a vantage that
/// ends its scan in time can say of each port whether it was asked.
const GRACE: Duration = Duration::from_secs(2);

/// The pause between two rounds: policies take effect within some tenths of a second.
const PAUSE: Duration = Duration::from_millis(200);

/// How long verdicts may keep changing if nobody said how long. Longer than a policy
/// takes on a cluster that is busy.
const MOST_UNSETTLED: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
