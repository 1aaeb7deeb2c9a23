//! The actions that ask for something: what a client wants is checked and becomes a job of the router's, once. Errors name
//! the field.

use std::time::Instant;

use crate::common::chat::Media;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::events::TurnFailure;
use crate::common::ids::is_conversation_id;
use crate::common::limits::REQUESTS_IN_FLIGHT_MAX;
use crate::common::speech::AudioFormat;
use crate::common::time::whole_ms;
use crate::gateway::session::attachments::{self, Named};
use crate::gateway::session::requests::{Kind, Known, fingerprint};
use crate::gateway::session::state::{Action, Called, Session};
use crate::gateway::session::wire;
use crate::router::{Ask, IMAGES_MAX, ImageAsk, Input, Job, SpeakAsk, TurnKey, VoiceWish};

/// Previews of one picture.
const PARTIAL_IMAGES_MAX: u32 = 3;

/// The longest size or aspect ratio, such as `10000x10000`, bytes.
const SIZE_BYTES_MAX: usize = 11;

/// The longest name of a voice, bytes. The longest seen are paths of Piper's models.
const VOICE_BYTES_MAX: usize = 128;

/// The longest name of a language (RFC 5646 §4.4.1), bytes.
const LANG_BYTES_MAX: usize = 35;

/// What a client asks for, checked.
pub(super) struct Wish {
    pub kind: Kind,
    pub work: Work,
    /// What has to be fetched for it.
    pub named: Vec<Named>,
}

/// Who is to do it: the router, or a tool.
pub(super) enum Work {
    Job(Job),
    Call(Called),
}

impl Session {
    pub(super) fn chat(&mut self, now: Instant, frame: &wire::ClientFrame<'_>) -> Result<(), String> {
        let chat: wire::Chat = wire::payload(frame)?;
        if chat.text.trim().is_empty() {
            return Err("payload.text is empty".into());
        }
        if let Some(odd) = chat.conversation_id.as_deref().filter(|id| !is_conversation_id(id)) {
            let shown = wire::shown(odd);
            return Err(format!("payload.conversation_id: {shown:?} is not 1 to 64 of [A-Za-z0-9_-]"));
        }
        let speak = match chat.voice.filter(|voice| voice.speak) {
            Some(wire::Voice { voice, lang, format, .. }) => Some(wish("payload.voice", voice, lang, format)?),
            None => None,
        };
        let (attachments, named) = attachments::read(chat.attachments)?;
        let input = Input::Said {
            text: chat.text,
            attachments,
            // Of the session where absent; that is known when it begins.
            conversation_id: chat.conversation_id.unwrap_or_default(),
        };
        let ask = Ask {
            input,
            profile: chat.profile,
            provider: chat.provider,
            model: chat.model,
            mode: chat.mode.unwrap_or_default(),
            speak,
            confirms: self.version >= 2 && self.confirms,
        };
        self.ask(now, frame, Wish { kind: Kind::Chat, work: Work::Job(Job::Chat(ask)), named });
        Ok(())
    }

    pub(super) fn image(&mut self, now: Instant, frame: &wire::ClientFrame<'_>) -> Result<(), String> {
        let image: wire::Image = wire::payload(frame)?;
        if image.prompt.trim().is_empty() {
            return Err("payload.prompt is empty".into());
        }
        if let Some(odd) = image.size.as_deref().filter(|size| !is_size(size)) {
            let shown = wire::shown(odd);
            return Err(format!("payload.size: {shown:?} is not like 1024x1024, 16:9 or auto"));
        }
        let n = image.n.unwrap_or(1);
        if !(1..=IMAGES_MAX).contains(&n) {
            return Err(format!("payload.n is {n}; 1 to {IMAGES_MAX} are possible"));
        }
        let partial_images = image.partial_images.unwrap_or(0);
        if partial_images > PARTIAL_IMAGES_MAX {
            return Err(format!("payload.partial_images is {partial_images}; 0 to {PARTIAL_IMAGES_MAX} are possible"));
        }
        let ask = ImageAsk {
            prompt: image.prompt,
            size: image.size,
            n,
            quality: image.quality.map(|quality| quality.as_str().to_owned()),
            partial_images: partial_images as u8,
            provider: image.provider,
            model: image.model,
        };
        self.ask(now, frame, Wish { kind: Kind::Image, work: Work::Job(Job::Image(ask)), named: Vec::new() });
        Ok(())
    }

    pub(super) fn speak(&mut self, now: Instant, frame: &wire::ClientFrame<'_>) -> Result<(), String> {
        let wire::Speak { text, voice, lang, format } = wire::payload(frame)?;
        if text.trim().is_empty() {
            return Err("payload.text is empty".into());
        }
        let ask = SpeakAsk { text, wish: wish("payload", voice, lang, format)? };
        self.ask(now, frame, Wish { kind: Kind::Speak, work: Work::Job(Job::Speak(ask)), named: Vec::new() });
        Ok(())
    }

