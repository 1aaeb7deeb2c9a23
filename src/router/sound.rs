//! Sound on its way out: cut into pieces of even length, with the place of each in the request's speech. Pure; knows no voice
//! and no clock.

use bytes::{Bytes, BytesMut};

use super::length::Length;
use crate::common::speech::{AudioFormat, AudioPiece, PCM_SAMPLE_RATE};

/// Bytes of one sample of `pcm`.
const SAMPLE_BYTES: usize = 2;

/// A piece of `pcm`: 50 ms.
pub const PIECE_BYTES: usize = PCM_SAMPLE_RATE as usize / 20 * SAMPLE_BYTES;

/// A piece of a `wav` file.
const FILE_PIECE_BYTES: usize = 32 * 1024;

/// The header before the samples of a `wav` file.
const WAV_HEADER_BYTES: usize = 44;

/// The most sound of one sentence, bytes: five minutes of `pcm`, where the longest sentence takes one.
pub const SENTENCE_BYTES_MAX: usize = 5 * 60 * PCM_SAMPLE_RATE as usize * SAMPLE_BYTES;

/// Cuts the sound of one request.
#[derive(Debug)]
pub struct Cutter {
    format: AudioFormat,
    sentence: u32,
    /// What the sentence says, until its first piece has it.
    text: Option<Box<str>>,
    held: BytesMut,
    /// Of this sentence, bytes taken in.
    taken: usize,
    /// Of `opus` and `mp3`: how long this sentence is.
    length: Length,
    /// Samples before the next piece; of `opus` and `mp3` before this sentence.
    samples: u64,
}

/// A voice does not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sound of one sentence is longer than {} minutes", SENTENCE_BYTES_MAX / (60 * PIECE_BYTES * 20))]
pub struct TooLong;

impl Cutter {
    pub fn new(format: AudioFormat) -> Cutter {
        Cutter {
            format,
            sentence: 0,
            text: None,
            held: BytesMut::new(),
            taken: 0,
            length: Length::new(format),
            samples: 0,
        }
    }

    /// A sentence begins.
    pub fn begin(&mut self, text: &str) {
        self.text = Some(text.into());
        self.taken = 0;
        self.held.clear();
        self.length = Length::new(self.format);
    }

    /// Whether a piece of the sentence has gone out: then it cannot be begun again.
    pub fn is_heard(&self) -> bool {
        self.taken > 0 && self.text.is_none()
    }

    /// Takes sound and gives the pieces that are whole by now.
    pub fn push(&mut self, sound: &Bytes) -> Result<Vec<AudioPiece>, TooLong> {
        self.taken += sound.len();
        if self.taken > SENTENCE_BYTES_MAX {
            return Err(TooLong);
        }
        match self.format {
            AudioFormat::Pcm => {
                self.held.extend_from_slice(sound);
                Ok(std::iter::from_fn(|| self.whole_piece()).collect())
            }
            // Its header says how long it is: it goes out when that is known.
            AudioFormat::Wav => {
                self.held.extend_from_slice(sound);
                Ok(Vec::new())
            }
            AudioFormat::Opus | AudioFormat::Mp3 => {
                self.length.push(sound);
                Ok(vec![self.piece(sound.clone())])
            }
        }
    }

    /// The sentence has ended: gives what is left of it.
    pub fn end(&mut self) -> Vec<AudioPiece> {
        let mut pieces = Vec::new();
        if self.taken > 0 {
            let whole = self.held.len() - self.held.len() % SAMPLE_BYTES;
            self.held.truncate(whole);
            let rest = self.held.split().freeze();
            match self.format {
                AudioFormat::Pcm if !rest.is_empty() => {
                    pieces.push(self.piece(rest.clone()));
                    self.advance(rest.len());
                }
                AudioFormat::Wav if !rest.is_empty() => pieces = self.file(&rest),
                AudioFormat::Pcm | AudioFormat::Wav => {}
                AudioFormat::Opus | AudioFormat::Mp3 => {
                    self.samples += self.length.us() * u64::from(PCM_SAMPLE_RATE) / 1_000_000;
                }
            }
        }
        self.sentence += u32::from(self.is_heard());
        self.text = None;
        self.taken = 0;
        pieces
    }

