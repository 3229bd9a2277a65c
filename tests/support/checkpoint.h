/// Checkpoints for tests.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "basin/checkpoint/safetensors.h"
#include "support/temporary_folder.h"

namespace basin::test {

struct NamedTensor {
  std::string name, type;
  std::vector<Index> shape;
  std::vector<double> values;
};

/// Writes them one after another.
inline void write_checkpoint(const std::string& path, const std::vector<NamedTensor>& tensors,
                             const Metadata& metadata = {}) {
  std::vector<StoredTensor> stored;
  std::vector<std::string> bytes;
  std::uint64_t at = 0;
  for (const NamedTensor& t : tensors) {
    const bool real = t.type != "I64" && t.type != "BOOL";
    const Vector<double> values =
        Eigen::Map<const Vector<double>>(t.values.data(), static_cast<Index>(t.values.size()));
    bytes.push_back(real ? encoded(values, t.type, t.name)
                         : std::string(t.values.size() * type_size(t.type), '\1'));
    stored.push_back({t.name, t.type, t.shape, at, at + bytes.back().size()});
    at += bytes.back().size();
  }
  std::ofstream out(path, std::ios::binary);
  write_safetensors(out, stored, metadata, [&](std::size_t k) { return bytes[k]; });
}

}  // namespace basin::test
