//! JSON of servers that cut their text where they should not, made whole. Knows no dialect.

/// What strict JSON refuses and servers send: bytes that are no UTF-8, and one half of a surrogate pair, left by a server
/// that cuts its text between two `\u` escapes. Both become U+FFFD.
pub fn mend(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data);
    let mut mended = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let taken = match (surrogate(escape), escape.get(6..).and_then(surrogate)) {
            (Some(High), Some(Low)) => 12,
            (Some(_), _) => {
                mended.push('\u{FFFD}');
                rest = &escape[6..];
                continue;
            }
            // A backslash and whatever it escapes, which may be a backslash.
            (None, _) => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        mended.push_str(&escape[..taken]);
        rest = &escape[taken..];
    }
    mended.push_str(rest);
    mended
}

use Half::{High, Low};

enum Half {
    High,
    Low,
}

/// Whether a text begins with the escape of half a surrogate pair.
fn surrogate(text: &str) -> Option<Half> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..0xDC00 => Some(High),
        0xDC00..0xE000 => Some(Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_become_a_sign_and_all_else_stays() {
        for (sent, mended) in [
            (&br#"{"a":"x\\ud83d \ud83d\ude00 \n\""}"#[..], r#"{"a":"x\\ud83d \ud83d\ude00 \n\""}"#),
            (br#""\ud83d""#, "\"\u{FFFD}\""),
            (br#""\ude00\ud83dx""#, "\"\u{FFFD}\u{FFFD}x\""),
            (b"\"a\xFFb\"", "\"a\u{FFFD}b\""),
            (b"\\", "\\"),
            ("\\ü".as_bytes(), "\\ü"),
        ] {
            assert_eq!(mend(sent), mended);
        }
    }
}