    /// The end of the request's sound, where its last piece was not known to be the last.
    pub fn last(&mut self) -> AudioPiece {
        self.sentence = self.sentence.saturating_sub(1);
        AudioPiece { last: true, ..self.piece(Bytes::new()) }
    }

    fn whole_piece(&mut self) -> Option<AudioPiece> {
        if self.held.len() < PIECE_BYTES {
            return None;
        }
        let data = self.held.split_to(PIECE_BYTES).freeze();
        let piece = self.piece(data);
        self.advance(PIECE_BYTES);
        Some(piece)
    }

    fn file(&mut self, samples: &Bytes) -> Vec<AudioPiece> {
        let file = Bytes::from([&wav_header(samples.len())[..], samples].concat());
        let pieces = (0..file.len()).step_by(FILE_PIECE_BYTES).map(|from| {
            let to = file.len().min(from + FILE_PIECE_BYTES);
            self.piece(file.slice(from..to))
        });
        let pieces = pieces.collect();
        self.advance(samples.len());
        pieces
    }

    fn advance(&mut self, bytes: usize) {
        self.samples += (bytes / SAMPLE_BYTES) as u64;
    }

    fn piece(&mut self, data: Bytes) -> AudioPiece {
        let at_ms = u32::try_from(self.samples * 1000 / u64::from(PCM_SAMPLE_RATE)).unwrap_or(u32::MAX);
        AudioPiece { format: self.format, sentence: self.sentence, text: self.text.take(), at_ms, last: false, data }
    }
}

