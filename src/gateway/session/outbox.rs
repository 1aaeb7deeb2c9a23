//! What waits for a session's socket: messages in their order, sound and small pictures at their places among them, and
//! beside them at most one large picture, whose frames take turns with all the rest. Pure; knows no protocol.

use std::collections::VecDeque;
use std::time::Instant;

use crate::common::events::{News, TurnEvent};
use crate::gateway::session::media::{Piece, Spelled};
use crate::gateway::session::transmit::Transmit;
use crate::router::TurnKey;

/// With so much waiting, no news of turns are taken: the providers wait with us, and no text is dropped.
pub const BYTES_ENOUGH: usize = 64 * 1024;

/// News that wait behind a large picture of the same request.
const HELD_MAX: usize = 64;

/// Which chunk it is that is on its way, and since when.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    pub key: TurnKey,
    pub received_at: Instant,
}

/// News that came while they had to wait, and when they came.
pub type Held = (Instant, TurnKey, TurnEvent);

#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Item>,
    text_bytes: usize,
    /// Of sound and pictures in the queue.
    media_bytes: usize,
    /// Rare, and so boxed.
    painting: Option<Box<Painting>>,
}

#[derive(Debug)]
struct Item {
    what: What,
    stamp: Option<Stamp>,
}

#[derive(Debug)]
enum What {
    Transmit(Transmit),
    Piece(Box<(TurnKey, Piece)>),
    Spelled(Box<(TurnKey, Spelled)>),
    /// From here on the large picture may be sent.
    Picture,
}

/// A large picture on its way. What its request has to tell further waits until it is through, so that a client has all of
/// it before it hears of the next thing; other requests go on.
#[derive(Debug)]
struct Painting {
    key: TurnKey,
    piece: Piece,
    /// The message that names it has been sent.
    is_announced: bool,
    is_done: bool,
    /// What others may send before its next frame, bytes: as much as its last one had.
    credit: usize,
    held: VecDeque<Held>,
    holds_picture: bool,
}

impl Outbox {
    /// The next of it.
    pub fn next(&mut self) -> Option<(Transmit, Option<Stamp>)> {
        loop {
            if self.painting.is_some()
                && !self.is_amid_message()
                && let Some(frame) = self.next_of_picture()
            {
                return Some((frame, None));
            }
            let Item { what, stamp } = self.queue.pop_front()?;
            let (transmit, rest) = match what {
                What::Transmit(transmit) => {
                    self.text_bytes -= text_len(&transmit);
                    (transmit, None)
                }
                What::Piece(mut piece) => {
                    let before = piece.1.data.len();
                    let (frame, more) = piece.1.cut();
                    self.media_bytes -= before - piece.1.data.len();
                    (Transmit::Binary(frame), more.then_some(What::Piece(piece)))
                }
                What::Spelled(mut spelled) => {
                    let before = spelled.1.bytes();
                    let (part, more) = spelled.1.cut();
                    self.media_bytes -= if more { before - spelled.1.bytes() } else { before };
                    (part, more.then_some(What::Spelled(spelled)))
                }
                What::Picture => {
                    if let Some(painting) = &mut self.painting {
                        painting.is_announced = true;
                    }
                    continue;
                }
            };
            let is_whole = rest.is_none();
            if let Some(what) = rest {
                self.queue.push_front(Item { what, stamp });
            }
            if let Some(painting) = &mut self.painting {
                painting.credit = painting.credit.saturating_sub(len(&transmit));
            }
            return Some((transmit, stamp.filter(|_| is_whole)));
        }
    }

    fn next_of_picture(&mut self) -> Option<Transmit> {
        let is_alone = self.queue.is_empty();
        let painting = self.painting.as_mut()?;
        if !painting.is_announced || painting.is_done || painting.credit > 0 && !is_alone {
            return None;
        }
        let (frame, more) = painting.piece.cut();
        (painting.credit, painting.is_done) = (frame.len(), !more);
        Some(Transmit::Binary(frame))
    }

    /// Fragments of one message have nothing but control frames between them (RFC 6455 §5.4).
    fn is_amid_message(&self) -> bool {
        matches!(self.queue.front(), Some(Item { what: What::Spelled(spelled), .. }) if spelled.1.is_begun())
    }

    pub fn push(&mut self, transmit: Transmit, stamp: Option<Stamp>) {
        self.text_bytes += text_len(&transmit);
        self.queue.push_back(Item { what: What::Transmit(transmit), stamp });
    }

    /// Bytes of a stream, at their place among the messages.
    pub fn push_piece(&mut self, key: TurnKey, piece: Piece) {
        self.media_bytes += piece.data.len();
        self.queue.push_back(Item { what: What::Piece(Box::new((key, piece))), stamp: None });
    }

