//! Keeps what a turn brought: question and answer together, so that the history never holds one without the other, and the
//! pictures beside them. Decides what is kept; how is the store's business.

use std::time::Duration;

use tokio::time::timeout;

use crate::common::chat::{Media, Part, Role};
use crate::common::time::UnixMillis;
use crate::router::asking::Said;
use crate::router::question::Question;
use crate::router::turn::{Saved, Turn};
use crate::router::{Input, context};
use crate::store::{NewMessage, Store, TEXT_BYTES_MAX, WriteError};

/// Keeping the answer may delay its `complete` by at most so long.
pub const SAVE_DEADLINE: Duration = Duration::from_secs(5);

/// Keeps the messages of an answer with their question, and says what the user should know of it. An answer without
/// anything in it leaves nothing, and neither does a conversation that the client brought along.
pub async fn keep(store: &Store, question: &Question, turn: &Turn, said: Vec<Said>, now_ms: UnixMillis) -> Saved {
    if said.is_empty() || matches!(question.input(), Some(Input::Brought(_))) {
        return Saved::default();
    }
    let too_long = said.iter().any(|said| said.message.text().len() > TEXT_BYTES_MAX);
    let keeper = question.keeper();
    let keeping = async {
        let (image_blobs, refused) = keep_pictures(store, &said).await?;
        if let Some(Input::Said { text, attachments, conversation_id }) = question.input() {
            let question = message(context::question(text, attachments), now_ms);
            let answer = said.into_iter().map(|said| answer(turn, said, now_ms));
            store.append(keeper, conversation_id, [question].into_iter().chain(answer).collect()).await?;
        }
        Ok::<_, WriteError>((image_blobs, refused))
    };
    let problem = match timeout(SAVE_DEADLINE, keeping).await {
        Ok(Ok((image_blobs, refused))) => {
            let cut = too_long.then(|| format!("only the first {TEXT_BYTES_MAX} bytes of this answer were kept"));
            let refused = refused.map(|why| format!("a picture could not be kept: {why}"));
            return Saved { notice: cut.or(refused), image_blobs };
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the disk took longer than {} s", SAVE_DEADLINE.as_secs()),
    };
    let conversation_id = question.input().and_then(Input::conversation_id);
    tracing::warn!(conversation_id, problem, "an answer could not be kept");
    let what = if question.input().is_some() {
        "this exchange could not be kept in the history"
    } else {
        "the pictures could not be kept"
    };
    Saved { notice: Some(format!("{what}: {problem}")), image_blobs: Vec::new() }
}

/// Keeps all pictures of an answer, and gives their ids message by message in the order of their index; and why one of them
/// is none that the store takes, which is no reason to lose the others.
async fn keep_pictures(store: &Store, said: &[Said]) -> Result<(Vec<Box<str>>, Option<WriteError>), WriteError> {
    let (mut ids, mut refused) = (Vec::new(), None);
    for said in said {
        let media = said.message.parts.iter().filter_map(picture);
        let mut pictures: Vec<(u32, &Media)> = said.pictures.iter().copied().zip(media).collect();
        pictures.sort_by_key(|(index, _)| *index);
        for (_, picture) in pictures {
            match store.put_blob(&picture.mime, picture.data.clone()).await {
                Ok(id) => ids.push(id.into()),
                Err(error @ (WriteError::Invalid(_) | WriteError::TooLarge { .. })) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
    }
    Ok((ids, refused))
}

fn picture(part: &Part) -> Option<&Media> {
    match part.plain() {
        Some(Part::Image(media)) => Some(media),
        _ => None,
    }
}

fn answer(turn: &Turn, said: Said, now_ms: UnixMillis) -> NewMessage {
    if said.message.role == Role::Tool {
        return message(said.message, now_ms);
    }
    let link = turn.link(said.link);
    let mut kept = message(said.message, now_ms);
    kept.partial = said.partial || kept.text.len() > TEXT_BYTES_MAX;
    kept.text.truncate(kept.text.floor_char_boundary(TEXT_BYTES_MAX));
    let reasoning = Some(said.reasoning).filter(|reasoning| !reasoning.is_empty());
    let (provider, model) = (Some(link.name.as_str().to_owned()), Some(link.model.clone()));
    NewMessage { reasoning, provider, model, ..kept }
}

/// A message for the store, which wants parts only where they are more than a text.
fn message(said: crate::common::chat::Message, at_ms: UnixMillis) -> NewMessage {
    let text = said.text();
    let is_text = matches!(said.parts[..], [Part::Text(_)]);
    let parts = if is_text { Vec::new() } else { said.parts };
    let role = if said.role == Role::System { Role::Assistant } else { said.role };
    NewMessage { parts, ..NewMessage::new(role, text, at_ms) }
}
