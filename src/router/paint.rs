//! Pictures on request: what may be wished for, and the request that a provider gets. Pure.

use crate::common::chat::ImageRequest;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::router::choose::Link;
use crate::router::{IMAGES_MAX, ImageAsk};

/// The longest description, bytes: what OpenAI takes (32,000 characters) in four-byte letters.
const PROMPT_BYTES_MAX: usize = 128 * 1024;

/// The longest side of a picture, pixels.
const SIDE_MAX: u32 = 8192;

/// Previews of one picture.
const PREVIEWS_MAX: u8 = 3;

const QUALITIES: [&str; 4] = ["low", "medium", "high", "auto"];

/// Whether the wish can be one; the error says which field is not.
pub fn check(ask: &ImageAsk) -> Result<(), ErrorBody> {
    let bad = |text: String| Err(ErrorBody::new(ErrorCode::BadRequest, text));
    if ask.prompt.trim().is_empty() {
        return bad("payload.prompt is empty".into());
    }
    if ask.prompt.len() > PROMPT_BYTES_MAX {
        let text = format!("payload.prompt has {} bytes; {PROMPT_BYTES_MAX} is the most", ask.prompt.len());
        return Err(ErrorBody::new(ErrorCode::TooLarge, text));
    }
    if !(1..=IMAGES_MAX).contains(&ask.n) {
        return bad(format!("payload.n: from 1 to {IMAGES_MAX} pictures"));
    }
    if ask.size.as_deref().is_some_and(|size| !is_size(size)) {
        return bad("payload.size: auto, pixels such as 1024x1024, or an aspect ratio such as 16:9".into());
    }
    if ask.quality.as_deref().is_some_and(|quality| !QUALITIES.contains(&quality)) {
        return bad(format!("payload.quality: one of {}", QUALITIES.join(", ")));
    }
    if ask.partial_images > PREVIEWS_MAX {
        return bad(format!("payload.partial_images: from 0 to {PREVIEWS_MAX} previews"));
    }
    Ok(())
}

fn is_size(size: &str) -> bool {
    let sides = |mark: char, max: u32| {
        let side = |text: &str| {
            text.bytes().all(|b| b.is_ascii_digit()) && text.parse().is_ok_and(|side: u32| (1..=max).contains(&side))
        };
        size.split_once(mark).is_some_and(|(width, height)| side(width) && side(height))
    };
    size == "auto" || sides('x', SIDE_MAX) || sides(':', 99)
}

/// What one provider is asked.
pub fn request(link: &Link, ask: &ImageAsk) -> ImageRequest {
    ImageRequest {
        model: link.model.clone(),
        prompt: ask.prompt.clone(),
        size: ask.size.clone(),
        n: ask.n,
        quality: ask.quality.clone(),
        partial_images: ask.partial_images,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_pixels_or_ratios() {
        for good in ["auto", "1024x1024", "1536x1024", "16:9", "1:1", "8192x1"] {
            assert!(is_size(good), "{good}");
        }
        for bad in
            ["", "big", "0x1", "1x", "x", "1024", "1024X1024", "+1x1", "8193x1", "100:1", "1:0", "1x2x3", "1 x 1"]
        {
            assert!(!is_size(bad), "{bad}");
        }
    }

    #[test]
    fn a_wish_says_what_is_wrong_with_it() {
        let good = ImageAsk { prompt: "a cat".into(), n: 1, ..ImageAsk::default() };
        assert_eq!(check(&good), Ok(()));
        let all =
            ImageAsk { n: IMAGES_MAX, quality: Some("high".into()), partial_images: PREVIEWS_MAX, ..good.clone() };
        assert_eq!(check(&all), Ok(()));
        for (field, bad) in [
            ("prompt", ImageAsk { prompt: " ".into(), ..good.clone() }),
            ("prompt", ImageAsk { prompt: "x".repeat(PROMPT_BYTES_MAX + 1), ..good.clone() }),
            ("n", ImageAsk { n: 0, ..good.clone() }),
            ("n", ImageAsk { n: IMAGES_MAX + 1, ..good.clone() }),
            ("size", ImageAsk { size: Some("huge".into()), ..good.clone() }),
            ("quality", ImageAsk { quality: Some("best".into()), ..good.clone() }),
            ("partial_images", ImageAsk { partial_images: 4, ..good.clone() }),
        ] {
            let told = check(&bad).expect_err(field).message;
            assert!(told.starts_with(&format!("payload.{field}")), "{told}");
        }
    }
}
