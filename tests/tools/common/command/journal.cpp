#include "common/command/journal.h"

#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <limits>

#include "basin/linalg/errors.h"
#include "support/temporary_folder.h"

using namespace basin;
using namespace basin::test;
using namespace basin::tools;
using Catch::Matchers::Contains;

namespace {

const Specification kWork = {{"repeats", "20"}, {"axis 1", "embedding=1,2"}, {"folder", ""}};
const std::vector<double> kFirst = {0.1, -5e-324, 1.7976931348623157e308},
                          kSecond = {kInfinity, std::nan(""), -0.0};

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void replace_contents(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

/// A journal with two records, numbers 3 and 7.
std::string two_records(const TemporaryFolder& folder) {
  const std::string path = folder / "x.journal";
  Journal journal(path, kWork, 3, false);
  journal.append(3, kFirst);
  journal.append(7, kSecond);
  return path;
}

}  // namespace

TEST_CASE("records come back bit for bit, and the file goes when the work is done") {
  const TemporaryFolder folder;
  const std::string path = two_records(folder);
  Journal journal(path, kWork, 3, true);
  REQUIRE(journal.records().size() == 2);
  CHECK(journal.damaged() == 0);
  CHECK(journal.records().at(3) == kFirst);
  CHECK(journal.records().at(7)[0] == kInfinity);
  CHECK(std::isnan(journal.records().at(7)[1]));
  CHECK(std::signbit(journal.records().at(7)[2]));
  journal.remove();
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a journal torn anywhere keeps its whole lines, and can be gone on with") {
  const TemporaryFolder folder;
  const std::string path = two_records(folder), whole = contents(path);
  const std::size_t second = whole.rfind('\n', whole.size() - 2) + 1,
                    first = whole.rfind('\n', second - 2) + 1;
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    INFO(size);
    replace_contents(path, whole.substr(0, size));
    {
      Journal journal(path, kWork, 3, true);
      CHECK(journal.damaged() == 0);
      CHECK(journal.records().size() == (size == whole.size() ? 2 : size >= second ? 1 : 0));
      journal.append(9, kFirst);
    }
    Journal again(path, kWork, 3, true);
    CHECK(again.records().count(9) == 1);
    CHECK(again.records().count(3) == (size >= second ? 1 : 0));
    CHECK(again.damaged() == 0);
  }
  CHECK(first < second);
}

TEST_CASE("a line with any byte changed does not count") {
  const TemporaryFolder folder;
  const std::string path = two_records(folder), whole = contents(path);
  const std::size_t second = whole.rfind('\n', whole.size() - 2) + 1;
  const std::size_t first = whole.rfind('\n', second - 2) + 1;
  for (std::size_t place = first; place + 1 < second; ++place) {
    INFO(place);
    std::string changed = whole;
    changed[place] ^= 1;
    if (changed[place] == '\n') continue;  // two lines then
    replace_contents(path, changed);
    const Journal journal(path, kWork, 3, true);
    CHECK(journal.damaged() == 1);
    CHECK(journal.records().count(3) == 0);
    CHECK(journal.records().count(7) == 1);
  }
}

TEST_CASE("a damaged beginning is refused") {
  const TemporaryFolder folder;
  const std::string path = two_records(folder), whole = contents(path);
  const std::size_t end = whole.find('\n', whole.find("specification"));
  for (std::size_t place = 0; place < end; ++place) {
    INFO(place);
    std::string changed = whole;
    changed[place] ^= 1;
    replace_contents(path, changed);
    CHECK_THROWS_AS(Journal(path, kWork, 3, true), InputError);
    CHECK(contents(path) == changed);
  }
  replace_contents(path, "notes of mine\n");
  CHECK_THROWS_WITH(Journal(path, kWork, 3, true), Contains("found no journal"));
  CHECK(contents(path) == "notes of mine\n");
}

TEST_CASE("other work, no --resume, and a run that is still going are refused") {
  const TemporaryFolder folder;
  const std::string path = two_records(folder);
  CHECK_THROWS_WITH(Journal(path, kWork, 3, false), Contains("--resume"));
  Specification other = kWork;
  other[0].second = "30";
  CHECK_THROWS_WITH(Journal(path, other, 3, true), Contains("(repeats = 20 there, 30 here)"));
  Journal going(path, kWork, 3, true);
  CHECK_THROWS_WITH(Journal(path, kWork, 3, true), Contains("in use by another run"));
}

TEST_CASE("the first difference of specifications") {
  CHECK(first_difference(kWork, kWork).empty());
  CHECK(first_difference({{"a", "1"}}, {{"a", "1"}, {"b", "2"}}) == "b = nothing there, 2 here");
  CHECK(first_difference({{"a", "1"}, {"b", "2"}}, {{"a", "1"}}) == "b = 2 there, nothing here");
  CHECK(first_difference({{"a", "1"}, {"b", "2"}}, {{"b", "3"}, {"a", "4"}}) == "b = 2 there, 3 here");
  CHECK(parse_specification(specification_text(kWork)) == kWork);
}

TEST_CASE("a record that does not fit on the disk is an error") {
  const TemporaryFolder folder;
  const std::string path = two_records(folder);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit tight = {std::filesystem::file_size(path) + 10, before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &tight);
  {
    Journal journal(path, kWork, 3, true);
    CHECK_THROWS_WITH(journal.append(8, kFirst), Contains("x.journal: cannot be written: File too large"));
  }
  setrlimit(RLIMIT_FSIZE, &before);
  CHECK(Journal(path, kWork, 3, true).records().size() == 2);
}
