// What the page says when an answer fails: one row an error code, in words for the owner of the house.
// Knows no DOM. The hub's own message is shown beside these words, never instead of them.

const ROWS = {
  provider_auth: ['The AI service did not accept the key', 'Check the API key that the hub uses for this provider, then ask again.'],
  rate_limited: ['The AI service asks for a pause', 'Too many questions in a short time. Wait a moment, then try again.'],
  budget_exhausted: ['The AI service account has no credit left', 'Add credit with the provider, or let the hub use another one.'],
  timeout: ['The answer took too long', 'The AI service may be busy. Try again.'],
  too_large: ['This is too long for the model', 'Ask with a shorter text, or begin a new conversation.'],
  offline: ['The AI service cannot be reached', 'Check that the hub is on the internet, or that the local model runs. Then try again.'],
  provider_error: ['The AI service had a problem', 'This is usually over soon. If it stays, let the hub use another provider.'],
  interrupted: ['The connection was lost during this answer', 'What had arrived is shown above. Try again for the whole answer.'],
  unauthenticated: ['The hub does not know who you are', 'Sign in, then ask again.'],
  forbidden: ['This is not allowed for you', 'Ask the owner of the hub for permission.'],
  not_found: ['The hub does not have what was asked for', 'It may have been removed. Begin a new conversation.'],
  conflict: ['Someone else changed this at the same time', 'Look at it again, then repeat your change.'],
  device_unreachable: ['The device did not answer', 'Check that it has power and is in reach, then try again.'],
  device_rejected: ['The device refused', 'It may not be able to do this.'],
  radio_down: ['The radio stick is not working', 'Check that it is plugged in, then try again.'],
  unsupported: ['This page and the hub do not fit together', 'Reload the page.'],
};
// Where a device was meant, and no AI service.
const OF_DEVICES = {
  rate_limited: ['The device does not keep up', 'Wait a moment, then try again.'],
  timeout: ['The device took too long', 'Look at the device: it may have done it all the same.'],
  offline: ['The hub is going down', 'Try again when it is up.'],
  not_found: ['The hub does not have this device', 'It may have been removed.'],
};
const OTHER = ['Something went wrong in the hub', 'Try again. If it stays, the log of the hub says more.'];
const OTHER_FINAL = ['The hub could not do this', 'The log of the hub says more.'];

/** The same for a device that did not do something, in a line. */
export function explainDevice(error) {
  const { title } = explain(error, { ...ROWS, ...OF_DEVICES });
  return `${title}. ${error.message ?? ''}`.trim();
}

/** { title, tip } for an error of the hub. */
export function explain(error, rows = ROWS) {
  const [title, tip] = rows[error.code] ?? (error.retryable ? OTHER : OTHER_FINAL);
  return { title, tip };
}
