/// The files that problems are made of.
#pragma once

#include <string>
#include <vector>

#include "basin/linalg/errors.h"
#include "basin/problem/network_data.h"
#include "basin/problem/npy.h"

namespace basin::tools {

/// One a line.
std::string lines(const std::vector<std::string>& files);

/// Most bytes of a description of a network, or of a map of tensors.
inline constexpr std::size_t kMostDescription = std::size_t{1} << 26U;

/// Has `take` take an array of a file, whose errors are of that file. Adds it to `read`.
template <class Take>
void take_array(const std::string& path, const NpyArray& array, std::vector<std::string>& read,
                const Take& take) {
  read.push_back(path);
  try {
    take(array.shape, array.values);
  } catch (const InputError& error) {
    throw InputError(path + ": " + error.what());
  }
}

template <class Take>
void take_file(const std::string& path, NpyNumbers numbers, std::vector<std::string>& read,
               const Take& take) {
  take_array(path, read_npy(path, numbers), read, take);
}

}  // namespace basin::tools