/// The header of a file with so many bytes of samples in our form.
fn wav_header(samples_len: usize) -> [u8; WAV_HEADER_BYTES] {
    let len = u32::try_from(samples_len).expect("a sentence is far below 4 GiB");
    let mut header = [0; WAV_HEADER_BYTES];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RIFF");
    put(4, &(len + WAV_HEADER_BYTES as u32 - 8).to_le_bytes());
    put(8, b"WAVEfmt ");
    put(16, &16u32.to_le_bytes());
    // Plain samples, one channel.
    put(20, &[1, 0, 1, 0]);
    put(24, &PCM_SAMPLE_RATE.to_le_bytes());
    put(28, &(PCM_SAMPLE_RATE * SAMPLE_BYTES as u32).to_le_bytes());
    put(32, &[SAMPLE_BYTES as u8, 0, 16, 0]);
    put(36, b"data");
    put(40, &len.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(format: AudioFormat, sentences: &[&[u8]], piece_len: usize) -> Vec<AudioPiece> {
        let mut cutter = Cutter::new(format);
        let mut pieces = Vec::new();
        for (at, sound) in sentences.iter().enumerate() {
            cutter.begin(&format!("Sentence {at}."));
            for piece in sound.chunks(piece_len) {
                pieces.extend(cutter.push(&Bytes::copy_from_slice(piece)).expect("short enough"));
            }
            pieces.extend(cutter.end());
        }
        pieces.push(cutter.last());
        pieces
    }

    #[test]
    fn pieces_of_fifty_milliseconds_with_their_places() {
        let (first, second) = (vec![1; 2 * PIECE_BYTES + 480], vec![2; PIECE_BYTES + 1]);
        for piece_len in [1, 999, 100_000] {
            let pieces = cut(AudioFormat::Pcm, &[&first, &second], piece_len);
            let shape: Vec<_> =
                pieces.iter().map(|piece| (piece.sentence, piece.at_ms, piece.data.len(), piece.last)).collect();
            let want = [
                (0, 0, 2400, false),
                (0, 50, 2400, false),
                (0, 100, 480, false),
                (1, 110, 2400, false),
                (1, 160, 0, true),
            ];
            assert_eq!(shape, want, "pieces of {piece_len}");
            let texts: Vec<_> = pieces.iter().map(|piece| piece.text.as_deref()).collect();
            assert_eq!(texts, [Some("Sentence 0."), None, None, Some("Sentence 1."), None]);
        }
    }

    #[test]
    fn a_sentence_without_sound_does_not_count() {
        let pieces = cut(AudioFormat::Pcm, &[b"", &[7; 10]], 10);
        assert_eq!((pieces[0].sentence, pieces[0].text.as_deref()), (0, Some("Sentence 1.")));
        assert_eq!(pieces.len(), 2);
    }

    #[test]
    fn a_wav_is_a_file_of_its_own_for_each_sentence() {
        let sound = vec![3; 40_000];
        let pieces = cut(AudioFormat::Wav, &[&sound, &sound[..48]], 1000);
        let file = |sentence: u32| {
            let of = pieces.iter().filter(|piece| piece.sentence == sentence && !piece.last);
            of.flat_map(|piece| piece.data.to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(file(0).len(), 40_044);
        assert_eq!(file(0)[..44], wav_header(40_000));
        assert_eq!(file(1)[40..], [&48u32.to_le_bytes()[..], &sound[..48]].concat());
        let second = pieces.iter().find(|piece| piece.sentence == 1).expect("a second file");
        assert_eq!(second.at_ms, 833, "20000 samples are 833⅓ ms");
    }

    #[test]
    fn other_formats_pass_as_they_are() {
        let pieces = cut(AudioFormat::Opus, &[b"OggS..", b"OggS"], 4);
        let shape: Vec<_> = pieces.iter().map(|piece| (piece.sentence, &piece.data[..], piece.last)).collect();
        assert_eq!(shape, [(0, &b"OggS"[..], false), (0, b"..", false), (1, b"OggS", false), (1, b"", true)]);
        // Ten frames of 24 ms.
        let mp3 = [&[0xFF, 0xF3, 0x84, 0xC4][..], &[0; 188]].concat().repeat(10);
        let places: Vec<_> = cut(AudioFormat::Mp3, &[&mp3, &mp3], 5000).iter().map(|piece| piece.at_ms).collect();
        assert_eq!(places, [0, 240, 480]);
    }

    #[test]
    fn a_voice_that_does_not_end_is_ended() {
        let mut cutter = Cutter::new(AudioFormat::Pcm);
        cutter.begin("Ooooh");
        let much = Bytes::from(vec![0; SENTENCE_BYTES_MAX]);
        assert!(cutter.push(&much).is_ok());
        let error = cutter.push(&Bytes::from_static(b"x")).expect_err("too long");
        assert_eq!(error.to_string(), "the sound of one sentence is longer than 5 minutes");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_lost_and_no_sample_is_cut(lens in proptest::collection::vec(0usize..9000, 1..5), piece_len in 1usize..5000) {
            let sentences: Vec<Vec<u8>> =
                lens.iter().map(|len| (0..*len).map(|at| at as u8).collect()).collect();
            let slices: Vec<&[u8]> = sentences.iter().map(Vec::as_slice).collect();
            let pieces = cut(AudioFormat::Pcm, &slices, piece_len);
            let whole: Vec<u8> = sentences.iter().flat_map(|one| one[..one.len() / 2 * 2].to_vec()).collect();
            let got: Vec<u8> = pieces.iter().flat_map(|piece| piece.data.to_vec()).collect();
            prop_assert_eq!(got, whole);
            let mut samples = 0;
            for piece in &pieces {
                prop_assert_eq!(u64::from(piece.at_ms), samples * 1000 / 24_000);
                prop_assert!(piece.data.len() % 2 == 0 && piece.data.len() <= PIECE_BYTES);
                samples += piece.data.len() as u64 / 2;
            }
        }
    }
}
