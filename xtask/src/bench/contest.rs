//! Rounds in which the contenders take turns.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::report::{Kind, Row};
use super::spread::Spread;
use crate::say;

/// One measurement.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// By the wall's clock.
    pub wall: Duration,
    /// Of the processors.
    pub cpu: Duration,
    /// The most memory the contender's own process held, in bytes.
    pub peak_bytes: u64,
    /// What 99 of 100 single measurements stay under, where there are many of them.
    pub tail: Duration,
    /// Of the workers' time, what the supervisor reports as its own doing, in percent.
    pub overhead_percent: f64,
}

/// Measures once.
type Measure<'a> = Box<dyn FnMut() -> Result<Sample> + 'a>;

/// One of those that are compared.
pub struct Contender<'a> {
    name: String,
    how: String,
    kind: Kind,
    measure: Result<Measure<'a>, String>,
    samples: Vec<Sample>,
}

impl<'a> Contender<'a> {
    /// One that can be measured: its name, the command or what it does, and how it is measured once.
    pub fn new(
        kind: Kind,
        name: &str,
        how: impl Into<String>,
        measure: impl FnMut() -> Result<Sample> + 'a,
    ) -> Contender<'a> {
        let measure: Measure<'a> = Box::new(measure);
        Contender { name: name.to_owned(), how: how.into(), kind, measure: Ok(measure), samples: Vec::new() }
    }

    /// A peer that is not here, and how it could be.
    pub fn absent(name: &str, how: &str, install: &str) -> Contender<'a> {
        let absent = format!("not installed ({install})");
        Contender {
            name: name.to_owned(),
            how: how.to_owned(),
            kind: Kind::Peer,
            measure: Err(absent),
            samples: Vec::new(),
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One figure of every round.
    pub fn each(&self, figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples.iter().map(figure).collect()
    }

    /// One figure over the rounds; `None` if it was not measured.
    pub fn spread(&self, figure: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(&self.each(figure))
    }

    /// Its time in those of another, round by round.
    pub fn times(&self, other: &Contender<'_>) -> Option<Spread> {
        Spread::of_ratios(&self.each(seconds), &other.each(seconds))
    }

    /// As a row of a table: its time by the wall in `unit_seconds`, and that against a reference.
    pub fn row(&self, unit_seconds: f64, reference: &Contender<'_>, extra: Vec<String>) -> Row {
        Row {
            name: self.name.clone(),
            how: self.how.clone(),
            kind: self.kind,
            spread: self.spread(|sample| seconds(sample) / unit_seconds),
            ratio: self.times(reference),
            extra: if self.samples.is_empty() { vec![String::new(); extra.len()] } else { extra },
            absent: self.measure.as_ref().err().cloned(),
        }
    }
}

/// Wall time in seconds.
pub fn seconds(sample: &Sample) -> f64 {
    sample.wall.as_secs_f64()
}

/// Measures all of them once per round, each round beginning with another, so that nobody always follows the same one.
pub fn take_turns(contenders: &mut [Contender<'_>], rounds: usize) -> Result<()> {
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            let contender = &mut contenders[index];
            let Ok(measure) = &mut contender.measure else { continue };
            let sample = measure().with_context(|| contender.name.clone())?;
            say(&format!("round {} of {rounds}: {}: {:.3} s", round + 1, contender.name, seconds(&sample)));
            contender.samples.push(sample);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn every_round_begins_with_another() {
        let order = RefCell::new(String::new());
        let order = &order;
        let contender = |name: &'static str, ms: u64| {
            Contender::new(Kind::Peer, name, "", move || {
                order.borrow_mut().push_str(name);
                Ok(Sample { wall: Duration::from_millis(ms), ..Sample::default() })
            })
        };
        let mut all = [
            contender("a", 10),
            contender("b", 20),
            Contender::absent("c", "", "get it"),
            contender("d", 40),
        ];
        take_turns(&mut all, 3).unwrap();
        assert_eq!(*order.borrow(), "abdbdadab");
        assert_eq!(all[3].times(&all[1]).map(|times| (times.median * 10.0).round() as u32), Some(20));
        let row = all[2].row(1.0, &all[0], vec!["x".to_owned()]);
        assert_eq!(row.absent.as_deref(), Some("not installed (get it)"));
        assert_eq!((row.spread, row.ratio, row.extra), (None, None, vec![String::new()]));
    }

    #[test]
    fn who_fails_is_named() {
        let mut all = [Contender::new(Kind::Peer, "xargs", "", || anyhow::bail!("exit status: 1"))];
        assert_eq!(format!("{:#}", take_turns(&mut all, 1).unwrap_err()), "xargs: exit status: 1");
    }
}
