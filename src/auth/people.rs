//! How users and tokens come, change and go: the rules that hold over several records. A hub keeps its last owner, a token
//! goes with its user, and a name that comes again brings nothing of the old one back. Says nothing about who may ask.

use std::net::IpAddr;

use crate::auth::directory::is_active_owner;
use crate::auth::gate::{Gate, is_free_name};
use crate::auth::login_name;
use crate::auth::refused::Refused;
use crate::auth::throttle::Guesser;
use crate::auth::{password, token};
use crate::common::ids;
use crate::common::secret::Secret;
use crate::common::time::UnixMillis;
use crate::common::who::Role;
use crate::store::{LABEL_BYTES_MAX, Token, User, UserProfile, WriteError};

/// Tokens of one user.
pub const TOKENS_OF_USER_MAX: usize = 64;

/// Days that a token is good which somebody got for a password.
pub const LOGIN_DAYS: u64 = 180;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A user who is to be.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub name: String,
    pub display_name: Option<String>,
    pub role: Role,
    pub password: Option<Secret>,
    pub disabled: bool,
    pub allow: Vec<String>,
    pub deny: Vec<String>,
    pub rooms: Option<Vec<String>>,
}

impl NewUser {
    /// With nothing granted or refused beyond the role.
    pub fn new(name: impl Into<String>, role: Role) -> NewUser {
        NewUser {
            name: name.into(),
            display_name: None,
            role,
            password: None,
            disabled: false,
            allow: Vec::new(),
            deny: Vec::new(),
            rooms: None,
        }
    }
}

/// What is to be different about a user. What is `None` stays; of what may be absent, `Some(None)` takes it away.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub display_name: Option<Option<String>>,
    pub role: Option<Role>,
    pub password: Option<Option<Secret>>,
    pub disabled: Option<bool>,
    pub allow: Option<Vec<String>>,
    pub deny: Option<Vec<String>>,
    pub rooms: Option<Option<Vec<String>>>,
}

/// A token as it was made: the only time that its secret is seen.
#[derive(Debug, Clone)]
pub struct Created {
    pub token: Token,
    pub secret: Secret,
}

impl Gate {
    /// The first owner of a hub that nobody owns, by the code that it has shown. `called` is how somebody is called, of which the account's
    /// name is made.
    pub async fn claim(
        &self,
        from: IpAddr,
        code: &str,
        called: &str,
        password: Option<Secret>,
    ) -> Result<(User, Created), Refused> {
        let _alone = self.shared.writing.lock().await;
        if !self.is_required() {
            return Err(Refused::NotClaimable("its door is open (gateway.auth)"));
        }
        if !self.is_claimable().await? {
            return Err(Refused::NotClaimable("somebody owns it already"));
        }
        let Some((name, display_name)) = login_name::of_new(called) else {
            let text = format!("name: how you are called, 1 to {LABEL_BYTES_MAX} bytes on one line");
            return Err(Refused::Invalid(text));
        };
        let name = name.as_str();
        let new = NewUser { password, display_name, ..NewUser::new(name, Role::Owner) };
        // Before the code is used up: a name that cannot be is no reason to ask for another code.
        check(&new)?;
        if self.shared.store.get::<User>(name).await?.is_some() {
            return Err(Refused::Conflict(format!("there is a {name} already, who is no owner: take another name")));
        }
        self.announce().await;
        self.open_claim(from, code).await?;
        let user = self.add(new).await?;
        let created = self.add_token(name, "first claim", None).await?;
        self.end_claim().await;
        tracing::info!(user = name, "the hub has an owner");
        Ok((user, created))
    }

