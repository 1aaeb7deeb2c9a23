//! Cuts text, while it streams, into sentences that can be spoken. Works letter by letter and decides by letters alone, so that
//! the pieces in which the text came do not show. Pure; knows no voice. What is no speech in a sentence is `plain`'s business.

mod plain;

use std::collections::VecDeque;

use self::plain::{is_closer, speakable};

/// The longest sentence, in letters of an alphabet. What is longer is cut at a comma or a blank: some 20 s of speech.
pub const SENTENCE_LETTERS_MAX: usize = 300;

/// A letter of Chinese, Japanese or Korean takes as long to say as three of an alphabet.
const WIDE_LETTERS: usize = 3;

/// The first sentence is cut at a comma from here on, so that the first sound comes soon.
const FIRST_CUT_FROM: usize = 40;

/// Brackets that stay open for longer hold no cut back any more.
const BRACKET_LETTERS_MAX: usize = 200;

/// The longest row of a table, bytes; a longer one is cut there.
const ROW_BYTES_MAX: usize = 2000;

/// A number of up to so many figures before a full stop counts something: `3. Oktober`, `1. Open the door`.
const ORDINAL_FIGURES_MAX: usize = 2;

/// Before a full stop these end no sentence, in English, German, French, Spanish and Dutch. Those that often stand at the
/// end of one (etc., usw., enz.) are not here: what follows them tells.
const ABBREVIATIONS: &str = "dr mr mrs ms prof st vs sen rep gov gen capt lt col sgt jr sr hon rev fig vol approx dept est inc ltd
    nr hr fr str bzw ca evtl ggf inkl exkl tel abs bd jh max min sog vgl geb gest dipl ing mme mlle mm av env cf ex art chap
    sra srta ud uds pag pág núm num aprox dña dhr mevr mevrouw bijv blz mw jl resp nov dec jan feb aug sept okt oct";

/// The splitter.
#[derive(Debug, Default)]
pub struct Sentences {
    /// The sentence in the making, as it was written.
    raw: String,
    letters: usize,
    /// Brackets open in it.
    depth: usize,
    opened_at: usize,
    /// The last place in it where a cut can be borne: after a comma, after a blank.
    comma: Option<usize>,
    blank: Option<usize>,
    end: Option<End>,
    line: Line,
    /// The rest of a word without an end is left out.
    skips_word: bool,
    /// A sentence has been given already.
    begun: bool,
}

/// A place at which the sentence may have ended; what follows will tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Right after the mark, or after what closes with it.
    Mark { at: usize, sure: bool },
    /// A blank has followed.
    Blank { at: usize },
    /// A line has ended.
    Line { at: usize },
}

/// Where in a line the text is.
#[derive(Debug)]
enum Line {
    /// At its start: what it is cannot be told yet.
    Head(String),
    Text,
    /// A heading's, which ends a sentence wherever it ends.
    Heading,
    Row(String),
    /// Within a block of code; how it is fenced, and what of this line has been seen of a fence.
    Code {
        mark: char,
        len: usize,
        seen: Option<usize>,
    },
    /// The rest of the line that opens a block of code.
    CodeHead {
        mark: char,
        len: usize,
    },
}

impl Default for Line {
    fn default() -> Line {
        Line::Head(String::new())
    }
}

impl Sentences {
    /// Takes the next piece of text and adds the sentences that have ended in it.
    pub fn push(&mut self, text: &str, out: &mut VecDeque<String>) {
        for c in text.chars() {
            self.letter(c, out);
        }
    }

    /// The text has ended: adds what is left. The splitter is then as new, but for the haste of a first sentence.
    pub fn finish(&mut self, out: &mut VecDeque<String>) {
        self.letter('\n', out);
        self.cut_all(out);
        *self = Sentences { begun: self.begun, ..Sentences::default() };
    }

    fn letter(&mut self, c: char, out: &mut VecDeque<String>) {
        match std::mem::replace(&mut self.line, Line::Text) {
            Line::Head(head) => self.head(head, c, out),
            Line::Text if c == '\n' => self.line_end(),
            Line::Text => self.text(c, out),
            Line::Heading if c == '\n' => {
                self.cut_all(out);
                self.line = Line::default();
            }
            Line::Heading => {
                self.text(c, out);
                self.line = Line::Heading;
            }
            Line::Row(row) if c == '\n' => {
                self.row(&row, out);
                self.line = Line::default();
            }
            Line::Row(mut row) => {
                row.push(c);
                if row.len() >= ROW_BYTES_MAX {
                    self.row(&row, out);
                    row.truncate(0);
                }
                self.line = Line::Row(row);
            }
            Line::CodeHead { mark, len } if c == '\n' => self.line = Line::Code { mark, len, seen: Some(0) },
            Line::CodeHead { mark, len } => self.line = Line::CodeHead { mark, len },
            Line::Code { mark, len, seen } => {
                self.line = match seen {
                    Some(seen) if seen >= len && c == '\n' => Line::default(),
                    _ if c == '\n' => Line::Code { mark, len, seen: Some(0) },
                    Some(seen) if c == mark => Line::Code { mark, len, seen: Some(seen + 1) },
                    // Blanks may stand before a fence and after it.
                    Some(seen) if c.is_whitespace() => Line::Code { mark, len, seen: Some(seen) },
                    _ => Line::Code { mark, len, seen: None },
                };
            }
        }
    }

