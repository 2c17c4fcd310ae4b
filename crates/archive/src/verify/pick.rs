//! A sample: each frame by itself is in it or not, evenly and by a seed, the same in every thread. Pure.

/// So much of everything.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pick {
    percent: f64,
    seed: u64,
}

impl Pick {
    pub fn new(percent: f64, seed: u64) -> Pick {
        Pick { percent, seed }
    }

    pub fn is_all(self) -> bool {
        self.percent >= 100.0
    }

    /// Whether number `number` of the thing called `name` is in the sample.
    pub fn takes(self, name: &str, number: u32) -> bool {
        if self.is_all() {
            return true;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes()).update(&number.to_le_bytes());
        let hash = hasher.update(name.as_bytes()).finalize();
        let mut low = [0; 4];
        low.copy_from_slice(&hash.as_bytes()[..4]);
        f64::from(u32::from_le_bytes(low)) < self.percent / 100.0 * f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_about_as_large_as_is_said_and_another_by_another_seed() {
        let taken = |percent, seed| -> Vec<u32> {
            let pick = Pick::new(percent, seed);
            (0..20_000).filter(|number| pick.takes("pack", *number)).collect()
        };
        let five = taken(5.0, 1);
        assert!((800..1200).contains(&five.len()), "{}", five.len());
        assert_eq!(taken(5.0, 1), five);
        assert_ne!(taken(5.0, 2), five);
        assert_eq!(taken(100.0, 1).len(), 20_000);
        assert_eq!(taken(0.0, 1).len(), 0);
    }
}
