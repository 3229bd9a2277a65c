#include "common/command/typed.h"

#include <algorithm>

#include "basin/linalg/errors.h"
#include "basin/problem/encoding.h"

namespace basin::tools {

std::string quoted(int argc, const char* const* argv) {
  std::string line;
  for (int i = 0; i < argc; ++i) {
    const std::string word = argv[i];
    const bool plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789_-./,:=+@%^") == std::string::npos;
    line += i > 0 ? " " : "";
    if (plain) {
      line += word;
    } else if (const std::string safe = escaped(word, true); safe != word) {  // as bash reads it
      line += "$'";
      for (std::size_t k = 0; k < word.size();) {
        const std::size_t bytes = std::max<std::size_t>(character_at(word, k).bytes, 1);
        const std::string character = word.substr(k, bytes);
        line += character == "'" || character == "\\" ? "\\" + character : escaped(character, true);
        k += bytes;
      }
      line += '\'';
    } else {
      line += '\'';
      for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
      line += '\'';
    }
  }
  return line;
}

void refuse_dashes(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    const char32_t code = word.empty() ? 0 : character_at(word, 0).code;
    if ((code >= 0x2010 && code <= 0x2015) || code == 0x2212)
      throw InputError("'" + word + "': begins with a typographic dash; expected '-' for an option");
  }
}

}  // namespace basin::tools
