//! What a turn goes by, and what it has its driver do.

use std::sync::Arc;
use std::time::Duration;

use super::ToolPlan;
use crate::common::events::TurnEvent;
use crate::router::asking::{Said, Slot, Used};
use crate::router::choose::Link;
use crate::router::health::Health;
use crate::router::round::Deed;

/// What the driver is to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Ask this link of the chain; whatever was open in the slot is closed first.
    Ask {
        slot: Slot,
        link: usize,
    },
    /// Close the slot's upstream connection.
    HangUp {
        slot: Slot,
    },
    Tell(TurnEvent),
    /// Count it; what a whole answer cost is then told with [`super::Turn::handle_priced`].
    Count(Box<Used>),
    /// Do it for a call, and say with [`super::Turn::handle_called`] or [`super::Turn::handle_confirmed`] what came of it.
    Tool(Box<Deed>),
    /// Let all calls be.
    StopCalls,
    /// Look at the budget, and call [`super::Turn::handle_weighed`].
    Weigh,
    /// Keep question and answer; then call [`super::Turn::handle_saved`].
    Save(Vec<Said>),
    /// Nothing more will come.
    End,
}

/// What came of a [`Step::Save`].
#[derive(Debug, Default, PartialEq)]
pub struct Saved {
    /// Where something was not kept, or not all of it.
    pub notice: Option<String>,
    /// [`crate::common::events::TurnSummary::image_blobs`].
    pub image_blobs: Vec<Box<str>>,
}

/// What a turn goes by.
pub struct Plan {
    /// Each provider once; never empty.
    pub chain: Vec<Link>,
    pub conversation_id: Box<str>,
    pub inter_token: Duration,
    pub total: Duration,
    /// How often one provider is asked again.
    pub retries: u32,
    /// `providers.hedge_after_ms`.
    pub hedge_after: Option<Duration>,
    /// The next provider goes on where one broke off.
    pub goes_on: bool,
    /// An answer without a picture is none.
    pub paints: bool,
    /// Absent: the hub makes no calls in this turn.
    pub tools: Option<ToolPlan>,
    /// To be told before anything else.
    pub notice: Option<String>,
    pub health: Arc<Health>,
    /// Chance, from 0.0 to 1.0.
    pub roll: fn() -> f64,
}
