/// Random problems of the kinds that are hard on rounding.
#pragma once

#include <cmath>

#include "basin/linalg/random.h"
#include "basin/model/linearization.h"
#include "basin/single_layer/attention_view.h"

namespace basin::test {

struct Draw {
  std::string name;  ///< family and number: draws it again
  AttentionSpec spec;
  ModelPoint<double> point;

  std::vector<std::string> trained() const { return point.parameters().trained(); }
};

inline const std::vector<std::string>& families() {
  static const std::vector<std::string> names = {
      "plain",         "mixed tokens",     "wild tokens",    "mixed features",  "offsets",
      "equal tokens",  "equal samples",    "near tokens",    "saturated",       "vanishing",
      "near keys",     "tiny weights",     "huge weights",   "deficient",       "zero blocks",
      "round numbers", "residual of zero", "large residual", "mixed reduction", "mixed weights"};
  return names;
}

/// Number `seed` of a family. `largest` limits m and (in thirds) P.
inline Draw make_draw(const std::string& family, std::uint64_t seed, Index largest = 16) {
  Random random(seed, "attack on bounds: " + family);
  const auto whole = [&](Index low, Index high) {
    return low + static_cast<Index>(random.uniform() * static_cast<double>(high - low + 1));
  };
  const auto decades = [&](double low, double high) {
    return std::pow(10.0, low + (high - low) * random.uniform());
  };
  const auto is = [&](const char* name) { return family == name; };
  Draw draw;
  draw.name = family + " " + std::to_string(seed);
  Index N = 0;
  AttentionSpec& s = draw.spec;
  do {
    N = whole(1, 3);
    s = {whole(1, 4), whole(1, 4), whole(1, 3), whole(1, 3), whole(1, 4)};
    if (is("mixed reduction")) N = 1, s.tokens = whole(1, 3), s.embedding = s.tokens + whole(1, 4);
    if (is("equal samples")) N = whole(2, 3);
    if (is("equal tokens") || is("near tokens") || is("mixed tokens"))
      s.tokens = std::max<Index>(2, s.tokens);
  } while (N * s.tokens * s.outputs > largest ||
           s.heads * s.head_dim * (3 * s.embedding + s.outputs) > 3 * largest);
  s.kernel = random.uniform() < 0.5 ? KernelKind::softmax : KernelKind::gaussian;
  if (is("saturated")) s.kernel = KernelKind::softmax;
  if (is("vanishing") || is("near keys")) s.kernel = KernelKind::gaussian;
  if (s.kernel == KernelKind::gaussian && random.uniform() < 0.5) s.bandwidth = decades(-0.5, 0.5);
  std::vector<std::string> trained;
  const auto mask = random.uniform() < 0.5 ? 15U : static_cast<unsigned>(whole(1, 15));
  for (unsigned b = 0; b < 4; ++b)
    if (mask >> b & 1U) trained.push_back(attention_blocks()[b]);

  const auto shared_data = std::make_shared<Data<double>>();
  draw.point = {build_single_attention<double>(s, trained), {}, shared_data};
  Data<double>& data = *shared_data;
  Vector<double>& weights = draw.point.weights;
  data.samples = N;
  data.X.resize(N * s.tokens, s.embedding);
  data.Y.resize(N * s.tokens, s.outputs);
  random.fill_normal(data.X);
  random.fill_normal(data.Y);
  const Index D = s.embedding, d = s.head_dim, block = s.heads * D * d;
  weights.resize(3 * block + s.heads * d * s.outputs);
  random.fill_normal(weights);
  auto W_Q = weights.segment(0, block), W_K = weights.segment(block, block),
       W_V = weights.segment(2 * block, block), W_O = weights.tail(s.heads * d * s.outputs);
  if (random.uniform() < 0.5) weights.head(3 * block) /= std::sqrt(static_cast<double>(D));

  if (is("mixed tokens") || is("mixed reduction"))
    for (Index a = 0; a < data.X.rows(); ++a) data.X.row(a) *= decades(-3, 4);
  if (is("wild tokens"))
    for (Index a = 0; a < data.X.rows(); ++a) data.X.row(a) *= decades(-9, 9);
  if (is("mixed features"))
    for (Index c = 0; c < D; ++c) {
      const double scale = decades(-4, 4);
      data.X.col(c) *= scale;
      if (random.uniform() < 0.5)  // scores stay moderate
        for (Index h = 0; h < s.heads; ++h)
          for (Index e = 0; e < d; ++e) W_Q[(h * D + c) * d + e] /= scale, W_K[(h * D + c) * d + e] /= scale;
    }
  if (is("offsets"))
    for (Index c = 0; c < D; ++c)
      if (random.uniform() < 0.7) data.X.col(c).array() += random.normal() * decades(0, 6);
  if (is("equal tokens"))
    for (Index a = 0; a < data.X.rows(); ++a)
      if (a % s.tokens > 0 && random.uniform() < 0.6) data.X.row(a) = data.X.row(a - 1);
  if (is("equal samples")) data.X.bottomRows(s.tokens) = data.X.topRows(s.tokens);
  if (is("near tokens")) {
    const double near = decades(-14, -1);
    for (Index a = 0; a < data.X.rows(); ++a)
      if (a % s.tokens > 0) data.X.row(a) = data.X.row(a - 1) + near * data.X.row(a);
    if (random.uniform() < 0.5) data.X *= decades(0, 4);
  }
  if (is("saturated")) weights.head(2 * block) *= decades(0, 2);
  if (is("vanishing")) weights.head(2 * block) *= decades(0, 1.7);
  if (is("near keys")) {  // keys within the bandwidth of large queries
    const double size = decades(0, 4);
    data.X *= size;
    W_K = W_Q + W_K * (decades(-2, 0.5) / size);
    for (Index a = 0; a < data.X.rows(); ++a)
      if (a % s.tokens > 0 && random.uniform() < 0.5)
        data.X.row(a) = data.X.row(a - 1) + data.X.row(a) / (size * size);
  }
  if (is("tiny weights")) {
    W_Q *= decades(-30, 0), W_K *= decades(-30, 0), W_V *= decades(-40, 0), W_O *= decades(-40, 0);
  }
  if (is("huge weights")) {
    W_V *= decades(0, 12), W_O *= decades(0, 12);
    if (random.uniform() < 0.5) W_Q *= decades(0, 2), W_K *= decades(0, 2);
  }
  if (is("mixed weights"))
    for (Index i = 0; i < weights.size(); ++i) weights[i] *= decades(-6, i < 2 * block ? 1 : 3);
  if (is("deficient"))
    for (Index h = 0; h < s.heads; ++h) {
      if (random.uniform() < 0.5)
        for (Index r = 1; r < D; ++r) W_V.segment((h * D + r) * d, d) = r * W_V.segment(h * D * d, d);
      if (random.uniform() < 0.5)
        for (Index r = 1; r < d; ++r)
          W_O.segment((h * d + r) * s.outputs, s.outputs) = -2 * W_O.segment(h * d * s.outputs, s.outputs);
      if (random.uniform() < 0.5)
        for (Index r = 1; r < D; ++r) W_K.segment((h * D + r) * d, d) = 0.1 * W_K.segment(h * D * d, d);
    }
  if (is("zero blocks")) {
    if (random.uniform() < 0.4) W_Q.setZero();
    if (random.uniform() < 0.4) W_K.setZero();
    if (random.uniform() < 0.3) W_V.setZero();
    if (random.uniform() < 0.3) W_O.head(d * s.outputs).setZero();
    if (random.uniform() < 0.3) data.X.row(0).setZero();
  }
  if (is("round numbers")) {
    data.X = (2 * data.X).array().round();
    data.Y = data.Y.array().round();
    weights = (2 * weights).array().round() / 2;
  }
  if (is("residual of zero") || is("large residual")) {
    if (is("residual of zero"))
      data.Y = draw.point.linearize().outputs();
    else
      data.Y *= decades(3, 12);
  }
  return draw;
}

}  // namespace basin::test
