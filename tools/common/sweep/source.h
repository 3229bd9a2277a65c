/// Where the problems of a sweep come from: for each kind, basin-problem's or a file's.
#pragma once

#include <memory>
#include <string>

#include "common/command/setup.h"

namespace basin::tools {

/// The kinds: "teacher", "text", "architecture", "problem".
std::vector<std::string> sweep_kinds();

/// The problem of a draw, at its weights.
struct DrawnProblem {
  Setup setup;
  /// The targets are outputs of the same network at other weights, which so are a global minimum, 0, of a
  /// squared loss in all blocks; where the setup knows one, that is said there.
  bool own_teacher = false;
};

class DrawSource {
 public:
  virtual ~DrawSource() = default;
  /// Reads what a cell needs, of all threads the first one; make() then may run on any thread.
  virtual void prepare(const OptionValues& /*values*/) {}
  /// Throws InputError for what cannot be, WorkError where numbers of this draw are not finite.
  virtual DrawnProblem make(OptionValues values) const = 0;
  /// The folder or file that was read, and the checksum of all that was; empty for none.
  virtual std::pair<std::string, std::string> input() const { return {}; }
  /// Variables of the description of the network.
  virtual std::vector<std::string> variables() const { return {}; }
  /// For people; empty if there is nothing to say.
  virtual std::string note() const { return ""; }
};

/// The options of a kind that can be swept, those of the problem and --train.
po::options_description sweepable_options(const std::string& kind);
/// What else there is: the first argument, and files of data.
void add_source_options(Command& command, const std::string& kind);
/// Throws InputError for files that cannot be read.
std::unique_ptr<DrawSource> make_source(const Command& command, const std::string& kind);

}  // namespace basin::tools
