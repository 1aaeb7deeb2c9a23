//! What one session listens to, for its driver: its inbox, and what it is to be told first. Reads the store beside the
//! session; decides nothing about what is said.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::common::who::Principal;
use crate::gateway::session::feeds::{Feeds, Listener};
use crate::gateway::session::house;
use crate::gateway::session::topics::{Family, Heard, Told, Topic};
use crate::home::Keeper;
use crate::mcp::{Service, public};
use crate::store::{ReadError, Record, Snapshot, Store};

/// Things of one topic that are told when it is subscribed to. Where there are more, the client reads the rest by itself.
const THERE_MAX: usize = 256;

/// The same in bytes of JSON, the last one beyond it included.
const THERE_BYTES_MAX: usize = 512 * 1024;

/// Conversations that are looked through for those of one user.
const LOOKED_THROUGH_MAX: usize = 2_000;

/// Conversations of one look.
const PAGE: usize = 200;

/// See the module.
pub struct Watch {
    listener: Listener,
    /// Topics whose things are still to be told.
    to_load: VecDeque<Topic>,
    loading: Option<(Topic, BoxFuture<'static, Result<Page, ReadError>>)>,
    loaded: VecDeque<Heard>,
}

/// What there is in a topic.
#[derive(Debug, Default, PartialEq)]
pub struct Page {
    told: Vec<Told>,
    bytes: usize,
    is_cut: bool,
}

impl Watch {
    pub fn new(feeds: &Feeds) -> Watch {
        Watch { listener: feeds.listen(), to_load: VecDeque::new(), loading: None, loaded: VecDeque::new() }
    }

    /// From now on these are listened to; what is there of those in `load` comes first.
    pub fn turn_to(&mut self, topics: Vec<Topic>, load: Vec<Topic>) {
        self.to_load.retain(|topic| topics.contains(topic));
        for topic in load {
            if !self.to_load.contains(&topic) {
                self.to_load.push_back(topic);
            }
        }
        self.listener.inbox.listen_to(topics.into_iter().collect());
    }

    /// The next thing to tell.
    pub fn poll(&mut self, cx: &mut Context<'_>, who: &Arc<Principal>, store: &Store, tools: &Service) -> Poll<Heard> {
        loop {
            if let Some(heard) = self.loaded.pop_front() {
                return Poll::Ready(heard);
            }
            if let Some((topic, loading)) = &mut self.loading {
                let Poll::Ready(page) = loading.as_mut().poll(cx) else { return Poll::Pending };
                let topic = topic.clone();
                self.loading = None;
                // What cannot be read now may be read later, by whoever wants it.
                let page = page.unwrap_or_else(|error| {
                    tracing::warn!(%error, %topic, "a topic could not be read");
                    Page { is_cut: true, ..Page::default() }
                });
                let there = |told| Heard::There { topic: topic.clone(), told: Arc::new(told) };
                self.loaded.extend(page.told.into_iter().map(there));
                self.loaded.push_back(Heard::AllThere { topic, is_whole: !page.is_cut });
                continue;
            }
            let Some(topic) = self.to_load.pop_front() else { return self.listener.inbox.poll(cx) };
            let home = self.listener.home();
            self.loading = Some((topic.clone(), load(topic, who.clone(), store.clone(), tools, home)));
        }
    }
}

fn load(
    topic: Topic,
    who: Arc<Principal>,
    store: Store,
    tools: &Service,
    home: Option<&Keeper>,
) -> BoxFuture<'static, Result<Page, ReadError>> {
    if let Some(told) = home.and_then(|home| in_the_house(&topic, &who, home)) {
        let mut page = Page::default();
        for told in told {
            if !page.add(told) {
                break;
            }
        }
        return Box::pin(std::future::ready(Ok(page)));
    }
    if topic == Topic::Tools {
        let mut page = Page::default();
        for tool in tools.tools(&who) {
            let record = Some(tool.to_value());
            let told = Told::new(Family::Tool, &tool.name, 0, false, record);
            if !page.add(told) {
                break;
            }
        }
        return Box::pin(std::future::ready(Ok(page)));
    }
    Box::pin(async move { store.read(move |snapshot| there(snapshot, &topic, &who)).await })
}

/// What `who` may see of a topic that the house itself knows; `None` for the others.
fn in_the_house(topic: &Topic, who: &Principal, home: &Keeper) -> Option<Vec<Told>> {
    Some(match topic {
        Topic::Devices => {
            let devices = home.devices_of(who);
            house::radios(home).chain(devices.iter().map(|device| house::there(home, device))).collect()
        }
        Topic::Device(id) => {
            let device = home.device(who, id).ok().filter(|device| device.id.0 == *id);
            device.iter().map(|device| house::there(home, device)).collect()
        }
        Topic::Rooms => {
            let rooms = home.rooms(who);
            let rooms = rooms.iter().map(|room| of_record(Family::Room, &**room));
            let groups = home.groups(who);
            let groups = groups.iter().map(|group| of_record(Family::Group, &**group));
            let scenes = home.scenes(who);
            let scenes = scenes.iter().map(|scene| of_record(Family::Scene, &**scene));
            rooms.chain(groups).chain(scenes).collect()
        }
        Topic::Pairing => house::searches(home).collect(),
        _ => return None,
    })
}

