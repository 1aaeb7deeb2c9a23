//! Messages as they were seen on the air, and: what is encoded is decoded to the same, and no bytes panic.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::zigbee::types::{Endpoint, GroupId, Ieee, MakerCode, Nwk, ProfileId};

#[test]
fn a_lamp_says_what_it_is() {
    // Status, address, descriptor: router, mains, receiver on; maker 0x115f; buffer 82; transfers of 82.
    let payload = [0x00, 0x34, 0x12, 0x01, 0x40, 0x8e, 0x5f, 0x11, 0x52, 0x52, 0x00, 0x00, 0x2c, 0x52, 0x00, 0x00];
    let Ok(Response::NodeDescriptor { nwk, descriptor: Some(node), .. }) =
        Response::decode(ClusterId(0x8002), &payload)
    else {
        panic!("a node descriptor");
    };
    assert_eq!((nwk, node.logical_type, node.maker), (Nwk(0x1234), LogicalType::Router, MakerCode(0x115f)));
    assert!(node.capability.is_router() && node.capability.has_mains() && node.capability.listens_when_idle());
    assert_eq!((node.buffer_max, node.incoming_max, node.server_mask, node.outgoing_max), (82, 82, 0x2c00, 82));
}

#[test]
fn a_simple_descriptor_is_read_by_its_own_length() {
    let payload =
        [0x00, 0x34, 0x12, 0x0e, 0x0b, 0x04, 0x01, 0x00, 0x01, 0x01, 0x02, 0x00, 0x00, 0x06, 0x00, 0x01, 0x19, 0x00];
    let expected = SimpleDescriptor {
        endpoint: Endpoint(11),
        profile: ProfileId::HOME_AUTOMATION,
        device: 0x0100,
        version: 1,
        inputs: vec![ClusterId(0), ClusterId(6)],
        outputs: vec![ClusterId(0x19)],
    };
    let answer = Response::SimpleDescriptor { status: Status::SUCCESS, nwk: Nwk(0x1234), descriptor: Some(expected) };
    assert_eq!(Response::decode(ClusterId(0x8004), &payload), Ok(answer.clone()));
    assert_eq!(answer.encode(), payload);
    let mut lying = payload;
    lying[9 + 1] = 0x40;
    assert_eq!(Response::decode(ClusterId(0x8004), &lying), Err(ZdoError::Short), "64 clusters are not there");
}

#[test]
fn an_announcement_is_read() {
    let payload = [0xad, 0xde, 0xb2, 0xa1, 0xd9, 0x14, 0x00, 0x4b, 0x12, 0x00, 0x80];
    let announce =
        Request::DeviceAnnounce { nwk: Nwk(0xdead), ieee: Ieee(0x0012_4b00_14d9_a1b2), capability: Capability(0x80) };
    assert_eq!(Request::decode(cluster::DEVICE_ANNOUNCE, &payload), Ok(announce.clone()));
    assert_eq!(announce.encode(), payload);
}

#[test]
fn a_failure_needs_no_more_than_its_status() {
    for request in [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x1f, 0x21, 0x22, 0x31, 0x32, 0x33, 0x34, 0x36, 0x38] {
        let response = Response::decode(cluster::response(ClusterId(request)), &[0x84]);
        let status = response.as_ref().map(Response::status);
        assert_eq!(status, Ok(Status::NOT_SUPPORTED), "{request:#06x}");
    }
    assert_eq!(Status::NOT_SUPPORTED.to_string(), "not supported");
}

#[test]
fn a_response_is_no_request() {
    assert_eq!(Response::decode(ClusterId(0x0002), &[0]), Err(ZdoError::Cluster(ClusterId(0x0002))));
    assert_eq!(Request::decode(ClusterId(0x8002), &[0, 0]), Err(ZdoError::Cluster(ClusterId(0x8002))));
    assert_eq!(Request::decode(ClusterId(0x0021), &[0; 20]), Err(ZdoError::Reserved(0)), "a target of no kind");
}

