#include "basin/hdf5/minimum_file.h"

#include <cmath>

#include "basin/hdf5/problem_file.h"
#include "basin/linalg/errors.h"
#include "basin/problem/encoding.h"

namespace basin::hdf5 {
namespace {

const std::string kGroup = "/minimum";

}  // namespace

void write_minimum(Writer& file, const KnownMinimum& minimum, Index D, Index D_out) {
  file.group(kGroup);
  file.attribute(kGroup, "loss", minimum.loss);
  file.attribute(kGroup, "reason", minimum.reason);
  file.attribute(kGroup, "kernel", kernel_name(minimum.kernel));
  if (minimum.bandwidth != 0) file.attribute(kGroup, "bandwidth", minimum.bandwidth);
  const Index H = minimum.heads, d = minimum.head_dim;
  for (const auto& [name, values] : minimum.blocks)
    file.write(kGroup + "/" + name, values.data(), name == "W_O" ? Extent{H, d, D_out} : Extent{H, D, d});
}

std::optional<KnownMinimum> read_minimum(const Reader& file, Index D, Index D_out) {
  if (!file.has(kGroup)) return std::nullopt;
  check_names(file, kGroup, attention_blocks(), {"loss", "reason", "kernel", "bandwidth"});
  KnownMinimum m;
  const std::optional<double> loss = file.number_attribute(kGroup, "loss");
  if (!loss || !(*loss >= 0) || !std::isfinite(*loss))
    throw InputError(file.path() + ": " + kGroup + ": attribute 'loss': found " +
                     (loss ? std::to_string(*loss) : "none") + ", expected a number from 0");
  m.loss = *loss;
  m.reason = file.string_attribute(kGroup, "reason");
  try {
    m.kernel = kernel_from_name(file.string_attribute(kGroup, "kernel"));
  } catch (const InputError& error) {
    throw InputError(file.path() + ": " + kGroup + ": " + shortened(error.what(), 200));
  }
  m.bandwidth = read_bandwidth(file, kGroup);
  for (const std::string& name : attention_blocks()) {
    const std::string path = kGroup + "/" + name;
    if (!file.has(path)) continue;
    const Array block = file.read_array(path, 3);
    const Index heads = block.shape[0], head_dim = block.shape[name == "W_O" ? 1 : 2];
    if (m.blocks.empty()) m.heads = heads, m.head_dim = head_dim;
    if (block.shape[name == "W_O" ? 2 : 1] != (name == "W_O" ? D_out : D)) return std::nullopt;
    if (heads != m.heads || head_dim != m.head_dim || heads < 1 || head_dim < 1)
      file.refuse(path, "found shape " + text(block.shape) + "; expected " +
                            (name == "W_O" ? "(H, d, D_out)" : "(H, D, d)") +
                            ", H and d as in the other blocks");
    m.blocks[name] = block.values;
  }
  return m;
}

}  // namespace basin::hdf5
