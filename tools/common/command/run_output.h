/// Files that a run writes at its end, and may find there when it is resumed.
#pragma once

#include <string>

#include "common/command/command.h"
#include "common/command/journal.h"

namespace basin::tools {

/// A result that names the run it is of: with --resume, one that is there already is finished and stays; any
/// other file is kept (lib/hdf5/FORMAT.md, "Going on after a stop").
class RunOutput {
 public:
  /// `group` will hold the specification: "/entry/provenance".
  RunOutput(const Command& command, std::string path, std::string group);

  /// Holds what is there against the run. Throws InputError when it is of another one.
  void check(const Specification& specification);
  /// It is there, and of this run.
  bool finished() const { return finished_; }

  const std::string& path() const { return path_; }
  /// Whether a file of that name may be replaced: one of this run, or with --overwrite any.
  bool may_replace() const { return overwrite_ || finished_; }

 private:
  std::string path_, group_;
  bool overwrite_, there_, finished_ = false;
};

/// Whether a file is there with which a run that is resumed may go on: Command::parse() leaves it to the tool
/// to refuse one of another run.
bool is_resumed(const OptionValues& command, const std::string& path);

/// Writes the specification of a run into its result: a member of the group of the provenance.
void write_specification(hdf5::Writer& file, const std::string& group, const Specification& specification);

/// Paths of the files that a run keeps beside its output until that is written.
std::string journal_of(const std::string& output);
std::string checkpoint_of(const std::string& output);

}  // namespace basin::tools