    pub fn push_spelled(&mut self, key: TurnKey, spelled: Spelled, stamp: Option<Stamp>) {
        self.media_bytes += spelled.bytes();
        self.queue.push_back(Item { what: What::Spelled(Box::new((key, spelled))), stamp });
    }

    /// A large picture, once everything before it is sent. There is no other: see [`Outbox::must_wait`].
    pub fn paint(&mut self, key: TurnKey, piece: Piece) {
        assert!(self.painting.is_none(), "one large picture at a time");
        self.queue.push_back(Item { what: What::Picture, stamp: None });
        let (held, credit) = (VecDeque::new(), 0);
        let painting = Painting { key, piece, is_announced: false, is_done: false, credit, held, holds_picture: false };
        self.painting = Some(Box::new(painting));
    }

    /// Whether these news come after a large picture: what is of its own request, or another such picture.
    pub fn must_wait(&self, key: TurnKey, news: &News) -> bool {
        self.painting.as_ref().is_some_and(|painting| {
            painting.key == key || is_picture(news) || painting.held.iter().any(|(_, held, _)| *held == key)
        })
    }

    pub fn hold(&mut self, now: Instant, key: TurnKey, event: TurnEvent) {
        let painting = self.painting.as_mut().expect("only a picture makes anything wait");
        painting.holds_picture |= is_picture(&event.news);
        painting.held.push_back((now, key, event));
    }

    /// What waited behind the large picture, as soon as that is through.
    pub fn take_released(&mut self) -> VecDeque<Held> {
        match self.painting.take_if(|painting| painting.is_done) {
            Some(painting) => painting.held,
            None => VecDeque::new(),
        }
    }

    /// What of one request waited behind the large picture of another.
    pub fn take_held_of(&mut self, key: TurnKey) -> VecDeque<Held> {
        let Some(painting) = &mut self.painting else { return VecDeque::new() };
        let (mine, others) = std::mem::take(&mut painting.held).into_iter().partition(|(_, held, _)| *held == key);
        painting.held = others;
        painting.holds_picture = painting.held.iter().any(|(_, _, event)| is_picture(&event.news));
        mine
    }

    /// Drops pictures and sound of one request; gives back what waited behind them. A message with base64 in it stays, without
    /// what of that has not been sent, where it is `numbered` or begun.
    pub fn drop_media(&mut self, key: TurnKey, numbered: bool) -> VecDeque<Held> {
        let mine = self.painting.take_if(|painting| painting.key == key);
        let media_bytes = &mut self.media_bytes;
        self.queue.retain_mut(|item| match &mut item.what {
            What::Piece(piece) if piece.0 == key => {
                *media_bytes -= piece.1.data.len();
                false
            }
            What::Spelled(spelled) if spelled.0 == key => {
                *media_bytes -= spelled.1.bytes();
                spelled.1.clear();
                let stays = numbered || spelled.1.is_begun();
                *media_bytes += if stays { spelled.1.bytes() } else { 0 };
                stays
            }
            What::Picture => mine.is_none(),
            _ => true,
        });
        mine.map(|painting| painting.held).unwrap_or_default()
    }

    /// Drops the large picture, of whomever it is; gives back what waited behind it.
    pub fn drop_picture(&mut self) -> VecDeque<Held> {
        let Some(painting) = self.painting.take() else { return VecDeque::new() };
        self.queue.retain(|item| !matches!(item.what, What::Picture));
        painting.held
    }

    /// Drops all that is queued; what waited behind a large picture comes back.
    pub fn clear(&mut self) -> VecDeque<Held> {
        let held = self.drop_picture();
        *self = Outbox::default();
        held
    }

    /// Whether there is room for news.
    pub fn wants_news(&self) -> bool {
        let has_room = |painting: &Painting| painting.held.len() < HELD_MAX && !painting.holds_picture;
        self.text_bytes + self.media_bytes < BYTES_ENOUGH && self.painting.as_deref().is_none_or(has_room)
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.painting.is_none()
    }

    /// Bytes of messages that wait. Pictures and sound do not count: they are few by [`Outbox::wants_news`], and a client that
    /// takes a large one slowly takes it all the same.
    pub fn text_bytes(&self) -> usize {
        self.text_bytes
    }
}

fn is_picture(news: &News) -> bool {
    matches!(news, News::Image(_))
}

fn text_len(transmit: &Transmit) -> usize {
    if let Transmit::Text(text) = transmit { text.len() } else { 0 }
}

fn len(transmit: &Transmit) -> usize {
    match transmit {
        Transmit::Text(text) | Transmit::Fragment { text, .. } => text.len(),
        Transmit::Binary(bytes) => bytes.len(),
        Transmit::Ping | Transmit::Close(_) => 0,
    }
}