    /// A token for whoever knows a user's password. `called` is the account's name, or what its user is called.
    pub async fn by_password(&self, from: IpAddr, called: &str, password: Secret) -> Result<(User, Created), Refused> {
        let users = self.shared.store.list::<User>().await?;
        let found = login_name::meant(called, &users).cloned();
        // However it is typed, it is one account that is guessed at.
        let name = found.as_ref().map_or(called, |user| &user.name);
        let by = [Guesser::address(from), Guesser::User(name.chars().take(64).collect::<String>().into())];
        self.guess(&by)?;
        let kept = found.as_ref().and_then(|user| user.password_hash.clone());
        let is_right = self.shared.hasher.verify(password.expose().to_owned(), kept).await?;
        let Some(user) = found.filter(|_| is_right) else { return Err(Refused::WrongPassword) };
        self.forgive(&by);
        if user.disabled {
            return Err(Refused::Disabled);
        }
        let _alone = self.shared.writing.lock().await;
        let expires_at_ms = self.now().unix_ms + LOGIN_DAYS * DAY_MS;
        self.make_room(&user.name).await?;
        let created = self.add_token(&user.name, "sign-in", Some(expires_at_ms)).await?;
        Ok((user, created))
    }

    /// A new user. A name that is taken: [`WriteError::Conflict`].
    pub async fn create_user(&self, new: NewUser) -> Result<User, Refused> {
        let _alone = self.shared.writing.lock().await;
        check(&new)?;
        self.add(new).await
    }

    /// Changes a user, with `if_revision` as in [`crate::store::Store::put`]. `None`: there is none of this name.
    pub async fn change_user(
        &self,
        name: &str,
        change: Change,
        if_revision: Option<u64>,
    ) -> Result<Option<User>, Refused> {
        let _alone = self.shared.writing.lock().await;
        let Some(old) = self.shared.store.get::<User>(name).await? else { return Ok(None) };
        if let Some(wrong) = if_revision.filter(|revision| *revision != old.revision) {
            tracing::debug!(wrong, current = old.revision, "a stale change of a user");
            return Err(WriteError::Conflict { current: old.revision }.into());
        }
        let mut user = old.clone();
        if let Some(display_name) = change.display_name {
            user.display_name = display_name;
        }
        user.role = change.role.unwrap_or(user.role);
        user.disabled = change.disabled.unwrap_or(user.disabled);
        user.allow = change.allow.unwrap_or(user.allow);
        user.deny = change.deny.unwrap_or(user.deny);
        user.rooms = change.rooms.unwrap_or(user.rooms);
        if is_active_owner(&old) && !is_active_owner(&user) {
            self.check_another_owner(name).await?;
        }
        match change.password {
            Some(Some(password)) => user.password_hash = Some(self.hashed(password).await?),
            Some(None) => user.password_hash = None,
            None => {}
        }
        Ok(Some(self.shared.store.put(user, Some(old.revision)).await?))
    }

    /// Removes a user with all tokens; false: there is none of this name.
    pub async fn remove_user(&self, name: &str, if_revision: Option<u64>) -> Result<bool, Refused> {
        let _alone = self.shared.writing.lock().await;
        let Some(user) = self.shared.store.get::<User>(name).await? else { return Ok(false) };
        if if_revision.is_some_and(|revision| revision != user.revision) {
            return Err(WriteError::Conflict { current: user.revision }.into());
        }
        if is_active_owner(&user) {
            self.check_another_owner(name).await?;
        }
        // The tokens first: cut off in between, the user is there and cannot come in, which is better than the reverse.
        self.remove_what_is_left_of(name).await?;
        Ok(self.shared.store.delete::<User>(name, Some(user.revision)).await?)
    }

    /// A token for a user who is there.
    pub async fn create_token(
        &self,
        user: &str,
        name: &str,
        expires_at_ms: Option<UnixMillis>,
    ) -> Result<Created, Refused> {
        let _alone = self.shared.writing.lock().await;
        if self.shared.store.get::<User>(user).await?.is_none() {
            return Err(Refused::Invalid(format!("there is no user called {user:?}: users.create makes one")));
        }
        if expires_at_ms.is_some_and(|at| at <= self.now().unix_ms) {
            return Err(Refused::Invalid("expires_at_ms lies in the past".into()));
        }
        let count = self.tokens_of(user).await?.len();
        if count >= TOKENS_OF_USER_MAX {
            let text = format!("{user} has {count} tokens already: revoke one that is not used any more");
            return Err(Refused::Conflict(text));
        }
        self.add_token(user, name, expires_at_ms).await
    }

