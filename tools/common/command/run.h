/// The main function of a tool: exit codes and what is said of errors.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/command/command.h"

namespace basin::tools {

enum ExitCode { kDone = 0, kWorkFailed = 1, kWrongInput = 2, kRefuted = 3 };

/// Runs the body of a tool: errors become one line on stderr and an exit code, an interrupt removes
/// unfinished files.
int run(const std::string& name, const std::function<void()>& body);

/// The same for a tool with one set of options: its main function.
int run_tool(const Introduction& introduction, int argc, const char* const* argv,
             const std::function<void(Command&)>& body);

/// What a tool does, by the first word of its command line.
struct Kind {
  std::string word;
  std::function<void(int argc, const char* const* argv)> work;
};

/// The main function of a tool of several kinds. what: "kind of problem"; overview: what --help prints,
/// without a kind.
int run_kinds(const std::string& name, const std::string& what, const std::string& overview,
              const std::vector<Kind>& kinds, int argc, const char* const* argv);

}  // namespace basin::tools
