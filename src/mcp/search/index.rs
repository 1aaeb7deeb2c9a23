//! An index over tools: BM25F (Robertson, Zaragoza: "The Probabilistic Relevance Framework", 2009, §3.6) over their names,
//! titles, descriptions and arguments. Built from definitions, asked with words. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::lexicon::{self, PHRASE_WORDS_MAX};
use super::slips::{is_common, is_slip_of_empty, slips};
use super::stem::stem;
use super::words::{Word, all_words, words};
use crate::mcp::definition::Definition;

/// How soon more of the same word counts no more.
const K1: f32 = 1.2;

/// How much a long text is held against a word in it: not at all for names, half for descriptions.
const B: f32 = 0.5;

/// What a word weighs by where it stands.
const IN_NAME: f32 = 4.0;
const IN_SERVER: f32 = 1.5;
const IN_TITLE: f32 = 2.5;
const IN_DESCRIPTION: f32 = 1.0;
const IN_ARGUMENTS: f32 = 0.6;

/// How much of a word's weight comes from its own rarity, and not from that of all that it may mean.
const OWN: f32 = 0.5;

/// How much counts of what else a word may mean in the same tool.
const MORE: f32 = 0.4;

/// What a word is worth that only begins the same, or is one of two that were written as one.
const NEARLY: f32 = 0.5;

/// The most words that an unknown one is taken for.
const NEARLY_MAX: usize = 8;

/// Unknown words of one question that are taken for others: each is compared with all that are known.
const UNKNOWN_MAX: usize = 8;

/// What a word is worth by itself that stands in a phrase with a meaning of its own.
const IN_PHRASE: f32 = 0.4;

/// Words that tell one call of a tool from another, hardly one tool from another; stems. What they are worth.
#[rustfmt::skip]
const WEAK: [&str; 44] = [
    "day", "week", "month", "year", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
    "januari", "februari", "march", "april", "june", "juli", "august", "septemb", "octob", "novemb", "decemb", "night",
    "morn", "even", "tonight", "weekend", "old", "whole", "first", "last", "second", "next", "current", "good", "nice",
    "big", "littl", "small", "live", "famili", "call", "go", "new",
];
const IN_WEAK: f32 = 0.5;

/// What two words are worth together that a tool writes as one, or side by side in its name.
const PAIR: f32 = 0.4;

/// Words that make a phrase with a verb before them, also where others stand between, and how many.
const PARTICLES: [&str; 9] = ["on", "off", "up", "down", "out", "away", "back", "in", "over"];
const APART_MAX: usize = 4;

/// Who begins like this wants to know something; what tools for that are called; and what that is worth.
const ASKS: [&str; 22] = [
    "what", "which", "who", "whose", "when", "where", "why", "how", "is", "are", "was", "were", "did", "does", "do",
    "has", "have", "will", "am", "any", "whats", "show",
];
const READS: [&str; 12] =
    ["get", "list", "show", "search", "read", "status", "check", "find", "query", "history", "fetch", "retrieve"];
const READING: f32 = 0.25;

/// How surely a word has to mean a change.
const CHANGING: f32 = 0.5;

/// Words for more than one thing; what tools for that are called. Sets are asked for with these.
const SETS: [&str; 4] = ["all", "which", "every", "any"];
const LISTING: f32 = 0.25;

/// What tools do that changes something: who says none of it wants to know something, too.
#[rustfmt::skip]
const CHANGES: [&str; 40] = [
    "create", "add", "delete", "remove", "update", "edit", "send", "set", "move", "start", "stop", "open", "close", "run",
    "cancel", "write", "book", "schedule", "upload", "pay", "convert", "translate", "generate", "merge", "turnon", "turnoff",
    "play", "lock", "copy", "share", "renew", "extract", "approve", "reply", "restore", "rename", "clear", "assign", "submit",
    "enable",
];

/// How much better a tool fits of whose name every word is asked for.
const FULL_NAME: f32 = 1.0;

