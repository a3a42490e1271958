//! The target of its name, for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    apportion_fuzz::condition::run(data);
});
