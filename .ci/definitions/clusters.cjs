// Writes src/zigbee/zcl/clusters/*.rs: attributes and commands of every cluster that the package knows, the specification's
// and the makers' own. Run it after raising the version in package.cjs:  node .ci/definitions/clusters.cjs
'use strict';
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const source = require('./package.cjs');

const OUT = path.join(__dirname, '../../src/zigbee/zcl/clusters');
const hex = (number, width = 4) => `0x${number.toString(16).padStart(width, '0')}`;
const text = (value) => JSON.stringify(value);

const TYPES = {
  0: 'NoData', 8: 'Data8', 9: 'Data16', 10: 'Data24', 11: 'Data32', 12: 'Data40', 13: 'Data48', 14: 'Data56', 15: 'Data64',
  16: 'Bool', 24: 'Bitmap8', 25: 'Bitmap16', 26: 'Bitmap24', 27: 'Bitmap32', 28: 'Bitmap40', 29: 'Bitmap48', 30: 'Bitmap56',
  31: 'Bitmap64', 32: 'U8', 33: 'U16', 34: 'U24', 35: 'U32', 36: 'U40', 37: 'U48', 38: 'U56', 39: 'U64', 40: 'I8', 41: 'I16',
  42: 'I24', 43: 'I32', 44: 'I40', 45: 'I48', 46: 'I56', 47: 'I64', 48: 'Enum8', 49: 'Enum16', 56: 'Semi', 57: 'Single',
  58: 'Double', 65: 'OctetString', 66: 'CharString', 67: 'LongOctetString', 68: 'LongCharString', 72: 'Array', 76: 'Struct',
  80: 'Set', 81: 'Bag', 224: 'TimeOfDay', 225: 'Date', 226: 'UtcTime', 232: 'ClusterId', 233: 'AttributeId', 234: 'BacnetOid',
  240: 'Ieee', 241: 'Key',
};
// A list whose count is the parameter before it; others go on to the end.
const COUNT = /num|count|length|size|^len|total/i;
// Parameters that conditions call by another name.
const SPELLED = { fragmentationOptions: ['fragmentionOptions', 'ackOptions'] };
const WIDTHS = { 1001: 1, 1002: 2, 1003: 3, 1004: 4 };

function kind(parameter, before) {
  const counted = before && COUNT.test(before.name) && !/max/i.test(before.name);
  switch (parameter.type) {
    case 1001: case 1002: case 1003: case 1004:
      return `Kind::List { width: ${WIDTHS[parameter.type]}, counted: ${Boolean(counted)} }`;
    case 1005: return 'Kind::ZoneInfo';
    case 1006: return 'Kind::ExtensionSets';
    case 1007: return 'Kind::Transitions';
    case 1008: return `Kind::Bytes { counted: ${Boolean(counted)} }`;
    // Behind the length that a payload has; in the answer the length is the string's own.
    case 1009: return parameter.name === 'gpdPayload' ? 'T::OctetString' : 'Kind::Bytes { counted: true }';
    case 1011: return 'Kind::TuyaPoints';
    case 1012: return 'Kind::MiboxerZones';
    case 1013: return 'Kind::BigEndian24';
    // Not said what it is: what is left.
    case 255: return 'Kind::Bytes { counted: false }';
    default: return TYPES[parameter.type] ? `T::${TYPES[parameter.type]}` : fail(`type ${parameter.type}`);
  }
}

function fail(why) {
  throw new Error(why);
}

function condition(condition, index) {
  const field = () => index(condition.field ?? condition.param);
  switch (condition.type) {
    case 'minimumRemainingBufferBytes': return `When::Left(${condition.value})`;
    case 'bitMaskSet':
      return `When::${condition.reversed ? 'NotAllBits' : 'AllBits'} { field: ${field()}, mask: ${hex(condition.mask, 2)} }`;
    case 'bitFieldEnum': {
      const mask = (1 << condition.size) - 1;
      return `When::Part { field: ${field()}, shift: ${condition.offset}, mask: ${hex(mask, 2)}, is: ${condition.value} }`;
    }
    case 'fieldEquals':
      return `When::${condition.reversed ? 'IsNot' : 'Is'} { field: ${field()}, value: ${condition.value} }`;
    case 'fieldGT': return `When::Above { field: ${field()}, value: ${condition.value} }`;
    default: return fail(`condition ${condition.type}`);
  }
}

// A list of a row, where there is anything in it.
const list = (name, rows) => (rows.length > 0 ? `.${name}(&[${rows.join(', ')}])` : '');

function command(command) {
  const fields = command.parameters.map((parameter, at) => {
    const index = (name) => {
      const found = command.parameters.findIndex((other) => (SPELLED[name] ?? [name]).includes(other.name));
      return found >= 0 && found < at ? found : fail(`${command.name} has no ${name} before ${parameter.name}`);
    };
    // Of conditions on what comes later nothing can be known when it is read.
    const when = (parameter.conditions ?? []).map((one) => condition(one, index));
    // Where a parameter has two widths, the second has a name of its own.
    const again = command.parameters.slice(0, at).some((other) => other.name === parameter.name);
    const of = kind(parameter, command.parameters[at - 1]);
    const row = `${of.startsWith('T::') ? 'v' : 'f'}(${text(parameter.name + (again ? 'Wide' : ''))}, ${of})`;
    return row + list('when', when);
  });
  const answer = command.response === undefined ? 'None' : `Some(${hex(command.response, 2)})`;
  return `c(${hex(command.ID, 2)}, ${text(command.name)}, ${answer})${list('with', fields)}`;
}

