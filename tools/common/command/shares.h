/// Joining what several runs have found.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/command/command.h"

namespace basin::tools {

/// Declares the files to join, all arguments of "merge", and parses. None when --help or --version was asked
/// for. Throws as Command::parse().
std::vector<std::string> files_to_join(Command& command, const std::string& option,
                                       const std::string& argument);

/// Throws InputError unless the file of a part is of the work that the first file is of: "PATH: of another
/// sweep than FIRST (repeats = 20 there, 30 here)".
void check_same_work(const std::string& path, const Specification& part, const std::string& first,
                     const Specification& whole, const std::string& another);

/// What is shared out: how a piece is called ("draw"), and where it is ("draw 2 at D = 8").
struct SharedWork {
  std::string piece;
  std::function<std::string(Index)> place;
};

/// The pieces that a part has, to be added to the whole; of each piece 1 when it is computed. Throws
/// InputError, which names the file of the part, when the whole has one of them already.
std::vector<Index> pieces_of_share(const SharedWork& work, const std::vector<std::uint8_t>& whole,
                                   const std::string& path, const std::vector<std::uint8_t>& part);

/// Throws InputError unless the whole has every piece.
void check_complete(const SharedWork& work, const std::vector<std::uint8_t>& whole);

}  // namespace basin::tools
