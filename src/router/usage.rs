//! What a request came to: tokens as the provider counted them, or guessed where it did not, and their price. Pure, but for the
//! [`Ledger`], which brings it to the store and remembers the sums that budgets ask for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use jiff::Zoned;
use jiff::civil::Date;
use tokio::task::JoinHandle;

use crate::common::chat::{ChatRequest, Part, Usage};
use crate::common::config::{Budget, ProviderName};
use crate::router::budget::{self, Spending, Verdict};
use crate::router::prices::{self, Bought, Cost, NANO_PER_USD};
use crate::store::{
    AUDIO_BYTES_PER_TOKEN, IMAGE_TOKENS, ModelProfile, ReadError, Store, UsageKey, UsageSum, estimated_tokens,
};

/// A provider that says more than this for one request, US dollars, is not believed: it would end every budget.
const COST_USD_MAX: f64 = 10_000.0;

/// One request to one provider, at its end.
#[derive(Debug, Clone, Copy)]
pub struct Finished<'a> {
    /// Who asked.
    pub user: &'a str,
    /// A model profile's name; empty where none was in play.
    pub profile: &'a str,
    /// The provider's word in the config, or the voice's (`espeak`, `wyoming`).
    pub provider: &'a str,
    /// The exact model that answered, or else the one that was asked for.
    pub model: &'a str,
    pub end: End,
    /// The last that the provider counted.
    pub usage: Option<Usage>,
    /// Guessed tokens of what was asked, as in [`crate::store::estimated_tokens`]: they count where `usage` is absent.
    pub asked_tokens: u64,
    /// Guessed tokens of what came, thinking and calls included; likewise, and where `usage` came before the end.
    pub answered_tokens: u64,
    /// Whole pictures that came.
    pub images: u64,
    /// Characters that were spoken.
    pub speech_characters: u64,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Whole,
    /// The provider refused, failed, or broke off.
    Failed,
    /// The client stopped it, or another provider was quicker.
    Cancelled,
}

/// What is to be written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    pub key: UsageKey,
    pub sum: UsageSum,
    /// For the client: what the provider counted, with the cost where it is known.
    pub usage: Option<Usage>,
}

/// Guessed tokens of a whole question: see [`Finished::asked_tokens`].
pub fn asked_tokens(request: &ChatRequest) -> u64 {
    let tools = request.tools.iter().map(|tool| estimated_tokens(&tool.name) + estimated_tokens(tool.schema.text()));
    request.messages.iter().flat_map(|message| &message.parts).map(part_tokens).chain(tools).sum()
}

fn part_tokens(part: &Part) -> u64 {
    match part {
        Part::Text(text) => estimated_tokens(text),
        Part::Image(_) => IMAGE_TOKENS,
        Part::Audio(media) => (media.data.len() as u64).div_ceil(AUDIO_BYTES_PER_TOKEN),
        Part::ToolCall(call) => estimated_tokens(&call.name) + estimated_tokens(&call.arguments),
        Part::ToolResult(result) => estimated_tokens(&result.content),
        Part::Verbatim(item) => {
            item.stands_for.as_deref().map_or_else(|| estimated_tokens(item.json.get()), part_tokens)
        }
    }
}

/// Makes an entry of a request. `day` is that of the house's clock.
pub fn tally(budget: &Budget, finished: &Finished<'_>, day: Date) -> Tally {
    let (counted, guessed) = counted(finished);
    let bought = Bought {
        provider: finished.provider,
        model: finished.model,
        usage: counted,
        images: finished.images,
        speech_characters: finished.speech_characters,
        day,
    };
    let said = counted.cost_usd.filter(|usd| (0.0..=COST_USD_MAX).contains(usd));
    let (cost, guessed) = match said {
        Some(usd) => (Some((usd * NANO_PER_USD).round() as u64), guessed),
        None => match prices::table().cost(&budget.prices, &bought) {
            Cost::Known(nano) => (Some(nano), guessed),
            Cost::Guessed(nano) => (Some(nano), true),
            Cost::Unknown => (None, guessed),
        },
    };
    let sum = UsageSum {
        requests: 1,
        failed: u64::from(finished.end != End::Whole),
        input_tokens: counted.input_tokens,
        cached_tokens: counted.cached_tokens.unwrap_or(0),
        cache_write_tokens: counted.cache_write_tokens.unwrap_or(0),
        output_tokens: counted.output_tokens,
        reasoning_tokens: counted.reasoning_tokens.unwrap_or(0),
        images: finished.images,
        speech_characters: finished.speech_characters,
        cost_nano_usd: cost.unwrap_or(0),
        unpriced_requests: u64::from(cost.is_none()),
        estimated_requests: u64::from(guessed),
    };
    let key = UsageKey {
        day,
        user: finished.user.into(),
        profile: finished.profile.into(),
        provider: finished.provider.into(),
        model: finished.model.into(),
    };
    let cost_usd = cost.map(|nano| nano as f64 / NANO_PER_USD);
    // A voice that is paid by the character counts no tokens, and costs all the same.
    let is_priced_speech = finished.speech_characters > 0 && cost_usd.is_some();
    let told = finished.usage.or_else(|| is_priced_speech.then(Usage::default));
    Tally { key, sum, usage: told.map(|usage| Usage { cost_usd, ..usage }) }
}

