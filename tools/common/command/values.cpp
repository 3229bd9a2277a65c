#include "common/command/values.h"

#include <sstream>
#include <vector>

#include "basin/linalg/errors.h"
#include "basin/linalg/types.h"

namespace basin::tools {

std::istream& operator>>(std::istream& in, Seed& seed) {
  if (in.peek() == '-') in.setstate(std::ios::failbit);
  return in >> seed.value;
}

std::ostream& operator<<(std::ostream& out, const Seed& seed) {
  return out << seed.value;
}

std::string value_text(const boost::any& value) {
  std::ostringstream out;
  out.precision(17);
  if (const auto* s = boost::any_cast<std::string>(&value)) out << *s;
  if (const auto* i = boost::any_cast<Index>(&value)) out << *i;
  if (const auto* seed = boost::any_cast<Seed>(&value)) out << *seed;
  if (const auto* n = boost::any_cast<int>(&value)) out << *n;
  if (const auto* d = boost::any_cast<double>(&value)) out << *d;
  if (const auto* b = boost::any_cast<bool>(&value)) out << (*b ? "true" : "false");
  if (const auto* list = boost::any_cast<std::vector<std::string>>(&value))
    for (std::size_t i = 0; i < list->size(); ++i) out << (i > 0 ? " " : "") << (*list)[i];
  return out.str();
}

std::string OptionValues::text(const std::string& option) const {
  return values_.count(option) > 0 ? value_text(values_[option].value()) : "";
}

std::vector<std::string> OptionValues::texts(const std::string& option) const {
  const auto* list = boost::any_cast<std::vector<std::string>>(&values_.at(option).value());
  return list != nullptr ? *list : std::vector<std::string>{get<std::string>(option)};
}

void refuse(const OptionValues& values, const std::vector<std::string>& options, const std::string& reason) {
  for (const std::string& option : options)
    if (values.given(option)) throw InputError("--" + option + ": without effect " + reason);
}

}  // namespace basin::tools
