#include "common/command/shares.h"

#include <catch2/catch.hpp>
#include <iostream>

#include "basin/linalg/errors.h"
#include "support/temporary_folder.h"

using namespace basin;
using namespace basin::test;
using namespace basin::tools;

namespace {

const SharedWork kDraws = {"draw", [](Index i) { return "draw " + std::to_string(i) + " at D = 8"; }};

using Pieces = std::vector<Index>;
using Words = std::vector<std::string>;

/// The files that "tool merge WORDS" names.
Words joined(const Words& words) {
  std::vector<const char*> argv = {"tool", "merge"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  Command command({"tool merge", "joins", "", "", ""}, static_cast<int>(argv.size()), argv.data(), 2);
  return files_to_join(command, "shares", "PART.h5");
}

/// What is written to the standard output meanwhile.
class Printed {
 public:
  Printed() : before_(std::cout.rdbuf(text_.rdbuf())) {}
  ~Printed() { std::cout.rdbuf(before_); }
  Printed(const Printed&) = delete;
  Printed& operator=(const Printed&) = delete;
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::streambuf* before_;
};

}  // namespace

TEST_CASE("all arguments of merge are files to join, in their order") {
  const TemporaryFolder folder;
  const std::string output = folder / "whole.h5", a = folder / "a.h5", b = folder / "b.h5";
  CHECK(joined({b, a, "-o", output}) == Words{b, a});
  CHECK(joined({a, "-o", output, b, "--quiet", a}) == Words{a, b, a});
  CHECK(joined({"--shares", a, "-o", output}) == Words{a});
  CHECK_THROWS_AS(joined({"-o", output}), po::error);
  CHECK_THROWS_AS(joined({a, b}), InputError);  // no output
  CHECK_THROWS_AS(joined({a, "--part", "1/2", "-o", output}), po::error);
  const Printed printed;
  CHECK(joined({"--help"}).empty());
  CHECK_THAT(printed.text(), Catch::Contains("--shares PART.h5") && Catch::Contains("the files to join"));
  CHECK(joined({a, "--version"}).empty());
}

TEST_CASE("shares have every piece once") {
  CHECK(pieces_of_share(kDraws, {1, 0, 0, 0}, "b.h5", {0, 1, 0, 1}) == Pieces{1, 3});
  CHECK(pieces_of_share(kDraws, {0, 0, 0}, "b.h5", {1, 1, 1}) == Pieces{0, 1, 2});
  CHECK(pieces_of_share(kDraws, {1, 1, 0}, "b.h5", {0, 0, 0}).empty());
  CHECK(pieces_of_share(kDraws, {}, "b.h5", {}).empty());
  CHECK_THROWS_AS(pieces_of_share(kDraws, {1}, "b.h5", {1}), InputError);
  // The first that is there twice is named, and where it is.
  CHECK_THROWS_WITH(pieces_of_share(kDraws, {0, 0, 1, 1}, "b.h5", {0, 1, 1, 1}),
                    "b.h5: draw 2 at D = 8 is in a file before it, too; expected every draw once");
}

TEST_CASE("shares together have all pieces") {
  CHECK_NOTHROW(check_complete(kDraws, {1, 1}));
  CHECK_NOTHROW(check_complete(kDraws, {}));
  CHECK_THROWS_AS(check_complete(kDraws, {0}), InputError);
  CHECK_THROWS_WITH(check_complete(kDraws, {1, 0, 1, 0}),
                    "the files leave out 2 of 4 draws, the first: draw 1 at D = 8");
  CHECK_THROWS_WITH(check_complete(kDraws, {0, 0, 1}), Catch::Contains("2 of 3 draws, the first: draw 0 at"));
}

TEST_CASE("a part of other work is refused, with the file, the first and what differs") {
  const Specification whole = {{"repeats", "30"}, {"seed", "1"}};
  CHECK_NOTHROW(check_same_work("b.h5", whole, "a.h5", whole, "another sweep"));
  CHECK_NOTHROW(check_same_work("b.h5", {}, "a.h5", {}, "another sweep"));
  CHECK_THROWS_AS(check_same_work("b.h5", {}, "a.h5", whole, "another sweep"), InputError);
  CHECK_THROWS_WITH(
      check_same_work("b.h5", {{"repeats", "20"}, {"seed", "1"}}, "a.h5", whole, "another sweep"),
      "b.h5: of another sweep than a.h5 (repeats = 20 there, 30 here)");
  // A setting that one of them has alone.
  CHECK_THROWS_WITH(check_same_work("b.h5", {{"repeats", "30"}}, "a.h5", whole, "another slice"),
                    "b.h5: of another slice than a.h5 (seed = nothing there, 1 here)");
  CHECK_THROWS_WITH(
      check_same_work("b.h5", {{"repeats", "30"}, {"seed", "1"}, {"x", "y"}}, "a.h5", whole, "another slice"),
      "b.h5: of another slice than a.h5 (x = y there, nothing here)");
}
