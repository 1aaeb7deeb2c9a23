// Facts as the file that the hub looks them up in, without reading all of it. All numbers are little-endian; "number" below is
// a variable-length one, seven bits a byte, low ones first, the high bit of each but the last set.
//
//   "HDEF", version u32, then five tables, each by its offset u32 and its count u32:
//   strings      offsets u32 into the bytes behind them (one more than there are strings); the most used come first
//   shared       bytes (the count is how many): values that occur more than once
//   definitions  offsets u32 into the bytes behind them; each a map
//   keys         model ids: string u32, offset u32 into the bytes behind them; in the order of their bytes
//                there: how many definitions, then each (numbers), in the order in which they are asked
//   A value is a tag byte and what follows:
//   0 null · 1 false · 2 true · 3 whole number (zigzag number) · 4 f64 · 5 string (number) · 6 list (count, values)
//   7 map (count, then string and value each) · 8 shared (offset number) · 16+n whole number n, up to 127 · 144+n string n
'use strict';

const VERSION = 1;
const INLINE_INT = 16;
const INLINE_INT_MAX = 127;
const INLINE_STRING = 144;
const INLINE_STRING_MAX = 111;

function pack(definitions, keys) {
  const strings = pool(definitions, keys);
  const number = (value) => {
    const bytes = [];
    let rest = value;
    do { bytes.push((rest % 128) | (rest > 127 ? 128 : 0)); rest = Math.floor(rest / 128); } while (rest > 0);
    return Buffer.from(bytes);
  };
  const string = (value) => strings.index.get(value);

  // How often each composite occurs; twice is enough to keep it once.
  const uses = new Map();
  const count = (value) => {
    if (value === null || typeof value !== 'object') return;
    const key = JSON.stringify(value);
    uses.set(key, (uses.get(key) ?? 0) + 1);
    if (uses.get(key) === 1) Object.values(value).forEach(count);
  };
  definitions.forEach((one) => Object.values(one).forEach(count));

  const shared = [];
  let sharedLength = 0;
  const places = new Map();
  const encode = (value) => {
    if (value === null || value === undefined) return Buffer.from([0]);
    if (value === false) return Buffer.from([1]);
    if (value === true) return Buffer.from([2]);
    if (typeof value === 'number') {
      if (Number.isInteger(value) && value >= 0 && value <= INLINE_INT_MAX) return Buffer.from([INLINE_INT + value]);
      if (Number.isSafeInteger(value)) return Buffer.concat([Buffer.from([3]), number(value < 0 ? -value * 2 - 1 : value * 2)]);
      const bytes = Buffer.alloc(9);
      bytes[0] = 4;
      bytes.writeDoubleLE(value, 1);
      return bytes;
    }
    if (typeof value === 'string') {
      const index = string(value);
      return index <= INLINE_STRING_MAX ? Buffer.from([INLINE_STRING + index]) : Buffer.concat([Buffer.from([5]), number(index)]);
    }
    const key = JSON.stringify(value);
    if (uses.get(key) > 1) {
      if (!places.has(key)) {
        const bytes = composite(value);
        places.set(key, sharedLength);
        shared.push(bytes);
        sharedLength += bytes.length;
      }
      return Buffer.concat([Buffer.from([8]), number(places.get(key))]);
    }
    return composite(value);
  };
  const composite = (value) => {
    if (Array.isArray(value)) return Buffer.concat([Buffer.from([6]), number(value.length), ...value.map(encode)]);
    const entries = Object.entries(value).filter(([, one]) => one !== undefined);
    const parts = entries.flatMap(([name, one]) => [number(string(name)), encode(one)]);
    return Buffer.concat([Buffer.from([7]), number(entries.length), ...parts]);
  };

  const table = (parts) => {
    const offsets = Buffer.alloc(4 * (parts.length + 1));
    let at = 0;
    parts.forEach((part, index) => { offsets.writeUInt32LE(at, 4 * index); at += part.length; });
    offsets.writeUInt32LE(at, 4 * parts.length);
    return Buffer.concat([offsets, ...parts]);
  };
  const rows = table(definitions.map((one) => composite(one)));
  const sorted = [...keys.entries()].map(([key, list]) => [Buffer.from(key), key, list]).sort((a, b) => Buffer.compare(a[0], b[0]));
  const lists = [];
  const index = Buffer.alloc(8 * sorted.length);
  let at = 0;
  sorted.forEach(([, key, list], row) => {
    const bytes = Buffer.concat([number(list.length), ...list.map(number)]);
    index.writeUInt32LE(string(key), 8 * row);
    index.writeUInt32LE(at, 8 * row + 4);
    lists.push(bytes);
    at += bytes.length;
  });

  const tables = [
    [table(strings.list.map((one) => Buffer.from(one))), strings.list.length],
    [Buffer.concat(shared), sharedLength],
    [rows, definitions.length],
    [Buffer.concat([index, ...lists]), sorted.length],
  ];
  const header = Buffer.alloc(8 + 8 * tables.length);
  header.write('HDEF', 0);
  header.writeUInt32LE(VERSION, 4);
  let offset = header.length;
  tables.forEach(([bytes, length], row) => {
    header.writeUInt32LE(offset, 8 + 8 * row);
    header.writeUInt32LE(length, 12 + 8 * row);
    offset += bytes.length;
  });
  const sizes = tables.map(([bytes]) => bytes.length);
  return { bytes: Buffer.concat([header, ...tables.map(([bytes]) => bytes)]), sizes };
}

function pool(definitions, keys) {
  const counts = new Map();
  const add = (value) => counts.set(value, (counts.get(value) ?? 0) + 1);
  const seen = new Set();
  const walk = (value) => {
    if (typeof value === 'string') add(value);
    if (value === null || typeof value !== 'object') return;
    const key = JSON.stringify(value);
    if (seen.has(key)) return;
    seen.add(key);
    for (const [name, one] of Object.entries(value)) {
      if (one === undefined) continue;
      if (!Array.isArray(value)) add(name);
      walk(one);
    }
  };
  definitions.forEach(walk);
  for (const key of keys.keys()) add(key);
  const list = [...counts.entries()].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([value]) => value);
  return { list, index: new Map(list.map((value, at) => [value, at])) };
}

module.exports = { pack };
