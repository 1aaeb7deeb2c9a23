//! Pictures and sound that a client sends along: read from base64 and held against what they say they are. Fetches what was
//! sent before from the store. Knows no session.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use crate::common::chat::Media;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::ids::is_conversation_id;
use crate::gateway::session::wire::{ATTACHMENTS_MAX, Attachment, shown};
use crate::store::{ReadError, Snapshot, Store};

/// Attachments of one chat together, bytes. The providers take some 20 MB in one request.
pub const BYTES_MAX: u64 = 20 * 1024 * 1024;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The names of a kind, and what tells it by its first bytes.
type Known = (&'static [&'static str], fn(&[u8]) -> bool);

/// What a model may be given, by all the names that clients have for it; the first one holds.
const KINDS: [Known; 6] = [
    // PNG (W3C) §5.2.
    (&["image/png"], |bytes| bytes.starts_with(b"\x89PNG\r\n\x1a\n")),
    // ITU-T T.81 annex B: SOI, and a marker after it.
    (&["image/jpeg", "image/jpg"], |bytes| bytes.starts_with(b"\xff\xd8\xff")),
    // RFC 9649 §2.4.
    (&["image/webp"], |bytes| is_riff(bytes, b"WEBP")),
    // GIF89a §17.
    (&["image/gif"], |bytes| bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a")),
    (&["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"], |bytes| is_riff(bytes, b"WAVE")),
    (&["audio/mpeg", "audio/mp3"], is_mp3),
];

/// A blob that a chat names, and its place among the attachments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub place: usize,
    pub blob_id: String,
}

/// Reads the attachments of a chat. What is only named stands empty at its place. Errors name the field.
pub fn read(attachments: Vec<Attachment>) -> Result<(Vec<Media>, Vec<Named>), String> {
    if attachments.len() > ATTACHMENTS_MAX {
        return Err(format!("payload.attachments has {}; {ATTACHMENTS_MAX} are possible", attachments.len()));
    }
    let (mut media, mut named) = (Vec::with_capacity(attachments.len()), Vec::new());
    for (place, attachment) in attachments.into_iter().enumerate() {
        let at = |what: String| format!("payload.attachments[{place}]{what}");
        media.push(match attachment {
            Attachment { blob_id: Some(blob_id), mime: None, data: None } => {
                if !is_conversation_id(&blob_id) {
                    return Err(at(format!(".blob_id: {:?} is no id of a blob", shown(&blob_id))));
                }
                named.push(Named { place, blob_id });
                Media { mime: "".into(), data: Bytes::new() }
            }
            Attachment { blob_id: None, mime: Some(mime), data: Some(data) } => one(&mime, &data).map_err(at)?,
            _ => return Err(at(" has either mime and data, or blob_id".into())),
        });
    }
    Ok((media, named))
}

fn one(mime: &str, base64: &str) -> Result<Media, String> {
    let name = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some((names, is_it)) = KINDS.iter().find(|(names, _)| names.contains(&&*name)) else {
        let known: Vec<_> = KINDS.iter().map(|(names, _)| names[0]).collect();
        return Err(format!(".mime: {:?} cannot be taken; {} can", shown(mime), known.join(", ")));
    };
    let data = BASE64.decode(base64).map_err(|error| format!(".data is not base64: {error}"))?;
    if !is_it(&data) {
        return Err(format!(".data does not begin as {} does", names[0]));
    }
    Ok(Media { mime: names[0].into(), data: data.into() })
}

/// RIFF: four letters, a length, and what is in it.
fn is_riff(bytes: &[u8], what: &[u8; 4]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(what)
}

/// An ID3v2 tag, or the header of a frame: eleven bits set, a layer (ISO 11172-3 §2.4.1.3).
fn is_mp3(bytes: &[u8]) -> bool {
    bytes.starts_with(b"ID3") || matches!(bytes, [0xff, second, ..] if second & 0xe0 == 0xe0 && second & 0x06 != 0)
}

/// Gets what was named, in that order. Lengths are looked at first, so that what is too much is never read.
pub async fn fetch(store: &Store, named: Vec<Named>) -> Result<Vec<Media>, ErrorBody> {
    let look = move |store: &Snapshot| {
        let mut bytes = 0;
        for name in &named {
            bytes += match store.blob_info(&name.blob_id)? {
                Some(blob) if is_known(&blob.mime) => blob.bytes,
                Some(blob) => return Ok(Err(name.not_taken(&blob.mime))),
                None => return Ok(Err(name.not_there())),
            };
        }
        if bytes > BYTES_MAX {
            let text = format!("payload.attachments: together they have {bytes} bytes; {BYTES_MAX} are possible");
            return Ok(Err(ErrorBody::new(ErrorCode::TooLarge, text)));
        }
        let mut media = Vec::with_capacity(named.len());
        for name in &named {
            let Some(found) = store.blob(&name.blob_id)? else { return Ok(Err(name.not_there())) };
            media.push(found);
        }
        Ok(Ok(media))
    };
    let internal = |error: ReadError| ErrorBody::new(ErrorCode::Internal, error.to_string());
    store.read(look).await.map_err(internal)?
}

impl Named {
    fn not_there(&self) -> ErrorBody {
        let Named { place, blob_id } = self;
        let text = format!("payload.attachments[{place}].blob_id: there is no blob {blob_id:?} (any more)");
        ErrorBody::new(ErrorCode::NotFound, text)
    }

    fn not_taken(&self, mime: &str) -> ErrorBody {
        let Named { place, blob_id } = self;
        let text = format!("payload.attachments[{place}].blob_id: {blob_id:?} is {mime}, which no model takes");
        ErrorBody::new(ErrorCode::BadRequest, text)
    }
}

