/// Values of options.
#pragma once

#include <boost/program_options.hpp>
#include <cstdint>
#include <iosfwd>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace basin::tools {

namespace po = boost::program_options;

/// A seed on the command line: an unsigned number, which Boost alone would also read from "-1".
struct Seed {
  std::uint64_t value = 0;
};
std::istream& operator>>(std::istream& in, Seed& seed);
std::ostream& operator<<(std::ostream& out, const Seed& seed);

/// Values of options, and what they resolved to.
class OptionValues {
 public:
  OptionValues() = default;
  explicit OptionValues(po::variables_map values) : values_(std::move(values)) {}

  /// On the command line or in the configuration file.
  bool given(const std::string& option) const {
    return values_.count(option) > 0 && !values_[option].defaulted();
  }
  template <class T>
  T get(const std::string& option) const {
    return values_.at(option).as<T>();
  }
  /// The value as text; empty for an option without one.
  std::string text(const std::string& option) const;
  /// The words of an option that has one or several.
  std::vector<std::string> texts(const std::string& option) const;
  std::uint64_t seed() const { return get<Seed>("seed").value; }

  /// Records what an option stands for when its value was left to the tool.
  void resolve(const std::string& option, const std::string& value) { resolved_[option] = value; }

 protected:
  po::variables_map values_;
  std::map<std::string, std::string> resolved_;
};

/// For options that some other choice makes meaningless. Throws InputError.
void refuse(const OptionValues& values, const std::vector<std::string>& options, const std::string& reason);

/// The value of an option as text.
std::string value_text(const boost::any& value);

}  // namespace basin::tools
