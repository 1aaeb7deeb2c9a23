//! What a turn asks, made ready before anybody is asked, and put to one provider after the other.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Zoned;

use crate::adapters::llm::{Answer, Provider};
use crate::common::chat::{Message, Part, Role, ToolChoice};
use crate::common::config::Config;
use crate::common::error::{ErrorBody, ErrorCode, ProviderError};
use crate::common::who::{Door, HOUSE, Principal};
use crate::router::ask_tool::ASK;
use crate::router::asking::Said;
use crate::router::choose::{Link, chain, image_chain};
use crate::router::tools::{LIKELY_MAX, Offer, Toolbox};
use crate::router::turn::{Plan, ToolPlan};
use crate::router::usage::asked_tokens;
use crate::router::{Ask, Brought, ImageAsk, Input, Roster, Shared, budget, context, likes, paint};
use crate::store::{ModelProfile, ReadError, Snapshot, estimated_tokens};

/// What a turn is about; what is only to be spoken asks no model.
pub enum Wish {
    Chat(Ask),
    Image(ImageAsk),
}

/// What a turn needs to know before it can ask anybody.
pub struct Prepared {
    pub question: Question,
    pub plan: Plan,
    pub roster: Arc<Roster>,
}

/// See the module.
#[expect(clippy::large_enum_variant, reason = "a turn has one, in a box already, and most are chats")]
pub enum Question {
    Chat {
        ask: Ask,
        profile: ModelProfile,
        history: Vec<Message>,
        /// Whose conversation it is.
        keeper: Box<str>,
    },
    Image(ImageAsk),
}

impl Question {
    /// Puts it to a provider. `before` is the beginning of the answer, where one broke off or called tools.
    pub fn put(
        &self,
        provider: &dyn Provider,
        link: &Link,
        before: &[Said],
        offer: &Offer,
    ) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        match self {
            Question::Chat { ask, profile, history, .. } => {
                provider.ask(context::request(link, profile, history, &ask.input, before, offer))
            }
            Question::Image(ask) => provider.image(paint::request(link, ask)),
        }
    }

    /// The words of a conversation that is kept; `None`: what was asked is not.
    pub fn input(&self) -> Option<&Input> {
        match self {
            Question::Chat { ask, .. } => Some(&ask.input),
            Question::Image(_) => None,
        }
    }

    /// Among whose records the exchange is kept.
    pub fn keeper(&self) -> &str {
        match self {
            Question::Chat { keeper, .. } => keeper,
            Question::Image(_) => HOUSE,
        }
    }

    /// The profile that it goes by.
    pub fn model_profile(&self) -> Option<&ModelProfile> {
        match self {
            Question::Chat { profile, .. } => Some(profile),
            Question::Image(_) => None,
        }
    }

    /// The name of the profile that it goes by; empty for a picture.
    pub fn profile(&self) -> &str {
        match self {
            Question::Chat { profile, .. } => &profile.name,
            Question::Image(_) => "",
        }
    }

    /// Guessed tokens of it, for a provider that does not count.
    pub fn asked_tokens(&self, link: &Link, before: &[Said], offer: &Offer) -> u64 {
        match self {
            Question::Chat { ask, profile, history, .. } => {
                asked_tokens(&context::request(link, profile, history, &ask.input, before, offer))
            }
            Question::Image(ask) => estimated_tokens(&ask.prompt),
        }
    }
}

/// Reads config, roster, profile and history, all as they are now: a change of any of them holds from the next question on.
pub async fn prepare(
    shared: &Shared,
    who: &Arc<Principal>,
    wish: Wish,
    now: Zoned,
    roll: fn() -> f64,
) -> Result<Prepared, ErrorBody> {
    let config = shared.config.borrow().clone();
    let roster = shared.roster.borrow().clone();
    let on_roster = |name| roster.providers.contains_key(&name);
    let (question, chain) = match wish {
        Wish::Chat(ask) => {
            let (profile, history, keeper) = look_up(shared, who, &ask).await?;
            let chain = chain(&config.providers, &profile, &ask, on_roster)?;
            (Question::Chat { ask, profile, history, keeper }, chain)
        }
        Wish::Image(ask) => {
            paint::check(&ask)?;
            let chain = image_chain(&config.providers, &ask, on_roster)?;
            (Question::Image(ask), chain)
        }
    };
    let (profile, named) = match &question {
        Question::Chat { ask, profile, .. } => (Some(profile), ask.provider.is_some()),
        Question::Image(ask) => (None, ask.provider.is_some()),
    };
    let verdict = shared.ledger.verdict(&config.budget, profile, &now).await.map_err(internal)?;
    let (chain, notice) = budget::narrow(chain, verdict, named)?;
    let tools = tools(shared, &config, &question, who);
    let plan = Plan { notice, tools, ..plan(&config, &roster, &question, chain, roll) };
    Ok(Prepared { question, plan, roster })
}

