//! A picture out of the base64 in which JSON carries it. Looks at the first bytes to know its kind; knows no event.

use crate::adapters::llm::media;
use crate::common::chat::Media;
use crate::common::error::{Failure, ProviderError};

/// Decodes; `format` is the provider's word (`png`, `jpeg`, `webp`), for what does not show its kind. Takes a data URL, too.
pub fn decode(base64: &str, format: &str) -> Result<Media, ProviderError> {
    let data = match media::from_data_url(base64, "") {
        Some(media) => Some(media.data),
        None => media::decode(base64),
    };
    let Some(data) = data.filter(|data| !data.is_empty()) else {
        return Err(ProviderError::new(Failure::BadStream, "a picture came that is no base64"));
    };
    Ok(Media { mime: mime(&data, format), data })
}

fn mime(data: &[u8], format: &str) -> Box<str> {
    match data {
        [0x89, b'P', b'N', b'G', ..] => "image/png".into(),
        [0xFF, 0xD8, 0xFF, ..] => "image/jpeg".into(),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp".into(),
        [b'G', b'I', b'F', b'8', ..] => "image/gif".into(),
        _ if ["jpeg", "webp", "gif"].contains(&format) => format!("image/{format}").into(),
        _ if format == "svg" => "image/svg+xml".into(),
        _ => "image/png".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_bytes_say_holds_and_the_word_where_they_say_nothing() {
        for (base64, format, mime, len) in [
            ("iVBORw0KGgo=", "jpeg", "image/png", 8),
            ("iVBORw0KGgo", "", "image/png", 8),
            ("/9j/4AAQ", "", "image/jpeg", 6),
            ("UklGRgAA\nAABXRUJQ\n", "png", "image/webp", 12),
            ("data:image/gif;base64,R0lGODlh", "", "image/gif", 6),
            ("AAAA", "webp", "image/webp", 3),
            ("AAAA", "bmp; charset=x", "image/png", 3),
        ] {
            let media = decode(base64, format).unwrap();
            assert_eq!((&*media.mime, media.data.len()), (mime, len), "{base64}");
        }
        for bad in ["", "=", "AAA!", "data:image/png;base64", "data:,"] {
            assert_eq!(decode(bad, "png").unwrap_err().failure, Failure::BadStream, "{bad}");
        }
    }
}
