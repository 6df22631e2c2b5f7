//! What goes wrong: by chance, or because it was asked for.

use serde::{Deserialize, Serialize};

/// What goes wrong by chance: shares of calls from 0 to 1, drawn per prompt and attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// 429 although the limits allow the call.
    pub limited: f64,
    /// 503, at Anthropic 529.
    pub overloaded: f64,
    /// 500.
    pub failed: f64,
    /// The reply ends in the middle.
    pub cut: f64,
    /// The connection closes without a reply.
    pub dropped: f64,
    /// A stream breaks off with an error in its middle; a reply in one piece is 503, at Anthropic 529.
    pub error_inside: f64,
    /// The reply trickles in pieces over three more latencies.
    pub slow: f64,
    /// The most faults one prompt meets (slow replies are none); 0 for no bound. With a bound below a client's retries,
    /// every call succeeds in the end.
    pub per_prompt: u32,
}

impl Faults {
    /// What is wrong with these shares, in a sentence.
    pub fn check(&self) -> Result<(), String> {
        let shares = [
            self.limited,
            self.overloaded,
            self.failed,
            self.cut,
            self.dropped,
            self.error_inside,
            self.slow,
        ];
        if shares.iter().all(|share| (0.0..=1.0).contains(share)) && shares.iter().sum::<f64>() <= 1.0 {
            Ok(())
        } else {
            Err("the shares of faults must each be from 0 to 1, and together at most 1".to_owned())
        }
    }

    /// The fault that a draw from `[0, 1)` falls on.
    pub(crate) fn pick(&self, mut draw: f64) -> Fault {
        for (share, fault) in [
            (self.slow, Fault::Slow),
            (self.limited, Fault::Limited),
            (self.overloaded, Fault::Overloaded),
            (self.failed, Fault::Failed),
            (self.cut, Fault::Cut),
            (self.dropped, Fault::Dropped),
            (self.error_inside, Fault::ErrorInside),
        ] {
            if draw < share {
                return fault;
            }
            draw -= share;
        }
        Fault::None
    }
}

/// A fault that can be asked for, for the next calls to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// No fault: this call goes through whatever chance says.
    None,
    /// 429.
    Limited,
    /// 503, at Anthropic 529.
    Overloaded,
    /// 500.
    Failed,
    /// The reply ends in the middle.
    Cut,
    /// The connection closes without a reply.
    Dropped,
    /// The reply trickles in.
    Slow,
    /// The reply stops in the middle, and the connection stays open.
    Stalled,
    /// A stream breaks off with an error in its middle; a reply in one piece is 503, at Anthropic 529.
    ErrorInside,
    /// No machine is left for the model: Gemini's 429 that blames no quota, elsewhere as overloaded.
    NoCapacity,
    /// The key is refused, this once.
    KeyRefused,
    /// The account cannot pay, this once.
    NoCredit,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_falls_on_each_fault_as_often_as_its_share_says() {
        let faults = Faults { slow: 0.1, limited: 0.2, cut: 0.3, ..Faults::default() };
        for (draw, fault) in [
            (0.0, Fault::Slow),
            (0.09, Fault::Slow),
            (0.11, Fault::Limited),
            (0.29, Fault::Limited),
            (0.31, Fault::Cut),
            (0.59, Fault::Cut),
            (0.61, Fault::None),
            (0.99, Fault::None),
        ] {
            assert_eq!(faults.pick(draw), fault, "{draw}");
        }
        assert_eq!(Faults::default().pick(0.0), Fault::None);
    }
}
