//! The gate that every door asks: who is this? Knows all users and tokens as the store has them at this moment, hands out
//! tickets, counts guesses, and tells when somebody's rights have changed. Knows no HTTP and no WebSocket.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::auth::claim::{self, Claim};
use crate::auth::code_file;
use crate::auth::directory::{Directory, Holder};
use crate::auth::password::Hasher;
use crate::auth::refused::Refused;
use crate::auth::throttle::{Guesser, Throttle};
use crate::auth::tickets::Tickets;
use crate::auth::token;
use crate::common::config::{Auth, Config};
use crate::common::time::UnixMillis;
use crate::common::who::{Door, HOUSE, Principal};
use crate::store::{Feed, Kind, ReadError, Seen, Store, Token, User, WriteError};

/// When a token was last seen is written down at most so often.
const SEEN_EVERY_MS: u64 = 60_000;

/// A moment on both clocks: one that never jumps, for waits, and the house's, for what outlives the process.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub at: Instant,
    pub unix_ms: UnixMillis,
}

/// What reads the clocks.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq)]
pub struct Pass {
    /// Through [`Door::Rest`]; other doors put their own.
    pub who: Arc<Principal>,
    /// When the token ends that was shown.
    pub expires_at_ms: Option<UnixMillis>,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub store: Store,
    config: watch::Receiver<Arc<Config>>,
    /// Where the code of this very machine lies, where it has one: see [`code_file`].
    code_file: PathBuf,
    /// Whether the hub was opened for this machine alone.
    is_loopback: bool,
    clock: Clock,
    known: Mutex<Known>,
    /// Counts the times that somebody's rights have changed.
    changes: watch::Sender<u64>,
    pub hasher: Hasher,
    /// Held by whoever changes users or tokens, so that rules over several of them hold.
    pub writing: tokio::sync::Mutex<()>,
}

struct Known {
    feed: Feed,
    /// Changes of users and tokens that were told so far, and how many of them `directory` has.
    told: u64,
    read: u64,
    directory: Arc<Directory>,
    seen_ms: BTreeMap<Box<str>, UnixMillis>,
    tickets: Tickets,
    claim: Claim,
    /// The code of [`code_file`] that was shown last.
    shown: Option<String>,
    throttle: Throttle,
}

impl Gate {
    pub fn new(store: Store, config: watch::Receiver<Arc<Config>>, clock: Clock) -> Gate {
        let known = Known {
            feed: store.subscribe(),
            told: 1,
            read: 0,
            directory: Arc::default(),
            seen_ms: BTreeMap::new(),
            tickets: Tickets::default(),
            claim: Claim::default(),
            shown: None,
            throttle: Throttle::default(),
        };
        let is_loopback = config.borrow().gateway.host.is_loopback();
        let code_file = code_file::beside(&config.borrow().store.path);
        let shared = Shared {
            store,
            config,
            code_file,
            is_loopback,
            clock,
            known: Mutex::new(known),
            changes: watch::channel(0).0,
            hasher: Hasher::default(),
            writing: tokio::sync::Mutex::new(()),
        };
        Gate { shared: Arc::new(shared) }
    }

    /// Whether nobody comes in without showing something (`gateway.auth`).
    pub fn is_required(&self) -> bool {
        match self.shared.config.borrow().gateway.auth {
            Auth::Off => false,
            Auth::Required => true,
            Auth::Auto => !self.shared.is_loopback,
        }
    }

    /// Whoever comes without anything: the house where the door is open.
    pub fn by_nothing(&self) -> Result<Pass, Refused> {
        match self.is_required() {
            true => Err(Refused::NoToken),
            false => Ok(Pass { who: Arc::new(Principal::house(Door::Rest)), expires_at_ms: None }),
        }
    }

    /// Whoever shows this token.
    pub async fn by_token(&self, secret: &str) -> Result<Pass, Refused> {
        let directory = self.directory().await?;
        let holder = directory.by_secret(secret).ok_or(Refused::WrongToken)?;
        let pass = self.admit(holder)?;
        self.note_seen(&pass.who);
        Ok(pass)
    }

