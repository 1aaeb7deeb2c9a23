//! The tool `ask`: the assistant of the house for those who come through another door than a chat. A model that is itself
//! answering may not use it: it would ask itself.

use std::sync::{Arc, OnceLock, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::common::chat::Usage;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::events::{News, TurnSummary};
use crate::common::ids;
use crate::common::who::{Door, Role};
use crate::mcp::{Annotations, Call, Definition, Fault, Note, Outcome, Tool, ToolOutput};
use crate::router::{Ask, Input, Job, Mode, Router, Shared};

/// Its name.
pub const ASK: &str = "ask";

/// News that wait at most.
const QUEUE_LEN: usize = 16;

/// The longest question, bytes.
const QUESTION_BYTES_MAX: usize = 64 * 1024;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// What is asked, in any language.
    question: String,
    /// A conversation that goes on: 1 to 64 of A-Z a-z 0-9 _ -. Absent: a new one.
    conversation_id: Option<String>,
    /// A model profile. Absent: `default`.
    profile: Option<String>,
    /// Who may answer: `auto`, `local` (on this machine only) or `llm` (never the built-in assistant).
    mode: Option<Mode>,
}

#[derive(Serialize, JsonSchema)]
struct Answered {
    text: String,
    conversation_id: String,
    provider: String,
    model: String,
    /// What the answer took, where the provider counts.
    usage: Option<Used>,
}

/// See [`Usage`].
#[derive(Serialize, JsonSchema)]
struct Used {
    input_tokens: u64,
    output_tokens: u64,
    /// US dollars.
    cost_usd: Option<f64>,
}

/// See the module. The registry is there before the router, which is bound to it later.
pub struct AskTool {
    definition: Arc<Definition>,
    router: OnceLock<Weak<Shared>>,
}

impl Default for AskTool {
    fn default() -> AskTool {
        AskTool::new()
    }
}

impl AskTool {
    pub fn new() -> AskTool {
        let definition = Definition::native::<Arguments, Answered>(
            ASK,
            "Ask the assistant",
            "Asks the assistant of this house a question, or tells it what to do, in plain words. It answers with what it knows and \
             may use the tools of the house itself. Give the conversation_id of an earlier answer to go on from there.",
            Annotations {
                read_only: Some(false),
                destructive: Some(false),
                idempotent: Some(false),
                open_world: Some(true),
            },
            Role::Guest,
        );
        AskTool { definition: Arc::new(definition), router: OnceLock::new() }
    }

    /// Has the questions answered by this one. The tool does not keep it alive.
    pub fn bind(&self, router: &Router) {
        let is_first = self.router.set(Arc::downgrade(&router.shared)).is_ok();
        assert!(is_first, "a hub has one router");
    }
}

impl Tool for AskTool {
    fn definition(&self) -> Arc<Definition> {
        Arc::clone(&self.definition)
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Outcome, Fault>> {
        let router = self.router.get().and_then(Weak::upgrade).map(|shared| Router { shared });
        async move {
            if call.who.door == Door::Model {
                let why =
                    "a model that answers cannot ask the assistant, since that is itself: answer the question yourself";
                return Err(Fault::new(ErrorCode::Forbidden, why));
            }
            let Some(router) = router else {
                return Err(Fault::new(
                    ErrorCode::Offline,
                    "the assistant is not there yet, or not any more: try again",
                ));
            };
            answer(router, call).await
        }
        .boxed()
    }
}

async fn answer(router: Router, call: Call) -> Result<Outcome, Fault> {
    let refuse = |why: String| Err(Fault::new(ErrorCode::BadRequest, why));
    let arguments: Arguments = match serde_json::from_value(call.arguments.into()) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(error.to_string()),
    };
    if arguments.question.trim().is_empty() || arguments.question.len() > QUESTION_BYTES_MAX {
        return refuse(format!("question: 1 to {QUESTION_BYTES_MAX} bytes"));
    }
    let conversation_id = arguments.conversation_id.unwrap_or_else(|| ids::fresh('c'));
    if !ids::is_conversation_id(&conversation_id) {
        return refuse(format!("conversation_id: 1 to {} of A-Z, a-z, 0-9, _ and -", ids::CONVERSATION_ID_BYTES_MAX));
    }
    let ask = Ask {
        input: Input::Said { text: arguments.question, attachments: Vec::new(), conversation_id },
        profile: arguments.profile,
        provider: None,
        model: None,
        mode: arguments.mode.unwrap_or_default(),
        speak: None,
        confirms: false,
    };
    let (out, mut news) = mpsc::channel(QUEUE_LEN);
    let _turn = router.start(Job::Chat(ask), call.who, 0, out);
    let (mut text, mut pieces) = (String::new(), 0.0);
    while let Some((_, event)) = news.recv().await {
        match event.news {
            News::Text(piece) => {
                text.push_str(&piece);
                pieces += 1.0;
                if let Some(tell) = &call.reach.progress {
                    tell(Note { progress: pieces, total: None, message: Some(piece.into()) });
                }
            }
            News::Done(summary) => return Ok(Outcome::Done(done(text, *summary))),
            News::Failed(failure) => return Err(failure.error.into()),
            _ => {}
        }
    }
    Err(ErrorBody::new(ErrorCode::Internal, "the answer broke off").into())
}

fn done(text: String, summary: TurnSummary) -> ToolOutput {
    let used =
        |Usage { input_tokens, output_tokens, cost_usd, .. }: Usage| Used { input_tokens, output_tokens, cost_usd };
    let answered = Answered {
        text: text.clone(),
        conversation_id: summary.conversation_id.into(),
        provider: summary.provider.into(),
        model: summary.model.into(),
        usage: summary.usage.map(used),
    };
    let structured = serde_json::to_value(&answered).expect("plain data is JSON");
    // The words are for whoever reads words; all else stands beside them.
    ToolOutput { structured: Some(structured), ..ToolOutput::text(text) }
}
