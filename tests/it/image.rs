//! Pictures on request, and pictures in answers: from a provider of this file's own to the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, future, stream};
use hearth::adapters::llm::{Answer, Arrival, Provider};
use hearth::common::chat::{ChatRequest, Event, FinishReason, ImagePiece, ImageRequest, Media, Usage};
use hearth::common::config::{Config, ProviderName};
use hearth::common::error::{ErrorCode, Failure, ProviderError};
use hearth::common::events::{News, TurnEvent, TurnFailure, TurnSummary};
use hearth::common::who::{Door, Principal};
use hearth::mcp::Service;
use hearth::router::{Ask, ImageAsk, Input, Job, Mode, Roster, Router};
use hearth::store::{Store, StoredPart};
use jiff::civil::Date;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use crate::world::provider::now;
use crate::world::soon;

/// Says the same to everybody who asks, in words or for a picture, and then stops or says nothing more.
struct Painter {
    says: Result<Vec<Event>, ProviderError>,
    ends: bool,
    asked: Mutex<Vec<ImageRequest>>,
    /// Its receivers hear when an answer was dropped.
    left: watch::Sender<()>,
}

impl Painter {
    fn new(says: Result<Vec<Event>, ProviderError>, ends: bool) -> Arc<Painter> {
        Arc::new(Painter { says, ends, asked: Mutex::default(), left: watch::Sender::new(()) })
    }

    fn answer(&self) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        let events = match &self.says {
            Ok(events) => events.clone(),
            Err(error) => return future::ready(Err(error.clone())).boxed(),
        };
        let held = self.left.subscribe();
        let arrivals = stream::iter(events).map(move |event| {
            let _held = &held;
            Ok(Arrival { received_at: now(), event })
        });
        let answer: Answer = match self.ends {
            true => Box::pin(arrivals),
            false => Box::pin(arrivals.chain(stream::pending())),
        };
        future::ready(Ok(answer)).boxed()
    }
}

impl Provider for Painter {
    fn ask(&self, _: ChatRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        self.answer()
    }

    fn image(&self, request: ImageRequest) -> BoxFuture<'static, Result<Answer, ProviderError>> {
        self.asked.lock().expect("nothing panics with the lock held").push(request);
        self.answer()
    }
}

/// A router with these providers as `openai` and `gemini`, in this order.
struct Studio {
    router: Router,
    store: Store,
    _home: TempDir,
    _config: watch::Sender<Arc<Config>>,
    _roster: watch::Sender<Arc<Roster>>,
}

impl Studio {
    async fn open(painters: &[&Arc<Painter>]) -> Studio {
        let home = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(&home.path().join("hearth.redb")).expect("a new file");
        let mut config = Config::default();
        config.providers.fallback = vec![ProviderName::Gemini];
        config.providers.retries = 0;
        store.seed_profile(&config.model_profile).await.expect("room");
        let mut providers: BTreeMap<ProviderName, Arc<dyn Provider>> = BTreeMap::new();
        for (name, painter) in [ProviderName::Openai, ProviderName::Gemini].into_iter().zip(painters) {
            providers.insert(name, Arc::clone(painter) as Arc<dyn Provider>);
        }
        let (config, configured) = watch::channel(Arc::new(config));
        let (roster, rostered) = watch::channel(Arc::new(Roster { providers, ..Roster::default() }));
        let router = Router::new(configured, rostered, store.clone(), Service::empty());
        Studio { router, store, _home: home, _config: config, _roster: roster }
    }

    /// All news of a job.
    async fn news(&self, job: Job) -> Vec<News> {
        let (out, mut news) = mpsc::channel(64);
        let _turn = self.router.start(job, house(), 1, out);
        let mut told = Vec::new();
        while let Some((_, TurnEvent { news, .. })) = soon("news", news.recv()).await {
            told.push(news);
        }
        told
    }

    async fn painted(&self, ask: ImageAsk) -> (Vec<News>, TurnSummary) {
        let mut news = self.news(Job::Image(ask)).await;
        let Some(News::Done(done)) = news.pop() else { panic!("{news:?}") };
        (news, *done)
    }

