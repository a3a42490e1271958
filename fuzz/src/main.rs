//! Breaks inputs of the corpus at random and hands them to a target, on any toolchain.
//!
//! ```text
//! fuzz [TARGET ...] [--seconds N] [--seed N]     every target, ten seconds each
//! fuzz TARGET --input FILE                       one input, as it is
//! ```
//!
//! A target runs in a process of its own, and every input is in a file before it is tried. So whatever
//! becomes of the process (a panic, a stack that overflows, memory that ends, a second that does not), the
//! input that did it is there, in `findings/`. An input with an outcome that was not seen before is broken
//! again: without coverage, what a target says of its inputs is what leads further.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use apportion_fuzz::{TARGETS, Target};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// How long an input may take: the machine may be busy, and the build is not optimised.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long an input may take before it is kept to be looked at.
const SLOW: Duration = Duration::from_secs(2);

/// Bytes of an input.
const LONGEST: usize = 64 << 10;

/// What inputs are made of.
const WORDS: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "1e999",
    "9223372036854775807",
    "18446744073709551616",
    "\u{0}",
    "\n",
    "\r\n",
    "\u{feff}",
    "\u{202e}",
    "\\u0000",
    "\\ud800",
    "kind",
    "session",
    "order",
    "items",
    "user",
    "external_id",
    "created_at",
    "9999-12-31T23:59:60Z",
    "0001-01-01",
    "subtotal_price",
    "_times",
    "PAR1",
    "''",
    "[[channel]]",
    "regex = \"(a{1000}){1000}\"",
    "(?:",
    "\\p{L}",
    "{1000}",
    "|",
    "*",
    "+",
    ".*",
    " or ",
    " and not ",
    "(",
    ")",
    " in (",
    "case when",
    " like '%",
    "cast(",
    " as ",
    "||",
    " is null",
    "select",
    "from",
    ";",
    "--",
    "path",
    " > ",
    "total_null",
    "layout",
    "\"files\"",
    "../../",
    "/",
    "lookback = \"none\"",
    "model = [\"markov:order=4\"]",
    "half_life=0s",
    "1e-400",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let value = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).cloned()
    };
    let number = |flag: &str, or: u64| value(flag).and_then(|text| text.parse().ok()).unwrap_or(or);
    let (seconds, seed) = (number("--seconds", 10), number("--seed", 1));
    let most = number("--inputs", u64::MAX);
    let asked = |target: &&Target| arguments.iter().any(|argument| argument == target.name);
    let targets: Vec<&Target> = TARGETS.iter().filter(asked).collect();
    let targets = if targets.is_empty() { TARGETS.iter().collect() } else { targets };
    if let (Some(file), [target]) = (value("--input"), &targets[..]) {
        println!("{}", (target.run)(&fs::read(file).expect("the input is there")));
        return ExitCode::SUCCESS;
    }
    if let (Some(current), [target]) = (value("--child"), &targets[..]) {
        return child(target, Path::new(&current), (seconds, most), seed);
    }
    let mut failed = false;
    for target in targets {
        failed |= !parent(target, (seconds, most), seed);
    }
    ExitCode::from(u8::from(failed))
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Runs a target in a process of its own; whether it was found to be sound.
fn parent(target: &Target, (seconds, most): (u64, u64), seed: u64) -> bool {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let current = scratch.path().join("input");
    let mut command = Command::new(env::current_exe().expect("this program has a place"));
    command.arg(target.name).arg("--child").arg(&current);
    command.args(["--seconds", &seconds.to_string(), "--seed", &seed.to_string()]);
    command.args(["--inputs", &most.to_string()]);
    let status = command.env("TMPDIR", scratch.path()).status().expect("this program can be run");
    if status.success() {
        return true;
    }
    fs::create_dir_all(folder("findings")).expect("a folder for what was found");
    let kept = folder("findings").join(format!("{}-{seed}", target.name));
    fs::copy(&current, &kept).expect("the input that did it");
    eprintln!(
        "{}: {status}; `fuzz {} --input {}` does it again",
        target.name,
        target.name,
        kept.display()
    );
    false
}