/// The first sentence of a description says what a tool does, the rest how.
const FIRST_SENTENCE: f32 = 1.6;

/// Words of one description that count: the rest of a novel does not.
const WORDS_MAX: usize = 400;

/// Words of one question that count.
const ASKED_MAX: usize = 64;

/// Bytes of one description that are read: what is behind them is a novel, too.
const TEXT_BYTES_MAX: usize = 8192;

/// Arguments of one tool that count, and the words that one of them may be.
const ARGUMENTS_MAX: usize = 64;
const CHOICES_MAX: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct Index {
    /// Stem → where it stands.
    terms: HashMap<Box<str>, Box<[Posting]>>,
    tools: u32,
    /// How many words each tool's own name has.
    name_words: Box<[u8]>,
}

#[derive(Debug, Clone, Copy)]
struct Posting {
    tool: u32,
    /// Its weight there, fields and length together (BM25F's `tf`).
    weight: f32,
}

impl Index {
    /// Of these tools; a hit is a place in this list.
    pub fn build<'a>(tools: impl Iterator<Item = &'a Definition>) -> Index {
        // One tool after the other: all of them as words would take many times the room of the index.
        let mut terms: HashMap<Box<str>, Vec<(u32, Weight)>> = HashMap::new();
        let (mut lengths, mut name_words) = (Vec::new(), Vec::new());
        for (tool, document) in (0..).zip(tools.map(Document::of)) {
            lengths.push(document.length);
            name_words.push(document.name_words);
            for (term, weight) in document.weights {
                terms.entry(term).or_default().push((tool, weight));
            }
        }
        let mean = lengths.iter().sum::<f32>() / lengths.len().max(1) as f32;
        let posting = |(tool, weight): (u32, Weight)| {
            let long = 1.0 - B + B * lengths[tool as usize] / mean.max(1.0);
            // Names are all of a length; a description is not better for being long.
            Posting { tool, weight: weight.name + weight.text / long }
        };
        let terms = terms.into_iter().map(|(term, weights)| (term, weights.into_iter().map(posting).collect()));
        Index { terms: terms.collect(), tools: lengths.len() as u32, name_words: name_words.into() }
    }

    /// The tools that fit a question best, the best first, each with its score above 0.
    pub fn search(&self, question: &str, limit: usize) -> Vec<(usize, f32)> {
        let mut scores = vec![0.0_f32; self.tools as usize];
        let mut best = vec![0.0_f32; self.tools as usize];
        let (mut named, mut now_named) = (vec![0.0_f32; scores.len()], vec![0.0_f32; scores.len()]);
        let mut asked = all_words(question);
        asked.truncate(ASKED_MAX);
        let mended = self.mend(&mut asked);
        for Part { terms, worth } in self.parts(&asked, mended) {
            let postings: Vec<_> = terms.iter().map(|(term, worth)| (self.postings(term), *worth)).collect();
            // The best of what a word may mean counts, and the rest a little: who says `forget` to a memory that can delete means that.
            let mut hit = Vec::new();
            let mut together = 0;
            for posting in postings.iter().flat_map(|(postings, _)| *postings) {
                let seen = &mut best[posting.tool as usize];
                together += usize::from(*seen == 0.0);
                if *seen == 0.0 {
                    hit.push(posting.tool);
                    *seen = f32::MIN_POSITIVE;
                }
            }
            // A word is as rare as all that it may mean: `find` says little where everybody else says `search`.
            let together = self.rarity(together);
            for (postings, like) in postings {
                let rarity = OWN * self.rarity(postings.len()) + (1.0 - OWN) * together;
                for posting in postings {
                    let score = rarity * like * posting.weight * (K1 + 1.0) / (posting.weight + K1);
                    let seen = &mut best[posting.tool as usize];
                    *seen = seen.max(score) + MORE * seen.min(score);
                    if posting.weight >= IN_NAME {
                        let named = &mut now_named[posting.tool as usize];
                        *named = named.max(worth * like);
                    }
                }
            }
            for tool in hit {
                named[tool as usize] += std::mem::take(&mut now_named[tool as usize]);
                scores[tool as usize] += worth * std::mem::take(&mut best[tool as usize]);
            }
        }
        for ((score, named), words) in scores.iter_mut().zip(named).zip(&self.name_words) {
            *score *= 1.0 + FULL_NAME * (named / f32::from(*words).max(1.0)).min(1.0);
        }
        let mut hits: Vec<_> = scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0).collect();
        // The order of equals is that of their names.
        hits.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        hits.truncate(limit);
        hits
    }

    /// What is asked for, part by part: phrases that mean something of their own, words, and pairs of words that tools write as one.
    fn parts(&self, asked: &[Word], mut mended: BTreeMap<usize, Mended>) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut in_phrase = vec![false; asked.len()];
        for at in 0..asked.len() {
            for phrase in phrases(asked, at) {
                let key = phrase.iter().map(|at| &*asked[*at].stem).collect::<Vec<_>>().join(" ");
                if lexicon::is_known(&key) {
                    let mut terms = lexicon::like(&key);
                    terms.push((key.replace(' ', "").into(), 1.0));
                    parts.push(Part { terms, worth: 1.0 });
                    phrase.iter().for_each(|at| in_phrase[*at] = true);
                    break;
                }
            }
        }
        let mut seen: Vec<&str> = Vec::new();
        let unknown = self.unknown(asked);
        for (nth, (word, in_phrase)) in asked.iter().zip(in_phrase).enumerate() {
            if word.is_empty || seen.contains(&&*word.stem) {
                continue;
            }
            seen.push(&word.stem);
            let mut terms = lexicon::like(&word.stem);
            if unknown.contains(&nth) {
                terms = self.meant_by_part(&word.stem);
            }
            terms.push((word.stem.clone(), 1.0));
            let weak = if WEAK.contains(&&*word.stem) { IN_WEAK } else { 1.0 };
            for term in mended.remove(&nth).unwrap_or_default().also {
                terms.extend(lexicon::like(&term).into_iter().map(|(term, worth)| (term, worth * NEARLY)));
                terms.push((term, NEARLY));
            }
            parts.push(Part { terms, worth: if in_phrase { IN_PHRASE } else { weak } });
        }
        for pair in asked.windows(2) {
            let joined = format!("{}{}", pair[0].stem, pair[1].stem);
            if (!pair[0].is_empty || !pair[1].is_empty) && self.terms.contains_key(&*joined) {
                parts.push(Part { terms: vec![(joined.into(), 1.0)], worth: PAIR });
            }
        }
        let asks = asked.iter().take(2).any(|word| ASKS.contains(&&*word.stem));
        let changes: Vec<_> = CHANGES.iter().map(|word| stem(word)).collect();
        let is_change =
            |part: &Part| part.terms.iter().any(|(term, worth)| *worth >= CHANGING && changes.contains(term));
        if asks || !parts.iter().any(is_change) {
            parts.push(Part { terms: READS.iter().map(|word| (stem(word), 1.0)).collect(), worth: READING });
        }
        if asked.iter().any(|word| SETS.contains(&&*word.stem)) {
            parts.push(Part { terms: vec![(stem("list"), 1.0)], worth: LISTING });
        }
        parts
    }

    /// The terms that an unknown word may stand for, each with its worth.
    fn meant_by_part(&self, word: &str) -> Vec<(Box<str>, f32)> {
        let mut terms = Vec::new();
        for other in self.nearly(word) {
            terms.extend(lexicon::like(&other).into_iter().map(|(term, worth)| (term, worth * NEARLY)));
            terms.push((other, NEARLY));
        }
        terms
    }

    fn postings(&self, term: &str) -> &[Posting] {
        self.terms.get(term).map_or(&[], |postings| postings)
    }

    /// Robertson's and Spärck Jones's weight of what stands in `having` tools.
    fn rarity(&self, having: usize) -> f32 {
        let (all, having) = (self.tools as f32, having as f32);
        (1.0 + (all - having + 0.5) / (having + 0.5)).ln()
    }

    /// The places of words that nobody knows. A name within a question is nobody's slip of the keys, and a word of every day neither.
    fn unknown(&self, asked: &[Word]) -> Vec<usize> {
        let is_unknown = |(at, word): (usize, &Word)| {
            let is_word = word.is_empty || word.is_name && at > 0 || self.is_known(&word.stem);
            (!is_word && !WEAK.contains(&&*word.stem) && !is_common(word)).then_some(at)
        };
        asked.iter().enumerate().filter_map(is_unknown).take(UNKNOWN_MAX).collect()
    }

    fn is_known(&self, stem: &str) -> bool {
        self.terms.contains_key(stem) || lexicon::is_known(stem)
    }

    /// Slips of the keys put right, before phrases are looked for: `trun the fann on`.
    fn mend(&self, asked: &mut [Word]) -> BTreeMap<usize, Mended> {
        let mut all = BTreeMap::new();
        for at in self.unknown(asked) {
            let word = &mut asked[at];
            if is_slip_of_empty(&word.written) {
                word.is_empty = true;
            } else if let Some((term, mut mended)) = self.mended(word) {
                match mended.is_guess {
                    true => mended.also.push(term),
                    false => word.stem = term,
                }
                all.insert(at, mended);
            }
        }
        all
    }

    /// The word that was meant by one that nobody knows: the one with the fewest slips, rather with a letter too many or too few
    /// than with another, rather of tools than of the tables, with the same first letter, and that more tools have.
    fn mended(&self, word: &Word) -> Option<(Box<str>, Mended)> {
        if word.stem.len() < 3 || word.stem.bytes().any(|letter| letter.is_ascii_digit()) {
            return None;
        }
        let meant = self.known().filter_map(|term| {
            let both = [&word.stem, &word.written].into_iter();
            let slips = both.filter_map(|word| slips(word, term)).min()?;
            let (having, begins) = (self.postings(term).len(), term.as_bytes()[0] == word.stem.as_bytes()[0]);
            Some(((Reverse(slips), having > 0, begins, having, Reverse(term)), term))
        });
        let mut meant: Vec<_> = meant.collect();
        meant.sort_unstable_by(|a, b| b.cmp(a));
        meant.dedup();
        let ((Reverse((slips, is_guess)), ..), term) = *meant.first()?;
        if slips > 1 && self.cut(&word.stem).is_some() {
            return None;
        }
        let also = meant.iter().skip(1).filter(|((Reverse((other, _)), ..), also)| *other == slips && *also != term);
        Some((term.into(), Mended { is_guess, also: also.take(NEARLY_MAX).map(|(_, term)| (*term).into()).collect() }))
    }

    fn known<'a>(&'a self) -> impl Iterator<Item = &'a str> {
        let ours = self.terms.keys().map(|term| -> &'a str { term });
        ours.chain(lexicon::stems().map(|term| -> &'a str { term }))
    }

    /// Two known words that were written as one.
    fn cut(&self, word: &str) -> Option<[Box<str>; 2]> {
        let cuts =
            (3..word.len().saturating_sub(2)).filter(|at| word.is_char_boundary(*at)).map(|at| word.split_at(at));
        cuts.map(|(a, b)| [stem(a), stem(b)]).find(|two| two.iter().all(|word| self.is_known(word)))
    }

    /// Known words that an unknown one may be: two words written as one, one that begins with the other.
    fn nearly(&self, word: &str) -> Vec<Box<str>> {
        if word.len() < 3 || word.bytes().all(|letter| letter.is_ascii_digit()) {
            return Vec::new();
        }
        if let Some(two) = self.cut(word) {
            return two.into();
        }
        let begins =
            |term: &&str| word.len().min(term.len()) >= 4 && (term.starts_with(word) || word.starts_with(*term));
        let mut found: Vec<&str> = self.known().filter(begins).collect();
        found.sort_unstable();
        found.dedup();
        found.truncate(NEARLY_MAX);
        found.into_iter().map(Into::into).collect()
    }
}

/// What is known of a word in which a slip was put right.
#[derive(Default)]
struct Mended {
    /// Whether another letter stands in it, as in words that are no slips at all.
    is_guess: bool,
    /// What else may have been meant.
    also: Vec<Box<str>>,
}

/// Something that is asked for.
struct Part {
    /// What it may be called, each with its worth.
    terms: Vec<(Box<str>, f32)>,
    worth: f32,
}

/// The phrases that begin at a word, the longest first: words side by side, and one with its particle further on (`turn the lamp off`).
fn phrases(asked: &[Word], at: usize) -> impl Iterator<Item = Vec<usize>> {
    let together = (2..=PHRASE_WORDS_MAX)
        .rev()
        .filter(move |len| at + len <= asked.len())
        .map(move |len| (at..at + len).collect());
    let apart =
        (at + 2..(at + 2 + APART_MAX).min(asked.len())).filter(move |other| PARTICLES.contains(&&*asked[*other].stem));
    together.chain(apart.map(move |other| vec![at, other]))
}

/// Words that stand side by side, written as one: tools say `readfile` and `webhook`.
fn joined(words: &[Word]) -> impl Iterator<Item = Box<str>> {
    words.windows(2).map(|pair| format!("{}{}", pair[0].stem, pair[1].stem).into())
}

/// One tool as words.
struct Document {
    weights: HashMap<Box<str>, Weight>,
    length: f32,
    name_words: u8,
}

#[derive(Default)]
struct Weight {
    name: f32,
    text: f32,
}

impl Document {
    fn of(tool: &Definition) -> Document {
        let (server, own) = tool.name.split_once("__").unwrap_or(("", &tool.name));
        // A name has at most 64 letters.
        let mut document = Document { weights: HashMap::new(), length: 0.0, name_words: words(own).len() as u8 };
        document.name(server, IN_SERVER);
        document.name(own, IN_NAME);
        document.name(tool.title.as_deref().unwrap_or_default(), IN_TITLE);
        let end = tool.description.find(['.', '\n']).unwrap_or(tool.description.len());
        let (first, rest) = tool.description.split_at(end);
        document.text(first, IN_DESCRIPTION * FIRST_SENTENCE);
        document.text(rest, IN_DESCRIPTION);
        let mut left = ARGUMENTS_MAX;
        document.arguments(&tool.input.to_value(), &mut left);
        document
    }

    fn name(&mut self, text: &str, weight: f32) {
        let words = all_words(text);
        let joined: Vec<_> = joined(&words).collect();
        let words = words.into_iter().filter(|word| !word.is_empty).map(|word| word.stem);
        for word in words.chain(joined) {
            let weight_of = &mut self.weights.entry(word).or_default().name;
            // Once: a name that says a word twice means it no more.
            *weight_of = weight_of.max(weight);
        }
    }

    fn text(&mut self, text: &str, weight: f32) {
        let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
        for word in words(text).into_iter().take(WORDS_MAX) {
            self.length += weight;
            self.weights.entry(word).or_default().text += weight;
        }
    }

    /// The names of its arguments, what is said of them, and what they may be.
    fn arguments(&mut self, schema: &Value, left: &mut usize) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        for (name, property) in properties {
            if *left == 0 {
                return;
            }
            *left -= 1;
            self.text(name, IN_ARGUMENTS);
            let description = property.get("description").and_then(Value::as_str);
            self.text(description.unwrap_or_default(), IN_ARGUMENTS / 2.0);
            let choices = property.get("enum").and_then(Value::as_array).into_iter().flatten().take(CHOICES_MAX);
            choices.filter_map(Value::as_str).for_each(|choice| self.text(choice, IN_ARGUMENTS / 2.0));
        }
    }
}
