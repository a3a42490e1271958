//! The distinct values of a column of a row group, and which of them each row has.
//!
//! Not for how they are written; that is the module above.

use std::hash::Hash;

use arrow::array::{Array, ArrayAccessor, PrimitiveArray, StringViewArray, UInt32Array};
use arrow::datatypes::ArrowPrimitiveType;
use hashbrown::HashMap;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::file::statistics::Statistics;

/// Bytes of a dictionary at most: what is more is not worth it.
const MOST_BYTES: usize = 4 << 20;
/// After so many rows it is known whether values repeat.
const TRIED: usize = 1 << 14;
/// The longest text that a page or a column is said to begin or end with.
const LONGEST_BOUND: usize = 64;

/// The code of a row that has no value.
pub(super) const NONE: u32 = u32::MAX;
/// What stands for the code of a value that no row had yet.
const UNMET: u32 = u32::MAX - 1;

/// So many values that were met lately are looked for before all that were met: what rows say repeats soon, as the
/// touches of an order do under each model.
const RECENT: usize = 1 << 10;

/// What Parquet can write once and name by a code.
pub(super) trait Value: Copy + Eq + Hash + Ord {
    /// It as bytes.
    fn bytes(&self) -> impl AsRef<[u8]>;

    /// Adds it to a dictionary's page.
    fn write(self, page: &mut Vec<u8>) {
        page.extend(self.bytes().as_ref());
    }

    /// What a page of rows is said to begin or end with; none where that would be too long.
    fn bound(self) -> Option<Vec<u8>> {
        Some(self.bytes().as_ref().into())
    }

    /// What is said of a column between two values, and of how many of its rows have none.
    fn statistics(bounds: Option<(Self, Self)>, nulls: u64) -> Statistics;
}

impl Value for &str {
    fn bytes(&self) -> impl AsRef<[u8]> {
        self.as_bytes()
    }

    fn write(self, page: &mut Vec<u8>) {
        page.extend(code_of(self.len()).to_le_bytes());
        page.extend(self.as_bytes());
    }

    fn bound(self) -> Option<Vec<u8>> {
        (self.len() <= LONGEST_BOUND).then(|| self.into())
    }

    fn statistics(bounds: Option<(Self, Self)>, nulls: u64) -> Statistics {
        let (least, greatest) =
            bounds.map(|(least, greatest)| (least.into(), greatest.into())).unzip();
        Statistics::new::<ByteArray>(least, greatest, None, Some(nulls), false)
    }
}

impl Value for i64 {
    fn bytes(&self) -> impl AsRef<[u8]> {
        self.to_le_bytes()
    }

    fn statistics(bounds: Option<(Self, Self)>, nulls: u64) -> Statistics {
        let (least, greatest) = bounds.unzip();
        Statistics::new::<Self>(least, greatest, None, Some(nulls), false)
    }
}

/// As the same 64 bits with a sign, which is how Parquet stores it.
impl Value for u64 {
    fn bytes(&self) -> impl AsRef<[u8]> {
        self.to_le_bytes()
    }

    fn statistics(bounds: Option<(Self, Self)>, nulls: u64) -> Statistics {
        let signed =
            |(least, greatest): (Self, Self)| (least.cast_signed(), greatest.cast_signed());
        i64::statistics(bounds.map(signed), nulls)
    }
}

/// Unscaled decimals, in sixteen bytes of which the first says most.
impl Value for i128 {
    fn bytes(&self) -> impl AsRef<[u8]> {
        self.to_be_bytes()
    }

    fn statistics(bounds: Option<(Self, Self)>, nulls: u64) -> Statistics {
        let stored = |value: Self| FixedLenByteArray::from(value.to_be_bytes().to_vec());
        let stored = bounds.map(|(least, greatest)| (stored(least), stored(greatest)));
        let (least, greatest) = stored.unzip();
        Statistics::new::<FixedLenByteArray>(least, greatest, None, Some(nulls), false)
    }
}

/// A number that is known by its bits.
pub(super) trait Number: Value {
    /// Its bits.
    fn bits(self) -> u128;
}

impl Number for i64 {
    fn bits(self) -> u128 {
        self.cast_unsigned().into()
    }
}

impl Number for u64 {
    fn bits(self) -> u128 {
        self.into()
    }
}

impl Number for i128 {
    fn bits(self) -> u128 {
        self.cast_unsigned()
    }
}

/// An array of what can be written by codes.
pub(super) trait Values: ArrayAccessor<Item: Value> {
    /// What tells a value from the others of its array, without a look at what it says.
    fn token(&self, at: usize) -> u128;
}

impl Values for &StringViewArray {
    /// Where a text lies.
    fn token(&self, at: usize) -> u128 {
        self.views()[at]
    }
}

