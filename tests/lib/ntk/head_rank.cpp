#include "basin/ntk/head_rank.h"

#include <catch2/catch.hpp>

#include "basin/linalg/random.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("the rank of J behind a narrow head: reached at random weights, never passed") {
  Random random(11, "heads");
  for (int draw = 0; draw < 60; ++draw) {
    const auto some = [&](Index least, Index most) {
      return least + static_cast<Index>(random.uniform() * static_cast<double>(most - least + 1));
    };
    const Index D = some(1, 6), C = some(2, 6), n = some(1, 3), N = some(1, 4);
    const bool labels = random.uniform() < 0.5, bias = random.uniform() < 0.5;
    const Architecture a = {.input = {n, 5},
                            .layers = {{"linear", {{"outputs", Index{20}}}, "in"},
                                       {"activation", {{"function", "tanh"}}},
                                       {"linear", {{"outputs", D}}, "narrow"},
                                       {"linear", {{"outputs", C}, {"bias", bias}}, "head"}},
                            .loss = {labels ? "cross-entropy" : "squared", {}}};
    const auto model = build<double>(a, matching_blocks({"*"}, blocks(a)));
    Data<double> data = {N, random_vectors(N * n, 5, static_cast<unsigned>(draw)), {}};
    if (labels)
      data.labels.assign(static_cast<std::size_t>(N * n), 0);
    else
      data.Y = Matrix<double>::Zero(N * n, C);
    const ModelPoint<double> x = {model, random_vectors(model->parameters().weight_count(), 1, 3),
                                  std::make_shared<Data<double>>(data)};
    const Linearization<double> at = x.linearize();
    const TrainedJacobian J(at, 1e9);
    std::vector<std::vector<std::string>> sets = {
        {"in.W", "in.b", "narrow.W"}, {"head.W"}, {"in.W", "head.W"}};
    if (bias) sets.push_back({"in.W", "narrow.b", "head.b"});
    sets.push_back(at.parameters().trained());
    for (const KernelRows rows : {KernelRows::all, KernelRows::centred}) {
      const std::vector<NtkSpectrum> found = J.spectra(sets, rows);
      for (std::size_t s = 0; s < sets.size(); ++s) {
        const Index most = *most_rank_behind_head(at, sets[s], rows);
        INFO("D " << D << ", C " << C << ", rows " << N * n << ", set " << s);
        if (s == 1) continue;  // the head alone moves z by less than what lies below could
        // as many parameters as it takes
        const Index expected = std::min({most, found[s].parameters, found[s].size()});
        CHECK(found[s].rank() <= most);
        if (s + 1 == sets.size() || s == 0) CHECK(found[s].rank() == expected);
      }
    }
  }
}

TEST_CASE("tied heads, and networks that end otherwise") {
  const Architecture tied = {
      .input = {3, 0},
      .vocabulary = 7,
      .layers = {{"embedding", {{"width", Index{2}}, {"vocabulary", Index{7}}}},
                 {"positions"},
                 {"linear",
                  {{"outputs", Index{7}}, {"bias", false}, {"weight.tied", "embedding.E"}},
                  "head"}},
      .loss = {"cross-entropy", {}}};
  const auto model = build<double>(tied, matching_blocks({"*"}, blocks(tied)));
  Data<double> data = {2, Matrix<double>(6, 0), {}};
  data.ids = {0, 1, 2, 3, 4, 5};
  data.labels = {0, 1, 2, 3, 4, 5};
  const ModelPoint<double> x = {model, random_vectors(20, 1, 3), std::make_shared<Data<double>>(data)};
  const Linearization<double> at = x.linearize();
  CHECK(*most_rank_behind_head(at, {"embedding.E", "positions.Pos"}, KernelRows::all) == 6 * 2 + 2 * 5);
  CHECK(*most_rank_behind_head(at, {"positions.Pos"}, KernelRows::all) == 6 * 2);
  CHECK(*most_rank_behind_head(at, {"positions.Pos"}, KernelRows::centred) == 6 * 2);
  Architecture other = tied;
  other.layers.push_back({"activation", {{"function", "tanh"}}});
  const auto ends_otherwise = build<double>(other, matching_blocks({"*"}, blocks(other)));
  const Linearization<double> there = ModelPoint<double>{ends_otherwise, x.weights, x.data}.linearize();
  CHECK_FALSE(most_rank_behind_head(there, {"positions.Pos"}, KernelRows::all).has_value());
}
