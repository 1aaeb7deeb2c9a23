//! `/api/v1/backup`: the whole house as one file, for an owner. Holds the key of the Zigbee network; keys of others only sealed under a
//! passphrase. Nothing is put back here: a house is restored where no hub runs.
#![expect(clippy::disallowed_methods, reason = "the driver of a download: a backup says when it was made")]

use std::convert::Infallible;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::{problem, read_json};
use crate::auth::may_call;
use crate::backup::{Backup, TakeError, Wanted, take};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::time::{UnixMillis, whole_ms};
use crate::common::who::{Principal, Role};
use crate::gateway::context::{Context, Request, principal};
use crate::gateway::listen::Caller;
use crate::gateway::respond::{self, Body, Response};
use crate::home::{Backend, Keeper, NetworkQuery, Radio, RadioStatus};
use crate::store::{AuditEntry, Reckoning, Store};

/// Bytes that are read and sent at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long a backup may take to be fetched: the largest over a slow radio. Past it the body ends early.
const FETCH_DEADLINE: Duration = Duration::from_secs(60 * 60);

/// For the stick to be read anew, and between two looks whether it is in the store.
const NETWORK_WAIT: Duration = Duration::from_secs(15);
const NETWORK_LOOK: Duration = Duration::from_millis(50);

/// What the audit calls it.
const NAME: &str = "backup";

/// A copy of the store takes its room on the disk: one at a time.
static ONE: Semaphore = Semaphore::const_new(1);

/// What a POST says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealing {
    /// Keys go along, sealed under it.
    passphrase: String,
}

/// `GET /api/v1/backup`: without keys.
pub async fn get(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    if let Err(refused) = allow(&principal(&request)) {
        return *refused;
    }
    if request.method() == Method::HEAD {
        // Its length is known when it has been made.
        return respond::empty(StatusCode::OK);
    }
    give(&context, &principal(&request), None).await
}

/// `POST /api/v1/backup`: with the keys that this hub has, sealed under a passphrase.
pub async fn post(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    if let Err(refused) = allow(&principal(&request)) {
        return *refused;
    }
    let who = principal(&request);
    match read_json::<Sealing>(request).await {
        Ok(Sealing { passphrase }) => give(&context, &who, Some(passphrase)).await,
        Err(refused) => *refused,
    }
}

/// For an owner of the whole house to whom neither this nor the network's key is denied.
fn allow(who: &Principal) -> Result<(), Box<Response>> {
    let refused = |why: String| Box::new(problem(&ErrorBody::new(ErrorCode::Forbidden, why)));
    for tool in [NAME, "network.backup"] {
        may_call(who, tool, Role::Owner).map_err(|denied| refused(denied.to_string()))?;
    }
    match who.rooms {
        None => Ok(()),
        Some(_) => Err(refused("a backup is for those who may see the whole house".into())),
    }
}

async fn give(context: &Context, who: &Principal, passphrase: Option<String>) -> Response {
    let Ok(place) = ONE.try_acquire() else {
        let busy = "a backup is being made or fetched already; try again when it is done";
        return problem(&ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::RateLimited, busy) });
    };
    let (began, now_ms) = (Instant::now(), unix_now());
    let arguments = passphrase.iter().map(|_| "passphrase".to_owned()).collect();
    if let Some(home) = &context.home {
        bring_network_up_to_date(home, &context.store).await;
    }
    let config = context.config.borrow().clone();
    let wanted = Wanted {
        config: &config,
        config_file: context.config_file.as_deref(),
        env: &|name| std::env::var(name).ok(),
        passphrase,
        hearth: context.version,
        now_ms,
    };
    let taken = take(&context.store, wanted).await;
    note(context, who, arguments, now_ms, whole_ms(began.elapsed()), &taken).await;
    match taken {
        Ok(backup) => download(backup, now_ms, place),
        Err(error) => {
            tracing::warn!(%error, "no backup was made");
            problem(&error.to_body())
        }
    }
}