/// Tokens as counted, or as guessed, and whether something of them is a guess.
fn counted(finished: &Finished<'_>) -> (Usage, bool) {
    let Finished { end, usage, asked_tokens, answered_tokens, .. } = *finished;
    match usage {
        // Anthropic counts one token of output at the start and the rest at the end, which an answer cut short never sees.
        Some(usage) if end != End::Whole && answered_tokens > usage.output_tokens => {
            (Usage { output_tokens: answered_tokens, ..usage }, true)
        }
        Some(usage) => (usage, false),
        // A provider that gave nothing back is not paid; one that was stopped while it read is.
        None if end == End::Failed && answered_tokens == 0 => (Usage::default(), false),
        None if finished.provider == ProviderName::Assistant.as_str() => (Usage::default(), false),
        // Sound and pictures without tokens have prices of their own.
        None if finished.images > 0 || finished.speech_characters > 0 => (Usage::default(), false),
        None => (Usage { input_tokens: asked_tokens, output_tokens: answered_tokens, ..Usage::default() }, true),
    }
}

/// Writes down what was used, and knows what was spent.
pub struct Ledger {
    store: Store,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// As of its day; absent before the first question about it.
    spending: Option<Spending>,
    /// On the way to the store, by the number of the entry.
    underway: BTreeMap<u64, (UsageKey, UsageSum)>,
    entries: u64,
}

/// What [`Ledger::record`] did.
pub struct Recorded {
    /// [`Tally::usage`].
    pub usage: Option<Usage>,
    /// Ends when the entry is on the disk, or cannot be. Nobody has to wait for it.
    pub kept: JoinHandle<()>,
}

impl Ledger {
    pub fn new(store: Store) -> Ledger {
        Ledger { store, known: Mutex::default() }
    }

    /// Writes a request down. Budgets know of it at once. It has its place in the store's queue before this returns, and is
    /// in one commit with what is written right after it: an exchange, best of all.
    pub fn record(self: &Arc<Ledger>, budget: &Budget, finished: &Finished<'_>, day: Date) -> Recorded {
        let Tally { key, sum, usage } = tally(budget, finished, day);
        let entry = self.begin(&key, &sum);
        let ledger = Arc::clone(self);
        let mut writing = Box::pin(async move {
            if let Err(error) = ledger.store.add_usage(key, sum).await {
                tracing::warn!(%error, "what a request used could not be written down");
            }
            ledger.lock().underway.remove(&entry);
        });
        // Begun here, to stand in the queue; a task goes on from there.
        let has_ended = (&mut writing).now_or_never().is_some();
        let kept = tokio::spawn(async move {
            if !has_ended {
                writing.await;
            }
        });
        Recorded { usage, kept }
    }

    /// Who may be asked now. Reads the disk once a day, and never where there is no limit.
    pub async fn verdict(
        &self,
        budget: &Budget,
        profile: Option<&ModelProfile>,
        now: &Zoned,
    ) -> Result<Verdict, ReadError> {
        if !budget::has_limit(budget, profile) {
            return Ok(Verdict::Free);
        }
        let today = now.date();
        let cached = |known: &Known| {
            let spending = known.spending.as_ref().filter(|spending| spending.day() == today)?;
            Some(budget::verdict(budget, profile, spending, now))
        };
        if let Some(verdict) = cached(&self.lock()) {
            return Ok(verdict);
        }
        let rows = self.store.usage(today.first_of_month(), today.last_of_month()).await?;
        let mut known = self.lock();
        let mut spending = Spending::of(today, rows.iter());
        // Those that were read already are counted twice until tomorrow: a budget is rather a cent too small.
        known.underway.values().for_each(|(key, sum)| spending.add(key, sum));
        let verdict = budget::verdict(budget, profile, &spending, now);
        known.spending = Some(spending);
        Ok(verdict)
    }

    fn begin(&self, key: &UsageKey, sum: &UsageSum) -> u64 {
        let mut known = self.lock();
        if let Some(spending) = &mut known.spending {
            spending.add(key, sum);
        }
        known.entries += 1;
        let entry = known.entries;
        known.underway.insert(entry, (key.clone(), *sum));
        entry
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
