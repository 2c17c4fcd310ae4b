//! How long things took: counts in buckets that are an eighth of a power of two wide, from a
//! microsecond to four minutes. Two of them add up, whichever thread has filled them.

/// Buckets of one power of two.
const PARTS: usize = 8;
/// Up to 2^28 microseconds; what took longer is in the last one.
const BUCKETS: usize = 26 * PARTS;

/// Counts of durations, in microseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    /// Microseconds in all.
    sum: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: [0; BUCKETS], sum: 0 }
    }
}

impl Histogram {
    pub fn record(&mut self, us: u64) {
        self.buckets[bucket(us)] += 1;
        self.sum = self.sum.saturating_add(us);
    }

    pub fn add(&mut self, other: &Histogram) {
        for (own, others) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += others;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many took less than `us`, which is a power of two from 8 on.
    pub fn below(&self, us: u64) -> u64 {
        self.buckets[..bucket(us)].iter().sum()
    }

    /// So many of a thousand took no longer; an eighth too much at most.
    pub fn quantile(&self, thousandths: u64) -> u64 {
        let wanted = (self.count() * thousandths).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return edge(at + 1);
            }
        }
        0
    }
}

/// Below 8 each microsecond has a bucket of its own.
fn bucket(us: u64) -> usize {
    let power = (u64::BITS - us.leading_zeros()).saturating_sub(4) as usize;
    let part = (us >> power) as usize;
    (power * PARTS + part).min(BUCKETS - 1)
}

/// The least of a bucket.
fn edge(at: usize) -> u64 {
    let power = (at / PARTS).saturating_sub(1);
    ((at - power * PARTS) as u64) << power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for at in 0..BUCKETS {
            assert_eq!(bucket(edge(at)), at, "{at}");
            assert_eq!(bucket(edge(at + 1) - 1), at, "{at}");
            assert!(edge(at + 1) - edge(at) <= (edge(at) / 8).max(1), "{at}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert!(edge(BUCKETS) >= 240_000_000, "four minutes");
    }

    #[test]
    fn quantiles_and_sums_are_those_of_what_was_recorded() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        assert_eq!(one.quantile(500), 0);
        (1..=500).for_each(|us| one.record(us));
        (501..=1_000).for_each(|us| other.record(us));
        one.add(&other);
        assert_eq!((one.count(), one.sum(), one.below(256)), (1_000, 500_500, 255));
        for (thousandths, exact) in [(500, 500), (900, 900), (990, 990), (1_000, 1_000)] {
            let found = one.quantile(thousandths);
            assert!((exact..=exact + exact / 8 + 1).contains(&found), "{exact}: {found}");
        }
    }
}
