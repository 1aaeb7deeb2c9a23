//! A RIFF file read while it comes (Microsoft "Multimedia Programming Interface and Data Specifications 1.0", WAVE): the
//! header, then samples in the hub's own form. Writers to a pipe do not know the length, so a size that cannot be is no
//! error. Pure.

use bytes::Bytes;

use super::pcm::{Converter, Form};
use crate::common::error::{Failure, ProviderError};

/// How far into a file its samples must begin, bytes.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Sizes from here on mean that the writer did not know: 0x7FFFF000 (espeak-ng) or 0xFFFFFFFF.
const SIZE_UNKNOWN_FROM: u32 = 0x7FFF_0000;

/// `wFormatTag` of plain samples, and of a header with more to say (whose subformat is taken to be that).
const PCM: u16 = 1;
const EXTENSIBLE: u16 = 0xFFFE;

/// Reads one file.
#[derive(Debug, Default)]
pub struct Reader {
    /// What has come of the header.
    head: Vec<u8>,
    /// Once the samples have begun.
    body: Option<Body>,
}

#[derive(Debug)]
struct Body {
    converter: Converter,
    /// Bytes of samples that are still to come, where the file says it.
    left: Option<usize>,
}

impl Reader {
    /// Takes bytes; gives samples in our form, perhaps none yet.
    pub fn push(&mut self, bytes: Bytes) -> Result<Bytes, ProviderError> {
        if let Some(body) = &mut self.body {
            return Ok(body.push(bytes));
        }
        self.head.extend_from_slice(&bytes);
        let Some((form, size, start)) = header(&self.head)? else {
            if self.head.len() > HEADER_BYTES_MAX {
                return Err(bad("its WAV header does not end"));
            }
            return Ok(Bytes::new());
        };
        let rest = Bytes::from(std::mem::take(&mut self.head)).slice(start..);
        let left = (size != 0 && size < SIZE_UNKNOWN_FROM).then_some(size as usize);
        let body = self.body.insert(Body { converter: Converter::new(form)?, left });
        Ok(body.push(rest))
    }

    /// The file has ended: gives the rest. An error where it had no samples, or fewer than it said.
    pub fn finish(&mut self) -> Result<Bytes, ProviderError> {
        match &mut self.body {
            None if self.head.is_empty() => Err(bad("it sent no sound")),
            None => Err(bad("its WAV header does not end")),
            Some(Body { left: Some(1..), .. }) => {
                Err(ProviderError::new(Failure::CutOff, "the sound ended before its WAV header says"))
            }
            Some(body) => Ok(body.converter.finish()),
        }
    }
}

impl Body {
    fn push(&mut self, mut bytes: Bytes) -> Bytes {
        if let Some(left) = &mut self.left {
            // What follows the samples is about the file and no sound.
            bytes.truncate(*left);
            *left -= bytes.len();
        }
        self.converter.push(bytes)
    }
}

/// The form, the size that the data chunk claims and where its samples begin; `None` when there is not enough yet.
fn header(head: &[u8]) -> Result<Option<(Form, u32, usize)>, ProviderError> {
    let riff = head.get(..4.min(head.len())).unwrap_or_default();
    if !b"RIFF".starts_with(riff) {
        return Err(bad("it sent no WAV"));
    }
    let Some(kind) = head.get(8..12) else { return Ok(None) };
    if kind != b"WAVE" {
        return Err(bad("it sent a RIFF that is no WAV"));
    }
    let (mut at, mut form) = (12, None);
    while let Some(chunk) = head.get(at..at + 8) {
        let size = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
        let start = at + 8;
        match &chunk[..4] {
            b"data" => {
                let form = form.ok_or_else(|| bad("its WAV has samples before it says of which form"))?;
                return Ok(Some((form, size, start)));
            }
            b"fmt " => {
                let Some(fields) = head.get(start..start + 16) else { return Ok(None) };
                form = Some(format(fields)?);
            }
            _ => {}
        }
        // Chunks begin at even places.
        at = (size as usize).saturating_add(size as usize & 1).saturating_add(start);
        if at > HEADER_BYTES_MAX {
            return Err(bad("its WAV header does not end"));
        }
    }
    Ok(None)
}

