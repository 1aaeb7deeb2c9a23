// The public npm package that the tables are made from: installed by its name into a folder that lives only as long as the
// script, loaded, and asked. Facts alone are taken: names, numbers, ranges; no code of it.
'use strict';
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const PACKAGE = 'zigbee-herdsman-converters';
const VERSION = '26.112.0';
const INSTALL_TIMEOUT_MS = 600_000;

// Where the package is: HEARTH_CONVERTERS (a folder with node_modules), else installed for this run.
function root() {
  if (process.env.HEARTH_CONVERTERS) return process.env.HEARTH_CONVERTERS;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hearth-converters-'));
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
  const flags = ['--prefix', folder, '--no-audit', '--no-fund', '--ignore-scripts', '--silent'];
  execFileSync('npm', ['install', ...flags, `${PACKAGE}@${VERSION}`], { stdio: 'inherit', timeout: INSTALL_TIMEOUT_MS });
  return folder;
}

const modules = path.join(root(), 'node_modules');
const converters = path.join(modules, PACKAGE, 'dist');
const herdsman = path.join(modules, 'zigbee-herdsman', 'dist');

module.exports = {
  VERSION,
  license: () => fs.readFileSync(path.join(modules, PACKAGE, 'LICENSE'), 'utf8'),
  herdsmanLicense: () => fs.readFileSync(path.join(modules, 'zigbee-herdsman', 'LICENSE'), 'utf8'),
  converter: (file) => require(path.join(converters, file)),
  herdsman: (file) => require(path.join(herdsman, file)),
  index: () => JSON.parse(fs.readFileSync(path.join(converters, 'models-index.json'), 'utf8')),
  deviceFiles: () => fs.readdirSync(path.join(converters, 'devices')).filter((name) => name.endsWith('.js')).sort(),
};
