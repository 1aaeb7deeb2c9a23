//! How a server and a model want to be asked: what is known beforehand from the model's name, and what is given up where the
//! server complains. Pure.
//! Source: Anthropic documentation, "Extended thinking", "Adaptive thinking", "Effort", "Structured outputs", "Migration
//! guide"; the complaints are those of the running service.

use super::ORIGIN;
use crate::adapters::llm::complaint::Complaint;
use crate::adapters::llm::exchange::Target;
use crate::common::chat::{ChatRequest, Effort, Part, ResponseFormat, ToolChoice};

const ANTHROPIC_HOST: &str = "api.anthropic.com";

/// The longest answer where nobody has limited it, tokens: some 6000 words. The interface has no default of its own.
pub const ANSWER_TOKENS: u32 = 8192;

/// Room for thinking, tokens; it comes on top of the answer's. Where the model chooses for itself how long to think, this is
/// only what `max_tokens` grows by.
const LOW_TOKENS: u32 = 2048;
const MEDIUM_TOKENS: u32 = 8192;
const HIGH_TOKENS: u32 = 16_384;

/// The smallest `budget_tokens` that is taken.
const BUDGET_MIN_TOKENS: u32 = 1024;

/// The first models that choose for themselves how long to think, and take no prefilled answer.
const ADAPTIVE_SINCE: Generation = Generation(4, 6);
/// The first models that take neither `temperature` nor `top_p`.
const UNSAMPLED_SINCE: Generation = Generation(4, 7);

/// How to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manner {
    pub temperature: bool,
    pub top_p: bool,
    pub thinking: Thinking,
    /// The other form of thinking is still to be tried.
    another_thinking: bool,
    /// `output_config.effort`.
    pub effort: Option<Effort>,
    pub verbatim: Kept,
    /// `output_config.format`.
    pub native_schema: bool,
    /// The wished form of the answer stands in the prompt too: not every server that takes `output_config` heeds it.
    pub told_format: bool,
    /// `strict` of tools.
    pub strict: bool,
    /// A conversation may end with words of the model's, which it then continues.
    pub prefill: bool,
    pub max_tokens: u32,
}

/// What is said of thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinking {
    Unsaid,
    Off,
    /// `enabled` with `budget_tokens`.
    Budget {
        tokens: u32,
    },
    Adaptive,
}

/// Which of the model's own items go back to it. The others are read as what they stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    All,
    /// All but `thinking` and `redacted_thinking`: a signature made by another model is refused.
    NoThinking,
    None,
}

