//! The path of a journey: its touches' labels, repeats collapsed with their count.

use sha2::{Digest, Sha256};

/// The steps of a journey, written as text and hashed.
#[derive(Debug, Default)]
pub struct Path {
    steps: Vec<(u32, u32)>,
}

impl Path {
    /// Takes the label codes of a journey's touches, oldest first.
    pub fn take(&mut self, codes: impl Iterator<Item = u32>) {
        self.steps.clear();
        for code in codes {
            match self.steps.last_mut() {
                Some((last, count)) if *last == code => *count += 1,
                _ => self.steps.push((code, 1)),
            }
        }
    }

    /// The steps, oldest first: each with how often it is repeated.
    pub fn steps(&self) -> &[(u32, u32)] {
        &self.steps
    }

    /// The path as text: `google / cpc (x2) > direct / none`; empty without touches.
    pub fn text(&self, labels: &[String]) -> String {
        let step = |(code, count): &(u32, u32)| match count {
            1 => labels[*code as usize].clone(),
            _ => format!("{} (x{count})", labels[*code as usize]),
        };
        self.steps.iter().map(step).collect::<Vec<_>>().join(" > ")
    }

    /// The path's hash: equal only for steps of equal values with equal counts.
    pub fn hash(&self, values: &[Vec<String>]) -> String {
        path_hash(
            self.steps.iter().map(|(code, count)| (values[*code as usize].as_slice(), *count)),
        )
    }
}

/// The first 128 bits of a SHA-256 over the steps, in hexadecimal.
///
/// A step is the values of its dimensions and how often it is repeated. Every value is written with
/// its length and every step with its number of values, so that no two paths are the same bytes,
/// whatever their values hold.
pub fn path_hash<'a>(steps: impl Iterator<Item = (&'a [String], u32)>) -> String {
    let mut hasher = Sha256::new();
    for (values, count) in steps {
        hasher.update((values.len() as u64).to_le_bytes());
        for value in values {
            hasher.update((value.len() as u64).to_le_bytes());
            hasher.update(value.as_bytes());
        }
        hasher.update(count.to_le_bytes());
    }
    let digest = hasher.finalize();
    let first = digest.iter().take(16).fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
    format!("{first:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_collapsed_with_their_count() {
        let labels = ["a / b".to_owned(), "c".to_owned()];
        let mut path = Path::default();
        path.take([0, 0, 1, 0].into_iter());
        assert_eq!(path.text(&labels), "a / b (x2) > c > a / b");
        path.take(std::iter::empty());
        assert_eq!(path.text(&labels), "");
    }

    #[test]
    fn labels_that_look_like_paths_do_not_collide() {
        let hash = |steps: &[(&[&str], u32)]| {
            let steps: Vec<(Vec<String>, u32)> = steps
                .iter()
                .map(|(values, count)| {
                    (values.iter().map(|value| (*value).to_owned()).collect(), *count)
                })
                .collect();
            path_hash(steps.iter().map(|(values, count)| (values.as_slice(), *count)))
        };
        assert_ne!(hash(&[(&["a > b"], 1)]), hash(&[(&["a"], 1), (&["b"], 1)]));
        assert_ne!(hash(&[(&["a / b", "c"], 1)]), hash(&[(&["a", "b / c"], 1)]));
        assert_ne!(hash(&[(&["a"], 2)]), hash(&[(&["a"], 1), (&["a"], 1)]));
        assert_ne!(hash(&[(&["ab"], 1), (&["c"], 1)]), hash(&[(&["a"], 1), (&["bc"], 1)]));
        // The first half of the SHA-256 of nothing.
        assert_eq!(hash(&[]), "e3b0c44298fc1c149afbf4c8996fb924");
        let values = [vec!["a".to_owned()], vec!["b".to_owned(), "c".to_owned()]];
        let mut path = Path::default();
        path.take([1, 1, 0].into_iter());
        assert_eq!(path.hash(&values), hash(&[(&["b", "c"], 2), (&["a"], 1)]));
    }
}
