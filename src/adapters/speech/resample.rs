//! From one sample rate to another: a windowed-sinc polyphase filter of linear phase, fed in pieces of any size. Pure;
//! knows no format and no voice.

use std::f64::consts::PI;
use std::sync::{Arc, Mutex};

/// Zero crossings of the sinc on each side of its middle: 24 keep a sine's noise some 80 dB down and cost 48
/// multiplications a sample.
const SIDE_CROSSINGS: usize = 24;

/// Of the Kaiser window: side lobes 80 dB down.
const KAISER_BETA: f64 = 8.0;

/// How much of the narrower band is passed on; the rest is the filter's slope.
const PASSED: f64 = 0.93;

/// The most phases that a pair of rates may need. 11025 to 24000 needs 320; what needs more is no rate of sound.
const PHASES_MAX: usize = 640;

/// Tables of weights that are kept, some 30 KiB each: a hub hears one or two rates, and each sentence needs one.
const KEPT_MAX: usize = 4;

/// The highest factor by which rates may go down: 192 kHz to 24 kHz.
const DOWN_MAX: usize = 8;

/// A resampler. Output sample 0 stands at the time of input sample 0; the whole is as long as the input, to a sample.
#[derive(Debug)]
pub struct Resampler {
    /// Output samples in a period, and so the filter's phases.
    up: usize,
    /// Input samples in the same period.
    down: usize,
    /// Input samples under the filter, for each phase one row of weights.
    taps: usize,
    weights: Arc<[f32]>,
    /// Input that is still needed, oldest first.
    held: Vec<f32>,
    /// Where the next output stands, from the first held sample's own place, in input samples: whole and `up`-ths.
    at: usize,
    phase: usize,
    /// Samples taken in and given out.
    taken: u64,
    given: u64,
}

impl Resampler {
    /// `None` where the rates (Hz) have no small enough common measure or are too far apart.
    pub fn new(from_hz: u32, to_hz: u32) -> Option<Resampler> {
        if from_hz == 0 || to_hz == 0 {
            return None;
        }
        let common = gcd(from_hz, to_hz);
        let (up, down) = ((to_hz / common) as usize, (from_hz / common) as usize);
        if up > PHASES_MAX || down > up * DOWN_MAX {
            return None;
        }
        let (side, weights) = table(up, down);
        let taps = 2 * side;
        // Silence before the beginning, so that the first output stands in the filter's middle.
        let held = vec![0.0; side - 1];
        Some(Resampler { up, down, taps, weights, held, at: 0, phase: 0, taken: 0, given: 0 })
    }

    /// Takes samples and adds what can be said of the output by now.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.taken += samples.len() as u64;
        self.held.extend_from_slice(samples);
        self.give(out, u64::MAX);
    }

    /// The input has ended: adds the rest.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        let total = (self.taken * self.up as u64).div_ceil(self.down as u64);
        self.held.resize(self.held.len() + self.taps, 0.0);
        self.give(out, total);
    }

    fn give(&mut self, out: &mut Vec<f32>, total: u64) {
        while self.given < total && self.at + self.taps <= self.held.len() {
            let row = &self.weights[self.phase * self.taps..][..self.taps];
            let under = &self.held[self.at..][..self.taps];
            out.push(row.iter().zip(under).map(|(weight, sample)| weight * sample).sum());
            self.given += 1;
            self.phase += self.down;
            self.at += self.phase / self.up;
            self.phase %= self.up;
        }
        let used = self.at.min(self.held.len());
        self.held.drain(..used);
        self.at -= used;
    }
}

