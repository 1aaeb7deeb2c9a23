//! What of a written sentence is said: no marks of Markdown, no addresses, no emoji. Pure.

/// Closing marks, which belong to the sentence before them.
pub fn is_closer(c: char) -> bool {
    matches!(c, '"' | '\'' | '”' | '’' | '»' | '«' | '›' | ')' | ']' | '}' | '*' | '_' | '`' | '~')
        || matches!(c, '」' | '』' | '）' | '】' | '〉' | '》')
}

/// The sentence as it is to be spoken; `None` where nothing in it can be.
pub fn speakable(written: &str) -> Option<String> {
    let chars: Vec<char> = written.chars().collect();
    let mut said = String::with_capacity(written.len());
    speak(&chars, &mut said);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    said.chars().any(char::is_alphanumeric).then_some(said)
}

fn speak(chars: &[char], said: &mut String) {
    let mut at = 0;
    while at < chars.len() {
        let (c, rest) = (chars[at], &chars[at..]);
        let before = at.checked_sub(1).map(|at| chars[at]);
        let after = chars.get(at + 1).copied();
        at += match c {
            '!' if after == Some('[') && link(&rest[1..]).is_some() => 1,
            '[' => bracket(rest, said),
            '<' => tag(rest, said),
            '&' => entity(rest, said),
            'h' if !before.is_some_and(char::is_alphanumeric) => match address(rest) {
                Some((host, len)) => {
                    said.push_str(&host);
                    len
                }
                None => {
                    said.push(c);
                    1
                }
            },
            '*' | '_' => {
                emphasis(c, before, after, said);
                1
            }
            '`' => 1,
            '~' if before == Some('~') || after == Some('~') => 1,
            '\\' if after.is_some_and(|c| c.is_ascii_punctuation()) => {
                said.extend(after);
                2
            }
            _ if is_picture(c) => {
                said.push(' ');
                1
            }
            _ if c.is_control() || matches!(c, '\u{200B}' | '\u{2060}' | '\u{FEFF}') => {
                said.push(' ');
                1
            }
            _ => {
                said.push(c);
                1
            }
        };
    }
}

/// `*` between blanks is a sign of its own, and `_` between letters stands for a blank.
fn emphasis(c: char, before: Option<char>, after: Option<char>, said: &mut String) {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let is_blank = |c: Option<char>| c.is_some_and(char::is_whitespace);
    if c == '*' && is_blank(before) && is_blank(after) {
        said.push(c);
    } else if c == '_' && is_word(before) && is_word(after) {
        said.push(' ');
    }
}

/// `[text](address)` and `[text][name]`: their text; `[^1]`: nothing; anything else stays. Gives how much was read.
fn bracket(rest: &[char], said: &mut String) -> usize {
    if let Some((text, len)) = link(rest) {
        speak(text, said);
        return len;
    }
    if rest.get(1) == Some(&'^')
        && let Some(end) = closing(rest, '[', ']')
    {
        return end + 1;
    }
    said.push('[');
    1
}

/// The text of a link that begins here, and the length of the whole.
fn link(rest: &[char]) -> Option<(&[char], usize)> {
    let end = closing(rest, '[', ']')?;
    let behind = &rest[end + 1..];
    let len = match behind.first()? {
        '(' => closing(behind, '(', ')')?,
        '[' => closing(behind, '[', ']')?,
        _ => return None,
    };
    Some((&rest[1..end], end + 1 + len + 1))
}

/// Where the bracket closes that opens at the start.
fn closing(chars: &[char], open: char, close: char) -> Option<usize> {
    let mut depth = 0usize;
    for (at, &c) in chars.iter().enumerate() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// `<b>`, `</b>`, `<br/>`: nothing; `<https://…>`: as an address.
fn tag(rest: &[char], said: &mut String) -> usize {
    let is_tag = rest.get(1).is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '/' | '!'));
    let end = rest.iter().position(|&c| c == '>');
    let Some(end) = end.filter(|_| is_tag) else {
        said.push('<');
        return 1;
    };
    if let Some((host, _)) = address(&rest[1..end]) {
        said.push_str(&host);
    } else {
        said.push(' ');
    }
    end + 1
}

fn entity(rest: &[char], said: &mut String) -> usize {
    const KNOWN: [(&str, char); 5] = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&nbsp;", ' ')];
    for (name, stands_for) in KNOWN {
        if name.chars().eq(rest.iter().take(name.len()).copied()) {
            said.push(stands_for);
            return name.len();
        }
    }
    said.push('&');
    1
}

/// The host of an address that begins here, and the address's length, without the marks of the sentence behind it.
fn address(rest: &[char]) -> Option<(String, usize)> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| starts_with(rest, scheme))?.len();
    let ends = |c: &char| c.is_whitespace() || matches!(c, ')' | '>' | '"' | ']' | '*' | '`');
    let mut end = rest.iter().position(ends).unwrap_or(rest.len());
    while end > scheme && matches!(rest[end - 1], '.' | ',' | ';' | ':' | '!' | '?') {
        end -= 1;
    }
    let host: String = rest[scheme..end].iter().take_while(|c| !matches!(c, '/' | '?' | '#' | ':')).collect();
    let host = host.strip_prefix("www.").unwrap_or(&host).to_owned();
    (!host.is_empty()).then_some((host, end))
}

fn starts_with(chars: &[char], word: &str) -> bool {
    chars.len() >= word.len() && word.chars().eq(chars[..word.len()].iter().copied())
}

/// Emoji and other little pictures, with what changes their looks.
fn is_picture(c: char) -> bool {
    matches!(c, '\u{1F000}'..='\u{1FAFF}' | '\u{2600}'..='\u{27BF}' | '\u{2B00}'..='\u{2BFF}' | '\u{231A}'..='\u{23FF}')
        || matches!(c, '\u{FE00}'..='\u{FE0F}' | '\u{20E3}' | '\u{200D}' | '\u{E0020}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_not_said() {
        for (written, said) in [
            ("**Bold** and *soft*, __both__, ~~gone~~.", "Bold and soft, both, gone."),
            ("2 * 3 is `a_b` of snake_case.", "2 * 3 is a b of snake case."),
            ("See [the **manual**](https://x.example/a_(b)?c=1) now.", "See the manual now."),
            ("![A cat](cat.png) sleeps[^1].", "A cat sleeps."),
            ("Look at https://www.example.com/a/b?c=d.", "Look at example.com."),
            ("Mail <https://example.org/x> or <br/>not, a < b.", "Mail example.org or not, a < b."),
            ("A \\*star\\* &amp; more\u{7}.", "A *star* & more ."),
            ("Great 🎉👩‍👩‍👧 work ❤️!", "Great work !"),
            ("An [open bracket", "An [open bracket"),
            ("नमस्ते and Grüße", "नमस्ते and Grüße"),
        ] {
            assert_eq!(speakable(written).as_deref(), Some(said));
        }
    }

    #[test]
    fn what_has_no_word_is_not_said() {
        for written in ["", " ", "---", "🎉", "***", "[^1]", "…"] {
            assert_eq!(speakable(written), None, "{written}");
        }
    }
}