impl<T: ArrowPrimitiveType<Native: Number>> Values for &PrimitiveArray<T> {
    fn token(&self, at: usize) -> u128 {
        self.values()[at].bits()
    }
}

/// A number that Parquet holds in 32 bits: of rows of a group, or bytes of a text.
pub(super) fn code_of(number: usize) -> u32 {
    u32::try_from(number).expect("a row group has fewer rows, and a text fewer bytes")
}

/// The distinct values of a column, in the order in which they are met.
pub(super) struct Dictionary<V> {
    values: Vec<V>,
    codes: HashMap<V, u32>,
    /// The values as they are written.
    page: Vec<u8>,
}

impl<V: Value> Dictionary<V> {
    /// The dictionary of a column, and the code of each row; none where values are mostly distinct, or there are none.
    ///
    /// Of each part of the column the numbers of its rows' values, where values are listed once, and the values.
    pub(super) fn of<'p>(
        parts: impl Iterator<Item = (Option<&'p UInt32Array>, impl Values<Item = V>)>,
    ) -> Option<(Self, Vec<u32>)> {
        let mut dictionary = Self { values: Vec::new(), codes: HashMap::new(), page: Vec::new() };
        let mut codes = Vec::new();
        for (numbers, values) in parts {
            match numbers {
                Some(numbers) => dictionary.encode_listed(numbers, &values, &mut codes),
                None => dictionary.encode(&values, &mut codes),
            }
            let distinct = dictionary.values.len();
            let is_long = dictionary.page.len() > MOST_BYTES;
            if is_long || (codes.len() >= TRIED && distinct > codes.len() / 2) {
                return None;
            }
        }
        (!dictionary.values.is_empty()).then_some((dictionary, codes))
    }

    /// The codes of rows whose values are listed once.
    fn encode_listed(
        &mut self,
        numbers: &UInt32Array,
        values: &impl Values<Item = V>,
        codes: &mut Vec<u32>,
    ) {
        if values.null_count() == values.len() {
            codes.resize(codes.len() + numbers.len(), NONE);
            return;
        }
        let mut recent = Recent::default();
        let mut met = vec![UNMET; values.len()];
        let mut code = |number: &u32| {
            let at = *number as usize;
            if met[at] == UNMET {
                met[at] = if values.is_null(at) {
                    NONE
                } else {
                    recent.code(values.token(at), || self.code(values.value(at)))
                };
            }
            met[at]
        };
        match numbers.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => codes.extend(numbers.values().iter().map(code)),
            Some(nulls) => {
                let rows = numbers.values().iter().zip(nulls);
                codes.extend(rows.map(|(number, some)| if some { code(number) } else { NONE }));
            }
        }
    }

    /// The codes of rows that each have their value.
    fn encode(&mut self, values: &impl Values<Item = V>, codes: &mut Vec<u32>) {
        let (mut recent, mut met) = (Recent::default(), HashMap::new());
        let nulls = values.nulls();
        codes.extend((0..values.len()).map(|row| {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                return NONE;
            }
            let token = values.token(row);
            let mut find = || self.code(values.value(row));
            recent.code(token, || *met.entry(token).or_insert_with(&mut find))
        }));
    }

    /// The code of a value, a new one where it was not met before.
    fn code(&mut self, value: V) -> u32 {
        let Self { values, codes, page } = self;
        *codes.entry(value).or_insert_with(|| {
            value.write(page);
            values.push(value);
            code_of(values.len() - 1)
        })
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Its page, uncompressed.
    pub(super) fn page(&self) -> &[u8] {
        &self.page
    }

    /// The least and the greatest of some values.
    pub(super) fn bounds(&self, codes: impl Iterator<Item = u32> + Clone) -> Option<(V, V)> {
        let values = codes.map(|code| self.values[code as usize]);
        values.clone().min().zip(values.max())
    }
}

/// The codes of values of one array that were met lately, by what tells each from the others of the array.
struct Recent(Vec<(u128, u32)>);

impl Default for Recent {
    fn default() -> Self {
        Self(vec![(0, NONE); RECENT])
    }
}

impl Recent {
    /// The code of a value: the one that it had lately, or else what is found.
    fn code(&mut self, token: u128, find: impl FnOnce() -> u32) -> u32 {
        // Fibonacci hashing (Knuth, The Art of Computer Programming, 6.4).
        let mixed = (token ^ (token >> 96)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let place = usize::try_from(mixed >> (u128::BITS - RECENT.ilog2()));
        let known = &mut self.0[place.expect("less than their number")];
        if known.0 != token || known.1 == NONE {
            *known = (token, find());
        }
        known.1
    }
}