impl Manner {
    pub fn of(target: &Target, request: &ChatRequest) -> Manner {
        let sampling = &request.sampling;
        let claude = request.model.contains("claude");
        let generation = Generation::of(&request.model).filter(|_| claude);
        // A Claude without a number is newer than the numbers known here.
        let adaptive = claude && generation.is_none_or(|generation| generation >= ADAPTIVE_SINCE);
        let sampled = generation.is_none_or(|generation| generation < UNSAMPLED_SINCE);

        // "Thinking may not be enabled when tool_choice forces tool use": the call is what was asked for.
        let forced =
            matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Named(_)) && !request.tools.is_empty();
        let effort = sampling.reasoning.filter(|_| !forced);
        let room = effort.map_or(0, budget);
        let thinking = match effort {
            None => Thinking::Unsaid,
            Some(Effort::None) => Thinking::Off,
            Some(_) if adaptive => Thinking::Adaptive,
            Some(_) => Thinking::Budget { tokens: room },
        };
        let thinks = room > 0;
        let answer = sampling.max_tokens.unwrap_or(ANSWER_TOKENS).max(1);
        Manner {
            // Thinking takes no other temperature than its own. "You should either alter temperature or top_p, but not both."
            temperature: sampling.temperature.is_some() && sampled && !thinks,
            top_p: sampling.top_p.is_some() && sampling.temperature.is_none() && sampled && !thinks,
            thinking,
            another_thinking: thinks,
            effort: effort.filter(|_| thinks && adaptive),
            verbatim: if has_items(request) { Kept::All } else { Kept::None },
            native_schema: matches!(request.response_format, Some(ResponseFormat::Schema { .. })),
            told_format: target.host() != Some(ANTHROPIC_HOST),
            strict: request.tools.iter().any(|tool| tool.strict == Some(true)),
            prefill: !adaptive && !thinks,
            max_tokens: answer.saturating_add(room),
        }
    }

    /// Gives in where the server names what it does not take; false when there is nothing to give in with. Each thing is
    /// given up once, so that asking comes to an end.
    pub fn concede(&mut self, complaint: &Complaint) -> bool {
        let said = complaint.message.to_lowercase();
        let about = |word: &str| said.contains(word) || complaint.param.as_deref() == Some(word);
        if about("temperature") && std::mem::take(&mut self.temperature) {
            return true;
        }
        if about("top_p") && std::mem::take(&mut self.top_p) {
            return true;
        }
        if (about("prefill") || about("must end with a user")) && std::mem::take(&mut self.prefill) {
            return true;
        }
        // `messages.3.content.0: …` is about what was said before.
        if about("messages.") {
            // "Expected `thinking` … but found `text`": it thought before it called a tool, and the thoughts are not at hand.
            return if about("expected `thinking`") { self.think_no_more() } else { self.keep_less(about("thinking")) };
        }
        if about("max_tokens") && self.shorten(&said) {
            return true;
        }
        if (about("thinking") || about("budget_tokens")) && self.think_otherwise() {
            return true;
        }
        if about("effort") && self.effort.take().is_some() {
            return true;
        }
        if (about("output_config") || about("output_format") || about("schema"))
            && std::mem::take(&mut self.native_schema)
        {
            self.told_format = true;
            return true;
        }
        (about("strict") || about("schema") || about("tools.")) && std::mem::take(&mut self.strict)
    }

    fn think_otherwise(&mut self) -> bool {
        if !std::mem::take(&mut self.another_thinking) {
            return self.think_no_more();
        }
        match self.thinking {
            Thinking::Adaptive => {
                let tokens = self.effort.take().map_or(LOW_TOKENS, budget);
                self.thinking = Thinking::Budget { tokens };
            }
            Thinking::Budget { tokens } => {
                self.thinking = Thinking::Adaptive;
                self.effort =
                    [Effort::Low, Effort::Medium, Effort::High].into_iter().find(|effort| budget(*effort) >= tokens);
            }
            Thinking::Off | Thinking::Unsaid => return self.think_no_more(),
        }
        true
    }

    fn think_no_more(&mut self) -> bool {
        self.effort = None;
        std::mem::replace(&mut self.thinking, Thinking::Unsaid) != Thinking::Unsaid
    }

    fn keep_less(&mut self, about_thinking: bool) -> bool {
        self.verbatim = match self.verbatim {
            Kept::All if about_thinking => Kept::NoThinking,
            Kept::All | Kept::NoThinking => Kept::None,
            Kept::None => return false,
        };
        true
    }

    /// `max_tokens: 64000 > 4096, which is the maximum allowed number of output tokens for …`
    fn shorten(&mut self, said: &str) -> bool {
        let most =
            said.split_once("> ").and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
        let Some(most) = most.filter(|most| (1..self.max_tokens).contains(most)) else { return false };
        self.max_tokens = most;
        if let Thinking::Budget { tokens } = &mut self.thinking {
            *tokens = (*tokens).min(most / 2);
            if *tokens < BUDGET_MIN_TOKENS {
                self.think_no_more();
            }
        }
        true
    }
}

/// Whether anything in the conversation could go back as it came.
fn has_items(request: &ChatRequest) -> bool {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    parts.into_iter().any(|part| matches!(part, Part::Verbatim(item) if item.is_of(ORIGIN)))
}

/// Tokens to think with.
fn budget(effort: Effort) -> u32 {
    match effort {
        Effort::None => 0,
        Effort::Low => LOW_TOKENS,
        Effort::Medium => MEDIUM_TOKENS,
        Effort::High => HIGH_TOKENS,
    }
}

/// The numbers in a model's name: 4 and 6 of `claude-opus-4-6`, 3 and 7 of `claude-3-7-sonnet-20250219`, 5 and 0 of
/// `claude-sonnet-5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Generation(u32, u32);

impl Generation {
    fn of(model: &str) -> Option<Generation> {
        // A date is no such number.
        let number = |word: &str| word.parse().ok().filter(|_| word.len() <= 2);
        let mut words = model.split(['-', '.', '_', '@', '/', ':']).skip_while(|word| number(word).is_none());
        let major = number(words.next()?)?;
        Some(Generation(major, words.next().and_then(number).unwrap_or(0)))
    }
}

#[cfg(test)]
#[path = "manner_tests.rs"]
mod tests;