    /// The start of a line, as far as it has come, and the next letter.
    fn head(&mut self, mut head: String, c: char, out: &mut VecDeque<String>) {
        if c == '\n' {
            if head.is_empty() {
                self.cut_all(out);
            } else {
                self.begin_text(&head, out);
                self.line_end();
            }
            self.line = Line::default();
            return;
        }
        // Blanks before it, and the marks of a quotation.
        if head.is_empty() && (c.is_whitespace() || c == '>') {
            self.line = Line::Head(head);
            return;
        }
        let first = head.chars().next().unwrap_or(c);
        let same = head.chars().all(|one| one == first);
        let is_list_end = c.is_whitespace();
        match first {
            '|' => {
                self.cut_all(out);
                self.line = Line::Row(String::new());
            }
            '`' | '~' if same && c == first && head.len() < 2 => self.wait(head, c),
            '`' | '~' if same && c == first => {
                self.cut_all(out);
                self.line = Line::CodeHead { mark: first, len: 3 };
            }
            '#' if same && c == first && head.len() < 6 => self.wait(head, c),
            '#' if same && is_list_end => {
                self.cut_all(out);
                self.line = Line::Heading;
            }
            '-' | '*' | '+' | '•' if head.is_empty() => self.wait(head, c),
            '-' | '*' | '+' | '•' if head.chars().count() == 1 && is_list_end => self.cut_all(out),
            '0'..='9' => {
                let figures = head.chars().take_while(char::is_ascii_digit).count();
                let is_marked = figures < head.len();
                if is_marked && is_list_end {
                    self.cut_all(out);
                    head.push(' ');
                    // An item's number is said, and its full stop ends nothing.
                    self.letters += head.len();
                    self.raw.push_str(&head);
                } else if !is_marked && (c.is_ascii_digit() && figures < 9 || head.len() == figures && ".)".contains(c))
                {
                    self.wait(head, c);
                } else {
                    head.push(c);
                    self.begin_text(&head, out);
                }
            }
            _ => {
                head.push(c);
                self.begin_text(&head, out);
            }
        }
    }

    fn wait(&mut self, mut head: String, c: char) {
        head.push(c);
        self.line = Line::Head(head);
    }

    /// A line begins with this, which is text and nothing else.
    fn begin_text(&mut self, head: &str, out: &mut VecDeque<String>) {
        self.line = Line::Text;
        for c in head.chars() {
            self.text(c, out);
        }
    }

    fn line_end(&mut self) {
        self.line = Line::default();
        self.skips_word = false;
        let at = match self.end {
            Some(End::Mark { at, .. } | End::Blank { at } | End::Line { at }) => at,
            None => self.raw.len(),
        };
        if !self.raw.is_empty() {
            self.end = Some(End::Line { at });
        }
    }

    /// A letter of running text.
    fn text(&mut self, c: char, out: &mut VecDeque<String>) {
        if self.skips_word && !c.is_whitespace() {
            return;
        }
        self.skips_word = false;
        match self.end.take() {
            Some(End::Mark { sure, .. }) if is_closer(c) || is_mark(c) => {
                self.raw.push(c);
                self.letters += 1;
                self.close(c);
                self.end = Some(End::Mark { at: self.raw.len(), sure: sure || is_wide_mark(c) });
                return;
            }
            Some(End::Mark { at, sure: true }) => self.cut(at, out),
            Some(End::Mark { at, sure: false }) if c.is_whitespace() => self.end = Some(End::Blank { at }),
            Some(End::Blank { at }) if c.is_whitespace() => self.end = Some(End::Blank { at }),
            Some(End::Blank { at }) if !c.is_lowercase() => self.cut(at, out),
            // A line that is broken only because it was full goes on in small letters.
            Some(End::Line { at })
                if c.is_lowercase() && at == self.raw.trim_end().len() && !ends_in_mark(&self.raw) =>
            {
                self.raw.push(' ');
            }
            Some(End::Line { at }) => self.cut(at, out),
            Some(End::Mark { .. } | End::Blank { .. }) | None => {}
        }
        if c.is_whitespace() && (self.raw.is_empty() || self.raw.ends_with(' ')) {
            return;
        }
        let before = self.raw.len();
        self.raw.push(if c.is_whitespace() { ' ' } else { c });
        self.letters += if is_wide(c) { WIDE_LETTERS } else { 1 };
        self.brackets(c);
        if c.is_whitespace() {
            self.at_blank(before, out);
        } else if is_mark(c) && self.depth == 0 && !(c == '.' && ends_nothing(&self.raw[..before])) {
            self.end = Some(End::Mark { at: self.raw.len(), sure: is_wide_mark(c) });
        } else if "，、：".contains(c) {
            self.comma = Some(self.raw.len());
            self.at_comma(out);
        }
        if self.letters > SENTENCE_LETTERS_MAX {
            self.cut_long(out);
        }
    }

