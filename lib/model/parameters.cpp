#include "model/parameters.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "linalg/errors.h"

namespace basin {

Index ParameterBlock::size() const {
  return std::accumulate(shape.begin(), shape.end(), Index{1}, std::multiplies<>());
}

std::string joined(const std::vector<std::string>& blocks) {
  std::string name;
  for (const std::string& b : blocks) name += (name.empty() ? "" : ",") + b;
  return name;
}

ParameterLayout::ParameterLayout(std::vector<ParameterBlock> blocks,
                                 const std::vector<std::string>& trainable) {
  for (ParameterBlock& block : blocks) {
    const Index size = block.size();
    entries_.push_back({std::move(block), weight_count_, -1});
    weight_count_ += size;
  }
  for (const std::string& name : trainable) {
    if (std::count(trainable.begin(), trainable.end(), name) > 1)
      throw InputError("trainable block '" + name + "' is named twice");
    find(name);
  }
  if (trainable.empty()) throw InputError("no trainable block: name at least one");
  for (Entry& e : entries_) {
    if (std::find(trainable.begin(), trainable.end(), e.block.name) != trainable.end()) {
      e.theta_offset = theta_size_;
      theta_size_ += e.block.size();
    }
    weight_slots_.push_back({e.offset, e.block.rows(), e.block.cols()});
    theta_slots_.push_back({e.theta_offset, e.block.rows(), e.block.cols()});
  }
}

const ParameterLayout::Entry& ParameterLayout::find(const std::string& name) const {
  std::string names;
  for (const Entry& e : entries_) {
    if (e.block.name == name) return e;
    names += (names.empty() ? "" : ", ") + e.block.name;
  }
  throw InputError("unknown parameter block '" + name + "'; the model has " + names);
}

}  // namespace basin