fn of_record<R: Record>(family: Family, record: &R) -> Told {
    Told::new(family, record.key(), record.revision(), false, Some(public::of(record)))
}

/// What `who` may see of a topic.
fn there(snapshot: &Snapshot, topic: &Topic, who: &Principal) -> Result<Page, ReadError> {
    let mut page = Page::default();
    match topic {
        Topic::Conversation(id) => {
            if let Some(conversation) = snapshot.conversation(id)? {
                let told = of_conversation(public::of_conversation(&conversation), id, conversation.revision);
                if told.is_for(who) {
                    page.add(told);
                }
            }
        }
        Topic::Conversations => {
            let (mut after, mut seen) = (None::<(u64, String)>, 0);
            let user = Some(&*who.user).filter(|_| !who.is_owner());
            loop {
                let from = after.as_ref().map(|(at_ms, id)| (*at_ms, id.as_str()));
                let found = snapshot.conversations(user, from, PAGE)?;
                for one in &found {
                    let told = of_conversation(public::of_conversation(one), &one.id, one.revision);
                    if told.is_for(who) && !page.add(told) {
                        return Ok(page);
                    }
                }
                seen += found.len();
                let Some(last) = found.last().filter(|_| found.len() == PAGE) else { break };
                if seen >= LOOKED_THROUGH_MAX {
                    page.is_cut = true;
                    break;
                }
                after = Some((last.updated_at_ms, last.id.clone()));
            }
        }
        topic => {
            for family in topic.families() {
                let Some(kind) = family.kind() else { continue };
                for (key, revision, record) in public::list(snapshot, kind)? {
                    let told = Told::new(*family, &key, revision, false, Some(record));
                    if told.is_for(who) && !page.add(told) {
                        return Ok(page);
                    }
                }
            }
        }
    }
    Ok(page)
}

fn of_conversation(record: Value, id: &str, revision: u64) -> Told {
    Told::new(Family::Conversation, id, revision, false, Some(record))
}

impl Page {
    /// Adds a thing where there is room; false where there is none.
    fn add(&mut self, told: Told) -> bool {
        self.is_cut = self.told.len() >= THERE_MAX || self.bytes >= THERE_BYTES_MAX;
        if !self.is_cut {
            self.bytes += told.record.as_ref().map_or(0, |record| record.to_string().len());
            self.told.push(told);
        }
        !self.is_cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::chat::Role as Said;
    use crate::common::who::HOUSE;
    use crate::common::who::{Door, Role};
    use crate::store::{NewMessage, Setting, UserProfile};

    fn who(name: &str, role: Role) -> Principal {
        Principal::new(name, role, Door::Websocket)
    }

    #[tokio::test]
    async fn what_is_there_is_what_one_may_see_and_not_too_much() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        for user in ["ann", "bob"] {
            let profile = UserProfile { user: user.into(), ..UserProfile::default() };
            store.put(profile, None).await.expect("kept");
        }
        for at in 0..3 {
            let said = NewMessage::new(Said::User, "hi", at);
            store.append(HOUSE, &format!("c-{at}"), vec![said]).await.expect("kept");
        }
        for at in 0..20 {
            let value = Value::from("x".repeat(40_000));
            store.put(Setting { key: format!("s.{at}"), value, revision: 0 }, None).await.expect("kept");
        }
        let snapshot = store.snapshot().expect("a look");
        let keys = |topic: Topic, who: &Principal| {
            let page = there(&snapshot, &topic, who).expect("a read");
            (page.told.iter().map(|told| told.key.to_string()).collect::<Vec<_>>(), page.is_cut)
        };
        let (ann, owner) = (who("ann", Role::Member), who("eve", Role::Owner));
        assert_eq!(keys(Topic::Profiles, &ann).0, ["ann"]);
        assert_eq!(keys(Topic::Profiles, &owner).0, ["ann", "bob"]);
        assert_eq!(keys(Topic::Conversations, &owner), (["c-2", "c-1", "c-0"].map(Into::into).into(), false));
        assert_eq!(keys(Topic::Conversation("c-1".into()), &owner).0, ["c-1"]);
        for topic in [Topic::Conversations, Topic::Conversation("c-1".into())] {
            assert_eq!(keys(topic, &ann).0, [""; 0], "the house's");
        }
        let (settings, is_cut) = keys(Topic::Settings, &owner);
        assert!(is_cut && settings.len() == 14, "{}", settings.len());
    }
}
