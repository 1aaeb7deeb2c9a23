//! What a provider is given to read: the profile's prompt, the last of the conversation, the question. Pure.

use crate::common::chat::{ChatRequest, Media, Message, Part, Role, Sampling, ToolChoice};
use crate::router::asking::Said;
use crate::router::choose::Link;
use crate::router::tools::Offer;
use crate::router::{Brought, Input};
use crate::store::{ModelProfile, estimated_tokens};

/// What the answer is given room for where the profile does not limit it.
const ANSWER_TOKENS: u64 = 1024;

/// What a provider is told that goes on where another one broke off.
const GO_ON: &str = "Your answer broke off there, through no fault of yours. Go on exactly where it stopped, in the same \
                     language and form: begin with the very next word, repeat nothing and do not mention the break.";

/// Tokens of a profile's context that are left for history beside its prompt, the question and the answer.
pub fn history_tokens(profile: &ModelProfile, question_tokens: u64) -> u32 {
    let prompt_tokens = profile.system_prompt.as_deref().map_or(0, estimated_tokens);
    let whole = u64::from(profile.context_tokens);
    // A profile that lets an answer fill the whole context would have no memory at all.
    let answer_tokens = profile.max_tokens.map_or(ANSWER_TOKENS, u64::from).min(whole / 2);
    let left = whole.saturating_sub(prompt_tokens + question_tokens + answer_tokens);
    u32::try_from(left).unwrap_or(u32::MAX)
}

/// What the user says: what there is to see and to hear, then the words.
pub fn question(text: &str, attachments: &[Media]) -> Message {
    let part = |media: &Media| match media.mime.starts_with("audio/") {
        true => Part::Audio(media.clone()),
        false => Part::Image(media.clone()),
    };
    let text = Part::Text(text.to_owned());
    Message { role: Role::User, parts: attachments.iter().map(part).chain([text]).collect() }
}

/// The answer so far: rounds of calls and what came of them as they were; where it broke off, its text and the wish to have the
/// rest. What it called for there and a provider's own items are not whole.
fn begun(before: &[Said]) -> Vec<Message> {
    let mut messages = Vec::new();
    for pieces in before.chunk_by(|a, b| a.partial && b.partial) {
        if !pieces[0].partial {
            messages.extend(pieces.iter().map(|said| said.message.clone()));
            continue;
        }
        let text: String = pieces.iter().map(|said| said.message.text()).collect();
        if !text.is_empty() {
            messages.extend([Message::new(Role::Assistant, text), Message::new(Role::User, GO_ON)]);
        }
    }
    messages
}

/// Pictures that tools gave back are for models that see: small ones in the house mostly do not, and refuse the whole question.
fn without_tool_pictures(messages: &mut [Message]) {
    let parts = messages.iter_mut().filter(|message| message.role == Role::Tool).flat_map(|message| &mut message.parts);
    for part in parts {
        if let Part::Image(media) = part {
            *part = Part::Text(format!("[a picture of type {} that you cannot see]", media.mime));
        }
    }
}

/// Puts one question together. `history` is the store's selection, oldest first, already within its budget; `before` is
/// the beginning of its answer, where one broke off or called tools; `offer` are the hub's own.
pub fn request(
    link: &Link,
    profile: &ModelProfile,
    history: &[Message],
    input: &Input,
    before: &[Said],
    offer: &Offer,
) -> ChatRequest {
    let mut request = written(link, profile, history, input, before);
    if !offer.tools.is_empty() {
        request.tools = offer.tools.to_vec();
        request.tool_choice = if offer.in_words { ToolChoice::None } else { ToolChoice::Auto };
    }
    if link.name.is_local() {
        without_tool_pictures(&mut request.messages);
    }
    request
}

fn written(link: &Link, profile: &ModelProfile, history: &[Message], input: &Input, before: &[Said]) -> ChatRequest {
    let prompt = profile.system_prompt.iter().filter(|prompt| !prompt.trim().is_empty());
    let prompt = prompt.map(|prompt| Message::new(Role::System, prompt.as_str()));
    let sampling = Sampling {
        temperature: profile.temperature,
        top_p: profile.top_p,
        max_tokens: profile.max_tokens,
        reasoning: profile.reasoning_effort,
        ..Sampling::default()
    };
    let model = link.model.clone();
    match input {
        Input::Said { text, attachments, .. } => {
            let question = question(text, attachments);
            let messages = prompt.chain(history.iter().cloned()).chain([question]).chain(begun(before)).collect();
            ChatRequest { model, messages, sampling, images: link.paints, ..ChatRequest::default() }
        }
        Input::Brought(brought) => {
            let Brought { messages, sampling: wished, tools, tool_choice, parallel_tool_calls, response_format } =
                (**brought).clone();
            let has_prompt = messages.iter().any(|message| message.role == Role::System);
            let sampling = Sampling {
                temperature: wished.temperature.or(sampling.temperature),
                top_p: wished.top_p.or(sampling.top_p),
                reasoning: wished.reasoning.or(sampling.reasoning),
                max_tokens: wished.max_tokens.or(sampling.max_tokens),
                ..wished
            };
            let messages = prompt.filter(|_| !has_prompt).chain(messages).chain(begun(before)).collect();
            ChatRequest {
                model,
                messages,
                sampling,
                tools,
                tool_choice,
                parallel_tool_calls,
                response_format,
                images: link.paints,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::ProviderName;

    fn said(text: &str) -> Said {
        let message = Message::new(Role::Assistant, text);
        Said { link: 0, message, pictures: Vec::new(), reasoning: String::new(), partial: true }
    }

    fn link() -> Link {
        let (name, model) = (ProviderName::Local, "m".into());
        Link { name, model, paints: true, first_token: std::time::Duration::ZERO }
    }

    #[test]
    fn the_question_comes_last_with_what_there_is_to_see_before_its_words() {
        let media = |mime: &str| Media { mime: mime.into(), data: bytes::Bytes::from_static(b"x") };
        let attachments = vec![media("image/png"), media("audio/wav")];
        let input = Input::Said { text: "What is this?".into(), attachments, conversation_id: "c".into() };
        let profile = ModelProfile { system_prompt: Some("Be brief.".into()), ..ModelProfile::new("default") };
        let history = [Message::new(Role::User, "Hi"), Message::new(Role::Assistant, "Hello")];
        let request = request(&link(), &profile, &history, &input, &[], &Offer::default());
        let texts: Vec<_> = request.messages.iter().map(Message::text).collect();
        assert_eq!(texts, ["Be brief.", "Hi", "Hello", "What is this?"]);
        assert!(matches!(request.messages[3].parts[..], [Part::Image(_), Part::Audio(_), Part::Text(_)]));
        assert!(request.images);
    }

    #[test]
    fn whoever_goes_on_reads_all_that_was_said_as_one_answer() {
        let input = Input::Said { text: "Count.".into(), attachments: Vec::new(), conversation_id: "c".into() };
        let of = |before: &[Said]| {
            let request = request(&link(), &ModelProfile::new("default"), &[], &input, before, &Offer::default());
            request.messages.iter().map(|message| (message.role, message.text())).collect::<Vec<_>>()
        };
        let question = (Role::User, "Count.".to_owned());
        let answer = (Role::Assistant, "One, two, three".to_owned());
        assert_eq!(of(&[said("One, "), said("two, three")]), [question.clone(), answer, (Role::User, GO_ON.into())]);
        assert_eq!(of(&[said("")]), [question], "nothing was said that could be gone on from");
    }
}