    async fn refused(&self, ask: ImageAsk) -> TurnFailure {
        match self.news(Job::Image(ask)).await.pop() {
            Some(News::Failed(failure)) => *failure,
            other => panic!("a failure was expected: {other:?}"),
        }
    }
}

fn cat() -> ImageAsk {
    ImageAsk { prompt: "a cat".into(), n: 2, size: Some("1024x1024".into()), ..ImageAsk::default() }
}

fn media(bytes: &'static [u8]) -> Media {
    Media { mime: "image/png".into(), data: Bytes::from_static(bytes) }
}

fn picture(index: u32, partial: Option<u32>, bytes: &'static [u8]) -> Event {
    Event::Image(Box::new(ImagePiece { index, partial, media: media(bytes) }))
}

fn two_pictures() -> Vec<Event> {
    let usage = Usage { input_tokens: 10, output_tokens: 4000, ..Usage::default() };
    vec![
        Event::Started { model: Some("gpt-image-2.5-flare".into()) },
        picture(0, Some(0), b"zero, at first"),
        picture(1, None, b"one"),
        picture(0, None, b"zero"),
        Event::Usage(Box::new(usage)),
        Event::Finish(FinishReason::Stop),
    ]
}

#[tokio::test]
async fn pictures_come_as_they_are_made_and_are_kept_in_order() {
    let painter = Painter::new(Ok(two_pictures()), true);
    let studio = Studio::open(&[&painter]).await;
    let (news, done) = studio.painted(cat()).await;
    let pieces: Vec<_> = news
        .iter()
        .map(|news| match news {
            News::Image(piece) => (piece.index, piece.partial, &piece.media.data[..]),
            other => panic!("a picture was expected: {other:?}"),
        })
        .collect();
    assert_eq!(pieces, [(0, Some(0), &b"zero, at first"[..]), (1, None, b"one"), (0, None, b"zero")]);
    assert_eq!((&*done.provider, &*done.model, done.messages), ("openai", "gpt-image-2.5-flare", 1));
    assert_eq!(done.image_blobs.len(), 2, "previews are not kept");
    for (id, bytes) in done.image_blobs.iter().zip([&b"zero"[..], b"one"]) {
        assert_eq!(studio.store.blob(id).await.expect("readable"), Some(media(bytes)));
    }
    let rows = studio.store.usage(Date::MIN, Date::MAX).await.expect("readable");
    let [(key, sum)] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((key.provider.as_str(), key.profile.as_str()), ("openai", ""));
    assert_eq!((sum.requests, sum.images, sum.output_tokens), (1, 2, 4000));
    assert!(done.usage.and_then(|usage| usage.cost_usd).is_some_and(|usd| usd > 0.0), "{:?}", done.usage);
    let asked = painter.asked.lock().expect("nothing panics with the lock held");
    assert_eq!(
        (asked[0].model.as_str(), asked[0].n, asked[0].size.as_deref()),
        ("gpt-image-2.5-flare", 2, Some("1024x1024"))
    );
}

#[tokio::test]
async fn whoever_cannot_paint_is_stood_in_for_and_where_nobody_can_that_is_the_error() {
    let cannot = || Painter::new(Err(ProviderError::new(Failure::Unsupported, "makes no pictures")), true);
    let words = Painter::new(Ok(vec![Event::Text("I would rather not".into())]), true);
    let painter = Painter::new(Ok(two_pictures()), true);
    let studio = Studio::open(&[&cannot(), &painter]).await;
    let (news, done) = studio.painted(cat()).await;
    assert_eq!(&*done.provider, "gemini");
    assert!(matches!(&news[0], News::Notice(text) if text.contains("openai: makes no pictures")), "{news:?}");
    let asked = painter.asked.lock().expect("nothing panics with the lock held")[0].model.clone();
    assert_eq!(asked, "gemini-2.5-flash-image");

    let studio = Studio::open(&[&cannot(), &cannot()]).await;
    assert_eq!(studio.refused(cat()).await.error.code, ErrorCode::Unsupported);
    let studio = Studio::open(&[&words]).await;
    let failure = studio.refused(cat()).await;
    assert!(failure.error.message.contains("without a picture"), "{}", failure.error.message);
    let silent = Painter::new(Ok(vec![Event::Finish(FinishReason::Stop)]), true);
    let studio = Studio::open(&[&silent, &painter]).await;
    assert_eq!(studio.painted(cat()).await.1.image_blobs.len(), 2, "an answer without anything is not the end");
}

