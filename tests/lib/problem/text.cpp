#include "basin/problem/text.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "support/temporary_folder.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("words are lower-cased runs; tags separate and vanish") {
  using Words = std::vector<std::string>;
  CHECK(tokenise("Don't stop.<br /><br />NOW, 10/10!") == Words{"don't", "stop", "now", "10", "10"});
  CHECK(tokenise("a < b and c > d") == Words{"a", "b", "and", "c", "d"});
  CHECK(tokenise("caf\xc3\xa9 <i>Noir</i>") == Words{"caf\xc3\xa9", "noir"});
  CHECK(tokenise("an <unfinished tag") == Words{"an", "unfinished", "tag"});
  CHECK(tokenise(" ... ").empty());
}

TEST_CASE("blanks, quotes, dashes and punctuation beyond ASCII separate words as those of ASCII do") {
  using Words = std::vector<std::string>;
  const Words four = {"one", "two", "three", "four"};
  // no-break space, thin space, ideographic space; zero width space, line separator, next line
  CHECK(tokenise("one\u00a0two\u2009three\u3000four") == four);
  CHECK(tokenise("one\u200btwo\u2028three\u0085four") == four);
  // en dash, em dash, hyphen, minus sign; quotes, guillemets, ellipsis; ideographic comma, fullwidth ! and ?
  CHECK(tokenise("one\u2013two\u2014three \u2212four") == four);
  CHECK(tokenise("one\u2010two\u2011three\u2015four") == four);
  CHECK(tokenise("\u201cone\u201d \u201etwo\u201f\u00abthree\u00bb\u2026four") == four);
  CHECK(tokenise("one\u3001two\uff01three\uff1ffour\u3002") == four);
  CHECK(tokenise("one\u00b7two\u2022three\u20acfour\u2122") == four);
  // apostrophes are those of ASCII, also as quotes
  CHECK(tokenise("don\u2019t don\u02bct don't \u2018so\u2019") == Words{"don't", "don't", "don't", "'so'"});
  // invisible: soft hyphen, word joiner, byte order mark, direction
  CHECK(tokenise("\ufeffco\u00adope\u2060rate\u200e \ufeff") == Words{"cooperate"});
  // of Windows-1252, misread as Latin-1: quotes, apostrophe, dash
  CHECK(tokenise("\u0093don\u0092t\u0094\u0096go") == Words{"don't", "go"});
  // letters, digits and signs of all scripts are words: ordinals, fractions, emoji with joiners
  CHECK(tokenise("na\u00efve 1\u00aa \u00bd \u4f60\u597d \U0001f600") ==
        Words{"na\u00efve", "1\u00aa", "\u00bd", "\u4f60\u597d", "\U0001f600"});
  CHECK(tokenise("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645").size() ==
        1);  // Persian, with a non-joiner
}

TEST_CASE("reviews with byte order marks are the same text; what is no text is refused by name") {
  using namespace std::string_literals;
  const TemporaryFolder folder;
  folder.write("pos/1.txt", "\xef\xbb\xbfthe film");
  folder.write("pos/2.txt", "\xff\xfet\0h\0e\0 \0f\0i\0l\0m\0"s);
  folder.write("neg/1.txt", "the film");
  const Reviews reviews = read_reviews(folder / "", 2);
  REQUIRE(reviews.taken.size() == 3);
  for (const auto& review : reviews.taken) CHECK(review.words == std::vector<std::string>{"the", "film"});
  CHECK(reviews.guessed == 0);
  folder.write("neg/2.txt", "t\0h\0e\0"s);
  CHECK_THROWS_WITH(read_reviews(folder / "", 2), Catch::Contains("neg/2.txt: found a zero byte at 1"));
}

TEST_CASE("reviews that are not there are refused by name, not left out") {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  folder.write("pos/1.txt", "one");
  folder.write("neg/1.txt", "two");
  folder.write("neg/.#1.txt", "a lock of an editor");
  folder.write("store/2", "three");
  fs::create_symlink("../store/2", folder / "neg/2.txt");
  CHECK(read_reviews(folder / "", 1).taken.size() == 3);
  CHECK(review_names(folder / "").size() == 3);
  const auto refused = [&](const std::string& message) {
    CHECK_THROWS_WITH(read_reviews(folder / "", 1), Catch::Contains(message));
    CHECK_THROWS_AS(review_names(folder / ""), InputError);
    std::error_code none;
    fs::remove_all(folder / "neg/3.txt", none);
  };
  fs::create_symlink("annexed-away", folder / "neg/3.txt");
  refused("neg/3.txt: a link to annexed-away, which is not there; expected a review");
  fs::create_symlink("3.txt", folder / "neg/3.txt");
  refused("neg/3.txt: a link to 3.txt, which is not there");
  REQUIRE(mkfifo((folder / "neg/3.txt").c_str(), 0600) == 0);
  refused("neg/3.txt: a pipe; expected a review");
  fs::create_directory(folder / "neg/3.txt");
  refused("neg/3.txt: a folder; expected a review");
  fs::create_symlink("/dev/null", folder / "neg/3.txt");
  refused("neg/3.txt: a link to /dev/null, which is not a regular file");
  fs::remove_all(folder / "neg");
  folder.write("neg", "");
  refused("neg: not a folder; expected {pos,neg}/*.txt");
}

