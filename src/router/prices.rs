//! What models cost: a table with a date, and the owner's own prices before it. Exact in whole numbers; asks nobody and reads
//! no clock.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::civil::Date;
use serde::Deserialize;

use crate::common::chat::Usage;
use crate::common::config::{Price, ProviderName};

/// US dollars for a million tokens or characters, and for one picture, by provider and model, as public price data had them
/// on the table's day. The providers' own pages are what counts: openai.com/api/pricing, claude.com/pricing (cache writes: those of five minutes),
/// ai.google.dev/gemini-api/docs/pricing (paid, standard). `over` holds for a whole request whose input is longer than
/// `tokens`; `next` from that day on. For gpt-4o-mini-tts, which is paid by tokens that its plain answers do not tell,
/// `characters` is what a long text was measured to cost.
const TABLE: &str = include_str!("prices.json");

/// Voices that run in the house, beside the providers that do.
const LOCAL_VOICES: [&str; 2] = ["espeak", "wyoming"];

/// Where a voice is paid by tokens and only the characters are known: tokens of sound for ten characters (25 a second at
/// Gemini, and some 15 characters a second), and characters for a token of the text.
const SOUND_TOKENS_OF_TEN: u64 = 17;
const CHARACTERS_PER_TOKEN: u64 = 4;

/// A millionth of a millionth of a US dollar, of which a price for a million with up to six decimals is a whole number.
type PicoUsd = u64;

/// A US dollar in billionths.
pub const NANO_PER_USD: f64 = 1e9;

/// The hub's own table.
pub fn table() -> &'static Prices {
    static PRICES: LazyLock<Prices> = LazyLock::new(|| {
        serde_json::from_str(TABLE).expect("the table in this binary is well-formed, as a test has seen")
    });
    &PRICES
}

/// See [`table`].
#[derive(Debug, Deserialize)]
pub struct Prices {
    as_of: Box<str>,
    providers: BTreeMap<ProviderName, BTreeMap<Box<str>, Row>>,
}

/// What is to be paid for.
#[derive(Debug, Clone, Copy)]
pub struct Bought<'a> {
    /// The provider's word in the config, or the voice's.
    pub provider: &'a str,
    pub model: &'a str,
    pub usage: Usage,
    pub images: u64,
    pub speech_characters: u64,
    pub day: Date,
}

/// What it cost, billionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    Known(u64),
    /// By a price that is itself a guess.
    Guessed(u64),
    /// Nobody has a price.
    Unknown,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    input: Option<f64>,
    output: Option<f64>,
    cached: Option<f64>,
    cache_write: Option<f64>,
    /// Of tokens that are a picture.
    image_output: Option<f64>,
    /// One picture, where it is not paid by tokens.
    image: Option<f64>,
    /// A million spoken characters.
    characters: Option<f64>,
    over: Option<Over>,
    next: Option<Box<Next>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Over {
    tokens: u64,
    input: f64,
    output: f64,
    cached: Option<f64>,
    cache_write: Option<f64>,
}

#[derive(Debug, Clone, Deserialize)]
struct Next {
    from: Box<str>,
    input: f64,
    output: f64,
    cached: Option<f64>,
}

/// For one token each.
#[derive(Debug, Clone, Copy)]
struct Rate {
    input: PicoUsd,
    output: PicoUsd,
    cached: PicoUsd,
    cache_write: PicoUsd,
    image_output: PicoUsd,
}

impl Prices {
    /// The day of the prices in the table.
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// What was bought by these prices; `own` are the owner's (`budget.prices`), which go before the table's. What runs in
    /// the house costs nothing, whatever its name.
    ///
    /// A model's row is the one of its name, or the longest of which its name is a dated form (`gpt-4o-mini-2024-07-18`,
    /// `…-latest`, `…-preview-05-20`). OpenRouter's `vendor/model` is the vendor's own model, and free with `:free`.
    pub fn cost(&self, own: &BTreeMap<String, Price>, bought: &Bought<'_>) -> Cost {
        if is_local(bought.provider) {
            return Cost::Known(0);
        }
        let own_rows = || own.iter().map(|(name, price)| (name.as_str(), price));
        let tail = bought.model.split_once('/').map_or(bought.model, |(_, tail)| tail);
        if let Some(price) = find(own_rows(), bought.model).or_else(|| find(own_rows(), tail)) {
            return bought.at(&Row::of(price));
        }
        match self.row(bought.provider, bought.model) {
            Some(Found::Row(row)) => bought.at(&row.on(bought.day)),
            Some(Found::Free) => Cost::Known(0),
            None if bought.is_nothing() => Cost::Known(0),
            None => Cost::Unknown,
        }
    }

    fn row(&self, provider: &str, model: &str) -> Option<Found<'_>> {
        let rows = |name| self.providers.get(&name).into_iter().flatten().map(|(name, row)| (&**name, row));
        let provider = ProviderName::parse(provider)?;
        if provider != ProviderName::Openrouter {
            return find(rows(provider), model).map(Found::Row);
        }
        if model.ends_with(":free") {
            return Some(Found::Free);
        }
        let (vendor, model) = model.split_once('/')?;
        match vendor {
            "openai" => find(rows(ProviderName::Openai), model),
            "google" => find(rows(ProviderName::Gemini), model),
            // claude-haiku-4.5 there is claude-haiku-4-5 at home.
            "anthropic" => find(rows(ProviderName::Anthropic), &model.replace('.', "-")),
            _ => None,
        }
        .map(Found::Row)
    }
}

