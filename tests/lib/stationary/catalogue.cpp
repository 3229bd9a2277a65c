#include "basin/stationary/catalogue.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "basin/single_layer/head_signatures.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

/// An item whose function is that of a model with these weights moved by so much.
CatalogueItem item(PointKind kind, double loss, std::uint64_t point, double move = 0, Index negative = 0) {
  const Case c = {"catalogue", 2, 3, 4, 2, 2, 2};
  const ModelPoint<double> x = make_instance(c, point);
  const Vector<double> weights =
      x.weights + move * random_vectors(x.weights.size(), 1, 9).col(0).normalized();
  return {kind, negative, 0, loss, 1e-12, attention_signature(x.at_weights(weights))};
}

const auto strict = PointKind::strict_minimum, saddle = PointKind::saddle;

}  // namespace

TEST_CASE("the same point is one entry with a count; entries stand by their loss") {
  const std::vector<CatalogueItem> items = {item(strict, 2, 1),
                                            item(strict, 1, 2),
                                            item(strict, 2, 1, 1e-9),
                                            item(saddle, 3, 3, 0, 1),
                                            item(PointKind::not_stationary, 0.5, 4),
                                            item(saddle, 3, 3, 0, 2)};
  const Catalogue c = make_catalogue(items, std::nullopt);
  REQUIRE(c.entries.size() == 4);
  CHECK(c.entry_of == std::vector<Index>{1, 0, 1, 2, -1, 3});
  CHECK(c.entries[1].members == std::vector<Index>{0, 2});
  CHECK(c.entries[1].spread > 0);
  CHECK(c.entries[1].spread < 1e-7);
  CHECK(c.entries[1].nearest > 0.1);
  CHECK(std::isinf(c.entries[2].nearest));  // another index is another kind
}

TEST_CASE("what is lower than a minimum makes it suboptimal, whatever it is itself") {
  for (const PointKind lower :
       {strict, saddle, PointKind::degenerate, PointKind::valley, PointKind::not_stationary}) {
    const Catalogue c = make_catalogue({item(strict, 2, 1), item(lower, 1, 2)}, std::nullopt);
    CHECK(c.verdicts[0] == Verdict::suboptimal_minimum);
    CHECK(c.lowest == 1);
    CHECK_FALSE(c.lowest_known);
  }
  const Catalogue alone =
      make_catalogue({item(strict, 2, 1), item(PointKind::not_finite, 1, 2)}, std::nullopt);
  CHECK(alone.verdicts[0] == Verdict::best_minimum);
  const Catalogue within = make_catalogue({item(strict, 2, 1), item(strict, 2 - 1e-13, 2)}, std::nullopt);
  CHECK(within.verdicts[0] == Verdict::best_minimum);
}

TEST_CASE("a known minimum, and zero loss, decide") {
  const Catalogue given =
      make_catalogue({item(strict, 2, 1), item(PointKind::degenerate, 1, 2), item(strict, 1, 3)}, 1);
  CHECK(given.verdicts ==
        std::vector{Verdict::suboptimal_minimum, Verdict::global_minimum, Verdict::global_minimum});
  const Catalogue zero =
      make_catalogue({item(strict, 2, 1), item(PointKind::zero_loss, 1e-31, 2)}, std::nullopt);
  CHECK(zero.verdicts == std::vector{Verdict::suboptimal_minimum, Verdict::global_minimum});
  CHECK(zero.lowest == 0);
  CHECK(zero.lowest_known);
  // a value that is not the minimum
  const Catalogue wrong = make_catalogue({item(strict, 2, 1), item(strict, 1, 2)}, 1.5);
  CHECK(wrong.known_refuted);
  CHECK_FALSE(wrong.lowest_known);
  CHECK(wrong.verdicts == std::vector{Verdict::suboptimal_minimum, Verdict::best_minimum});
  const Catalogue wrong_zero = make_catalogue({item(PointKind::zero_loss, 0, 1)}, 1.5);
  CHECK(wrong_zero.known_refuted);
  CHECK(wrong_zero.lowest == 0);
  CHECK(wrong_zero.lowest_known);
}

