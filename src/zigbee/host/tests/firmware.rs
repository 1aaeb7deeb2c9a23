//! New firmware for a device of the simulated house: what is offered, what is taken, what breaks off. What the host says is held
//! against what the device runs.

use std::time::Duration;

use super::*;
use crate::zigbee::network::ota::{Header, Images};

/// Of the plug's own images.
const IMAGE_TYPE: u16 = 0x0211;
const NEW: u32 = 0x0100_0002;

/// Some hundred blocks.
const SIZE: u32 = 40_000;

struct One(Header);

impl Images for One {
    fn headers(&mut self) -> Vec<Header> {
        vec![self.0.clone()]
    }

    fn block(&mut self, image: &Header, offset: u32, len: u8) -> Option<Vec<u8>> {
        let len = u32::from(len).min(image.size.checked_sub(offset)?);
        Some(vec![0x5a; len as usize])
    }
}

fn house(image_type: u16, seed: u64) -> House {
    let devices = models(&["plug"]);
    let maker = crate::zigbee::types::MakerCode(devices[0].maker_code);
    let image = One(Header { maker, image_type, version: NEW, size: SIZE, hardware: None });
    let mut house = House::with_images(SimConfig { devices, ..SimConfig::default() }, seed, Box::new(image)).settle();
    house.run(Duration::from_secs(5));
    house
}

/// What the plug runs in truth.
fn runs(house: &House) -> u32 {
    house.sim.device("plug").expect("it is in the house").firmware
}

/// Hundredths of the image, in the order in which they were told.
fn progress(house: &House) -> Vec<u64> {
    let of = |event: &Event| match event {
        Event::State { changes, .. } => changes.get("update")?["progress"].as_u64(),
        _ => None,
    };
    house.events.iter().filter_map(of).collect()
}

fn lost(house: &mut House, lost: f64) {
    house.sim.set_air_faults(AirFaults { lost, ..AirFaults::default() });
}

#[test]
fn a_device_takes_new_firmware_and_says_that_it_runs_it() {
    let mut house = house(IMAGE_TYPE, 31);
    let old = runs(&house);
    let ieee = house.ieee("plug");
    assert_eq!(house.ask(Request::OfferFirmware { ieee }), Ok(Reply::Firmware { is_new: true, version: NEW }));
    assert_eq!(runs(&house), NEW);
    let told = progress(&house);
    assert!(told.is_sorted() && told.len() > 90 && told.last() == Some(&100), "{told:?}");
    let update = &house.view("plug").state["update"];
    assert_eq!((&update["state"], &update["installed_version"]), (&json!("idle"), &json!(NEW)));
    assert_ne!(old, NEW);
    let again = house.ask(Request::OfferFirmware { ieee });
    assert_eq!(again, Ok(Reply::Firmware { is_new: false, version: NEW }), "there is nothing newer");
    assert_eq!(house.sim.violations(), 0);
}

#[test]
fn an_image_for_another_device_is_not_given_to_it() {
    let mut house = house(IMAGE_TYPE + 1, 32);
    let (old, ieee) = (runs(&house), house.ieee("plug"));
    assert_eq!(house.ask(Request::OfferFirmware { ieee }), Ok(Reply::Firmware { is_new: false, version: old }));
    assert_eq!((runs(&house), progress(&house)), (old, Vec::new()));
}

#[test]
fn what_breaks_off_for_a_moment_goes_on_where_it_was() {
    let mut house = house(IMAGE_TYPE, 33);
    let ieee = house.ieee("plug");
    let id = house.request(Request::OfferFirmware { ieee });
    house.until(Duration::from_secs(60), |house| progress(house).last() >= Some(&30));
    lost(&mut house, 1.0);
    house.run(Duration::from_secs(8));
    let stood = *progress(&house).last().expect("it had begun");
    assert!(stood < 60 && house.answer(id).is_none());
    lost(&mut house, 0.0);
    house.until(Duration::from_secs(60), |house| house.answer(id).is_some());
    assert_eq!(house.answer(id), Some(Ok(Reply::Firmware { is_new: true, version: NEW })));
    assert_eq!(runs(&house), NEW);
    assert!(progress(&house).is_sorted(), "not from the beginning: {:?}", progress(&house));
}

#[test]
fn what_breaks_off_for_long_is_said_and_may_be_asked_for_again() {
    let mut house = house(IMAGE_TYPE, 34);
    let (old, ieee) = (runs(&house), house.ieee("plug"));
    let id = house.request(Request::OfferFirmware { ieee });
    house.until(Duration::from_secs(60), |house| progress(house).last() >= Some(&30));
    let twice = house.ask(Request::OfferFirmware { ieee });
    assert_eq!(twice.map_err(|error| error.code), Err(ErrorCode::Conflict));
    lost(&mut house, 1.0);
    house.run(Duration::from_secs(60));
    lost(&mut house, 0.0);
    house.until(Duration::from_secs(200), |house| house.answer(id).is_some());
    let error = house.answer(id).expect("it was waited for").expect_err("it is not done");
    assert_eq!((error.code, error.retryable), (ErrorCode::Timeout, true), "{}", error.message);
    assert!(error.message.contains(" %"), "{}", error.message);
    assert_eq!(runs(&house), old);
    assert_eq!(house.ask(Request::OfferFirmware { ieee }), Ok(Reply::Firmware { is_new: true, version: NEW }));
    assert_eq!(runs(&house), NEW);
}
