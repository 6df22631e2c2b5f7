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

#[cfg(test)]
mod tests {
    use super::*;

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
