#include "common/problem/files.h"

namespace basin::tools {

std::string lines(const std::vector<std::string>& files) {
  std::string text;
  for (const std::string& file : files) text += (text.empty() ? "" : "\n") + file;
  return text;
}

}  // namespace basin::tools
