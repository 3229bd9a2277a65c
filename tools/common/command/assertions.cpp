#include "common/command/assertions.h"

#include "basin/linalg/errors.h"
#include "common/command/words.h"

namespace basin::tools {

std::string Assertions::declare(const std::vector<std::pair<std::string, std::string>>& verdicts) {
  std::string help = "exit with code 3 unless this holds:";
  for (const auto& [name, meaning] : verdicts) {
    help.append(verdicts_.empty() ? " " : "; ").append(name).append(" (").append(meaning).append(")");
    verdicts_[name] = std::nullopt;
  }
  return help;
}

std::vector<std::string> Assertions::named(const std::string& list) const {
  std::vector<std::string> names = split(list, ',');
  for (const std::string& name : names) {
    if (!verdicts_.contains(name)) {
      std::string known;
      for (const auto& [other, holds] : verdicts_) known += (known.empty() ? "" : " or ") + other;
      throw InputError("--assert " + list + ": found '" + name + "'; expected " + known);
    }
  }
  return names;
}

void Assertions::check(const std::string& list) const {
  for (const std::string& name : named(list))
    if (const std::optional<bool> holds = verdicts_.at(name); !holds.value_or(false))
      throw RefutedAssertion("--assert " + name +
                             (holds ? ": does not hold" : ": not judged, as the result was there already"));
}

}  // namespace basin::tools
