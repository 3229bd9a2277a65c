#include "basin/network/parameters.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"

namespace basin {

Index ParameterBlock::size() const {
  return std::accumulate(shape.begin(), shape.end(), Index{1}, std::multiplies<>());
}

namespace {

[[noreturn]] void throw_unknown(const std::string& name, const std::vector<std::string>& known) {
  constexpr std::size_t kMostInLine = 12, kNearest = 5;
  const bool all = known.size() <= kMostInLine;
  for (const std::string& k : known)
    if (!all && k.ends_with("." + name))
      throw InputError("unknown parameter block '" + name + "'; did you mean '" + k + "', or '*." + name +
                       "' for all like it?");
  std::string names;
  for (const std::string& k : all ? known : nearest(name, known, kNearest))
    names += (names.empty() ? "" : ", ") + k;
  throw InputError("unknown parameter block '" + name + "'; the model has " +
                   (all ? names : std::to_string(known.size()) + ", the nearest: " + names));
}

}  // namespace

std::vector<std::string> matching_blocks(const std::vector<std::string>& patterns,
                                         const std::vector<ParameterBlock>& blocks) {
  std::vector<std::string> names;
  std::vector<std::string> all;
  for (const ParameterBlock& b : blocks)
    if (b.tied_to.empty()) all.push_back(b.name);
  if (patterns.empty()) throw InputError("found no name; expected names or patterns of parameter blocks");
  for (const std::string& pattern : patterns) {
    const std::size_t before = names.size();
    for (const ParameterBlock& b : blocks) {
      if (!b.tied_to.empty() || !fits_pattern(pattern, b.name)) continue;
      // what two patterns stand for is taken once; a name that is given twice is a slip, which the layout
      // refuses
      const bool pattern_again =
          pattern != b.name && std::find(names.begin(), names.end(), b.name) != names.end();
      if (!pattern_again) names.push_back(b.name);
    }
    if (names.size() > before) continue;
    const ParameterBlock* tied = nullptr;
    bool again = false;
    for (const ParameterBlock& b : blocks)
      if (fits_pattern(pattern, b.name)) {
        again = again || b.tied_to.empty();
        tied = &b;
      }
    if (again) continue;
    if (tied == nullptr) throw_unknown(pattern, all);
    throw InputError("'" + pattern + "' has no parameters of its own: " + tied->name + " is " +
                     tied->tied_to);
  }
  return names;
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
      if (e.block.name == block.name)
        throw InputError("two parameter blocks are called " + block.name +
                         "; give one of the layers, or what they are in, a name");
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
  for (const Entry& e : entries_)
    if (e.block.name == name) return e;
  std::vector<std::string> names;
  for (const Entry& e : entries_) names.push_back(e.block.name);
  throw_unknown(name, names);
}

}  // namespace basin
