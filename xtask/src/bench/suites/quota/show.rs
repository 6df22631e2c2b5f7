//! What the lanes' outcomes say: tables, targets, curves.

use super::lane::{Outcome, Tally};
use super::scenario::{Provider, Scenario, Size, Trouble};
use super::{Lane, MANY_CALLS};
use crate::bench::report::{Finding, Row, Table, Target, figure, whole};
use crate::bench::spread::Spread;
use crate::bench::svg::{Bars, Curve, Curves, Panel, Plot};

/// Where everybody is compared. The first is in the picture.
pub const COMPARED: [(Provider, Trouble); 5] = [
    (Provider::Bucket, Trouble::None),
    (Provider::Fixed, Trouble::None),
    (Provider::Silent, Trouble::None),
    (Provider::Bucket, Trouble::RevokedKey),
    (Provider::Bucket, Trouble::DayOver),
];

/// Over how many seconds a rate is taken.
const SPAN_S: f64 = 30.0;

impl Scenario {
    /// In words.
    pub fn words(&self) -> String {
        let many = if self.size.calls == MANY_CALLS {
            format!(", {} calls", whole(self.calls() as usize))
        } else {
            String::new()
        };
        format!("{}: {}{many}", self.provider.words(), self.trouble.words())
    }

    fn is(&self, (provider, trouble): (Provider, Trouble)) -> bool {
        (self.provider, self.trouble) == (provider, trouble) && self.size.calls != MANY_CALLS
    }
}

impl Lane {
    fn spread(&self, figure: impl Fn(&Outcome) -> f64) -> Option<Spread> {
        Spread::of(&self.outcomes.iter().map(figure).collect::<Vec<_>>())
    }

    /// Its time in those of the bound.
    fn to_bound(&self) -> Option<Spread> {
        self.spread(|outcome| outcome.seconds / self.scenario.bound_s())
    }

    fn wasted_percent(&self) -> Option<Spread> {
        self.spread(|outcome| outcome.wasted() * 100.0)
    }

    fn row(&self, name: String) -> Row {
        let sum = |figure: fn(&Outcome) -> u64| self.outcomes.iter().map(figure).sum::<u64>().to_string();
        let wasted = self.wasted_percent().map_or_else(String::new, |w| format!("{} %", figure(w.median)));
        let is_absent = self.contender.who.is_none();
        let cells = vec![
            wasted,
            sum(|outcome| outcome.lost),
            sum(|outcome| outcome.failures),
            sum(|outcome| outcome.unfinished),
        ];
        Row {
            name,
            how: self.contender.how.clone(),
            kind: self.contender.kind(),
            spread: self.spread(|outcome| outcome.seconds),
            // Who gave up has no makespan to speak of.
            ratio: self.to_bound().filter(|_| self.outcomes.iter().all(|outcome| outcome.unfinished == 0)),
            extra: if is_absent { vec![String::new(); cells.len()] } else { cells },
            absent: is_absent.then(|| format!("not installed ({})", self.contender.install)),
        }
    }
}

/// The whole finding.
pub fn finding(lanes: &[Lane], size: Size, rounds: usize) -> Finding {
    let ours: Vec<&Lane> = lanes.iter().filter(|lane| lane.contender.is_ours()).collect();
    let mut tables = vec![table(
        format!(
            "makespan of wf-supervisor, {} calls where not said otherwise",
            whole((size.workflows * size.calls) as usize)
        ),
        ours.iter().map(|lane| lane.row(lane.scenario.words())).collect(),
    )];
    for compared in COMPARED {
        let rows: Vec<Row> = lanes
            .iter()
            .filter(|lane| lane.scenario.is(compared))
            .map(|lane| lane.row(lane.contender.name.clone()))
            .collect();
        if rows.len() > 1 {
            let words = Scenario { provider: compared.0, trouble: compared.1, size }.words();
            tables.push(table(format!("everybody's makespan, {words}"), rows));
        }
    }
    let targets = targets(&ours);
    let worst = worst(ours.iter().filter_map(|lane| lane.to_bound()));
    let refused = worst_of(&ours, |_| true, Lane::wasted_percent);
    let reading = format!(
        "In its worst scenario the supervisor needs {} × what the quotas allow at best and has {} % of its calls refused; workflows \
         saw {} failures in {} runs.",
        shown(worst),
        shown(refused),
        ours.iter().flat_map(|lane| &lane.outcomes).map(|outcome| outcome.failures).sum::<u64>(),
        ours.iter().map(|lane| lane.outcomes.len()).sum::<usize>(),
    );
    Finding { rounds, targets, reading, notes: notes(), plot: plot(lanes, size), tables }
}

