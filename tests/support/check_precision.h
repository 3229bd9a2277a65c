/// Holds the rules of a plain layer to the same rules in long double.
#pragma once

#include <catch2/catch.hpp>

#include "basin/network/layer.h"
#include "support/cases.h"

namespace basin::test {

/// All that the four rules give at one point for k = 2 directions: y, dy, xbar, wbar, dxbar, dwbar.
struct LayerRules {
  template <class S>
  using Arrays = std::vector<Vector<S>>;

  template <class S>
  static Arrays<S> at(const Layer<S>& layer, Index samples, const Context& context, std::uint64_t seed) {
    constexpr Index k = 2;
    std::vector<ParameterBlock> blocks = layer.blocks();
    const bool has_blocks = !blocks.empty();
    if (!has_blocks) blocks.push_back({"none", {1}});  // so that theta is not empty
    std::vector<std::string> names;
    for (const ParameterBlock& b : blocks) names.push_back(b.name);
    const ParameterLayout layout(blocks, names);
    const Shape in = layer.input(), out = layer.output();
    const Index P = layout.theta_size(), rows = samples * in.tokens, out_rows = samples * out.tokens;
    // The same numbers in any precision: those of double.
    Random random(seed, "check_precision");
    const auto draw = [&](Index size, Index count) {
      Vectors<double> v(size, count);
      random.fill_normal(v);
      return Vectors<S>(v.template cast<S>());
    };
    const Vectors<S> weights = draw(P, 1), x = draw(rows * in.width, 1), ybar = draw(out_rows * out.width, 1);
    const Vectors<S> dw = draw(P, k), dx = draw(x.size(), k), dybar = draw(ybar.size(), k);

    using Const = BatchView<const S>;
    const BlockView<const S> w(weights.data(), 1, P, layout.weight_slots());
    const BlockView<const S> dw_view(dw.data(), k, P, layout.theta_slots());
    Saved<S> value, tangent, adjoint;
    Batch<S> y, dy, xbar, dxbar;
    Vectors<S> wbar = Vectors<S>::Zero(P, 1), dwbar = Vectors<S>::Zero(P, k);
    value.context = context;
    layer.value(w, Const(x.data(), 1, rows, in.width), value, y);
    layer.tangent(w, value, Const(dx.data(), k, rows, in.width), dw_view, tangent, dy);
    layer.adjoint(w, value, Const(ybar.data(), 1, out_rows, out.width), adjoint,
                  BlockView<S>(wbar.data(), 1, P, layout.theta_slots()), &xbar);
    layer.tangent_of_adjoint(w, value, adjoint, tangent, dw_view, Const(dybar.data(), k, out_rows, out.width),
                             BlockView<S>(dwbar.data(), k, P, layout.theta_slots()), &dxbar);
    Arrays<S> all;
    for (const Batch<S>* b : {&y, &dy, &xbar, &dxbar})
      for (Index j = 0; j < b->count(); ++j)
        all.push_back(Eigen::Map<const Vector<S>>((*b)[j].data(), (*b)[j].size()));
    for (const Vectors<S>* v : {&wbar, &dwbar})
      if (has_blocks)
        for (Index j = 0; j < v->cols(); ++j) all.push_back(v->col(j));
    return all;
  }
};

/// A layer in double against the same one in long double: what a rule loses is a few units of rounding, as
/// long as nothing cancels. tolerance: relative, of each array as a whole.
inline void check_precision(const Layer<double>& layer, const Layer<long double>& exact, Index samples,
                            const Context& context = {}, double tolerance = 1e-13, std::uint64_t seed = 1) {
  const auto found = LayerRules::at(layer, samples, context, seed);
  const auto expected = LayerRules::at(exact, samples, context, seed);
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    REQUIRE(found[i].size() == expected[i].size());
    const long double error = (found[i].cast<long double>() - expected[i]).norm();
    CAPTURE(i);
    CHECK(static_cast<double>(error) <= tolerance * static_cast<double>(expected[i].norm()));
    if (expected[i].size() == 0) continue;
    CHECK(expected[i].norm() > 0);  // zeros would agree
    CHECK(error > 0);               // another precision, and not the same one under another name
  }
}

}  // namespace basin::test
