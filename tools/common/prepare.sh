# Shell functions shared by tools/demo.sh and tests/run.sh: install what is missing, build.
# shellcheck shell=bash

# What Basin needs on Debian 12, and what for: see README.md, "Packages".
basin_packages="g++ cmake ninja-build libeigen3-dev libspectra-dev libboost-dev libboost-program-options-dev
  libboost-random-dev nlohmann-json3-dev libhdf5-dev libopenblas0-pthread libssl-dev pybind11-dev python3-dev python3
  python3-numpy python3-h5py python3-matplotlib"

# install PACKAGE...: says what is missing, and installs it.
install() {
  local package missing=()
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  echo "These Debian packages are missing and will be installed with apt-get: ${missing[*]}"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "$0: not root and no sudo; install them yourself, then run this again" >&2; exit 1; }
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# build PRESET [CMAKE_OPTION...]: configures and compiles, with target=NAME no more than that; quiet unless something fails.
build() {
  local preset=$1 log
  shift
  log=$(mktemp)
  echo "Building ($preset, in build/$preset); the first time takes some minutes ..."
  if ! { cmake --preset "$preset" "$@" && cmake --build --preset "$preset" --target "${target:-all}"; } >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    echo "$0: the build failed" >&2
    exit 1
  fi
  rm -f "$log"
}
