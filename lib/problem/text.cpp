#include "basin/problem/text.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <map>

#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"
#include "basin/problem/encoding.h"

namespace basin {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLayout = "{pos,neg}/*.txt";

void check_folder(const fs::path& folder, const std::string& expected) {
  std::error_code error;
  if (fs::is_directory(folder, error)) return;
  const bool there = fs::exists(fs::symlink_status(folder, error));
  throw InputError(folder.string() + ": " + (there ? "not a folder" : "no such folder") + "; expected " +
                   expected);
}

/// Refuses what cannot be read as a file, for its true reason.
void check_review(const fs::directory_entry& entry) {
  std::error_code error;
  const fs::file_status status = entry.status(error);
  if (fs::is_regular_file(status)) return;
  const bool link = entry.is_symlink(error);
  throw InputError(
      entry.path().string() + ": " +
      (link ? "a link to " + fs::read_symlink(entry.path(), error).string() + ", which is " : "") +
      (!fs::exists(status)                         ? "not there"
       : status.type() == fs::file_type::directory ? "a folder"
       : status.type() == fs::file_type::fifo      ? "a pipe"
                                                   : "not a regular file") +
      "; expected a review");
}

/// The .txt files of a class, in the order of their names; as for the shell, without hidden ones.
std::vector<fs::path> reviews(const fs::path& folder) {
  check_folder(folder, kLayout);
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const fs::path& path = entry->path();
    if (path.extension() != ".txt" || path.filename().native()[0] == '.') continue;
    check_review(*entry);
    files.push_back(path);
  }
  if (error) throw InputError(folder.string() + ": cannot be read: " + error.message());
  if (files.empty()) throw InputError(folder.string() + ": no .txt file; expected " + kLayout);
  std::sort(files.begin(), files.end());
  return files;
}

/// The reviews of a class that are long enough; counts the others, and those whose encoding is guessed.
std::vector<Reviews::Review> long_enough(const fs::path& folder, Index n, double label, Reviews& all) {
  std::vector<Reviews::Review> found;
  for (const fs::path& file : reviews(folder)) {
    bool guessed = false;
    std::vector<std::string> words =
        tokenise(to_utf8(unmarked(file.string(), read_bytes(file.string())), guessed));
    if (guessed && all.guessed++ == 0) all.first_guessed = file.string();
    if (static_cast<Index>(words.size()) < n) {
      ++all.too_short;
      continue;
    }
    words.resize(n);
    found.push_back({(file.parent_path().filename() / file.filename()).string(), std::move(words), label});
  }
  return found;
}

/// One of each in turn, then what is left.
template <class T>
std::vector<T> in_turn(std::vector<T> a, std::vector<T> b) {
  std::vector<T> all;
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    if (i < a.size()) all.push_back(std::move(a[i]));
    if (i < b.size()) all.push_back(std::move(b[i]));
  }
  return all;
}

struct Range {
  char32_t first, last;
};

/// Beyond ASCII: blanks, quotes, dashes and other punctuation, signs of currencies.
constexpr Range kSeparators[] = {
    {0x80, 0xa9},     {0xab, 0xac},     {0xae, 0xb1},     {0xb4, 0xb4},     {0xb6, 0xb8},
    {0xbb, 0xbb},     {0xbf, 0xbf},     {0xd7, 0xd7},     {0xf7, 0xf7},     {0x37e, 0x37e},
    {0x387, 0x387},   {0x55a, 0x55f},   {0x589, 0x58a},   {0x5be, 0x5be},   {0x5c0, 0x5c0},
    {0x5c3, 0x5c3},   {0x5f3, 0x5f4},   {0x60c, 0x60c},   {0x61b, 0x61b},   {0x61f, 0x61f},
    {0x66a, 0x66d},   {0x6d4, 0x6d4},   {0x964, 0x965},   {0x1680, 0x1680}, {0x2000, 0x200b},
    {0x2010, 0x205f}, {0x20a0, 0x20cf}, {0x2122, 0x2122}, {0x2212, 0x2212}, {0x2e00, 0x2e7f},
    {0x3000, 0x3003}, {0x3008, 0x3011}, {0x3014, 0x301f}, {0x3030, 0x3030}, {0x30fb, 0x30fb},
    {0xfe10, 0xfe19}, {0xfe30, 0xfe6b}, {0xff01, 0xff0f}, {0xff1a, 0xff20}, {0xff3b, 0xff40},
    {0xff5b, 0xff65}, {0xffe0, 0xffe6}};

/// What shows nothing and separates nothing: the soft hyphen, marks of direction, the word joiner, the byte
/// order mark.
constexpr Range kInvisible[] = {
    {0xad, 0xad}, {0x200e, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}};

