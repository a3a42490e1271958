//! Ids as texts: a letter for what it is, then letters and digits that look random.

/// Thirty-two characters that are not taken for one another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Makes ids of one length; no two numbers of a kind have the same id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ids {
    length: usize,
}

/// The characters that ids may have.
pub(super) const LENGTHS: std::ops::RangeInclusive<usize> = 8..=64;

impl Ids {
    pub(super) fn new(length: usize) -> Self {
        Self { length }
    }

    /// How many numbers have an id of their own.
    pub(super) fn room(self) -> u128 {
        1 << self.bits()
    }

    fn bits(self) -> u32 {
        u32::try_from(5 * (self.length - 1)).unwrap_or(64).min(64)
    }

    /// Appends the id of a number.
    pub(super) fn write(self, kind: char, number: u64, text: &mut String) {
        let bits = self.bits();
        let (mask, half) = (u64::MAX >> (64 - bits), bits / 2);
        // Odd multiplications and right shifts can be undone: different numbers stay different.
        let mut mixed = number.wrapping_add(u64::from(u32::from(kind)).wrapping_mul(1_000_000_007));
        mixed = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) & mask;
        for factor in [0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB] {
            mixed = (mixed ^ (mixed >> half)).wrapping_mul(factor) & mask;
        }
        mixed ^= mixed >> half;
        text.push(kind);
        let mut left = 0;
        for _ in 1..self.length {
            text.push(char::from(ALPHABET[usize::from(mixed.to_le_bytes()[0] & 31)]));
            // All bits come round once before any comes again, in another mixture.
            left += 5;
            mixed = mixed.rotate_right(5);
            if left >= 65 {
                mixed = mixed.wrapping_mul(0xD6E8_FEB8_6659_FD93);
                left = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_have_their_length_and_are_distinct() {
        for length in [8, 12, 13, 14, 20, 24, 64] {
            let ids = Ids::new(length);
            let numbers = (0..2_000).chain((1 << 34) - 2_000..1 << 34);
            let texts: BTreeSet<String> = numbers
                .map(|number| {
                    let mut text = String::new();
                    ids.write('s', number, &mut text);
                    assert_eq!(text.len(), length);
                    text
                })
                .collect();
            assert_eq!(texts.len(), 4_000, "{length}");
        }
    }
}
