//! Clusters 0x0500 to 0x06ff: alarms, and tunnels of other protocols. Made by `.ci/definitions/clusters.cjs` from
//! the MIT-licensed zigbee-herdsman (its notice is in `definitions/NOTICE`); not to be edited.

use crate::zigbee::zcl::clusters::{Cluster, Kind, READ, WRITE, a, c, cluster, f, v};
use crate::zigbee::zcl::data_type::DataType as T;

pub static CLUSTERS: &[Cluster] = &[
    cluster(0x0500, "ssIasZone", 0)
        .attributes(&[
            a(0x0000, "zoneState", T::Enum8, READ, 0),
            a(0x0001, "zoneType", T::Enum16, READ, 0),
            a(0x0002, "zoneStatus", T::Bitmap16, READ, 0),
            a(0x0010, "iasCieAddr", T::Ieee, READ | WRITE, 0),
            a(0x0011, "zoneId", T::U8, READ, 0),
            a(0x0012, "numZoneSensitivityLevelsSupported", T::U8, READ, 0),
            a(0x0013, "currentZoneSensitivityLevel", T::U8, READ | WRITE, 0),
        ])
        .commands(&[
            c(0x00, "enrollRsp", None).with(&[v("enrollrspcode", T::Enum8), v("zoneid", T::U8)]),
            c(0x01, "initNormalOpMode", None),
            c(0x02, "initTestMode", None)
                .with(&[v("testModeDuration", T::U8), v("currentZoneSensitivityLevel", T::U8)]),
        ])
        .answers(&[
            c(0x00, "statusChangeNotification", None).with(&[
                v("zonestatus", T::Bitmap16),
                v("extendedstatus", T::Bitmap8),
                v("zoneID", T::U8),
                v("delay", T::U16),
            ]),
            c(0x01, "enrollReq", None).with(&[v("zonetype", T::Enum16), v("manucode", T::U16)]),
        ]),
    cluster(0x0501, "ssIasAce", 0)
        .commands(&[
            c(0x00, "arm", Some(0x00)).with(&[v("armmode", T::Enum8), v("code", T::CharString), v("zoneid", T::U8)]),
            c(0x01, "bypass", None).with(&[
                v("numofzones", T::U8),
                f("zoneidlist", Kind::List { width: 1, counted: true }),
                v("armDisarmCode", T::CharString),
            ]),
            c(0x02, "emergency", None),
            c(0x03, "fire", None),
            c(0x04, "panic", None),
            c(0x05, "getZoneIDMap", Some(0x01)),
            c(0x06, "getZoneInfo", Some(0x02)).with(&[v("zoneid", T::U8)]),
            c(0x07, "getPanelStatus", Some(0x05)),
            c(0x08, "getBypassedZoneList", None),
            c(0x09, "getZoneStatus", Some(0x08)).with(&[
                v("startzoneid", T::U8),
                v("maxnumzoneid", T::U8),
                v("zonestatusmaskflag", T::Bool),
                v("zonestatusmask", T::Bitmap16),
            ]),
        ])
        .answers(&[
            c(0x00, "armRsp", None).with(&[v("armnotification", T::Enum8)]),
            c(0x01, "getZoneIDMapRsp", None).with(&[
                v("zoneidmapsection0", T::Bitmap16),
                v("zoneidmapsection1", T::Bitmap16),
                v("zoneidmapsection2", T::Bitmap16),
                v("zoneidmapsection3", T::Bitmap16),
                v("zoneidmapsection4", T::Bitmap16),
                v("zoneidmapsection5", T::Bitmap16),
                v("zoneidmapsection6", T::Bitmap16),
                v("zoneidmapsection7", T::Bitmap16),
                v("zoneidmapsection8", T::Bitmap16),
                v("zoneidmapsection9", T::Bitmap16),
                v("zoneidmapsection10", T::Bitmap16),
                v("zoneidmapsection11", T::Bitmap16),
                v("zoneidmapsection12", T::Bitmap16),
                v("zoneidmapsection13", T::Bitmap16),
                v("zoneidmapsection14", T::Bitmap16),
                v("zoneidmapsection15", T::Bitmap16),
            ]),
            c(0x02, "getZoneInfoRsp", None).with(&[
                v("zoneid", T::U8),
                v("zonetype", T::Enum16),
                v("ieeeaddr", T::Ieee),
                v("zonelabel", T::CharString),
            ]),
            c(0x03, "zoneStatusChanged", None).with(&[
                v("zoneid", T::U8),
                v("zonestatus", T::Enum16),
                v("audiblenotif", T::Enum8),
                v("zonelabel", T::CharString),
            ]),
            c(0x04, "panelStatusChanged", None).with(&[
                v("panelstatus", T::Enum8),
                v("secondsremain", T::U8),
                v("audiblenotif", T::Enum8),
                v("alarmstatus", T::Enum8),
            ]),
            c(0x05, "getPanelStatusRsp", None).with(&[
                v("panelstatus", T::Enum8),
                v("secondsremain", T::U8),
                v("audiblenotif", T::Enum8),
                v("alarmstatus", T::Enum8),
            ]),
            c(0x06, "setBypassedZoneList", None)
                .with(&[v("numofzones", T::U8), f("zoneid", Kind::List { width: 1, counted: true })]),
            c(0x07, "bypassRsp", None)
                .with(&[v("numofzones", T::U8), f("bypassresult", Kind::List { width: 1, counted: true })]),
            c(0x08, "getZoneStatusRsp", None).with(&[
                v("zonestatuscomplete", T::Bool),
                v("numofzones", T::U8),
                f("zoneinfo", Kind::ZoneInfo),
            ]),
        ]),
    cluster(0x0502, "ssIasWd", 0).attributes(&[a(0x0000, "maxDuration", T::U16, READ | WRITE, 0)]).commands(&[
        c(0x00, "startWarning", None).with(&[
            v("startwarninginfo", T::Bitmap8),
            v("warningduration", T::U16),
            v("strobedutycycle", T::U8),
            v("strobelevel", T::Enum8),
        ]),
        c(0x01, "squawk", None).with(&[v("squawkinfo", T::Bitmap8)]),
    ]),
    cluster(0x0600, "piGenericTunnel", 0)
        .attributes(&[
            a(0x0001, "maxIncomeTransSize", T::U16, READ, 0),
            a(0x0002, "maxOutgoTransSize", T::U16, READ, 0),
            a(0x0003, "protocolAddr", T::OctetString, READ, 0),
        ])
        .commands(&[c(0x00, "matchProtocolAddr", None).with(&[v("protocoladdr", T::OctetString)])])
        .answers(&[
            c(0x00, "matchProtocolAddrRsp", None).with(&[v("devieeeaddr", T::Ieee), v("protocoladdr", T::OctetString)]),
            c(0x01, "advertiseProtocolAddr", None).with(&[v("protocoladdr", T::OctetString)]),
        ]),
    cluster(0x0601, "piBacnetProtocolTunnel", 0)
        .commands(&[c(0x00, "transferNpdu", None).with(&[f("npdu", Kind::List { width: 1, counted: false })])]),
    cluster(0x0602, "piAnalogInputReg", 0).attributes(&[
        a(0x0016, "covIncrement", T::Single, READ | WRITE, 0),
        a(0x001f, "deviceType", T::CharString, READ, 0),
        a(0x004b, "objectId", T::BacnetOid, READ, 0),
        a(0x004d, "objectName", T::CharString, READ, 0),
        a(0x004f, "objectType", T::Enum16, READ, 0),
        a(0x0076, "updateInterval", T::U8, READ | WRITE, 0),
        a(0x00a8, "profileName", T::CharString, READ | WRITE, 0),
    ]),
    cluster(0x0603, "piAnalogInputExt", 0)
        .attributes(&[
            a(0x0000, "ackedTransitions", T::Bitmap8, READ | WRITE, 0),
            a(0x0011, "notificationClass", T::U16, READ | WRITE, 0),
            a(0x0019, "deadband", T::Single, READ | WRITE, 0),
            a(0x0023, "eventEnable", T::Bitmap8, READ | WRITE, 0),
            a(0x0024, "eventState", T::Enum8, READ, 0),
            a(0x002d, "highLimit", T::Single, READ | WRITE, 0),
            a(0x0034, "limitEnable", T::Bitmap8, READ | WRITE, 0),
            a(0x003b, "lowLimit", T::Single, READ | WRITE, 0),
            a(0x0048, "notifyType", T::Enum8, READ | WRITE, 0),
            a(0x0071, "timeDelay", T::U8, READ | WRITE, 0),
            a(0x0082, "eventTimeStamps", T::Array, READ, 0),
        ])
        .commands(&[
            c(0x00, "transferApdu", None),
            c(0x01, "connectReq", None),
            c(0x02, "disconnectReq", None),
            c(0x03, "connectStatusNoti", None),
        ]),
    cluster(0x0604, "piAnalogOutputReg", 0).attributes(&[
        a(0x0016, "covIncrement", T::Single, READ | WRITE, 0),
        a(0x001f, "deviceType", T::CharString, READ, 0),
        a(0x004b, "objectId", T::BacnetOid, READ, 0),
        a(0x004d, "objectName", T::CharString, READ, 0),
        a(0x004f, "objectType", T::Enum16, READ, 0),
        a(0x00a8, "profileName", T::CharString, READ | WRITE, 0),
    ]),
    cluster(0x0605, "piAnalogOutputExt", 0).attributes(&[
        a(0x0000, "ackedTransitions", T::Bitmap8, READ | WRITE, 0),
        a(0x0011, "notificationClass", T::U16, READ | WRITE, 0),
        a(0x0019, "deadband", T::Single, READ | WRITE, 0),
        a(0x0023, "eventEnable", T::Bitmap8, READ | WRITE, 0),
        a(0x0024, "eventState", T::Enum8, READ, 0),
        a(0x002d, "highLimit", T::Single, READ | WRITE, 0),
        a(0x0034, "limitEnable", T::Bitmap8, READ | WRITE, 0),
        a(0x003b, "lowLimit", T::Single, READ | WRITE, 0),
        a(0x0048, "notifyType", T::Enum8, READ | WRITE, 0),
        a(0x0071, "timeDelay", T::U8, READ | WRITE, 0),
        a(0x0082, "eventTimeStamps", T::Array, READ, 0),
    ]),
    cluster(0x0606, "piAnalogValueReg", 0).attributes(&[
        a(0x0016, "covIncrement", T::Single, READ | WRITE, 0),
        a(0x004b, "objectId", T::BacnetOid, READ, 0),
        a(0x004d, "objectName", T::CharString, READ, 0),
        a(0x004f, "objectType", T::Enum16, READ, 0),
        a(0x00a8, "profileName", T::CharString, READ, 0),
    ]),
    cluster(0x0607, "piAnalogValueExt", 0).attributes(&[
        a(0x0000, "ackedTransitions", T::Bitmap8, READ | WRITE, 0),
        a(0x0011, "notificationClass", T::U16, READ | WRITE, 0),
        a(0x0019, "deadband", T::Single, READ | WRITE, 0),
        a(0x0023, "eventEnable", T::Bitmap8, READ | WRITE, 0),
        a(0x0024, "eventState", T::Enum8, READ, 0),
        a(0x002d, "highLimit", T::Single, READ | WRITE, 0),
        a(0x0034, "limitEnable", T::Bitmap8, READ | WRITE, 0),
        a(0x003b, "lowLimit", T::Single, READ | WRITE, 0),
        a(0x0048, "notifyType", T::Enum8, READ | WRITE, 0),
        a(0x0071, "timeDelay", T::U8, READ | WRITE, 0),
        a(0x0082, "eventTimeStamps", T::Array, READ, 0),
    ]),
    cluster(0x0608, "piBinaryInputReg", 0).attributes(&[
        a(0x000f, "changeOfStateCount", T::U32, READ | WRITE, 0),
        a(0x0010, "changeOfStateTime", T::Struct, READ, 0),
        a(0x001f, "deviceType", T::CharString, READ, 0),
        a(0x0021, "elapsedActiveTime", T::U32, READ | WRITE, 0),
        a(0x004b, "objectIdentifier", T::BacnetOid, READ, 0),
        a(0x004d, "objectName", T::CharString, READ, 0),
        a(0x004f, "objectType", T::Enum16, READ, 0),
        a(0x0072, "timeOfATReset", T::Struct, READ, 0),
        a(0x0073, "timeOfSCReset", T::Struct, READ, 0),
        a(0x00a8, "profileName", T::CharString, READ, 0),
    ]),
    cluster(0x0609, "piBinaryInputExt", 0).attributes(&[
        a(0x0000, "ackedTransitions", T::Bitmap8, READ | WRITE, 0),
        a(0x0006, "alarmValue", T::Bool, READ | WRITE, 0),
        a(0x0011, "notificationClass", T::U16, READ | WRITE, 0),
        a(0x0023, "eventEnable", T::Bitmap8, READ | WRITE, 0),
        a(0x0024, "eventState", T::Enum8, READ, 0),
        a(0x0048, "notifyType", T::Enum8, READ | WRITE, 0),
        a(0x0071, "timeDelay", T::U8, READ | WRITE, 0),
        a(0x0082, "eventTimeStamps", T::Array, READ, 0),
    ]),
    cluster(0x060a, "piBinaryOutputReg", 0).attributes(&[
        a(0x000f, "changeOfStateCount", T::U32, READ | WRITE, 0),
        a(0x0010, "changeOfStateTime", T::Struct, READ, 0),
        a(0x001f, "deviceType", T::CharString, READ, 0),
        a(0x0021, "elapsedActiveTime", T::U32, READ | WRITE, 0),
        a(0x0028, "feedBackValue", T::Enum8, READ, 0),
        a(0x004b, "objectIdentifier", T::BacnetOid, READ, 0),
        a(0x004d, "objectName", T::CharString, READ, 0),
        a(0x004f, "objectType", T::Enum16, READ, 0),
        a(0x0072, "timeOfATReset", T::Struct, READ, 0),
        a(0x0073, "timeOfSCReset", T::Struct, READ, 0),
        a(0x00a8, "profileName", T::CharString, READ, 0),
    ]),
    cluster(0x060b, "piBinaryOutputExt", 0).attributes(&[
        a(0x0000, "ackedTransitions", T::Bitmap8, READ | WRITE, 0),
        a(0x0011, "notificationClass", T::U16, READ | WRITE, 0),
        a(0x0023, "eventEnable", T::Bitmap8, READ | WRITE, 0),
        a(0x0024, "eventState", T::Enum8, READ, 0),
        a(0x0048, "notifyType", T::Enum8, READ | WRITE, 0),
        a(0x0071, "timeDelay", T::U8, READ | WRITE, 0),
        a(0x0082, "eventTimeStamps", T::Array, READ, 0),
    ]),
    cluster(0x060c, "piBinaryValueReg", 0).attributes(&[
        a(0x000f, "changeOfStateCount", T::U32, READ | WRITE, 0),
        a(0x0010, "changeOfStateTime", T::Struct, READ, 0),
        a(0x0021, "elapsedActiveTime", T::U32, READ | WRITE, 0),
        a(0x004b, "objectIdentifier", T::BacnetOid, READ, 0),
        a(0x004d, "objectName", T::CharString, READ, 0),
        a(0x004f, "objectType", T::Enum16, READ, 0),
        a(0x0072, "timeOfATReset", T::Struct, READ, 0),
        a(0x0073, "timeOfSCReset", T::Struct, READ, 0),
        a(0x00a8, "profileName", T::CharString, READ, 0),
    ]),
    cluster(0x060d, "piBinaryValueExt", 0).attributes(&[
        a(0x0000, "ackedTransitions", T::Bitmap8, READ | WRITE, 0),
        a(0x0006, "alarmValue", T::Bool, READ | WRITE, 0),
        a(0x0011, "notificationClass", T::U16, READ | WRITE, 0),
        a(0x0023, "eventEnable", T::Bitmap8, READ | WRITE, 0),
        a(0x0024, "eventState", T::Enum8, READ, 0),
        a(0x0048, "notifyType", T::Enum8, READ | WRITE, 0),
        a(0x0071, "timeDelay", T::U8, READ | WRITE, 0),
        a(0x0082, "eventTimeStamps", T::Array, READ, 0),
    ]),
    cluster(0x060e, "piMultistateInputReg", 0).attributes(&[
        a(0x001f, "deviceType", T::CharString, READ, 0),
        a(0x004b, "objectIdentifier", T::BacnetOid, READ, 0),
        a(0x004d, "objectName", T::CharString, READ, 0),
        a(0x004f, "objectType", T::Enum16, READ, 0),
        a(0x00a8, "profileName", T::CharString, READ, 0),
    ]),
    cluster(0x060f, "piMultistateInputExt", 0).attributes(&[
        a(0x0000, "ackedTransitions", T::Bitmap8, READ | WRITE, 0),
        a(0x0006, "alarmValues", T::Set, READ | WRITE, 0),
        a(0x0011, "notificationClass", T::U16, READ | WRITE, 0),
        a(0x0023, "eventEnable", T::Bitmap8, READ | WRITE, 0),
        a(0x0024, "eventState", T::Enum8, READ, 0),
        a(0x0025, "faultValues", T::Set, READ | WRITE, 0),
        a(0x0048, "notifyType", T::Enum8, READ | WRITE, 0),
        a(0x0071, "timeDelay", T::U8, READ | WRITE, 0),
        a(0x0082, "eventTimeStamps", T::Array, READ, 0),
    ]),
    cluster(0x0610, "piMultistateOutputReg", 0).attributes(&[
        a(0x001f, "deviceType", T::CharString, READ, 0),
        a(0x0028, "feedBackValue", T::Enum8, READ | WRITE, 0),
        a(0x004b, "objectIdentifier", T::BacnetOid, READ, 0),
        a(0x004d, "objectName", T::CharString, READ, 0),
        a(0x004f, "objectType", T::Enum16, READ, 0),
        a(0x00a8, "profileName", T::CharString, READ, 0),
    ]),
    cluster(0x0611, "piMultistateOutputExt", 0).attributes(&[
        a(0x0000, "ackedTransitions", T::Bitmap8, READ | WRITE, 0),
        a(0x0011, "notificationClass", T::U16, READ | WRITE, 0),
        a(0x0023, "eventEnable", T::Bitmap8, READ | WRITE, 0),
        a(0x0024, "eventState", T::Enum8, READ, 0),
        a(0x0048, "notifyType", T::Enum8, READ | WRITE, 0),
        a(0x0071, "timeDelay", T::U8, READ | WRITE, 0),
        a(0x0082, "eventTimeStamps", T::Array, READ, 0),
    ]),
    cluster(0x0612, "piMultistateValueReg", 0).attributes(&[
        a(0x004b, "objectIdentifier", T::BacnetOid, READ, 0),
        a(0x004d, "objectName", T::CharString, READ, 0),
        a(0x004f, "objectType", T::Enum16, READ, 0),
        a(0x00a8, "profileName", T::CharString, READ, 0),
    ]),
    cluster(0x0613, "piMultistateValueExt", 0).attributes(&[
        a(0x0000, "ackedTransitions", T::Bitmap8, READ | WRITE, 0),
        a(0x0006, "alarmValues", T::Set, READ | WRITE, 0),
        a(0x0011, "notificationClass", T::U16, READ | WRITE, 0),
        a(0x0023, "eventEnable", T::Bitmap8, READ | WRITE, 0),
        a(0x0024, "eventState", T::Enum8, READ, 0),
        a(0x0025, "faultValues", T::Set, READ | WRITE, 0),
        a(0x0048, "notifyType", T::Enum8, READ | WRITE, 0),
        a(0x0071, "timeDelay", T::U8, READ | WRITE, 0),
        a(0x0082, "eventTimeStamps", T::Array, READ, 0),
    ]),
    cluster(0x0614, "pi11073ProtocolTunnel", 0)
        .attributes(&[
            a(0x0000, "deviceidList", T::Array, READ, 0),
            a(0x0001, "managerTarget", T::Ieee, READ, 0),
            a(0x0002, "managerEndpoint", T::U8, READ, 0),
            a(0x0003, "connected", T::Bool, READ, 0),
            a(0x0004, "preemptible", T::Bool, READ, 0),
            a(0x0005, "idleTimeout", T::U16, READ, 0),
        ])
        .commands(&[
            c(0x00, "transferApdu", None).with(&[v("apdu", T::OctetString)]),
            c(0x01, "connectRequest", None).with(&[
                v("control", T::Bitmap8),
                v("idleTimeout", T::U16),
                v("managerTarget", T::Ieee),
                v("managerEndpoint", T::U8),
            ]),
            c(0x02, "disconnectRequest", None).with(&[v("managerTarget", T::Ieee)]),
            c(0x03, "connectStatusNotification", None).with(&[v("status", T::Enum8)]),
        ]),
    cluster(0x0615, "piIso7818ProtocolTunnel", 0)
        .attributes(&[a(0x0000, "status", T::U8, READ, 0)])
        .commands(&[
            c(0x00, "transferApdu", None).with(&[v("apdu", T::OctetString)]),
            c(0x01, "insertSmartCard", None),
            c(0x02, "extractSmartCard", None),
        ])
        .answers(&[c(0x00, "transferApdu", None).with(&[v("apdu", T::OctetString)])]),
    cluster(0x0617, "retailTunnel", 0)
        .attributes(&[a(0x0000, "manufacturerCode", T::U16, READ, 0), a(0x0001, "msProfile", T::U16, READ, 0)])
        .commands(&[c(0x00, "transferApdu", None).with(&[v("apdu", T::OctetString)])]),
];
