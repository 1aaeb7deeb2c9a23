//! QR codes as text: two modules a character, for a console and for a file. Knows no address.

use qrcodegen::{QrCode, QrCodeEcc};

/// White around a code, modules (ISO/IEC 18004 §9.1).
const QUIET: i32 = 4;

/// The longest text that becomes a code: a larger one fits no console.
const TEXT_BYTES_MAX: usize = 200;

/// What stands on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// A console: signs are light on a dark ground.
    Light,
    /// A file in an editor: signs are dark on a light ground.
    Dark,
}

/// The lines of a code. `None`: the text is too long for one.
pub fn lines(text: &str, ink: Ink) -> Option<Vec<String>> {
    let code = (text.len() <= TEXT_BYTES_MAX).then(|| QrCode::encode_text(text, QrCodeEcc::Low).ok()).flatten()?;
    let edge = code.size() + QUIET;
    let is_inked = |x, y| code.get_module(x, y) == (ink == Ink::Dark);
    let row = |y| {
        let sign = |x| match (is_inked(x, y), y + 1 < edge && is_inked(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        };
        (-QUIET..edge).map(sign).collect::<String>()
    };
    Some((-QUIET..edge).step_by(2).map(row).map(|line| line.trim_end().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://hearth.local/claim#K7QM-2XWP";

    /// The modules as a camera would see them: true is dark.
    fn seen(lines: &[String], ink: Ink) -> Vec<Vec<bool>> {
        let width = lines.iter().map(|line| line.chars().count()).max().unwrap();
        let mut rows = Vec::new();
        for line in lines {
            let signs: Vec<char> = line.chars().chain(std::iter::repeat(' ')).take(width).collect();
            for upper in [true, false] {
                let inked = |sign: &char| match sign {
                    '█' => true,
                    '▀' => upper,
                    '▄' => !upper,
                    _ => false,
                };
                rows.push(signs.iter().map(|sign| inked(sign) == (ink == Ink::Dark)).collect());
            }
        }
        rows
    }

    #[test]
    fn both_inks_show_the_same_code_with_white_around() {
        let code = QrCode::encode_text(URL, QrCodeEcc::Low).unwrap();
        assert_eq!(code.size(), 29, "it fits an old console of 25 lines");
        for ink in [Ink::Light, Ink::Dark] {
            let lines = lines(URL, ink).unwrap();
            assert!(lines.len() <= 19, "{}", lines.len());
            let rows = seen(&lines, ink);
            for y in 0..code.size() {
                for x in 0..code.size() {
                    let dark = rows[(y + QUIET) as usize].get((x + QUIET) as usize).copied().unwrap_or(false);
                    assert_eq!(dark, code.get_module(x, y), "{ink:?} {x} {y}");
                }
            }
            assert!(
                rows[..4].iter().flatten().all(|dark| !dark) && rows[8].iter().take(4).all(|dark| !dark),
                "{ink:?}"
            );
        }
        assert_eq!(super::lines(&"x".repeat(201), Ink::Dark), None);
    }
}
