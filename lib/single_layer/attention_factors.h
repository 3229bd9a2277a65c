/// The matrices that the kernels of an attention layer are made of (ntk/MATHEMATICS.md, "Kernels from
/// factors").
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "basin/single_layer/attention_view.h"

namespace basin {

/// One head at a point. Rows are the N n tokens a = (i, k); letters are those of the page of mathematics.
struct HeadFactors {
  Matrix<double> W_O;          ///< d x D_out
  Matrix<double> S;            ///< N n x n: attention of token k of sample i to the tokens of that sample
  Matrix<double> Q, K;         ///< N n x d
  Matrix<double> V;            ///< N n x D_out: X W_V W_O
  Matrix<double> A;            ///< N n x d: rows of S X_i W_V
  Matrix<double> B;            ///< N n x D: rows of S X_i
  Matrix<double> G;            ///< N n D_out x d: derivative of an output row in its own query
  std::array<bool, 4> zero{};  ///< whether W_Q, W_K, W_V, W_O are zero in this head
};

struct AttentionFactors {
  AttentionSpec spec;
  std::shared_ptr<const Data<double>> data;
  std::vector<HeadFactors> heads;
  /// All weights of token a are multiplied by e^-log_scale[a]; empty: they are not.
  Vector<double> log_scale{};

  Index tokens() const { return data->X.rows(); }                  ///< N n
  Index outputs() const { return data->X.rows() * spec.outputs; }  ///< m = N n D_out
  /// Derivative of all outputs of sample i in its keys of head h, T_ih: n D_out x n d.
  Matrix<double> key_jacobian(Index i, Index h) const;
};

/// Whatever is trained; log_scale (N n): for the Gaussian kernel only. Formulas are written as they stand:
/// the tests compare kernels made of them with J J^T. Throws InputError unless the network is a single
/// attention layer, and WorkError when a matrix is not finite.
AttentionFactors attention_factors(const ModelPoint<double>& point, Vector<double> log_scale = {});

/// Factors at a point, and at perturbed ones (model/perturbation.h), which tell how much of them is rounding.
struct MeasuredFactors {
  AttentionFactors factors;
  std::vector<AttentionFactors> perturbed;
  /// The same with the weights of each token relative to its largest, over all heads, where some of them
  /// nearly underflow (Gaussian attention of distant tokens); else null.
  std::shared_ptr<const MeasuredFactors> scaled{};
};

/// With as many perturbed points as the size of J asks for, all blocks being trained (perturbations). Throws
/// as attention_factors.
MeasuredFactors measured_factors(const ModelPoint<double>& point);

/// Bytes of the factors of so many samples at their peak, those of all perturbed points included.
double measured_factors_bytes(const AttentionSpec& spec, Index samples);

/// A = [A_1 .. A_H], N n x H d, of which K_O = (A A^T) (x) I.
Matrix<double> output_factor(const AttentionFactors& f);
/// B = [B_1 .. B_H], N n x H D.
Matrix<double> value_factor(const AttentionFactors& f);

/// The blocks of these names. Throws InputError for an unknown one.
std::vector<AttentionBlock> blocks_named(const std::vector<std::string>& names);
/// The kernel J_B J_B^T of a block, m x m, made of the factors. Throws InputError for an unknown block.
Matrix<double> block_kernel(const AttentionFactors& f, const std::string& block);

}  // namespace basin