TEST_CASE("points of a continuum are one entry by their outputs") {
  CatalogueItem a = item(PointKind::zero_loss, 0, 1), b = a;
  b.function.heads[0].S *= 1.5;  // elsewhere on the manifold of zero loss
  CHECK(make_catalogue({a, b}, std::nullopt).entries.size() == 1);
  for (const PointKind kind : {strict, saddle}) {
    a.kind = b.kind = kind;
    CHECK(make_catalogue({a, b}, std::nullopt).entries.size() == 2);
  }
  a.zero = b.zero = 1;  // saddles, still
  CHECK(make_catalogue({a, b}, std::nullopt).entries.size() == 1);
  b.zero = 0;
  CHECK(make_catalogue({a, b}, std::nullopt).entries.size() == 2);
}

TEST_CASE("what does not contribute, and what is not decided, makes no other point") {
  CatalogueItem a = item(strict, 1, 1);
  a.function.heads[1].S *= 1e-30;  // a head of vanished attention
  std::vector<CatalogueItem> items;
  for (int k = 0; k < 6; ++k) {
    items.push_back(a);
    items.back().function.heads[1].V.setRandom();
  }
  CHECK(make_catalogue(items, std::nullopt).entries.size() == 1);
  // a saddle whose last eigenvalue is decided in one copy, and not in the other
  CatalogueItem b = item(saddle, 3, 3, 0, 2), c = item(saddle, 3, 3, 1e-9, 1);
  CHECK_FALSE(same_point(b, c));
  c.zero = c.doubtful = 1;
  CHECK(same_point(b, c));
  b.negative = 3;
  CHECK_FALSE(same_point(b, c));
}

TEST_CASE("points that are known less well than the tolerance may differ by their errors") {
  CatalogueItem a = item(strict, 1, 1), b = item(strict, 1, 1, 1e-4);
  CHECK_FALSE(same_point(a, b));
  b.function_error = 1e-2;
  CHECK(same_point(a, b));
  CHECK(make_catalogue({a, b}, std::nullopt).entries.size() == 1);
  // but no further than 1e-3, and not with another loss
  CatalogueItem far = item(strict, 1, 1, 1e-1);
  far.function_error = 1;
  CHECK_FALSE(same_point(a, far));
  b.loss += 1e-10;
  CHECK_FALSE(same_point(a, b));
  b.loss_error = 1e-9;
  CHECK(same_point(a, b));
}

TEST_CASE("all ways to the infimum are one entry, other valleys by their outputs") {
  CatalogueItem a = item(PointKind::valley, 1e-3, 1), b = item(PointKind::valley, 1e-9, 2), c = b, d = a;
  a.to_infimum = b.to_infimum = true;
  const Catalogue found = make_catalogue({a, b, c, d}, std::nullopt);
  REQUIRE(found.entries.size() == 3);
  CHECK(found.entry_of[0] == found.entry_of[1]);
  CHECK(found.verdicts ==
        std::vector{Verdict::global_valley, Verdict::global_valley, Verdict::valley, Verdict::valley});
}

TEST_CASE("an entry is shown by its lowest loss, to the error of that") {
  CatalogueItem first = item(PointKind::valley, 1, 1), lower = item(PointKind::valley, 0.5, 2),
                same = item(PointKind::valley, 0.5 - 1e-13, 3), other = item(strict, 0.7, 4);
  first.to_infimum = lower.to_infimum = same.to_infimum = true;
  const Catalogue c = make_catalogue({first, other, lower, same}, std::nullopt);
  REQUIRE(c.entries.size() == 2);
  CHECK(c.entries[0].members == std::vector<Index>{0, 2, 3});
  CHECK(c.entries[0].shown == 2);
  CHECK(c.entries[1].shown == 1);
}

TEST_CASE("an empty catalogue is one") {
  const Catalogue c = make_catalogue({}, std::nullopt);
  CHECK(c.entries.empty());
  CHECK(std::isnan(c.lowest));
}
