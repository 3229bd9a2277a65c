#include "problem/text.h"

#include <catch2/catch.hpp>

#include "linalg/errors.h"
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

TEST_CASE("files that are not UTF-8 are taken for Latin-1") {
  const TemporaryFolder folder;
  folder.write("pos/1.txt", "caf\xe9 noir");
  folder.write("neg/1.txt", "caf\xc3\xa9 noir");
  const TextProblem made = make_text_problem(read_reviews(folder / "", 2), {.samples = 2});
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
