# shellcheck shell=bash
# What the scripts of this folder share: a cache, an apt of their own, pinned Debian packages. Sourced, never run.
#
# Nothing of the system is changed: packages are downloaded into the cache by an apt whose every folder lies there, and
# unpacked, not installed. What counts is the SHA-256 in `toolchain.lock`; so neither root nor Debian's keys are needed.

IMAGE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # it is for those who source this
REPO=$(cd "$IMAGE/.." && pwd)
CACHE=$(realpath -m "${HEARTH_BUILD_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/hearth-build}")
LOCK=$IMAGE/toolchain.lock
MIRROR=${HEARTH_DEBIAN_MIRROR:-http://deb.debian.org/debian}
# Keeps every version there ever was; slow, and asked only for what the mirror has no more.
SNAPSHOT=${HEARTH_DEBIAN_SNAPSHOT:-http://snapshot.debian.org/archive}
FETCH_S=1200 # all that is missing of a set, on a slow line
WAIT_S=3600  # another run may be fetching the same

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# locked SET…: the lines of the lock that belong to these sets.
locked() {
  awk -v sets=" $* " '!/^(#|$)/ && index(sets, " " $1 " ")' "$LOCK"
}

# unpacked SET…: makes sure that the packages of these sets lie in one folder, and sets UNPACKED to it. Its name is what the
# lock says of them, so another lock is another folder; it counts only when its `.complete` stands in it.
unpacked() {
  [[ $(uname -sm) == "Linux x86_64" ]] || die "the pinned tools run on Linux x86_64, and this is $(uname -sm): build there, or natively by cargo build --release"
  [[ -n $(type -P apt-get) && -n $(type -P dpkg-deb) ]] || die "needs apt-get and dpkg-deb, so Debian or Ubuntu; elsewhere see Cross.toml"
  local lines
  lines=$(locked "$@")
  UNPACKED=$CACHE/unpacked-$(sha256sum <<<"$lines" | cut -c1-12)
  [[ ! -e $UNPACKED/.complete ]] || return 0
  mkdir -p "$CACHE/debs"
  (
    flock -w "$WAIT_S" 9 || die "another build holds $CACHE/lock"
    [[ ! -e $UNPACKED/.complete ]] || exit 0 # another run has made it meanwhile
    fetched "$lines"
    rm -rf "$UNPACKED"
    mkdir -p "$UNPACKED"
    echo "unpacking $(wc -l <<<"$lines") packages (once)" >&2
    while read -r _ _ package version sha256; do
      dpkg-deb -x "$(deb_of "$package" "$version")" "$UNPACKED"
    done <<<"$lines"
    # Links of Debian that lead out of the folder are made to lead into it.
    find "$UNPACKED" -type l -lname '/*' | while read -r link; do
      ln -sfn "$UNPACKED$(readlink "$link")" "$link"
    done
    touch "$UNPACKED/.complete"
  ) 9>"$CACHE/lock"
}

# deb_of PACKAGE:ARCH VERSION: where apt puts that package.
deb_of() {
  echo "$CACHE/debs/${1%:*}_${2//:/%3a}_${1#*:}.deb"
}

# fetched LINES: makes sure that these packages are in the cache and are what the lock says.
fetched() {
  local suite package version sha256 missing=() suites=()
  while read -r _ suite package version sha256; do
    is_good "$package" "$version" "$sha256" || { missing+=("$package=$version") && suites+=("$suite"); }
  done <<<"$1"
  ((${#missing[@]})) || return 0
  mapfile -t suites < <(printf '%s\n' "${suites[@]}" | sort -u)
  echo "fetching ${#missing[@]} packages (once)" >&2
  sources "$MIRROR" "$MIRROR-security" "${suites[@]}"
  download "${missing[@]}" || {
    echo "the mirror has not all of them any more: asking for those of the day of the lock" >&2
    local day
    day=$(sed -n 's/^# day //p' "$LOCK")
    sources "$SNAPSHOT/debian/$day" "$SNAPSHOT/debian-security/$day" "${suites[@]}"
    download "${missing[@]}"
  } || die "cannot have ${missing[*]} from $MIRROR or $SNAPSHOT. Is there a network? HEARTH_DEBIAN_MIRROR names another mirror, and image/pin takes the versions of today into image/toolchain.lock"
  while read -r _ _ package version sha256; do
    is_good "$package" "$version" "$sha256" || { rm -f "$(deb_of "$package" "$version")" && die "what came as $package $version is not what image/toolchain.lock says"; }
  done <<<"$1"
}

is_good() {
  local deb
  deb=$(deb_of "$1" "$2")
  [[ -e $deb ]] && sha256sum --check --status <<<"$3  $deb"
}

# sources DEBIAN SECURITY SUITE…: an apt of our own that knows these suites.
sources() {
  local debian=$1 security=$2 suite root=$CACHE/apt
  shift 2
  mkdir -p "$root/lists/partial" "$root/archives/partial"
  # What is downloaded is held against the lock, so the index need not be trusted, nor its date.
  local options='arch=amd64,arm64 trusted=yes check-valid-until=no'
  for suite; do
    case $suite in
      *-security) echo "deb [$options] $security $suite main non-free-firmware" ;;
      *) echo "deb [$options] $debian $suite main non-free-firmware" ;;
    esac
  done >"$root/sources.list"
  cat >"$root/apt.conf" <<END
Dir::State::Lists "$root/lists";
Dir::State::status "/dev/null";
Dir::Cache "$root";
Dir::Etc::SourceList "$root/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
APT::Architecture "amd64";
APT::Architectures "amd64,arm64";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::Retries "3";
END
}

# apt COMMAND ARGUMENT…: apt-get or apt-cache with the sources that `sources` has laid.
apt() {
  APT_CONFIG=$CACHE/apt/apt.conf timeout "$FETCH_S" "$@"
}

download() {
  apt apt-get -qq update >&2 && (cd "$CACHE/debs" && apt apt-get -qq download "$@" >&2)
}
