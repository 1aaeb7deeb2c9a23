# shellcheck shell=bash
# What the peer checks share: a cache of pinned packages, and how a check is skipped. Sourced, never run.
#
# Everything comes from PyPI, at one version, and what is run natively at one checksum. The cache is made once; a folder
# counts only when its `.complete` stands in it, so an interrupted install is begun again and not believed.

PEERS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$PEERS/../.." && pwd)
CACHE=${HEARTH_PEERS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/hearth-peers}
INSTALL_S=300 # one download; the source of llama.cpp is 37 MB, the model 93 MB
LOCK_S=3600   # another run may be building llama.cpp

# A peer that cannot be had here is no failure of the hub. It is said, and counted as skipped.
skip() {
  echo "SKIP: $*"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
}

# cached NAME FUNCTION: runs FUNCTION in the empty folder $CACHE/NAME, unless it has done its work there before.
cached() {
  local dir=$CACHE/$1 make=$2
  [[ ! -e $dir/.complete ]] || return 0
  mkdir -p "$CACHE" || return 1
  (
    flock -w "$LOCK_S" 9 || exit 1
    [[ ! -e $dir/.complete ]] || exit 0 # another run has made it meanwhile
    rm -rf "$dir"
    mkdir -p "$dir"
    cd "$dir" || exit 1
    echo "installing $1 (once)" >&2
    "$make" >install.log 2>&1 && touch .complete && exit 0
    tail -n 15 install.log >&2
    exit 1
  ) 9>"$CACHE/lock"
}

# venv REQUIREMENT…: a virtual environment of these in the working folder.
venv() {
  python3 -m venv venv && pip_in venv install "$@"
}

pip_in() {
  local env=$1
  shift
  timeout "$INSTALL_S" "$env/bin/python" -m pip --disable-pip-version-check --no-input -q "$@"
}

# fetch REQUIREMENT SHA256 PIP-OPTION…: downloads one package into the working folder as `package`, and checks it.
fetch() {
  local requirement=$1 sha256=$2
  shift 2
  timeout "$INSTALL_S" python3 -m pip --disable-pip-version-check --no-input -q download \
    --no-deps --dest fetched "$@" "$requirement" || return 1
  mv fetched/* package && rmdir fetched
  echo "$sha256  package" | sha256sum --check --quiet
}

# hub_built PATH CARGO-ARGUMENT…: makes sure that PATH is there, by cargo where it is not.
hub_built() {
  local path=$1
  shift
  [[ -x $path ]] && return
  (cd "$REPO" && nice cargo build --release --locked "$@")
}

# bounded SECONDS COMMAND…: the checks themselves, as the last act of a script. They start their processes to die with them,
# and keep their files in $TMPDIR; what is left here is to end the checks and to remove that.
bounded() {
  local code=0
  TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/hearth-peers-XXXXXX")
  export TMPDIR
  timeout --kill-after=10 "$@" &
  CHECKS_PID=$!
  trap end_checks EXIT
  trap 'exit 130' INT TERM
  wait "$CHECKS_PID" || code=$?
  ((code != 124 && code != 137)) || echo "0 passed, 1 failed" # out of time, so the checks had no last word
  exit "$code"
}

end_checks() {
  kill "$CHECKS_PID" 2>/dev/null || true
  wait "$CHECKS_PID" 2>/dev/null || true
  rm -rf "$TMPDIR"
}
