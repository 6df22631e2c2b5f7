//! The run's own bound on tokens (`--budget-tokens`).

use super::types::Budget;

/// Whether a call may be paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affordable {
    /// It may.
    Yes,
    /// Not while those in flight might use all they have reserved.
    Perhaps,
    /// It would cross the bound.
    No,
}

/// What was spent and what is reserved of the budget.
#[derive(Clone, Debug)]
pub(super) struct Spending {
    budget: Budget,
    spent: u64,
    reserved: u64,
}

impl Spending {
    pub(super) fn new(budget: Budget) -> Spending {
        Spending { budget, spent: 0, reserved: 0 }
    }

    pub(super) fn ask(&self, tokens: u64) -> Affordable {
        let Budget::Tokens(all) = self.budget else { return Affordable::Yes };
        let certain = self.spent.saturating_add(tokens);
        if certain > all {
            Affordable::No
        } else if certain.saturating_add(self.reserved) > all {
            Affordable::Perhaps
        } else {
            Affordable::Yes
        }
    }

    pub(super) fn reserve(&mut self, tokens: u64) {
        self.reserved = self.reserved.saturating_add(tokens);
    }

    pub(super) fn settle(&mut self, reserved: u64, used: u64) {
        self.reserved = self.reserved.saturating_sub(reserved);
        self.spent = self.spent.saturating_add(used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_that_would_cross_is_refused_and_one_that_might_waits() {
        let mut spending = Spending::new(Budget::Tokens(100));
        assert_eq!(spending.ask(100), Affordable::Yes);
        assert_eq!(spending.ask(101), Affordable::No);
        spending.reserve(80);
        assert_eq!(spending.ask(30), Affordable::Perhaps);
        spending.settle(80, 10);
        assert_eq!(spending.ask(30), Affordable::Yes);
        spending.settle(0, u64::MAX);
        assert_eq!(spending.ask(1), Affordable::No);
        assert_eq!(Spending::new(Budget::Unlimited).ask(u64::MAX), Affordable::Yes);
    }
}
