//! What a session listens to, and how it tells its client. What waits for a slow client waits outside, where it coalesces.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::json;

use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::{Door, Principal, Role};
use crate::gateway::session::state::{Action, Session, map};
use crate::gateway::session::topics::{Family, Heard, Heed, TOPICS_MAX, Told, Topic};
use crate::gateway::session::wire::{self, Event};

/// See the module.
#[derive(Debug)]
pub(super) struct Watching {
    /// Who listens. Nobody in particular, until it is said.
    who: Arc<Principal>,
    topics: BTreeMap<Topic, Watched>,
}

/// A topic that is listened to.
#[derive(Debug)]
struct Watched {
    request_id: Option<Box<str>>,
    /// What is there is to be told.
    shows: bool,
    /// A thing of it was there that its listener may see.
    is_known: bool,
}

/// One for all sessions: most sockets are idle.
static NOBODY: LazyLock<Arc<Principal>> = LazyLock::new(|| Arc::new(Principal::new("", Role::Guest, Door::Websocket)));

impl Default for Watching {
    fn default() -> Watching {
        Watching { who: NOBODY.clone(), topics: BTreeMap::new() }
    }
}

impl Session {
    /// From now on the session hears what this one may hear.
    pub fn speaks_for(&mut self, who: &Arc<Principal>) {
        if !Arc::ptr_eq(&self.watching.who, who) {
            self.watching.who = who.clone();
        }
    }

    pub(super) fn subscribe(&mut self, frame: &wire::ClientFrame<'_>) -> Result<(), String> {
        let id = frame.request_id.as_deref();
        let wire::Subscribe { topics, snapshot } = match self.version {
            2.. => wire::payload(frame)?,
            _ => {
                self.needs_v2(frame);
                return Ok(());
            }
        };
        if !self.events {
            let why = format!("this session has no events: name {:?} in the features of a hello", wire::EVENTS);
            self.error(id, ErrorBody::new(ErrorCode::Unsupported, why));
            return Ok(());
        }
        let topics = parse(&topics)?;
        if let Some(denied) = topics.iter().find_map(|topic| topic.may_hear(&self.watching.who).err()) {
            self.error(id, ErrorBody::new(ErrorCode::Forbidden, denied.to_string()));
            return Ok(());
        }
        let news = topics.iter().filter(|topic| !self.watching.topics.contains_key(topic)).count();
        if self.watching.topics.len() + news > TOPICS_MAX {
            return Err(format!("payload.topics: a session has up to {TOPICS_MAX} topics; unsubscribe from some"));
        }
        let mut load = Vec::new();
        for topic in topics {
            // Whether one conversation is theirs is asked now: when it is gone, nobody knows.
            let is_one = matches!(topic, Topic::Conversation(_));
            if snapshot || (is_one && !self.watching.topics.contains_key(&topic)) {
                load.push(topic.clone());
            }
            let is_known = self.watching.topics.get(&topic).is_some_and(|watched| watched.is_known);
            let watched = Watched { request_id: id.map(Into::into), shows: snapshot, is_known };
            self.watching.topics.insert(topic, watched);
        }
        self.listen(id, load);
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, frame: &wire::ClientFrame<'_>) -> Result<(), String> {
        if self.version < 2 {
            self.needs_v2(frame);
            return Ok(());
        }
        let wire::Unsubscribe { topics } = wire::payload(frame)?;
        for topic in parse(&topics)? {
            self.watching.topics.remove(&topic);
        }
        self.listen(frame.request_id.as_deref(), Vec::new());
        Ok(())
    }

    /// Says what is listened to, and has it listened to.
    fn listen(&mut self, id: Option<&str>, load: Vec<Topic>) {
        let names = self.topic_names();
        self.complete(id, &map(json!({ "topics": names })));
        self.actions.push_back(Action::Watch { topics: self.watching.topics.keys().cloned().collect(), load });
    }

    /// The client has put the feature down.
    pub(super) fn forget_topics(&mut self) {
        if !self.watching.topics.is_empty() {
            self.watching.topics.clear();
            self.actions.push_back(Action::Watch { topics: Vec::new(), load: Vec::new() });
        }
    }

