#include "basin/linalg/words.h"

#include <algorithm>

namespace basin {
namespace {

constexpr std::size_t kShown = 60;  // characters of a word in a message

/// Letters to change, add or leave out to come from one word to the other (Levenshtein 1966).
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t before = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t change = before + (a[i] == b[j] ? 0 : 1);
      before = row[j + 1];
      row[j + 1] = std::min({change, row[j] + 1, before + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string shown(const std::string& word) {
  return "'" + (word.size() <= kShown ? word : word.substr(0, kShown) + "...") + "'";
}

std::vector<std::string> nearest(const std::string& word, const std::vector<std::string>& known,
                                 std::size_t count) {
  const std::string start = word.substr(0, kShown);
  std::vector<std::pair<std::size_t, std::size_t>> order;  // how far, and which
  for (const std::string& k : known) order.emplace_back(distance(start, k), order.size());
  std::sort(order.begin(), order.end());
  std::vector<std::string> first;
  for (std::size_t i = 0; i < std::min(count, order.size()); ++i) first.push_back(known[order[i].second]);
  return first;
}

std::string meant(const std::string& word, const std::vector<std::string>& known) {
  std::string list;
  const std::string* nearest = nullptr;
  std::size_t least = 3;  // letters: further words are others
  for (const std::string& k : known) {
    list += (list.empty() ? "" : ", ") + k;
    if (word.size() <= kShown && distance(word, k) < least) least = distance(word, k), nearest = &k;
  }
  return nearest ? "; did you mean '" + *nearest + "'?" : "; expected one of " + list;
}

bool fits_pattern(std::string_view pattern, std::string_view text) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  const std::string_view rest = pattern.substr(star + 1);
  for (std::size_t from = star; from <= text.size(); ++from)
    if (fits_pattern(rest, text.substr(from))) return true;
  return false;
}

std::string shape_text(const std::vector<Index>& shape) {
  std::string text;
  for (const Index size : shape) text += std::to_string(size) + (shape.size() == 1 ? "," : ", ");
  if (shape.size() > 1) text.resize(text.size() - 2);
  return "(" + text + ")";
}

}  // namespace basin
