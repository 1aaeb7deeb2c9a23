//! How long compressed sound lasts, by its own frames: Ogg pages (RFC 3533 §6) of Opus (RFC 7845 §4), and MPEG audio layer III
//! (ISO/IEC 11172-3 §2.4.2.3, 13818-3). Decodes nothing, and what it does not understand it does not count. Pure.

use crate::common::speech::AudioFormat;

/// Ogg pages: their fixed part, and where in it things stand.
const OGG_HEAD_BYTES: usize = 27;
/// The granule position of Opus counts at this rate, whatever the sound's own is.
const OPUS_RATE_HZ: u64 = 48_000;
/// Before the granule position is known.
const OGG_NO_GRANULE: u64 = u64::MAX;

const MP3_HEAD_BYTES: usize = 4;
const ID3_HEAD_BYTES: usize = 10;

/// Bit rates of layer III in kbit/s, by index: MPEG 1, then MPEG 2 and 2.5.
const MP3_KBITS: [[u32; 15]; 2] = [
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];
const MP3_RATES_HZ: [u32; 3] = [44_100, 48_000, 32_000];

/// Measures one file while it passes.
#[derive(Debug)]
pub struct Length {
    format: AudioFormat,
    /// The start of a frame whose head is not whole.
    held: Vec<u8>,
    /// Bytes of a frame that are still to pass.
    skip: usize,
    /// Opus: samples that are not heard, once the first page has said it, and the last position.
    pre_skip: Option<u64>,
    granule: u64,
    /// MP3, microseconds.
    frames_us: u64,
}

impl Length {
    pub fn new(format: AudioFormat) -> Length {
        Length { format, held: Vec::new(), skip: 0, pre_skip: None, granule: 0, frames_us: 0 }
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            self.held.push(bytes[0]);
            bytes = &bytes[1..];
            match self.format {
                AudioFormat::Opus => self.ogg(),
                AudioFormat::Mp3 => self.mp3(),
                AudioFormat::Pcm | AudioFormat::Wav => self.held.clear(),
            }
        }
    }

    /// How long what has passed lasts, microseconds.
    pub fn us(&self) -> u64 {
        match self.format {
            AudioFormat::Opus => {
                let samples = self.granule.saturating_sub(self.pre_skip.unwrap_or(0));
                samples.saturating_mul(1_000_000) / OPUS_RATE_HZ
            }
            _ => self.frames_us,
        }
    }

    fn ogg(&mut self) {
        let head = &self.held;
        let known = head.len().min(4);
        if head[..known] != b"OggS"[..known] {
            self.held.remove(0);
            return;
        }
        let Some(&segments) = head.get(OGG_HEAD_BYTES - 1) else { return };
        let body_start = OGG_HEAD_BYTES + usize::from(segments);
        let Some(table) = head.get(OGG_HEAD_BYTES..body_start) else { return };
        let body_len: usize = table.iter().map(|len| usize::from(*len)).sum();
        // The first page holds `OpusHead`, a version, the channels and the pre-skip, and nothing else.
        if self.pre_skip.is_none() && body_len >= 12 {
            let Some(opus) = head.get(body_start..body_start + 12) else { return };
            self.pre_skip = Some(u64::from(u16::from_le_bytes([opus[10], opus[11]])));
            self.skip = body_len - 12;
        } else {
            self.skip = body_len;
        }
        let granule = head[6..14].try_into().map_or(OGG_NO_GRANULE, u64::from_le_bytes);
        // A hostile one would run away: a day of sound is enough.
        if granule < OPUS_RATE_HZ * 24 * 3600 {
            self.granule = self.granule.max(granule);
        }
        self.held.clear();
    }

    fn mp3(&mut self) {
        let head = &self.held;
        let known = head.len().min(3);
        if head[..known] == b"ID3"[..known] {
            if head.len() == ID3_HEAD_BYTES {
                // Seven bits a byte (ID3v2.4 §6.2).
                self.skip = head[6..].iter().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7F));
                self.held.clear();
            }
            return;
        }
        if head[0] != 0xFF || head.get(1).is_some_and(|byte| byte & 0xE6 != 0xE2) {
            self.held.remove(0);
            return;
        }
        if head.len() < MP3_HEAD_BYTES {
            return;
        }
        match mp3_frame(head) {
            Some((len, us)) => {
                self.skip = len - MP3_HEAD_BYTES;
                self.frames_us += us;
                self.held.clear();
            }
            None => drop(self.held.remove(0)),
        }
    }
}