/// Tries inputs for so many seconds, and at most so many beyond the corpus.
#[expect(clippy::disallowed_methods, reason = "what takes long is found by a clock")]
fn child(target: &Target, current: &Path, (seconds, most): (u64, u64), seed: u64) -> ExitCode {
    let entries = fs::read_dir(folder("corpus").join(target.name)).expect("the corpus is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let mut inputs: Vec<Vec<u8>> =
        files.iter().map(|file| fs::read(file).expect("a file")).collect();
    assert!(!inputs.is_empty(), "a target begins with something");
    let mut random = Pcg64::seed_from_u64(seed);
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut slowest = Duration::ZERO;
    let beat = Arc::new(AtomicU64::new(0));
    watch(Arc::clone(&beat), target.name);
    let (begun, mut tried) = (Instant::now(), 0_u64);
    let whole = inputs.len();
    let enough = most.saturating_add(whole as u64);
    while (begun.elapsed() < Duration::from_secs(seconds) && tried < enough)
        || (tried as usize) < whole
    {
        // What is committed comes first, as it is.
        let input = match inputs.get(tried as usize).filter(|_| (tried as usize) < whole) {
            Some(input) => input.clone(),
            None => broken(&inputs, &mut random),
        };
        fs::write(current, &input).expect("a temporary file");
        let before = Instant::now();
        let outcome = (target.run)(&input);
        beat.fetch_add(1, Ordering::Relaxed);
        if before.elapsed() > slowest {
            slowest = before.elapsed();
            if slowest > SLOW {
                fs::create_dir_all(folder("findings")).expect("a folder for what was found");
                let kept = folder("findings").join(format!("{}-{seed}-slow", target.name));
                fs::write(kept, &input).expect("a file");
            }
        }
        if seen.insert(outcome) && tried as usize >= whole && inputs.len() < 5_000 {
            inputs.push(input);
        }
        tried += 1;
    }
    let slowest = slowest.as_millis();
    println!(
        "{:10} {tried:7} inputs, {:5} outcomes, the slowest took {slowest} ms",
        target.name,
        seen.len()
    );
    ExitCode::SUCCESS
}

/// Ends this process where an input takes too long.
fn watch(beat: Arc<AtomicU64>, name: &'static str) {
    thread::spawn(move || {
        loop {
            let before = beat.load(Ordering::Relaxed);
            thread::sleep(PATIENCE);
            if beat.load(Ordering::Relaxed) == before {
                eprintln!("{name}: an input takes longer than {PATIENCE:?}");
                std::process::exit(3);
            }
        }
    });
}

/// An input of the corpus, changed in a few places.
fn broken(inputs: &[Vec<u8>], random: &mut Pcg64) -> Vec<u8> {
    let mut input = inputs.choose(random).cloned().unwrap_or_default();
    for _ in 0..1_u32 << random.random_range(0..5) {
        let length = input.len();
        let at = random.random_range(0..=length);
        let reach = 1_usize << random.random_range(0..8);
        let end = (at + random.random_range(0..=reach)).min(length);
        match random.random_range(0..11) {
            0 if at < length => input[at] ^= 1 << random.random_range(0..8),
            1 if at < length => input[at] = random.random(),
            2 if at < length => {
                input[at] = *[0, 1, 0x7f, 0x80, 0xff, b'"', b'0'].choose(random).unwrap_or(&0)
            }
            3 => drop(input.drain(at..end)),
            4 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            5 | 6 => {
                let word = WORDS.choose(random).copied().unwrap_or_default();
                input.splice(at..at, word.bytes());
            }
            7 => {
                let other = inputs.choose(random).cloned().unwrap_or_default();
                let from = random.random_range(0..=other.len());
                let to = (from + random.random_range(0..=512)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            8 if at + 4 <= length => {
                let number: u32 =
                    *[0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff].choose(random).unwrap_or(&0);
                input[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
            // The same many times: what is deep, long or many.
            9 if end > at => {
                let again = input[at..end].repeat(random.random_range(2..200));
                input.splice(at..at, again);
            }
            10 => input.truncate(at),
            _ => {}
        }
        input.truncate(LONGEST);
    }
    input
}
