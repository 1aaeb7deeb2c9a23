// The devices of the house by room, with what they report and the switches that they have. Shows only what a device has
// reported: a switch moves when the lamp has confirmed it, not when it was touched. Names are only ever text.

const SHOWN_MAX = 4; // measurements of one device in its row
const EVENT_MS = 6_000; // how long a pressed button is shown
const NOWHERE = 'No room yet';
const byName = new Intl.Collator(undefined, { numeric: true }).compare; // Plug 2 comes before Plug 10
const SLIDERS = ['brightness', 'position', 'occupied_heating_setpoint', 'current_heating_setpoint'];
const SAID = {
  contact: ['open', 'closed'],
  occupancy: ['nobody there', 'somebody there'],
  presence: ['nobody there', 'somebody there'],
  water_leak: ['dry', 'water!'],
  smoke: ['no smoke', 'smoke!'],
  gas: ['no gas', 'gas!'],
  vibration: ['still', 'moving'],
  battery_low: ['', 'battery low'],
};

export class House {
  #place;
  #set;
  #devices = new Map(); // id → its record
  #rows = new Map(); // id → what is shown of it

  /** `set(id, properties, onEnd)` has a device do something; `onEnd(error)` comes once, without an error where it was confirmed. */
  constructor(place, set) {
    this.#place = place;
    this.#set = set;
  }

  get size() {
    return this.#devices.size;
  }

  name(id) {
    return this.#devices.get(id)?.name ?? id;
  }

