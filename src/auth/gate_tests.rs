//! The gate over a real store: who is let in, for how long, and who hears of it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::auth::people::{Change, LOGIN_DAYS, NewUser, TOKENS_OF_USER_MAX};
use crate::common::secret::Secret;
use crate::common::who::Role;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 5));
const START_MS: u64 = 1_800_000_000_000;

struct House {
    gate: Gate,
    store: Store,
    config: watch::Sender<Arc<Config>>,
    passed_ms: Arc<AtomicU64>,
    folder: tempfile::TempDir,
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's time")]
fn house(auth: Auth) -> House {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
    let mut config = Config::default();
    config.gateway.auth = auth;
    config.store.path = folder.path().join("hearth.redb");
    let (config, settings) = watch::channel(Arc::new(config));
    let (start, passed_ms) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let passed = passed_ms.clone();
    let clock: Clock = Arc::new(move || {
        let passed_ms = passed.load(Ordering::Relaxed);
        Moment { at: start + Duration::from_millis(passed_ms), unix_ms: START_MS + passed_ms }
    });
    House { gate: Gate::new(store.clone(), settings, clock), store, config, passed_ms, folder }
}

impl House {
    fn pass(&self, time: Duration) {
        self.passed_ms.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    async fn user(&self, name: &str, role: Role) -> User {
        self.gate.create_user(NewUser::new(name, role)).await.expect("a new user")
    }

    async fn token(&self, user: &str) -> (String, String) {
        let created = self.gate.create_token(user, "phone", None).await.expect("a new token");
        (created.token.id, created.secret.expose().to_owned())
    }

    /// The code as the log would show it.
    fn code(&self) -> String {
        let now = self.gate.now();
        self.gate.known().claim.offer(now.at, claim::chance()).expect("no code is good")
    }
}

#[tokio::test]
async fn an_open_door_is_the_houses_and_a_required_one_asks() {
    let house = house(Auth::Auto);
    assert_eq!(house.gate.by_nothing().expect("open on loopback").who, Arc::new(Principal::house(Door::Rest)));
    house.config.send_modify(|config| Arc::make_mut(config).gateway.auth = Auth::Required);
    assert_eq!(house.gate.by_nothing(), Err(Refused::NoToken));
    house.config.send_modify(|config| Arc::make_mut(config).gateway.auth = Auth::Off);
    assert!(house.gate.by_nothing().is_ok());
    assert_eq!(
        house.gate.by_token("hth_x").await,
        Err(Refused::WrongToken),
        "a wrong token is wrong at an open door, too"
    );
}

#[tokio::test]
async fn a_token_opens_until_it_is_revoked_or_its_user_goes() {
    let house = house(Auth::Required);
    house.user("ann", Role::Owner).await;
    house.user("bob", Role::Member).await;
    let ((id, phone), (_, panel)) = (house.token("bob").await, house.token("bob").await);
    let pass = house.gate.by_token(&phone).await.expect("good");
    assert_eq!((&*pass.who.user, pass.who.role, pass.who.token.as_deref()), ("bob", Role::Member, Some(&*id)));
    assert!(house.gate.revoke_token(&id, None).await.expect("a write"));
    assert_eq!(house.gate.by_token(&phone).await, Err(Refused::WrongToken), "at once");
    assert_eq!(house.gate.renew(&pass.who), Err(Refused::WrongToken));

    let off = Change { disabled: Some(true), ..Change::default() };
    house.gate.change_user("bob", off, None).await.expect("a write").expect("there");
    assert_eq!(house.gate.by_token(&panel).await, Err(Refused::Disabled));
    let on = Change { disabled: Some(false), deny: Some(vec!["ask".into()]), ..Change::default() };
    house.gate.change_user("bob", on, None).await.expect("a write").expect("there");
    assert_eq!(&*house.gate.by_token(&panel).await.expect("good").who.deny, ["ask".into()]);
    assert!(house.gate.remove_user("bob", None).await.expect("a write"));
    assert_eq!(house.gate.by_token(&panel).await, Err(Refused::WrongToken));
    // A new one of the same name has nothing of the old one.
    house.user("bob", Role::Guest).await;
    assert_eq!(house.gate.by_token(&panel).await, Err(Refused::WrongToken));
    assert!(house.store.list::<Token>().await.expect("readable").is_empty());
}

#[tokio::test]
async fn a_token_ends_when_it_was_said_to() {
    let house = house(Auth::Required);
    house.user("ann", Role::Owner).await;
    let past = house.gate.create_token("ann", "x", Some(START_MS)).await;
    assert!(matches!(past, Err(Refused::Invalid(_))), "{past:?}");
    let created = house.gate.create_token("ann", "x", Some(START_MS + 5_000)).await.expect("a new token");
    let pass = house.gate.by_token(created.secret.expose()).await.expect("good");
    assert_eq!(pass.expires_at_ms, Some(START_MS + 5_000));
    house.pass(Duration::from_secs(5));
    assert_eq!(house.gate.by_token(created.secret.expose()).await, Err(Refused::ExpiredToken));
    assert_eq!(house.gate.renew(&pass.who), Err(Refused::ExpiredToken));
    assert!(matches!(house.gate.create_token("eve", "x", None).await, Err(Refused::Invalid(_))));
}

#[tokio::test]
async fn being_seen_costs_one_write_a_minute() {
    let house = house(Auth::Required);
    house.user("ann", Role::Owner).await;
    let (id, phone) = house.token("ann").await;
    let seen = async |at_ms: u64| {
        for _ in 0..1_000 {
            let token = house.store.get::<Token>(&id).await.expect("readable").expect("there");
            if token.last_seen_ms == Some(at_ms) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("never seen at {at_ms}");
    };
    for _ in 0..50 {
        house.gate.by_token(&phone).await.expect("good");
    }
    seen(START_MS).await;
    let before = house.store.commits();
    house.pass(Duration::from_secs(59));
    for _ in 0..50 {
        house.gate.by_token(&phone).await.expect("good");
    }
    // A write of our own comes after whatever the calls have queued.
    house.user("bob", Role::Guest).await;
    assert_eq!(house.store.commits() - before, 1, "the new user's alone");
    house.pass(Duration::from_secs(1));
    house.gate.by_token(&phone).await.expect("good");
    seen(START_MS + 60_000).await;
}

#[tokio::test]
async fn a_ticket_is_good_once_and_only_while_its_token_is() {
    let house = house(Auth::Required);
    house.user("ann", Role::Owner).await;
    let (id, phone) = house.token("ann").await;
    let who = house.gate.by_token(&phone).await.expect("good").who;
    let (one, other) = (house.gate.issue_ticket(&who), house.gate.issue_ticket(&who));
    assert_eq!(house.gate.by_ticket(&one).await.expect("good").who, who);
    assert_eq!(house.gate.by_ticket(&one).await, Err(Refused::WrongTicket));
    house.gate.revoke_token(&id, None).await.expect("a write");
    assert_eq!(house.gate.by_ticket(&other).await, Err(Refused::WrongToken));
}

#[tokio::test]
async fn the_code_of_the_machine_outlives_wrong_guesses_and_ends_with_the_claim() {
    let house = house(Auth::Required);
    let file = house.folder.path().join(code_file::FILE_NAME);
    let claim = async |code: &str| house.gate.claim(HOME, code, "ann", None).await;
    std::fs::write(&file, "K7QM-2XWP\n").expect("room");
    for _ in 0..12 {
        assert_eq!(claim("2222-2222").await.expect_err("wrong"), Refused::WrongCode);
        house.pass(Duration::from_secs(3600));
    }
    // Whoever may write beside the store makes another one, and the old one opens nothing.
    std::fs::write(&file, "BBBB-CCCC\n").expect("room");
    assert_eq!(claim("K7QM-2XWP").await.expect_err("the old one"), Refused::WrongCode);
    claim("bbbb cccc").await.expect("the new one");
    assert!(!file.exists(), "it is of no use any more");
    // One that comes back opens nothing, and goes with the next start.
    std::fs::write(&file, "BBBB-CCCC\n").expect("room");
    assert!(matches!(claim("BBBB-CCCC").await, Err(Refused::NotClaimable(_))));
    let following = tokio::spawn(house.gate.clone().follow());
    for _ in 0..1_000 {
        if !file.exists() {
            return following.abort();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the code of a hub that is owned stays");
}

#[tokio::test]
async fn guesses_at_the_code_of_the_machine_wait() {
    let house = house(Auth::Required);
    std::fs::write(house.folder.path().join(code_file::FILE_NAME), "K7QM-2XWP").expect("room");
    let mut waited = 0;
    for _ in 0..20 {
        let guess = house.gate.claim(HOME, "2222-2222", "eve", None).await.expect_err("wrong");
        waited += u32::from(matches!(guess, Refused::TooMany { .. }));
    }
    assert_eq!(waited, 15, "five are free");
}

#[tokio::test]
async fn the_first_claim_makes_one_owner() {
    let house = house(Auth::Required);
    assert!(house.gate.is_claimable().await.expect("readable"));
    let claim = async |code: &str, name: &str| house.gate.claim(HOME, code, name, None).await;
    let code = house.code();
    for bad in ["house", "A\nnn", ""] {
        assert!(claim(&code, bad).await.is_err(), "{bad:?}");
    }
    assert_eq!(claim("2222-2222", "ann").await.expect_err("wrong"), Refused::WrongCode);
    let (user, created) =
        claim(&code.to_lowercase(), "ann").await.expect("the code is right, and no name has used it up");
    assert_eq!((&*user.name, user.role), ("ann", Role::Owner));
    assert!(house.gate.by_token(created.secret.expose()).await.expect("good").who.is_owner());
    assert!(!house.gate.is_claimable().await.expect("readable"));
    assert!(matches!(claim(&code, "eve").await, Err(Refused::NotClaimable(_))));
}

#[tokio::test]
async fn guessing_codes_ends_the_code_and_then_takes_time() {
    let house = house(Auth::Required);
    let code = house.code();
    let claim = async |code: &str| house.gate.claim(HOME, code, "ann", None).await.expect_err("wrong");
    for _ in 0..5 {
        assert_eq!(claim("2222-2222").await, Refused::WrongCode);
    }
    assert_eq!(claim(&code).await, Refused::TooMany { wait: Duration::from_secs(1) });
    house.pass(Duration::from_secs(2));
    assert_eq!(claim(&code).await, Refused::NoCode);
    let open = self::house(Auth::Off);
    assert!(!open.gate.is_claimable().await.expect("readable"));
    assert!(matches!(open.gate.claim(HOME, "", "ann", None).await, Err(Refused::NotClaimable(_))));
}

#[tokio::test]
async fn a_password_opens_and_guessing_it_takes_time() {
    let house = house(Auth::Required);
    let password = Some(Secret::new("correct horse"));
    house.gate.create_user(NewUser { password, ..NewUser::new("ann", Role::Owner) }).await.expect("a new user");
    let login = async |name: &str, password: &str| house.gate.by_password(HOME, name, Secret::new(password)).await;
    for _ in 0..5 {
        assert_eq!(login("ann", "wrong one").await.expect_err("wrong"), Refused::WrongPassword);
    }
    let throttled = login("ann", "correct horse").await.expect_err("too soon");
    assert_eq!(throttled, Refused::TooMany { wait: Duration::from_secs(1) });
    house.pass(Duration::from_secs(1));
    let (user, created) = login("ann", "correct horse").await.expect("right");
    assert_eq!(created.token.expires_at_ms.map(|at| at > START_MS + (LOGIN_DAYS - 1) * 86_400_000), Some(true));
    assert!(house.gate.by_token(created.secret.expose()).await.is_ok());
    assert!(user.password_hash.as_deref().is_some_and(|hash| !hash.contains("correct")));
    assert_eq!(login("eve", "correct horse").await.expect_err("nobody"), Refused::WrongPassword);
    let none = Change { password: Some(None), ..Change::default() };
    house.gate.change_user("ann", none, None).await.expect("a write");
    assert_eq!(login("ann", "correct horse").await.expect_err("none"), Refused::WrongPassword);
}

/// People type their name as they write it.
#[tokio::test]
async fn a_name_is_a_name_however_it_is_typed() {
    let house = house(Auth::Required);
    let password = || Secret::new("correct horse");
    let (user, _) = house.gate.claim(HOME, &house.code(), "Grand-mère", Some(password())).await.expect("a name");
    assert_eq!((&*user.name, user.display_name.as_deref()), ("grand-mere", Some("Grand-mère")));
    for typed in ["grand-mere", "GRAND-MÈRE", " Grand-mère "] {
        let (found, _) = house.gate.by_password(HOME, typed, password()).await.expect("her password");
        assert_eq!(found.name, user.name, "{typed}");
    }
    let from = |last: u8| IpAddr::from([192, 168, 7, last]);
    for address in 1..=2 {
        for typed in ["grand-mere", "Grand-Mere", "grand-mère", "GRAND-MERE", "Grand-mère"] {
            let wrong = house.gate.by_password(from(address), typed, Secret::new("wrong one")).await;
            assert_eq!(wrong.expect_err("wrong"), Refused::WrongPassword, "{typed}");
        }
    }
    let another = house.gate.by_password(from(3), "GRAND-mere", password()).await;
    assert!(matches!(another, Err(Refused::TooMany { .. })), "one account is guessed at, however it is typed");
}

#[tokio::test]
async fn signing_in_never_runs_out_of_tokens() {
    let house = house(Auth::Required);
    let password = Some(Secret::new("correct horse"));
    house.gate.create_user(NewUser { password, ..NewUser::new("ann", Role::Owner) }).await.expect("a new user");
    let (kept, _) = house.token("ann").await;
    let first = house.gate.create_token("ann", "old", Some(START_MS + 1_000_000)).await.expect("room");
    house.pass(Duration::from_secs(1));
    for _ in 2..TOKENS_OF_USER_MAX {
        house.gate.create_token("ann", "more", Some(START_MS + 1_000_000)).await.expect("room");
    }
    let full = house.gate.create_token("ann", "one more", None).await;
    assert!(matches!(full, Err(Refused::Conflict(_))), "{full:?}");
    house.gate.by_password(HOME, "ann", Secret::new("correct horse")).await.expect("room is made");
    let tokens = house.store.list::<Token>().await.expect("readable");
    assert_eq!(tokens.len(), TOKENS_OF_USER_MAX);
    assert!(tokens.iter().any(|token| token.id == kept), "one without an end stays");
    assert!(tokens.iter().all(|token| token.id != first.token.id), "the one that was seen least lately went");
}

#[tokio::test]
async fn the_last_owner_stays() {
    let house = house(Auth::Required);
    house.user("ann", Role::Owner).await;
    for change in
        [Change { role: Some(Role::Member), ..Change::default() }, Change { disabled: Some(true), ..Change::default() }]
    {
        assert!(matches!(house.gate.change_user("ann", change, None).await, Err(Refused::Conflict(_))));
    }
    assert!(matches!(house.gate.remove_user("ann", None).await, Err(Refused::Conflict(_))));
    let bob = house.user("bob", Role::Owner).await;
    let stale = house.gate.change_user("bob", Change::default(), Some(bob.revision - 1)).await;
    assert!(matches!(stale, Err(Refused::Write(WriteError::Conflict { .. }))), "{stale:?}");
    assert!(house.gate.remove_user("ann", None).await.expect("another one is there"));
    assert!(!house.gate.remove_user("ann", None).await.expect("nobody"));
    assert!(matches!(house.gate.create_user(NewUser::new("house", Role::Guest)).await, Err(Refused::Invalid(_))));
    let twice = house.gate.create_user(NewUser::new("bob", Role::Guest)).await;
    assert!(matches!(twice, Err(Refused::Write(WriteError::Conflict { .. }))), "{twice:?}");
}

#[tokio::test]
async fn whoever_is_in_hears_of_changes_and_of_nothing_else() {
    let house = house(Auth::Off);
    house.user("ann", Role::Owner).await;
    let (id, phone) = house.token("ann").await;
    let who = house.gate.by_token(&phone).await.expect("good").who;
    let following = tokio::spawn(house.gate.clone().follow());
    let mut changes = house.gate.changes();
    changes.mark_unchanged();
    let soon = async |changes: &mut watch::Receiver<u64>| {
        tokio::time::timeout(Duration::from_secs(30), changes.changed()).await.expect("soon").expect("a gate");
    };
    let more = Change { allow: Some(vec!["*".into()]), ..Change::default() };
    house.gate.change_user("ann", more, None).await.expect("a write");
    soon(&mut changes).await;
    assert_eq!(house.gate.renew(&who).expect("in").who.allow.len(), 1);
    house.gate.revoke_token(&id, None).await.expect("a write");
    soon(&mut changes).await;
    assert_eq!(house.gate.renew(&who), Err(Refused::WrongToken));
    // A name that nobody sees, and a password, change nobody's rights.
    let name = Change { display_name: Some(Some("Ann".into())), ..Change::default() };
    house.gate.change_user("ann", name, None).await.expect("a write");
    house.gate.directory().await.expect("readable");
    assert!(!changes.has_changed().expect("a gate"));
    house.config.send_modify(|config| Arc::make_mut(config).gateway.auth = Auth::Required);
    soon(&mut changes).await;
    assert_eq!(house.gate.renew(&Principal::house(Door::Websocket)), Err(Refused::NoToken));
    following.abort();
}