#[tokio::test]
async fn a_wish_that_cannot_be_is_refused_before_anybody_is_asked() {
    let painter = Painter::new(Ok(two_pictures()), true);
    let studio = Studio::open(&[&painter]).await;
    for (bad, code) in [
        (ImageAsk { n: 5, ..cat() }, ErrorCode::BadRequest),
        (ImageAsk { size: Some("huge".into()), ..cat() }, ErrorCode::BadRequest),
        (ImageAsk { prompt: String::new(), ..cat() }, ErrorCode::BadRequest),
        (ImageAsk { provider: Some("skynet".into()), ..cat() }, ErrorCode::BadRequest),
        (ImageAsk { provider: Some("local".into()), ..cat() }, ErrorCode::Unsupported),
    ] {
        assert_eq!(studio.refused(bad.clone()).await.error.code, code, "{bad:?}");
    }
    assert!(painter.asked.lock().expect("nothing panics with the lock held").is_empty());
}

#[tokio::test]
async fn a_stop_leaves_the_painter_at_once() {
    let painter = Painter::new(Ok(vec![picture(0, Some(0), b"a first glance")]), false);
    let studio = Studio::open(&[&painter]).await;
    let (out, mut news) = mpsc::channel(64);
    let turn = studio.router.start(Job::Image(cat()), house(), 1, out);
    assert!(matches!(soon("a preview", news.recv()).await, Some((1, TurnEvent { news: News::Image(_), .. }))));
    let stopped_at = now();
    drop(turn);
    soon("the end of the connection", painter.left.closed()).await;
    assert!(stopped_at.elapsed() < Duration::from_millis(200));
    let Some((_, TurnEvent { news: News::Failed(failure), .. })) = soon("the end", news.recv()).await else {
        panic!("a failure was expected")
    };
    assert_eq!(failure.error.code, ErrorCode::Cancelled);
}

#[tokio::test]
async fn pictures_in_an_answer_are_kept_with_it() {
    let mut says = vec![Event::Text("Here: ".into())];
    says.extend(two_pictures());
    let painter = Painter::new(Ok(says), true);
    let studio = Studio::open(&[&painter]).await;
    let ask = Ask {
        input: Input::Said {
            text: "Draw me two".into(),
            attachments: vec![media(b"seen")],
            conversation_id: "c".into(),
        },
        profile: None,
        provider: None,
        model: None,
        mode: Mode::Auto,
        confirms: false,
        speak: None,
    };
    let Some(News::Done(done)) = studio.news(Job::Chat(ask)).await.pop() else { panic!("it was whole") };
    let kept = studio.store.messages("c", None, 9).await.expect("readable");
    let blobs = |at: usize| {
        let id = |part: &StoredPart| match part {
            StoredPart::Image { blob_id, .. } => Some(blob_id.clone()),
            _ => None,
        };
        kept[at].parts.iter().filter_map(id).collect::<Vec<_>>()
    };
    assert_eq!((kept[0].text.as_str(), blobs(0).len()), ("Draw me two", 1));
    assert_eq!(kept[1].text, "Here: ");
    // In the message as they came, in the summary by their number.
    let mut ids: Vec<String> = done.image_blobs.iter().map(ToString::to_string).collect();
    ids.reverse();
    assert_eq!(blobs(1), ids);
}

#[tokio::test]
async fn a_picture_that_the_store_does_not_take_costs_nothing_else() {
    let odd = Media { mime: "no kind of a file".into(), data: Bytes::from_static(b"?") };
    let mut says = two_pictures();
    says.insert(1, Event::Image(Box::new(ImagePiece { index: 2, partial: None, media: odd })));
    let painter = Painter::new(Ok(says), true);
    let (news, done) = Studio::open(&[&painter]).await.painted(cat()).await;
    assert_eq!(done.image_blobs.len(), 2);
    assert!(matches!(news.last(), Some(News::Notice(text)) if text.contains("could not be kept")), "{news:?}");
}

fn house() -> Arc<Principal> {
    Arc::new(Principal::house(Door::Websocket))
}
