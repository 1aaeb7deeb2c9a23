//! An index over tools: BM25F (Robertson, Zaragoza: "The Probabilistic Relevance Framework", 2009, §3.6) over their names,
//! titles, descriptions and arguments. Built from definitions, asked with words. Pure.

use std::collections::HashMap;

use serde_json::Value;

use super::words::{like, words};
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

/// What a word is worth that only means nearly the same as the one asked for.
const LIKE: f32 = 0.6;

/// How much of a word's weight comes from its own rarity, and not from that of all that it may mean.
const OWN: f32 = 0.5;

/// How much counts of what else a word may mean in the same tool.
const MORE: f32 = 0.3;

/// What a word is worth that is only spelt nearly the same, or begins the same.
const NEARLY: f32 = 0.5;

/// The first sentence of a description says what a tool does, the rest how.
const FIRST_SENTENCE: f32 = 1.6;

/// Words of one description that count: the rest of a novel does not.
const WORDS_MAX: usize = 400;

/// Words of one question that count.
const ASKED_MAX: usize = 64;

/// Arguments of one tool that count, and how deep.
const ARGUMENTS_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub struct Index {
    /// Stem → where it stands.
    terms: HashMap<Box<str>, Box<[Posting]>>,
    tools: u32,
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
        let mut terms: HashMap<Box<str>, Vec<Posting>> = HashMap::new();
        let documents: Vec<_> = tools.map(Document::of).collect();
        let mean = documents.iter().map(|document| document.length).sum::<f32>() / documents.len().max(1) as f32;
        for (tool, document) in (0..).zip(&documents) {
            let long = 1.0 - B + B * document.length / mean.max(1.0);
            for (term, weight) in &document.weights {
                // Names are all of a length; a description is not better for being long.
                let weight = weight.name + weight.text / long;
                terms.entry(term.clone()).or_default().push(Posting { tool, weight });
            }
        }
        let terms = terms.into_iter().map(|(term, postings)| (term, postings.into())).collect();
        Index { terms, tools: documents.len() as u32 }
    }

    /// The tools that fit a question best, the best first, each with its score above 0.
    pub fn search(&self, question: &str, limit: usize) -> Vec<(usize, f32)> {
        let mut scores = vec![0.0_f32; self.tools as usize];
        let mut asked = words(question);
        asked.truncate(ASKED_MAX);
        asked.extend(joined(&asked));
        let mut seen = Vec::new();
        for word in &asked {
            if seen.contains(&word) {
                continue;
            }
            seen.push(word);
            // The best of what a word may mean counts, and the rest a little: who says `forget` to a memory that can delete means that.
            let mut best: HashMap<u32, f32> = HashMap::new();
            let mut add = |term: &str, worth: f32| {
                for posting in self.terms.get(term).map_or(&[][..], |postings| postings) {
                    let score = worth * posting.weight * (K1 + 1.0) / (posting.weight + K1);
                    let entry = best.entry(posting.tool).or_default();
                    *entry = entry.max(score) + MORE * entry.min(score);
                }
            };
            add(word, 1.0);
            like(word).iter().for_each(|other| add(other, LIKE));
            let is_known = self.terms.contains_key(word);
            if !is_known {
                self.nearly(word).for_each(|other| add(other, NEARLY));
            }
            // A word is as rare as all that it may mean: `find` says little where everybody else says `search`.
            let alone = self.terms.get(word).map_or(0, |postings| postings.len());
            let together = self.rarity(best.len());
            let rarity = if is_known { OWN * self.rarity(alone) + (1.0 - OWN) * together } else { together };
            best.values_mut().for_each(|score| *score *= rarity);
            for (tool, score) in best {
                scores[tool as usize] += score;
            }
        }
        let mut hits: Vec<_> = scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0).collect();
        // The order of equals is that of their names.
        hits.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        hits.truncate(limit);
        hits
    }

    /// Robertson's and Spärck Jones's weight of what stands in `having` tools.
    fn rarity(&self, having: usize) -> f32 {
        let (all, having) = (self.tools as f32, having as f32);
        (1.0 + (all - having + 0.5) / (having + 0.5)).ln()
    }

    /// Terms that a word is nearly: one begins with the other, or one letter is wrong.
    fn nearly<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.terms.keys().map(|term| &**term).filter(move |term| {
            let shorter = word.len().min(term.len());
            let begins = shorter >= 4 && (term.starts_with(word) || word.starts_with(term));
            // A short word has to begin the same, to be taken for another.
            let is_typo = shorter >= 5 || shorter >= 3 && term.as_bytes()[0] == word.as_bytes()[0];
            begins || is_typo && is_one_off(word, term)
        })
    }
}

/// Words that stand side by side, written as one: tools say `readfile` and `webhook`.
fn joined(words: &[Box<str>]) -> Vec<Box<str>> {
    words.windows(2).map(|pair| format!("{}{}", pair[0], pair[1]).into()).collect()
}

/// Whether one letter is wrong, missing, or too many, or two have changed places.
fn is_one_off(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a.as_bytes(), b.as_bytes()) } else { (b.as_bytes(), a.as_bytes()) };
    if long.len() - short.len() > 1 {
        return false;
    }
    let same = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let rest = if short.len() == long.len() { &short[(same + 1).min(short.len())..] } else { &short[same..] };
    let are_swapped = || {
        short.len() == long.len()
            && same + 2 <= short.len()
            && (short[same], short[same + 1]) == (long[same + 1], long[same])
            && short[same + 2..] == long[same + 2..]
    };
    long.ends_with(rest) && long.len() - rest.len() == same + 1 || are_swapped()
}

/// One tool as words.
struct Document {
    weights: HashMap<Box<str>, Weight>,
    length: f32,
}

#[derive(Default)]
struct Weight {
    name: f32,
    text: f32,
}

impl Document {
    fn of(tool: &Definition) -> Document {
        let mut document = Document { weights: HashMap::new(), length: 0.0 };
        let (server, own) = tool.name.split_once("__").unwrap_or(("", &tool.name));
        document.name(server, IN_SERVER);
        document.name(own, IN_NAME);
        document.name(tool.title.as_deref().unwrap_or_default(), IN_TITLE);
        let end = tool.description.find(['.', '\n']).unwrap_or(tool.description.len());
        let (first, rest) = tool.description.split_at(end);
        document.text(first, IN_DESCRIPTION * FIRST_SENTENCE);
        document.text(rest, IN_DESCRIPTION);
        let mut left = ARGUMENTS_MAX;
        document.arguments(&tool.input, &mut left);
        document
    }

    fn name(&mut self, text: &str, weight: f32) {
        let words = words(text);
        for word in joined(&words).into_iter().chain(words) {
            let weight_of = &mut self.weights.entry(word).or_default().name;
            // Once: a name that says a word twice means it no more.
            *weight_of = weight_of.max(weight);
        }
    }

    fn text(&mut self, text: &str, weight: f32) {
        for word in words(text).into_iter().take(WORDS_MAX) {
            self.length += weight;
            self.weights.entry(word).or_default().text += weight;
        }
    }

    /// The names of its arguments and what is said of them.
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
        }
    }
}