enum Found<'a> {
    Row(&'a Row),
    Free,
}

/// Whether it runs in the house, so that nobody is paid.
pub fn is_local(provider: &str) -> bool {
    ProviderName::parse(provider).is_some_and(ProviderName::is_local) || LOCAL_VOICES.contains(&provider)
}

/// The longest name that is `model`, or of which `model` is a dated form.
fn find<'a, T>(rows: impl Iterator<Item = (&'a str, T)>, model: &str) -> Option<T> {
    let fitting = rows.filter(|(name, _)| model.strip_prefix(*name).is_some_and(is_date));
    fitting.max_by_key(|(name, _)| name.len()).map(|(_, row)| row)
}

/// Nothing, or what a provider puts behind the name of the same model: a date, a build, `latest`. One digit alone is another
/// model: `claude-opus-4-7` is no `claude-opus-4`.
fn is_date(rest: &str) -> bool {
    let is_part = |part: &str| match part {
        "latest" | "preview" | "exp" => true,
        number => number.len() >= 2 && number.bytes().all(|b| b.is_ascii_digit()),
    };
    rest.is_empty() || rest.strip_prefix(['-', '@']).is_some_and(|parts| parts.split(['-', '@']).all(is_part))
}

impl Row {
    fn of(price: &Price) -> Row {
        let Price { input, output, cached } = *price;
        Row {
            input: Some(input),
            output: Some(output),
            cached,
            cache_write: None,
            image_output: None,
            image: None,
            characters: None,
            over: None,
            next: None,
        }
    }

    /// The row as it holds on a day.
    fn on(&self, day: Date) -> Row {
        let Some(next) = self.next.as_deref().filter(|next| next.from.parse().is_ok_and(|from: Date| day >= from))
        else {
            return self.clone();
        };
        let Next { input, output, cached, .. } = *next;
        Row { input: Some(input), output: Some(output), cached, over: None, next: None, ..self.clone() }
    }

    /// For a request with so many tokens of input; `None` where the model is not paid by tokens.
    fn rate(&self, input_tokens: u64) -> Option<Rate> {
        let (input, output) = (self.input?, self.output?);
        let over = self.over.as_ref().filter(|over| input_tokens > over.tokens);
        let (input, output, cached, cache_write) = match over {
            Some(over) => (over.input, over.output, over.cached, over.cache_write),
            None => (input, output, self.cached, self.cache_write),
        };
        Some(Rate {
            input: pico(input),
            output: pico(output),
            cached: pico(cached.unwrap_or(input)),
            cache_write: pico(cache_write.unwrap_or(input)),
            image_output: pico(self.image_output.unwrap_or(output)),
        })
    }
}

/// From dollars a million to millionths of a millionth of a dollar each.
fn pico(usd_a_million: f64) -> PicoUsd {
    (usd_a_million * 1e6).round() as PicoUsd
}

impl Bought<'_> {
    fn is_nothing(&self) -> bool {
        self.usage.input_tokens == 0 && self.usage.output_tokens == 0 && self.images == 0 && self.speech_characters == 0
    }

    fn at(&self, row: &Row) -> Cost {
        if self.is_nothing() {
            return Cost::Known(0);
        }
        let has_tokens = self.usage.input_tokens > 0 || self.usage.output_tokens > 0;
        let rate = row.rate(self.usage.input_tokens);
        match (rate, row.image, row.characters) {
            (Some(rate), ..) if has_tokens => Cost::Known(nano(self.tokens_at(&rate))),
            (_, Some(each), _) if self.images > 0 => Cost::Known(nano(times(self.images, pico(each) * 1_000_000))),
            (rate, _, Some(million)) if self.speech_characters > 0 => {
                let cost = nano(times(self.speech_characters, pico(million)));
                if rate.is_some() { Cost::Guessed(cost) } else { Cost::Known(cost) }
            }
            (Some(rate), _, None) if self.speech_characters > 0 => {
                let sound = (self.speech_characters.saturating_mul(SOUND_TOKENS_OF_TEN)).div_ceil(10);
                let words = self.speech_characters.div_ceil(CHARACTERS_PER_TOKEN);
                Cost::Guessed(nano(times(words, rate.input) + times(sound, rate.output)))
            }
            _ => Cost::Unknown,
        }
    }

    /// Cached tokens and cache writes are parts of the input, thinking is a part of the output: see [`Usage`]. Where there
    /// are pictures, the output that is not thinking is taken for them, since nobody says how much of it is words.
    fn tokens_at(&self, rate: &Rate) -> u128 {
        let Usage { input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, .. } = self.usage;
        let cached = cached_tokens.unwrap_or(0).min(input_tokens);
        let written = cache_write_tokens.unwrap_or(0).min(input_tokens - cached);
        let thought = reasoning_tokens.unwrap_or(0).min(output_tokens);
        let said = if self.images > 0 { rate.image_output } else { rate.output };
        times(input_tokens - cached - written, rate.input)
            + times(cached, rate.cached)
            + times(written, rate.cache_write)
            + times(thought, rate.output)
            + times(output_tokens - thought, said)
    }
}

fn times(count: u64, each: PicoUsd) -> u128 {
    u128::from(count) * u128::from(each)
}

/// To billionths, the half rounded up.
fn nano(pico: u128) -> u64 {
    u64::try_from((pico + 500) / 1000).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "prices_tests.rs"]
mod tests;
