#include "hdf5/minimum_file.h"

#include <cmath>

#include "linalg/errors.h"

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

std::optional<KnownMinimum> read_minimum(const Reader& file, const AttentionSpec& spec) {
  if (!file.has(kGroup)) return std::nullopt;
  KnownMinimum m;
  const std::optional<double> loss = file.number_attribute(kGroup, "loss");
  if (!loss || !(*loss >= 0) || !std::isfinite(*loss))
    throw InputError(file.path() + ": " + kGroup + ": attribute 'loss': found " +
                     (loss ? std::to_string(*loss) : "none") + ", expected a number from 0");
  m.loss = *loss;
  m.reason = file.string_attribute(kGroup, "reason");
  m.heads = spec.heads, m.head_dim = spec.head_dim;
  try {
    m.kernel = kernel_from_name(file.string_attribute(kGroup, "kernel"));
  } catch (const InputError& error) {
    throw InputError(file.path() + ": " + kGroup + ": " + error.what());
  }
  AttentionSpec there = spec;
  m.bandwidth = file.number_attribute(kGroup, "bandwidth").value_or(0);
  there.bandwidth = m.bandwidth;
  if (m.kernel != spec.kernel || (m.kernel == KernelKind::gaussian && there.sigma() != spec.sigma()))
    return std::nullopt;
  for (const std::string& name : attention_blocks()) {
    const std::string path = kGroup + "/" + name;
    if (!file.has(path)) continue;
    const Array block = file.read_array(path, 3);
    if (block.shape != (name == "W_O" ? Extent{spec.heads, spec.head_dim, spec.outputs}
                                      : Extent{spec.heads, spec.embedding, spec.head_dim}))
      return std::nullopt;  // of a wider or narrower model
    m.blocks[name] = block.values;
  }
  return m;
}

}  // namespace basin::hdf5
