#include "basin/single_layer/head_signatures.h"

#include <algorithm>
#include <memory>

#include "basin/network/gaussian_kernel.h"
#include "basin/network/softmax_kernel.h"
#include "basin/single_layer/attention_view.h"

namespace basin {

PointSignature attention_signature(const ModelPoint<double>& point) {
  const AttentionView view(point, "what a point is as a function");
  const AttentionSpec& spec = view.spec();
  const Data<double>& data = view.data();
  const Index n = spec.tokens, rows = data.X.rows();
  std::unique_ptr<const AttentionKernel<double>> kernel;
  if (spec.kernel == KernelKind::softmax)
    kernel = std::make_unique<SoftmaxKernel<double>>(spec.head_dim);
  else
    kernel = std::make_unique<GaussianKernel<double>>(spec.sigma());
  const auto block = [&](AttentionBlock which, Index h) { return Matrix<double>(view.block(which, h)); };
  PointSignature f;
  f.outputs = Matrix<double>::Zero(rows, spec.outputs);
  for (Index h = 0; h < spec.heads; ++h) {
    const Matrix<double> Q = data.X * block(kQ, h), K = data.X * block(kK, h);
    HeadSignature head;
    head.V = data.X * block(kV, h) * block(kO, h);
    head.S.resize(rows, n);
    Matrix<double> shared = Matrix<double>::Zero(data.samples, spec.outputs);
    for (Index i = 0; i < data.samples; ++i) {
      kernel->value(Q.middleRows(i * n, n), K.middleRows(i * n, n), Matrix<double>(),
                    head.S.middleRows(i * n, n));
      const Matrix<double> added = head.S.middleRows(i * n, n) * head.V.middleRows(i * n, n);
      f.outputs.middleRows(i * n, n) += added;
      shared.row(i) = added.colwise().mean();
    }
    head.scale = carried(head);
    if (spec.kernel == KernelKind::softmax)
      for (Index i = 0; i < data.samples; ++i) head.V.middleRows(i * n, n).rowwise() -= shared.row(i);
    f.heads.push_back(std::move(head));
  }
  f.scale = std::max(f.outputs.stableNorm(), data.Y.stableNorm());
  return f;
}

}  // namespace basin