fn table(caption: String, rows: Vec<Row>) -> Table {
    Table {
        caption,
        unit: "s".to_owned(),
        ratio: "× bound".to_owned(),
        extra: ["calls refused", "lost to the dead", "failures seen", "never answered"]
            .map(str::to_owned)
            .into(),
        rows,
    }
}

fn notes() -> Vec<String> {
    [
        "Ours is run with three seeds, one after the other, its long runs and everybody else once, all at the same time, each with a mock \
         of its own: a lane does nothing for nearly all of its time. Counts in the tables are sums over the runs.",
        "*Calls refused* are of all calls that the mock counted. *Lost to the dead* are calls refused because the key is revoked or the day \
         used up. *Failures seen* are those that a workflow gets to know of: of ours, a worker that could not go on; of the others, an \
         error after all retries, after which the workflow rests for a second and asks again, as if somebody had started it anew. \
         Contenders give up after 3.5 × the time that all groups together need, which leaves calls that are *never answered*.",
        "Our time is that of the whole program; the others' clocks begin with the first call, after their libraries are loaded.",
        "All contenders send the same prompts to mocks with the same seed, so a call takes as long for everybody when it is first sent.",
        "The bound is what the limits give per minute. A bucket that begins full, or a window that has just begun, lets whoever \
         sends as fast as it can have up to a minute's requests more, so that a short run can end before the bound, at the price of \
         refusals; for 1,200 calls the earliest end there can be is 240 s. Ours does not take them: it counts every bucket as just \
         drained, because nobody knows what was sent before it began.",
    ]
    .map(str::to_owned)
    .into()
}

fn targets(ours: &[&Lane]) -> Vec<Target> {
    let is_long = |lane: &Lane| lane.scenario.size.calls == MANY_CALLS;
    let is_fixed = |lane: &Lane| lane.scenario.provider == Provider::Fixed;
    let known = |lane: &Lane| lane.scenario.trouble.knows_limits();
    let ratio = |which: &dyn Fn(&Lane) -> bool| worst_of(ours, which, Lane::to_bound);
    let waste = |which: &dyn Fn(&Lane) -> bool| worst_of(ours, which, Lane::wasted_percent);
    let lost = |trouble| {
        worst_of(ours, |lane| lane.scenario.trouble == trouble, |lane| lane.spread(|o| o.lost as f64))
    };
    let all =
        |figure: fn(&Outcome) -> f64| worst_of(ours, |_| true, |lane| lane.spread(figure).map(at_worst));
    let mut targets = vec![
        Target::at_most(
            "buckets, limits known: at most 1.12 × the bound",
            1.12,
            ratio(&|lane| !is_fixed(lane) && !is_long(lane) && known(lane)),
            "×",
        ),
        Target::at_most(
            "buckets, limits wrong or unknown: at most 1.12 × the bound",
            1.12,
            ratio(&|lane| !is_fixed(lane) && !known(lane)),
            "×",
        ),
        Target::at_most(
            "fixed windows: at most 1.20 × the bound",
            1.20,
            ratio(&|lane| is_fixed(lane) && !is_long(lane)),
            "×",
        ),
        Target::at_most("4,800 calls: at most 1.07 × the bound", 1.07, ratio(&is_long), "×"),
        Target::at_most("limits known: at most 0.5 % of calls refused", 0.5, waste(&known), "%"),
        Target::at_most(
            "limits wrong or unknown: at most 3 % of calls refused",
            3.0,
            waste(&|lane| !known(lane)),
            "%",
        ),
        Target::at_most("no failure visible to a workflow", 0.0, all(|o| o.failures as f64), "in a run"),
        Target::at_most("at most 2 calls lost to a dead key", 2.0, lost(Trouble::RevokedKey), "calls"),
        Target::at_most("at most 2 calls lost to a dead day", 2.0, lost(Trouble::DayOver), "calls"),
    ];
    let agreeing: Vec<bool> =
        ours.iter().flat_map(|lane| &lane.outcomes).filter_map(Outcome::agrees).collect();
    let agree = agreeing.iter().filter(|agrees| **agrees).count();
    targets.push(Target {
        claim: "the supervisor and the mock count the same calls and the same refusals".to_owned(),
        measured: format!("in {agree} of {} runs", agreeing.len()),
        reached: (!agreeing.is_empty()).then_some(agree == agreeing.len()),
    });
    targets
}

