#include "problem/text.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "linalg/errors.h"
#include "linalg/random.h"

namespace basin {
namespace {

namespace fs = std::filesystem;

void check_folder(const std::string& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error))
    throw InputError(folder + ": no such folder; expected one with {pos,neg}/*.txt");
}

/// The .txt files of a class, in the order of their names.
std::vector<fs::path> reviews(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error))
    throw InputError(folder.string() + ": no such folder; expected {pos,neg}/*.txt");
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().extension() == ".txt") files.push_back(entry.path());
  if (files.empty()) throw InputError(folder.string() + ": no .txt file; expected {pos,neg}/*.txt");
  std::sort(files.begin(), files.end());
  return files;
}

/// Whether the bytes are UTF-8: every lead byte is followed by as many continuation bytes as it announces.
bool is_utf8(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    const auto lead = static_cast<unsigned char>(bytes[i++]);
    const int more = lead < 0x80                   ? 0
                     : lead >= 0xf0 && lead < 0xf5 ? 3
                     : lead >= 0xe0                ? 2
                     : lead >= 0xc2                ? 1
                                                   : -1;
    if (more < 0 || lead >= 0xf5) return false;
    for (int k = 0; k < more; ++k)
      if (i >= bytes.size() || (static_cast<unsigned char>(bytes[i++]) & 0xc0U) != 0x80U) return false;
  }
  return true;
}

/// The text of a file in UTF-8; one that is not is taken for Latin-1.
std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) throw InputError(path.string() + ": cannot be read");
  if (is_utf8(bytes)) return bytes;
  std::string text;
  for (const char c : bytes) {
    const auto code = static_cast<unsigned char>(c);
    if (code >= 0x80) text += static_cast<char>(0xc0U | (code >> 6U));
    text += static_cast<char>(code >= 0x80 ? 0x80U | (code & 0x3fU) : code);
  }
  return text;
}

/// The reviews of a class that are long enough; counts the others.
std::vector<Reviews::Review> long_enough(const fs::path& folder, Index n, double label, Index& too_short) {
  std::vector<Reviews::Review> found;
  for (const fs::path& file : reviews(folder)) {
    std::vector<std::string> words = tokenise(contents(file));
    if (static_cast<Index>(words.size()) < n) {
      ++too_short;
      continue;
    }
    words.resize(n);
    found.push_back({(file.parent_path().filename() / file.filename()).string(), std::move(words), label});
  }
  return found;
}

/// One of each in turn, then what is left.
std::vector<Reviews::Review> in_turn(std::vector<Reviews::Review> a, std::vector<Reviews::Review> b) {
  std::vector<Reviews::Review> all;
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    if (i < a.size()) all.push_back(std::move(a[i]));
    if (i < b.size()) all.push_back(std::move(b[i]));
  }
  return all;
}

/// n x D
Matrix<double> sinusoidal_positions(Index n, Index D) {
  Matrix<double> P(n, D);
  for (Index k = 0; k < n; ++k)
    for (Index c = 0; c < D; ++c) {
      const double angle =
          static_cast<double>(k) / std::pow(1e4, static_cast<double>(c - c % 2) / static_cast<double>(D));
      P(k, c) = c % 2 == 0 ? std::sin(angle) : std::cos(angle);
    }
  return P;
}

}  // namespace

std::vector<std::string> tokenise(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto finish = [&] {
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // A tag starts with '<' and a letter or '/', so that "a < b" is not one.
    if (c == '<' && i + 1 < text.size() &&
        (std::isalpha(static_cast<unsigned char>(text[i + 1])) || text[i + 1] == '/')) {
      const std::size_t end = text.find('>', i);
      if (end != std::string_view::npos) {
        finish();
        i = end;
        continue;
      }
    }
    if (c > 127 || std::isalnum(c) || c == '\'')
      word += static_cast<char>(c < 128 ? std::tolower(c) : c);
    else
      finish();
  }
  finish();
  return words;
}

std::vector<std::string> review_names(const std::string& folder) {
  check_folder(folder);
  std::vector<std::string> names;
  for (const char* label : {"pos", "neg"})
    for (const fs::path& file : reviews(fs::path(folder) / label))
      names.push_back((fs::path(label) / file.filename()).string());
  return names;
}

Reviews read_reviews(const std::string& folder, Index tokens) {
  if (tokens < 1) throw InputError("tokens n = " + std::to_string(tokens) + "; expected at least 1");
  check_folder(folder);
  Reviews reviews{folder, tokens, 0, {}};
  auto positive = long_enough(fs::path(folder) / "pos", tokens, 1, reviews.too_short);
  auto negative = long_enough(fs::path(folder) / "neg", tokens, -1, reviews.too_short);
  reviews.taken = in_turn(std::move(positive), std::move(negative));
  return reviews;
}

TextProblem make_text_problem(const Reviews& reviews, const TextOptions& options) {
  const Index n = reviews.tokens, D = options.embedding;
  if (D < 1 || options.samples < 0)
    throw InputError("embedding dimension D must be at least 1, samples N at least 0");
  if (!std::isfinite(options.word_scale) || !std::isfinite(options.position_scale))
    throw InputError("word scale and position scale must be finite");
  const auto available = static_cast<Index>(reviews.taken.size());
  if (available == 0 || available < options.samples)
    throw InputError(reviews.folder + ": found " + std::to_string(available) + " reviews of at least n = " +
                     std::to_string(n) + " words (" + std::to_string(reviews.too_short) +
                     " are shorter), expected N = " + std::to_string(std::max<Index>(1, options.samples)));
  const Index N = options.samples == 0 ? available : options.samples;
  TextProblem result;
  result.too_short = reviews.too_short;
  result.unused = available - N;

  Problem& problem = result.problem;
  problem.tokens = n;
  problem.data.samples = N;
  problem.data.X.resize(N * n, D);
  problem.data.Y.resize(N * n, 1);
  const Matrix<double> positions = options.position_scale * sinusoidal_positions(n, D);
  std::map<std::string, Vector<double>> embeddings;
  for (Index i = 0; i < N; ++i) {
    const Reviews::Review& review = reviews.taken[i];
    problem.sources.push_back(review.source);
    problem.data.Y.middleRows(i * n, n).setConstant(review.label);
    for (Index k = 0; k < n; ++k) {
      const std::string& word = review.words[k];
      auto [entry, is_new] = embeddings.try_emplace(word, D);
      if (is_new) {
        Random(options.data_seed, "word " + word).fill_normal(entry->second);
        entry->second *= options.word_scale;
      }
      problem.data.X.row(i * n + k) = entry->second.transpose() + positions.row(k);
      problem.token_text.push_back(word);
    }
  }
  result.words = static_cast<Index>(embeddings.size());
  return result;
}

}  // namespace basin