prop_compose! {
    fn ieee()(value in any::<u64>()) -> Ieee { Ieee(value) }
}
prop_compose! {
    fn nwk()(value in any::<u16>()) -> Nwk { Nwk(value) }
}
prop_compose! {
    fn endpoint()(value in any::<u8>()) -> Endpoint { Endpoint(value) }
}
prop_compose! {
    fn cluster_ids()(ids in vec(any::<u16>(), 0..20)) -> Vec<ClusterId> { ids.into_iter().map(ClusterId).collect() }
}
prop_compose! {
    fn binding()(
        from in ieee(), endpoint in endpoint(), cluster in any::<u16>(), group in option::of(any::<u16>()),
        to in ieee(), to_endpoint in any::<u8>(),
    ) -> Binding {
        let device = BindingTarget::Device { ieee: to, endpoint: Endpoint(to_endpoint) };
        let to = group.map_or(device, |group| BindingTarget::Group(GroupId(group)));
        Binding { from, endpoint, cluster: ClusterId(cluster), to }
    }
}
prop_compose! {
    fn simple()(
        endpoint in endpoint(), profile in any::<u16>(), device in any::<u16>(), version in 0u8..16,
        inputs in cluster_ids(), outputs in cluster_ids(),
    ) -> SimpleDescriptor {
        SimpleDescriptor { endpoint, profile: ProfileId(profile), device, version, inputs, outputs }
    }
}
prop_compose! {
    fn node()(
        kind in 0usize..3, complex in any::<bool>(), user in any::<bool>(), bytes in any::<[u8; 4]>(),
        words in any::<[u16; 4]>(),
    ) -> NodeDescriptor {
        NodeDescriptor {
            logical_type: [LogicalType::Coordinator, LogicalType::Router, LogicalType::EndDevice][kind],
            has_complex_descriptor: complex,
            has_user_descriptor: user,
            flags_and_band: bytes[0],
            capability: Capability(bytes[1]),
            maker: MakerCode(words[0]),
            buffer_max: bytes[2],
            incoming_max: words[1],
            server_mask: words[2],
            outgoing_max: words[3],
            descriptor_capability: bytes[3],
        }
    }
}
prop_compose! {
    fn neighbor()(
        addresses in any::<(u64, u64, u16)>(), kind in 0usize..4, relation in 0usize..5, bits in (0u8..4, 0u8..4),
        depth in any::<u8>(), lqi in any::<u8>(),
    ) -> Neighbor {
        let types = [Some(LogicalType::Coordinator), Some(LogicalType::Router), Some(LogicalType::EndDevice), None];
        let relations = [
            Relationship::Parent, Relationship::Child, Relationship::Sibling, Relationship::None,
            Relationship::PreviousChild,
        ];
        Neighbor {
            extended_pan_id: Ieee(addresses.0),
            ieee: Ieee(addresses.1),
            nwk: Nwk(addresses.2),
            logical_type: types[kind],
            listens_when_idle: bits.0,
            relationship: relations[relation],
            permits_joining: bits.1,
            depth,
            lqi,
        }
    }
}
prop_compose! {
    fn route()(to in nwk(), state in 0usize..6, flags in 0u8..32, next_hop in nwk()) -> Route {
        let states = [
            RouteState::Active, RouteState::DiscoveryUnderway, RouteState::DiscoveryFailed, RouteState::Inactive,
            RouteState::ValidationUnderway, RouteState::Reserved,
        ];
        Route { to, state: states[state], flags, next_hop }
    }
}

fn request() -> impl Strategy<Value = Request> {
    let scan = prop_oneof![
        (0u8..=5, any::<u8>()).prop_map(|(duration, count)| Scan::Energy { duration, count }),
        any::<u8>().prop_map(|update_id| Scan::ChangeChannel { update_id }),
        (any::<u8>(), nwk()).prop_map(|(update_id, manager)| Scan::Manage { update_id, manager }),
    ];
    prop_oneof![
        (ieee(), any::<bool>(), any::<u8>()).prop_map(|(ieee, children, start)| Request::NwkAddr {
            ieee,
            children,
            start
        }),
        (nwk(), any::<bool>(), any::<u8>()).prop_map(|(nwk, children, start)| Request::IeeeAddr {
            nwk,
            children,
            start
        }),
        nwk().prop_map(|nwk| Request::NodeDescriptor { nwk }),
        nwk().prop_map(|nwk| Request::PowerDescriptor { nwk }),
        nwk().prop_map(|nwk| Request::ActiveEndpoints { nwk }),
        (nwk(), endpoint()).prop_map(|(nwk, endpoint)| Request::SimpleDescriptor { nwk, endpoint }),
        (nwk(), any::<u16>(), cluster_ids(), cluster_ids()).prop_map(|(nwk, profile, inputs, outputs)| {
            Request::MatchDescriptors { nwk, profile: ProfileId(profile), inputs, outputs }
        }),
        (nwk(), ieee(), any::<u8>()).prop_map(|(nwk, ieee, capability)| Request::DeviceAnnounce {
            nwk,
            ieee,
            capability: Capability(capability)
        }),
        vec(ieee(), 0..10).prop_map(|children| Request::ParentAnnounce { children }),
        binding().prop_map(Request::Bind),
        binding().prop_map(Request::Unbind),
        any::<u8>().prop_map(|start| Request::MgmtLqi { start }),
        any::<u8>().prop_map(|start| Request::MgmtRtg { start }),
        any::<u8>().prop_map(|start| Request::MgmtBind { start }),
        (ieee(), any::<bool>(), any::<bool>()).prop_map(|(ieee, remove_children, rejoin)| Request::MgmtLeave {
            ieee,
            remove_children,
            rejoin
        }),
        (any::<u8>(), any::<bool>())
            .prop_map(|(seconds, is_trust_center)| Request::MgmtPermitJoining { seconds, is_trust_center }),
        (any::<u32>(), scan).prop_map(|(channels, scan)| Request::MgmtNwkUpdate { channels, scan }),
    ]
}

