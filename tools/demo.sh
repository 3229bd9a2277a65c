#!/usr/bin/env bash
# Installs what is missing, builds, and runs the main job on a built-in problem for both kernels: NTK eigenvalues,
# extreme Hessian eigenvalues, a slice of the landscape, and pictures of all three, in results/.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/common/prepare.sh

# shellcheck disable=SC2086  # a list of words
install $basin_packages
build release -DBASIN_TESTS=OFF

bin=build/release/bin out=results
mkdir -p "$out"
"$bin/basin-problem" teacher -o "$out/problem.h5" -N 8 -n 6 -D 64 -H 4 -d 12 --outputs 4 --seed 1 --overwrite
for kernel in softmax gaussian; do
  echo
  echo "== $kernel kernel =="
  "$bin/basin-ntk" "$out/problem.h5" -o "$out/$kernel-ntk.h5" --kernel $kernel --overwrite
  "$bin/basin-hessian" "$out/problem.h5" -o "$out/$kernel-hessian.h5" --kernel $kernel --largest 3 --smallest 3 --overwrite
  "$bin/basin-slice" "$out/problem.h5" -o "$out/$kernel-slice.h5" --kernel $kernel --x -1:1:51 --y -1:1:51 --overwrite
done
echo
echo "Pictures:"
analysis/basin-plot "$out"/{softmax,gaussian}-{ntk,hessian,slice}.h5 -o "$out"
