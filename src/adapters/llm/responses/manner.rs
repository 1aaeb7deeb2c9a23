//! How a server of the Responses API wants to be asked, and what it may refuse. Pure.

use crate::adapters::llm::complaint::Complaint;
use crate::adapters::llm::openai::manner::has_fixed_temperature;
use crate::common::chat::{ChatRequest, Effort, Part};

/// The thoughts themselves, which nobody can read, to be given back: the provider stores nothing for us.
pub const ENCRYPTED_THOUGHTS: &str = "reasoning.encrypted_content";

/// How this server and this model want to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manner {
    /// OpenAI's own server, or Azure's of it.
    pub is_openai: bool,
    /// Items that came from this interface go back as they came.
    pub gives_back: bool,
    pub temperature: bool,
    pub top_p: bool,
    pub max_output_tokens: bool,
    pub parallel_tool_calls: bool,
    pub store: bool,
    pub encrypted_thoughts: bool,
    pub summary: bool,
    /// `reasoning.effort` as this model calls it.
    pub effort: Option<&'static str>,
    pub paints: Painting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Painting {
    No,
    Whole,
    WithPreviews,
}

impl Manner {
    pub fn of(host: Option<&str>, request: &ChatRequest) -> Manner {
        let is_openai = host.is_some_and(|host| host == "api.openai.com" || host.ends_with(".openai.azure.com"));
        let thinks = is_openai && thinks(&request.model);
        let has_kept = |part: &Part| matches!(part, Part::Verbatim(item) if item.is_of(super::ORIGIN));
        Manner {
            is_openai,
            gives_back: request.messages.iter().flat_map(|message| &message.parts).any(has_kept),
            temperature: !(is_openai && has_fixed_temperature(&request.model)),
            top_p: !(is_openai && has_fixed_temperature(&request.model)),
            max_output_tokens: true,
            parallel_tool_calls: true,
            store: true,
            encrypted_thoughts: thinks || !is_openai,
            summary: thinks || (!is_openai && request.sampling.reasoning.is_some()),
            effort: request.sampling.reasoning.map(|effort| match effort {
                Effort::None => "none",
                Effort::Low => "low",
                Effort::Medium => "medium",
                Effort::High => "high",
            }),
            paints: if request.images { Painting::WithPreviews } else { Painting::No },
        }
    }

    /// Gives in where the server blames something that can be done without; false when there is nothing to give in with.
    pub fn concede(&mut self, complaint: &Complaint) -> bool {
        let blames = |name: &str| blames(complaint, name);
        let says = |word: &str| complaint.message.to_lowercase().contains(word);
        // Thoughts of another account, model or server.
        let is_about_input = complaint.param.as_deref().is_some_and(|param| param.starts_with("input"))
            || complaint.words.iter().any(|word| word == "invalid_encrypted_content")
            || (says("item") && (says("not found") || says("required")));
        if (is_about_input || says("encrypted content") || blames(ENCRYPTED_THOUGHTS)) && give_up(&mut self.gives_back)
        {
            return true;
        }
        if (blames("include") || blames(ENCRYPTED_THOUGHTS) || says("encrypted content"))
            && give_up(&mut self.encrypted_thoughts)
        {
            return true;
        }
        if (blames("reasoning.summary") || says("summar")) && give_up(&mut self.summary) {
            return true;
        }
        if blames("reasoning.effort") || blames("reasoning_effort") || says("reasoningeffort") {
            // A model that cannot but think is to think as little as it can.
            let less = match self.effort {
                Some("none") => Some("minimal"),
                Some("minimal") => Some("low"),
                _ => None,
            };
            return std::mem::replace(&mut self.effort, less).is_some();
        }
        if blames("reasoning") && (self.summary || self.effort.is_some()) {
            (self.summary, self.effort) = (false, None);
            return true;
        }
        if blames("partial_images") && self.paints == Painting::WithPreviews {
            self.paints = Painting::Whole;
            return true;
        }
        if (blames("tools") || blames("image_generation")) && self.paints != Painting::No {
            self.paints = Painting::No;
            return true;
        }
        let plain = [
            ("temperature", &mut self.temperature),
            ("top_p", &mut self.top_p),
            ("max_output_tokens", &mut self.max_output_tokens),
            ("parallel_tool_calls", &mut self.parallel_tool_calls),
            ("store", &mut self.store),
        ];
        plain.into_iter().any(|(name, on)| blames(name) && give_up(on))
    }
}

fn give_up(on: &mut bool) -> bool {
    std::mem::replace(on, false)
}

/// Whether a parameter, or a field of it, is the one at fault; some servers say so in their words alone.
fn blames(complaint: &Complaint, name: &str) -> bool {
    match complaint.param.as_deref().filter(|param| !param.is_empty()) {
        Some(param) => param.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])),
        None => {
            let is_part_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            let mut words = complaint.message.split(|c| !is_part_of_a_name(c)).map(|word| word.trim_matches('.'));
            words.any(|word| word == name)
        }
    }
}

/// OpenAI's models that think before they speak: o1 and its kin, gpt-5 and later, without their chat models.
pub fn thinks(model: &str) -> bool {
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().ok();
    let is_o = model.strip_prefix('o').and_then(digits).is_some();
    let is_gpt = model.strip_prefix("gpt-").and_then(digits).is_some_and(|major| (5..100).contains(&major));
    is_o || (is_gpt && !model.contains("-chat"))
}
