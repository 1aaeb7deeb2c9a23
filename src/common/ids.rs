//! Names that the hub gives: random where guessing one would open something, checked where a client chose one.

/// Bytes of randomness in an id: 128 bits cannot be guessed or met twice.
const ID_BYTES: usize = 16;

/// The longest `request_id`, bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// The longest `conversation_id`, bytes.
pub const CONVERSATION_ID_BYTES_MAX: usize = 64;

/// A fresh id such as `s-9f86d081884c7d659a2feaa0c55ad015`.
pub fn fresh(kind: char) -> String {
    let mut bytes = [0u8; ID_BYTES];
    getrandom::fill(&mut bytes).expect("the kernel's random source does not fail once the system is up");
    let mut id = String::with_capacity(2 + 2 * ID_BYTES);
    id.push(kind);
    id.push('-');
    for byte in bytes {
        id.push(char::from_digit(u32::from(byte >> 4), 16).expect("a nibble is a hex digit"));
        id.push(char::from_digit(u32::from(byte & 15), 16).expect("a nibble is a hex digit"));
    }
    id
}

/// Whether a client's `conversation_id` may be a key: 1 to 64 of `[A-Za-z0-9_-]`.
pub fn is_conversation_id(id: &str) -> bool {
    (1..=CONVERSATION_ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_are_valid_and_differ() {
        let (a, b) = (fresh('c'), fresh('c'));
        assert!(is_conversation_id(&a) && a.len() == 34, "{a}");
        assert_ne!(a, b);
    }

    #[test]
    fn conversation_ids_are_checked() {
        assert!(is_conversation_id("kitchen-tablet_1"));
        for bad in ["", "a b", "ü", "../x", &"a".repeat(65)] {
            assert!(!is_conversation_id(bad), "{bad}");
        }
    }
}
