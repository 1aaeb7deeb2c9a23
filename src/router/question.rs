//! What a turn asks, made ready before anybody is asked, and put to one provider after the other.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Zoned;

use crate::adapters::llm::{Answer, Provider};
use crate::common::chat::Message;
use crate::common::config::Config;
use crate::common::error::{ErrorBody, ErrorCode, ProviderError};
use crate::router::asking::Said;
use crate::router::choose::{Link, chain, image_chain};
use crate::router::turn::Plan;
use crate::router::usage::asked_tokens;
use crate::router::{Ask, ImageAsk, Input, Roster, Shared, budget, context, paint};
use crate::store::{DEFAULT_PROFILE, ModelProfile, ReadError, Snapshot, estimated_tokens};

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
    Chat { ask: Ask, profile: ModelProfile, history: Vec<Message> },
    Image(ImageAsk),
}

impl Question {
    /// Puts it to a provider. `before` is the beginning of the answer, where one broke off.
    pub fn put(
        &self,
        provider: &dyn Provider,
        link: &Link,
        before: &[Said],
    ) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        match self {
            Question::Chat { ask, profile, history } => {
                provider.ask(context::request(link, profile, history, &ask.input, before))
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

    /// The name of the profile that it goes by; empty for a picture.
    pub fn profile(&self) -> &str {
        match self {
            Question::Chat { profile, .. } => &profile.name,
            Question::Image(_) => "",
        }
    }

    /// Guessed tokens of it, for a provider that does not count.
    pub fn asked_tokens(&self, link: &Link, before: &[Said]) -> u64 {
        match self {
            Question::Chat { ask, profile, history } => {
                asked_tokens(&context::request(link, profile, history, &ask.input, before))
            }
            Question::Image(ask) => estimated_tokens(&ask.prompt),
        }
    }
}

/// Reads config, roster, profile and history, all as they are now: a change of any of them holds from the next question on.
pub async fn prepare(shared: &Shared, wish: Wish, now: Zoned, roll: fn() -> f64) -> Result<Prepared, ErrorBody> {
    let config = shared.config.borrow().clone();
    let roster = shared.roster.borrow().clone();
    let on_roster = |name| roster.providers.contains_key(&name);
    let (question, chain) = match wish {
        Wish::Chat(ask) => {
            let (profile, history) = look_up(shared, &ask).await?;
            let chain = chain(&config.providers, &profile, &ask, on_roster)?;
            (Question::Chat { ask, profile, history }, chain)
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
    let plan = Plan { notice, ..plan(&config, &roster, &question, chain, roll) };
    Ok(Prepared { question, plan, roster })
}

fn internal(error: ReadError) -> ErrorBody {
    ErrorBody::new(ErrorCode::Internal, error.to_string())
}

async fn look_up(shared: &Shared, ask: &Ask) -> Result<(ModelProfile, Vec<Message>), ErrorBody> {
    let name = ask.profile.clone().unwrap_or_else(|| DEFAULT_PROFILE.into());
    let said = match &ask.input {
        Input::Said { text, conversation_id, .. } => Some((conversation_id.clone(), estimated_tokens(text))),
        Input::Brought(_) => None,
    };
    let look = move |store: &Snapshot| {
        let Some(profile) = store.profile(&name)? else { return Ok(Err(name.clone())) };
        let history = match &said {
            Some((id, tokens)) => store.context(id, context::history_tokens(&profile, *tokens))?,
            None => Vec::new(),
        };
        Ok(Ok((profile, history)))
    };
    shared.store.read(look).await.map_err(internal)?.map_err(|name| {
        ErrorBody::new(ErrorCode::NotFound, format!("payload.profile: there is no model profile called {name:?}"))
    })
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
        notice: None,
        health: roster.health.clone(),
        roll,
    }
}
