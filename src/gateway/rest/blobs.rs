//! `/api/v1/blobs`: pictures and sounds that are too large for a message, put in and given back as they are. Trusts neither
//! name nor kind: what is no picture and no sound that the hub knows is not taken, and never shown as a page.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as _, Frame};
use hyper::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, LOCATION,
};
use hyper::{Method, StatusCode};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{not_read, not_written, problem};
use crate::common::error::{ErrorBody, ErrorCode};
use crate::gateway::context::{Context, Request, parameter};
use crate::gateway::listen::Caller;
use crate::gateway::respond::{self, Body, Response};
use crate::store::{BLOB_BYTES_MAX, Blob, Store};

/// Uploads at once. Each is held in memory until it is whole and known to be what it says.
const UPLOADS_MAX: usize = 4;

/// For a whole upload: the largest over a slow radio.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(120);

/// How long an upload may stand still.
const STALL_DEADLINE: Duration = Duration::from_secs(10);

static UPLOADS: Semaphore = Semaphore::const_new(UPLOADS_MAX);

/// What is taken.
struct Kind {
    mime: &'static str,
    /// Other words for it that are in use.
    aliases: &'static [&'static str],
    /// How its files are named.
    extension: &'static str,
    /// Whether a file begins like this: PNG §5.2, JPEG's SOI marker, RIFF with its form, GIF's signature, an ID3v2 tag or the
    /// sync word of an MPEG audio frame.
    begins: fn(&[u8]) -> bool,
}

static KINDS: &[Kind] = &[
    Kind { mime: "image/png", aliases: &[], extension: "png", begins: |bytes| bytes.starts_with(b"\x89PNG\r\n\x1a\n") },
    Kind {
        mime: "image/jpeg",
        aliases: &["image/jpg"],
        extension: "jpg",
        begins: |bytes| bytes.starts_with(b"\xff\xd8\xff"),
    },
    Kind { mime: "image/webp", aliases: &[], extension: "webp", begins: |bytes| is_riff(bytes, b"WEBP") },
    Kind {
        mime: "image/gif",
        aliases: &[],
        extension: "gif",
        begins: |bytes| bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a"),
    },
    Kind {
        mime: "audio/wav",
        aliases: &["audio/x-wav", "audio/wave", "audio/vnd.wave"],
        extension: "wav",
        begins: |bytes| is_riff(bytes, b"WAVE"),
    },
    Kind {
        mime: "audio/mpeg",
        aliases: &["audio/mp3"],
        extension: "mp3",
        begins: |bytes| {
            let is_frame = |head: &[u8]| head[0] == 0xff && head[1] & 0xe0 == 0xe0 && head[1] & 0x06 != 0;
            bytes.starts_with(b"ID3") || bytes.get(..2).is_some_and(is_frame)
        },
    },
];

fn is_riff(bytes: &[u8], form: &[u8; 4]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(form)
}

#[derive(Serialize)]
struct Made {
    blob_id: String,
    mime: &'static str,
    bytes: usize,
}

/// `POST /api/v1/blobs`: takes the body as it is; its kind is the `content-type`. The same bytes get the same id.
pub async fn post(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    let kind = match kind_of(request.headers()) {
        Ok(kind) => kind,
        Err(refused) => return *refused,
    };
    let Ok(_place) = UPLOADS.try_acquire() else {
        let busy = format!("{UPLOADS_MAX} uploads are under way already; try again in a moment");
        let error =
            ErrorBody { retryable: true, retry_after_ms: Some(1000), ..ErrorBody::new(ErrorCode::RateLimited, busy) };
        return respond::problem(StatusCode::SERVICE_UNAVAILABLE, &error);
    };
    let data = match timeout(UPLOAD_DEADLINE, receive(request, kind)).await {
        Ok(Ok(data)) => data,
        Ok(Err(refused)) => return *refused,
        Err(_) => return too_slow(),
    };
    let bytes = data.len();
    match context.store.put_blob(kind.mime, data).await {
        Ok(blob_id) => {
            let place = HeaderValue::from_str(&format!("/api/v1/blobs/{blob_id}")).expect("hex digits in a path");
            let mut response = respond::json(StatusCode::CREATED, &Made { blob_id, mime: kind.mime, bytes });
            response.headers_mut().insert(LOCATION, place);
            response
        }
        Err(error) => not_written(&error),
    }
}