/// Has the stick's network read anew and waits until that lies in the store: a device that came a moment ago is to be in the backup, and
/// frame counters are to be near. Where the stick does not answer, what is kept is good enough.
async fn bring_network_up_to_date(home: &Keeper, store: &Store) {
    let is_up = |radio: &Radio| radio.backend == Backend::Zigbee && radio.status == RadioStatus::Up;
    if !home.radios().iter().any(is_up) {
        return;
    }
    let reading = async {
        let read = home.network(NetworkQuery::Backup, Some(Backend::Zigbee)).await.map_err(|error| error.message)?;
        loop {
            let newest = store.zigbee_backups().await.map_err(|error| error.to_string())?.into_iter().next();
            if newest.is_some_and(|newest| serde_json::from_slice::<Value>(&newest.document).is_ok_and(|it| it == read))
            {
                return Ok(());
            }
            sleep(NETWORK_LOOK).await;
        }
    };
    let done = timeout(NETWORK_WAIT, reading).await.unwrap_or_else(|_| Err("it did not answer in time".into()));
    if let Err(error) = done {
        let error: String = error;
        tracing::warn!(error, "the backup has the Zigbee network as it was read last");
    }
}

/// A backup is not a tool, and belongs into the audit all the same.
async fn note(
    context: &Context,
    who: &Principal,
    arguments: Vec<String>,
    at_ms: UnixMillis,
    ms: u64,
    taken: &Result<Backup, TakeError>,
) {
    let code = taken.as_ref().err().map(|error| error.to_body().code);
    let entry = AuditEntry {
        seq: 0,
        at_ms,
        user: who.user.to_string(),
        role: who.role,
        door: who.door,
        token: who.token.as_deref().map(str::to_owned),
        tool: NAME.into(),
        origin: Some("hub".into()),
        outcome: if code.is_none() { Reckoning::Ok } else { Reckoning::Error },
        code,
        ms,
        arguments,
    };
    if let Err(error) = context.store.add_audit(vec![entry]).await {
        tracing::warn!(%error, "a backup is not in the audit");
    }
}

fn download(backup: Backup, now_ms: UnixMillis, place: SemaphorePermit<'static>) -> Response {
    let length = backup.length();
    let day = i64::try_from(now_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    let name = format!("attachment; filename=\"hearth-{}.tar\"", day.strftime("%Y-%m-%d"));
    let mut response = Response::new(body(backup, place));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_str(&name).expect("digits and a few letters"));
    response
}

/// Chunk by chunk as the client takes them. Where the disk fails the body ends early, which its length gives away.
fn body(backup: Backup, place: SemaphorePermit<'static>) -> Body {
    let until = Instant::now() + FETCH_DEADLINE;
    let chunks = stream::unfold((backup, place), move |(mut backup, place)| async move {
        if Instant::now() > until {
            return None;
        }
        let reading = spawn_blocking(move || {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            let read = (&mut backup).take(CHUNK_BYTES as u64).read_to_end(&mut chunk);
            read.ok().filter(|read| *read > 0).map(|_| (backup, chunk))
        });
        let (backup, chunk) = reading.await.ok().flatten()?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(chunk))), (backup, place)))
    });
    BodyExt::boxed_unsync(StreamBody::new(chunks))
}

fn unix_now() -> UnixMillis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::Config;
    use crate::common::who::Door;
    use crate::gateway::testing::{body, header, open, status};

    #[test]
    fn a_backup_is_for_owners_of_the_whole_house() {
        let owner = Principal::new("ann", Role::Owner, Door::Rest);
        assert!(allow(&owner).is_ok());
        let others = [
            Principal::new("bob", Role::Member, Door::Rest),
            Principal { allow: Arc::new(["*".into()]), ..Principal::new("bob", Role::Member, Door::Rest) },
            Principal { deny: Arc::new(["network.*".into()]), ..owner.clone() },
            Principal { deny: Arc::new([NAME.into()]), ..owner.clone() },
            Principal { rooms: Some(Arc::new(["kitchen".into()])), ..owner },
        ];
        for who in others {
            assert_eq!(allow(&who).expect_err("not theirs").status(), StatusCode::FORBIDDEN, "{who:?}");
        }
    }

    #[tokio::test]
    async fn what_is_sent_is_a_tar_of_the_length_that_was_told() {
        let open = open(Config::default());
        let answer = open.get("GET", "/api/v1/backup", "").await;
        assert_eq!((status(&answer), header(&answer, "content-type")), (200, Some("application/x-tar")));
        assert!(body(&answer).starts_with("manifest.json\0"));
        assert!(header(&answer, "content-disposition").is_some_and(|name| name.contains("hearth-20")), "{answer}");
        let post = |text: &str| {
            format!(
                "POST /api/v1/backup HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
                 Content-Length: {}\r\n\r\n{text}",
                text.len()
            )
        };
        for bad in [r#"{"passphrase":"short"}"#, "{}", r#"{"passphrase":"long enough","x":1}"#] {
            assert_eq!(status(&open.ask(post(bad)).await), 400, "{bad}");
        }
    }
}
