#include "common/command/shares.h"

#include <algorithm>

#include "basin/linalg/errors.h"

namespace basin::tools {

std::vector<std::string> files_to_join(Command& command, const std::string& option,
                                       const std::string& argument) {
  command.options.add_options()(option.c_str(),
                                po::value<std::vector<std::string>>()->required()->value_name(argument),
                                "the files to join (all arguments)");
  command.positional.add(option.c_str(), -1);
  if (!command.parse()) return {};
  return command.get<std::vector<std::string>>(option);
}

void check_same_work(const std::string& path, const Specification& part, const std::string& first,
                     const Specification& whole, const std::string& another) {
  const std::string difference = first_difference(part, whole);
  if (!difference.empty())
    throw InputError(path + ": of " + another + " than " + first + " (" + difference + ")");
}

std::vector<Index> pieces_of_share(const SharedWork& work, const std::vector<std::uint8_t>& whole,
                                   const std::string& path, const std::vector<std::uint8_t>& part) {
  std::vector<Index> pieces;
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (part[i] == 0) continue;
    const auto piece = static_cast<Index>(i);
    if (whole[i] != 0)
      throw InputError(path + ": " + work.place(piece) + " is in a file before it, too; expected every " +
                       work.piece + " once");
    pieces.push_back(piece);
  }
  return pieces;
}

void check_complete(const SharedWork& work, const std::vector<std::uint8_t>& whole) {
  const auto absent = std::count(whole.begin(), whole.end(), 0);
  if (absent == 0) return;
  throw InputError("the files leave out " + std::to_string(absent) + " of " + std::to_string(whole.size()) +
                   " " + work.piece +
                   "s, the first: " + work.place(std::find(whole.begin(), whole.end(), 0) - whole.begin()));
}

}  // namespace basin::tools