fn internal(error: ReadError) -> ErrorBody {
    ErrorBody::new(ErrorCode::Internal, error.to_string())
}

/// Profile and history, and among whose records the exchange belongs.
async fn look_up(
    shared: &Shared,
    who: &Arc<Principal>,
    ask: &Ask,
) -> Result<(ModelProfile, Vec<Message>, Box<str>), ErrorBody> {
    let (who, named) = (who.clone(), ask.profile.clone());
    let said = match &ask.input {
        Input::Said { text, conversation_id, .. } => Some((conversation_id.clone(), estimated_tokens(text))),
        Input::Brought(_) => None,
    };
    let look = move |store: &Snapshot| {
        let profile = match likes::profile_for(store, &who, named.as_deref())? {
            Ok(profile) => profile,
            Err(name) => {
                let why = format!("payload.profile: there is no model profile called {name:?}");
                return Ok(Err(ErrorBody::new(ErrorCode::NotFound, why)));
            }
        };
        let Some((id, tokens)) = &said else { return Ok(Ok((profile, Vec::new(), who.user.clone()))) };
        let keeper: Box<str> = match store.conversation(id)? {
            None => who.user.clone(),
            Some(found) if *found.user == *who.user => who.user.clone(),
            // What was said before there were users goes on for owners.
            Some(found) if found.user == HOUSE && who.is_owner() => HOUSE.into(),
            Some(_) => {
                let why = "payload.conversation_id: there is no such conversation of yours; choose another id";
                return Ok(Err(ErrorBody::new(ErrorCode::NotFound, why)));
            }
        };
        let history = store.context(id, context::history_tokens(&profile, *tokens))?;
        Ok(Ok((profile, history, keeper)))
    };
    shared.store.read(look).await.map_err(internal)?
}

/// What the model may call on the user's behalf; `None`: nothing, or the client calls its own.
fn tools(shared: &Shared, config: &Config, question: &Question, who: &Principal) -> Option<ToolPlan> {
    let Question::Chat { ask, profile, .. } = question else { return None };
    if profile.tools == Some(false) {
        return None;
    }
    let (asked, visible) = match &ask.input {
        Input::Said { text, .. } => (text.clone(), true),
        // A program that brought its conversation expects a model, unless its profile says that there is more.
        Input::Brought(brought) if profile.tools != Some(true) || calls_its_own(brought) => return None,
        Input::Brought(brought) => {
            let asked = brought.messages.iter().rev().find(|message| message.role == Role::User);
            (asked.map(Message::text).unwrap_or_default(), false)
        }
    };
    let who = &who.through(Door::Model);
    let mut all = shared.tools.tools(who);
    // It would ask itself.
    all.retain(|tool| *tool.name != *ASK);
    if all.is_empty() {
        return None;
    }
    let likely = shared.likely.get().cloned().map(|likely| (likely, who.clone()));
    let look = move || likely.map(|(likely, who)| likely.likely(&asked, &who, LIKELY_MAX)).unwrap_or_default();
    Some(ToolPlan {
        toolbox: Arc::new(Toolbox::new(shared.known.of(all), Box::new(look), config.mcp.tools_shown)),
        rounds_max: config.mcp.tool_rounds,
        confirms: ask.confirms,
        confirm_within: Duration::from_secs(config.mcp.confirm_s),
        visible,
    })
}

/// Whether a client has tools of its own in play, or wants an answer of a form that a call would spoil.
fn calls_its_own(brought: &Brought) -> bool {
    let is_tool = |part: &Part| matches!(part, Part::ToolCall(_) | Part::ToolResult(_));
    let Brought { messages, tools, tool_choice, response_format, .. } = brought;
    !tools.is_empty()
        || *tool_choice != ToolChoice::Auto
        || response_format.is_some()
        || messages.iter().flat_map(|message| &message.parts).filter_map(Part::plain).any(is_tool)
}

fn plan(config: &Config, roster: &Roster, question: &Question, chain: Vec<Link>, roll: fn() -> f64) -> Plan {
    let providers = &config.providers;
    // Whoever brought a conversation along reads one answer, and knows no second message of it.
    let goes_on = match question {
        Question::Chat { ask, profile, .. } => profile.continue_elsewhere && ask.input.conversation_id().is_some(),
        Question::Image(_) => false,
    };
    Plan {
        chain,
        conversation_id: question.input().and_then(Input::conversation_id).unwrap_or_default().into(),
        inter_token: Duration::from_secs(providers.inter_token_s),
        total: Duration::from_secs(providers.total_s),
        retries: providers.retries,
        hedge_after: providers.hedge_after_ms.map(Duration::from_millis),
        goes_on,
        paints: matches!(question, Question::Image(_)),
        tools: None,
        notice: None,
        health: roster.health.clone(),
        roll,
    }
}
