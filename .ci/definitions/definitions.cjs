// Writes src/zigbee/definitions/table.bin and NOTICE. Run it after raising the version in package.cjs:
//   node .ci/definitions/definitions.cjs
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const source = require('./package.cjs');
const { all } = require('./facts.cjs');
const { pack } = require('./pack.cjs');

const OUT = path.join(__dirname, '../../src/zigbee/definitions');

// One definition as it is packed; what is empty is left out.
function row(fact) {
  const some = (list) => (list && Object.keys(list).length > 0 ? list : undefined);
  const labels = (fact.whiteLabel ?? []).filter((one) => one.fingerprint);
  return JSON.parse(JSON.stringify({
    m: fact.model, v: fact.vendor, d: fact.description, z: some(fact.zigbeeModel),
    f: some((fact.fingerprint ?? []).map(fingerprint)),
    w: some(labels.map((one) => ({ m: one.model, v: one.vendor, d: one.description, f: one.fingerprint.map(fingerprint) }))),
    e: some(fact.exposes), r: some(fact.rows), p: some(fact.endpoints), x: some(fact.meta), s: some(fact.setup),
    k: fact.kind,
  }));
}

// The regular expression of an address is its beginning.
function fingerprint(one) {
  const ieeeAddr = one.ieeeAddr && String(one.ieeeAddr.source ?? one.ieeeAddr).replace(/^\^/, '').replace(/\.\*$/, '');
  return { ...one, ...(ieeeAddr ? { ieeeAddr } : {}) };
}

async function main() {
  const facts = await all();
  const places = new Map();
  facts.forEach((fact, at) => {
    const key = `${fact.file}`;
    if (!places.has(key)) places.set(key, at);
  });
  // Who is asked for a model id, and in which order, is the package's own index.
  const keys = new Map();
  const index = source.index();
  for (const [model, list] of Object.entries(index)) {
    const found = list.map(([file, at]) => places.get(file.endsWith('.js') ? file : `${file}.js`) + at);
    keys.set(model === 'null' ? '' : model, found);
  }
  const { bytes, sizes } = pack(facts.map(row), keys);
  fs.writeFileSync(path.join(OUT, 'table.bin'), bytes);
  fs.writeFileSync(path.join(OUT, 'NOTICE'), notice());
  const [strings, shared, rows, models] = sizes;
  console.log(`${facts.length} definitions, ${keys.size} keys, ${bytes.length} bytes: strings ${strings}, shared ${shared}, definitions ${rows}, keys ${models}`);
  process.exit(0); // some definitions leave timers behind
}

function notice() {
  return `The tables in this folder and in zcl/clusters hold facts (names, numbers, ranges, descriptions) from zigbee-herdsman and
zigbee-herdsman-converters, whose licences and notices are these.

== zigbee-herdsman

${source.herdsmanLicense()}
== zigbee-herdsman-converters

${source.license()}`;
}

main();
