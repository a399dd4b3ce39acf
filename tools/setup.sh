#!/usr/bin/env bash
# Installs what is missing, and takes a moment when nothing is:  tools/setup.sh build|test|lint|bench
#   build  Debian packages, .venv with torch (or with a link to the torch of the active environment)
#   test   build, and the oracles: TensorFlow, Keras 3, tf_keras, pytest
#   lint   the formatters and linters alone
#   bench  as test
# Touches nothing outside .venv/ but Debian packages, and those only as root or where sudo asks no password.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-build}
export PIP_DISABLE_PIP_VERSION_CHECK=1

torch_pin='torch==2.13.0'
build_python=('numpy>=1.26' 'safetensors>=0.4.5')
test_python=('tensorflow==2.21.0' 'tf_keras==2.21.0' 'keras==3.15.*' 'pytest==9.*' 'pytest-xdist==3.8.0' 'scikit-learn==1.9.*')
lint_python=('ruff==0.17.6' 'clang-format==23.1.5')

# package, and what shows that it is there: a command, a header, or @a check below.
debian='
cmake              cmake
ninja-build        ninja
ccache             ccache
pkg-config         pkg-config
libhdf5-dev        hdf5_hl.h
libleveldb-dev     leveldb/table.h
libsnappy-dev      snappy.h
zlib1g-dev         zlib.h
libprotozero-dev   protozero/pbf_reader.hpp
nlohmann-json3-dev nlohmann/json.hpp
libfmt-dev         fmt/core.h
libcli11-dev       CLI/CLI.hpp
libgtest-dev       gtest/gtest.h
libstb-dev         stb/stb_image.h
'

say() { printf 'setup: %s\n' "$*" >&2; }

present() {
  case $1 in
    *.h | *.hpp)
      local directory
      for directory in /usr/include /usr/include/hdf5/serial /usr/local/include "/usr/include/$(uname -m)-linux-gnu" \
        ${CPATH:+${CPATH//:/ }}; do
        [ -e "$directory/$1" ] && return 0
      done
      return 1 ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

install_debian() { # package names
  local sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo -n)
  if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; }; then
    say "these are missing and cannot be installed from here (no apt-get, or no root and no password-less sudo):"
    printf '         %s\n' "$@" >&2
    say "on Debian or Ubuntu:  sudo apt-get install $*"
    exit 1
  fi
  say "installing $*"
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

debian_packages() {
  local missing=() package probe
  while read -r package probe; do
    [ -z "$package" ] || present "$probe" || missing+=("$package")
  done <<<"$debian"
  [ ${#missing[@]} = 0 ] || install_debian "${missing[@]}"
}

# The directory that holds the active environment's torch, if that is one of 2.9 .. 2.13 (and is not our own).
active_torch() {
  python3 - <<'PY' 2>/dev/null || true
import importlib.metadata as m, os, sys
d = m.distribution("torch")
major, minor = map(int, d.version.split(".")[:2])
root = os.path.realpath(str(d.locate_file("")))
if (2, 9) <= (major, minor) <= (2, 13) and not root.startswith(os.path.realpath(".venv")):
    print(root)
PY
}

pick_python() { # the interpreter a new .venv is made with
  local candidate
  for candidate in python3 python3.11 python3.12 python3.13 python3.10; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  say "no Python 3.10 .. 3.13 found (3.11 is the one tested)"
  exit 1
}

headers_of() { "$1" -c 'import os, sysconfig as s; print(os.path.join(s.get_path("include"), "Python.h"))'; }

virtual_environment() {
  local python linked soabi='import sysconfig; print(sysconfig.get_config_var("SOABI"))'
  linked=$(active_torch)
  if [ -e .venv/linked-torch ] && [ "$(cat .venv/linked-torch)" != "$linked" ]; then
    say "the active environment's torch has changed: making .venv anew"
    rm -rf .venv
  fi
  if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    python=$(pick_python)
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
      install_debian python3-venv
    fi
    say "making .venv with $($python -V)"
    "$python" -m venv .venv
  fi
  [ -e "$(headers_of .venv/bin/python)" ] || install_debian python3-dev
  if ! .venv/bin/python -c 'import importlib.metadata as m; m.version("torch")' 2>/dev/null; then
    if [ -n "$linked" ] && [ "$(python3 -c "$soabi")" = "$(.venv/bin/python -c "$soabi")" ]; then
      say "using torch in $linked"
      echo "$linked" >"$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/linked-torch.pth"
      echo "$linked" >.venv/linked-torch
    else
      pip_install "$torch_pin"
    fi
  fi
  stamped build pip_install "${build_python[@]}"
}

pip_install() {
  say "pip install $*"
  .venv/bin/python -m pip install --quiet "$@"
}

# stamped NAME COMMAND...: run the command unless .venv already saw this very one.
stamped() {
  local stamp=.venv/stamp-$1 key
  shift
  key="$*"
  [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$key" ] && return 0
  "$@"
  printf '%s' "$key" >"$stamp"
}

exec 9>.setup.lock
command -v flock >/dev/null && flock 9
case $what in
  build) debian_packages; virtual_environment ;;
  # torch is named again so that no dependency can move it.
  test | bench)
    debian_packages
    virtual_environment
    stamped test pip_install "${test_python[@]}" "torch==$(.venv/bin/python -c 'import importlib.metadata as m; print(m.version("torch").split("+")[0])')" ;;
  lint)
    [ -x .venv/bin/python ] || "$(pick_python)" -m venv .venv
    stamped lint pip_install "${lint_python[@]}" ;;
  *) say "usage: tools/setup.sh build|test|lint|bench"; exit 2 ;;
esac