    /// A blank has come, `before` of it lies what it follows.
    fn at_blank(&mut self, before: usize, out: &mut VecDeque<String>) {
        self.blank = Some(self.raw.len());
        if self.depth == 0 && self.raw[..before].ends_with([',', ':', ';', '–', '—']) {
            self.comma = Some(self.raw.len());
            self.at_comma(out);
        }
    }

    /// A first sentence need not be whole.
    fn at_comma(&mut self, out: &mut VecDeque<String>) {
        if !self.begun && self.depth == 0 && self.letters >= FIRST_CUT_FROM && self.end.is_none() {
            self.cut(self.raw.len(), out);
        }
    }

    fn brackets(&mut self, c: char) {
        match c {
            '(' | '[' | '（' | '【' => {
                self.opened_at = if self.depth == 0 { self.letters } else { self.opened_at };
                self.depth += 1;
            }
            _ => self.close(c),
        }
        if self.letters - self.opened_at.min(self.letters) > BRACKET_LETTERS_MAX {
            self.depth = 0;
        }
    }

    fn close(&mut self, c: char) {
        if matches!(c, ')' | ']' | '）' | '】') {
            self.depth = self.depth.saturating_sub(1);
        }
    }

    /// Too long: cut where it hurts least.
    fn cut_long(&mut self, out: &mut VecDeque<String>) {
        let late = |at: &usize| *at > self.raw.len() / 3;
        if let Some(at) = self.comma.filter(late).or(self.blank.filter(late)) {
            return self.cut(at, out);
        }
        // A word without an end, such as an address: nobody would listen to the rest of it.
        self.skips_word = self.raw.ends_with(|c: char| c.is_ascii());
        self.cut(self.raw.len(), out);
    }

    /// Gives what stands before `at`, and goes on with what stands behind.
    fn cut(&mut self, at: usize, out: &mut VecDeque<String>) {
        let rest = self.raw.split_off(at);
        let sentence = speakable(&self.raw);
        self.raw = rest.trim_start().to_owned();
        self.letters = self.raw.chars().map(|c| if is_wide(c) { WIDE_LETTERS } else { 1 }).sum();
        (self.depth, self.opened_at) = (0, 0);
        (self.comma, self.blank, self.end) = (None, None, None);
        if let Some(sentence) = sentence {
            self.begun = true;
            out.push_back(sentence);
        }
    }

    fn cut_all(&mut self, out: &mut VecDeque<String>) {
        if let Some(End::Mark { at, .. } | End::Blank { at }) = self.end {
            self.cut(at, out);
        }
        self.cut(self.raw.len(), out);
        self.skips_word = false;
    }

    /// A row of a table, as a sentence of its own: its cells with commas between; the line below the head is none.
    fn row(&mut self, row: &str, out: &mut VecDeque<String>) {
        let cells = row.split('|').map(str::trim).filter(|cell| !cell.is_empty());
        let cells: Vec<String> = cells.filter_map(speakable).collect();
        if !cells.is_empty() {
            self.begun = true;
            out.push_back(cells.join(", "));
        }
    }
}

fn is_mark(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '؟' | '۔' | '।') || is_wide_mark(c)
}

/// Marks that end a sentence whatever follows: there are no blanks after them.
fn is_wide_mark(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '；' | '｡')
}

/// Letters of which one is as much as a syllable or a word.
fn is_wide(c: char) -> bool {
    matches!(c, '\u{2E80}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

fn ends_in_mark(raw: &str) -> bool {
    raw.trim_end().trim_end_matches(is_closer).ends_with(is_mark)
}

/// Whether a full stop after this ends no sentence: an abbreviation, an initial, a number that counts.
fn ends_nothing(before: &str) -> bool {
    let word = before.rsplit(|c: char| c.is_whitespace() || "([{\"'“„«‘/".contains(c)).next().unwrap_or_default();
    let word = word.trim_start_matches(['*', '_', '~', '`', '-', '–', '—', '¿', '¡']);
    if word.is_empty() {
        return false;
    }
    if word.chars().all(|c| c.is_ascii_digit()) {
        return word.len() <= ORDINAL_FIGURES_MAX;
    }
    let mut parts = word.split('.');
    let is_initials = |part: &str| (1..=2).contains(&part.chars().count()) && part.chars().all(char::is_alphabetic);
    // `J`, `z`, `e.g`, `z.B`, `U.S`: but `so.Then` is a slip of the pen.
    if word.contains('.') {
        return parts.all(is_initials);
    }
    let is_single = word.chars().count() == 1 && word.chars().all(char::is_alphabetic) && !is_wide_word(word);
    let lower = word.to_lowercase();
    is_single || ABBREVIATIONS.split_whitespace().any(|known| known == lower)
}

fn is_wide_word(word: &str) -> bool {
    word.chars().any(is_wide)
}

#[cfg(test)]
#[path = "sentences_tests.rs"]
mod tests;
