// Converters that are programs, found out by trying: a message with one attribute goes in, and what is told is looked at; a value
// is set, and what would be sent is looked at. Only what behaves like a line, a list of words, or a plain command is taken.
'use strict';

const ENUM_TRIES = [...Array(32).keys(), 64, 128, 254, 255];
const NUMBER_TRIES = [0, 1, 2, 7, 10, 100, 250, 1000, 2000];
const ENDPOINTS = [1, 2, 3, 4, 5, 6];

let sequence = 0;

// What a converter tells of one message, or undefined.
async function told(one, prepared, device, endpoint, type, data) {
  let publishes = false;
  sequence = (sequence + 1) % 1_000_000_000;
  const msg = { data, type, endpoint, device, cluster: one.cluster, groupID: 0, linkquality: 100,
    meta: { zclTransactionSequenceNumber: sequence, frameControl: {} } };
  try {
    const result = await one.convert(prepared, msg, () => { publishes = true; }, {}, { device, state: {}, logger: undefined });
    if (publishes || result === null || typeof result !== 'object') return undefined;
    return result;
  } catch { return undefined; }
}

const round = (value) => Number(value.toPrecision(10));

// Factor and offset of pairs that lie on a line; undefined where they do not.
function line(pairs) {
  if (pairs.length < 4) return undefined;
  const [first, last] = [pairs[0], pairs[pairs.length - 1]];
  if (first[0] === last[0]) return undefined;
  const factor = (last[1] - first[1]) / (last[0] - first[0]);
  const offset = first[1] - factor * first[0];
  if (factor === 0 || !Number.isFinite(factor)) return undefined;
  // Rounded to some digits they may be.
  const fits = pairs.every(([raw, value]) => Math.abs(factor * raw + offset - value) <= 0.011 * Math.max(1, Math.abs(factor)));
  return fits ? [round(factor), Math.abs(offset) < 0.011 ? 0 : round(offset)] : undefined;
}

const isNumber = (type) => (type >= 0x20 && type <= 0x2f) || (type >= 0x38 && type <= 0x3a);

// Rows of what a converter tells of attributes and commands. Where it tells something else of each endpoint, each has its row.
async function fromTrials(one, about) {
  const types = [one.type].flat();
  const rows = [];
  if (types.includes('attributeReport') || types.includes('readResponse')) {
    const each = [];
    for (const id of about.ids) each.push([id, await attributeTrials(one, about, id)]);
    const differ = each.some(([, found]) => JSON.stringify(found) !== JSON.stringify(each[0][1]));
    for (const [id, found] of differ ? each : each.slice(0, 1)) {
      rows.push(...found.map(([block, args]) => [block, differ ? { ...args, e: id } : args]));
    }
  }
  for (const type of types.filter((type) => /^command[A-Z]/.test(type))) rows.push(...await pressed(one, type, about));
  return rows;
}

async function attributeTrials(one, { prepared, device, cluster, attributeOf, exposes, extra }, id) {
  const rows = [];
  const named = new Map(exposes.map((expose) => [expose.property ?? expose.name, expose]));
  // Those with names, and those that are set by their numbers.
  const byName = Object.values(cluster.attributes).map((attribute) => [attribute.name, attributeOf(attribute.name)]);
  const numbered = extra.map(({ c, a, t, m }) => [String(a), { c, a, t: t ?? 0, ...(m ? { m } : {}) }]);
  for (const [key, at] of [...byName, ...numbered]) {
    if (!at) continue;
    const tries = isNumber(at.t) ? NUMBER_TRIES : at.t === 0x10 ? [0, 1] : at.t <= 0x31 ? ENUM_TRIES : [];
    const results = new Map();
    for (const raw of tries) {
      const result = await told(one, prepared, device, device.getEndpoint(id), 'attributeReport', { [key]: raw });
      for (const [property, value] of Object.entries(result ?? {})) {
        if (!results.has(property)) results.set(property, []);
        results.get(property).push([raw, value]);
      }
    }
    for (const [property, pairs] of results) {
      const expose = named.get(property);
      if (!expose || pairs.length < 2) continue;
      const row = told1(property, pairs, at, expose);
      if (row) rows.push(row);
    }
  }
  return rows;
}

function told1(property, pairs, at, expose) {
  const base = { n: property, ...at, x: 1 };
  if (expose.type === 'numeric' && pairs.every(([, value]) => typeof value === 'number')) {
    const found = line(pairs);
    return found && ['numeric', { ...base, s: { line: found } }];
  }
  if (expose.type === 'binary') {
    const words = [expose.value_on, expose.value_off];
    if (pairs.some(([, value]) => !words.includes(value))) return undefined;
    const raws = (word) => pairs.filter(([, value]) => value === word).map(([raw]) => raw);
    const [on, off] = words.map(raws);
    if (on.length === 0 || off.length === 0) return undefined;
    // One number is on, and all others are off; or one bit says it, whatever the others say.
    if (on.length === 1) return ['binary', { ...base, on: [words[0], on[0]], off: [words[1], off[0]] }];
    for (let bit = 0; bit < 8; bit += 1) {
      const set = (raw) => Math.floor(raw / 2 ** bit) % 2 === 1;
      if (on.every(set) && !off.some(set)) return ['binary', { ...base, b: bit, on: [words[0], 1], off: [words[1], 0] }];
      if (off.every(set) && !on.some(set)) return ['binary', { ...base, b: bit, on: [words[0], 0], off: [words[1], 1] }];
    }
    return undefined;
  }
  if (expose.type === 'enum' && pairs.every(([, value]) => typeof value === 'string')) {
    const words = {};
    for (const [raw, word] of pairs) {
      if (words[word] !== undefined) continue;
      words[word] = raw;
    }
    return Object.keys(words).every((word) => expose.values.includes(word)) ? ['enumLookup', { ...base, l: words }] : undefined;
  }
  return undefined;
}