template <std::size_t n>
bool among(const Range (&ranges)[n], char32_t code) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [&](const Range& r) { return code >= r.first && code <= r.last; });
}

bool is_apostrophe(char32_t code) {
  return (code >= 0x2018 && code <= 0x201b) || code == 0x2bc || code == 0xff07;
}

bool is_invisible(char32_t code) {
  return code >= 0x80 && among(kInvisible, code);
}

bool is_separator(char32_t code) {
  if (code >= 0x80) return among(kSeparators, code);
  return std::isalnum(static_cast<unsigned char>(code)) == 0 && code != '\'';
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
  for (std::size_t i = 0; i < text.size();) {
    // A tag starts with '<' and a letter or '/', so that "a < b" is not one.
    if (text[i] == '<' && i + 1 < text.size() &&
        (std::isalpha(static_cast<unsigned char>(text[i + 1])) || text[i + 1] == '/')) {
      const std::size_t end = text.find('>', i);
      if (end != std::string_view::npos) {
        finish();
        i = end + 1;
        continue;
      }
    }
    auto [code, bytes] = character_at(text, i);
    i += std::max<std::size_t>(bytes, 1);
    if (code < 0x100) code = windows_1252(static_cast<unsigned char>(code));
    if (is_apostrophe(code)) code = '\'';
    if (is_invisible(code)) continue;
    if (is_separator(code))
      finish();
    else if (code < 0x80)
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(code)));
    else
      append_utf8(word, code);
  }
  finish();
  return words;
}

std::vector<std::string> review_names(const std::string& folder) {
  check_folder(folder, std::string("one with ") + kLayout);
  std::vector<std::string> names;
  for (const char* label : {"pos", "neg"})
    for (const fs::path& file : reviews(fs::path(folder) / label))
      names.push_back((fs::path(label) / file.filename()).string());
  return names;
}

Reviews read_reviews(const std::string& folder, Index tokens) {
  if (tokens < 1) throw InputError("tokens n = " + std::to_string(tokens) + "; expected at least 1");
  check_folder(folder, std::string("one with ") + kLayout);
  Reviews reviews;
  reviews.folder = folder, reviews.tokens = tokens;
  auto positive = long_enough(fs::path(folder) / "pos", tokens, 1, reviews);
  auto negative = long_enough(fs::path(folder) / "neg", tokens, -1, reviews);
  reviews.taken = in_turn(std::move(positive), std::move(negative));
  return reviews;
}

ByteReviews read_byte_reviews(const std::string& folder, Index tokens, Index samples) {
  if (tokens < 1 || samples < 0)
    throw InputError("tokens n = " + std::to_string(tokens) + ", samples N = " + std::to_string(samples) +
                     "; expected at least 1, and at least 0");
  check_folder(folder, std::string("one with ") + kLayout);
  ByteReviews result;
  result.tokens = tokens;
  struct Text {
    std::string source, bytes;
    double label;
  };
  const auto texts = [&](const char* kind, double label) {
    std::vector<Text> found;
    for (const fs::path& file : reviews(fs::path(folder) / kind)) {
      std::string bytes = read_bytes(file.string());
      if (bytes.empty())
        ++result.empty;
      else
        found.push_back(
            {(file.parent_path().filename() / file.filename()).string(), std::move(bytes), label});
    }
    return found;
  };
  std::vector<Text> all = in_turn(texts("pos", 1), texts("neg", 0));
  const auto available = static_cast<Index>(all.size());
  if (available == 0 || available < samples)
    throw InputError(folder + ": found " + std::to_string(available) +
                     " reviews, expected N = " + std::to_string(std::max<Index>(1, samples)));
  result.samples = samples == 0 ? available : samples;
  result.unused = available - result.samples;
  result.ids.setZero(result.samples * tokens);
  result.mask.setZero(result.samples * tokens);
  result.labels.resize(result.samples);
  for (Index i = 0; i < result.samples; ++i) {
    const Text& text = all[i];
    const auto length = static_cast<Index>(text.bytes.size()), real = std::min(length, tokens);
    result.cut += length > tokens ? 1 : 0;
    result.padded += length < tokens ? 1 : 0;
    for (Index k = 0; k < real; ++k)
      result.ids[i * tokens + k] = 1 + static_cast<double>(static_cast<unsigned char>(text.bytes[k]));
    result.mask.segment(i * tokens, real).setOnes();
    result.labels[i] = text.label;
    result.sources.push_back(text.source);
  }
  return result;
}

TextProblem make_text_problem(const Reviews& reviews, const TextOptions& options) {
  const Index n = reviews.tokens, D = options.embedding;
  if (D < 1 || options.samples < 0)
    throw InputError("embedding dimension D = " + std::to_string(D) + ", samples N = " +
                     std::to_string(options.samples) + "; expected at least 1, and at least 0");
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