/// Bytes and microseconds of the frame with this head.
fn mp3_frame(head: &[u8]) -> Option<(usize, u64)> {
    // 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5.
    let version = head[1] >> 3 & 3;
    let slower = match version {
        3 => 1,
        2 => 2,
        0 => 4,
        _ => return None,
    };
    let kbits = *MP3_KBITS[usize::from(version != 3)].get(usize::from(head[2] >> 4))?;
    let rate_hz = *MP3_RATES_HZ.get(usize::from(head[2] >> 2 & 3))? / slower;
    let samples: u32 = if version == 3 { 1152 } else { 576 };
    let len = samples / 8 * kbits * 1000 / rate_hz + u32::from(head[2] >> 1 & 1);
    let us = u64::from(samples) * 1_000_000 / u64::from(rate_hz);
    (kbits > 0).then_some((len as usize, us))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(format: AudioFormat, file: &[u8], piece_len: usize) -> u64 {
        let mut length = Length::new(format);
        file.chunks(piece_len).for_each(|piece| length.push(piece));
        length.us() / 1000
    }

    fn page(granule: u64, body: &[u8]) -> Vec<u8> {
        let mut page = b"OggS\0\0".to_vec();
        page.extend_from_slice(&granule.to_le_bytes());
        page.extend_from_slice(&[0; 12]);
        let segments = body.chunks(255).map(|one| one.len() as u8).collect::<Vec<_>>();
        page.push(segments.len() as u8);
        page.extend_from_slice(&segments);
        page.extend_from_slice(body);
        page
    }

    #[test]
    fn opus_by_its_pages() {
        let head = page(0, b"OpusHead\x01\x01\x38\x01\xc0\x5d\0\0\0\0\0");
        let file = [head, page(0, b"OpusTags"), page(u64::MAX, &[1; 300]), page(48_312, b"OggS within")].concat();
        for piece_len in [1, 7, 1000] {
            assert_eq!(measure(AudioFormat::Opus, &file, piece_len), 1000, "312 are not heard");
        }
        assert_eq!(measure(AudioFormat::Opus, &page(u64::MAX - 1, b"runs away"), 9), 0);
    }

    #[test]
    fn mp3_by_its_frames() {
        // MPEG 2, 24 kHz, 64 kbit/s: 192 bytes, 24 ms.
        let frame = [&[0xFF, 0xF3, 0x84, 0xC4][..], &[0; 188]].concat();
        let tag = b"ID3\x04\0\0\0\0\0\x03\xff\xfb\x90";
        let file = [&tag[..], &frame.repeat(10), b"junk"].concat();
        for piece_len in [1, 100, 10_000] {
            assert_eq!(measure(AudioFormat::Mp3, &file, piece_len), 240);
        }
        // MPEG 1, 44.1 kHz, 128 kbit/s: 417 bytes, 26.1 ms.
        let frame = [&[0xFF, 0xFB, 0x90, 0x00][..], &[0; 413]].concat();
        assert_eq!(measure(AudioFormat::Mp3, &frame.repeat(100), 33), 2612);
    }

    #[test]
    fn nonsense_is_not_counted() {
        let nonsense: Vec<u8> = (0..5000u32).map(|n| ((n * n) >> 3) as u8 & 0x7F).collect();
        assert_eq!(measure(AudioFormat::Mp3, &nonsense, 10), 0);
        assert_eq!(measure(AudioFormat::Opus, &nonsense, 10), 0);
        assert_eq!(measure(AudioFormat::Pcm, &nonsense, 10), 0);
    }
}
