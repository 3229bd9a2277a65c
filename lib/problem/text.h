/// Problems from labelled text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "basin/problem/problem.h"

namespace basin {

struct TextOptions {
  Index samples = 32;         ///< N; 0 takes every review that is long enough
  Index embedding = 64;       ///< D
  double word_scale = 1;      ///< word embeddings: N(0, word_scale^2)
  double position_scale = 1;  ///< factor on the sinusoidal positions
  std::uint64_t data_seed = 0;
};

struct TextProblem {
  Problem problem;      ///< without weights
  Index too_short = 0;  ///< reviews passed over because they have fewer than n words
  Index unused = 0;     ///< reviews left over
  Index words = 0;      ///< different words among the tokens
};

/// Reviews that are long enough for n tokens, in the order in which they are taken, each cut to n words.
struct Reviews {
  struct Review {
    std::string source;  ///< "pos/1_10.txt"
    std::vector<std::string> words;
    double label;
  };
  std::string folder;
  Index tokens = 0;           ///< n
  Index too_short = 0;        ///< reviews with fewer words
  Index guessed = 0;          ///< texts that are not UTF-8, and taken for Windows-1252
  std::string first_guessed;  ///< the first of these
  std::vector<Review> taken;
};

/// Reviews as bytes, each cut or padded to n tokens: one sample after another, as NetworkData takes them.
struct ByteReviews {
  Index samples = 0, tokens = 0;     ///< N, n
  Vector<double> ids, mask, labels;  ///< (N, n): byte + 1, 0 for padding; 1 = real; (N): 1 pos, 0 neg
  std::vector<std::string> sources;  ///< "pos/1_10.txt"
  Index cut = 0, padded = 0;         ///< reviews with more bytes than n, and with fewer
  Index empty = 0;                   ///< reviews passed over as they have none
  Index unused = 0;                  ///< reviews left over
};
inline constexpr Index kByteVocabulary = 257;

/// The first `samples` of a folder (0: all), pos and neg in turn, in the order of their names; their bytes as
/// they are, whatever the encoding. Throws InputError as read_reviews, and for too few reviews.
ByteReviews read_byte_reviews(const std::string& folder, Index tokens, Index samples);

/// The words of a text in UTF-8: longest runs of letters, digits, apostrophes and signs such as emoji. Only
/// ASCII letters are lower-cased. Blanks and punctuation beyond ASCII separate words as those of ASCII do:
/// no-break, thin and ideographic spaces, the zero width space, quotes, dashes, the ellipsis. A typographic
/// apostrophe or single quote is an apostrophe. What is invisible (soft hyphens, marks of direction, byte
/// order marks) is left out. C1 control characters are taken for what Windows-1252 has there. Tags as in
/// `<br />` separate words and are dropped.
std::vector<std::string> tokenise(std::string_view text);

/// The names of all reviews of a folder, in order: "neg/0_3.txt" comes after "pos/9_7.txt". Throws as below.
std::vector<std::string> review_names(const std::string& folder);

/// A folder in the layout of the Large Movie Review Dataset (Maas et al., ACL 2011): {pos,neg}/*.txt, one
/// review a file. Reviews are taken from pos and neg in turn, each in the order of its file names, the first
/// n words of each; when one class has run out the other goes on. Names with a dot in front are passed over.
/// Texts are in UTF-8, or UTF-16 or UTF-32 with a byte order mark; others are taken for Windows-1252.
/// Throws InputError for n < 1, a missing or empty folder, a folder or text that cannot be read (a link to
/// nowhere, a pipe), and for what is no text.
Reviews read_reviews(const std::string& folder, Index tokens);

/// The first N reviews. Every word has a random embedding that depends on the word, the seed and D only;
/// position k adds (Vaswani et al., NeurIPS 2017, section 3.5)
///
///     p[2i] = sin(k / 10000^(2i/D)),  p[2i+1] = cos(k / 10000^(2i/D)).
///
/// Targets are +1 (pos) or -1 (neg) at every token, D_out = 1.
/// Throws InputError for impossible options, or too few reviews.
TextProblem make_text_problem(const Reviews& reviews, const TextOptions& options);

}  // namespace basin