fn is_known(mime: &str) -> bool {
    KINDS.iter().any(|(names, _)| names.contains(&mime))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(mime: &str, data: &[u8]) -> Attachment {
        Attachment { mime: Some(mime.into()), data: Some(BASE64.encode(data)), blob_id: None }
    }

    fn named(blob_id: &str) -> Attachment {
        Attachment { blob_id: Some(blob_id.into()), ..Attachment::default() }
    }

    #[test]
    fn every_kind_is_known_by_its_first_bytes() {
        let begins: [(&str, &[u8], &str); 10] = [
            ("image/png", b"\x89PNG\r\n\x1a\n\0", "image/png"),
            ("IMAGE/JPEG; q=1", b"\xff\xd8\xff\xe0", "image/jpeg"),
            ("image/jpg", b"\xff\xd8\xff\xdb", "image/jpeg"),
            ("image/webp", b"RIFF\x04\0\0\0WEBP", "image/webp"),
            ("image/gif", b"GIF89a", "image/gif"),
            ("image/gif", b"GIF87a", "image/gif"),
            ("audio/wav", b"RIFF\x04\0\0\0WAVE", "audio/wav"),
            ("audio/x-wav", b"RIFF\x04\0\0\0WAVE", "audio/wav"),
            ("audio/mpeg", b"ID3\x04", "audio/mpeg"),
            ("audio/mp3", b"\xff\xfb\x90", "audio/mpeg"),
        ];
        for (mime, data, name) in begins {
            let (media, _) = read(vec![sent(mime, data)]).expect(mime);
            assert_eq!(media, [Media { mime: name.into(), data: Bytes::copy_from_slice(data) }]);
        }
        for (at, (mime, data, name)) in begins.iter().enumerate() {
            let other = begins.iter().cycle().skip(at + 1).find(|(_, _, other)| other != name).expect("another");
            assert!(read(vec![sent(mime, other.1)]).is_err(), "{mime}");
            assert!(read(vec![sent(mime, &data[..1])]).is_err(), "{mime}");
            assert!(read(vec![sent(mime, b"")]).is_err(), "{mime}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let png = b"\x89PNG\r\n\x1a\n";
        let both = Attachment { blob_id: Some("b-1".into()), ..sent("image/png", png) };
        let half = Attachment { data: None, ..sent("image/png", png) };
        let odd = Attachment { data: Some("?".into()), ..sent("image/png", png) };
        for (attachment, field) in [
            (both, "[1] has either"),
            (half, "[1] has either"),
            (Attachment::default(), "[1] has either"),
            (odd, "[1].data is not base64"),
            (sent("image/png", b"GIF89a"), "[1].data does not begin"),
            (sent("image/svg+xml", b"<svg>"), "[1].mime"),
            (sent("text/html", b"<p>"), "[1].mime"),
            (named("../x"), "[1].blob_id"),
            (named(""), "[1].blob_id"),
        ] {
            let why = read(vec![sent("image/png", png), attachment]).expect_err(field);
            assert!(why.starts_with(&format!("payload.attachments{field}")), "{why}");
        }
        let many = vec![sent("image/png", png); ATTACHMENTS_MAX + 1];
        assert!(read(many).expect_err("too many").starts_with("payload.attachments has 9"));
    }

    #[test]
    fn padding_may_be_absent_and_names_keep_their_places() {
        let bare = Attachment { data: Some("R0lGODlh".into()), ..sent("image/gif", b"") };
        let unpadded = Attachment { data: Some("iVBORw0KGgo".into()), ..sent("image/png", b"") };
        let (media, names) = read(vec![named("b-1"), bare, named("b-2"), unpadded]).expect("good ones");
        let empty: Vec<_> = media.iter().map(|one| one.mime.is_empty()).collect();
        assert_eq!(empty, [true, false, true, false]);
        assert_eq!(names, [Named { place: 0, blob_id: "b-1".into() }, Named { place: 2, blob_id: "b-2".into() }]);
    }

    #[tokio::test]
    async fn what_is_fetched_has_a_bound_and_must_be_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("hearth.redb")).expect("a store");
        let half = vec![7; BYTES_MAX as usize / 2];
        let png = store.put_blob("image/png", half.clone().into()).await.expect("kept");
        let wav = store.put_blob("audio/wav", b"RIFF".to_vec().into()).await.expect("kept");
        let text = store.put_blob("text/plain", b"hello".to_vec().into()).await.expect("kept");
        let named = |ids: &[&str]| -> Vec<Named> {
            ids.iter().enumerate().map(|(place, id)| Named { place, blob_id: (*id).into() }).collect()
        };
        let media = fetch(&store, named(&[&wav, &png])).await.expect("both are there");
        let seen: Vec<_> = media.iter().map(|one| (&*one.mime, one.data.len())).collect();
        assert_eq!(seen, [("audio/wav", 4), ("image/png", half.len())]);
        assert_eq!(fetch(&store, named(&[&png, &png])).await.map(|media| media.len()), Ok(2));
        for (ids, code) in [
            (&[&*png, &png, &wav][..], ErrorCode::TooLarge),
            (&[&png, "b-none"], ErrorCode::NotFound),
            (&[&png, &text], ErrorCode::BadRequest),
        ] {
            let error = fetch(&store, named(ids)).await.expect_err("no good");
            let named = ids.len() == 3 || error.message.contains("attachments[1].blob_id");
            assert!(error.code == code && named, "{error:?}");
        }
    }
}
