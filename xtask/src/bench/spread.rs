//! Several measurements of one thing: least, median, greatest.

use serde::Serialize;

/// What several rounds gave. Built of at least one value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The one in the middle; of an even number, the mean of the two.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of these values; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let upper = sorted.len() / 2;
        let lower = (sorted.len() - 1) / 2;
        Some(Spread { min, median: f64::midpoint(sorted[lower], sorted[upper]), max })
    }

    /// How many times `against` each round of `of` is.
    ///
    /// Round by round, because the two were measured next to each other: what slowed the machine slowed both.
    pub fn of_ratios(of: &[f64], against: &[f64]) -> Option<Spread> {
        let ratios: Vec<f64> = of.iter().zip(against).map(|(of, against)| of / against).collect();
        Spread::of(&ratios)
    }
}

/// What this share of the values (from 0 to 1) stays at or under: the nearest rank, which is always one of them.
pub fn percentile(values: &mut [u64], share: f64) -> Option<u64> {
    values.sort_unstable();
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.saturating_sub(1).min(values.len().checked_sub(1)?)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let mut values: Vec<u64> = (1..=200).rev().collect();
        assert_eq!(percentile(&mut values, 0.5), Some(100));
        assert_eq!(percentile(&mut values, 0.99), Some(198));
        assert_eq!(percentile(&mut values, 1.0), Some(200));
        assert_eq!(percentile(&mut values, 0.0), Some(1));
        assert_eq!(percentile(&mut [7], 0.99), Some(7));
        assert_eq!(percentile(&mut [], 0.5), None);
    }

    #[test]
    fn the_middle_is_the_median() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[3.0]), Some(Spread { min: 3.0, median: 3.0, max: 3.0 }));
        assert_eq!(Spread::of(&[9.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 9.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 9.0]), Some(Spread { min: 1.0, median: 3.0, max: 9.0 }));
    }

    #[test]
    fn a_slow_round_is_slow_for_both() {
        let ratios = Spread::of_ratios(&[2.0, 20.0, 2.2], &[1.0, 10.0, 1.0]).unwrap();
        assert_eq!(ratios, Spread { min: 2.0, median: 2.0, max: 2.2 });
        assert_eq!(Spread::of_ratios(&[], &[1.0]), None);
    }
}
