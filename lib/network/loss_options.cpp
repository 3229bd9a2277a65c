#include "basin/network/loss_options.h"

#include "basin/linalg/words.h"

namespace basin {
namespace {

using Entry = std::pair<std::string, std::vector<LayerOptionType>>;

/// What the terms of the loss are averaged over: "sum" for not at all.
LayerOptionType average(const char* by_default) {
  return {"average", std::string(by_default)};
}

std::vector<Entry>& losses() {
  static std::vector<Entry> all = {{"squared", {average("sum"), {"half", true}}},
                                   {"cross-entropy", {average("rows")}}};
  return all;
}

}  // namespace

std::vector<std::string> loss_names() {
  std::vector<std::string> names;
  for (const Entry& loss : losses()) names.push_back(loss.first);
  return names;
}

const std::vector<LayerOptionType>& loss_options(const std::string& type) {
  for (const Entry& loss : losses())
    if (loss.first == type) return loss.second;
  throw InputError("unknown loss " + shown(type) + meant(type, loss_names()));
}

void add_loss_options(const std::string& type, std::vector<LayerOptionType> options) {
  for (const Entry& known : losses())
    if (known.first == type) throw InputError("there is a loss '" + type + "' already");
  losses().emplace_back(type, std::move(options));
}

LossDescription with_defaults(const LossDescription& loss) {
  return {loss.type, with_defaults(loss.options, loss_options(loss.type), loss.type)};
}

}  // namespace basin
