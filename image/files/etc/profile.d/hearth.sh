# On a card the hub is at HTTP's own port.
export HEARTH_URL=http://127.0.0.1
