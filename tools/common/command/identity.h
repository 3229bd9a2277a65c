/// Which options belong to the identity of a run: what --resume, --part and merge compare.
#pragma once

#include <boost/program_options.hpp>
#include <map>
#include <string>

namespace basin::tools {

/// What a run has in common with others where they agree in the value of an option.
enum class Identity {
  whole,  ///< what is merged agrees in it; so is every option that is declared as nothing else
  run,    ///< the run is another one with another value; what is merged may differ in it
  none  ///< the numbers do not depend on it, what it names is compared by its content, or a run with another
        ///< value goes on with what is there
};

/// Declares options as po::options_description::add_options() does, and what they belong to.
class IdentifiedOptions {
 public:
  IdentifiedOptions(boost::program_options::options_description& options,
                    std::map<std::string, Identity>& identities, Identity identity)
      : options_(options), identities_(identities), identity_(identity) {}

  /// As of Boost: "name" or "name,n"; a value, unless it has none; the help.
  template <class... ValueAndHelp>
  IdentifiedOptions& operator()(const std::string& name, ValueAndHelp... value_and_help) {
    options_.add_options()(name.c_str(), value_and_help...);
    identities_[name.substr(0, name.find(','))] = identity_;
    return *this;
  }

 private:
  boost::program_options::options_description& options_;
  std::map<std::string, Identity>& identities_;
  Identity identity_;
};

}  // namespace basin::tools
