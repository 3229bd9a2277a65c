#include "basin/single_layer/norm_constants.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"

namespace basin {
namespace {

/// A matrix and a bound on the Frobenius norm of its rounding error.
struct Computed {
  Matrix<double> value;
  double error = 0;

  double frobenius() const { return value.stableNorm() + error; }
  bool finite() const { return value.allFinite() && std::isfinite(error); }
};

Computed operator*(const Computed& A, const Computed& B) {
  const double inner = static_cast<double>(A.value.cols());
  return {A.value * B.value, A.error * B.frobenius() + A.frobenius() * B.error +
                                 2 * inner * kEps * A.frobenius() * B.frobenius()};
}

/// The n rows of sample i.
Computed sample(const Computed& X, Index i, Index n) {
  return {X.value.middleRows(i * n, n), X.error};
}

/// Pi X_i for all samples: rows less the mean row of their sample.
Computed centred(const Computed& X, Index n) {
  Computed out = X;
  for (Index row = 0; row < X.value.rows(); row += n) {
    auto rows = out.value.middleRows(row, n);
    rows.rowwise() -= rows.colwise().mean().eval();
  }
  out.error = 2 * static_cast<double>(n - 1) * kEps * X.frobenius();
  return out;
}

/// |A|, from above. The rounding of the smaller Gram matrix (p x p) is at most k eps |A|_F^2 <= k p eps
/// |A|^2; 10 p eps |A|^2 allows for the eigenvalue.
double spectral_norm(const Computed& A) {
  if (!A.finite()) return kInfinity;
  const double scale = A.value.cwiseAbs().maxCoeff();
  if (scale == 0) return A.error;
  Vectors<double> B = A.value / scale;
  if (B.rows() < B.cols()) B.transposeInPlace();
  const Vectors<double> gram = B.transpose() * B;
  const auto p = static_cast<double>(B.cols()), k = static_cast<double>(B.rows());
  const double lambda = symmetric_eigen(gram, false).values[gram.rows() - 1];
  return scale * std::sqrt(lambda * (1 + 2 * (k + 10) * p * kEps)) + A.error;
}

/// The largest norm of a row, from above.
double largest_row(const Computed& A) {
  if (!A.finite()) return kInfinity;
  const double terms = static_cast<double>(A.value.cols());
  return A.value.rowwise().stableNorm().maxCoeff() * (1 + 2 * terms * kEps) + A.error;
}

/// A_ih for the queries and keys of one sample and head. Scores off by e make an entry off by a factor of
/// exp(e), or exp(2 e) after the division by their sum.
Computed attention_weights(const NormConstants& norms, const Computed& Q, const Computed& K) {
  const bool softmax = norms.kernel == KernelKind::softmax;
  const double sigma = norms.sigma;
  const auto n = static_cast<double>(Q.value.rows()), d = static_cast<double>(Q.value.cols());
  Matrix<double> A(Q.value.rows(), K.value.rows());
  for (Index k = 0; k < A.rows(); ++k) {
    for (Index l = 0; l < A.cols(); ++l)
      A(k, l) = softmax ? Q.value.row(k).dot(K.value.row(l)) / std::sqrt(d)
                        : -(Q.value.row(k) - K.value.row(l)).squaredNorm() / (2 * sigma * sigma);
    if (softmax) A.row(k).array() -= A.row(k).maxCoeff();
    A.row(k) = A.row(k).array().exp();
    if (softmax) A.row(k) /= A.row(k).sum();
  }
  const double q = largest_row(Q), key = largest_row(K), error = Q.error + K.error;
  const double score = softmax ? (error * (q + key) + 4 * d * kEps * q * key) / std::sqrt(d)
                               : ((q + key) * error + 4 * d * kEps * (q + key) * (q + key)) / (sigma * sigma);
  return {A, (std::expm1(2 * score) + 4 * (n + 10) * kEps) * A.norm()};
}

/// |stack_i A_ih X_i|, from above.
double mixed_norm(const NormConstants& norms, const Computed& X, Index n, const Computed& W_Q,
                  const Computed& W_K) {
  Computed mixed = X;
  Vector<double> errors(X.value.rows() / n);
  parallel_for(errors.size(), [&](Index i, Index) {
    const Computed X_i = sample(X, i, n), AX = attention_weights(norms, X_i * W_Q, X_i * W_K) * X_i;
    mixed.value.middleRows(i * n, n) = AX.value;
    errors[i] = AX.error;
  });
  mixed.error = errors.norm();
  return spectral_norm(mixed);
}

/// The weights of one head.
struct Head {
  Computed W_Q, W_K, W_V, W_O;
};

std::vector<Head> heads_of(const AttentionView& view) {
  std::vector<Head> heads;
  for (Index h = 0; h < view.spec().heads; ++h)
    heads.push_back({{view.W_Q(h)}, {view.W_K(h)}, {view.W_V(h)}, {view.W_O(h)}});
  return heads;
}

void check_inputs(const AttentionView& view, const ModelPoint<double>& point) {
  const AttentionSpec& spec = view.spec();
  const Data<double>& data = view.data();
  if (data.X.cols() != spec.embedding || data.samples < 1 || data.X.rows() != data.samples * spec.tokens)
    throw InputError("certificate: the inputs do not have the model's shape N x n x D");
  if (point.weights.size() != point.parameters().weight_count())
    throw InputError("certificate: the weights are not those of the attention model");
  if (!data.X.allFinite() || !point.weights.allFinite())
    throw InputError("certificate: an input or a weight is not finite");
}

/// All but xi and the norms of heads.
NormConstants norms_of_stacked_inputs(const AttentionView& view, const Computed& X,
                                      const Computed& centred_X) {
  const AttentionSpec& spec = view.spec();
  NormConstants norms{};
  norms.kernel = spec.kernel;
  norms.tokens = static_cast<double>(spec.tokens);
  norms.head_dim = static_cast<double>(spec.head_dim);
  norms.sigma = spec.sigma();
  norms.trained = {view.trains(kQ), view.trains(kK), view.trains(kV), view.trains(kO)};
  norms.chi = spectral_norm(X);
  norms.chi_centred = spectral_norm(centred_X);
  norms.rho = largest_row(X);
  return norms;
}

/// What is no maximum over samples.
HeadNorms norms_of_head(const NormConstants& norms, const Computed& X, Index n, const Head& head) {
  HeadNorms out{};
  out.W_V = spectral_norm(head.W_V);
  out.W_O = spectral_norm(head.W_O);
  if (!norms.trained[kV] || !norms.trained[kO]) return out;
  const bool softmax = norms.kernel == KernelKind::softmax;
  out.mixed = (softmax ? std::sqrt(norms.tokens) : norms.tokens) * norms.chi;
  if (!norms.trained[kQ] && !norms.trained[kK])
    out.mixed = std::min(out.mixed, mixed_norm(norms, X, n, head.W_Q, head.W_K));
  return out;
}

/// The norms whose maximum over the samples is taken.
struct SampleNorms {
  double xi, xi_centred;
  std::vector<HeadNorms> heads;
};

/// U_i: X_i, or less its mean token.
SampleNorms norms_of_sample(const Computed& X_i, const Computed& centred_X_i, const Computed& U_i,
                            const std::vector<Head>& heads) {
  SampleNorms out = {spectral_norm(X_i), spectral_norm(centred_X_i), {}};
  for (const auto& [W_Q, W_K, W_V, W_O] : heads) {
    const Computed Q = X_i * W_Q, values = U_i * W_V;
    HeadNorms head{};
    head.values = spectral_norm(values);
    head.outputs = spectral_norm(values * W_O);
    head.keys = spectral_norm(U_i * W_K);
    head.queries = spectral_norm(Q);
    head.query = largest_row(Q);
    out.heads.push_back(head);
  }
  return out;
}

void raise_to(NormConstants& norms, const SampleNorms& of_sample) {
  norms.xi = std::max(norms.xi, of_sample.xi);
  norms.xi_centred = std::max(norms.xi_centred, of_sample.xi_centred);
  for (std::size_t h = 0; h < norms.heads.size(); ++h)
    for (const auto norm :
         {&HeadNorms::values, &HeadNorms::outputs, &HeadNorms::keys, &HeadNorms::queries, &HeadNorms::query})
      norms.heads[h].*norm = std::max(norms.heads[h].*norm, of_sample.heads[h].*norm);
}

}  // namespace

NormConstants norm_constants(const ModelPoint<double>& point) {
  const AttentionView view(point, "the ball certificate");
  check_inputs(view, point);
  const Index n = view.spec().tokens;
  const Computed X{view.data().X}, centred_X = centred(X, n), &U = view.softmax() ? centred_X : X;
  NormConstants norms = norms_of_stacked_inputs(view, X, centred_X);
  const std::vector<Head> heads = heads_of(view);
  for (const Head& head : heads) norms.heads.push_back(norms_of_head(norms, X, n, head));

  std::vector<SampleNorms> samples(static_cast<std::size_t>(view.data().samples));
  parallel_for(view.data().samples, [&](Index i, Index) {
    samples[static_cast<std::size_t>(i)] =
        norms_of_sample(sample(X, i, n), sample(centred_X, i, n), sample(U, i, n), heads);
  });
  for (const SampleNorms& of_sample : samples) raise_to(norms, of_sample);
  return norms;
}

}  // namespace basin
