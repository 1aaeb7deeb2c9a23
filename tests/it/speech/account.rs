//! What was spoken is counted, priced and kept, one entry for each voice of a request; and a used-up budget has the house speak.

use std::sync::Arc;
use std::time::Duration;

use hearth::adapters::speech::VoiceName;
use hearth::common::chat::{Event, FinishReason, Usage};
use hearth::common::config::{Config, ModelProfileSeed, Price, ProviderName, SpeechChoice};
use hearth::common::error::{ErrorCode, Failure, ProviderError};
use hearth::common::events::News;
use hearth::common::speech::AudioFormat;
use hearth::router::VoiceWish;
use hearth::store::{UsageKey, UsageSum};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{House, chat, notices, pieces, speak, summary, voice};
use crate::world::client::Client;
use crate::world::hub;
use crate::world::provider::{FakeProvider, Script};
use crate::world::puppets::{self, Sentence};
use crate::world::soon;

/// The price of a million characters of `tts-1`, US dollars, of the hub's own table.
const TTS_1: f64 = 15.0;

struct Room {
    house: House,
    cloud: mpsc::UnboundedReceiver<Sentence>,
    espeak: mpsc::UnboundedReceiver<Sentence>,
}

fn room() -> Room {
    let ((first, cloud), (second, espeak)) = (puppets::voice(), puppets::voice());
    let mut config = Config::default();
    config.speech.active = SpeechChoice::Openai;
    // The puppet's model: a dollar a million tokens in, two out.
    config.budget.prices.insert("puppet".into(), Price { input: 1.0, output: 2.0, cached: None });
    let voices = vec![(VoiceName::Openai, first), (VoiceName::Espeak, second)];
    Room { house: House::new(config, None, voices), cloud, espeak }
}

async fn asked(of: &mut mpsc::UnboundedReceiver<Sentence>) -> Sentence {
    soon("a sentence to speak", of.recv()).await.expect("a voice")
}

/// All entries of the books.
async fn entries(house: &House) -> Vec<(UsageKey, UsageSum)> {
    let today = jiff::Zoned::now().date();
    house.store.usage(today.first_of_month(), today.last_of_month()).await.expect("a store that reads")
}

