//! A provider and a voice on strings: they hand a string to the test for each thing asked, and what the test sends down it is
//! their answer. To drop a string ends the answer; that nobody listens any more is seen at its other end.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use hearth::adapters::llm::{Answer, Arrival, Provider};
use hearth::adapters::speech::{Speech, Spoken, Voice};
use hearth::common::chat::{ChatRequest, Event};
use hearth::common::error::ProviderError;
use hearth::common::speech::{AudioFormat, SpeechRequest};
use tokio::sync::mpsc;

use super::provider::now;
use super::soon;

/// What waits on a string at most.
const STRING_LEN: usize = 4;

/// The string of one answer.
pub type Answering = mpsc::Sender<Result<Event, ProviderError>>;

/// A provider, and the strings of what it is asked.
pub fn provider() -> (Arc<dyn Provider>, mpsc::UnboundedReceiver<Answering>) {
    let (tell, asked) = mpsc::unbounded_channel();
    (Arc::new(Teller(tell)), asked)
}

struct Teller(mpsc::UnboundedSender<Answering>);

impl Provider for Teller {
    fn ask(&self, _: ChatRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let (string, said) = mpsc::channel::<Result<Event, ProviderError>>(STRING_LEN);
        self.0.send(string).expect("the test listens");
        let arrival = |event: Result<_, _>| event.map(|event| Arrival { received_at: now(), event });
        let answer = stream::unfold(said, |mut said| async { Some((said.recv().await?, said)) }).map(arrival);
        Box::pin(std::future::ready(Ok(answer.boxed() as Answer)))
    }
}

/// One sentence that a voice was asked for.
pub struct Sentence {
    pub request: SpeechRequest,
    pub string: mpsc::Sender<Result<Bytes, ProviderError>>,
}

/// A voice, and what it is asked.
pub fn voice() -> (Arc<dyn Voice>, mpsc::UnboundedReceiver<Sentence>) {
    let (tell, asked) = mpsc::unbounded_channel();
    (Arc::new(Singer(tell)), asked)
}

struct Singer(mpsc::UnboundedSender<Sentence>);

impl Voice for Singer {
    fn say(&self, request: SpeechRequest) -> BoxFuture<'static, Result<Speech, ProviderError>> {
        let (string, sound) = mpsc::channel::<Result<Bytes, ProviderError>>(STRING_LEN);
        self.0.send(Sentence { request, string }).expect("the test listens");
        let sound = stream::unfold(sound, |mut sound| async { Some((sound.recv().await?, sound)) });
        let sound = sound.map(|sound| sound.map(Spoken::Sound));
        Box::pin(std::future::ready(Ok(sound.boxed() as Speech)))
    }

    fn formats(&self) -> &[AudioFormat] {
        &[AudioFormat::Pcm, AudioFormat::Opus]
    }

    fn model(&self) -> &str {
        "puppet"
    }
}

impl Sentence {
    /// Sings so many milliseconds of a sound that is no silence.
    pub async fn sing(&self, ms: usize) {
        let sound = Bytes::from([0x00, 0x10].repeat(24 * ms));
        soon("a place on the string", self.string.send(Ok(sound))).await.expect("somebody listens");
    }

    pub async fn fail(&self, error: ProviderError) {
        soon("a place on the string", self.string.send(Err(error))).await.expect("somebody listens");
    }
}
