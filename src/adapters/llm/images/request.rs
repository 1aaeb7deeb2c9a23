//! The request of the Images API: where it goes, what is in it, which sizes there are, and what a server may refuse. Pure.
//! Source: OpenAI API reference, "Create image".

use serde::Serialize;

use crate::adapters::llm::complaint::Complaint;
use crate::common::chat::ImageRequest;
use crate::common::error::{Failure, ProviderError};

pub const PATH: &str = "/images/generations";

/// The longer side where a model takes any size, pixels.
const LONG_SIDE: u32 = 1536;

/// Sides are multiples of this where a model takes any size, pixels.
const SIDE_STEP: u32 = 16;

/// No side is longer than three times the other.
const RATIO_MAX: f64 = 3.0;

/// Figures of a size or a ratio.
const FIGURE_MAX: u32 = 16_384;

/// How this server and this model want to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manner {
    size: Option<String>,
    quality: bool,
    /// Previews, and the picture itself as an event.
    stream: bool,
    /// `response_format`: OpenAI's own models send base64 and refuse to be told so, others send an address unless told.
    base64: bool,
    /// OpenAI streams one picture at a time.
    can_stream: bool,
}

impl Manner {
    /// An error where the size is none.
    pub fn of(request: &ImageRequest) -> Result<Manner, ProviderError> {
        let is_gpt = ["gpt-image", "chatgpt-image"].iter().any(|name| request.model.contains(name));
        let can_stream = request.n <= 1;
        let size = request.size.as_deref().map(|size| self::size(size, &request.model)).transpose()?;
        Ok(Manner { size, quality: true, stream: is_gpt && can_stream, base64: !is_gpt, can_stream })
    }

    /// Gives in where the server blames something that can be done without; false when there is nothing to give in with.
    pub fn concede(&mut self, complaint: &Complaint) -> bool {
        let says = |name: &str| match &complaint.param {
            Some(param) => param == name,
            None => complaint.message.contains(name),
        };
        if says("response_format") && self.base64 {
            // One of OpenAI's own models by another name: a deployment of Azure's.
            (self.base64, self.stream) = (false, self.can_stream);
            return true;
        }
        if says("stream") || says("partial_images") || complaint.message.to_lowercase().contains("streaming") {
            return std::mem::replace(&mut self.stream, false);
        }
        says("quality") && std::mem::replace(&mut self.quality, false)
    }
}

/// A size as the model takes it: one of its own where it has few, else what was asked for. An aspect ratio becomes the
/// nearest there is.
fn size(asked: &str, model: &str) -> Result<String, ProviderError> {
    let asked = asked.trim();
    if asked.is_empty() || asked == "auto" {
        return Ok("auto".to_owned());
    }
    let pair = |by: char| {
        let (width, height) = asked.split_once(by)?;
        let figure = |text: &str| text.parse::<u32>().ok().filter(|figure| (1..=FIGURE_MAX).contains(figure));
        Some((figure(width)?, figure(height)?))
    };
    if pair('x').is_some() {
        // A server that does not have it says so, and what it has instead.
        return Ok(asked.to_owned());
    }
    let Some((width, height)) = pair(':') else {
        let message = format!("{asked:?} is no size: say 1024x1024, auto, or a ratio such as 16:9");
        return Err(ProviderError::new(Failure::Rejected, message));
    };
    let ratio = (f64::from(width) / f64::from(height)).clamp(1.0 / RATIO_MAX, RATIO_MAX);
    let of = |sizes: &[(u32, u32)]| {
        let distance = |(width, height): &(u32, u32)| (f64::from(*width) / f64::from(*height)).ln() - ratio.ln();
        let nearest = sizes.iter().min_by(|a, b| distance(a).abs().total_cmp(&distance(b).abs()));
        *nearest.expect("every model has a size")
    };
    let (width, height) = match model.rsplit('/').next().unwrap_or(model) {
        "dall-e-2" => of(&[(1024, 1024)]),
        "dall-e-3" => of(&[(1024, 1024), (1792, 1024), (1024, 1792)]),
        model if ["gpt-image-1", "chatgpt-image"].iter().any(|name| model.starts_with(name)) => {
            of(&[(1024, 1024), (1536, 1024), (1024, 1536)])
        }
        _ if ratio == 1.0 => (1024, 1024),
        _ => {
            let short = f64::from(LONG_SIDE) * ratio.min(1.0 / ratio) / f64::from(SIDE_STEP);
            let short = short.round() as u32 * SIDE_STEP;
            if ratio > 1.0 { (LONG_SIDE, short) } else { (short, LONG_SIDE) }
        }
    };
    Ok(format!("{width}x{height}"))
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_images: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'static str>,
}