TEST_CASE("reviews come in turn, short ones are skipped and counted") {
  const TemporaryFolder folder;
  folder.write("pos/a.txt", "good film good end");
  folder.write("pos/b.txt", "too short");
  folder.write("pos/c.txt", "a fine film indeed");
  folder.write("pos/notes.md", "this is not a review at all");
  folder.write("neg/z.txt", "bad film bad end");
  const TextProblem made = make_text_problem(read_reviews(folder / "", 3), {.samples = 3, .embedding = 8});
  const Problem& p = made.problem;
  CHECK(p.sources == std::vector<std::string>{"pos/a.txt", "neg/z.txt", "pos/c.txt"});
  CHECK(made.too_short == 1);
  CHECK(made.unused == 0);
  CHECK(made.words == 5);  // good film bad a fine
  CHECK(p.token_text ==
        std::vector<std::string>{"good", "film", "good", "bad", "film", "bad", "a", "fine", "film"});
  const Vector<double> expected_Y{{1, 1, 1, -1, -1, -1, 1, 1, 1}};
  CHECK(p.data.Y.col(0) == expected_Y);

  // x = word + position
  const auto word = [&](Index row) {
    Vector<double> x = p.data.X.row(row).transpose();
    for (Index c = 0; c < 8; ++c) {
      const double angle = static_cast<double>(row % 3) / std::pow(1e4, 2 * static_cast<double>(c / 2) / 8);
      x[c] -= c % 2 == 0 ? std::sin(angle) : std::cos(angle);
    }
    return x;
  };
  CHECK(word(1).isApprox(word(4), 1e-14));  // film, twice
  CHECK(word(1).isApprox(word(8), 1e-14));  // film at another position
  CHECK_FALSE(word(0).isApprox(word(3), 1e-3));

  // A word keeps its embedding in another corpus.
  folder.write("other/pos/1.txt", "film it is");
  folder.write("other/neg/1.txt", "no film here");
  const Problem other =
      make_text_problem(read_reviews(folder / "other", 3), {.samples = 2, .embedding = 8}).problem;
  Vector<double> film = other.data.X.row(0).transpose();
  for (Index c = 1; c < 8; c += 2) film[c] -= 1;  // position 0
  CHECK(film.isApprox(word(1), 1e-14));
  CHECK_FALSE(
      make_text_problem(read_reviews(folder / "other", 3), {.samples = 2, .embedding = 8, .data_seed = 1})
          .problem.data.X.isApprox(other.data.X));
}

TEST_CASE("files that are not UTF-8 are taken for Windows-1252, and counted") {
  const TemporaryFolder folder;
  folder.write("pos/1.txt", "caf\xe9 noir");
  folder.write("neg/1.txt", "caf\xc3\xa9 noir");
  const Reviews reviews = read_reviews(folder / "", 2);
  const TextProblem made = make_text_problem(reviews, {.samples = 2});
  CHECK(reviews.guessed == 1);
  CHECK_THAT(reviews.first_guessed, Catch::EndsWith("pos/1.txt"));
  CHECK(made.problem.token_text[0] == "caf\xc3\xa9");
  CHECK(made.words == 2);
}

TEST_CASE("missing, empty and too small folders are refused") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(make_text_problem(read_reviews(folder / "nowhere", 16), {}),
                    Catch::EndsWith("no such folder; expected one with {pos,neg}/*.txt"));
  CHECK_THROWS_WITH(make_text_problem(read_reviews(folder / "", 16), {}),
                    Catch::EndsWith("pos: no such folder; expected {pos,neg}/*.txt"));
  folder.write("pos/x.md", "");
  folder.write("neg/x.txt", "one two three");
  CHECK_THROWS_WITH(make_text_problem(read_reviews(folder / "", 16), {}),
                    Catch::EndsWith("pos: no .txt file; expected {pos,neg}/*.txt"));
  folder.write("pos/x.txt", "one two three");
  CHECK_THROWS_WITH(
      make_text_problem(read_reviews(folder / "", 3), {.samples = 3}),
      Catch::EndsWith("found 2 reviews of at least n = 3 words (0 are shorter), expected N = 3"));
  CHECK_THROWS_AS(make_text_problem(read_reviews(folder / "", 30), {.samples = 0}), InputError);
  CHECK(make_text_problem(read_reviews(folder / "", 3), {.samples = 0}).problem.data.samples == 2);
}

TEST_CASE("reviews as bytes: cut, padded, masked, in turn") {
  using namespace std::string_literals;
  const TemporaryFolder folder;
  folder.write("pos/2.txt", "ab\xff");
  folder.write("pos/1.txt", "\0z"s);
  folder.write("pos/3.txt", "");
  folder.write("neg/1.txt", "abcdef");
  const ByteReviews reviews = read_byte_reviews(folder / "", 4, 0);
  CHECK(reviews.samples == 3);
  CHECK(reviews.sources == std::vector<std::string>{"pos/1.txt", "neg/1.txt", "pos/2.txt"});
  Vector<double> ids(12), mask(12), labels(3);
  ids << 1, 'z' + 1, 0, 0, 'a' + 1, 'b' + 1, 'c' + 1, 'd' + 1, 'a' + 1, 'b' + 1, 256, 0;
  mask << 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0;
  labels << 1, 0, 1;
  CHECK(reviews.ids == ids);
  CHECK(reviews.mask == mask);
  CHECK(reviews.labels == labels);
  CHECK((reviews.cut == 1 && reviews.padded == 2 && reviews.empty == 1 && reviews.unused == 0));
  CHECK(read_byte_reviews(folder / "", 4, 2).unused == 1);
  CHECK_THROWS_WITH(read_byte_reviews(folder / "", 4, 4), Catch::Contains("found 3 reviews, expected N = 4"));
  CHECK_THROWS_AS(read_byte_reviews(folder / "", 0, 1), InputError);
  CHECK_THROWS_AS(read_byte_reviews(folder / "pos", 4, 1), InputError);
}
