//! Pictures and sound as JSON carries them: base64, alone or in a `data:` URL (RFC 2397). Knows no provider.

use std::borrow::Cow;

use base64::Engine;
use base64::display::Base64Display;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT};
use bytes::Bytes;
use serde::{Serialize, Serializer};

use crate::common::chat::Media;

/// Bytes that are written as base64, piece by piece and without a string of their own.
#[derive(Debug, Clone, Copy)]
pub struct Base64<'a>(pub &'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

/// A medium that is written as `data:image/png;base64,…`.
#[derive(Debug, Clone, Copy)]
pub struct DataUrl<'a>(pub &'a Media);

impl Serialize for DataUrl<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let base64 = Base64Display::new(&self.0.data, &STANDARD);
        serializer.collect_str(&format_args!("data:{};base64,{base64}", self.0.mime))
    }
}

/// What base64 stands for, padded or not, in lines or not; `None` where it is none.
pub fn decode(base64: &str) -> Option<Bytes> {
    let engine = &STANDARD_PAD_INDIFFERENT;
    if let Ok(bytes) = engine.decode(base64) {
        return Some(bytes.into());
    }
    let bare: Cow<'_, [u8]> = base64.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    engine.decode(&bare).ok().map(Bytes::from)
}

/// What a `data:` URL with base64 holds; `otherwise` where it does not name its kind.
pub fn from_data_url(url: &str, otherwise: &str) -> Option<Media> {
    let (kind, base64) = url.strip_prefix("data:")?.split_once(',')?;
    let mut words = kind.split(';').map(str::trim);
    let mime = words.next().filter(|mime| !mime.is_empty()).unwrap_or(otherwise).to_ascii_lowercase();
    words
        .any(|word| word.eq_ignore_ascii_case("base64"))
        .then(|| decode(base64))
        .flatten()
        .map(|data| Media { mime: mime.into(), data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for length in [0usize, 1, 2, 3, 1000, 100_000] {
            let media = Media { mime: "image/png".into(), data: vec![0xA7; length].into() };
            let url: String = serde_json::from_value(serde_json::to_value(DataUrl(&media)).unwrap()).unwrap();
            assert_eq!(from_data_url(&url, ""), Some(media.clone()), "{length} bytes");
            let base64 = serde_json::to_string(&Base64(&media.data)).unwrap();
            assert_eq!(decode(base64.trim_matches('"')), Some(media.data));
        }
    }

    #[test]
    fn spellings_of_servers_are_read_and_nonsense_is_not() {
        let hi = |mime: &str| Some(Media { mime: mime.into(), data: Bytes::from_static(b"hi") });
        assert_eq!(from_data_url("data:Image/PNG;base64,aGk=", ""), hi("image/png"));
        assert_eq!(from_data_url("data:image/webp;charset=x;BASE64,aG\nk", ""), hi("image/webp"));
        assert_eq!(from_data_url("data:;base64,aGk", "image/png"), hi("image/png"));
        for odd in ["", "https://x/y.png", "data:image/png,hi", "data:image/png;base64", "data:image/png;base64,a*k="] {
            assert_eq!(from_data_url(odd, ""), None, "{odd}");
        }
    }
}
