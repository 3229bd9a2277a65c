#include "common/spectrum/product_journal.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "basin/linalg/errors.h"
#include "support/known_matrix.h"
#include "support/temporary_folder.h"

using namespace basin;
using namespace basin::test;
using namespace basin::tools;
using Catch::Matchers::Contains;

namespace {

const Specification kProducts = {{"problem", "abc"}, {"smallest", "3"}};

Vectors<double> factors(Index k, std::uint64_t seed) {
  Vectors<double> V(20, k);
  Random(seed, "factors").fill_normal(V);
  return V;
}

/// The products of three blocks, with so many vectors computed by A itself.
std::vector<Vectors<double>> work(const MatrixOperator& A, const std::string& path) {
  ProductJournal journal(path, kProducts);
  const RecordedOperator recorded(A, journal, 7);
  std::vector<Vectors<double>> all;
  for (Index k = 1; k <= 3; ++k) {
    all.emplace_back(20, k);
    recorded.apply(factors(k, static_cast<std::uint64_t>(k)), all.back());
  }
  return all;
}

const Vector<double> kValues = Vector<double>::LinSpaced(20, -1, 2);

}  // namespace

TEST_CASE("products come back bit for bit, and are not computed again") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.journal";
  const MatrixOperator first(kValues), second(kValues);
  const auto computed = work(first, path), read = work(second, path);
  CHECK(first.products() == 6);
  CHECK(second.products() == 0);
  for (int k = 0; k < 3; ++k) CHECK(computed[k] == read[k]);
}

TEST_CASE("a file cut anywhere gives what was whole, and the rest is computed") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.journal", copy = folder / "y.journal";
  const auto expected = work(MatrixOperator(kValues), path);
  const auto size = static_cast<std::uintmax_t>(std::filesystem::file_size(path));
  Index least = 6;
  for (std::uintmax_t length = 0; length <= size; length += 41) {
    std::filesystem::copy_file(path, copy, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(copy, length);
    const MatrixOperator A(kValues);
    CAPTURE(length);
    const auto found = work(A, copy);
    for (int k = 0; k < 3; ++k) CHECK(found[k] == expected[k]);
    CHECK(A.products() <= 6);
    least = std::min(least, A.products());
    CHECK(std::filesystem::file_size(copy) == size);
  }
  CHECK(least < 6);
}

TEST_CASE("a damaged product is computed again") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.journal";
  const auto expected = work(MatrixOperator(kValues), path);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-200, std::ios::end);
    file.put('x');
  }
  const MatrixOperator A(kValues);
  CHECK(work(A, path)[2] == expected[2]);
  CHECK(A.products() == 3);
}

TEST_CASE("other factors or another operator are not taken for the recorded ones") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.journal";
  const MatrixOperator A(kValues);
  work(A, path);
  for (const std::uint64_t number : {7, 8}) {
    ProductJournal journal(path, kProducts);
    const MatrixOperator B(kValues);
    const RecordedOperator recorded(B, journal, number);
    Vectors<double> out(20, 1), expected(20, 1);
    const Vectors<double> V = factors(1, number == 7 ? 99 : 1);
    recorded.apply(V, out);
    B.apply(V, expected);
    CHECK(out == expected);
    CHECK(journal.replayed() == 0);
    CHECK(journal.computed() == 1);
  }
}

TEST_CASE("the journal of another run, a foreign file and one in use are refused in one line") {
  const TemporaryFolder folder;
  const std::string path = folder / "x.journal";
  work(MatrixOperator(kValues), path);
  CHECK_THROWS_WITH(ProductJournal(path, {{"problem", "abd"}, {"smallest", "3"}}),
                    Contains("the journal of another run (problem = abc there, abd here)"));
  {
    const ProductJournal held(path, kProducts);
    CHECK_THROWS_WITH(ProductJournal(path, kProducts), Contains("in use by another run"));
  }
  std::ofstream(path, std::ios::trunc) << "something else\n";
  CHECK_THROWS_WITH(ProductJournal(path, kProducts), Contains("found no journal of products"));
  CHECK_THROWS_AS(ProductJournal(folder / "no/where.journal", kProducts), InputError);
}
