//! Names for users that say nothing of who they are, the same for the same user wherever and whenever
//! one salt is used.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, StringArray, StringViewArray, StringViewBuilder,
};
use arrow::datatypes::Int32Type;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::{Error, Result};

/// Bytes that a salt has at least: fewer can be guessed.
const LEAST_SALT: usize = 16;

/// Bytes of a digest that make a pseudonym: enough that no two of 10¹⁵ users share one.
const KEPT_BYTES: usize = 16;

/// What is signed to recognise a salt without knowing it.
const FINGERPRINT: &str = "apportion: which salt";

/// Turns user ids into pseudonyms: the first 128 bits of HMAC-SHA-256 (RFC 2104) under a salt, in
/// hexadecimal.
///
/// # Example
///
/// ```
/// use apportion::ids::Pseudonyms;
/// // The second test case of RFC 4231, whose key is shorter than a salt may be, cut to 128 bits.
/// let pseudonyms = Pseudonyms::of_salt(b"Jefe");
/// let of = pseudonyms.of("what do ya want for nothing?");
/// assert_eq!(of, "5bdcc146bf60754e6a042426089575c7");
/// ```
#[derive(Clone)]
pub struct Pseudonyms(Hmac<Sha256>);

impl Pseudonyms {
    /// Pseudonyms under this salt.
    ///
    /// # Panics
    ///
    /// Never: HMAC takes a key of any length; the error is there for other kinds of codes.
    pub fn of_salt(salt: &[u8]) -> Self {
        Self(Hmac::new_from_slice(salt).expect("HMAC takes a key of any length"))
    }

    /// Pseudonyms under the salt that a file holds, without the line end after it.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or with fewer than 16 bytes.
    pub fn read(path: &Path) -> Result<Self> {
        let refused = |why: String| Error::setting("--hash-ids", path.display().to_string(), why);
        let bytes = fs::read(path)
            .map_err(|error| refused(format!("a file that holds a salt is needed: {error}")))?;
        let salt = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let salt = salt.strip_suffix(b"\r").unwrap_or(salt);
        if salt.len() < LEAST_SALT {
            return Err(refused(format!(
                "its salt has {} bytes and needs at least {LEAST_SALT}: `head -c 32 /dev/urandom | base64` makes one",
                salt.len()
            )));
        }
        Ok(Self::of_salt(salt))
    }

    /// The pseudonym of a user id.
    pub fn of(&self, id: &str) -> String {
        let mut text = String::with_capacity(2 * KEPT_BYTES);
        self.write(id, &mut text);
        text
    }

    /// What tells this salt from others, and nothing of it.
    pub fn fingerprint(&self) -> String {
        self.of(FINGERPRINT)
    }

    fn write(&self, id: &str, text: &mut String) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut code = self.0.clone();
        code.update(id.as_bytes());
        for byte in &code.finalize().into_bytes()[..KEPT_BYTES] {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }

    /// The pseudonyms of a column of texts, which may be a dictionary.
    pub fn of_column(&self, ids: &ArrayRef) -> ArrayRef {
        if let Some(ids) = ids.as_dictionary_opt::<Int32Type>() {
            let values = self.of_column(ids.values());
            return Arc::new(DictionaryArray::new(ids.keys().clone(), values));
        }
        if let Some(ids) = ids.as_string_view_opt() {
            return Arc::new(self.of_texts(ids));
        }
        // The values of a dictionary.
        match ids.as_string_opt::<i32>() {
            Some(ids) => Arc::new(ids.iter().map(|id| Some(self.of(id?))).collect::<StringArray>()),
            None => ArrayRef::clone(ids),
        }
    }

    /// The pseudonyms of texts, one by one; of neighbours that are the same once.
    fn of_texts(&self, ids: &StringViewArray) -> StringViewArray {
        let mut last: Option<&str> = None;
        let mut text = String::new();
        let mut pseudonyms = StringViewBuilder::with_capacity(ids.len());
        for id in ids {
            match id {
                None => pseudonyms.append_null(),
                Some(id) => {
                    if last != Some(id) {
                        text.clear();
                        self.write(id, &mut text);
                        last = Some(id);
                    }
                    pseudonyms.append_value(&text);
                }
            }
        }
        pseudonyms.finish()
    }
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Pseudonyms").field(&self.fingerprint()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_end_is_no_part_of_the_salt() {
        let folder = tempfile::tempdir().unwrap();
        let of = |salt: &str| {
            let path = folder.path().join("salt");
            fs::write(&path, salt).unwrap();
            Pseudonyms::read(&path).map(|pseudonyms| pseudonyms.of("ann"))
        };
        let plain = of("0123456789abcdef").unwrap();
        assert_eq!(plain, Pseudonyms::of_salt(b"0123456789abcdef").of("ann"));
        assert_eq!(of("0123456789abcdef\r\n").unwrap(), plain);
        assert_ne!(of("0123456789abcdeg\n").unwrap(), plain);
        let error = of("too short\n").unwrap_err().to_string();
        assert!(error.contains("9 bytes") && error.contains("16"), "{error}");
    }

    #[test]
    fn columns_of_any_layout_say_the_same() {
        let pseudonyms = Pseudonyms::of_salt(b"0123456789abcdef");
        let texts = [Some("ann"), Some("ann"), None, Some("bob")];
        let views: ArrayRef = Arc::new(texts.into_iter().collect::<StringViewArray>());
        let keyed: ArrayRef = Arc::new(texts.into_iter().collect::<DictionaryArray<Int32Type>>());
        let of_views = pseudonyms.of_column(&views);
        let of_keyed = pseudonyms.of_column(&keyed);
        let of_keyed = arrow::compute::cast(&of_keyed, views.data_type()).unwrap();
        assert_eq!(&of_views, &of_keyed);
        assert_eq!(of_views.as_string_view().value(3), pseudonyms.of("bob"));
        assert!(of_views.is_null(2));
    }
}
