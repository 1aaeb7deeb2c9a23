//! The first claim: a code that only somebody beside the hub can read, on its console or in its log, makes the first owner.
//! Pure: time and chance come in. Whether there is anything to claim is the gate's business.

use std::time::{Duration, Instant};

use crate::auth::token::{self, Hash};

/// How long a code is good.
pub const CODE_LIFE: Duration = Duration::from_secs(15 * 60);

/// Wrong codes that end a code.
pub const WRONG_MAX: u8 = 5;

/// At least so long from one new code to the next: whoever burns codes does not fill the log.
const BETWEEN_CODES: Duration = Duration::from_secs(60);

/// Letters and digits of a code, in two groups.
const CODE_LETTERS: usize = 8;

/// 32 signs that nobody takes for another: no I and 1, no O and 0.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// Why a code did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It is not the one that was printed.
    Code,
    /// There is none (any more).
    None,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Claim {
    code: Option<Code>,
    made_at: Option<Instant>,
}

#[derive(Debug)]
struct Code {
    hash: Hash,
    ends_at: Instant,
    wrong: u8,
}

impl Claim {
    /// A new code to be shown, where there is none that is good. `chance` has 8 bytes of it.
    pub fn offer(&mut self, now: Instant, chance: [u8; CODE_LETTERS]) -> Option<String> {
        let is_good = self.code.as_ref().is_some_and(|code| now < code.ends_at);
        if is_good || self.made_at.is_some_and(|at| now < at + BETWEEN_CODES) {
            return None;
        }
        let code = spelled(chance);
        self.code = Some(Code { hash: token::hash(&letters(&code)), ends_at: now + CODE_LIFE, wrong: 0 });
        self.made_at = Some(now);
        Some(code)
    }

    /// Tries a code as somebody typed it: case, blanks and the dash do not count. A right one is good once.
    pub fn open(&mut self, now: Instant, typed: &str) -> Result<(), Wrong> {
        let Some(code) = self.code.as_mut().filter(|code| now < code.ends_at) else { return Err(Wrong::None) };
        if token::hash(&letters(typed)) == code.hash {
            self.code = None;
            return Ok(());
        }
        code.wrong += 1;
        if code.wrong >= WRONG_MAX {
            self.code = None;
        }
        Err(Wrong::Code)
    }

    /// Somebody owns the hub: no code is good any more.
    pub fn end(&mut self) {
        *self = Claim::default();
    }
}

/// A code as people read it, such as `K7QM-2XWP`.
pub fn spelled(chance: [u8; CODE_LETTERS]) -> String {
    let letters: String = chance.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    let (one, other) = letters.split_at(CODE_LETTERS / 2);
    format!("{one}-{other}")
}

/// What of a typed code counts: no case, no blanks and no dash, and no more than tells that it is too long.
pub(super) fn letters(typed: &str) -> String {
    let letters = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').take(CODE_LETTERS + 1);
    letters.map(|c| c.to_ascii_uppercase()).collect()
}

/// Whether a text is a code.
pub(super) fn is_code(text: &str) -> bool {
    let letters = letters(text);
    letters.len() == CODE_LETTERS && letters.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// Chance for [`Claim::offer`] and [`spelled`].
pub fn chance() -> [u8; CODE_LETTERS] {
    let mut chance = [0; CODE_LETTERS];
    getrandom::fill(&mut chance).expect("the kernel's random source does not fail once the system is up");
    chance
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_shown_once_and_good_once() {
        let (mut claim, now) = (Claim::default(), Instant::now());
        assert_eq!(claim.open(now, "2345-6789"), Err(Wrong::None));
        let code = claim.offer(now, [0, 1, 2, 3, 31, 30, 32, 255]).expect("a new one");
        assert_eq!(code, "2345-ZY2Z");
        assert_eq!(claim.offer(now, chance()), None, "one that is good is not replaced");
        assert_eq!(claim.open(now, " 2345 zy2z\n"), Ok(()));
        assert_eq!(claim.open(now, &code), Err(Wrong::None), "once");
    }

    #[test]
    fn a_code_ends_by_itself_and_a_new_one_comes_when_asked() {
        let (mut claim, now) = (Claim::default(), Instant::now());
        let old = claim.offer(now, [7; 8]).expect("a new one");
        let late = now + CODE_LIFE;
        assert_eq!(claim.open(late, &old), Err(Wrong::None));
        let new = claim.offer(late, [8; 8]).expect("a new one");
        assert_eq!(claim.open(late, &old), Err(Wrong::Code));
        assert_eq!(claim.open(late, &new), Ok(()));
    }

    #[test]
    fn five_wrong_codes_end_it_and_the_next_takes_a_minute() {
        let (mut claim, now) = (Claim::default(), Instant::now());
        let code = claim.offer(now, [7; 8]).expect("a new one");
        for _ in 0..WRONG_MAX {
            assert_eq!(claim.open(now, &"2".repeat(100_000)), Err(Wrong::Code));
        }
        assert_eq!(claim.open(now, &code), Err(Wrong::None), "the right one comes too late");
        assert_eq!(claim.offer(now + BETWEEN_CODES - Duration::from_millis(1), [9; 8]), None);
        assert!(claim.offer(now + BETWEEN_CODES, [9; 8]).is_some());
        claim.end();
        assert_eq!(claim.open(now, "BBBB-BBBB"), Err(Wrong::None));
    }
}
