//! `devices.*`: what is in the house and what is done with it. Which of it whoever asks may see and move is the house's own
//! business; here are the words.

pub mod shown;

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::{sleep, timeout};

use super::Tool;
use super::page::{self, Page};
use super::typed::{About, Deleted, Steps, bad_request, failure_of_all, pinned_tool, tool, tool_in_steps};
use crate::common::capability::Domain;
use crate::common::error::{ErrorBody, ErrorCode};
use crate::common::who::{Principal, Role};
use crate::home::{Device, DeviceEdit, DeviceId, Firmware, Heard, Keeper, News, PairingNews, SetResult, Wish};
use crate::mcp::call::Fault;
use crate::mcp::definition::Annotations;
use shown::{DeviceBrief, DeviceShown, Names};

/// How long an interview that a source has begun is followed: six steps of a device that answers slowly.
const INTERVIEW_S_MAX: u64 = 90;

/// After a source has taken an interview its first step comes within this time.
const BEGUN_WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Only in this room: its name or id.
    room: Option<String>,
    /// Only of this kind.
    domain: Option<Domain>,
    /// Only with all these words in name, room, model, vendor or id.
    query: Option<String>,
    /// Only those that can be reached (true), or cannot (false).
    available: Option<bool>,
    /// Everything about each, with what its properties may be: long. False where nothing is said.
    #[serde(default)]
    detail: bool,
    /// Also those that the owner has hidden.
    #[serde(default)]
    hidden: bool,
    /// Entries at most; 50 where nothing is said.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    /// By name.
    devices: Vec<OneListed>,
    /// How many there are of the kind that was asked for, those of other pages included.
    total: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum OneListed {
    Brief(DeviceBrief),
    /// With `detail`.
    Whole(Box<DeviceShown>),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct One {
    /// Its name, another word for it, or its id.
    device: String,
}

/// A device with what only an engineer asks for.
#[derive(Debug, Serialize, JsonSchema)]
struct Whole {
    #[serde(flatten)]
    device: DeviceShown,
    /// Network address, firmware, endpoints and clusters, and the like.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schemars(default)]
    details: Map<String, Value>,
}

/// What came of a wish.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Results {
    /// One for each device that was meant.
    pub results: Vec<SetResult>,
    /// Nothing of it was confirmed, and why not for the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Read {
    /// Its name, another word for it, or its id.
    device: String,
    /// Which; all that can be asked for where none is named.
    #[serde(default)]
    properties: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WasRead {
    id: DeviceId,
    name: Box<str>,
    /// What the device answered.
    state: Map<String, Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rename {
    /// Its name, another word for it, or its id.
    device: String,
    /// Its new name: 1 to 64 characters, of no other device or group.
    name: Option<String>,
    /// The room that it is put into: its name or id; empty: into none.
    room: Option<String>,
    /// What else it is called, in the place of what it was.
    aliases: Option<Vec<String>>,
    /// Whether it is left out of lists and of its room.
    hidden: Option<bool>,
    /// Write only over this revision.
    if_revision: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Remove {
    /// Its name, another word for it, or its id.
    device: String,
    /// Forget it even where it does not answer.
    #[serde(default)]
    force: bool,
}

/// What came of a wish for new firmware.
#[derive(Debug, Serialize, JsonSchema)]
struct Updated {
    id: DeviceId,
    name: Box<str>,
    #[serde(flatten)]
    firmware: Firmware,
}

pub fn tools(home: &Arc<Keeper>) -> Vec<Arc<dyn Tool>> {
    let list = About {
        name: "devices.list",
        title: "Devices of the house",
        description: "The devices of the house with their rooms and what they report now (state): lamps, plugs, sensors, blinds, \
                      thermostats. Filter by room, domain or words. Use the ids or names with devices.set and devices.get.",
        annotations: Annotations::READS,
        access: Role::Guest,
    };
    let get = About {
        name: "devices.get",
        title: "One device",
        description: "One device with its state and its capabilities: which properties it has, their units, and what they can be \
                      set to. Ask for this before setting anything unusual.",
        ..list
    };
    let set = About {
        name: "devices.set",
        title: "Set devices",
        description: "Sets properties of devices and waits until each has confirmed. targets: a list of names or ids, such as \
                      [\"kitchen lamp\"], or all of a kind, such as {\"room\": \"kitchen\", \"domain\": \"light\", \"except\": \
                      [\"night light\"]} (without room: the whole house). set: such as {\"state\": \"ON\"}, {\"brightness\": 127} \
                      (0 to 254), {\"color_temp\": 370} (mired), {\"color\": {\"hue\": 30, \"saturation\": 90}}, {\"position\": 50}. \
                      A device was set only where its result has ok: true; for the others say what error says.",
        annotations: Annotations { open_world: Some(false), ..Annotations::SETS },
        access: Role::Guest,
    };
    let read = About {
        name: "devices.read",
        title: "Ask a device",
        description: "Asks a device itself for its values now. devices.list and devices.get show what it last reported, which is \
                      mostly enough.",
        annotations: Annotations::READS,
        access: Role::Guest,
    };
    let rename = About {
        name: "devices.rename",
        title: "Name a device, put it into a room",
        description: "Gives a device another name or other words for it, or puts it into a room. What is not named stays as it is.",
        annotations: Annotations::SETS,
        access: Role::Member,
    };
    let remove = About {
        name: "devices.remove",
        title: "Remove a device",
        description: "Sends a device away from the house and forgets its name and history. It has to be paired again to come back.",
        annotations: Annotations::DESTROYS,
        access: Role::Owner,
    };
    let interview = About {
        name: "devices.interview",
        title: "Interview a device",
        description: "Asks a device anew what it is and what it can do. Takes some seconds; a device that sleeps has to be woken \
                      by a press.",
        annotations: Annotations::SETS,
        access: Role::Owner,
    };
    let update = About {
        name: "devices.update",
        title: "Update a device's firmware",
        description: "Gives a device the newest firmware that there is for it and waits until the device says that it runs it: \
                      minutes to hours, with the progress in percent. Images come from the folder of zigbee.ota_folder, or by way \
                      of Zigbee2MQTT. updated: false means that there is none newer. A device with a battery has to be awake.",
        annotations: Annotations { open_world: Some(false), ..Annotations::SETS },
        access: Role::Owner,
    };
    vec![
        pinned_tool(home, list, |home, input, who, _| all(home, input, who)),
        tool(home, get, one),
        pinned_tool(home, set, put),
        tool(home, read, ask),
        tool(home, rename, edit),
        tool(home, remove, take),
        tool_in_steps(home, interview, question),
        tool_in_steps(home, update, renew),
    ]
}

async fn all(home: Arc<Keeper>, input: List, who: Arc<Principal>) -> Result<Listed, Fault> {
    let names = Names::new(&home, &who);
    let room = input.room.as_deref().map(|room| home.room(&who, room)).transpose()?;
    let words: Vec<String> =
        input.query.as_deref().unwrap_or_default().split_whitespace().map(str::to_lowercase).collect();
    let is_meant = |device: &Arc<Device>| {
        (input.hidden || !device.hidden)
            && room.as_ref().is_none_or(|room| device.room.as_deref() == Some(&*room.id))
            && input.domain.is_none_or(|domain| device.is_a(domain))
            && input.available.is_none_or(|available| (device.available != Some(false)) == available)
            && has_all(&names, device, &words)
    };
    let mut found: Vec<(String, Arc<Device>)> =
        home.devices_of(&who).into_iter().filter(is_meant).map(|device| (device.name.to_lowercase(), device)).collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    let total = found.len();
    let page = Page { limit: input.limit, cursor: input.cursor };
    let (found, next_cursor) = page::cut(found, &page, |(name, _)| name);
    let show = |(_, device): (String, Arc<Device>)| match input.detail {
        true => OneListed::Whole(Box::new(names.device_shown(&device))),
        false => OneListed::Brief(names.device_brief(&device)),
    };
    Ok(Listed { devices: found.into_iter().map(show).collect(), total, next_cursor })
}

/// Whether each of the words stands somewhere in what names a device.
fn has_all(names: &Names<'_>, device: &Device, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let mut text = format!("{} {}", device.name, device.id);
    let room = names.room_name(device);
    let more = [room.as_deref(), device.model.as_deref(), device.vendor.as_deref(), device.description.as_deref()];
    for word in more.into_iter().flatten().chain(device.aliases.iter().map(|alias| &**alias)) {
        text.push(' ');
        text.push_str(word);
    }
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(word.as_str()))
}

fn whole(home: &Keeper, who: &Principal, device: &Device) -> Whole {
    Whole { device: Names::new(home, who).device_shown(device), details: device.details.to_map() }
}

async fn one(home: Arc<Keeper>, input: One, who: Arc<Principal>) -> Result<Whole, Fault> {
    let device = home.device(&who, &input.device)?;
    Ok(whole(&home, &who, &device))
}

async fn put(home: Arc<Keeper>, input: Wish, who: Arc<Principal>, steps: Steps) -> Result<Results, Fault> {
    Ok(Results::of(home.set(&who, input, each(steps)).await?))
}

/// Tells of every device as it ends, where there are several.
pub(super) fn each(steps: Steps) -> impl FnMut(&SetResult, usize, usize) {
    move |one, ended, of| {
        if of > 1 {
            let words = if one.ok { "has confirmed" } else { "has not confirmed" };
            steps.tell(ended as f64, Some(of as f64), format!("{} {words}", one.name));
        }
    }
}

impl Results {
    /// Where not one device has confirmed, the whole is a failure.
    pub fn of(results: Vec<SetResult>) -> Results {
        let error = failure_of_all(results.iter().map(|one| (!one.ok, one.error.as_ref())));
        Results { results, error }
    }
}

async fn ask(home: Arc<Keeper>, input: Read, who: Arc<Principal>) -> Result<WasRead, Fault> {
    let state = home.read(&who, &input.device, &input.properties).await?;
    let device = home.device(&who, &input.device)?;
    Ok(WasRead { id: device.id.clone(), name: device.name.clone(), state })
}

async fn edit(home: Arc<Keeper>, input: Rename, who: Arc<Principal>) -> Result<Whole, Fault> {
    let Rename { device, name, room, aliases, hidden, if_revision } = input;
    let edit = DeviceEdit { name, aliases, room, hidden };
    if edit == DeviceEdit::default() {
        return Err(bad_request("nothing is to be changed: say name, room, aliases or hidden"));
    }
    let device = home.edit_device(&who, &device, edit, if_revision).await?;
    Ok(whole(&home, &who, &device))
}

async fn take(home: Arc<Keeper>, input: Remove, who: Arc<Principal>) -> Result<Deleted, Fault> {
    home.remove_device(&who, &input.device, input.force).await?;
    Ok(Deleted { deleted: true })
}

async fn question(home: Arc<Keeper>, input: One, who: Arc<Principal>, steps: Steps) -> Result<Whole, Fault> {
    let device = home.device(&who, &input.device)?;
    let mut news = home.subscribe();
    let asked = home.interview(&who, &input.device);
    tokio::pin!(asked);
    let (mut is_asked, mut has_begun) = (false, false);
    let quiet = sleep(Duration::ZERO);
    tokio::pin!(quiet);
    let following = async {
        loop {
            tokio::select! {
                done = &mut asked, if !is_asked => {
                    done?;
                    is_asked = true;
                    quiet.set(sleep(BEGUN_WITHIN));
                }
                // A source that tells of no steps has done it all.
                () = &mut quiet, if is_asked && !has_begun => return Ok(()),
                heard = news.recv() => match heard {
                    Heard::News(News::Pairing { news, .. }) => {
                        if let Some(end) = step(&news, &device.id, &steps, &mut has_begun) {
                            return end;
                        }
                    }
                    Heard::Closed => return Err(Fault::new(ErrorCode::Offline, "the hub is going down")),
                    Heard::News(_) | Heard::Lagged => {}
                }
            }
        }
    };
    match timeout(Duration::from_secs(INTERVIEW_S_MAX), following).await {
        Ok(done) => done?,
        Err(_) => {
            let why =
                format!("{} has not told everything within {INTERVIEW_S_MAX} s; wake it and try again", device.name);
            return Err(Fault::from(ErrorBody { retryable: true, ..ErrorBody::new(ErrorCode::Timeout, why) }));
        }
    }
    let device = home.device(&who, &device.id.0)?;
    Ok(whole(&home, &who, &device))
}

/// Passes a step of this device's interview on; says how it ended, when it has.
fn step(news: &PairingNews, device: &DeviceId, steps: &Steps, has_begun: &mut bool) -> Option<Result<(), Fault>> {
    match news {
        PairingNews::Step { id, step, number, of } if id == device => {
            *has_begun = true;
            steps.tell(f64::from(*number), Some(f64::from(*of)), &**step);
            None
        }
        PairingNews::Interviewed { id } if id == device => Some(Ok(())),
        PairingNews::Failed { id, step, why } if id == device => {
            Some(Err(Fault::new(ErrorCode::DeviceUnreachable, format!("the step {step} failed: {why}"))))
        }
        _ => None,
    }
}

async fn renew(home: Arc<Keeper>, input: One, who: Arc<Principal>, steps: Steps) -> Result<Updated, Fault> {
    let device = home.device(&who, &input.device)?;
    let mut news = home.subscribe();
    let updating = home.update_firmware(&who, &input.device);
    tokio::pin!(updating);
    let mut told = None;
    let firmware = loop {
        tokio::select! {
            done = &mut updating => break done?,
            heard = news.recv() => match heard {
                Heard::News(News::Device(change)) if change.device.id == device.id => {
                    // It begins anew where the device does.
                    let percent = change.changes.get("update").and_then(|update| update["progress"].as_f64());
                    if let Some(percent) = percent.filter(|percent| told.is_none_or(|told| told < *percent)) {
                        told = Some(percent);
                        steps.tell(percent, Some(100.0), "the device fetches its firmware");
                    }
                }
                Heard::Closed => return Err(Fault::new(ErrorCode::Offline, "the hub is going down")),
                Heard::News(_) | Heard::Lagged => {}
            }
        }
    };
    Ok(Updated { id: device.id.clone(), name: device.name.clone(), firmware })
}
