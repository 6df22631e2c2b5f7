//! Where an axis has its numbers.

use super::super::report::figure;

/// Round numbers from 0 to at least `greatest`, five or so.
pub fn linear(greatest: f64) -> Vec<f64> {
    let greatest = if greatest.is_finite() && greatest > 0.0 { greatest } else { 1.0 };
    let rough = greatest / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(rough);
    let count = (greatest / step - 1e-9).ceil() as usize;
    (0..=count).map(|n| n as f64 * step).collect()
}

/// A number beside a tick: without zeros behind the point.
pub fn label(value: f64) -> String {
    if value.abs() >= 100.0 || value == 0.0 {
        return figure(value.round()).trim_end_matches(".00").to_owned();
    }
    let shown = format!("{value:.4}");
    shown.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_far_enough() {
        let labels = |greatest| linear(greatest).into_iter().map(label).collect::<Vec<_>>().join(" ");
        assert_eq!(labels(1.0), "0 0.2 0.4 0.6 0.8 1");
        assert_eq!(labels(372.0), "0 100 200 300 400");
        assert_eq!(labels(12_345.0), "0 2,500 5,000 7,500 10,000 12,500");
        assert_eq!(labels(0.013), "0 0.005 0.01 0.015");
        for odd in [0.0, -3.0, f64::NAN, f64::INFINITY] {
            assert_eq!(labels(odd), labels(1.0));
        }
    }
}