    /// A ticket for somebody who is in, good once and for half a minute.
    pub fn issue_ticket(&self, who: &Arc<Principal>) -> String {
        let now = self.now();
        self.known().tickets.issue(now.at, who.clone())
    }

    /// Whoever got this ticket, if they may still come in.
    pub async fn by_ticket(&self, ticket: &str) -> Result<Pass, Refused> {
        let now = self.now();
        let who = self.known().tickets.redeem(now.at, ticket).ok_or(Refused::WrongTicket)?;
        self.directory().await?;
        self.renew(&who)
    }

    /// What somebody who is in is now: the same, with other rights, or not to be in any more. For whoever keeps a connection
    /// open, whenever [`Gate::changes`] says so.
    pub fn renew(&self, who: &Principal) -> Result<Pass, Refused> {
        let Some(id) = &who.token else { return self.by_nothing() };
        let directory = self.known().directory.clone();
        self.admit(directory.by_id(id).ok_or(Refused::WrongToken)?)
    }

    /// Changes whenever somebody's rights have: tokens that ended, users that may more or less, a door that was closed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Keeps [`Gate::changes`] true, and shows the first claim's code where there is one to be shown. Runs as long as the hub.
    pub async fn follow(self) {
        let mut feed = self.shared.store.subscribe();
        let mut config = self.shared.config.clone();
        let mut has_config = true;
        if self.directory().await.is_ok_and(|directory| directory.has_owner()) {
            // The power may have gone right after the claim.
            self.end_claim().await;
        }
        self.announce().await;
        loop {
            tokio::select! {
                seen = feed.recv() => match seen {
                    Seen::Closed => return,
                    Seen::Change(change) if !is_ours(change.kind) => continue,
                    Seen::Change(_) | Seen::Lagged => {}
                },
                changed = config.changed(), if has_config => {
                    has_config = changed.is_ok();
                    self.announce().await;
                    self.shared.changes.send_modify(|count| *count += 1);
                }
            }
            if let Err(error) = self.directory().await {
                tracing::warn!(%error, "users and tokens could not be read; connections that are open stay open");
            }
        }
    }

    /// Whether the hub asks for tokens and nobody owns it.
    pub async fn is_claimable(&self) -> Result<bool, Refused> {
        Ok(self.is_required() && !self.directory().await?.has_owner())
    }

    /// Shows a code in the log, which is the console where there is one, if there is something to claim: the machine's own
    /// where it has one, once, and otherwise a new one whenever none is good.
    pub async fn announce(&self) {
        if self.is_claimable().await != Ok(true) {
            return;
        }
        if let Some(code) = self.kept_code().await {
            let shown = self.known().shown.replace(code.clone());
            if shown.as_ref() != Some(&code) {
                show(&code, None);
            }
            return;
        }
        let now = self.now();
        let code = self.known().claim.offer(now.at, claim::chance());
        if let Some(code) = code {
            show(&code, Some(claim::CODE_LIFE.as_secs() / 60));
        }
    }

    /// Counts a guess at a password or a code; see [`Throttle::guess`].
    pub(super) fn guess(&self, by: &[Guesser]) -> Result<(), Refused> {
        let now = self.now();
        self.known().throttle.guess(now.at, by).map_err(|wait| Refused::TooMany { wait })
    }

    pub(super) fn forgive(&self, by: &[Guesser]) {
        self.known().throttle.forgive(by);
    }

    /// Tries a code of the first claim. That of the machine itself outlives wrong guesses, which only wait: it stands on paper.
    pub(super) async fn open_claim(&self, address: IpAddr, code: &str) -> Result<(), Refused> {
        let by = [Guesser::address(address)];
        self.guess(&by)?;
        let kept = self.kept_code().await;
        let now = self.now();
        let opened = match kept {
            Some(kept) if token::hash(&claim::letters(&kept)) == token::hash(&claim::letters(code)) => Ok(()),
            Some(_) => Err(claim::Wrong::Code),
            None => self.known().claim.open(now.at, code),
        };
        opened.map_err(|wrong| match wrong {
            claim::Wrong::Code => Refused::WrongCode,
            claim::Wrong::None => Refused::NoCode,
        })?;
        self.forgive(&by);
        Ok(())
    }