    /// Takes a token away; whoever holds it is out at once. False: there is none of this id.
    pub async fn revoke_token(&self, id: &str, if_revision: Option<u64>) -> Result<bool, Refused> {
        let _alone = self.shared.writing.lock().await;
        Ok(self.shared.store.delete::<Token>(id, if_revision).await?)
    }

    async fn add(&self, new: NewUser) -> Result<User, Refused> {
        let NewUser { name, display_name, role, password, disabled, allow, deny, rooms } = new;
        let password_hash = match password {
            Some(password) => Some(self.hashed(password).await?),
            None => None,
        };
        let created_at_ms = self.now().unix_ms;
        let user =
            User { name, display_name, role, password_hash, disabled, allow, deny, rooms, created_at_ms, revision: 0 };
        if self.shared.store.get::<User>(&user.name).await?.is_none() {
            self.remove_what_is_left_of(&user.name).await?;
        }
        Ok(self.shared.store.put(user, Some(0)).await?)
    }

    async fn add_token(&self, user: &str, name: &str, expires_at_ms: Option<UnixMillis>) -> Result<Created, Refused> {
        let secret = token::mint();
        let token = Token {
            id: ids::fresh('t'),
            user: user.into(),
            name: name.into(),
            hash: token::to_hex(&token::hash(secret.expose())),
            created_at_ms: self.now().unix_ms,
            expires_at_ms,
            last_seen_ms: None,
            revision: 0,
        };
        let token = self.shared.store.put(token, Some(0)).await?;
        Ok(Created { token, secret })
    }

    /// Of tokens that end by themselves, those that have ended go, and then the one that was seen least lately.
    async fn make_room(&self, user: &str) -> Result<(), Refused> {
        let now_ms = self.now().unix_ms;
        let mut ending: Vec<_> = self.tokens_of(user).await?;
        let over = (ending.len() + 1).saturating_sub(TOKENS_OF_USER_MAX);
        ending.retain(|token| token.expires_at_ms.is_some());
        ending.sort_by_key(|token| token.last_seen_ms.unwrap_or(token.created_at_ms));
        let (ended, good): (Vec<_>, Vec<_>) =
            ending.into_iter().partition(|token| token.expires_at_ms.is_some_and(|at| at <= now_ms));
        let over = over.saturating_sub(ended.len());
        for token in ended.iter().chain(good.iter().take(over)) {
            self.shared.store.delete::<Token>(&token.id, None).await?;
        }
        Ok(())
    }

    async fn remove_what_is_left_of(&self, user: &str) -> Result<(), Refused> {
        for token in self.tokens_of(user).await? {
            self.shared.store.delete::<Token>(&token.id, None).await?;
        }
        self.shared.store.delete::<UserProfile>(user, None).await?;
        Ok(())
    }

    async fn tokens_of(&self, user: &str) -> Result<Vec<Token>, Refused> {
        let mut tokens = self.shared.store.list::<Token>().await?;
        tokens.retain(|token| token.user == user);
        Ok(tokens)
    }

    async fn check_another_owner(&self, name: &str) -> Result<(), Refused> {
        let users = self.shared.store.list::<User>().await?;
        match users.iter().any(|user| user.name != name && is_active_owner(user)) {
            true => Ok(()),
            false => Err(Refused::Conflict(format!("{name} is the last owner of this hub: make another one first"))),
        }
    }

    async fn hashed(&self, password: Secret) -> Result<String, Refused> {
        password::check(password.expose()).map_err(Refused::Invalid)?;
        Ok(self.shared.hasher.hash(password.expose().to_owned()).await?)
    }
}

/// What can be said of a new user before anything is written.
fn check(new: &NewUser) -> Result<(), Refused> {
    if !is_free_name(&new.name) {
        return Err(Refused::Invalid(format!("name: {:?} is the house itself; take another", new.name)));
    }
    let user = User {
        name: new.name.clone(),
        display_name: new.display_name.clone(),
        role: new.role,
        password_hash: None,
        disabled: new.disabled,
        allow: new.allow.clone(),
        deny: new.deny.clone(),
        rooms: new.rooms.clone(),
        created_at_ms: 0,
        revision: 0,
    };
    crate::store::Record::check(&user)?;
    new.password.as_ref().map_or(Ok(()), |password| password::check(password.expose()).map_err(Refused::Invalid))
}
