#include "basin/model/row_copies.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/model/linearization.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

Architecture language(bool causal) {
  return {.input = {4, 0},
          .vocabulary = 5,
          .layers = {{"embedding", {{"width", Index{6}}, {"vocabulary", Index{5}}}},
                     {"positions"},
                     {"attention", {{"heads", Index{2}}, {"head-dim", Index{3}}, {"causal", causal}}},
                     {"activation", {{"function", "tanh"}}},
                     {"linear", {{"outputs", Index{3}}}, "head"}},
          .loss = {"cross-entropy", {}}};
}

ModelPoint<double> point_of(const Architecture& a, const std::vector<std::int32_t>& ids) {
  const auto all = blocks(a);
  const auto model = build<double>(a, matching_blocks({"*"}, all));
  Data<double> data = {
      static_cast<Index>(ids.size()) / 4, Matrix<double>(static_cast<Index>(ids.size()), 0), {}};
  data.ids = ids;
  data.labels.assign(static_cast<std::size_t>(data.samples * model->network().output().tokens), 1);
  return {model, random_vectors(model->parameters().weight_count(), 1, 7),
          std::make_shared<Data<double>>(data)};
}

/// Different rows of J, to rounding.
Index different_rows(const ModelPoint<double>& point) {
  const Vectors<double> Jt = point.linearize().jacobian_transposed();
  const Index width = point.model->network().output().width, rows = Jt.cols() / width;
  Index different = 0;
  for (Index i = 0; i < rows; ++i) {
    bool copy = false;
    for (Index j = 0; j < i; ++j)
      copy = copy ||
             (Jt.middleCols(width * i, width) - Jt.middleCols(width * j, width)).norm() < 1e-12 * Jt.norm();
    if (!copy) ++different;
  }
  return different;
}

}  // namespace

TEST_CASE("rows of outputs are copies where samples, or in causal networks their beginnings, are the same") {
  const std::vector<std::int32_t> ids = {1, 2, 3, 4, 1, 2, 0, 4, 2, 2, 3, 4, 1, 2, 3, 4};
  const ModelPoint<double> causal = point_of(language(true), ids), full = point_of(language(false), ids);
  // 4 of the first sample, 2 more of the second, 4 of the third, none of the last
  CHECK(distinct_rows(causal, {}) == 10);
  CHECK(different_rows(causal) == 10);
  CHECK(distinct_rows(full, {}) == 12);
  CHECK(different_rows(full) == 12);
  // the first and second token of the second sample count no more, which are copies in a causal network
  const Mask counting = {1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  CHECK(distinct_rows(causal, counting) == 10);
  CHECK(distinct_rows(full, counting) == 10);

  Architecture pooled = language(true);
  pooled.layers.insert(pooled.layers.end() - 1, {"pool"});
  CHECK(distinct_rows(point_of(pooled, ids), {}) == 3);
  CHECK(different_rows(point_of(pooled, ids)) == 3);
}

TEST_CASE("types, masks and numbers make inputs differ") {
  ModelPoint<double> point = point_of(language(false), {1, 2, 3, 4, 1, 2, 3, 4});
  CHECK(distinct_rows(point, {}) == 4);
  Data<double> data = *point.data;
  data.mask = {1, 1, 1, 1, 1, 1, 1, 0};
  point.data = std::make_shared<Data<double>>(data);
  CHECK(distinct_rows(point, {}) == 8);
  data.mask.clear();
  data.types = {0, 0, 0, 0, 1, 0, 0, 0};
  point.data = std::make_shared<Data<double>>(data);
  CHECK(distinct_rows(point, {}) == 8);
}
