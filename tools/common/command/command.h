/// What every tool does around its work: options, exit codes, signals, clocks, summaries.
#pragma once

#include <boost/program_options.hpp>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "basin/hdf5/provenance.h"
#include "basin/linalg/memory.h"
#include "basin/linalg/progress.h"
#include "basin/linalg/types.h"

namespace basin::tools {

namespace po = boost::program_options;

enum ExitCode { kDone = 0, kWorkFailed = 1, kWrongInput = 2, kRefuted = 3 };

/// The work is done and its result written, but a verdict is not what --assert asks for.
class RefutedAssertion : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// How a tool introduces itself.
struct Introduction {
  std::string name;     ///< "basin-ntk"
  std::string purpose;  ///< one line
  std::string usage;    ///< after the name
  std::string details;  ///< paragraphs, already wrapped
  std::string example;
};

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
  std::uint64_t seed() const { return get<Seed>("seed").value; }

  /// Records what an option stands for when its value was left to the tool.
  void resolve(const std::string& option, const std::string& value) { resolved_[option] = value; }

 protected:
  po::variables_map values_;
  std::map<std::string, std::string> resolved_;
};

/// The command line of a tool.
///
/// Add options to `options`, positional arguments to `positional`, then parse(). Common to all tools are
/// --output,
/// --overwrite, --seed, --threads, --config, --quiet, --verbose, --help and --version.
class Command : public OptionValues {
 public:
  /// `skip` words of argv name the tool; the rest are its options.
  Command(Introduction introduction, int argc, const char* const* argv, int skip = 1);

  po::options_description options{"Options"};
  po::positional_options_description positional;

  /// False when --help or --version was asked for and printed. Throws po::error or InputError.
  bool parse();

  /// The values if these options, each a name and its argument, had been given as well. They win over what
  /// was given; repeatable options add up. Throws po::error.
  OptionValues with(const std::vector<std::pair<std::string, std::string>>& options) const;

  std::string output() const { return get<std::string>("output"); }

  /// An option with the name of one more file to write; before parse().
  void add_output_option(const std::string& name, const std::string& help);
  std::size_t memory() const { return memory_; }  ///< bytes, after add_memory_option

  /// Adds --precision: for tools whose answers are numbers, not signs or bounds.
  void add_precision_option();
  bool single_precision() const {
    return values_.count("precision") > 0 && get<std::string>("precision") == "float";
  }
  /// Adds --memory: for tools that keep intermediate results or dense matrices.
  void add_memory_option();

  /// Adds --part: for tools whose work can be shared out to several runs.
  void add_part_option(const std::string& work);
  /// The share that this run computes, from 0, and the number of shares: {1, 5} for "2/5". Throws InputError.
  std::pair<Index, Index> part() const;

  /// Adds --assert, for tools with a verdict. `verdicts`: the names that it takes, each with what it says.
  void add_assert_option(const std::vector<std::pair<std::string, std::string>>& verdicts);
  /// Whether a verdict of that name holds, to be held against --assert.
  void verdict(const std::string& name, bool holds);
  /// Throws RefutedAssertion unless all that --assert asks for holds.
  void check_assertions() const;

  /// Progress of one kind of work on stderr, with an estimate of the time left. Silent with --quiet, for
  /// short work, and sparse where stderr is not a terminal.
  Progress progress(const std::string& what) const;
  /// What long work is at, a line on stderr every ten seconds; may be called by several threads.
  std::function<void(const std::string&)> status() const;
  /// One line on stderr, unless --quiet.
  void message(const std::string& line) const;
  /// A line of the summary: printed on stdout (unless --quiet) and kept for the result file.
  void say(const std::string& line);
  const std::string& summary() const { return summary_; }

  /// Where the numbers come from: a file, with the checksum of what was read of it; or nothing.
  hdf5::Provenance provenance(const std::string& input = "", const std::string& sha256 = "") const;

 private:
  void print_help() const;
  void check_files() const;
  std::string option_that_reads(const std::string& path) const;
  std::vector<std::string> asserted() const;

  Introduction introduction_;
  int argc_;
  const char* const* argv_;
  int skip_;
  po::options_description common_{"Common options"}, all_;
  std::vector<po::parsed_options> parsed_;  ///< command line and configuration file; they refer to all_
  std::size_t memory_ = 0;
  std::vector<std::string> outputs_ = {"output"};        ///< the options that name files to write
  std::map<std::string, std::optional<bool>> verdicts_;  ///< those that --assert takes, once they are known
  std::string summary_, start_time_;
  double start_seconds_ = 0;
};

/// Runs the body of a tool: errors become one line on stderr and an exit code, an interrupt removes
/// unfinished files.
int run(const std::string& name, const std::function<void()>& body);

/// The same for a tool with one set of options: its main function.
int run_tool(const Introduction& introduction, int argc, const char* const* argv,
             const std::function<void(Command&)>& body);

/// The version of Basin.
const char* version();

/// A number with so many significant digits.
std::string number(double value, int digits = 6);
/// The same for bounds: never above, never below the value.
std::string number_below(double value, int digits);
std::string number_above(double value, int digits);
/// 0.123 as "12.3 %".
std::string percent(double share);
/// "2.64998724612 +- 8.2e-10": with as many digits as the error leaves, which is rounded up, with what is cut
/// off the value in it.
std::string with_error(double value, double error);

}  // namespace basin::tools