  /** A lamp to speak of, where there is one. */
  light() {
    const isLight = ({ capabilities, available }) => available !== false && capabilities.some((one) => one.part_of === 'light');
    const lamps = [...this.#devices.values()].filter(isLight).sort((a, b) => byName(a.name, b.name));
    return lamps.length > 0 ? { name: lamps[0].name, isOn: lamps[0].state.state === 'ON' } : null;
  }

  /**
   * A device as it is now, or only what has changed of it (`state` by property, all else as it is); neither: it is gone. One that
   * its owner has hidden is in no list, and so not in this one.
   */
  device(id, record, changes) {
    const known = this.#devices.get(id);
    if (record && !record.hidden) this.#devices.set(id, record);
    else if (record || !changes) this.#devices.delete(id);
    else if (known) this.#devices.set(id, { ...known, ...changes, state: { ...known.state, ...changes.state } });
    const device = this.#devices.get(id);
    const row = this.#rows.get(id);
    if (!device) {
      row?.element.remove();
      this.#rows.delete(id);
      return this.#tidy();
    }
    if (record && (!row || row.shape !== shape(record))) {
      const fresh = new Row(device, (properties, onEnd) => this.#set(id, properties, onEnd));
      if (row?.element.contains(document.activeElement)) queueMicrotask(() => fresh.focus());
      row?.element.remove();
      this.#rows.set(id, fresh);
      this.#put(device, fresh);
    }
    this.#rows.get(id).show(device, changes?.state);
  }

  /** All devices that there are. What has been heard since of one of them stays, and one that is not among them is gone. */
  whole(devices) {
    const ids = new Set(devices.map(({ id }) => id));
    for (const device of devices) {
      const { state, available, desired, last_seen_ms } = this.#devices.get(device.id) ?? device;
      const isNewer = last_seen_ms > device.last_seen_ms;
      this.device(device.id, isNewer ? { ...device, state, available, desired, last_seen_ms } : device);
    }
    for (const id of [...this.#devices.keys()]) if (!ids.has(id)) this.device(id, null);
  }

  #put(device, row) {
    const name = device.room ?? NOWHERE;
    let section = [...this.#place.children].find((one) => one.dataset.room === name);
    if (!section) {
      section = document.createElement('section');
      section.dataset.room = name;
      section.append(words('h3', name), document.createElement('ul'));
      const order = (room) => [room === NOWHERE, room.toLocaleLowerCase()];
      const after = [...this.#place.children].find((one) => compare(order(one.dataset.room), order(name)) > 0);
      this.#place.insertBefore(section, after ?? null);
    }
    const list = section.querySelector('ul');
    const rows = [...list.children].filter((one) => one !== row.element);
    const after = rows.find((one) => byName(one.dataset.name, device.name) > 0);
    row.element.dataset.name = device.name;
    // Moved only where it has to be: what has the focus keeps it.
    const stands = row.element.parentElement === list && row.element.nextElementSibling === (after ?? null);
    if (!stands) list.insertBefore(row.element, after ?? null);
    this.#tidy();
  }

  #tidy() {
    for (const section of [...this.#place.children]) if (!section.querySelector('li')) section.remove();
  }
}

/** What a row is made of: as long as this stays, it is only shown anew. */
function shape({ name, room, capabilities }) {
  return JSON.stringify([name, room, capabilities.map((one) => [one.property, one.type, one.settable])]);
}

class Row {
  element = document.createElement('li');
  shape;
  #state = words('span', '');
  #problem = words('p', '');
  #controls = [];
  #timer = 0;

  constructor(device, set) {
    this.shape = shape(device);
    this.element.dataset.id = device.id;
    this.#state.className = 'reads';
    this.#problem.className = 'problem';
    this.#problem.setAttribute('role', 'status');
    this.#problem.hidden = true;
    const name = words('span', device.name);
    name.className = 'name';
    const does = (control) => (properties) => this.#do(control, set, properties);
    for (const one of device.capabilities) {
      const control = controlOf(one, device.name);
      if (!control) continue;
      control.does = does(control);
      this.#controls.push(control);
    }
    const switches = document.createElement('span');
    switches.className = 'switches';
    const [wide, small] = [this.#controls.filter((one) => one.isWide), this.#controls.filter((one) => !one.isWide)];
    switches.append(...small.map((one) => one.element));
    const head = document.createElement('div');
    const text = document.createElement('div');
    text.append(name, this.#state);
    head.append(text, switches);
    this.element.append(head, ...wide.map((one) => one.element), this.#problem);
  }

  focus() {
    this.element.querySelector('button, input')?.focus();
  }

  show(device, changes) {
    this.element.dataset.available = String(device.available !== false);
    for (const control of this.#controls) control.show(device.state[control.property]);
    const shown = reads(device, new Set(this.#controls.map((one) => one.property)));
    this.#state.textContent = shown;
    if (changes?.action) {
      clearTimeout(this.#timer);
      this.#state.textContent = `${String(changes.action).slice(0, 40)} · ${shown}`.replace(/ · $/, '');
      this.#timer = setTimeout(() => (this.#state.textContent = shown), EVENT_MS);
    }
  }

  #do(control, set, properties) {
    this.#problem.hidden = true;
    control.busy(true);
    set(properties, (error) => {
      control.busy(false);
      this.#problem.hidden = !error;
      this.#problem.textContent = error ?? '';
    });
  }
}

/** The switch, the buttons or the slider of a property; nothing for what is only read, or is no everyday matter. */
function controlOf(capability, device) {
  if (!capability.settable || capability.category) return null;
  const label = capability.endpoint ? `${device}, ${capability.endpoint}` : device;
  if (capability.name === 'state' && capability.type === 'binary') return toggle(capability, label);
  if (capability.name === 'state' && capability.type === 'enum') return buttons(capability, label);
  const isSlider = SLIDERS.includes(capability.name) && capability.type === 'numeric';
  return isSlider && typeof capability.max === 'number' ? slider(capability, label) : null;
}

function toggle({ property, value_on, value_off }, label) {
  const element = document.createElement('button');
  element.type = 'button';
  element.className = 'switch';
  element.setAttribute('role', 'switch');
  element.setAttribute('aria-label', label);
  const control = {
    property,
    element,
    show: (value) => element.setAttribute('aria-checked', String(same(value, value_on))),
    busy: (is) => element.setAttribute('aria-busy', String(is)),
  };
  element.addEventListener('click', () => {
    if (element.getAttribute('aria-busy') === 'true') return;
    const isOn = element.getAttribute('aria-checked') === 'true';
    control.does({ [property]: isOn ? value_off : value_on });
  });
  return control;
}

function buttons({ property, values }, label) {
  const element = document.createElement('span');
  element.className = 'choices';
  element.setAttribute('role', 'group');
  element.setAttribute('aria-label', label);
  const control = {
    property,
    element,
    show: (value) => [...element.children].forEach((one) => one.setAttribute('aria-pressed', String(one.value === value))),
    busy: (is) => element.setAttribute('aria-busy', String(is)),
  };
  for (const value of values.slice(0, 4)) {
    const button = words('button', value.toLowerCase().replaceAll('_', ' '));
    button.type = 'button';
    button.value = value;
    button.addEventListener('click', () => control.does({ [property]: value }));
    element.append(button);
  }
  return control;
}

function slider({ property, name, min, max, step, unit }, label) {
  const element = document.createElement('input');
  element.type = 'range';
  element.min = String(min ?? 0);
  element.max = String(max);
  element.step = String(step ?? 1);
  element.setAttribute('aria-label', `${label}, ${name.replaceAll('_', ' ')}`);
  let held = false; // a finger is on it: what is reported meanwhile waits
  let reported = null;
  const control = {
    property,
    element,
    isWide: true,
    show(value) {
      reported = typeof value === 'number' ? value : null;
      if (held) return;
      element.dataset.known = String(reported !== null);
      element.value = String(reported ?? element.min);
      element.setAttribute('aria-valuetext', reported === null ? 'not known' : said(name, reported, max, unit));
    },
    busy(is) {
      element.setAttribute('aria-busy', String(is));
      held = is;
      if (!is) control.show(reported); // what it did not confirm it does not show
    },
  };
  element.addEventListener('input', () => (held = true));
  element.addEventListener('change', () => control.does({ [property]: Number(element.value) }));
  return control;
}

function said(name, value, max, unit) {
  return name === 'brightness' ? `${Math.round((value / max) * 100)} %` : `${value}${unit ? ` ${unit}` : ''}`;
}

/** What a device measures, in few words. */
function reads(device, controlled) {
  const found = device.available === false ? ['cannot be reached'] : [];
  if (!device.interviewed) found.push('is being asked what it is');
  for (const { property, name, type, unit, category, settable } of device.capabilities) {
    const value = device.state[property];
    if (found.length >= SHOWN_MAX || category || settable || controlled.has(property) || name === 'linkquality') continue;
    if (SAID[name] && typeof value === 'boolean') found.push(SAID[name][Number(value)]);
    else if (type === 'numeric' && typeof value === 'number' && unit) found.push(`${Math.round(value * 10) / 10} ${unit}`);
  }
  return found.filter(Boolean).join(' · ');
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

function compare([a, x], [b, y]) {
  return Number(a) - Number(b) || byName(x, y);
}

function words(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}
