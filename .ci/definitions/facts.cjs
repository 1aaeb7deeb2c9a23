// What the package says of every device, as data. Its definitions are programs; here they are run against a device that only
// takes notes, their generic blocks are asked for the arguments they were made with, and simple conversions are found out by
// trying numbers. What stays a program is said to be one (`"?"`), and the hub does not claim it.
'use strict';
const Module = require('node:module');
const source = require('./package.cjs');
const { fromTrials, toTrials } = require('./trial.cjs');

// Blocks and conversions remember what they were made from.
const made = new WeakMap();
const blocks = new Map();
globalThis.hearthMade = (name, make, args) => {
  const block = make(...args);
  if (block === null || typeof block !== 'object') return block;
  if (!made.has(block)) made.set(block, { name, args });
  for (const list of ['fromZigbee', 'toZigbee']) {
    for (const one of block[list] ?? []) if (!blocks.has(one)) blocks.set(one, { name, args });
  }
  return block;
};
globalThis.hearthBasics = (basics) => {
  for (const name of Object.keys(basics)) {
    const make = basics[name];
    basics[name] = (...args) => globalThis.hearthMade(name, make, args);
  }
};
const compile = Module.prototype._compile;
Module.prototype._compile = function (text, file) {
  let hooked = text;
  if (file.endsWith('zigbee-herdsman-converters/dist/lib/modernExtend.js')) {
    hooked = text.replace(/^function (\w+)\(/gm, (all, name) => /^(convertReportingConfigTime|getAttributeValue|setup\w+)$/.test(name)
      ? all : `function ${name}(...args){return globalThis.hearthMade(${JSON.stringify(name)}, made_${name}, args)}\nfunction made_${name}(`);
  } else if (file.endsWith('zigbee-herdsman-converters/dist/lib/tuya.js')) {
    hooked = text.replace(/^exports\.valueConverter = \{/m, 'globalThis.hearthBasics(exports.valueConverterBasic);\nexports.valueConverter = {');
  }
  return compile.call(this, hooked, file);
};

const modern = source.converter('lib/modernExtend.js');
const tuya = source.converter('lib/tuya.js');
for (const name of Object.keys(tuya.modernExtend)) {
  const make = tuya.modernExtend[name];
  tuya.modernExtend[name] = (...args) => globalThis.hearthMade(`tuya.${name}`, make.bind(tuya.modernExtend), args);
}
const { Zcl } = source.herdsman('index.js');

const LATE_MS = 200;
const TRIALS_MS = 5000;
const CONFIGURE_MS = 3000;
const TIME = 0x000a;
const CLUSTER_COMMAND = 1; // the frame type
process.on('unhandledRejection', () => {});
process.on('uncaughtException', (error) => { if (!/lib|devices/.test(error.stack)) throw error; });
source.converter('index.js').setLogger({ debug() {}, info() {}, warning() {}, error() {} });

// Named converters, by themselves and by their functions: a copy with other endpoints is the same converter.
const names = new Map();
function named(object, prefix, depth) {
  for (const [key, one] of Object.entries(object)) {
    if (one === null || typeof one !== 'object' || Array.isArray(one)) continue;
    const functions = [one.convert, one.convertSet, one.convertGet].filter((it) => typeof it === 'function');
    if (functions.length > 0) {
      for (const it of [one, ...functions]) if (!names.has(it)) names.set(it, `${prefix}.${key}`);
    } else if (depth < 3) named(one, `${prefix}.${key}`, depth + 1);
  }
}
const fz = source.converter('converters/fromZigbee.js');
const tz = source.converter('converters/toZigbee.js');
named(fz.default ?? fz, 'fz', 3);
named(tz.default ?? tz, 'tz', 3);
for (const lib of ['tuya', 'lumi', 'legrand', 'philips', 'ikea', 'namron', 'zosung', 'legacy', 'develco', 'ubisys', 'sunricher', 'ewelink']) {
  const exported = source.converter(`lib/${lib}.js`);
  named({ fz: exported.fz ?? exported.fromZigbee ?? {}, tz: exported.tz ?? exported.toZigbee ?? {} }, lib, 0);
}
const basics = new Map(Object.entries(tuya.valueConverter).map(([name, one]) => [one, name]));

const nameOf = (one) => names.get(one) ?? names.get(one.convert) ?? names.get(one.convertSet ?? one.convertGet);

// Clusters of one definition: the standard ones with what the definition adds.
function clusterOf(key, added) {
  const standard = typeof key === 'number'
    ? Object.values(Zcl.Clusters).find((one) => one.ID === key)
    : Zcl.Clusters[key];
  const own = added.filter(([name, one]) => name === key || (typeof key === 'number' ? one.ID === key : standard && one.ID === standard.ID));
  const first = own.find(([name]) => name === key)?.[1] ?? standard ?? own[0]?.[1];
  if (!first) return typeof key === 'number' ? { ID: key, attributes: {}, commands: {}, commandsResponse: {} } : undefined;
  const merged = { ID: first.ID, manufacturerCode: first.manufacturerCode, attributes: {}, commands: {}, commandsResponse: {} };
  for (const one of [standard, ...own.map((it) => it[1])]) {
    for (const list of ['attributes', 'commands', 'commandsResponse']) Object.assign(merged[list], one?.[list]);
  }
  return merged;
}

// Cluster, attribute, type and maker; undefined where the name is not known.
function attributeOf(clusterKey, attribute, options, added) {
  const cluster = clusterOf(clusterKey, added);
  if (!cluster) return undefined;
  const found = typeof attribute === 'object'
    ? { ...attribute }
    : typeof attribute === 'number'
      ? Object.values(cluster.attributes).find((one) => one.ID === attribute) ?? { ID: attribute }
      : cluster.attributes[attribute];
  if (!found || found.ID === undefined) return undefined;
  const known = Object.values(cluster.attributes).find((one) => one.ID === found.ID);
  const maker = options && 'manufacturerCode' in options
    ? options.manufacturerCode ?? 0
    : found.manufacturerCode ?? (typeof attribute === 'object' ? known?.manufacturerCode : undefined) ?? cluster.manufacturerCode ?? 0;
  return { c: cluster.ID, a: found.ID, t: found.type ?? known?.type ?? 0, ...(maker ? { m: maker } : {}) };
}

// A function of numbers that is a line through what it gives for some, or one of a few known curves.
function scaleOf(scale) {
  if (scale === undefined) return undefined;
  if (typeof scale === 'number') return scale;
  try {
    const [zero, one, ten, many] = [0, 1, 10, 1000].map((value) => scale(value, 'from'));
    if ([zero, one, ten, many].every(Number.isFinite)) {
      const factor = (many - zero) / 1000;
      const line = [one - zero - factor, ten - zero - 10 * factor].every((off) => Math.abs(off) < 1e-9);
      if (line && factor !== 0) {
        const back = [zero, many].map((value) => scale(value, 'to'));
        const inverts = Math.abs(back[0]) < 1e-6 && Math.abs(back[1] - 1000) < 1e-6;
        return { line: [round(factor), round(zero)], ...(inverts ? {} : { back: '?' }) };
      }
    }
    const lux = (value) => (value === 0 ? 0 : 10 ** ((value - 1) / 10000));
    if ([0, 1, 10001, 20001].every((value) => Math.abs(scale(value, 'from') - lux(value)) <= 0.51)) return { curve: 'lux' };
  } catch { /* a program */ }
  return { curve: '?' };
}

const round = (value) => Number(value.toPrecision(12));

const ACCESS = { STATE: 1, SET: 2, STATE_SET: 3, STATE_GET: 5, ALL: 7 };

// A block's arguments as data.
const BLOCKS = {
  numeric: (args, added) => {
    const at = attributeOf(args.cluster, args.attribute, args.zigbeeCommandOptions, added);
    if (!at) return undefined;
    return { n: args.name, ...at, x: ACCESS[args.access ?? 'ALL'], ep: args.endpointNames, s: scaleOf(args.scale), p: args.precision,
      ...(args.fzConvert ? { f: '?' } : {}) };
  },
  binary: (args, added) => {
    const at = attributeOf(args.cluster, args.attribute, args.zigbeeCommandOptions, added);
    if (!at) return undefined;
    return { n: args.name, ...at, x: ACCESS[args.access ?? 'ALL'], ep: args.endpointName ? [args.endpointName].flat() : undefined,
      on: args.valueOn, off: args.valueOff };
  },
  enumLookup: (args, added) => {
    const at = attributeOf(args.cluster, args.attribute, args.zigbeeCommandOptions, added);
    if (!at) return undefined;
    return { n: args.name, ...at, x: ACCESS[args.access ?? 'ALL'], ep: args.endpointName ? [args.endpointName].flat() : undefined,
      l: args.lookup, ...(args.fzConvert ? { f: '?' } : {}) };
  },
  text: (args, added) => {
    const at = attributeOf(args.cluster, args.attribute, args.zigbeeCommandOptions, added);
    if (!at) return undefined;
    return { n: args.name, ...at, x: ACCESS[args.access ?? 'ALL'], ep: args.endpointName ? [args.endpointName].flat() : undefined };
  },
  actionEnumLookup: (args, added) => {
    if (args.parse || args.commands) return undefined;
    const at = attributeOf(args.cluster, args.attribute, undefined, added);
    return at && { ...at, l: args.actionLookup, ep: args.endpointNames, b: args.buttonLookup };
  },
  battery: (args = {}) => ({ p: args.percentage ?? true, v: args.voltage ?? false, l: args.lowStatus ?? false,
    d: args.dontDividePercentage ?? false, vp: voltages(args.voltageToPercentage) }),
  occupancy: (args = {}) => ({ ep: args.endpointNames }),
  commandsOnOff: (args = {}) => ({}),
  commandsScenes: () => ({}),
  commandsWindowCovering: () => ({}),
  identify: () => ({}),
  iasZoneAlarm: (args) => ({ z: args.zoneType, a: args.zoneAttributes, i: args.invertAlarm ?? false, t: args.alarmTimeout ?? false,
    m: args.manufacturerZoneAttributes?.map((one) => [one.name, one.bit]) }),
  iasWarning: (args = {}) => ({ r: args.reversePayload ?? false, d: Boolean(args.maxDuration) }),
  illuminance: () => ({}),
};

function voltages(curve) {
  if (curve === undefined || typeof curve === 'string') return curve;
  return typeof curve === 'object' ? { min: curve.min, max: curve.max } : undefined;
}

// Values that Tuya's data points take, by their type on the wire: {e: n} of enumerations, {b: n} of bitmaps.
function wire(value) {
  if (value instanceof tuya.Enum) return { e: value.valueOf() };
  if (value instanceof tuya.Bitmap) return { b: value.valueOf() };
  if (Buffer.isBuffer(value)) return { h: value.toString('hex') };
  return value;
}
// Words that an option changes are those of who sets none.
const words = (map) => (typeof map === 'function' ? map({}, { manufacturerName: '', modelID: '' }) : map);
const lookup = (map) => Object.fromEntries(Object.entries(map).map(([key, value]) => [key, wire(value)]));

// A conversion of a data point: a name with arguments, what could be found out by trying, or '?'.
function conversion(one, expose) {
  if (!one || typeof one !== 'object') return '?';
  const from = made.get(one);
  if (from) {
    const [first, second] = from.args;
    switch (from.name) {
      case 'lookup': return { l: lookup(words(first)), ...(second === undefined ? {} : { d: second }) };
      case 'raw': return 'raw';
      case 'trueFalse': return { t: wire(first) };
      default: return { [from.name]: from.args };
    }
  }
  const name = basics.get(one);
  const tried = attempt(one, expose);
  if (tried !== '?') return tried;
  return name ?? '?';
}

const NOTHING = new Proxy({}, { get: () => { throw new Error('asked for more than the value'); } });

function attempt(one, expose) {
  const from = (value) => one.from(value, NOTHING, NOTHING, () => { throw new Error('publishes'); }, NOTHING);
  const to = (value) => {
    const result = one.to(value, NOTHING);
    if (result instanceof Promise) { result.catch(() => {}); throw new Error('takes time'); }
    return result;
  };
  const settable = expose !== undefined && (expose.access & 2) !== 0;
  try {
    if (expose?.type === 'numeric') {
      const values = one.from ? [0, 1, 10, 1000].map(from) : undefined;
      if (values && !values.every((value) => typeof value === 'number' && Number.isFinite(value))) return '?';
      const factor = values && (values[3] - values[0]) / 1000;
      if (values && (factor === 0 || Math.abs(values[1] - values[0] - factor) > 1e-9 || Math.abs(values[2] - values[0] - 10 * factor) > 1e-9)) return '?';
      // Signs and limits that a line does not have.
      if (values && [-1, -100, 255, 4095, 65535, 4294967295].some((value) => Math.abs(from(value) - (values[0] + factor * value)) > 1e-6)) return '?';
      if (!values) return '?';
      if (settable || one.to) {
        const middle = expose.value_min ?? 0, top = expose.value_max ?? 100;
        for (const value of [middle, top]) {
          const sent = to(value);
          if (typeof sent !== 'number' || Math.abs(values[0] + factor * sent - value) > Math.abs(factor) + 1e-9) return '?';
        }
      }
      return { line: [round(factor), round(values[0])] };
    }
    if (expose?.type === 'enum' || expose?.type === 'binary') {
      const words = expose.type === 'enum' ? expose.values : [expose.value_on, expose.value_off];
      const found = {};
      if (one.to) for (const word of words) {
        const sent = wire(to(word));
        if (sent === undefined || typeof sent === 'string') return '?';
        found[String(word)] = sent;
      }
      if (one.from) {
        for (const raw of [false, true, ...Array(words.length + 12).keys()]) {
          let word;
          try { word = from(raw); } catch { continue; }
          if (word === undefined) continue;
          if (!words.some((other) => other === word)) return '?';
          const known = found[String(word)];
          if (known === undefined) {
            if (!one.to) found[String(word)] = raw;
          } else if (one.to) {
            const plain = typeof known === 'object' ? known.e ?? known.b : known;
            if (plain !== raw && !(plain === true && raw === 1) && !(plain === false && raw === 0)) return '?';
          }
        }
      }
      if (Object.keys(found).length !== new Set(words.map(String)).size) return '?';
      return { l: found, ...(expose.type === 'binary' && typeof words[0] === 'boolean' ? { y: 1 } : {}) };
    }
  } catch { /* it asks for more than the value */ }
  return '?';
}

// Exposes by what they tell and take; labels and the like can be made from the name.
function expose(one) {
  const json = JSON.parse(JSON.stringify(one));
  const strip = (it) => {
    delete it.label; delete it.homeassistant;
    (it.features ?? []).forEach(strip);
    if (it.item_type) it.item_type = it.item_type.type;
    return it;
  };
  return strip(json);
}

// Clusters of an endpoint that has whichever is looked for, and of one that has none.
const ANY = { true: Object.assign([], { find: () => ({}), some: () => true, includes: () => true }), false: [] };

// Told from each other by the names of their classes.
class Device {}
class Endpoint {}

// A device that takes notes of what is done to it.
function noting(ids, added, modelID = 'x', manufacturerName = 'x', isTrial = false) {
  const notes = [];
  const values = new Map();
  const note = (id, what) => notes.push([id, ...what]);
  const keyOf = (cluster) => clusterOf(cluster, added)?.ID;
  const device = Object.assign(new Device(), { type: 'EndDevice', modelID, manufacturerName, genBasic: {}, ieeeAddr: '0x0000000000000001', powerSource: 'Battery', meta: {},
    customClusters: {}, save() {}, addCustomCluster() {}, checkinInterval: 0, applicationVersion: 1, interviewing: false });
  const endpoint = (id) => Object.assign(new Endpoint(), {
    ID: id, deviceIeeeAddress: device.ieeeAddr, inputClusters: [], outputClusters: [], binds: [], configuredReportings: [], meta: {}, profileID: 260, deviceID: 0,
    clusters: new Proxy({}, { get: () => ({ attributes: {} }) }), getDevice: () => device, save() {}, addBinding() {}, hasPendingRequests: () => false,
    supportsInputCluster: () => id === 0, supportsOutputCluster: () => id === 0,
    getInputClusters: () => ANY[id === 0], getOutputClusters: () => ANY[id === 0],
    // A number that is made with what a real device has told cannot be found out by trying.
    getClusterAttributeValue: (cluster, attribute) => isTrial ? fail('asked for a real device') : values.get(`${id} ${cluster} ${attribute}`) ?? (/divisor|multiplier/i.test(String(attribute)) ? 1 : undefined),
    saveClusterAttributeKeyValue: (cluster, list) => {
      for (const [name, value] of Object.entries(list)) {
        values.set(`${id} ${cluster} ${name}`, value);
        const at = attributeOf(cluster, name, undefined, added);
        if (at && typeof value === 'number') note(id, ['k', at.c, at.a, value]);
      }
    },
    bind: async (cluster) => { const key = keyOf(cluster); if (key !== undefined) note(id, ['b', key]); },
    unbind: async () => {},
    configureReporting: async (cluster, items, options) => {
      for (const item of items) {
        const at = attributeOf(cluster, item.attribute, options, added);
        if (!at) continue;
        const change = typeof item.reportableChange === 'number' ? item.reportableChange : 1;
        note(id, ['r', at.c, at.a, at.t, at.m ?? 0, item.minimumReportInterval, item.maximumReportInterval, change]);
      }
    },
    read: async (cluster, attributes, options) => {
      for (const attribute of attributes) {
        const at = attributeOf(cluster, attribute, options, added);
        if (at) note(id, ['g', at.c, at.a, at.m ?? 0]);
      }
      return {};
    },
    write: async (cluster, list, options) => {
      for (const [key, value] of Object.entries(list)) {
        const name = /^\d+$/.test(key) ? Number(key) : key;
        const typed = value !== null && typeof value === 'object' && 'type' in value;
        const at = attributeOf(cluster, typed ? { ID: Number(key), type: value.type } : name, options, added);
        const plain = typed ? value.value : value;
        // The time of the day of the trial is no fact.
        if (at?.c === TIME) continue;
        if (at && ['number', 'string', 'boolean'].includes(typeof plain)) note(id, ['w', at.c, at.a, at.t, at.m ?? 0, plain]);
        else if (at && (Buffer.isBuffer(plain) || Array.isArray(plain))) note(id, ['w', at.c, at.a, at.t, at.m ?? 0, { h: Buffer.from(plain).toString('hex') }]);
      }
    },
    command: async (cluster, name, payload, options) => {
      const found = clusterOf(cluster, added);
      const command = found && (typeof name === 'number' ? Object.values(found.commands).find((one) => one.ID === name) : found.commands[name]);
      if (!command) return {};
      try {
        const frame = Zcl.Frame.create(CLUSTER_COMMAND, 0, true, options?.manufacturerCode ?? found.manufacturerCode, 0, command.name ?? name, { ...found, name: 'x' }, payload ?? {}, {}, undefined);
        const bytes = frame.toBuffer();
        const maker = frame.header.manufacturerCode ?? 0;
        note(id, ['c', found.ID, command.ID, maker, bytes.subarray(maker ? 5 : 3).toString('hex')]);
      } catch { /* more than data */ }
      return {};
    },
    commandResponse: async () => {}, zclCommand: async () => {}, defaultRsp: async () => {},
  });
  const known = new Map();
  device.getEndpoint = (id) => { if (!known.has(id)) known.set(id, endpoint(id)); return known.get(id); };
  // The endpoint 0 stands for all that have the cluster.
  device.endpoints = [0, ...ids.filter((id) => id > 0)].map(device.getEndpoint);
  return { device, notes };
}

// Clusters that a definition adds when its device starts, in the order of its blocks.
function vendorData(definition) {
  const added = [];
  const { device } = noting([], []);
  device.addCustomCluster = (name, cluster) => added.push([name, cluster]);
  const events = (one) => [one.onEvent ?? []].flat();
  for (const one of [...(definition.extend ?? []), { onEvent: definition.onEvent }]) {
    const from = made.get(one);
    if (from?.name === 'deviceAddCustomCluster') added.push(from.args);
    else for (const event of events(one)) {
      try {
        Promise.resolve(event({ type: 'start', data: { device, state: {}, options: {}, deviceExposesChanged() {} } })).catch(() => {});
      } catch { /* it wants a real device */ }
    }
  }
  return added;
}

// Converters that the hub has blocks for: there is no need to try them.
const NATIVE = new Set(`
  _alarm_ _only _only_alarm_ _report _with_timeout ac_frequency accurrent accurrent_neutral accurrent_phase_b
  accurrent_phase_c acvoltage acvoltage_phase_b acvoltage_phase_c ballast_ballast_factor_adjustment ballast_config
  ballast_intrinsic_ballast_factor ballast_lamp_burn_hours ballast_lamp_quantity ballast_lamp_rated_hours
  ballast_maximum_level ballast_minimum_level ballast_physical_maximum_level ballast_physical_minimum_level
  ballast_power_on_fade_time ballast_power_on_level battery battery_low battery_percentage_remaining battery_voltage
  brightness brightness_percent carbon_monoxide co2 color_colortemp color_temp color_temp_percent command_
  command_status_change_notification_action cover_mode cover_position_tilt cover_position_via_brightness cover_state
  cover_via_brightness current_neutral current_phase_b current_phase_c dccurrent dcpower dcvoltage device_temperature
  effect electrical_measurement electrical_measurement_power electrical_measurement_power_phase_b
  electrical_measurement_power_phase_c electrical_measurement_power_reactive energy_tier_1 energy_tier_2 energy_tier_3
  energy_tier_4 fan fan_mode frequency gradient_scene hue_power_on_behavior humidity hvac_user_interface ias_ identify
  ignore_ illuminance level_config light_brightness_move light_brightness_step light_color light_color_colortemp
  light_color_options light_colortemp light_colortemp_move light_colortemp_startup light_colortemp_step
  light_onoff_brightness lighting_ballast_configuration linkquality_from_basic lock lock_auto_relock_time
  lock_operation_event lock_pin_code_response lock_programming_event lock_programming_event_read_pincode
  lock_sound_volume lock_user_status_response lumi_basic lumi_specific metering metering_power occupancy
  occupancy_timeout occupancy_with_timeout off_wait_time on_off on_off_force_multiendpoint
  on_off_skip_duplicate_transaction on_time pincode_lock pm25 power_factor power_on_behavior power_phase_b
  power_phase_c power_reactive powerfactor pressure produced_energy produced_energy_tier_1 produced_energy_tier_2
  soil_moisture temperature thermostat thermostat_ thermostat_keypad_lockout thermostat_setpoint_raise_lower
  thermostat_temperature_display_mode voltage_phase_b voltage_phase_c warning warning_simple water_leak
`.trim().split(/\s+/));
const isNative = (name) => {
  const converter = name.slice(3);
  return /^[ft]z\./.test(name) && (NATIVE.has(converter) || /^(ignore|command|ias|thermostat)_/.test(converter));
};

const META = ['multiEndpoint', 'multiEndpointSkip', 'multiEndpointEnforce', 'coverInverted', 'coverStateFromTilt', 'supportsHueAndSaturation',
  'supportsEnhancedHue', 'applyRedFix', 'turnsOffAtBrightness1', 'moveToLevelWithOnOffDisable', 'disableDefaultResponse', 'battery', 'thermostat',
  'noOffTransition', 'tuyaSendCommand', 'separateWhite', 'fanStateOn', 'pinCodeCount', 'disableActionGroup', 'lumiCluster', 'threePhase',
  'deltaTime', 'publishDuplicateTransaction', 'timeout', 'overrideHaDiscoveryPayload_no'];

async function facts(definition, file) {
  const extend = definition.extend ?? [];
  const added = vendorData(definition);
  const prepared = source.converter('index.js').prepareDefinition(definition);
  const meta = prepared.meta ?? {};
  const endpointOf = prepared.endpoint;
  let endpoints;
  try { endpoints = endpointOf?.({ endpoints: [], getEndpoint: () => undefined, modelID: '', manufacturerName: '', ieeeAddr: '0x0' }); } catch { endpoints = undefined; }
  let exposes = [];
  try {
    exposes = typeof prepared.exposes === 'function' ? prepared.exposes({ isDummyDevice: true }, {}) : prepared.exposes;
  } catch { /* for a real device */ }
  exposes = (exposes ?? []).map(expose);
  const flat = exposes.flatMap((one) => (one.features && one.property === undefined ? one.features : [one]));

  // Converters by name, blocks by what they were made from, and how many are programs.
  const rows = [];
  const seen = new Set();
  let programs = 0;
  const push = (row) => { const key = JSON.stringify(row); if (!seen.has(key)) { seen.add(key); rows.push(row); } };
  const points = [];
  const first = definition.fingerprint?.[0] ?? {};
  const model = [definition.zigbeeModel?.[0] ?? first.modelID ?? 'x', first.manufacturerName ?? 'x'];
  const own = (list) => [...(definition[list] ?? []), ...extend.flatMap((one) => one[list] ?? [])];
  const several = [...new Set(Object.values(endpoints ?? {}))].filter((id) => typeof id === 'number' && id > 0);
  const trials = async (one) => {
    const all = flat.map((other) => other);
    const about = { prepared, exposes: all, soon };
    if (one.key) return toTrials(one, { ...about, noting: () => noting([], added, ...model, true) });
    const cluster = clusterOf(/^\d+$/.test(one.cluster) ? Number(one.cluster) : one.cluster, added);
    if (!cluster) return [];
    const { device } = noting([], added, ...model, true);
    const of = (name) => attributeOf(cluster.ID, name, undefined, added);
    return soonest(fromTrials(one, { ...about, device, cluster, attributeOf: of, ids: several.length > 0 ? several : [1],
      extra: rows.filter(([, args]) => args?.c === cluster.ID && args.a !== undefined).map(([, args]) => args) }));
  };
  for (const one of [...own('toZigbee'), ...own('fromZigbee')]) {
    const name = nameOf(one);
    const from = blocks.get(one);
    if (name === 'philips.tz.gradient_scene') push([name, { l: source.converter('lib/philips.js').gradientScenes }]);
    else if (name !== undefined) {
      // Makers' own converters are many; what can be found out of one stands before its name.
      if (!isNative(name)) (await trials(one)).forEach(push);
      push([name, ...(one.endpoints ? [{ ep: one.endpoints }] : [])]);
    }
    else if (from?.name.startsWith('tuya.dp')) {
      const point = tuyaBlock(from);
      if (point) points.push(point); else { programs += 1; push(['?']); }
    } else if (from?.name === 'tuya.tuyaBase') push(['tuyaBase', { t: from.args[0]?.timeStart ?? 'off' }]);
    else if (from && BLOCKS[from.name]) {
      const data = BLOCKS[from.name](from.args[0], added);
      if (data === undefined) { programs += 1; push(['?']); } else push([from.name, JSON.parse(JSON.stringify(data))]);
    } else {
      const tried = await trials(one);
      tried.forEach(push);
      if (tried.length === 0) programs += 1;
      // What was found out may not be all.
      push(['?', one.key ?? one.cluster]);
    }
  }
  for (const [point, name, converter, options] of meta.tuyaDatapoints ?? []) {
    // Known, and of no use.
    if (converter === null || converter === undefined) continue;
    const shown = flat.find((other) => other.property === name) ?? flat.find((other) => other.name === name);
    points.push([point, name, conversion(converter, shown), ...(options?.optimistic === false ? [1] : [])]);
  }
  if (points.length > 0) push(['points', dedupe(points)]);

  // What is done when it has joined.
  const ids = [...new Set(Object.values(endpoints ?? {}))].filter((id) => typeof id === 'number');
  const { device, notes } = noting(ids, added, ...model);
  let whole = true;
  try {
    if (prepared.configure) await soon(prepared.configure(device, { ID: 1 }, prepared), CONFIGURE_MS);
  } catch { whole = false; }
  const kept = {};
  for (const key of META) if (meta[key] !== undefined && isData(meta[key])) kept[key] = meta[key];
  if (kept.battery) kept.battery = { ...kept.battery, voltageToPercentage: voltages(kept.battery.voltageToPercentage) };
  return {
    file, model: definition.model, vendor: definition.vendor, description: definition.description,
    zigbeeModel: definition.zigbeeModel, fingerprint: definition.fingerprint, whiteLabel: definition.whiteLabel,
    exposes, rows, endpoints, meta: JSON.parse(JSON.stringify(kept)), setup: unique(notes), whole, programs, ota: Boolean(definition.ota || extend.some((one) => one.ota)),
  };
}

// All trials of a converter.
const soonest = (promise) => soon(promise, TRIALS_MS).catch(() => []);

function fail(why) {
  throw new Error(why);
}

// Some wait for a real device.
function soon(promise, within = LATE_MS) {
  let timer;
  const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error('late')), within); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function isData(value) {
  if (value === null || ['number', 'string', 'boolean'].includes(typeof value)) return true;
  if (typeof value !== 'object') return false;
  return Object.values(value).every((one) => one === undefined || isData(one));
}

function unique(list) {
  const seen = new Set();
  return list.filter((one) => { const key = JSON.stringify(one); if (seen.has(key)) return false; seen.add(key); return true; });
}
const dedupe = unique;

// A data point out of a block of its own.
function tuyaBlock(from) {
  const args = from.args[0] ?? {};
  const name = args.endpoint ? `${args.name}_${args.endpoint}` : args.name;
  const numeric = (name, dp, args) => {
    const scale = args.scale;
    return [dp, name, scale === undefined ? 'raw' : Array.isArray(scale) ? { scale } : { divideBy: [scale] }];
  };
  switch (from.name) {
    case 'tuya.dpEnumLookup': return [args.dp, name, { l: typed(args.lookup, args.type) }];
    case 'tuya.dpBinary': return [args.dp, name, { l: typed(Object.fromEntries([args.valueOn, args.valueOff].map(([word, raw]) => [String(word), raw])), args.type), ...(typeof args.valueOn[0] === 'boolean' ? { y: 1 } : {}) }];
    case 'tuya.dpNumeric': return numeric(name, args.dp, args);
    default: return undefined;
  }
}
const typed = (map, type) => Object.fromEntries(Object.entries(map).map(([word, raw]) => {
  const plain = wire(raw);
  return [word, typeof plain === 'number' && type === tuya.dataTypes.enum ? { e: plain } : plain];
}));

async function all() {
  const found = [];
  for (const file of source.deviceFiles()) {
    for (const definition of source.converter(`devices/${file}`).definitions ?? []) found.push(await facts(definition, file));
  }
  return found;
}

module.exports = { all };
