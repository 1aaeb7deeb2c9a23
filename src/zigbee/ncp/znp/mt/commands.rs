//! Every command of Z-Stack's Monitor and Test interface with its layout, as data. Nothing here does anything.
//!
//! Layouts are those of the Z-Stack Monitor and Test API (SWRA198 and its successor for Z-Stack 3.x), field by field in the
//! order of the wire, little-endian. A count stands with what it counts (see [`Kind`]). The columns: constant, subsystem,
//! id, `Sreq` (answered by an SRSP) or `Areq`, name, fields of the request, fields of the answer.

use crate::zigbee::ncp::znp::mt::Kind::*;
use crate::zigbee::ncp::znp::mt::{Command, Field, Subsystem};

macro_rules! commands {
    ($($constant:ident = $subsystem:ident $id:literal $kind:ident $name:ident
        ($($asked:ident: $asked_kind:expr),*) -> ($($answered:ident: $answered_kind:expr),*);)*) => {
        $(pub static $constant: Command = Command {
            name: stringify!($name),
            subsystem: Subsystem::$subsystem,
            id: $id,
            is_answered: is_answered!($kind),
            request: &[$(Field { name: stringify!($asked), kind: $asked_kind }),*],
            response: &[$(Field { name: stringify!($answered), kind: $answered_kind }),*],
        };)*

        /// All of them.
        pub static COMMANDS: &[&Command] = &[$(&$constant),*];
    };
}

macro_rules! is_answered {
    (Sreq) => {
        true
    };
    (Areq) => {
        false
    };
}

