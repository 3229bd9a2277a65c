/// The command line of a tool, and what it says.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "basin/hdf5/provenance.h"
#include "basin/linalg/types.h"
#include "common/command/assertions.h"
#include "common/command/identity.h"
#include "common/command/numbers.h"
#include "common/command/progress.h"
#include "common/command/specification.h"
#include "common/command/values.h"

namespace basin::tools {

/// How a tool introduces itself.
struct Introduction {
  std::string name;     ///< "basin-ntk"
  std::string purpose;  ///< one line
  std::string usage;    ///< after the name
  std::string details;  ///< paragraphs, already wrapped
  std::string example;
  std::string options_file = "config";  ///< the option that names a file of options
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
  /// As options.add_options(), which declares options of Identity::whole.
  IdentifiedOptions add_options(Identity identity) { return {options, identities_, identity}; }

  /// False when --help or --version was asked for and printed. Throws po::error or InputError.
  bool parse();

  /// The values if these options, each a name and its argument, had been given as well. They win over what
  /// was given; repeatable options add up. Throws po::error.
  OptionValues with(const std::vector<std::pair<std::string, std::string>>& options) const;

  /// The options that make the run what it is, as they are resolved, by name.
  Specification identity() const;
  /// Those of them in which runs agree that are merged.
  Specification shared_identity() const;

  std::string output() const { return get<std::string>("output"); }

  /// An option with the name of one more file to write; before parse().
  void add_output_option(const std::string& name, const std::string& help);
  /// An option whose answer is printed: no output is needed with it; before parse().
  void add_printing_option(const std::string& name, const std::string& help);
  std::size_t memory() const { return memory_; }  ///< bytes, after add_memory_option

  /// Adds --precision: for tools whose answers are numbers, not signs or bounds.
  void add_precision_option();
  bool single_precision() const {
    return values_.count("precision") > 0 && get<std::string>("precision") == "float";
  }
  /// Adds --memory: for tools that keep intermediate results or dense matrices. Identity::whole where the way
  /// to the numbers depends on it, and so their last digits.
  void add_memory_option(Identity identity = Identity::none);

  /// Adds --part: for tools whose work can be shared out to several runs.
  void add_part_option(const std::string& work);
  /// The share that this run computes, from 0, and the number of shares: {1, 5} for "2/5". Throws InputError.
  std::pair<Index, Index> part() const;

  /// Adds --assert, for tools with a verdict. `verdicts`: the names that it takes, each with what it says.
  void add_assert_option(const std::vector<std::pair<std::string, std::string>>& verdicts);
  /// Whether a verdict of that name holds, to be held against --assert.
  void verdict(const std::string& name, bool holds) { assertions_.verdict(name, holds); }
  /// Throws RefutedAssertion unless all that --assert asks for holds.
  void check_assertions() const;

  /// Progress of one kind of work on stderr, with an estimate of the time left. Silent with --quiet, for
  /// short work, and sparse where stderr is not a terminal.
  Progress progress(const std::string& what) const {
    return get<bool>("quiet") ? Progress() : progress_line(what);
  }
  /// What long work is at, a line on stderr every ten seconds; may be called by several threads.
  std::function<void(const std::string&)> status() const {
    return get<bool>("quiet") ? std::function<void(const std::string&)>() : status_line();
  }
  /// One line on stderr, unless --quiet.
  void message(const std::string& line) const;
  /// A line of the summary: printed on stdout (unless --quiet) and kept for the result file.
  void say(const std::string& line);
  const std::string& summary() const { return summary_; }

  /// Where the numbers come from: a file, with the checksum of what was read of it; or nothing.
  hdf5::Provenance provenance(const std::string& input = "", const std::string& sha256 = "") const;

 private:
  void print_help() const;
  /// For --verbose, before the first line of the tool: what was left to it is known then.
  void print_options();
  void read_configuration();  ///< the values of --config that the command line does not give
  void set_threads() const;

  Introduction introduction_;
  int argc_;
  const char* const* argv_;
  int skip_;
  po::options_description common_{"Common options"}, all_;
  std::map<std::string, Identity> identities_;
  std::vector<po::parsed_options> parsed_;  ///< command line and configuration file; they refer to all_
  std::size_t memory_ = 0;
  std::vector<std::string> outputs_ = {"output"};  ///< the options that name files to write
  std::string printing_option_;
  Assertions assertions_;
  std::string summary_, start_time_;
  bool options_to_print_ = false;
  double start_seconds_ = 0;
};

/// Whether the tool that runs has --memory.
bool memory_can_be_chosen();

/// The version of Basin.
const char* version();

}  // namespace basin::tools
