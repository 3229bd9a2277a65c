#include "basin/linalg/tree_sum.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <stdexcept>

#include "basin/linalg/random.h"

using namespace basin;

namespace {

/// The definition: groups in order, then the tree by recursion over ranges of leaves.
Vectors<double> reference(const std::vector<Vectors<double>>& terms) {
  const Groups groups(static_cast<Index>(terms.size()));
  std::vector<Vectors<double>> level;
  for (Index g = 0; g < groups.count(); ++g) {
    Vectors<double> sum = Vectors<double>::Zero(terms[0].rows(), terms[0].cols());
    for (Index i = groups.first(g); i < groups.end(g); ++i) sum += terms[i];
    level.push_back(sum);
  }
  while (level.size() > 1) {
    std::vector<Vectors<double>> next;
    for (std::size_t i = 0; i < level.size(); i += 2)
      next.push_back(i + 1 < level.size() ? Vectors<double>(level[i] + level[i + 1]) : level[i]);
    level = next;
  }
  return level[0];
}

}  // namespace

TEST_CASE("groups: consecutive, complete, at most 64 of them or 64 items in each") {
  for (const Index items : {1, 2, 63, 64, 65, 127, 128, 129, 1000, 4095, 4096, 4097, 100000}) {
    const Groups groups(items);
    CAPTURE(items, groups.count());
    CHECK((groups.count() <= 64 || groups.each == 64));
    CHECK(groups.first(0) == 0);
    for (Index g = 0; g < groups.count(); ++g) {
      CHECK(groups.end(g) > groups.first(g));
      CHECK(groups.end(g) == (g + 1 < groups.count() ? groups.first(g + 1) : items));
    }
  }
}

TEST_CASE("tree sums: the definition to the last bit, with any number of threads, and again") {
  const int before = omp_get_max_threads();
  Random random(1, "tree sums");
  for (const int threads : {1, 2, 7}) {
    omp_set_num_threads(threads);
    TreeSum<double> sum;
    for (const Index items : {1, 2, 3, 5, 6, 7, 63, 64, 65, 200, 5000})
      for (const Index k : {1, 3, 2}) {
        std::vector<Vectors<double>> terms(items, Vectors<double>(4, k));
        for (Vectors<double>& term : terms) random.fill_normal(term);
        const auto total = sum(items, 4, k, [&](Index i, Index, VectorsRef<double> to) { to += terms[i]; });
        CHECK(total == reference(terms));
        std::vector<double> first;
        for (const Vectors<double>& term : terms) first.push_back(term(0, 0));
        if (items <= 64) CHECK(tree_sum<double>(first) == total(0, 0));
      }
  }
  omp_set_num_threads(before);
}

TEST_CASE("tree sums of many terms lose less than sums in order") {
  // 1 + 2^-53 + 2^-53 + ...: in order nothing but the 1 is left, here the half of the tree that it is not in.
  std::vector<double> values(1 << 12, std::ldexp(1, -53));
  values[0] = 1;
  double in_order = 0;
  for (const double x : values) in_order += x;
  CHECK(in_order == 1);
  CHECK(tree_sum<double>(values) >= 1 + std::ldexp(1, -42));
  CHECK(tree_sum<double>({}) == 0);
}

TEST_CASE("tree sums: an exception comes out, and the next sum is right") {
  TreeSum<double> sum;
  const auto add = [](Index, Index, VectorsRef<double> to) { to.array() += 1; };
  CHECK_THROWS_WITH(sum(200, 3, 2,
                        [&](Index i, Index slot, VectorsRef<double> to) {
                          if (i == 150) throw std::runtime_error("item 150");
                          add(i, slot, to);
                        }),
                    "item 150");
  CHECK(sum(200, 3, 2, add) == Vectors<double>::Constant(3, 2, 200));
  CHECK(sum(7, 5, 1, add) == Vectors<double>::Constant(5, 1, 7));
}
