#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests; with --long those that take long instead (many draws, many kills).
# With --ci also what continuous integration asks for: warnings are errors, the benchmarks compile, format and clang-tidy
# are kept, and the tests pass under the sanitizers.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/common/prepare.sh

ci=false long=false
case "${1:-}" in
  "") ;;
  --ci) ci=true ;;
  --long) long=true ;;
  *) echo "usage: tests/run.sh [--ci | --long]" >&2; exit 2 ;;
esac

# shellcheck disable=SC2086  # lists of words
install $basin_packages catch2 python3-mpmath $($ci && echo libbenchmark-dev clang-format clang-tidy)
if ! $ci; then
  build release -DBASIN_TESTS=ON
  if $long; then ctest --preset release -C long -L long; else ctest --preset release; fi
  exit
fi

sources=$(git ls-files '*.cpp' '*.h')
echo "Format ..."
# shellcheck disable=SC2086
clang-format --dry-run -Werror $sources
build ci
ctest --preset ci
build/ci/bin/basin-benchmark --benchmark_filter=/S/ --benchmark_min_time=0.01
echo "clang-tidy ..."
# One group of files a library or tool: a header is parsed once for all of them.
cmake --preset ci -B build/tidy -DCMAKE_UNITY_BUILD_BATCH_SIZE=0 -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON -DBASIN_TESTS=OFF >/dev/null
python3 -c 'import json; print(*(c["file"] for c in json.load(open("build/tidy/compile_commands.json"))), sep="\n")' |
  grep -E '/(lib|tools)/.*\.c(pp|xx)$' |
  xargs -P "$(nproc)" -n 1 clang-tidy -p build/tidy --quiet --checks=-bugprone-suspicious-include \
    --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-unused-command-line-argument --extra-arg=-Wno-shadow 2>/dev/null
build sanitize
ctest --preset sanitize