fn format(fields: &[u8]) -> Result<Form, ProviderError> {
    let word = |at: usize| u16::from_le_bytes([fields[at], fields[at + 1]]);
    if !matches!(word(0), PCM | EXTENSIBLE) {
        return Err(bad("its WAV is compressed"));
    }
    let rate_hz = u32::from_le_bytes([fields[4], fields[5], fields[6], fields[7]]);
    Ok(Form { rate_hz, width_bytes: word(14).div_ceil(8), channels: word(2) })
}

fn bad(why: &str) -> ProviderError {
    ProviderError::new(Failure::BadStream, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header as espeak-ng writes one, with what differs.
    fn head(tag: u16, rate_hz: u32, size: u32) -> Vec<u8> {
        let mut head = b"RIFF\x24\xf0\xff\x7fWAVE".to_vec();
        head.extend_from_slice(b"LIST\x03\0\0\0abc\0fmt \x10\0\0\0");
        head.extend_from_slice(&tag.to_le_bytes());
        head.extend_from_slice(&1u16.to_le_bytes());
        head.extend_from_slice(&rate_hz.to_le_bytes());
        head.extend_from_slice(&(rate_hz * 2).to_le_bytes());
        head.extend_from_slice(&[2, 0, 16, 0]);
        head.extend_from_slice(b"data");
        head.extend_from_slice(&size.to_le_bytes());
        head
    }

    fn read(file: &[u8], piece_len: usize) -> Result<Vec<u8>, ProviderError> {
        let mut reader = Reader::default();
        let mut out = Vec::new();
        for piece in file.chunks(piece_len) {
            out.extend_from_slice(&reader.push(Bytes::copy_from_slice(piece))?);
        }
        out.extend_from_slice(&reader.finish()?);
        Ok(out)
    }

    #[test]
    fn a_size_that_cannot_be_is_the_rest_of_the_file() {
        for size in [0, 0x7FFF_F000, u32::MAX] {
            let file = [&head(PCM, 24_000, size)[..], &[1, 2, 3, 4]].concat();
            for piece_len in [1, 7, 1000] {
                assert_eq!(read(&file, piece_len).unwrap(), [1, 2, 3, 4], "{size:x}");
            }
        }
    }

    #[test]
    fn what_follows_the_samples_is_not_heard_and_what_is_missing_is_missed() {
        let whole = [&head(EXTENSIBLE, 24_000, 4)[..], &[1, 2, 3, 4], b"LIST\x04\0\0\0junk"].concat();
        for piece_len in [1, 50, 1000] {
            assert_eq!(read(&whole, piece_len).unwrap(), [1, 2, 3, 4]);
        }
        let cut = &whole[..whole.len() - 13];
        assert_eq!(read(cut, 1000).unwrap_err().failure, Failure::CutOff);
    }

    #[test]
    fn the_rate_is_made_ours() {
        let file = [&head(PCM, 22_050, u32::MAX)[..], &vec![0; 44_100]].concat();
        assert_eq!(read(&file, 4096).unwrap().len(), 48_000);
    }

    #[test]
    fn what_is_no_sound_is_said_so() {
        let endless = [&b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\xff"[..], &[0; 100]].concat();
        let formless = [&b"RIFF\0\0\0\0WAVEdata\x02\0\0\0"[..], &[0; 2]].concat();
        let (compressed, rateless) = (head(85, 24_000, 9), head(PCM, 7, 9));
        let files: [&[u8]; 8] =
            [b"", b"RI", b"<html>", b"RIFF\0\0\0\0AVI LIST", &endless, &formless, &compressed, &rateless];
        for file in files {
            for piece_len in [1, 1000] {
                let error = read(file, piece_len).expect_err("no sound");
                assert_eq!(error.failure, Failure::BadStream, "{error}");
            }
        }
    }
}
