//! Feeds the service manager's watchdog for as long as the hub is well: its event loop turns (this is a task on it), the store
//! answers a read, every source of devices answers a question. A stick that is not there or a broker that is away is an answer:
//! a restart would bring neither. Whoever does not answer is not fed for, and the manager starts the hub anew.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{try_join, try_join_all};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::app::notify::{Manager, Word};
use crate::home::{Backend, Keeper, NetworkQuery, Radio, RadioStatus};
use crate::store::{DEFAULT_PROFILE, ModelProfile, Store};

/// Looks in the time within which one has to be well.
const LOOKS: u32 = 4;

/// What a look may take of that time: with the one before it there is time for one more.
const PATIENCE_PARTS: u32 = 2;

/// Looks until it is dropped. `within` is the manager's; `look` says how the hub is, or what is wrong with it; `well` is called
/// whenever it is well.
pub async fn feed<L>(manager: Arc<Manager>, within: Duration, look: impl Fn() -> L, mut well: impl FnMut())
where
    L: Future<Output = Result<String, String>>,
{
    let mut ticks = interval(within / LOOKS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_well = true;
    loop {
        ticks.tick().await;
        let looked = timeout(within / PATIENCE_PARTS, look()).await;
        match looked.unwrap_or_else(|_| Err("a look at it did not come to an end".into())) {
            Ok(status) => {
                manager.tell(&Word::Watchdog);
                manager.tell(&Word::Status(&status));
                well();
                if !was_well {
                    tracing::info!("the hub is well again");
                }
                was_well = true;
            }
            Err(why) => {
                manager.tell(&Word::Status(&format!("not well: {why}")));
                if was_well {
                    tracing::error!(why, "a part of the hub does not answer: it is started anew unless that ends soon");
                }
                was_well = false;
            }
        }
    }
}

/// How the hub is, by what its parts answer within the manager's time.
pub async fn look(store: Store, home: Keeper, within: Duration) -> Result<String, String> {
    // All at once: each has the whole time that a look has, less what it takes to say who did not answer.
    let patience = within / PATIENCE_PARTS - within / 20;
    let reading = async {
        let read = timeout(patience, store.get::<ModelProfile>(DEFAULT_PROFILE)).await;
        let read = read.map_err(|_| "the store does not answer".to_owned())?;
        read.map(drop).map_err(|error| format!("the store: {error}"))
    };
    let radios = home.radios();
    let asking = radios.iter().map(|radio| {
        let (home, backend) = (home.clone(), radio.backend);
        async move {
            // What it says does not matter: a radio that is down says so.
            let answer = timeout(patience, home.network(NetworkQuery::Status, Some(backend))).await;
            let answer = answer.map_err(|_| format!("{} does not answer", name(backend)))?;
            let firmware = answer.ok().and_then(|status| status["firmware"].as_str().map(Into::into));
            Ok::<Option<String>, String>(firmware)
        }
    });
    let ((), firmwares) = try_join(reading, try_join_all(asking)).await?;
    Ok(match &radios[..] {
        [] => "no radio".into(),
        radios => radios.iter().zip(firmwares).map(shown).collect::<Vec<_>>().join("; "),
    })
}

fn shown((radio, firmware): (&Radio, Option<String>)) -> String {
    let name = name(radio.backend);
    match &radio.status {
        RadioStatus::Up => {
            let firmware = firmware.map(|firmware| format!(", firmware {firmware}")).unwrap_or_default();
            format!("{name} is up, {} devices{firmware}", radio.devices)
        }
        RadioStatus::Starting => format!("{name} is starting"),
        RadioStatus::Absent { why } | RadioStatus::Down { why } | RadioStatus::Refused { why } => {
            format!("{name} is not up: {why}")
        }
    }
}

fn name(backend: Backend) -> &'static str {
    match backend {
        Backend::Zigbee => "the stick",
        Backend::Zigbee2mqtt => "Zigbee2MQTT",
        Backend::Simulated => "the simulated stick",
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::app::notify::tests::Ear;
    use crate::home::testing::{Script, lock, unreachable};

    const WITHIN: Duration = Duration::from_millis(200);

    fn feedings(ear: &Ear) -> usize {
        ear.heard().iter().filter(|word| *word == "WATCHDOG=1").count()
    }

    #[tokio::test]
    async fn one_that_is_well_is_fed_for_several_times_within_the_time() {
        let ear = Ear::new();
        let manager = Arc::new(ear.manager(Some(WITHIN)));
        let task = tokio::spawn(feed(manager, WITHIN, || async { Ok("the stick is up, 3 devices".into()) }, || {}));
        tokio::time::sleep(3 * WITHIN).await;
        task.abort();
        let heard = ear.heard();
        assert!(heard.iter().filter(|word| *word == "WATCHDOG=1").count() >= 3, "{heard:?}");
        assert!(heard.contains(&"STATUS=the stick is up, 3 devices".to_owned()), "{heard:?}");
    }

    /// The event loop is this thread: while it does something else, nothing is fed.
    #[tokio::test]
    async fn an_event_loop_that_hangs_is_not_fed_for() {
        let ear = Ear::new();
        let manager = Arc::new(ear.manager(Some(WITHIN)));
        let task = tokio::spawn(feed(manager, WITHIN, || async { Ok(String::new()) }, || {}));
        tokio::time::sleep(WITHIN).await;
        assert!(feedings(&ear) > 0);
        std::thread::sleep(3 * WITHIN);
        assert_eq!(feedings(&ear), 0, "the loop hung");
        tokio::time::sleep(WITHIN).await;
        assert!(feedings(&ear) > 0, "and went on");
        task.abort();
    }

    #[tokio::test]
    async fn one_that_does_not_answer_or_is_not_well_is_not_fed_for() {
        for hangs in [true, false] {
            let ear = Ear::new();
            let manager = Arc::new(ear.manager(Some(WITHIN)));
            let is_well = Arc::new(AtomicBool::new(true));
            let seen = is_well.clone();
            let look = move || {
                let is_well = seen.load(Ordering::Relaxed);
                async move {
                    match (is_well, hangs) {
                        (true, _) => Ok(String::new()),
                        (false, true) => pending().await,
                        (false, false) => Err("the store does not answer".to_owned()),
                    }
                }
            };
            let task = tokio::spawn(feed(manager, WITHIN, look, || {}));
            tokio::time::sleep(WITHIN).await;
            assert!(feedings(&ear) > 0);
            is_well.store(false, Ordering::Relaxed);
            // A look that had begun may still have been good.
            tokio::time::sleep(WITHIN / LOOKS).await;
            ear.heard();
            tokio::time::sleep(3 * WITHIN).await;
            let heard = ear.heard();
            assert!(!heard.contains(&"WATCHDOG=1".to_owned()), "{heard:?}");
            assert!(heard.iter().any(|word| word.starts_with("STATUS=not well: ")), "{heard:?}");
            is_well.store(true, Ordering::Relaxed);
            tokio::time::sleep(WITHIN).await;
            assert!(feedings(&ear) > 0, "well again");
            task.abort();
        }
    }

    #[tokio::test]
    async fn a_radio_that_says_no_is_well_and_one_that_says_nothing_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("hearth.redb")).unwrap();
        let radio = Script::new(Backend::Zigbee);
        let home = Keeper::start(store.clone(), vec![radio.clone()]).await.unwrap();
        radio.tell(crate::home::SourceEvent::Radio(RadioStatus::Absent { why: "no stick".into() })).await;
        *lock(&radio.refuses) = Some(unreachable());
        let status = look(store.clone(), home.clone(), WITHIN).await.unwrap();
        assert!(status.starts_with("the stick is not up"), "{status}");
        radio.is_mute.store(true, Ordering::Relaxed);
        assert_eq!(look(store.clone(), home.clone(), WITHIN).await, Err("the stick does not answer".into()));
        radio.is_mute.store(false, Ordering::Relaxed);
        store.clone().close().await;
        assert_eq!(look(store.clone(), home.clone(), WITHIN).await, Err("the store: the store is closed".into()));
    }
}
