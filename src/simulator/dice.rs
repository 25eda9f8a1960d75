//! Pseudorandom numbers that are the same in every run: everything the simulator invents is a function of the seed.
//!
//! The mixing function is the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
//! number generators", 2014). It is a bijection, so that segment ids can be decoded without a table.

const FIRST: u64 = 0xbf58_476d_1ce4_e5b9;
const SECOND: u64 = 0x94d0_49bb_1331_11eb;

/// Maps 64-bit numbers one to one, spreading every bit.
pub(super) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(FIRST);
    z = (z ^ (z >> 27)).wrapping_mul(SECOND);
    z ^ (z >> 31)
}

/// The inverse of [`mix`].
pub(super) const fn unmix(mut z: u64) -> u64 {
    z = (z ^ (z >> 31) ^ (z >> 62)).wrapping_mul(inverse(SECOND));
    z = (z ^ (z >> 27) ^ (z >> 54)).wrapping_mul(inverse(FIRST));
    z ^ (z >> 30) ^ (z >> 60)
}

/// The multiplicative inverse of an odd number modulo 2^64, by Newton's iteration.
const fn inverse(odd: u64) -> u64 {
    let mut x = odd;
    let mut round = 0;
    while round < 6 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x
}

/// Hashes several numbers; their order matters.
pub(super) fn hash(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |state, &part| {
        mix(state.rotate_left(17) ^ mix(part))
    })
}

/// Hashes a text: FNV-1a, then [`mix`].
pub(super) fn hash_text(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(fnv)
}

/// A pseudorandom sequence (SplitMix64) with a given start.
#[derive(Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// Starts the sequence that belongs to `parts`.
    pub(super) fn new(parts: &[u64]) -> Self {
        Dice(hash(parts))
    }

    /// Returns the next number of the sequence.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Returns a number in `0..end`; 0 when `end` is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// Returns true with a probability of `percent` in a hundred.
    pub(super) fn percent(&mut self, percent: f64) -> bool {
        hits(self.next(), percent)
    }

    /// Picks an element of `all`, which must not be empty.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// Returns whether a hash falls into the first `percent` of all hashes.
pub(super) fn hits(hash: u64, percent: f64) -> bool {
    percent > 0.0 && unit(hash) * 100.0 < percent
}

/// Converts a hash to a number in `0.0..1.0`.
pub(super) fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmix_undoes_mix() {
        for z in [
            0,
            1,
            42,
            u64::MAX,
            0x8000_0000_0000_0000,
            0x0123_4567_89ab_cdef,
        ] {
            assert_eq!(unmix(mix(z)), z);
            assert_eq!(mix(unmix(z)), z);
        }
    }

    #[test]
    fn percentages_are_kept() {
        let mut dice = Dice::new(&[7]);
        let hits = (0..20_000).filter(|_| dice.percent(20.0)).count();
        assert!((3_800..4_200).contains(&hits), "{hits}");
        assert!((0..1_000).all(|_| dice.percent(100.0)));
        assert!(!(0..1_000).any(|_| dice.percent(0.0)));
    }
}
