//! Drives speech: alone, or as a stage between a turn and whoever listens to it. The text passes at once and unchanged; the
//! sound follows it; the end waits for both. Decides nothing about voices.
#![expect(clippy::disallowed_methods, reason = "a driver: it stamps what it tells")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::Zoned;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::common::chat::Usage;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::events::{News, TurnEvent, TurnFailure, TurnSummary};
use crate::common::time::whole_ms;
use crate::router::question::Wish;
use crate::router::run::{self, Outlet};
use crate::router::speaker::{Heard, Speaker, WAITING_BYTES_MAX};
use crate::router::voices::{chain, narrow};
use crate::router::{Ask, Mode, Shared, SpeakAsk, TURNS_MAX, VoiceWish, likes};
use crate::store::{DEFAULT_PROFILE, ModelProfile, ReadError, Snapshot};

/// News of a turn on their way through this stage: few, so that a slow client still holds the provider back.
const INNER_QUEUE_LEN: usize = 4;

/// How long the end waits until it is on the disk what was spoken; it gets there without us as well.
const COUNT_DEADLINE: Duration = Duration::from_secs(2);

/// Somebody to speak, as the config, the mode and the budgets of the house and of this profile allow.
async fn speaker(
    shared: &Shared,
    wish: &VoiceWish,
    mode: Mode,
    profile: Option<&ModelProfile>,
) -> Result<Speaker, ErrorBody> {
    let (config, roster) = (shared.config.borrow().clone(), shared.roster.borrow().clone());
    let liked = profile.and_then(|profile| profile.voice.clone()).filter(|_| wish.voice.is_none());
    let liked = liked.map(|voice| VoiceWish { voice: Some(voice), ..wish.clone() });
    // A voice that is only liked gives way where it cannot speak now.
    let liked = liked.and_then(|wish| chain(&config, &roster.voices, &wish, mode).ok());
    let mut chain = liked.map_or_else(|| chain(&config, &roster.voices, wish, mode), Ok)?;
    let mut notice = None;
    if chain.iter().any(|link| !link.name.is_local()) {
        let verdict = shared.ledger.verdict(&config.budget, profile, &Zoned::now()).await.map_err(internal)?;
        (chain, notice) = narrow(chain, verdict)?;
    }
    let mut speaker = Speaker::new(chain, wish);
    notice.into_iter().for_each(|notice| speaker.notify(notice));
    Ok(speaker)
}

/// The profile that a request goes by, with what the user likes; `None`: there is no such profile.
async fn profile_for(shared: &Shared, outlet: &Outlet, named: Option<&str>) -> Result<Option<ModelProfile>, ErrorBody> {
    let (who, named) = (outlet.who.clone(), named.map(str::to_owned));
    let look = move |store: &Snapshot| likes::profile_for(store, &who, named.as_deref());
    Ok(shared.store.read(look).await.map_err(internal)?.ok())
}

fn internal(error: ReadError) -> ErrorBody {
    ErrorBody::new(ErrorCode::Internal, error.to_string())
}

/// What was written down of the voices of a request.
struct Counted {
    /// Of the voice that spoke last.
    usage: Option<Usage>,
    kept: Vec<JoinHandle<()>>,
}

/// Silence, and an entry for each voice that was asked: one for the whole request, so that no disk wears out by sentences.
fn close(shared: &Shared, user: &str, profile: &str, speaker: Speaker) -> Counted {
    let (budget, today) = (&shared.config.borrow().clone().budget, Zoned::now().date());
    let mut counted = Counted { usage: None, kept: Vec::new() };
    speaker.close(user, profile, |finished| {
        let recorded = shared.ledger.record(budget, finished, today);
        counted.usage = recorded.usage;
        counted.kept.push(recorded.kept);
    });
    counted
}

async fn keep(kept: Vec<JoinHandle<()>>) {
    // What fails, or takes longer, is in the log.
    let _ = timeout(COUNT_DEADLINE, join_all(kept)).await;
}

