#include "basin/network/parameters.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "basin/linalg/errors.h"

namespace basin {

Index ParameterBlock::size() const {
  return std::accumulate(shape.begin(), shape.end(), Index{1}, std::multiplies<>());
}

std::string joined(const std::vector<std::string>& blocks) {
  std::string name;
  for (const std::string& b : blocks) name += (name.empty() ? "" : ",") + b;
  return name;
}

ParameterLayout::ParameterLayout(const std::vector<ParameterBlock>& blocks,
                                 const std::vector<std::string>& trainable) {
  for (const ParameterBlock& block : blocks) {
    if (!block.tied_to.empty()) continue;
    for (const Entry& e : entries_)
      if (e.block.name == block.name) throw InputError("two parameter blocks are called " + block.name);
    entries_.push_back({block, weight_count_, -1});
    weight_count_ += block.size();
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
  }
  for (const ParameterBlock& block : blocks) {
    const Entry& e = find(block.tied_to.empty() ? block.name : block.tied_to);
    if (e.block.shape != block.shape)
      throw InputError(block.name + " is tied to " + e.block.name + ", which has another shape");
    weight_slots_.push_back({e.offset, block.rows(), block.cols()});
    theta_slots_.push_back({e.theta_offset, block.rows(), block.cols()});
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
