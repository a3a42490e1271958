//! Numbers of a few bits each, as Parquet writes them: runs of one number, and groups of eight.
//!
//! Apache Parquet format 2.11, "Run Length Encoding / Bit-Packing Hybrid". Not for what the numbers mean.

/// Numbers that are written together, bit by bit.
const GROUP: usize = 8;

/// Numbers of some bits each, while they are written.
pub(super) struct Hybrid {
    width: usize,
    bytes: Vec<u8>,
}

impl Hybrid {
    /// A sequence of numbers of fewer than 32 bits each.
    pub(super) fn of(numbers: &[u32], width: u32) -> Vec<u8> {
        let mut hybrid = Self { width: width as usize, bytes: Vec::new() };
        // Where the groups begin that are not written yet.
        let (mut grouped, mut at) = (0, 0);
        while at < numbers.len() {
            let end = at + length_of_run(&numbers[at..]);
            // A group that was begun has to be full.
            let start = grouped + (at - grouped).next_multiple_of(GROUP);
            if end >= start + GROUP {
                hybrid.groups(&numbers[grouped..start]);
                hybrid.run(numbers[at], end - start);
                grouped = end;
            }
            at = end;
        }
        hybrid.groups(&numbers[grouped..]);
        hybrid.bytes
    }

    fn run(&mut self, value: u32, length: usize) {
        self.number(length << 1);
        self.bytes.extend(&value.to_le_bytes()[..self.width.div_ceil(8)]);
    }

    /// Groups of eight; the last is filled up.
    fn groups(&mut self, numbers: &[u32]) {
        if numbers.is_empty() {
            return;
        }
        self.number(numbers.len().div_ceil(GROUP) << 1 | 1);
        self.bytes.reserve(self.width * numbers.len().div_ceil(GROUP));
        let mut groups = numbers.chunks_exact(GROUP);
        groups.by_ref().for_each(|group| self.group(group));
        if !groups.remainder().is_empty() {
            let mut last = [0; GROUP];
            last[..groups.remainder().len()].copy_from_slice(groups.remainder());
            self.group(&last);
        }
    }

    /// Eight numbers, the first in the lowest bits: as many bytes as each has bits.
    fn group(&mut self, group: &[u32]) {
        // A half of a group fits, however many bits its numbers have.
        let half = |numbers: &[u32]| {
            let of_each = numbers.iter().enumerate();
            of_each.fold(0, |bits, (at, number)| bits | u128::from(*number) << (at * self.width))
        };
        let (low, high) = group.split_at(GROUP / 2);
        let (low, high, bits) = (half(low), half(high), self.width * GROUP / 2);
        let width = self.width;
        if bits <= u64::BITS as usize {
            let both = low | high << bits;
            self.bytes.extend(&both.to_le_bytes()[..width]);
        } else {
            // What does not fill a byte of the first half's goes on with the second's.
            let (whole, rest) = (bits / 8, bits % 8);
            self.bytes.extend(&low.to_le_bytes()[..whole]);
            let high = high << rest | low >> (8 * whole);
            self.bytes.extend(&high.to_le_bytes()[..width - whole]);
        }
    }

    /// A number in as few bytes as it needs, seven bits in each.
    fn number(&mut self, mut number: usize) {
        while number >= 1 << 7 {
            self.bytes.push(number.to_le_bytes()[0] | 1 << 7);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }
}

/// How often the first of some numbers follows itself.
fn length_of_run(numbers: &[u32]) -> usize {
    numbers.iter().take_while(|number| **number == numbers[0]).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_packed_as_the_format_says() {
        // The example of the format's description: 0 to 7 in three bits each.
        let counted: Vec<u32> = (0..8).collect();
        assert_eq!(Hybrid::of(&counted, 3), [3, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
        // Eight alike and more are a run: twice its length, and the number.
        assert_eq!(Hybrid::of(&[4; 200], 3), [0b1001_0000, 0b11, 4]);
        // A group that was begun is filled up from the run after it.
        let ones_and = |zeros| [vec![1; 3], vec![0; zeros]].concat();
        assert_eq!(Hybrid::of(&ones_and(13), 1), [3, 0b0000_0111, 16, 0]);
        assert_eq!(Hybrid::of(&ones_and(12), 1), [5, 0b0000_0111, 0]);
        assert!(Hybrid::of(&[], 7).is_empty());
    }

    /// Reads numbers as the format's description says, a bit after the other.
    fn unpacked(mut bytes: &[u8], width: usize) -> Vec<u32> {
        let mut numbers = Vec::new();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte < 128).unwrap() + 1;
            let digits = bytes[..end].iter().rev();
            let header = digits.fold(0, |header, byte| header << 7 | usize::from(byte & 127));
            bytes = &bytes[end..];
            let is_run = header & 1 == 0;
            let length = if is_run { width.div_ceil(8) } else { (header >> 1) * width };
            let bit = |at: usize| u32::from(bytes[at / 8] >> (at % 8) & 1);
            let number = |first: usize| (0..width).map(|at| bit(first + at) << at).sum::<u32>();
            if is_run {
                numbers.extend(std::iter::repeat_n(number(0), header >> 1));
            } else {
                numbers.extend((0..8 * (header >> 1)).map(|at| number(at * width)));
            }
            bytes = &bytes[length..];
        }
        numbers
    }

    #[test]
    fn what_is_packed_is_read_again() {
        for width in 1..32 {
            let most = u32::MAX >> (32 - width);
            // Runs of every length, in every place of a group, of numbers that use every bit.
            let numbers: Vec<u32> = (0..3000_u32)
                .map(|at| (at / (1 + at / 40 % 23)).wrapping_mul(0x9e37_79b9) & most)
                .collect();
            let read = unpacked(&Hybrid::of(&numbers, width), width as usize);
            assert_eq!(read[..numbers.len()], numbers, "{width}");
            assert!(read[numbers.len()..].iter().all(|number| *number == 0));
            assert!(read.len() < numbers.len() + GROUP);
        }
    }
}
