//! The attempts that are not over, by slot, and beside them what every event asks of all of them: when the next of them is
//! due, how many there are, how many wait. So an event costs the same with five workers and with five hundred.

use std::time::Duration;

use crate::attempt::Attempt;
use crate::{AttemptId, Slot, Time};

/// The attempts that are not over.
#[derive(Debug)]
pub struct Crew {
    /// By slot.
    seats: Vec<Option<Attempt>>,
    /// By slot, as of the last [`Crew::take_note`]: when something must be done without any event; `Time::NEVER` for nothing.
    due: Vec<Time>,
    /// By slot, likewise: whether it waits for quota.
    waits: Vec<bool>,
    /// Slots that were handed out since, or came or left.
    touched: Vec<Slot>,
    seated: usize,
    paused: usize,
}

impl Crew {
    /// With so many slots, all of them free.
    pub fn new(slots: u16) -> Crew {
        let slots = usize::from(slots);
        Crew {
            seats: (0..slots).map(|_| None).collect(),
            due: vec![Time::NEVER; slots],
            waits: vec![false; slots],
            touched: Vec::new(),
            seated: 0,
            paused: 0,
        }
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.seats.len()
    }

    /// How many attempts there are.
    pub fn len(&self) -> usize {
        self.seated
    }

    /// Of those, how many wait for quota.
    pub fn paused(&self) -> usize {
        self.paused
    }

    /// When something must be done about one of them without any event.
    pub fn next_deadline(&self) -> Option<Time> {
        self.due.iter().copied().min().filter(|due| *due < Time::NEVER)
    }

    /// Slots of attempts about which something must be done.
    pub fn overdue(&self, now: Time) -> Vec<Slot> {
        (0..).map(Slot).zip(&self.due).filter(|(_, due)| **due <= now).map(|(slot, _)| slot).collect()
    }

    /// Takes its slot.
    pub fn join(&mut self, attempt: Attempt) {
        let slot = attempt.slot;
        self.touched.push(slot);
        let before = self.seats[usize::from(slot.0)].replace(attempt);
        self.seated += usize::from(before.is_none());
    }

    /// Frees a slot.
    pub fn leave(&mut self, slot: Slot) -> Option<Attempt> {
        self.touched.push(slot);
        let attempt = self.seats[usize::from(slot.0)].take();
        self.seated -= usize::from(attempt.is_some());
        attempt
    }

    /// The attempt in a slot.
    pub fn at(&mut self, slot: Slot) -> Option<&mut Attempt> {
        if self.touched.last() != Some(&slot) {
            self.touched.push(slot);
        }
        self.seats.get_mut(usize::from(slot.0))?.as_mut()
    }

    /// The attempt in a slot, if it is this one.
    pub fn find(&mut self, slot: Slot, id: AttemptId) -> Option<&mut Attempt> {
        self.at(slot).filter(|attempt| attempt.id == id)
    }

    /// All of them, by slot.
    pub fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.seats.iter().flatten()
    }

    /// Moves every deadline by time in which nothing could be seen or done.
    pub fn credit(&mut self, lost: Duration) {
        for attempt in self.seats.iter_mut().flatten() {
            attempt.credit(lost);
            self.touched.push(attempt.slot);
        }
    }

    /// Takes note of what changed in those that were handed out.
    pub fn take_note(&mut self) {
        for slot in self.touched.drain(..) {
            let slot = usize::from(slot.0);
            let Some(seat) = self.seats.get(slot) else { continue };
            let attempt = seat.as_ref();
            self.due[slot] = attempt.and_then(Attempt::deadline).unwrap_or(Time::NEVER);
            let waits = attempt.is_some_and(|attempt| attempt.waiting_since.is_some());
            let waited = std::mem::replace(&mut self.waits[slot], waits);
            self.paused = self.paused + usize::from(waits) - usize::from(waited);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ItemIndex;

    fn attempt(n: u16) -> Attempt {
        let id = AttemptId { item: ItemIndex(n.into()), number: 1 };
        Attempt::new(id, Slot(n), Time::ZERO)
    }

    #[test]
    fn what_is_kept_beside_them_follows_every_change_once_it_is_noted() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let mut crew = Crew::new(500);
        assert_eq!((crew.slots(), crew.len(), crew.next_deadline()), (500, 0, None));
        for n in [3, 4, 499] {
            crew.join(attempt(n));
        }
        let id = |n: u16| attempt(n).id;
        crew.find(Slot(3), id(3)).unwrap().kill_at = Some(at(9));
        crew.find(Slot(499), id(499)).unwrap().kill_at = Some(at(5));
        crew.find(Slot(4), id(4)).unwrap().set_waiting(true, at(1));
        assert!(crew.find(Slot(3), id(4)).is_none(), "another's slot");
        assert!(crew.at(Slot(1000)).is_none());
        crew.take_note();
        assert_eq!((crew.len(), crew.paused(), crew.next_deadline()), (3, 1, Some(at(5))));
        assert_eq!(crew.overdue(at(5)), [Slot(499)]);
        crew.credit(Duration::from_secs(1));
        crew.take_note();
        assert_eq!((crew.overdue(at(5)), crew.next_deadline()), (vec![], Some(at(6))));
        assert!(crew.leave(Slot(499)).is_some() && crew.leave(Slot(499)).is_none());
        crew.find(Slot(4), id(4)).unwrap().set_waiting(false, at(2));
        crew.take_note();
        assert_eq!((crew.len(), crew.paused(), crew.next_deadline()), (2, 0, Some(at(10))));
        assert_eq!(crew.iter().map(|a| a.slot).collect::<Vec<_>>(), [Slot(3), Slot(4)]);
    }
}