fn page<T: std::fmt::Debug>(row: impl Strategy<Value = T>) -> impl Strategy<Value = Page<T>> {
    (any::<u8>(), any::<u8>(), vec(row, 0..5)).prop_map(|(total, start, rows)| Page { total, start, rows })
}

fn response() -> impl Strategy<Value = Response> {
    let status = Status::SUCCESS;
    let children = vec(nwk(), 0..5).prop_map(|rows| {
        let total = u8::try_from(rows.len()).expect("few");
        Page { total, start: 0, rows }
    });
    let endpoints = || vec(endpoint(), 0..8);
    let status_only = prop_oneof![Just(Status::SUCCESS), (1u8..).prop_map(Status)];
    prop_oneof![
        (ieee(), nwk(), option::of(children)).prop_map(move |(ieee, nwk, children)| Response::NwkAddr {
            status,
            ieee,
            nwk,
            children
        }),
        (ieee(), nwk()).prop_map(move |(ieee, nwk)| Response::IeeeAddr { status, ieee, nwk, children: None }),
        (nwk(), node()).prop_map(move |(nwk, node)| Response::NodeDescriptor { status, nwk, descriptor: Some(node) }),
        nwk().prop_map(|nwk| Response::NodeDescriptor { status: Status::NOT_SUPPORTED, nwk, descriptor: None }),
        (nwk(), any::<u16>()).prop_map(move |(nwk, bits)| Response::PowerDescriptor {
            status,
            nwk,
            descriptor: Some(PowerDescriptor(bits))
        }),
        (nwk(), simple()).prop_map(move |(nwk, simple)| Response::SimpleDescriptor {
            status,
            nwk,
            descriptor: Some(simple)
        }),
        nwk().prop_map(|nwk| Response::SimpleDescriptor { status: Status::NOT_ACTIVE, nwk, descriptor: None }),
        (nwk(), endpoints()).prop_map(move |(nwk, endpoints)| Response::ActiveEndpoints { status, nwk, endpoints }),
        (nwk(), endpoints()).prop_map(move |(nwk, endpoints)| Response::MatchDescriptors { status, nwk, endpoints }),
        vec(ieee(), 0..5).prop_map(move |children| Response::ParentAnnounce { status, children }),
        status_only.prop_map(|status| Response::Bind { status }),
        page(neighbor()).prop_map(move |page| Response::MgmtLqi { status, page: Some(page) }),
        page(route()).prop_map(move |page| Response::MgmtRtg { status, page: Some(page) }),
        page(binding()).prop_map(move |page| Response::MgmtBind { status, page: Some(page) }),
        Just(Response::MgmtBind { status: Status::NOT_SUPPORTED, page: None }),
        (any::<(u32, u16, u16)>(), vec(any::<u8>(), 0..16)).prop_map(
            move |((channels, transmissions, failures), energies)| Response::MgmtNwkUpdate {
                status,
                channels,
                transmissions,
                failures,
                energies
            }
        ),
    ]
}

proptest! {
    #[test]
    fn requests_come_back_as_they_went(request in request()) {
        prop_assert_eq!(Request::decode(request.cluster(), &request.encode()), Ok(request));
    }

    #[test]
    fn responses_come_back_as_they_went(response in response()) {
        prop_assert_eq!(Response::decode(response.cluster(), &response.encode()), Ok(response));
    }

    /// What can be read is written so that it reads the same again.
    #[test]
    fn no_bytes_panic(cluster in prop_oneof![0u16..0x40, 0x8000u16..0x8040], payload in vec(any::<u8>(), 0..80)) {
        if let Ok(request) = Request::decode(ClusterId(cluster), &payload) {
            prop_assert_eq!(Request::decode(request.cluster(), &request.encode()), Ok(request));
        }
        if let Ok(response) = Response::decode(ClusterId(cluster), &payload) {
            let again = Response::decode(response.cluster(), &response.encode());
            prop_assert_eq!(again.map(|again| again.status()), Ok(response.status()));
        }
    }
}