/// `GET /api/v1/blobs/{id}`: the bytes. They never change under their id, so a browser asks once.
pub async fn get(context: Arc<Context>, _caller: Caller, request: Request) -> Response {
    let id = parameter(&request, "id");
    let asked = id.clone();
    let Blob { mime, bytes } = match context.store.read(move |snapshot| snapshot.blob_info(&asked)).await {
        Ok(Some(blob)) => blob,
        Ok(None) => {
            let gone = "there is no such picture or sound; what was not used for long is forgotten";
            return problem(&ErrorBody::new(ErrorCode::NotFound, gone));
        }
        Err(error) => return not_read(&error),
    };
    let tag = HeaderValue::from_str(&format!("\"{id}\"")).expect("an id that was found is hex digits");
    let mut response = if respond::has_tag(request.headers(), &tag) {
        respond::empty(StatusCode::NOT_MODIFIED)
    } else if request.method() == Method::HEAD {
        respond::empty(StatusCode::OK)
    } else {
        Response::new(stored(context.store.clone(), id.clone()))
    };
    let whole = response.status() == StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(ETAG, tag);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    if whole {
        // A provider may have sent anything: what is not known here is a file to be saved, whatever it says it is.
        let known = KINDS.iter().find(|kind| *kind.mime == *mime);
        let (mime, place) = match known {
            Some(kind) => (kind.mime, format!("inline; filename=\"{id}.{}\"", kind.extension)),
            None => ("application/octet-stream", format!("attachment; filename=\"{id}\"")),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(mime));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_str(&place).expect("hex digits and a few letters"));
    }
    response
}

/// The blob, piece by piece as the client takes them. Where it is forgotten meanwhile the body ends early, which its length
/// gives away.
fn stored(store: Store, id: String) -> Body {
    let pieces = stream::unfold((store, id, 0), |(store, id, number)| async move {
        let asked = id.clone();
        let piece = store.read(move |snapshot| snapshot.blob_piece(&asked, number)).await.ok().flatten()?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), (store, id, number + 1)))
    });
    BodyExt::boxed_unsync(StreamBody::new(pieces))
}

/// What the `content-type` says, parameters aside.
fn kind_of(headers: &HeaderMap) -> Result<&'static Kind, Box<Response>> {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mime = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = KINDS.iter().find(|kind| kind.mime == mime || kind.aliases.contains(&mime.as_str()));
    kind.ok_or_else(|| {
        let known = KINDS.iter().map(|kind| kind.mime).collect::<Vec<_>>().join(", ");
        unsupported(format!("the content-type must be one of {known}"))
    })
}

/// The whole body, once it is no longer than it may be and begins as its kind does.
async fn receive(request: Request, kind: &Kind) -> Result<Bytes, Box<Response>> {
    let mut body = request.into_body();
    // A length that is told is believed, before a client that waits for `100 Continue` sends it.
    let told = body.size_hint().lower();
    if told > BLOB_BYTES_MAX as u64 {
        return Err(too_large());
    }
    // Not all of it at once: a length costs a caller nothing.
    let mut data = BytesMut::with_capacity((told as usize).min(64 * 1024));
    loop {
        let Ok(frame) = timeout(STALL_DEADLINE, body.frame()).await else { return Err(Box::new(too_slow())) };
        let Some(frame) = frame else { break };
        let Ok(frame) = frame else {
            let cut = ErrorBody::new(ErrorCode::BadRequest, "the upload is broken or cut off");
            return Err(Box::new(respond::problem(StatusCode::BAD_REQUEST, &cut)));
        };
        let piece = frame.into_data().unwrap_or_default();
        if data.len() + piece.len() > BLOB_BYTES_MAX {
            return Err(too_large());
        }
        data.extend_from_slice(&piece);
    }
    if (kind.begins)(&data) { Ok(data.freeze()) } else { Err(unsupported(format!("these bytes are no {}", kind.mime))) }
}

fn too_large() -> Box<Response> {
    let error = ErrorBody::new(ErrorCode::TooLarge, format!("a picture or a sound may have {BLOB_BYTES_MAX} bytes"));
    Box::new(respond::problem(StatusCode::PAYLOAD_TOO_LARGE, &error))
}

fn unsupported(why: String) -> Box<Response> {
    let error = ErrorBody::new(ErrorCode::Unsupported, why);
    Box::new(respond::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error))
}

