//! Which rows of a device's binding table a person means who wants it to speak straight to another: endpoints and clusters that fit
//! each other. Asks no device; `errand` does.

use crate::common::error::{ErrorBody, ErrorCode};
use crate::zigbee::network::core::Core;
use crate::zigbee::network::event::{BindTo, BindWish};
use crate::zigbee::network::exchange::HUB_ENDPOINT;
use crate::zigbee::types::{ClusterId, Ieee};
use crate::zigbee::zdo::{Binding, BindingTarget, SimpleDescriptor};

/// Rows of one wish: tables of devices have 10 to 40.
const ROWS_MAX: usize = 32;

/// What is bound where no cluster is named, the same as with Zigbee2MQTT: scenes, on and off, level, colour, covers, thermostats, light,
/// temperature, humidity, soil moisture, CO₂.
const COMMON: [ClusterId; 11] = [
    ClusterId(0x0005),
    ClusterId(0x0006),
    ClusterId(0x0008),
    ClusterId(0x0300),
    ClusterId(0x0102),
    ClusterId(0x0201),
    ClusterId(0x0400),
    ClusterId(0x0402),
    ClusterId(0x0405),
    ClusterId(0x0408),
    ClusterId(0x040d),
];

impl BindWish {
    /// At least one row; an error says why there is none.
    pub fn rows(&self, core: &Core) -> Result<Vec<Binding>, ErrorBody> {
        let of = |ieee: Ieee| {
            let device = core.table.get(ieee);
            let missing = || ErrorBody::new(ErrorCode::NotFound, format!("there is no device {ieee}"));
            device.map(|device| &device.identity.endpoints).ok_or_else(missing)
        };
        let from = of(self.from)?;
        let to: Vec<(BindingTarget, Option<&SimpleDescriptor>)> = match self.to {
            BindTo::Hub => {
                let hub = core.info.as_ref().map(|info| info.coordinator);
                let row = |ieee| (BindingTarget::Device { ieee, endpoint: HUB_ENDPOINT }, None);
                hub.map(row).into_iter().collect()
            }
            BindTo::Group(group) => vec![(BindingTarget::Group(group), None)],
            BindTo::Device { ieee, endpoint } => {
                let meant = of(ieee)?.iter().filter(|one| endpoint.is_none_or(|endpoint| one.endpoint == endpoint));
                meant.map(|one| (BindingTarget::Device { ieee, endpoint: one.endpoint }, Some(one))).collect()
            }
        };
        let rows = |source: &SimpleDescriptor| -> Vec<Binding> {
            let row = |cluster: ClusterId| {
                let (to, _) = to.iter().find(|(_, target)| self.fits(source, *target, cluster))?;
                Some(Binding { from: self.from, endpoint: source.endpoint, cluster, to: *to })
            };
            let clusters = if self.clusters.is_empty() { &COMMON[..] } else { &self.clusters };
            clusters.iter().filter_map(|cluster| row(*cluster)).take(ROWS_MAX).collect()
        };
        let sources = from.iter().filter(|one| self.endpoint.is_none_or(|endpoint| one.endpoint == endpoint));
        let found = sources.map(rows).find(|rows| !rows.is_empty());
        found.ok_or_else(|| {
            let why = "the two have nothing in common that could be bound; its details show endpoints and clusters";
            ErrorBody::new(ErrorCode::BadRequest, why)
        })
    }

    /// One has it to tell, the other to be told. A group and the hub take what they are told; of a group are commands alone, unless
    /// something else is asked for by its name.
    fn fits(&self, source: &SimpleDescriptor, target: Option<&SimpleDescriptor>, cluster: ClusterId) -> bool {
        let (tells, has) = (source.outputs.contains(&cluster), source.inputs.contains(&cluster));
        match (target, self.to) {
            (Some(target), _) => tells && target.inputs.contains(&cluster) || has && target.outputs.contains(&cluster),
            (None, BindTo::Group(_)) => tells || has && !self.clusters.is_empty(),
            (None, _) => tells || has,
        }
    }
}