commands! {
    // SYS
    SYS_RESET_REQ = Sys 0x00 Areq resetReq (type: U8) -> ();
    SYS_PING = Sys 0x01 Sreq ping () -> (capabilities: U16);
    SYS_VERSION = Sys 0x02 Sreq version ()
        -> (transportrev: U8, product: U8, majorrel: U8, minorrel: U8, maintrel: U8, revision: U32);
    SYS_SET_EXT_ADDR = Sys 0x03 Sreq setExtAddr (extaddress: Ieee) -> (status: U8);
    SYS_GET_EXT_ADDR = Sys 0x04 Sreq getExtAddr () -> (extaddress: Ieee);
    SYS_RAM_READ = Sys 0x05 Sreq ramRead (address: U16, len: U8) -> (status: U8, value: Bytes);
    SYS_RAM_WRITE = Sys 0x06 Sreq ramWrite (address: U16, value: Bytes) -> (status: U8);
    SYS_OSAL_NV_ITEM_INIT = Sys 0x07 Sreq osalNvItemInit (id: U16, len: U16, initvalue: Bytes) -> (status: U8);
    SYS_OSAL_NV_READ = Sys 0x08 Sreq osalNvRead (id: U16, offset: U8) -> (status: U8, value: Bytes);
    SYS_OSAL_NV_WRITE = Sys 0x09 Sreq osalNvWrite (id: U16, offset: U8, value: Bytes) -> (status: U8);
    SYS_OSAL_START_TIMER = Sys 0x0a Sreq osalStartTimer (id: U8, timeout: U16) -> (status: U8);
    SYS_OSAL_STOP_TIMER = Sys 0x0b Sreq osalStopTimer (id: U8) -> (status: U8);
    SYS_RANDOM = Sys 0x0c Sreq random () -> (value: U16);
    SYS_ADC_READ = Sys 0x0d Sreq adcRead (channel: U8, resolution: U8) -> (value: U16);
    SYS_GPIO = Sys 0x0e Sreq gpio (operation: U8, value: U8) -> (value: U8);
    SYS_STACK_TUNE = Sys 0x0f Sreq stackTune (operation: U8, value: I8) -> (value: U8);
    SYS_SET_TIME = Sys 0x10 Sreq setTime (utc: U32, hour: U8, minute: U8, second: U8, month: U8, day: U8, year: U16)
        -> (status: U8);
    SYS_GET_TIME = Sys 0x11 Sreq getTime ()
        -> (utc: U32, hour: U8, minute: U8, second: U8, month: U8, day: U8, year: U16);
    SYS_OSAL_NV_DELETE = Sys 0x12 Sreq osalNvDelete (id: U16, len: U16) -> (status: U8);
    SYS_OSAL_NV_LENGTH = Sys 0x13 Sreq osalNvLength (id: U16) -> (length: U16);
    SYS_SET_TX_POWER = Sys 0x14 Sreq setTxPower (level: U8) -> (txpower: U8);
    SYS_JAMMER_PARAMETERS = Sys 0x15 Sreq jammerParameters (jmrcntievents: U16, jmrhinoiselvl: U8,
        jmrdetectperiod: U32)
        -> (status: U8);
    SYS_SNIFFER_PARAMETERS = Sys 0x16 Sreq snifferParameters (param: U8) -> (status: U8);
    SYS_ZDIAGS_INIT_STATS = Sys 0x17 Sreq zdiagsInitStats () -> (status: U8);
    SYS_ZDIAGS_CLEAR_STATS = Sys 0x18 Sreq zdiagsClearStats (clearnv: U8) -> (sysclock: U32);
    SYS_ZDIAGS_GET_STATS = Sys 0x19 Sreq zdiagsGetStats (attributeid: U16) -> (attributevalue: U32);
    SYS_ZDIAGS_RESTORE_STATS_NV = Sys 0x1a Sreq zdiagsRestoreStatsNv () -> (status: U8);
    SYS_ZDIAGS_SAVE_STATS_TO_NV = Sys 0x1b Sreq zdiagsSaveStatsToNv () -> (sysclock: U32);
    SYS_OSAL_NV_READ_EXT = Sys 0x1c Sreq osalNvReadExt (id: U16, offset: U16) -> (status: U8, value: Bytes);
    SYS_OSAL_NV_WRITE_EXT = Sys 0x1d Sreq osalNvWriteExt (id: U16, offset: U16, value: Bytes16) -> (status: U8);
    SYS_NV_CREATE = Sys 0x30 Sreq nvCreate (sysid: U8, itemid: U16, subid: U16, len: U32) -> (status: U8);
    SYS_NV_DELETE = Sys 0x31 Sreq nvDelete (sysid: U8, itemid: U16, subid: U16) -> (status: U8);
    SYS_NV_LENGTH = Sys 0x32 Sreq nvLength (sysid: U8, itemid: U16, subid: U16) -> (len: U8);
    SYS_NV_READ = Sys 0x33 Sreq nvRead (sysid: U8, itemid: U16, subid: U16, offset: U16, len: U8)
        -> (status: U8, value: Bytes);
    SYS_NV_WRITE = Sys 0x34 Sreq nvWrite (sysid: U8, itemid: U16, subid: U16, offset: U16, value: Bytes)
        -> (status: U8);
    SYS_NV_UPDATE = Sys 0x35 Sreq nvUpdate (sysid: U8, itemid: U16, subid: U16, value: Bytes) -> (status: U8);
    SYS_NV_COMPACT = Sys 0x36 Sreq nvCompact (threshold: U16) -> (status: U8);
    SYS_RESET_IND = Sys 0x80 Areq resetInd (reason: U8, transportrev: U8, productid: U8, majorrel: U8,
        minorrel: U8, hwrev: U8)
        -> ();
    SYS_OSAL_TIMER_EXPIRED = Sys 0x81 Areq osalTimerExpired (id: U8) -> ();
    SYS_JAMMER_IND = Sys 0x82 Areq jammerInd (jammerind: U8) -> ();
    // AF
    AF_REGISTER = Af 0x00 Sreq register (endpoint: U8, appprofid: U16, appdeviceid: U16, appdevver: U8,
        latencyreq: U8, appinclusterlist: Words, appoutclusterlist: Words)
        -> (status: U8);
    AF_DATA_REQUEST = Af 0x01 Sreq dataRequest (dstaddr: U16, destendpoint: U8, srcendpoint: U8, clusterid: U16,
        transid: U8, options: U8, radius: U8, data: Bytes)
        -> (status: U8);
    AF_DATA_REQUEST_EXT = Af 0x02 Sreq dataRequestExt (dstaddrmode: U8, dstaddr: Ieee, destendpoint: U8,
        dstpanid: U16, srcendpoint: U8, clusterid: U16, transid: U8, options: U8, radius: U8, data: Bytes16)
        -> (status: U8);
    AF_DATA_REQUEST_SRC_RTG = Af 0x03 Sreq dataRequestSrcRtg (dstaddr: U16, destendpoint: U8, srcendpoint: U8,
        clusterid: U16, transid: U8, options: U8, radius: U8, relaylist: Words, data: Bytes)
        -> (status: U8);
    AF_DELETE = Af 0x04 Sreq delete (endpoint: U8) -> (status: U8);
    AF_INTER_PAN_CTL = Af 0x10 Sreq interPanCtl (cmd: U8, data: Rest) -> (status: U8);
    AF_DATA_STORE = Af 0x11 Sreq dataStore (index: U16, data: Bytes) -> (status: U8);
    AF_DATA_RETRIEVE = Af 0x12 Sreq dataRetrieve (timestamp: U32, index: U16, length: U8)
        -> (status: U8, data: Bytes);
    AF_APSF_CONFIG_SET = Af 0x13 Sreq apsfConfigSet (endpoint: U8, framedelay: U8, windowsize: U8) -> (status: U8);
    AF_APSF_CONFIG_GET = Af 0x14 Sreq apsfConfigGet (endpoint: U8) -> (framedelay: U8, windowsize: U8, nomean: U8);
    AF_DATA_CONFIRM = Af 0x80 Areq dataConfirm (status: U8, endpoint: U8, transid: U8) -> ();
    AF_INCOMING_MSG = Af 0x81 Areq incomingMsg (groupid: U16, clusterid: U16, srcaddr: U16, srcendpoint: U8,
        dstendpoint: U8, wasbroadcast: U8, linkquality: U8, securityuse: U8, timestamp: U32, transseqnumber: U8, data: Bytes)
        -> ();
    // `data` is empty or cut short where `len` is more than a frame holds: it is fetched by AF_DATA_RETRIEVE then.
    AF_INCOMING_MSG_EXT = Af 0x82 Areq incomingMsgExt (groupid: U16, clusterid: U16, srcaddrmode: U8,
        srcaddr: Ieee, srcendpoint: U8, srcpanid: U16, dstendpoint: U8, wasbroadcast: U8, linkquality: U8, securityuse: U8, timestamp: U32, transseqnumber: U8, len: U16, data: Rest)
        -> ();
    AF_REFLECT_ERROR = Af 0x83 Areq reflectError (status: U8, endpoint: U8, transid: U8, dstaddrmode: U8,
        dstaddr: U16)
        -> ();
    // ZDO
    ZDO_NWK_ADDR_REQ = Zdo 0x00 Sreq nwkAddrReq (ieeeaddr: Ieee, reqtype: U8, startindex: U8) -> (status: U8);
    ZDO_IEEE_ADDR_REQ = Zdo 0x01 Sreq ieeeAddrReq (shortaddr: U16, reqtype: U8, startindex: U8) -> (status: U8);
    ZDO_NODE_DESC_REQ = Zdo 0x02 Sreq nodeDescReq (dstaddr: U16, nwkaddrofinterest: U16) -> (status: U8);
    ZDO_POWER_DESC_REQ = Zdo 0x03 Sreq powerDescReq (dstaddr: U16, nwkaddrofinterest: U16) -> (status: U8);
    ZDO_SIMPLE_DESC_REQ = Zdo 0x04 Sreq simpleDescReq (dstaddr: U16, nwkaddrofinterest: U16, endpoint: U8)
        -> (status: U8);
    ZDO_ACTIVE_EP_REQ = Zdo 0x05 Sreq activeEpReq (dstaddr: U16, nwkaddrofinterest: U16) -> (status: U8);
    ZDO_MATCH_DESC_REQ = Zdo 0x06 Sreq matchDescReq (dstaddr: U16, nwkaddrofinterest: U16, profileid: U16,
        inclusterlist: Words, outclusterlist: Words)
        -> (status: U8);
    ZDO_COMPLEX_DESC_REQ = Zdo 0x07 Sreq complexDescReq (dstaddr: U16, nwkaddrofinterest: U16) -> (status: U8);
    ZDO_USER_DESC_REQ = Zdo 0x08 Sreq userDescReq (dstaddr: U16, nwkaddrofinterest: U16) -> (status: U8);
    ZDO_END_DEVICE_ANNCE = Zdo 0x0a Sreq endDeviceAnnce (nwkaddr: U16, ieeeaddr: Ieee, capability: U8)
        -> (status: U8);
    ZDO_USER_DESC_SET = Zdo 0x0b Sreq userDescSet (dstaddr: U16, nwkaddrofinterest: U16, userdescriptor: Bytes)
        -> (status: U8);
    ZDO_SERVER_DISC_REQ = Zdo 0x0c Sreq serverDiscReq (servermask: U16) -> (status: U8);
    ZDO_END_DEVICE_BIND_REQ = Zdo 0x20 Sreq endDeviceBindReq (dstaddr: U16, localcoord: U16, localieee: Ieee,
        endpoint: U8, profileid: U16, inclusterlist: Words, outclusterlist: Words)
        -> (status: U8);
    ZDO_BIND_REQ = Zdo 0x21 Sreq bindReq (dstaddr: U16, srcaddr: Ieee, srcendpoint: U8, clusterid: U16,
        dstaddrmode: U8, dst: Rest)
        -> (status: U8);
    ZDO_UNBIND_REQ = Zdo 0x22 Sreq unbindReq (dstaddr: U16, srcaddr: Ieee, srcendpoint: U8, clusterid: U16,
        dstaddrmode: U8, dst: Rest)
        -> (status: U8);
    ZDO_SET_LINK_KEY = Zdo 0x23 Sreq setLinkKey (shortaddr: U16, ieeeaddr: Ieee, linkkey: Fixed(16)) -> (status: U8);
    ZDO_REMOVE_LINK_KEY = Zdo 0x24 Sreq removeLinkKey (ieeeaddr: Ieee) -> (status: U8);
    ZDO_GET_LINK_KEY = Zdo 0x25 Sreq getLinkKey (ieeeaddr: Ieee)
        -> (status: U8, ieeeaddr: Ieee, linkkeydata: Fixed(16));
    ZDO_NWK_DISCOVERY_REQ = Zdo 0x26 Sreq nwkDiscoveryReq (scanchannels: U32, scanduration: U8) -> (status: U8);
    ZDO_JOIN_REQ = Zdo 0x27 Sreq joinReq (logicalchannel: U8, panid: U16, extendedpanid: Ieee, chosenparent: U16,
        parentdepth: U8, stackprofile: U8)
        -> (status: U8);
    ZDO_MGMT_NWK_DISC_REQ = Zdo 0x30 Sreq mgmtNwkDiscReq (dstaddr: U16, scanchannels: U32, scanduration: U8,
        startindex: U8)
        -> (status: U8);
    ZDO_MGMT_LQI_REQ = Zdo 0x31 Sreq mgmtLqiReq (dstaddr: U16, startindex: U8) -> (status: U8);
    ZDO_MGMT_RTG_REQ = Zdo 0x32 Sreq mgmtRtgReq (dstaddr: U16, startindex: U8) -> (status: U8);
    ZDO_MGMT_BIND_REQ = Zdo 0x33 Sreq mgmtBindReq (dstaddr: U16, startindex: U8) -> (status: U8);
    ZDO_MGMT_LEAVE_REQ = Zdo 0x34 Sreq mgmtLeaveReq (dstaddr: U16, deviceaddr: Ieee, removechildrenRejoin: U8)
        -> (status: U8);
    ZDO_MGMT_DIRECT_JOIN_REQ = Zdo 0x35 Sreq mgmtDirectJoinReq (dstaddr: U16, deviceaddr: Ieee, capinfo: U8)
        -> (status: U8);
    ZDO_MGMT_PERMIT_JOIN_REQ = Zdo 0x36 Sreq mgmtPermitJoinReq (addrmode: U8, dstaddr: U16, duration: U8,
        tcsignificance: U8)
        -> (status: U8);
    ZDO_MGMT_NWK_UPDATE_REQ = Zdo 0x37 Sreq mgmtNwkUpdateReq (dstaddr: U16, dstaddrmode: U8, channelmask: U32,
        scanduration: U8, scancount: U8, nwkmanageraddr: U16)
        -> (status: U8);
    ZDO_MSG_CB_REGISTER = Zdo 0x3e Sreq msgCbRegister (clusterid: U16) -> (status: U8);
    ZDO_MSG_CB_REMOVE = Zdo 0x3f Sreq msgCbRemove (clusterid: U16) -> (status: U8);
    ZDO_STARTUP_FROM_APP = Zdo 0x40 Sreq startupFromApp (startdelay: U16) -> (status: U8);
    ZDO_AUTO_FIND_DESTINATION = Zdo 0x41 Areq autoFindDestination (endpoint: U8) -> ();
    // `assoc` is where a list of children begins and the list, counted; or nothing.
    ZDO_NWK_ADDR_RSP = Zdo 0x80 Areq nwkAddrRsp (status: U8, ieeeaddr: Ieee, nwkaddr: U16, assoc: Rest) -> ();
    ZDO_IEEE_ADDR_RSP = Zdo 0x81 Areq ieeeAddrRsp (status: U8, ieeeaddr: Ieee, nwkaddr: U16, assoc: Rest) -> ();
    ZDO_NODE_DESC_RSP = Zdo 0x82 Areq nodeDescRsp (srcaddr: U16, status: U8, nwkaddr: U16, logicaltype: U8,
        apsflagsBand: U8, maccapabilities: U8, manufacturercode: U16, maxbuffersize: U8, maxinsize: U16, servermask: U16, maxoutsize: U16, desccapabilities: U8)
        -> ();
    ZDO_POWER_DESC_RSP = Zdo 0x83 Areq powerDescRsp (srcaddr: U16, status: U8, nwkaddr: U16, powerdesc: U16) -> ();
    ZDO_SIMPLE_DESC_RSP = Zdo 0x84 Areq simpleDescRsp (srcaddr: U16, status: U8, nwkaddr: U16, desc: Bytes) -> ();
    ZDO_ACTIVE_EP_RSP = Zdo 0x85 Areq activeEpRsp (srcaddr: U16, status: U8, nwkaddr: U16, activeeplist: Bytes) -> ();
    ZDO_MATCH_DESC_RSP = Zdo 0x86 Areq matchDescRsp (srcaddr: U16, status: U8, nwkaddr: U16, matchlist: Bytes) -> ();
    ZDO_COMPLEX_DESC_RSP = Zdo 0x87 Areq complexDescRsp (srcaddr: U16, status: U8, nwkaddr: U16,
        complexdesclist: Bytes)
        -> ();
    ZDO_USER_DESC_RSP = Zdo 0x88 Areq userDescRsp (srcaddr: U16, status: U8, nwkaddr: U16, userdescriptor: Bytes)
        -> ();
    ZDO_USER_DESC_CONF = Zdo 0x89 Areq userDescConf (srcaddr: U16, status: U8, nwkaddr: U16) -> ();
    ZDO_SERVER_DISC_RSP = Zdo 0x8a Areq serverDiscRsp (srcaddr: U16, status: U8, servermask: U16) -> ();
    ZDO_UNKNOWN = Zdo 0x9f Areq unknown () -> ();
    ZDO_END_DEVICE_BIND_RSP = Zdo 0xa0 Areq endDeviceBindRsp (srcaddr: U16, status: U8) -> ();
    ZDO_BIND_RSP = Zdo 0xa1 Areq bindRsp (srcaddr: U16, status: U8) -> ();
    ZDO_UNBIND_RSP = Zdo 0xa2 Areq unbindRsp (srcaddr: U16, status: U8) -> ();
    ZDO_MGMT_NWK_DISC_RSP = Zdo 0xb0 Areq mgmtNwkDiscRsp (srcaddr: U16, status: U8, networkcount: U8,
        startindex: U8, networklistcount: U8, networklist: Rest)
        -> ();
    ZDO_MGMT_LQI_RSP = Zdo 0xb1 Areq mgmtLqiRsp (srcaddr: U16, status: U8, neighbortableentries: U8,
        startindex: U8, neighbortablelist: Records(22))
        -> ();
    ZDO_MGMT_RTG_RSP = Zdo 0xb2 Areq mgmtRtgRsp (srcaddr: U16, status: U8, routingtableentries: U8, startindex: U8,
        routingtablelist: Records(5))
        -> ();
    ZDO_MGMT_BIND_RSP = Zdo 0xb3 Areq mgmtBindRsp (srcaddr: U16, status: U8, bindingtableentries: U8,
        startindex: U8, count: U8, bindingtablelist: Rest)
        -> ();
    ZDO_MGMT_LEAVE_RSP = Zdo 0xb4 Areq mgmtLeaveRsp (srcaddr: U16, status: U8) -> ();
    ZDO_MGMT_DIRECT_JOIN_RSP = Zdo 0xb5 Areq mgmtDirectJoinRsp (srcaddr: U16, status: U8) -> ();
    ZDO_MGMT_PERMIT_JOIN_RSP = Zdo 0xb6 Areq mgmtPermitJoinRsp (srcaddr: U16, status: U8) -> ();
    ZDO_MGMT_NWK_UPDATE_NOTIFY = Zdo 0xb8 Areq mgmtNwkUpdateNotify (srcaddr: U16, status: U8, scannedchannels: U32,
        totaltransmissions: U16, transmissionfailures: U16, energyvalues: Bytes)
        -> ();
    ZDO_STATE_CHANGE_IND = Zdo 0xc0 Areq stateChangeInd (state: U8) -> ();
    ZDO_END_DEVICE_ANNCE_IND = Zdo 0xc1 Areq endDeviceAnnceInd (srcaddr: U16, nwkaddr: U16, ieeeaddr: Ieee,
        capabilities: U8)
        -> ();
    ZDO_MATCH_DESC_RSP_SENT = Zdo 0xc2 Areq matchDescRspSent (nwkaddr: U16, inclusterlist: Words,
        outclusterlist: Words)
        -> ();
    ZDO_STATUS_ERROR_RSP = Zdo 0xc3 Areq statusErrorRsp (srcaddr: U16, status: U8) -> ();
    ZDO_SRC_RTG_IND = Zdo 0xc4 Areq srcRtgInd (dstaddr: U16, relaylist: Words) -> ();
    ZDO_BEACON_NOTIFY_IND = Zdo 0xc5 Areq beacon_notify_ind (beaconcount: U8, beaconlist: Rest) -> ();
    ZDO_JOIN_CNF = Zdo 0xc6 Areq joinCnf (status: U8, deviceaddress: U16, parentaddress: U16) -> ();
    ZDO_NWK_DISCOVERY_CNF = Zdo 0xc7 Areq nwkDiscoveryCnf (status: U8) -> ();
    ZDO_CONCENTRATOR_IND_CB = Zdo 0xc8 Areq concentratorIndCb (srcaddr: U16, extaddr: Ieee, pktCost: U8) -> ();
    ZDO_LEAVE_IND = Zdo 0xc9 Areq leaveInd (srcaddr: U16, extaddr: Ieee, request: U8, removechildren: U8, rejoin: U8)
        -> ();
    ZDO_SET_REJOIN_PARAMETERS_REQ = Zdo 0xcc Sreq setRejoinParametersReq (backoffduration: U32, scanduration: U32)
        -> (status: U8);
    ZDO_MSG_CB_INCOMING = Zdo 0xff Areq msgCbIncoming (srcaddr: U16, wasbroadcast: U8, clusterid: U16,
        securityuse: U8, seqnum: U8, macdstaddr: U16, msgdata: Rest)
        -> ();
    ZDO_END_DEVICE_TIMEOUT_REQ = Zdo 0x0d Sreq endDeviceTimeoutReq (parentaddr: U16, reqrimeout: U16) -> (status: U8);
    ZDO_SEND_DATA = Zdo 0x28 Sreq sendData (shortaddr: U16, transseq: U8, cmd: U16, buf: Bytes) -> (status: U8);
    ZDO_NWK_ADDR_OF_INTEREST_REQ = Zdo 0x29 Sreq nwkAddrOfInterestReq (shortaddr: U16, nwkaddr: U16, cmd: U8)
        -> (status: U8);
    ZDO_SEC_ADD_LINK_KEY = Zdo 0x42 Sreq secAddLinkKey (shortaddr: U16, extaddr: Ieee, linkkey: Fixed(16))
        -> (status: U8);
    ZDO_SEC_ENTRY_LOOKUP_EXT = Zdo 0x43 Sreq secEntryLookupExt (extaddr: Ieee)
        -> (status: U8, ami: U16, keynvid: U16, authenticateoption: U8);
    ZDO_SEC_DEVICE_REMOVE = Zdo 0x44 Sreq secDeviceRemove (extaddr: Ieee) -> (status: U8);
    ZDO_EXT_ROUTE_DISC = Zdo 0x45 Sreq extRouteDisc (dstAddr: U16, options: U8, radius: U8) -> (status: U8);
    ZDO_EXT_ROUTE_CHECK = Zdo 0x46 Sreq extRouteCheck (dstaddr: U16, rtstatus: U8, options: U8) -> (status: U8);
    ZDO_EXT_REMOVE_GROUP = Zdo 0x47 Sreq extRemoveGroup (endpoint: U8, groupid: U16) -> (status: U8);
    ZDO_EXT_REMOVE_ALL_GROUP = Zdo 0x48 Sreq extRemoveAllGroup (endpoint: U8) -> (status: U8);
    ZDO_EXT_FIND_ALL_GROUPS_ENDPOINT = Zdo 0x49 Sreq extFindAllGroupsEndpoint (endpoint: U8) -> (grouplist: Words);
    ZDO_EXT_FIND_GROUP = Zdo 0x4a Sreq extFindGroup (endpoint: U8, groupid: U16)
        -> (status: U8, groupid: U16, groupname: Bytes);
    ZDO_EXT_ADD_GROUP = Zdo 0x4b Sreq extAddGroup (endpoint: U8, groupid: U16, groupname: Bytes) -> (status: U8);
    ZDO_EXT_COUNT_ALL_GROUPS = Zdo 0x4c Sreq extCountAllGroups () -> (status: U8);
    ZDO_EXT_RX_IDLE = Zdo 0x4d Sreq extRxIdle (setflag: U8, setvalue: U8) -> (status: U8);
    ZDO_EXT_UPDATE_NWK_KEY = Zdo 0x4e Sreq extUpdateNwkKey (dstaddr: U16, keyseqnum: U8, key: Fixed(16))
        -> (status: U8);
    ZDO_EXT_SWITCH_NWK_KEY = Zdo 0x4f Sreq extSwitchNwkKey (dstaddr: U16, keyseqnum: U8) -> (status: U8);
    ZDO_EXT_NWK_INFO = Zdo 0x50 Sreq extNwkInfo ()
        -> (shortaddr: U16, devstate: U8, panid: U16, parentaddr: U16, extendedpanid: Ieee, parentextaddr: Ieee, channel: U8);
    ZDO_EXT_SEC_APS_REMOVE_REQ = Zdo 0x51 Sreq extSecApsRemoveReq (parentaddr: U16, nwkaddr: U16, extaddr: Ieee)
        -> (status: U8);
    ZDO_FORCE_CONCENTRATOR_CHANGE = Zdo 0x52 Sreq forceConcentratorChange () -> ();
    ZDO_EXT_SET_PARAMS = Zdo 0x53 Sreq extSetParams (usemulticast: U8) -> (status: U8);
    ZDO_TC_DEVICE_IND = Zdo 0xca Areq tcDeviceInd (nwkaddr: U16, extaddr: Ieee, parentaddr: U16) -> ();
    ZDO_PERMIT_JOIN_IND = Zdo 0xcb Areq permitJoinInd (duration: U8) -> ();
    // SAPI
    SAPI_SYSTEM_RESET = Sapi 0x09 Areq systemReset () -> ();
    SAPI_START_REQUEST = Sapi 0x00 Sreq startRequest () -> ();
    SAPI_BIND_DEVICE = Sapi 0x01 Sreq bindDevice (action: U8, commandid: U16, destination: Ieee) -> ();
    SAPI_ALLOW_BIND = Sapi 0x02 Sreq allowBind (timeout: U8) -> ();
    SAPI_SEND_DATA_REQUEST = Sapi 0x03 Sreq sendDataRequest (destination: U16, commandid: U16, handle: U8,
        txoptions: U8, radius: U8, payloadvalue: Bytes)
        -> ();
    SAPI_READ_CONFIGURATION = Sapi 0x04 Sreq readConfiguration (configid: U8)
        -> (status: U8, configid: U8, value: Bytes);
    SAPI_WRITE_CONFIGURATION = Sapi 0x05 Sreq writeConfiguration (configid: U8, value: Bytes) -> (status: U8);
    SAPI_GET_DEVICE_INFO = Sapi 0x06 Sreq getDeviceInfo (param: U8) -> (param: U8, value: Fixed(8));
    SAPI_FIND_DEVICE_REQUEST = Sapi 0x07 Sreq findDeviceRequest (searchKey: Ieee) -> ();
    SAPI_PERMIT_JOINING_REQUEST = Sapi 0x08 Sreq permitJoiningRequest (destination: U16, timeout: U8) -> (status: U8);
    SAPI_START_CONFIRM = Sapi 0x80 Areq startConfirm (status: U8) -> ();
    SAPI_BIND_CONFIRM = Sapi 0x81 Areq bindConfirm (commandid: U16, status: U8) -> ();
    SAPI_ALLOW_BIND_CONFIRM = Sapi 0x82 Areq allowBindConfirm (source: U16) -> ();
    SAPI_SEND_DATA_CONFIRM = Sapi 0x83 Areq sendDataConfirm (handle: U8, status: U8) -> ();
    SAPI_FIND_DEVICE_CONFIRM = Sapi 0x85 Areq findDeviceConfirm (searchtype: U8, searchkey: U16, result: Ieee) -> ();
    SAPI_RECEIVE_DATA_INDICATION = Sapi 0x87 Areq receiveDataIndication (source: U16, command: U16, data: Bytes16)
        -> ();
    // UTIL
    UTIL_GET_DEVICE_INFO = Util 0x00 Sreq getDeviceInfo ()
        -> (status: U8, ieeeaddr: Ieee, shortaddr: U16, devicetype: U8, devicestate: U8, assocdeviceslist: Words);
    UTIL_GET_NV_INFO = Util 0x01 Sreq getNvInfo ()
        -> (status: U8, ieeeaddr: Ieee, scanchannels: U32, panid: U16, securitylevel: U8, preconfigkey: Fixed(16));
    UTIL_SET_PANID = Util 0x02 Sreq setPanid (panid: U16) -> (status: U8);
    UTIL_SET_CHANNELS = Util 0x03 Sreq setChannels (channels: U32) -> (status: U8);
    UTIL_SET_SECLEVEL = Util 0x04 Sreq setSeclevel (securitylevel: U8) -> (status: U8);
    UTIL_SET_PRECFGKEY = Util 0x05 Sreq setPrecfgkey (preconfigkey: Fixed(16)) -> (status: U8);
    UTIL_CALLBACK_SUB_CMD = Util 0x06 Sreq callbackSubCmd (subsystemid: U16, action: U8) -> (status: U8);
    UTIL_KEY_EVENT = Util 0x07 Sreq keyEvent (keys: U8, shift: U8) -> (status: U8);
    UTIL_TIME_ALIVE = Util 0x09 Sreq timeAlive () -> (seconds: U32);
    UTIL_LED_CONTROL = Util 0x0a Sreq ledControl (ledid: U8, mode: U8) -> (status: U8);
    UTIL_TEST_LOOPBACK = Util 0x10 Sreq testLoopback (data: Rest) -> (data: Rest);
    UTIL_DATA_REQ = Util 0x11 Sreq dataReq (securityuse: U8) -> (status: U8);
    UTIL_SRC_MATCH_ENABLE = Util 0x20 Sreq srcMatchEnable () -> (status: U8);
    UTIL_SRC_MATCH_ADD_ENTRY = Util 0x21 Sreq srcMatchAddEntry (addressmode: U8, address: Ieee, panid: U16)
        -> (status: U8);
    UTIL_SRC_MATCH_DEL_ENTRY = Util 0x22 Sreq srcMatchDelEntry (addressmode: U8, address: Ieee, panid: U16)
        -> (status: U8);
    UTIL_SRC_MATCH_CHECK_SRC_ADDR = Util 0x23 Sreq srcMatchCheckSrcAddr (addressmode: U8, address: Ieee, panid: U16)
        -> (status: U8);
    UTIL_SRC_MATCH_ACK_ALL_PENDING = Util 0x24 Sreq srcMatchAckAllPending (option: U8) -> (status: U8);
    UTIL_SRC_MATCH_CHECK_ALL_PENDING = Util 0x25 Sreq srcMatchCheckAllPending () -> (status: U8, value: U8);
    UTIL_ADDRMGR_EXT_ADDR_LOOKUP = Util 0x40 Sreq addrmgrExtAddrLookup (extaddr: Ieee) -> (nwkaddr: U16);
    UTIL_ADDRMGR_NWK_ADDR_LOOKUP = Util 0x41 Sreq addrmgrNwkAddrLookup (nwkaddr: U16) -> (extaddr: Ieee);
    UTIL_APSME_LINK_KEY_DATA_GET = Util 0x44 Sreq apsmeLinkKeyDataGet (extaddr: Ieee)
        -> (status: U8, seckey: Fixed(16), txfrmcntr: U32, rxfrmcntr: U32);
    UTIL_APSME_LINK_KEY_NV_ID_GET = Util 0x45 Sreq apsmeLinkKeyNvIdGet (extaddr: Ieee)
        -> (status: U8, linkkeynvid: U16);
    UTIL_ASSOC_COUNT = Util 0x48 Sreq assocCount (startrelation: U8, endrelation: U8) -> (count: U16);
    UTIL_ASSOC_FIND_DEVICE = Util 0x49 Sreq assocFindDevice (number: U8) -> (device: Rest);
    UTIL_ASSOC_GET_WITH_ADDRESS = Util 0x4a Sreq assocGetWithAddress (extaddr: Ieee, nwkaddr: U16)
        -> (nwkaddr: U16, addridx: U16, noderelation: U8);
    UTIL_APSME_REQUEST_KEY_CMD = Util 0x4b Sreq apsmeRequestKeyCmd (partneraddr: Ieee) -> (status: U8);
    UTIL_ASSOC_REMOVE = Util 0x63 Sreq assocRemove (ieeeadr: Ieee) -> (status: U8);
    UTIL_ASSOC_ADD = Util 0x64 Sreq assocAdd (ieeeadr: Ieee, nwkaddr: U16, noderelation: U8) -> (status: U8);
    UTIL_ZCL_KEY_EST_INIT_EST = Util 0x80 Sreq zclKeyEstInitEst (taskid: U8, seqnum: U8, endpoint: U8,
        addrmode: U8, extaddr: Ieee)
        -> (status: U8);
    UTIL_ZCL_KEY_EST_SIGN = Util 0x81 Sreq zclKeyEstSign (input: Bytes) -> (status: U8, key: Fixed(42));
    UTIL_SYNC_REQ = Util 0xe0 Areq syncReq () -> ();
    UTIL_ZCL_KEY_ESTABLISH_IND = Util 0xe1 Areq zclKeyEstablishInd (taskid: U8, event: U8, status: U8,
        waittime: U8, suite: U16)
        -> ();
    UTIL_GPIO_SET_DIRECTION = Util 0x14 Sreq gpioSetDirection (port: U8, bit: U8, direction: U8)
        -> (oldp0dir: U8, oldp1dir: U8, oldp2dir: U8, p0dir: U8, p1dir: U8, p2dir: U8);
    UTIL_GPIO_READ = Util 0x15 Sreq gpioRead () -> (p0: U8, p1: U8, p2: U8, p0dir: U8, p1dir: U8, p2dir: U8);
    UTIL_GPIO_WRITE = Util 0x16 Sreq gpioWrite (port: U8, bit: U8, value: U8)
        -> (oldp0: U8, oldp1: U8, oldp2: U8, p0: U8, p1: U8, p2: U8, p0dir: U8, p1dir: U8, p2dir: U8);
    UTIL_SRNG_GEN = Util 0x4c Sreq srngGen () -> (outrng: Fixed(100));
    UTIL_BIND_ADD_ENTRY = Util 0x4d Sreq bindAddEntry (addrmode: U8, dstaddr: Ieee, dstendpoint: U8,
        clusterids: Words)
        -> (srcep: U8, dstgroupmode: U8, dstidx: U16, dstep: U8, numclusterids: U8, clusterids: Fixed(8));
    // APP_CNF
    APP_CNF_BDB_ADD_INSTALL_CODE = AppCnf 0x04 Sreq bdbAddInstallCode (installCodeFormat: U8, ieeeaddr: Ieee,
        installCode: Rest)
        -> (status: U8);
    APP_CNF_BDB_START_COMMISSIONING = AppCnf 0x05 Sreq bdbStartCommissioning (mode: U8) -> (status: U8);
    APP_CNF_BDB_SET_JOIN_USES_INSTALL_CODE_KEY = AppCnf 0x06 Sreq bdbSetJoinUsesInstallCodeKey (value: U8) -> (status: U8);
    APP_CNF_BDB_SET_CHANNEL = AppCnf 0x08 Sreq bdbSetChannel (isPrimary: U8, channel: U32) -> (status: U8);
    APP_CNF_BDB_SET_TC_REQUIRE_KEY_EXCHANGE = AppCnf 0x09 Sreq bdbSetTcRequireKeyExchange (value: U8) -> (status: U8);
    APP_CNF_BDB_COMISSIONING_NOTIFCATION = AppCnf 0x80 Areq bdbComissioningNotifcation (status: U8) -> ();
    APP_CNF_SET_NWK_FRAME_COUNTER = AppCnf 0xff Sreq setNwkFrameCounter (value: U32) -> (status: U8);
    // GP
    GP_SEC_REQ = Gp 0x03 Sreq secReq (applicationID: U8, srcID: U32, gdpIeeeAddr: Ieee, endpoint: U8,
        gpdfSecurityLevel: U8, gpdfSecurityFrameCounter: U8, dgpStubHandle: U8)
        -> (status: U8);
}