// Commands that are one action whatever is in them, of each endpoint.
async function pressed(one, type, { prepared, device, cluster }) {
  const name = type.slice('command'.length);
  const named = Object.values({ ...cluster.commandsResponse, ...cluster.commands })
    .filter((command) => command.name.toLowerCase() === name.toLowerCase());
  const command = named[0];
  if (!command) return [];
  const data = (number) => Object.fromEntries(command.parameters.map((parameter) => [parameter.name, number]));
  const rows = [];
  const first = {};
  for (const id of ENDPOINTS) {
    const results = [];
    for (const number of [0, 1, 2]) results.push(await told(one, prepared, device, device.getEndpoint(id), type, data(number)));
    const actions = results.map((result) => result?.action);
    if (typeof actions[0] !== 'string' || !actions.every((action) => action === actions[0])) continue;
    first[id] = actions[0];
  }
  const words = Object.values(first);
  if (words.length === 0) return rows;
  const base = { c: cluster.ID, i: command.ID, ...(cluster.manufacturerCode ? { m: cluster.manufacturerCode } : {}) };
  if (words.length === ENDPOINTS.length && words.every((word) => word === words[0])) rows.push(['pressed', { ...base, a: words[0] }]);
  else for (const [id, word] of Object.entries(first)) rows.push(['pressed', { ...base, e: Number(id), a: word }]);
  return rows;
}

// Rows of what is sent for each of a converter's keys, and of what is read.
async function toTrials(one, { prepared, noting, exposes, soon }) {
  const rows = [];
  for (const key of one.key ?? []) {
    const expose = exposes.find((other) => other.name === key || other.property === key);
    if (!expose) continue;
    const send = async (value) => {
      const { device, notes } = noting();
      const entity = device.getEndpoint(0);
      const meta = { message: { [key]: value }, mapped: prepared, options: {}, state: {}, device, endpoint_name: undefined, publish() {} };
      try { await soon(Promise.resolve(one.convertSet(entity, key, value, meta))); } catch { return undefined; }
      return notes.length === 1 ? notes[0] : undefined;
    };
    if (one.convertSet && (expose.access & 2) !== 0) {
      const row = await sent(key, expose, send);
      if (row) rows.push(row);
    }
    if (one.convertGet && (expose.access & 4) !== 0) {
      const { device, notes } = noting();
      const meta = { message: { [key]: '' }, mapped: prepared, options: {}, state: {}, device, endpoint_name: undefined };
      try { await soon(Promise.resolve(one.convertGet(device.getEndpoint(0), key, meta))); } catch { continue; }
      const reads = notes.filter((note) => note[1] === 'g');
      if (reads.length >= 1 && reads.length === notes.length) {
        const [, , c, a, m] = reads[0];
        rows.push(['numeric', { n: key, c, a, ...(m ? { m } : {}), x: 4 }]);
      }
    }
  }
  return rows;
}

async function sent(key, expose, send) {
  const words = expose.type === 'enum' ? expose.values : expose.type === 'binary' ? [expose.value_on, expose.value_off] : undefined;
  const values = words ?? (expose.type === 'numeric' ? numbers(expose) : []);
  if (values.length === 0) return undefined;
  const notes = [];
  for (const value of values) {
    const note = await send(value);
    if (!note) return undefined;
    notes.push([value, note]);
  }
  const [endpoint, kind, cluster] = notes[0][1];
  const same = (index) => notes.every(([, note]) => note[index] === notes[0][1][index]);
  if (!same(0) || !same(1) || !same(2)) return undefined;
  const base = { n: key, c: cluster, ...(endpoint ? { ed: endpoint } : {}) };
  if (kind === 'w' && [3, 4, 5].every(same)) {
    const [, , , a, t, m, raw] = notes[0][1];
    const at = { ...base, a, t, ...(m ? { m } : {}), x: 2 };
    if (words && ['number', 'boolean', 'string'].includes(typeof raw)) {
      if (expose.type === 'enum') return ['enumLookup', { ...at, l: Object.fromEntries(notes.map(([word, note]) => [word, note[6]])) }];
      return ['binary', { ...at, on: [words[0], notes[0][1][6]], off: [words[1], notes[1][1][6]] }];
    }
    if (typeof raw === 'number' && notes.every(([, note]) => typeof note[6] === 'number')) {
      const found = line(notes.map(([value, note]) => [note[6], value]));
      return found && ['numeric', { ...at, s: { line: found } }];
    }
    return undefined;
  }
  // A command for each word.
  if (kind === 'c' && words && same(4)) {
    const [, , c, , m] = notes[0][1];
    return ['sent', { n: key, c, ...(endpoint ? { ed: endpoint } : {}), ...(m ? { m } : {}), l: Object.fromEntries(notes.map(([word, note]) => [String(word), [note[3], note[5]]])),
      ...(typeof words[0] === 'boolean' ? { y: 1 } : {}) }];
  }
  return undefined;
}

function numbers(expose) {
  const min = expose.value_min ?? 0;
  const max = expose.value_max ?? 100;
  const step = expose.value_step ?? 1;
  const at = (part) => min + Math.round(((max - min) * part) / step) * step;
  return [...new Set([min, at(0.25), at(0.5), at(0.75), max])];
}

module.exports = { fromTrials, toTrials };
