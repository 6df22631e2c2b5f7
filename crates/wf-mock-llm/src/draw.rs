//! Chance without a generator: every draw is a hash of the seed and of what it is drawn for, so the order in which
//! requests happen to arrive changes nothing.

/// A 64-bit hash of the parts, the same on every machine and in every version (FNV-1a, finished like splitmix64).
pub fn hash(parts: &[&[u8]]) -> u64 {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    let mut eat = |byte: u8| h = (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    for part in parts {
        part.iter().copied().for_each(&mut eat);
        // A separator no UTF-8 text contains: ("ab", "c") and ("a", "bc") differ.
        eat(0xff);
    }
    h ^= h >> 30;
    h = h.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h ^= h >> 27;
    h = h.wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

/// A hash as a number in `[0, 1)`.
pub fn unit(hash: u64) -> f64 {
    // 53 bits are what a double holds exactly.
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// A draw from the standard normal distribution (Box and Muller's transform).
pub fn normal(seed: u64) -> f64 {
    let at = |salt: &[u8]| unit(hash(&[&seed.to_le_bytes(), salt]));
    let radius = (-2.0 * (1.0 - at(b"radius")).ln()).sqrt();
    radius * (std::f64::consts::TAU * at(b"angle")).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_pinned_so_that_plans_do_not_change_between_versions() {
        assert_eq!(hash(&[]), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(hash(&[b"a", b"b"]), 0xb912_458b_53ec_5105);
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
    }

    #[test]
    fn draws_are_spread_as_they_should_be() {
        let n = 10_000_u32;
        let draws: Vec<f64> = (0..n).map(|i| unit(hash(&[&i.to_le_bytes()]))).collect();
        assert!(draws.iter().all(|d| (0.0..1.0).contains(d)));
        let below = draws.iter().filter(|d| **d < 0.25).count();
        assert!((2_300..2_700).contains(&below), "{below}");
        let normals: Vec<f64> = (0..u64::from(n)).map(normal).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let within = normals.iter().filter(|z| z.abs() < 1.0).count();
        assert!(mean.abs() < 0.05, "{mean}");
        assert!((6_600..7_050).contains(&within), "{within}");
    }
}