/// What is sent.
pub fn body<'a>(request: &'a ImageRequest, manner: &'a Manner) -> impl Serialize + use<'a> {
    Body {
        model: &request.model,
        prompt: &request.prompt,
        n: Some(request.n).filter(|n| *n > 1),
        size: manner.size.as_deref(),
        quality: request.quality.as_deref().filter(|_| manner.quality),
        stream: manner.stream.then_some(true),
        partial_images: Some(request.partial_images).filter(|previews| manner.stream && *previews > 0),
        response_format: manner.base64.then_some("b64_json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(model: &str) -> ImageRequest {
        ImageRequest { model: model.into(), prompt: "a cat".into(), n: 1, partial_images: 2, ..ImageRequest::default() }
    }

    fn body_of(request: &ImageRequest, manner: &Manner) -> String {
        serde_json::to_string(&body(request, manner)).unwrap()
    }

    fn blamed(param: Option<&str>, message: &str) -> Complaint {
        Complaint { param: param.map(Into::into), message: message.into(), ..Complaint::default() }
    }

    #[test]
    fn the_body_of_openais_models_and_of_all_others() {
        let ask = ImageRequest { size: Some("16:9".into()), quality: Some("low".into()), ..wish("gpt-image-1") };
        let manner = Manner::of(&ask).unwrap();
        insta::assert_snapshot!(body_of(&ask, &manner), @r#"{"model":"gpt-image-1","prompt":"a cat","size":"1536x1024","quality":"low","stream":true,"partial_images":2}"#);
        let ask = wish("flux.2");
        insta::assert_snapshot!(body_of(&ask, &Manner::of(&ask).unwrap()), @r#"{"model":"flux.2","prompt":"a cat","response_format":"b64_json"}"#);
        let ask = ImageRequest { n: 3, partial_images: 0, ..wish("gpt-image-2") };
        insta::assert_snapshot!(body_of(&ask, &Manner::of(&ask).unwrap()), @r#"{"model":"gpt-image-2","prompt":"a cat","n":3}"#);
    }

    #[test]
    fn sizes_and_ratios() {
        for (model, asked, sent) in [
            ("gpt-image-1-mini", "16:9", "1536x1024"),
            ("gpt-image-1.5", "9:16", "1024x1536"),
            ("openai/chatgpt-image-latest", "1:1", "1024x1024"),
            ("dall-e-3", "21:9", "1792x1024"),
            ("dall-e-2", "16:9", "1024x1024"),
            ("gpt-image-2.5-flare", "16:9", "1536x864"),
            ("gpt-image-2", "3:4", "1152x1536"),
            ("gpt-image-2", "100:1", "1536x512"),
            ("gpt-image-2", "2:2", "1024x1024"),
            ("gpt-image-1", "1536x864", "1536x864"),
            ("flux.2", " auto ", "auto"),
        ] {
            assert_eq!(size(asked, model).as_deref(), Ok(sent), "{asked} of {model}");
        }
        for bad in ["big", "0:1", "16:", "1x", "99999x1", "1:2:3", "-1:2", "1e3x5"] {
            let error = size(bad, "gpt-image-1").unwrap_err();
            assert!(error.failure == Failure::Rejected && error.message.contains(bad), "{error}");
        }
    }

    #[test]
    fn what_a_server_refuses_is_given_up_once() {
        let ask = ImageRequest { quality: Some("low".into()), ..wish("my-deployment") };
        let mut manner = Manner::of(&ask).unwrap();
        assert!(manner.concede(&blamed(Some("response_format"), "Unknown parameter: 'response_format'.")));
        assert!(body_of(&ask, &manner).contains(r#""stream":true,"partial_images":2"#));
        let streaming = blamed(None, "Streaming is only supported with n=1.");
        assert!(manner.concede(&streaming) && !manner.concede(&streaming));
        let quality = blamed(Some("quality"), "Unknown");
        assert!(manner.concede(&quality) && !manner.concede(&quality));
        assert!(!manner.concede(&blamed(Some("size"), "Invalid size")));
        assert_eq!(body_of(&ask, &manner), r#"{"model":"my-deployment","prompt":"a cat"}"#);
    }
}
