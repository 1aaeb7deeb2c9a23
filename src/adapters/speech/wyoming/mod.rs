//! A speech server that speaks the Wyoming protocol, such as Piper's: one connection for each sentence. Holds the socket; what
//! the bytes mean is `wire`'s business.

pub mod wire;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::wire::{Event, Parser, VoiceInfo};
use super::pcm::{Converter, Form};
use super::{Setup, Speech, Spoken, Voice};
use crate::adapters::llm::complaint::KeyPlace;
use crate::common::error::{Failure, ProviderError};
use crate::common::speech::{AudioFormat, SpeechRequest};

/// Until a connection stands. The server is in the house.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

/// For the list of voices.
const DESCRIBE_DEADLINE: Duration = Duration::from_secs(5);

/// What is read at once, bytes.
const READ_BYTES: usize = 16 * 1024;

/// A speech server.
pub struct Wyoming {
    /// `host:port`.
    place: String,
    voice: Option<String>,
    /// What the server said of its voices, asked once.
    voices: Arc<Mutex<Option<Arc<Vec<VoiceInfo>>>>>,
}

pub fn build(Setup { config, .. }: Setup<'_>) -> Arc<dyn Voice> {
    let wyoming = &config.speech.wyoming;
    Arc::new(Wyoming { place: place(&wyoming.url), voice: wyoming.voice.clone(), voices: Arc::default() })
}

fn place(url: &str) -> String {
    url.trim_start_matches("tcp://").trim_end_matches('/').to_owned()
}

/// The voices of the server at `url` (`speech.wyoming.url`), as it tells them now.
pub async fn voices(url: &str) -> Result<Arc<Vec<VoiceInfo>>, ProviderError> {
    Connection::open(&place(url)).await?.voices(&Mutex::default()).await
}

impl Voice for Wyoming {
    fn say(&self, request: SpeechRequest) -> BoxFuture<'static, Result<Speech, ProviderError>> {
        let (place, voices) = (self.place.clone(), Arc::clone(&self.voices));
        let name = request.voice.or_else(|| self.voice.clone());
        async move {
            let mut connection = Connection::open(&place).await?;
            let name = match (name, &request.lang) {
                (None, Some(lang)) => {
                    let voices = connection.voices(&voices).await?;
                    wire::voice_for(&voices, lang).map(str::to_owned)
                }
                (name, _) => name,
            };
            connection.ask(&wire::synthesize(&request.text, name.as_deref(), request.lang.as_deref())).await?;
            let sound = stream::try_unfold(Speaking { connection, converter: None, ended: false }, Speaking::next);
            Ok(sound.boxed())
        }
        .boxed()
    }

    fn formats(&self) -> &[AudioFormat] {
        &[AudioFormat::Pcm]
    }

    fn model(&self) -> &str {
        "wyoming"
    }
}

struct Connection {
    socket: TcpStream,
    place: String,
    parser: Parser,
}

impl Connection {
    async fn open(place: &str) -> Result<Connection, ProviderError> {
        let hint = "Is the speech server running? Check speech.wyoming.url.";
        let unreachable = |why: String| ProviderError::new(Failure::Unreachable, format!("{place}: {why}. {hint}"));
        let socket = match timeout(CONNECT_DEADLINE, TcpStream::connect(place)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return Err(unreachable(error.to_string())),
            Err(_) => return Err(unreachable(format!("no connection within {} s", CONNECT_DEADLINE.as_secs()))),
        };
        // Without it the request may wait for an acknowledgement; speaking goes on all the same.
        let _ = socket.set_nodelay(true);
        Ok(Connection { socket, place: place.to_owned(), parser: Parser::default() })
    }

    async fn ask(&mut self, bytes: &[u8]) -> Result<(), ProviderError> {
        self.socket.write_all(bytes).await.map_err(|error| self.broke(&error))
    }

    /// The next event. An end of the connection is an error: a server says when it is done.
    async fn next(&mut self) -> Result<Event, ProviderError> {
        loop {
            if let Some(event) = self.parser.next_event()? {
                return match event {
                    Event::Error(said) => {
                        let said = KeyPlace::default().hide(&said);
                        Err(ProviderError::new(Failure::Failed, format!("{}: {said}", self.place)))
                    }
                    event => Ok(event),
                };
            }
            let mut buffer = [0; READ_BYTES];
            match self.socket.read(&mut buffer).await {
                Ok(0) => {
                    let why = format!("{} closed the connection before all was spoken", self.place);
                    return Err(ProviderError::new(Failure::CutOff, why));
                }
                Ok(count) => self.parser.push(&buffer[..count]),
                Err(error) => return Err(self.broke(&error)),
            }
        }
    }

    /// The server's voices, from memory where they were asked for before.
    async fn voices(
        &mut self,
        known: &Mutex<Option<Arc<Vec<VoiceInfo>>>>,
    ) -> Result<Arc<Vec<VoiceInfo>>, ProviderError> {
        let kept = known.lock().expect("nothing panics with the lock held").clone();
        if let Some(voices) = kept {
            return Ok(voices);
        }
        self.ask(&wire::describe()).await?;
        let telling = async {
            loop {
                if let Event::Voices(voices) = self.next().await? {
                    return Ok(Arc::new(voices));
                }
            }
        };
        let told: Result<_, ProviderError> = timeout(DESCRIBE_DEADLINE, telling).await.unwrap_or_else(|_| {
            let why = format!("it did not name its voices within {} s", DESCRIBE_DEADLINE.as_secs());
            Err(ProviderError::new(Failure::Timeout, why))
        });
        let voices = told?;
        *known.lock().expect("nothing panics with the lock held") = Some(Arc::clone(&voices));
        Ok(voices)
    }

    fn broke(&self, error: &std::io::Error) -> ProviderError {
        ProviderError::new(Failure::CutOff, format!("{}: the connection broke: {error}", self.place))
    }
}

/// An answer on its way. Dropping it closes the connection.
struct Speaking {
    connection: Connection,
    converter: Option<(Form, Converter)>,
    ended: bool,
}

impl Speaking {
    async fn next(mut self) -> Result<Option<(Spoken, Speaking)>, ProviderError> {
        while !self.ended {
            let sound = match self.connection.next().await? {
                Event::Start(form) => {
                    self.form(form)?;
                    continue;
                }
                Event::Sound { form, samples } => self.form(form)?.push(samples),
                Event::Stop => {
                    self.ended = true;
                    self.converter.as_mut().map_or_else(Bytes::new, |(_, converter)| converter.finish())
                }
                Event::Voices(_) | Event::Error(_) | Event::Other => continue,
            };
            if !sound.is_empty() {
                return Ok(Some((Spoken::Sound(sound), self)));
            }
        }
        Ok(None)
    }

    /// The converter of this form, which is that of the whole sentence.
    fn form(&mut self, form: Form) -> Result<&mut Converter, ProviderError> {
        let (known, converter) = match self.converter.take() {
            Some(converter) => converter,
            None => (form, Converter::new(form)?),
        };
        if known != form {
            return Err(ProviderError::new(Failure::BadStream, "the form of its sound changes within a sentence"));
        }
        Ok(&mut self.converter.insert((known, converter)).1)
    }
}