/// The worst median of the lanes that are meant, with the least and greatest of them.
fn worst_of(
    lanes: &[&Lane],
    which: impl Fn(&Lane) -> bool,
    figure: impl Fn(&Lane) -> Option<Spread>,
) -> Option<Spread> {
    worst(lanes.iter().filter(|lane| which(lane)).filter_map(|lane| figure(lane)))
}

fn worst(spreads: impl Iterator<Item = Spread>) -> Option<Spread> {
    Spread::of(&spreads.map(|spread| spread.median).collect::<Vec<_>>()).map(at_worst)
}

/// Judged by its greatest instead of its median.
fn at_worst(spread: Spread) -> Spread {
    Spread { median: spread.max, ..spread }
}

fn shown(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "–".to_owned(), |spread| figure(spread.median))
}

fn plot(lanes: &[Lane], size: Size) -> Plot {
    let compared: Vec<&Lane> = lanes.iter().filter(|lane| lane.scenario.is(COMPARED[0])).collect();
    let rows: Vec<Row> = compared.iter().map(|lane| lane.row(lane.contender.name.clone())).collect();
    let bound = compared.first().map_or(0.0, |lane| lane.scenario.bound_s());
    let mut panels = vec![Panel::Bars(Bars {
        axis: "makespan, s".to_owned(),
        all: Bars::of_rows(&rows),
        mark: Some((bound, "what the quotas allow".to_owned())),
    })];
    let quota = f64::from(size.groups * size.rpm);
    let over_time = |y: &str, of: fn(&Tally) -> u64, limit: Option<f64>| {
        let named = |name: &str| {
            compared
                .iter()
                .find(|lane| lane.contender.name.starts_with(name) && !lane.outcomes.is_empty())
                .copied()
        };
        let theirs = named("litellm").or_else(|| named("shuffle"));
        let curve = |lane: &Lane| Curve {
            name: lane.contender.name.clone(),
            kind: Some(lane.contender.kind()),
            points: lane.outcomes.first().map(|o| per_minute(&o.history, of)).unwrap_or_default(),
        };
        let mut all: Vec<Curve> = [theirs, named("wf-supervisor")].into_iter().flatten().map(curve).collect();
        let end = all.iter().flat_map(|c| &c.points).map(|p| p.0).fold(0.0, f64::max);
        if let Some(limit) = limit {
            let points = vec![(0.0, limit), (end, limit)];
            all.insert(0, Curve { name: "quota".to_owned(), kind: None, points });
        }
        Panel::Curves(Curves { x: "seconds".to_owned(), y: y.to_owned(), all })
    };
    panels.push(over_time("calls sent per minute", |tally| tally.calls, Some(quota)));
    panels.push(over_time("calls refused per minute", |tally| tally.limited + tally.refused, None));
    Plot {
        title: format!(
            "{} calls of {} workflows, {} requests a minute ({})",
            whole((size.workflows * size.calls) as usize),
            size.workflows,
            quota,
            COMPARED[0].0.words()
        ),
        panels,
    }
}

/// How a count grew, per minute, over the last [`SPAN_S`] before each look (or all that there was).
fn per_minute(history: &[(f64, Tally)], of: impl Fn(&Tally) -> u64) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    let mut first = 0;
    for (now, tally) in history {
        while history[first].0 < now - SPAN_S {
            first += 1;
        }
        let (then, before) = &history[first];
        if now > then {
            let grown = of(tally).saturating_sub(of(before));
            points.push((*now, grown as f64 * 60.0 / (now - then)));
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_was_counted_within_the_span() {
        let at = |seconds: u64| (seconds as f64, Tally { calls: seconds * 2, ok: 0, limited: 0, refused: 0 });
        let history: Vec<_> = (0..20).map(|n| at(n * 5)).collect();
        let points = per_minute(&history, |tally| tally.calls);
        assert_eq!(points.len(), 19);
        assert!(points.iter().all(|(_, rate)| (rate - 120.0).abs() < 1e-9), "{points:?}");
        assert_eq!(per_minute(&history[..1], |tally| tally.calls), []);
    }

    #[test]
    fn the_worst_scenario_decides() {
        let spread = |median: f64| Spread { min: 0.0, median, max: 9.0 };
        let found = worst([spread(1.0), spread(1.3), spread(1.1)].into_iter()).unwrap();
        assert!((found.median - 1.3).abs() < 1e-9 && (found.min - 1.0).abs() < 1e-9);
        assert_eq!(worst(std::iter::empty()), None);
    }
}