    pub(super) fn topic_names(&self) -> Vec<String> {
        self.watching.topics.keys().map(ToString::to_string).collect()
    }

    /// Whether changes may be brought in. While there is no socket, or a slow one, they wait and coalesce.
    pub fn wants_events(&self) -> bool {
        self.attached && self.wants_news() && !self.watching.topics.is_empty()
    }

    /// Something was heard of the topics.
    pub fn handle_heard(&mut self, heard: &Heard) {
        match heard {
            Heard::There { topic, told } => {
                let who = self.watching.who.clone();
                let Some(watched) = self.watching.topics.get_mut(topic).filter(|_| told.heed(&who) == Heed::All) else {
                    return;
                };
                watched.is_known = true;
                if watched.shows {
                    self.tell(topic, told, true);
                }
            }
            Heard::AllThere { topic, is_whole } => {
                let Some(watched) = self.watching.topics.get_mut(topic) else { return };
                if std::mem::take(&mut watched.shows) && !is_whole {
                    self.tell_to_reread(topic);
                }
            }
            Heard::Changed(told) => {
                let topics: Vec<_> =
                    self.watching.topics.keys().filter(|topic| topic.has(told.family, &told.key)).cloned().collect();
                for topic in topics {
                    self.changed(&topic, told);
                }
            }
            Heard::Missed(topic) => self.tell_to_reread(topic),
        }
    }

    fn changed(&mut self, topic: &Topic, told: &Told) {
        let Some(watched) = self.watching.topics.get_mut(topic) else { return };
        match told.heed(&self.watching.who) {
            Heed::All => {
                watched.is_known = !told.deleted;
                return self.tell(topic, told, false);
            }
            Heed::Gone => {
                watched.is_known = false;
                return self.tell(topic, &Told::new(told.family, &told.key, told.revision, true, None), false);
            }
            Heed::Something => return self.tell_to_reread(topic),
            Heed::Nothing => {}
        }
        if told.family == Family::Conversation && told.deleted {
            match topic {
                // Whose it was cannot be seen any more: who has lists it looks whether it is still there.
                Topic::Conversations => self.tell_to_reread(topic),
                _ if std::mem::take(&mut watched.is_known) => self.tell(topic, told, false),
                _ => {}
            }
        }
    }

    fn tell(&mut self, topic: &Topic, told: &Told, snapshot: bool) {
        let name = topic.to_string();
        let event = Event {
            topic: &name,
            kind: Some(told.family),
            key: Some(&told.key),
            // A tool has none.
            revision: Some(told.revision).filter(|revision| *revision > 0),
            deleted: Some(told.deleted),
            record: told.record.as_ref(),
            changes: told.changes.as_ref(),
            snapshot,
            reread: false,
        };
        self.tell_of(topic, event);
    }

    fn tell_to_reread(&mut self, topic: &Topic) {
        let name = topic.to_string();
        self.tell_of(topic, Event::reread(&name));
    }

    fn tell_of(&mut self, topic: &Topic, event: Event<'_>) {
        // A user may have lost the right since.
        let Some(watched) = self.watching.topics.get(topic).filter(|_| topic.may_hear(&self.watching.who).is_ok())
        else {
            return;
        };
        let request_id = watched.request_id.clone();
        self.event(request_id.as_deref(), event);
    }

    /// A client that has lost messages has lost events.
    pub(super) fn reread_all(&mut self) {
        let topics: Vec<_> = self.watching.topics.keys().cloned().collect();
        topics.iter().for_each(|topic| self.tell_to_reread(topic));
    }
}

fn parse(names: &[String]) -> Result<Vec<Topic>, String> {
    if names.is_empty() || names.len() > TOPICS_MAX {
        return Err(format!("payload.topics has {} names; 1 to {TOPICS_MAX} are possible", names.len()));
    }
    let parse = |name: &String| {
        let odd = || format!("payload.topics: there is no {:?}; there are {}", wire::shown(name), Topic::names());
        Topic::parse(name).ok_or_else(odd)
    };
    names.iter().map(parse).collect()
}