/// Speaks a text: its sound, then `Done` or `Failed`. Ends early when the other half of `cancelled` is dropped.
pub async fn speak(shared: Arc<Shared>, ask: SpeakAsk, outlet: Outlet, mut cancelled: oneshot::Receiver<Infallible>) {
    let asked_at = Instant::now();
    let mut first_sound_ms = None;
    let mut speaker = None;
    let said = async {
        let Ok(_place) = shared.places.clone().try_acquire_owned() else {
            let busy = format!("the hub is answering {TURNS_MAX} requests already; try again in a moment");
            return Err(ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::RateLimited, busy) });
        };
        let speaker = speaker.insert(prepare(&shared, &outlet, &ask).await?);
        loop {
            let news = match speaker.next().await {
                Heard::Piece(piece) => {
                    first_sound_ms.get_or_insert_with(|| whole_ms(asked_at.elapsed()));
                    News::Audio(Box::new(piece))
                }
                Heard::Notice(notice) => News::Notice(notice.into()),
                Heard::Failed(error) => return Err(error),
                Heard::Finished => return Ok(()),
            };
            let event = TurnEvent { received_at: speaker.received_at(), news };
            if outlet.out.send((outlet.key, event)).await.is_err() {
                return Err(cancelled_body());
            }
        }
    };
    let said = tokio::select! {
        biased;
        _ = &mut cancelled => Err(cancelled_body()),
        said = said => said,
    };
    let total_ms = whole_ms(asked_at.elapsed());
    let (mut voice, mut model, mut sounded, mut usage) = ("", Box::default(), false, None);
    if let Some(speaker) = speaker {
        let link = speaker.voice();
        (voice, model, sounded) = (link.name.as_str(), link.voice.model().into(), speaker.has_sounded());
        let counted = close(&shared, &outlet.who.user, DEFAULT_PROFILE, speaker);
        usage = counted.usage;
        keep(counted.kept).await;
    }
    let news = match said {
        Ok(()) if sounded => News::Done(Box::new(TurnSummary {
            conversation_id: "".into(),
            provider: voice.into(),
            model,
            usage,
            finish: None,
            image_blobs: Vec::new(),
            messages: 1,
            refused: false,
            first_token_ms: first_sound_ms,
            total_ms,
        })),
        Ok(()) => {
            let why = format!("{voice}: there is no sound for this text");
            failed(ErrorBody::new(ErrorCode::ProviderError, why), None, None, first_sound_ms, total_ms)
        }
        Err(error) => failed(error, None, None, first_sound_ms, total_ms),
    };
    // A session that is gone hears no end.
    let _ = outlet.out.send((outlet.key, TurnEvent { received_at: Instant::now(), news })).await;
}

async fn prepare(shared: &Shared, outlet: &Outlet, ask: &SpeakAsk) -> Result<Speaker, ErrorBody> {
    if ask.text.len() > WAITING_BYTES_MAX {
        let why = format!("payload.text: more than {WAITING_BYTES_MAX} bytes cannot be spoken at once");
        return Err(ErrorBody::new(ErrorCode::TooLarge, why));
    }
    let liked = profile_for(shared, outlet, Some(DEFAULT_PROFILE)).await?;
    let mut speaker = speaker(shared, &ask.wish, Mode::Auto, liked.as_ref()).await?;
    speaker.give(&ask.text);
    speaker.end_text();
    if !speaker.has_words() {
        return Err(ErrorBody::new(ErrorCode::BadRequest, "payload.text: there is no word in it to speak"));
    }
    Ok(speaker)
}

/// A turn whose answer is spoken as well. Ends early when the other half of `cancelled` is dropped.
pub async fn accompany(shared: Arc<Shared>, ask: Ask, outlet: Outlet, cancelled: oneshot::Receiver<Infallible>) {
    let profile = profile_for(&shared, &outlet, ask.profile.as_deref()).await.unwrap_or_default();
    let speaker = speaker(&shared, &ask.speak.clone().unwrap_or_default(), ask.mode, profile.as_ref()).await;
    let profile = profile.map_or_else(|| DEFAULT_PROFILE.into(), |profile| profile.name);
    let (inner, news) = mpsc::channel(INNER_QUEUE_LEN);
    let (alive, inner_cancelled) = oneshot::channel();
    let turn = run::run(
        Arc::clone(&shared),
        Wish::Chat(ask),
        Outlet { key: outlet.key, who: outlet.who.clone(), out: inner },
        inner_cancelled,
    );
    let mut stage = Stage {
        shared,
        profile,
        outlet,
        waiting: VecDeque::new(),
        speaker: None,
        counted: Vec::new(),
        held: None,
        alive: Some(alive),
        ended: false,
    };
    match speaker {
        Ok(speaker) => stage.speaker = Some(speaker),
        Err(error) => stage.tell(News::Notice(not_spoken(&error).into())),
    }
    // Boxed: it is held beside the turn's own future, and hundreds of turns may run.
    Box::pin(stage.drive(turn, news, cancelled)).await;
}

struct Stage {
    shared: Arc<Shared>,
    /// Whose budget it is, by its name.
    profile: String,
    outlet: Outlet,
    /// What has no place in the outlet yet: at most one thing of the turn and what belongs to it.
    waiting: VecDeque<TurnEvent>,
    /// As long as there may be something to speak.
    speaker: Option<Speaker>,
    /// What was spoken, on its way to the disk.
    counted: Vec<JoinHandle<()>>,
    /// The turn's `Done`, held back until all is spoken.
    held: Option<TurnEvent>,
    /// Dropped, it cancels the turn.
    alive: Option<oneshot::Sender<Infallible>>,
    /// The last news are waiting, or gone.
    ended: bool,
}