function attribute(attribute, maker) {
  const access = `READ${attribute.write ? ' | WRITE' : ''}${attribute.report ? ' | REPORT' : ''}`;
  const own = attribute.manufacturerCode ?? maker ?? 0;
  const type = TYPES[attribute.type] ?? fail(`type ${attribute.type} of ${attribute.name}`);
  return `a(${hex(attribute.ID)}, ${text(attribute.name)}, T::${type}, ${access}, ${own ? hex(own) : '0'})`;
}

function cluster(cluster) {
  const maker = cluster.manufacturerCode ?? 0;
  // Where one number stands for two, the first has it.
  const first = (one, at, list) =>
    list.findIndex((two) => two.ID === one.ID && two.manufacturerCode === one.manufacturerCode) === at;
  // A command of two bytes is a slip, there is none on the air; what an attribute without a type is nobody knows.
  const commands = (all) => Object.values(all).filter((one) => one.ID <= 0xff).filter(first).map(command);
  const attributes = Object.values(cluster.attributes).filter((one) => one.type !== 255).filter(first);
  return `cluster(${hex(cluster.ID)}, ${text(cluster.name)}, ${maker ? hex(maker) : '0'})`
    + list('attributes', attributes.map((one) => attribute(one, maker)))
    + list('commands', commands(cluster.commands))
    + list('answers', commands(cluster.commandsResponse));
}

function write(file, what, clusters) {
  const body = clusters.map(cluster).join(',\n');
  const used = ['a', 'c', 'f', 'v'].filter((one) => new RegExp(`[^a-z]${one}\\(`).test(body));
  const words = ['READ', 'REPORT', 'WRITE', 'When', 'Kind'].filter((one) => new RegExp(`\\b${one}\\b`).test(body));
  const types = body.includes('T::') ? 'use crate::zigbee::zcl::data_type::DataType as T;\n' : '';
  fs.writeFileSync(path.join(OUT, file), `//! ${what}. Made by \`.ci/definitions/clusters.cjs\` from
//! the MIT-licensed zigbee-herdsman (its notice is in \`definitions/NOTICE\`); not to be edited.

use crate::zigbee::zcl::clusters::{${['Cluster', 'cluster', ...used, ...words].sort().join(', ')}};
${types}
pub static CLUSTERS: &[Cluster] = &[
${body},
];
`);
  execFileSync('rustfmt', ['--edition', '2024', '--config', 'max_width=120,use_small_heuristics=Max', path.join(OUT, file)]);
}

// What makers add, cluster by cluster, as their definitions say it.
function makers() {
  const found = new Map();
  const extend = source.converter('lib/modernExtend.js');
  const original = extend.deviceAddCustomCluster;
  extend.deviceAddCustomCluster = (name, added) => {
    const key = `${name} ${added.ID} ${added.manufacturerCode ?? 0}`;
    const known = found.get(key) ?? { ...added, name, attributes: {}, commands: {}, commandsResponse: {} };
    for (const list of ['attributes', 'commands', 'commandsResponse']) {
      for (const [own, one] of Object.entries(added[list])) {
        const same = Object.entries(known[list]).find(([, other]) => JSON.stringify(other) === JSON.stringify({ ...one, name: own }));
        const taken = known[list][own] && !same;
        if (!same) known[list][taken ? `${own} ${Object.keys(known[list]).length}` : own] = { ...one, name: own };
      }
    }
    found.set(key, known);
    return original(name, added);
  };
  for (const file of source.deviceFiles()) source.converter(`devices/${file}`);
  const rows = [...found.values()].filter((one) =>
    ['attributes', 'commands', 'commandsResponse'].some((list) => Object.keys(one[list]).length > 0));
  return rows.sort((a, b) => a.ID - b.ID || (a.manufacturerCode ?? 0) - (b.manufacturerCode ?? 0) || (a.name < b.name ? -1 : 1));
}

const { Clusters } = source.herdsman('zspec/zcl/definition/cluster.js');
const standard = Object.values(Clusters).sort((a, b) => a.ID - b.ID);
const range = (from, to) => standard.filter((one) => one.ID >= from && one.ID <= to);
const own = makers();
write('general.rs', 'Clusters 0x0000 to 0x00ff: what every device has', range(0x0000, 0x00ff));
write('house.rs', 'Clusters 0x0100 to 0x03ff: covers, locks, heating, light', range(0x0100, 0x03ff));
write('measurement.rs', 'Clusters 0x0400 to 0x04ff: what sensors measure', range(0x0400, 0x04ff));
write('security.rs', 'Clusters 0x0500 to 0x06ff: alarms, and tunnels of other protocols', range(0x0500, 0x06ff));
write('energy.rs', 'Clusters 0x0700 to 0x1fff: metering, appliances, touchlink', range(0x0700, 0x1fff));
write('makers.rs', "Clusters of makers' own", [...range(0x2000, 0xffff), ...own.filter((one) => !standard.some((two) => two.ID === one.ID && two.ID < 0x2000))]);
write('additions.rs', 'What makers add to clusters of the specification', own.filter((one) => standard.some((two) => two.ID === one.ID && two.ID < 0x2000)));