/// How far the filter reaches to each side, in input samples, and its weights, phase after phase.
fn table(up: usize, down: usize) -> (usize, Arc<[f32]>) {
    /// The last few: a pair of rates, and what goes with it.
    type Kept = Vec<((usize, usize), Arc<[f32]>)>;
    static KEPT: Mutex<Kept> = Mutex::new(Vec::new());
    // In parts of the input's own band.
    let cutoff = PASSED * (up as f64 / down as f64).min(1.0);
    let side = (SIDE_CROSSINGS as f64 / cutoff).ceil() as usize;
    let mut kept = KEPT.lock().expect("nothing panics with the lock held");
    if let Some((_, weights)) = kept.iter().find(|(rates, _)| *rates == (up, down)) {
        return (side, Arc::clone(weights));
    }
    let mut weights = Vec::with_capacity(up * 2 * side);
    for phase in 0..up {
        let middle = side as f64 - 1.0 + phase as f64 / up as f64;
        let row: Vec<f64> = (0..2 * side).map(|tap| weight(tap as f64 - middle, side as f64, cutoff)).collect();
        // Each phase passes silence and a constant alike, or the phases would hum.
        let sum: f64 = row.iter().sum();
        weights.extend(row.iter().map(|value| (value / sum) as f32));
    }
    let weights: Arc<[f32]> = weights.into();
    kept.truncate(KEPT_MAX - 1);
    kept.insert(0, ((up, down), Arc::clone(&weights)));
    (side, weights)
}

/// The filter at `x` input samples from its middle.
fn weight(x: f64, side: f64, cutoff: f64) -> f64 {
    let inside = 1.0 - (x / side).powi(2);
    if inside < 0.0 {
        return 0.0;
    }
    let turn = PI * x * cutoff;
    let sinc = if turn.abs() < 1e-9 { 1.0 } else { turn.sin() / turn };
    cutoff * sinc * bessel_i0(KAISER_BETA * inside.sqrt()) / bessel_i0(KAISER_BETA)
}

/// The modified Bessel function of order 0, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-12 {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f64, rate: u32, count: usize) -> Vec<f32> {
        (0..count).map(|n| (0.5 * (2.0 * PI * hz * n as f64 / f64::from(rate)).sin()) as f32).collect()
    }

    fn all(from_hz: u32, input: &[f32], piece_len: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(from_hz, 24_000).expect("rates of sound");
        let mut out = Vec::new();
        for piece in input.chunks(piece_len) {
            resampler.push(piece, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    /// Signal to everything else, dB, without the ends, where the sine begins and stops.
    fn snr_db(got: &[f32], hz: f64) -> f64 {
        let ideal = sine(hz, 24_000, got.len());
        let middle = 500..got.len() - 500;
        let power = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
        let signal = power(&mut middle.clone().map(|at| f64::from(ideal[at])));
        let noise = power(&mut middle.map(|at| f64::from(got[at] - ideal[at])));
        10.0 * (signal / noise).log10()
    }

    #[test]
    fn a_sine_stays_one_in_its_place_and_length() {
        for from_hz in [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000] {
            let got = all(from_hz, &sine(1_000.0, from_hz, from_hz as usize), 700);
            assert_eq!(got.len(), 24_000, "{from_hz}");
            let snr = snr_db(&got, 1_000.0);
            assert!(snr > 70.0, "{from_hz}: {snr:.1} dB");
        }
    }

    #[test]
    fn what_the_new_rate_cannot_hold_is_gone() {
        let got = all(48_000, &sine(15_000.0, 48_000, 48_000), 4096);
        let loudest = got[500..23_500].iter().fold(0.0_f32, |max, value| max.max(value.abs()));
        assert!(loudest < 0.5e-3, "an alias of {loudest}");
    }

    #[test]
    fn the_cut_does_not_show() {
        let input = sine(440.0, 22_050, 3000);
        let whole = all(22_050, &input, 3000);
        for piece_len in [1, 7, 147, 1000] {
            assert_eq!(all(22_050, &input, piece_len), whole, "pieces of {piece_len}");
        }
    }

    #[test]
    fn short_and_empty_inputs() {
        assert!(all(22_050, &[], 1).is_empty());
        assert_eq!(all(22_050, &[0.5], 1).len(), 2, "as long as the input, to a sample");
        let constant = all(22_050, &[0.25; 2000], 100);
        assert!(constant[200..1900].iter().all(|value| (value - 0.25).abs() < 1e-4));
    }

    #[test]
    fn odd_rates_are_refused() {
        for from_hz in [0, 1, 23_999, 400_000, u32::MAX] {
            assert!(Resampler::new(from_hz, 24_000).is_none(), "{from_hz}");
        }
        assert!(Resampler::new(24_000, 24_000).is_some() && Resampler::new(192_000, 24_000).is_some());
    }
}
