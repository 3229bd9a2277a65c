#include "basin/problem/drawn_data.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"

namespace basin {

void draw_inputs(NetworkData& data, Index samples, double scale, std::uint64_t seed) {
  if (samples < 1) throw InputError("samples N = " + std::to_string(samples) + "; expected at least 1");
  if (!std::isfinite(scale) || scale < 0)
    throw InputError("scale " + std::to_string(scale) + "; expected a finite number, 0 or larger");
  const Architecture& a = data.architecture();
  const Index n = a.input.tokens;
  Random random(seed, "inputs");
  if (a.vocabulary > 0) {
    Vector<double> ids(samples * n);
    const auto last = static_cast<double>(a.vocabulary - 1);
    for (double& id : ids) id = std::min(last, std::floor(random.uniform() * (last + 1)));
    return data.take_inputs({samples, n}, ids);
  }
  Matrix<double> X(samples * n, a.input.width);
  random.fill_normal(X);
  X *= scale;
  const Vector<double> values = X.reshaped<Eigen::RowMajor>();
  if (a.channels > 0) return data.take_inputs({samples, a.channels, n / a.channels, a.input.width}, values);
  data.take_inputs({samples, n, a.input.width}, values);
}

void draw_targets(NetworkData& data, const Initialisation& teacher) {
  const auto model = build<double>(data.architecture(), matching_blocks({"*"}, blocks(data.architecture())));
  const Vector<double> weights = draw_weights(data.architecture(), teacher);
  Vector<double> made;
  const Vector<double>& u = model->network_weights(weights, made);
  const BlockView<const double> w(u.data(), 1, u.size(), model->network_parameters().weight_slots());
  const Shape in = data.network().input(), out = data.network().output();
  const Index N = data.data().samples;
  Mask counting = data.data().mask;
  data.network().mask(counting);
  Vector<double> targets(N * (data.labels() ? out.tokens : out.size()));
  Saved<double> saved;
  Batch<double> y;
  for (Index sample = 0; sample < N; ++sample) {
    const BatchView<const double> x(data.data().X.data() + sample * in.size(), 1, in.tokens, in.width);
    saved.context = data.data().context(sample, 1, in.tokens);
    saved.context.memory = 0;  // nothing comes after the value
    model->network().value(w, x, saved, y);
    const auto F = y[0];
    if (!F.allFinite())
      throw WorkError("the teacher's outputs for sample " + std::to_string(sample) + " are not finite");
    if (!data.labels()) {
      targets.segment(sample * out.size(), out.size()) = F.reshaped<Eigen::RowMajor>();
      continue;
    }
    for (Index row = 0; row < out.tokens; ++row) {
      const Index at = sample * out.tokens + row;
      Index largest = -1;
      if (counting.empty() || counting[at] != 0) F.row(row).maxCoeff(&largest);
      targets[at] = static_cast<double>(largest);
    }
  }
  if (data.labels()) return data.take_targets({N, out.tokens}, targets);
  data.take_targets({N, out.tokens, out.width}, targets);
}

}  // namespace basin
