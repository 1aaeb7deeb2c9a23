//! Raw samples of any common form made into the hub's own: signed 16 bit, little-endian, mono, 24 kHz. Fed in pieces of any
//! size. Pure; knows no voice.

use bytes::Bytes;

use super::resample::Resampler;
use crate::common::error::{Failure, ProviderError};
use crate::common::speech::PCM_SAMPLE_RATE;

/// More channels than a room has corners is no speech.
const CHANNELS_MAX: u16 = 16;

/// What samples look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    pub rate_hz: u32,
    /// Bytes of one sample of one channel: 1 (unsigned), 2, 3 or 4 (signed, little-endian).
    pub width_bytes: u16,
    pub channels: u16,
}

impl Form {
    /// What goes out.
    pub const OURS: Form = Form { rate_hz: PCM_SAMPLE_RATE, width_bytes: 2, channels: 1 };
}

/// Makes samples of one form into ours.
#[derive(Debug)]
pub struct Converter {
    form: Form,
    /// `None` where the rate is ours already.
    resampler: Option<Resampler>,
    /// Bytes of a frame that has begun.
    held: Vec<u8>,
}

impl Converter {
    /// An error where a form is none of sound.
    pub fn new(form: Form) -> Result<Converter, ProviderError> {
        let Form { rate_hz, width_bytes, channels } = form;
        let resampler = (rate_hz != PCM_SAMPLE_RATE).then(|| Resampler::new(rate_hz, PCM_SAMPLE_RATE));
        let known = (1..=4).contains(&width_bytes) && (1..=CHANNELS_MAX).contains(&channels);
        match resampler {
            None if known => Ok(Converter { form, resampler: None, held: Vec::new() }),
            Some(Some(resampler)) if known => Ok(Converter { form, resampler: Some(resampler), held: Vec::new() }),
            _ => {
                let what = format!("{rate_hz} Hz, {width_bytes} bytes a sample, {channels} channels");
                Err(ProviderError::new(Failure::BadStream, format!("it sent sound of a form that cannot be: {what}")))
            }
        }
    }

    /// Takes bytes; gives what they come to, whole samples, perhaps none.
    pub fn push(&mut self, bytes: Bytes) -> Bytes {
        if self.form == Form::OURS && self.held.is_empty() && bytes.len().is_multiple_of(2) {
            return bytes;
        }
        self.held.extend_from_slice(&bytes);
        let frame_len = usize::from(self.form.width_bytes) * usize::from(self.form.channels);
        let whole = self.held.len() - self.held.len() % frame_len;
        if self.form == Form::OURS {
            let rest = self.held.split_off(whole);
            return std::mem::replace(&mut self.held, rest).into();
        }
        let samples: Vec<f32> = self.held[..whole].chunks(frame_len).map(|frame| self.mono(frame)).collect();
        self.held.drain(..whole);
        match &mut self.resampler {
            None => to_bytes(&samples),
            Some(resampler) => {
                let mut out = Vec::with_capacity(samples.len() * 2);
                resampler.push(&samples, &mut out);
                to_bytes(&out)
            }
        }
    }

    /// The input has ended: gives the rest. A frame that is not whole is dropped.
    pub fn finish(&mut self) -> Bytes {
        let mut out = Vec::new();
        if let Some(resampler) = &mut self.resampler {
            resampler.finish(&mut out);
        }
        to_bytes(&out)
    }

    /// The mean of the channels, -1 to 1.
    fn mono(&self, frame: &[u8]) -> f32 {
        let width = usize::from(self.form.width_bytes);
        let sum: f32 = frame.chunks(width).map(sample).sum();
        sum / f32::from(self.form.channels)
    }
}

fn sample(bytes: &[u8]) -> f32 {
    match *bytes {
        [byte] => (f32::from(byte) - 128.0) / 128.0,
        // Put at the top of 32 bits, so that each width has the same scale and its own sign.
        [a, b] => i32::from_le_bytes([0, 0, a, b]) as f32 / 2_147_483_648.0,
        [a, b, c] => i32::from_le_bytes([0, a, b, c]) as f32 / 2_147_483_648.0,
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]) as f32 / 2_147_483_648.0,
        _ => 0.0,
    }
}

fn to_bytes(samples: &[f32]) -> Bytes {
    let to_i16 = |sample: &f32| ((sample * 32_768.0).round()).clamp(-32_768.0, 32_767.0) as i16;
    samples.iter().flat_map(|sample| to_i16(sample).to_le_bytes()).collect()
}

/// The rate that a media type such as `audio/L16;codec=pcm;rate=24000` names (RFC 2586 §3).
pub fn rate_of(mime: &str) -> Option<u32> {
    let value = mime.split(';').find_map(|part| part.trim().strip_prefix("rate="))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(form: Form, bytes: &[u8], piece_len: usize) -> Vec<u8> {
        let mut converter = Converter::new(form).expect("a form of sound");
        let mut out: Vec<u8> = Vec::new();
        for piece in bytes.chunks(piece_len) {
            out.extend_from_slice(&converter.push(Bytes::copy_from_slice(piece)));
            assert!(out.len().is_multiple_of(2), "whole samples");
        }
        out.extend_from_slice(&converter.finish());
        out
    }

    #[test]
    fn our_own_form_passes_and_the_cut_does_not_show() {
        let bytes: Vec<u8> = (0..=255).collect();
        for piece_len in [1, 2, 3, 5, 256] {
            assert_eq!(all(Form::OURS, &bytes, piece_len), bytes, "pieces of {piece_len}");
        }
        assert_eq!(all(Form::OURS, &bytes[..7], 7), bytes[..6], "half a sample is none");
    }

    #[test]
    fn widths_and_channels() {
        let of = |width_bytes, channels, bytes: &[u8]| {
            let form = Form { width_bytes, channels, ..Form::OURS };
            let out = all(form, bytes, 1);
            out.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect::<Vec<_>>()
        };
        assert_eq!(of(1, 1, &[0, 128, 255]), [-32_768, 0, 32_512]);
        assert_eq!(of(2, 2, &[0, 0x40, 0, 0xC0, 0, 0x40, 0, 0]), [0, 8_192]);
        assert_eq!(of(3, 1, &[0, 0, 0x40, 0, 0, 0xC0]), [16_384, -16_384]);
        assert_eq!(of(4, 1, &[0, 0, 0, 0x80]), [-32_768]);
    }

    #[test]
    fn another_rate_has_the_same_length_in_time() {
        let form = Form { rate_hz: 22_050, ..Form::OURS };
        let second = vec![0; 44_100];
        assert_eq!(all(form, &second, 8191).len(), 48_000);
        assert_eq!(all(form, &second, 1), all(form, &second, 44_100));
    }

    #[test]
    fn forms_that_cannot_be_are_refused() {
        for (rate_hz, width_bytes, channels) in
            [(0, 2, 1), (24_000, 0, 1), (24_000, 5, 1), (22_050, 2, 0), (16_000, 2, 17), (24_001, 2, 1)]
        {
            let error = Converter::new(Form { rate_hz, width_bytes, channels }).expect_err("no sound");
            assert_eq!(error.failure, Failure::BadStream);
        }
    }

    #[test]
    fn rates_in_media_types() {
        assert_eq!(rate_of("audio/L16;codec=pcm;rate=24000"), Some(24_000));
        assert_eq!(rate_of("audio/L16; rate=16000; channels=1"), Some(16_000));
        assert_eq!(rate_of("audio/wav"), None);
    }
}