fn too_slow() -> Response {
    let error = ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Timeout, "the upload came too slowly") };
    respond::problem(StatusCode::REQUEST_TIMEOUT, &error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::Config;
    use crate::gateway::testing::{Open, body, header, open, status};

    /// The smallest thing that begins like each kind.
    const BEGINNINGS: [(&str, &[u8]); 7] = [
        ("image/png", b"\x89PNG\r\n\x1a\nrest"),
        ("image/jpeg", b"\xff\xd8\xff\xe0rest"),
        ("image/webp", b"RIFF\0\0\0\0WEBPrest"),
        ("image/gif", b"GIF89arest"),
        ("audio/wav", b"RIFF\0\0\0\0WAVErest"),
        ("audio/mpeg", b"ID3\x04rest"),
        ("audio/mpeg", b"\xff\xfb\x90\x00rest"),
    ];

    async fn post(open: &Open, mime: &str, data: &[u8]) -> String {
        let head = format!("POST /api/v1/blobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: {mime}\r\n");
        let head = format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n", data.len());
        open.ask([head.as_bytes(), data].concat()).await
    }

    fn id(made: &str) -> String {
        let made: serde_json::Value = serde_json::from_str(body(made)).expect("JSON");
        made["blob_id"].as_str().expect("an id").to_owned()
    }

    #[tokio::test]
    async fn every_kind_is_taken_as_itself_and_as_nothing_else() {
        let open = open(Config::default());
        for (mime, data) in BEGINNINGS {
            let made = post(&open, mime, data).await;
            assert_eq!(status(&made), 201, "{made}");
            let place = header(&made, "location").expect("a place").to_owned();
            assert_eq!(place, format!("/api/v1/blobs/{}", id(&made)));
            let got = open.get("GET", &place, "").await;
            assert_eq!(header(&got, "content-type"), Some(mime));
            assert_eq!(header(&got, "content-length"), Some(&*data.len().to_string()));
            assert!(body(&got).ends_with("rest"), "{got}");
            for kind in KINDS.iter().filter(|kind| kind.mime != mime) {
                let refused = post(&open, kind.mime, data).await;
                assert_eq!(status(&refused), 415, "{} as {}: {refused}", mime, kind.mime);
            }
        }
        for mime in ["", "text/html", "image/svg+xml", "application/octet-stream"] {
            let refused = post(&open, mime, BEGINNINGS[0].1).await;
            assert_eq!(status(&refused), 415, "{mime}: {refused}");
            assert!(body(&refused).contains("image/webp") && body(&refused).contains(r#""code":"unsupported""#));
        }
        for mime in ["IMAGE/PNG", "image/png; charset=binary"] {
            assert_eq!(status(&post(&open, mime, BEGINNINGS[0].1).await), 201, "{mime}");
        }
        assert_eq!(status(&post(&open, "image/png", b"").await), 415);
    }

    #[tokio::test]
    async fn a_blob_is_asked_for_once_and_does_nothing_in_a_browser() {
        let open = open(Config::default());
        let (mime, data) = BEGINNINGS[0];
        let (first, again) = (post(&open, mime, data).await, post(&open, mime, data).await);
        assert_eq!(id(&first), id(&again), "the same bytes are the same blob");
        let place = format!("/api/v1/blobs/{}", id(&first));
        let got = open.get("GET", &place, "").await;
        let tag = header(&got, "etag").expect("a tag").to_owned();
        assert_eq!(header(&got, "cache-control"), Some("private, max-age=31536000, immutable"));
        assert_eq!(header(&got, "x-content-type-options"), Some("nosniff"));
        assert_eq!(header(&got, "content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
        let named = format!("inline; filename=\"{}.png\"", id(&first));
        assert_eq!(header(&got, "content-disposition"), Some(&*named));
        let known = open.get("GET", &place, &format!("If-None-Match: {tag}\r\n")).await;
        assert_eq!((status(&known), body(&known)), (304, ""));
        let head = open.get("HEAD", &place, "").await;
        assert_eq!((status(&head), body(&head)), (200, ""));
        assert_eq!(header(&head, "content-length"), header(&got, "content-length"));
        let gone = open.get("GET", "/api/v1/blobs/b-0", "").await;
        assert_eq!(status(&gone), 404);
        assert!(body(&gone).contains(r#""code":"not_found""#), "{gone}");
    }

    #[tokio::test]
    async fn an_upload_has_a_limit_told_or_not() {
        let open = open(Config::default());
        let head = "POST /api/v1/blobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/gif\r\n";
        let told = format!("{head}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n", BLOB_BYTES_MAX + 1);
        let refused = open.ask(told).await;
        assert_eq!(status(&refused), 413, "{refused}");
        assert!(body(&refused).contains("16777216"), "{refused}");
        let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for _ in 0..=BLOB_BYTES_MAX / 65536 {
            chunked.extend_from_slice(b"10000\r\n");
            chunked.extend_from_slice(&[b'G'; 65536]);
            chunked.extend_from_slice(b"\r\n");
        }
        assert_eq!(status(&open.ask(chunked).await), 413);
        let mut largest = b"GIF89a".to_vec();
        largest.resize(BLOB_BYTES_MAX, b'x');
        let made = post(&open, "image/gif", &largest).await;
        assert_eq!(status(&made), 201, "{made}");
        let got = open.get("GET", &format!("/api/v1/blobs/{}", id(&made)), "").await;
        assert_eq!(body(&got).as_bytes(), largest);
        let cut = format!("{head}Content-Length: 100\r\n\r\nGIF89a");
        let mut stream = open.connect().await;
        use tokio::io::AsyncWriteExt;
        stream.write_all(cut.as_bytes()).await.expect("an open socket");
        stream.shutdown().await.expect("an open socket");
        assert!(matches!(status(&crate::gateway::testing::hear(&mut stream).await), 0 | 400));
    }
}
