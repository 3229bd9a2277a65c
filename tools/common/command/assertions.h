/// What --assert asks for, and whether it holds.
#pragma once

#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace basin::tools {

/// The work is done and its result written, but a verdict is not what --assert asks for.
class RefutedAssertion : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The verdicts that a tool has.
class Assertions {
 public:
  /// `verdicts`: the names, each with what it says. The help text of --assert.
  std::string declare(const std::vector<std::pair<std::string, std::string>>& verdicts);
  bool any() const { return !verdicts_.empty(); }
  /// Whether a verdict holds.
  void verdict(const std::string& name, bool holds) { verdicts_.at(name) = holds; }
  /// The verdicts that a value of --assert names. Throws InputError for others.
  std::vector<std::string> named(const std::string& list) const;
  /// Throws RefutedAssertion unless all that it names hold.
  void check(const std::string& list) const;

 private:
  std::map<std::string, std::optional<bool>> verdicts_;  ///< once they are known
};

}  // namespace basin::tools