    /// Somebody owns the hub: no code is good any more, and none is kept.
    pub(super) async fn end_claim(&self) {
        self.known().claim.end();
        let path = self.shared.code_file.clone();
        let removed = tokio::task::spawn_blocking(move || code_file::remove(&path)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "the code of the first claim is still there; it opens nothing any more");
        }
    }

    async fn kept_code(&self) -> Option<String> {
        let path = self.shared.code_file.clone();
        match tokio::task::spawn_blocking(move || code_file::read(&path)).await {
            Ok(Ok(code)) => code,
            Ok(Err(error)) => {
                tracing::warn!(error, "the code of the first claim is another one");
                None
            }
            Err(_) => None,
        }
    }

    pub(super) fn now(&self) -> Moment {
        (self.shared.clock)()
    }

    fn admit(&self, holder: &Holder) -> Result<Pass, Refused> {
        if holder.is_disabled {
            return Err(Refused::Disabled);
        }
        if holder.expires_at_ms.is_some_and(|at| self.now().unix_ms >= at) {
            return Err(Refused::ExpiredToken);
        }
        Ok(Pass { who: holder.who.clone(), expires_at_ms: holder.expires_at_ms })
    }

    /// Everybody as of now: a write that was answered before this is called is in it. Reads the disk only after a change.
    async fn directory(&self) -> Result<Arc<Directory>, ReadError> {
        let told = {
            let mut known = self.known();
            known.listen();
            if known.read == known.told {
                return Ok(known.directory.clone());
            }
            known.told
        };
        let (users, tokens) =
            self.shared.store.read(|snapshot| Ok((snapshot.list::<User>()?, snapshot.list::<Token>()?))).await?;
        let directory = Arc::new(Directory::new(users, &tokens));
        let mut known = self.known();
        // Another reader may have been quicker, and have read more.
        if told > known.read {
            known.read = told;
            known.seen_ms = tokens.into_iter().filter_map(|one| Some((one.id.into(), one.last_seen_ms?))).collect();
            if known.directory != directory {
                known.directory = directory.clone();
                self.shared.changes.send_modify(|count| *count += 1);
            }
        }
        Ok(directory)
    }

    /// Writes down that a token is used, beside the call and not for each.
    fn note_seen(&self, who: &Principal) {
        let (Some(id), now_ms) = (&who.token, self.now().unix_ms) else { return };
        {
            let mut known = self.known();
            let seen_ms = known.seen_ms.get(id).copied().unwrap_or(0);
            // A clock that was set back starts anew.
            if now_ms >= seen_ms && now_ms - seen_ms < SEEN_EVERY_MS {
                return;
            }
            known.seen_ms.insert(id.clone(), now_ms);
        }
        let (store, id) = (self.shared.store.clone(), id.to_string());
        tokio::spawn(async move {
            let gone = || WriteError::Conflict { current: 0 };
            let seen = move |found: Option<Token>| Ok(Token { last_seen_ms: Some(now_ms), ..found.ok_or_else(gone)? });
            if let Err(error) = store.update(&id, seen).await
                && error != gone()
            {
                tracing::debug!(%error, "when a token was last seen could not be written down");
            }
        });
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Hears what was written meanwhile.
    fn listen(&mut self) {
        while let Some(seen) = self.feed.try_recv() {
            match seen {
                Seen::Change(change) => self.told += u64::from(is_ours(change.kind)),
                Seen::Lagged => self.told += 1,
                // What is known stays true: nothing is written any more.
                Seen::Closed => return,
            }
        }
    }
}

fn is_ours(kind: Kind) -> bool {
    matches!(kind, Kind::User | Kind::Token)
}

/// Whether a person may have this name: the house's own is taken.
pub(super) fn is_free_name(name: &str) -> bool {
    name != HOUSE
}

/// In the words as well as in a field: a journal shows fields to those alone who ask for them.
fn show(code: &str, minutes: Option<u64>) {
    tracing::warn!(
        code,
        minutes,
        "nobody owns this hub yet: its page and `hearth claim {code} NAME` take the code {code}"
    );
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
