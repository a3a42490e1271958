//! Numbers for texts that are the same in every run, on every machine.

use twox_hash::XxHash64;

/// What is hashed with: any number, but always the same.
const SEED: u64 = 0x6170_706f_7274_696f;

/// The number that a text is known by from one run to the next.
///
/// # Example
///
/// ```
/// use apportion::ids::text_hash;
/// assert_eq!(text_hash("ann"), text_hash("ann"));
/// assert_ne!(text_hash("ann"), text_hash("bob"));
/// ```
pub fn text_hash(text: &str) -> u64 {
    bytes_hash(text.as_bytes())
}

/// The number that some bytes are known by from one run to the next.
pub fn bytes_hash(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(SEED, bytes)
}