/// The entry of a voice, once it is on the disk.
async fn entry(house: &House, voice: &str) -> (UsageKey, UsageSum) {
    let looking = async {
        loop {
            if let Some(found) = entries(house).await.into_iter().find(|(key, _)| key.provider == voice) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon("an entry", looking).await
}

#[tokio::test]
async fn a_request_is_one_entry_whatever_its_sentences() {
    let mut room = room();
    let mut heard = room.house.start(speak("Grüße. Two is here. Three.", "", AudioFormat::Pcm), 64);
    for _ in 0..3 {
        asked(&mut room.cloud).await.sing(50).await;
    }
    let news = heard.rest().await;
    let usage = summary(&news).usage.expect("a guess of its cost at least");
    let all = entries(&room.house).await;
    let [(key, sum)] = &all[..] else { panic!("{all:?}") };
    assert_eq!((key.user.as_str(), key.profile.as_str(), key.provider.as_str()), ("house", "default", "openai"));
    assert_eq!(key.model, "puppet");
    assert_eq!((sum.requests, sum.failed, sum.speech_characters), (1, 0, 6 + 12 + 6));
    assert_eq!((sum.unpriced_requests, sum.estimated_requests), (0, 1), "its price is for tokens that nobody counted");
    assert!(sum.cost_nano_usd > 0);
    assert_eq!(usage.cost_usd, Some(sum.cost_nano_usd as f64 / 1e9));
}

#[tokio::test]
async fn a_stop_counts_what_was_taken_on_and_no_more() {
    let mut room = room();
    let mut heard = room.house.start(speak("One is here. Two is here. Three is here.", "", AudioFormat::Pcm), 64);
    let one = asked(&mut room.cloud).await;
    let _ahead = asked(&mut room.cloud).await;
    one.sing(60).await;
    while !matches!(heard.next().await, News::Audio(_)) {}
    heard.cancel();
    soon("a voice that is left", one.string.closed()).await;
    heard.rest().await;
    let (_, sum) = entry(&room.house, "openai").await;
    assert_eq!((sum.requests, sum.failed), (1, 1));
    assert_eq!(sum.speech_characters, 24, "the sentence ahead is paid for, the third was never asked");
}

#[tokio::test]
async fn whoever_stands_in_has_an_entry_of_his_own() {
    let mut room = room();
    let mut heard = room.house.start(speak("One is here. Two is here.", "", AudioFormat::Pcm), 64);
    asked(&mut room.cloud).await.fail(ProviderError::new(Failure::QuotaExhausted, "no credit")).await;
    for _ in 0..2 {
        asked(&mut room.espeak).await.sing(50).await;
    }
    let news = heard.rest().await;
    assert_eq!(summary(&news).usage, Some(Usage { cost_usd: Some(0.0), ..Usage::default() }));
    let (_, sum) = entry(&room.house, "openai").await;
    assert_eq!((sum.requests, sum.failed, sum.speech_characters, sum.cost_nano_usd), (1, 1, 0, 0), "silence is free");
    let (_, sum) = entry(&room.house, "espeak").await;
    assert_eq!((sum.requests, sum.failed, sum.speech_characters, sum.cost_nano_usd), (1, 0, 24, 0));
}

#[tokio::test]
async fn an_answer_that_is_spoken_counts_for_its_profile_stopped_or_not() {
    let ((cloud, mut sentences), (teller, mut questions)) = (puppets::voice(), puppets::provider());
    let mut config = Config::default();
    config.speech.active = SpeechChoice::Openai;
    let house = House::new(config, Some(teller), vec![(VoiceName::Openai, cloud)]);
    house.store.seed_profile(&ModelProfileSeed::default()).await.expect("a fresh store takes a profile");
    for (stops, characters, failed) in [(false, 12, 0), (true, 24, 1)] {
        let mut heard = house.start(chat(VoiceWish::default()), 64);
        let string = soon("a question", questions.recv()).await.expect("a provider");
        string.send(Ok(Event::Text("One is here.\n\n".into()))).await.expect("the turn listens");
        let one = asked(&mut sentences).await;
        one.sing(60).await;
        while !matches!(heard.next().await, News::Audio(_)) {}
        if stops {
            heard.cancel();
        } else {
            drop(one);
            string.send(Ok(Event::Finish(FinishReason::Stop))).await.expect("the turn listens");
        }
        drop(string);
        heard.rest().await;
        let (key, sum) = entry(&house, "openai").await;
        assert_eq!((key.profile.as_str(), sum.speech_characters, sum.failed), ("default", characters, failed));
    }
}

#[tokio::test]
async fn past_a_limit_espeak_speaks_or_nobody() {
    let mut room = room();
    room.house.config.send_modify(|config| Arc::make_mut(config).budget.day_usd = Some(1e-9));
    let mut heard = room.house.start(speak("One is here.", "", AudioFormat::Pcm), 64);
    asked(&mut room.cloud).await.sing(50).await;
    assert_eq!(notices(&heard.rest().await).len(), 0, "the limit is not reached yet");

    let mut heard = room.house.start(speak("One is here.", "nova", AudioFormat::Pcm), 64);
    asked(&mut room.espeak).await.sing(50).await;
    let news = heard.rest().await;
    let told = notices(&news);
    assert!(told.len() == 1 && told[0].starts_with("espeak speaks, since the day's budget is used up"), "{told:?}");
    assert!(matches!(news[0], News::Notice(_)), "told before it is heard: {news:?}");
    assert_eq!((&*summary(&news).provider, pieces(&news).is_empty()), ("espeak", false));

    assert!(room.cloud.try_recv().is_err(), "nobody asks whom nobody may pay");
}

#[tokio::test]
async fn past_a_limit_without_a_voice_in_the_house_nobody_speaks() {
    let (voice, mut cloud) = puppets::voice();
    let mut config = Config::default();
    config.speech.active = SpeechChoice::Openai;
    config.budget.day_usd = Some(1e-9);
    config.budget.prices.insert("puppet".into(), Price { input: 1.0, output: 2.0, cached: None });
    let house = House::new(config, None, vec![(VoiceName::Openai, voice)]);
    let mut heard = house.start(speak("One is here.", "", AudioFormat::Opus), 64);
    asked(&mut cloud).await.sing(50).await;
    summary(&heard.rest().await);
    let news = house.start(speak("One is here.", "", AudioFormat::Opus), 64).rest().await;
    let [News::Failed(failure)] = &news[..] else { panic!("{news:?}") };
    assert_eq!(failure.error.code, ErrorCode::BudgetExhausted);
    assert!(failure.error.message.contains("budget.day_usd"), "{}", failure.error.message);
    assert!(cloud.try_recv().is_err(), "nobody asks whom nobody may pay");
}

/// `GET` on the hub, whose answer is JSON.
async fn get(address: std::net::SocketAddr, path: &str) -> Value {
    let url = format!("http://{address}{path}");
    let asking = tokio::task::spawn_blocking(move || {
        let mut answer = ureq::get(&url).call().unwrap_or_else(|error| panic!("{url}: {error}"));
        answer.body_mut().read_json().expect("JSON")
    });
    asking.await.expect("no panic")
}

#[tokio::test]
async fn characters_and_their_price_are_told_by_the_door() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: audio/pcm\r\ntransfer-encoding: chunked\r\n\r\n";
    let cloud = FakeProvider::start(Script::default().raw(head).chunk(&[7; 4800]).body_end()).await;
    let hub = hub::start_with(&cloud, |config| {
        config.providers.active = ProviderName::Openai;
        config.providers.openai.base_url = cloud.base_url();
        config.providers.openai.api_key_env = None;
        config.speech.active = SpeechChoice::Openai;
        config.speech.openai.model = "tts-1".into();
    })
    .await;
    let mut client = Client::v2(hub.address).await;
    let text = "One is here. Two is here.";
    client.send(&json!({"action": "speak", "request_id": "s", "payload": {"text": text}})).await;
    let answer = client.answer("s").await;
    let usd = 24.0 * TTS_1 / 1e6;
    assert_eq!(answer.metadata()["usage"]["cost_usd"], usd, "{}", answer.metadata());
    let report = get(hub.address, "/api/v1/usage?by=model").await;
    let row = &report["rows"][0];
    assert_eq!((&row["provider"], &row["model"], &row["requests"]), (&"openai".into(), &"tts-1".into(), &1.into()));
    assert_eq!((&row["speech_characters"], &row["cost_usd"]), (&24.into(), &usd.into()));
    assert_eq!((&report["totals"]["speech_characters"], &report["totals"]["cost_usd"]), (&24.into(), &usd.into()));
    drop(client);
    hub.stop().await;
}

#[tokio::test]
async fn what_the_provider_counted_is_what_is_paid() {
    let sound = json!({"type": "speech.audio.delta", "audio": "AQIDBAUGBwg="}).to_string();
    let done = json!({"type": "speech.audio.done", "usage": {"input_tokens": 5, "output_tokens": 40}}).to_string();
    let cloud = FakeProvider::start(Script::stream().sse(&sound).sse(&done).body_end()).await;
    let mut config = Config::default();
    config.providers.openai.base_url = cloud.base_url();
    config.speech.active = SpeechChoice::Openai;
    let openai = voice(VoiceName::Openai, &config, Some("sk-a-key"));
    let house = House::new(config, None, vec![(VoiceName::Openai, openai)]);
    let news = house.start(speak("One is here. Two is here.", "", AudioFormat::Pcm), 64).rest().await;
    // gpt-4o-mini-tts: 0.60 and 12 US dollars a million tokens.
    let nano = 10 * 600 + 80 * 12_000;
    let want = Usage { input_tokens: 10, output_tokens: 80, cost_usd: Some(f64::from(nano) / 1e9), ..Usage::default() };
    assert_eq!(summary(&news).usage, Some(want));
    let (_, sum) = entry(&house, "openai").await;
    assert_eq!((sum.cost_nano_usd, sum.estimated_requests, sum.speech_characters), (nano as u64, 0, 24));
}
