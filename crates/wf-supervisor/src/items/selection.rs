//! Which of a list's items a run takes, and how often: `--sample`, `--limit`, `--repeat`.

use sha2::{Digest as _, Sha256};
use wf_core::ItemId;

use super::{ItemSpec, ItemsError};

/// What the command line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// So many, by chance. The same list gives the same ones, so that the same command goes on with them.
    pub sample: Option<u32>,
    /// The first so many.
    pub limit: Option<u32>,
    /// Each so often, as `ID.1`, `ID.2`, ...
    pub repeat: Option<u32>,
}

impl Selection {
    /// The items of the run, in the order of the list.
    pub fn of(self, mut items: Vec<ItemSpec>) -> Result<Vec<ItemSpec>, ItemsError> {
        if let Some(count) = self.sample {
            // By what the ids hash to: chance that depends on nothing else, and changes little when a list grows.
            let mut order: Vec<(Vec<u8>, usize)> = items
                .iter()
                .enumerate()
                .map(|(index, item)| (Sha256::digest(item.id.as_str().as_bytes()).to_vec(), index))
                .collect();
            order.sort();
            let mut taken = vec![false; items.len()];
            order.iter().take(count as usize).for_each(|(_, index)| taken[*index] = true);
            let mut taken = taken.into_iter();
            items.retain(|_| taken.next().unwrap_or(false));
        }
        if let Some(count) = self.limit {
            items.truncate(count as usize);
        }
        match self.repeat {
            Some(times) => repeated(&items, times),
            None => Ok(items),
        }
    }
}

fn repeated(items: &[ItemSpec], times: u32) -> Result<Vec<ItemSpec>, ItemsError> {
    let mut all = Vec::with_capacity(items.len().saturating_mul(times as usize).min(1 << 20));
    for item in items {
        for time in 1..=times {
            let id = ItemId::new(&format!("{}.{time}", item.id))
                .map_err(|why| ItemsError::one(format!("--repeat: {}.{time}: {why}", item.id)))?;
            // Without a text the id stands for it, and that is not the repetition's.
            let text = item.text.clone().or_else(|| Some(item.id.as_str().into()));
            all.push(ItemSpec { id, text, ..item.clone() });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(count: u32) -> Vec<ItemSpec> {
        (0..count).map(|n| ItemSpec::bare(ItemId::new(&format!("i{n}")).unwrap())).collect()
    }

    fn ids(items: &[ItemSpec]) -> Vec<&str> {
        items.iter().map(|item| item.id.as_str()).collect()
    }

    #[test]
    fn a_sample_is_the_same_again_and_in_the_order_of_the_list() {
        let sample = |of| Selection { sample: Some(5), ..Selection::default() }.of(items(of)).unwrap();
        let (one, again) = (sample(100), sample(100));
        assert_eq!((one.len(), &one), (5, &again));
        assert!(one.is_sorted_by_key(|item| item.id.as_str()[1..].parse::<u32>().unwrap()));
        assert_ne!(ids(&one), ids(&items(5)), "the first five are no sample");
        assert_eq!(sample(3).len(), 3);
    }

    #[test]
    fn the_first_ones_each_several_times() {
        let selection = Selection { limit: Some(2), repeat: Some(2), sample: None };
        let chosen = selection.of(items(9)).unwrap();
        assert_eq!(ids(&chosen), ["i0.1", "i0.2", "i1.1", "i1.2"]);
        assert_eq!(chosen[3].text.as_deref(), Some("i1"));
        let long = vec![ItemSpec::bare(ItemId::new(&"a".repeat(128)).unwrap())];
        let refused = Selection { repeat: Some(1), ..Selection::default() }.of(long).unwrap_err();
        assert!(refused.to_string().contains("longer than 128 characters"), "{refused}");
    }
}