    /// Begins what is new; what is not gets what it got before.
    pub(super) fn ask(&mut self, now: Instant, frame: &wire::ClientFrame<'_>, wish: Wish) {
        let unnamed;
        let id = match frame.request_id.as_deref() {
            Some(id) => id,
            None => {
                unnamed = self.name_request();
                &unnamed
            }
        };
        let print = fingerprint(wish.kind.action(), frame.payload.map(|payload| payload.get()));
        match self.requests.look_up(now, id, print) {
            Known::New => self.start(now, id, print, wish),
            Known::Runs(running) if self.version >= 2 => {
                let conversation_id = running.conversation_id.clone();
                self.processing(id, conversation_id.as_deref());
            }
            Known::Ended(ended) => {
                let (conversation_id, text, end) =
                    (ended.conversation_id.clone(), ended.text.clone(), ended.end.clone());
                self.repeat(id, conversation_id.as_deref(), &text, end);
            }
            Known::Runs(_) | Known::Reused => {
                let text = format!("request_id {id:?} stands for another request; choose a new one");
                self.error(Some(id), ErrorBody::new(ErrorCode::IdReuse, text));
            }
        }
    }

    /// A name for a request of a client that gave it none.
    fn name_request(&mut self) -> String {
        loop {
            self.unnamed += 1;
            let name = format!("req-{}", self.unnamed);
            // The client may have had the same idea.
            if !self.requests.knows(&name) {
                return name;
            }
        }
    }

    fn start(&mut self, now: Instant, id: &str, print: u64, wish: Wish) {
        if self.drain_by.is_some() {
            let text = "the hub is going down; connect again in a moment";
            return self.error(Some(id), ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Offline, text) });
        }
        if self.requests.running().len() >= REQUESTS_IN_FLIGHT_MAX {
            let text = format!("{REQUESTS_IN_FLIGHT_MAX} requests of this session are running; wait for one to end");
            return self.error(Some(id), ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::RateLimited, text) });
        }
        let Wish { kind, mut work, named } = wish;
        let mut conversation: Option<Box<str>> = None;
        if let Work::Job(Job::Chat(Ask { input: Input::Said { conversation_id, .. }, .. })) = &mut work {
            if conversation_id.is_empty() {
                let own = self.conversation_id.get_or_insert_with(|| (self.fresh_id)('c').into());
                conversation_id.push_str(own);
            }
            conversation = Some(conversation_id.as_str().into());
        }
        let key = self.requests.begin(now, id, kind, conversation.clone(), print);
        self.processing(id, conversation.as_deref());
        let own_call = match &work {
            Work::Call(called) => Some(self.own_call(now, &called.tool)),
            Work::Job(_) => None,
        };
        let running = self.requests.get_mut(key).expect("it has just begun");
        running.call = own_call;
        self.actions.push_back(match work {
            Work::Call(called) => Action::Call { key, called },
            Work::Job(Job::Chat(ask)) if !named.is_empty() => {
                running.waiting = Some(Box::new(ask));
                Action::Fetch { key, named }
            }
            Work::Job(job) => Action::Start { key, job },
        });
    }

    /// What [`Action::Fetch`] brought: as many as were named, in their order. Or why not.
    pub fn handle_fetched(&mut self, now: Instant, key: TurnKey, fetched: Result<Vec<Media>, ErrorBody>) {
        let Some(mut ask) = self.requests.get_mut(key).and_then(|running| running.waiting.take()) else { return };
        match fetched {
            Ok(media) => {
                if let Input::Said { attachments, .. } = &mut ask.input {
                    let empty = attachments.iter_mut().filter(|attachment| attachment.mime.is_empty());
                    empty.zip(media).for_each(|(place, media)| *place = media);
                }
                self.actions.push_back(Action::Start { key, job: Job::Chat(*ask) });
            }
            Err(error) => self.never_began(now, key, error),
        }
    }

    /// Ends a request of which the router has not heard.
    pub(super) fn never_began(&mut self, now: Instant, key: TurnKey, error: ErrorBody) {
        let Some(running) = self.requests.get_mut(key) else { return };
        let total_ms = whole_ms(now.saturating_duration_since(running.asked_at));
        self.turn_failed(now, key, TurnFailure { error, provider: None, model: None, first_token_ms: None, total_ms });
    }
}

/// `auto`, `1024x1024` or `16:9`. Whether a provider has it is the provider's to say.
fn is_size(size: &str) -> bool {
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_pair = |sign| size.split_once(sign).is_some_and(|(one, other)| is_number(one) && is_number(other));
    size.len() <= SIZE_BYTES_MAX && (size == "auto" || is_pair('x') || is_pair(':'))
}

/// `path`: where in the request these stand.
fn wish(
    path: &str,
    voice: Option<String>,
    lang: Option<String>,
    format: Option<AudioFormat>,
) -> Result<VoiceWish, String> {
    // A voice may be a program, to which both are arguments.
    let is_voice = |voice: &str| {
        (1..=VOICE_BYTES_MAX).contains(&voice.len()) && !voice.starts_with('-') && !voice.contains(char::is_control)
    };
    if let Some(odd) = voice.as_deref().filter(|voice| !is_voice(voice)) {
        return Err(format!("{path}.voice: {:?} is no name of a voice", wire::shown(odd)));
    }
    let is_lang = |lang: &str| {
        (1..=LANG_BYTES_MAX).contains(&lang.len())
            && !lang.starts_with('-')
            && lang.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if let Some(odd) = lang.as_deref().filter(|lang| !is_lang(lang)) {
        return Err(format!("{path}.lang: {:?} is no language such as de or zh-CN", wire::shown(odd)));
    }
    Ok(VoiceWish { voice, lang, format: format.unwrap_or_default() })
}
