#!/usr/bin/env bash
# Installs what is missing, builds, and tests. Each tier is for somebody:
#   tests/run.sh         who has just built Basin: the tools from outside, against NumPy and wrong input, and those parts
#                        of the library whose tests are quickly compiled (label `quick`); some minutes
#   tests/run.sh --all   who has changed something: every test that does not take long
#   tests/run.sh --ci    before a change lands: --all with warnings as errors, and the benchmarks compile, format and
#                        clang-tidy are kept, and tests pass under the sanitizers (label `sanitized`); half an hour
#   tests/run.sh --long  what takes hours: thousands of draws, many kills, each header alone, all under the sanitizers
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/common/prepare.sh

tier=${1:-}
case "$tier" in
  "" | --all | --ci | --long) ;;
  *) echo "usage: tests/run.sh [--all | --ci | --long]" >&2; exit 2 ;;
esac

# shellcheck disable=SC2086  # lists of words
install $basin_packages catch2 python3-mpmath \
  $(case "$tier" in --ci | --long) echo clang libomp-dev libclang-rt-dev ;; esac) \
  $([ "$tier" = --ci ] && echo libbenchmark-dev clang-format clang-tidy)
case "$tier" in
  "") target=quick build release -DBASIN_TESTS=ON; exec ctest --preset release -L quick ;;
  --all) build release -DBASIN_TESTS=ON; exec ctest --preset release ;;
  --long)
    build release -DBASIN_TESTS=ON
    ctest --preset release -C long -L long
    build sanitize
    exec ctest --preset sanitize ;;
esac

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
  grep -E '/(lib|tools|analysis)/.*\.c(pp|xx)$' |
  xargs -P "$(nproc)" -n 1 clang-tidy -p build/tidy --quiet --checks=-bugprone-suspicious-include \
    --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-unused-command-line-argument --extra-arg=-Wno-shadow 2>/dev/null
target=sanitized build sanitize
ctest --preset sanitize -L sanitized