impl Stage {
    async fn drive(
        mut self,
        turn: impl Future<Output = ()>,
        mut news: mpsc::Receiver<(u32, TurnEvent)>,
        mut cancelled: oneshot::Receiver<Infallible>,
    ) {
        let mut turn = pin!(turn);
        let mut turn_runs = true;
        let out = self.outlet.out.clone();
        while !(self.ended && self.waiting.is_empty()) {
            let is_free = self.waiting.is_empty();
            let sound = async {
                match &mut self.speaker {
                    Some(speaker) => speaker.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = &mut cancelled, if !cancelled.is_terminated() => self.cancel(),
                place = out.reserve(), if !is_free => {
                    // The session is gone: the turn ends by itself, and keeps what it has.
                    let Ok(place) = place else { break };
                    let event = self.waiting.pop_front().expect("it was looked at before");
                    if event.news.is_last() {
                        keep(std::mem::take(&mut self.counted)).await;
                    }
                    place.send((self.outlet.key, event));
                }
                () = &mut turn, if turn_runs => turn_runs = false,
                event = news.recv(), if is_free && self.held.is_none() => match event {
                    Some((_, event)) => self.pass(event),
                    None => self.ended = true,
                },
                heard = sound, if is_free => self.hear(heard),
            }
        }
        self.hush();
        drop((self, news));
        if turn_runs {
            turn.await;
        }
    }

    /// Passes on what the turn says, and has its text spoken.
    fn pass(&mut self, event: TurnEvent) {
        match (&event.news, &mut self.speaker) {
            (News::Text(text), Some(speaker)) => speaker.give(text),
            // Another provider goes on: a paragraph of its own.
            (News::Message(_), Some(speaker)) => speaker.give("\n\n"),
            (News::Done(_), Some(speaker)) => {
                speaker.end_text();
                self.held = Some(event);
                return;
            }
            (News::Failed(failure), Some(speaker)) => {
                let last = speaker.last_piece().filter(|_| failure.error.code != ErrorCode::Cancelled);
                self.hush();
                if let Some(piece) = last {
                    self.tell(News::Audio(Box::new(piece)));
                }
            }
            _ => {}
        }
        self.ended = event.news.is_last();
        self.waiting.push_back(event);
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Piece(piece) => {
                let received_at = self.speaker.as_ref().map_or_else(Instant::now, Speaker::received_at);
                self.waiting.push_back(TurnEvent { received_at, news: News::Audio(Box::new(piece)) });
            }
            Heard::Notice(notice) => self.tell(News::Notice(notice.into())),
            Heard::Failed(error) => {
                self.tell(News::Notice(not_spoken(&error).into()));
                self.release();
            }
            Heard::Finished => self.release(),
        }
    }

    /// Nothing more is spoken: the end that waited for it may go.
    fn release(&mut self) {
        self.hush();
        if let Some(done) = self.held.take() {
            // Stamped anew: that it waited is no delay of the hub's.
            self.tell(done.news);
            self.ended = true;
        }
    }

    /// Silence at once; the turn says itself how it ends, unless it has ended.
    fn cancel(&mut self) {
        self.alive = None;
        self.hush();
        self.waiting.retain(|event| !matches!(event.news, News::Audio(_)));
        if let Some(TurnEvent { news: News::Done(done), .. }) = self.held.take() {
            let TurnSummary { provider, model, first_token_ms, total_ms, .. } = *done;
            self.tell(failed(cancelled_body(), Some(provider), Some(model), first_token_ms, total_ms));
            self.ended = true;
        }
    }

    /// Nobody speaks any more, and it is written down who did.
    fn hush(&mut self) {
        if let Some(speaker) = self.speaker.take() {
            self.counted.extend(close(&self.shared, &self.outlet.who.user, &self.profile, speaker).kept);
        }
    }

    fn tell(&mut self, news: News) {
        self.waiting.push_back(TurnEvent { received_at: Instant::now(), news });
    }
}

fn not_spoken(error: &ErrorBody) -> String {
    format!("the answer is not spoken: {}", error.message)
}

fn cancelled_body() -> ErrorBody {
    ErrorBody::new(ErrorCode::Cancelled, "stopped on request")
}

fn failed(
    error: ErrorBody,
    provider: Option<Box<str>>,
    model: Option<Box<str>>,
    first_token_ms: Option<u64>,
    total_ms: u64,
) -> News {
    News::Failed(Box::new(TurnFailure { error, provider, model, first_token_ms, total_ms }))
}
