/// A model linearised at a point: loss, gradient, and products with its Jacobian and Hessian.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "basin/linalg/progress.h"
#include "basin/linalg/tree_sum.h"
#include "basin/model/model_point.h"

namespace basin {

struct LinearizationOptions {
  /// Bytes that may be kept between products. Chunks of samples beyond it are evaluated again for each
  /// product, or for several vectors at once as far as it goes, and where one chunk for each thread would not
  /// fit, of layers that are repeated the inputs alone are kept; the numbers are the same. What
  /// chunks that are all kept leave is for vectors that are multiplied at once. Working memory for the
  /// vectors that are multiplied at once in any case comes on top.
  std::size_t memory = std::size_t{2} << 30U;
  /// False: few products follow or none, so that no chunk is kept.
  bool keep = true;
  /// Bytes of outputs that are kept unasked.
  std::size_t outputs = std::size_t{1} << 28U;
  /// Rows (samples x tokens) of one chunk, the unit of work of a thread: enough for efficient matrix
  /// products, few enough to stay in cache and to feed several threads. Part of the arithmetic: sums are
  /// taken by chunk.
  Index chunk_rows = 256;
};

/// f(theta) = loss(F(X; theta), Y), evaluated once at construction. Afterwards, for a block of k vectors at
/// once (one per column), with J the m x P Jacobian of vec(F) in theta and H_l the Hessian of the loss in F:
///
///     jvp             J V              m x k
///     vjp             J^T U            P x k
///     gauss_newton    J^T H_l J V      P x k      (J^T J V for squared loss)
///     gram            J^T J V          P x k
///     hessian         H V              P x k      forward over reverse: exact, no finite differences
///
/// vec runs over (sample, token, output) in C order. Samples are cut into chunks of fixed size, groups of
/// chunks are shared out to OpenMP threads, and sums are taken by a fixed tree (linalg/tree_sum.h): the bits
/// do not depend on the number of threads, on k, or on the memory option.
///
/// The products share working memory: call them from one thread at a time.
template <class S>
class Linearization {
 public:
  /// Throws InputError when sizes do not fit, and WorkError when an output or the gradient is not finite.
  explicit Linearization(ModelPoint<S> point, const LinearizationOptions& options = {});

  const ModelPoint<S>& point() const { return point_; }
  const Model<S>& model() const { return *point_.model; }
  const ParameterLayout& parameters() const { return point_.parameters(); }
  Index theta_size() const { return parameters().theta_size(); }  ///< P
  Index output_size() const { return point_.output_size(); }      ///< m

  const Vector<S>& weights() const { return point_.weights; }  ///< of all blocks
  /// How many vectors are multiplied together: what is taken for one point is shared by them.
  Index vectors_at_once() const { return vectors_at_once_; }

  S loss() const { return loss_; }
  /// F, rows (sample, token). Those of a large vocabulary exist from the first time that they are asked for.
  const Matrix<S>& outputs() const;
  Matrix<S> residual() const;  ///< r = dl/dF; F - Y for squared loss

  // Without the outputs of all rows at once, where they have not been asked for:
  double outputs_norm() const;   ///< |F|
  double residual_norm() const;  ///< |r|
  /// |r - r'|, r' that of the same network on the same data at another point.
  double residual_distance(const Linearization& other) const;
  /// The sum of what `of` gives for all rows of F, so many at a time from a first one on.
  double sum_over_outputs(const std::function<double(Index first_row, ConstMatrixRef<S> F)>& of) const;

  const LossFacts& loss_facts() const { return model().loss().facts(); }
  const Mask& counting_rows() const { return loss_rule_.counting(); }  ///< of F, in the loss; empty: all
  const Vector<S>& gradient() const { return gradient_; }              ///< P
  /// As Layer::kinks, over all samples.
  Index kinks() const { return kinks_; }

  void jvp(ConstVectorsRef<S> V, VectorsRef<S> JV) const;
  void vjp(ConstVectorsRef<S> U, VectorsRef<S> JtU) const;
  void gauss_newton(ConstVectorsRef<S> V, VectorsRef<S> GV) const;
  void gram(ConstVectorsRef<S> V, VectorsRef<S> JtJV) const;
  void hessian(ConstVectorsRef<S> V, VectorsRef<S> HV) const;

  Index samples() const { return point_.data->samples; }  ///< N

  /// J^T, P x m: column i is the gradient of output i. A row of J belongs to one sample and is computed from
  /// that sample alone, N times cheaper than by products. `progress` counts samples.
  Vectors<S> jacobian_transposed(const Progress& progress = {}) const;

  /// The columns of J^T that belong to sample i: P x (tokens D_out). May be called by several threads of a
  /// parallel loop at once, each with its own slot (linalg/parallel.h).
  void jacobian_of_sample(Index i, Index slot, VectorsRef<S> Jt) const;

 private:
  /// What the products need of the point, for one chunk.
  struct PointState {
    Saved<S> value, adjoint;
    Batch<S> y, ybar;  // outputs, and the gradient of the loss in them

    std::size_t bytes() const { return value.bytes() + adjoint.bytes() + y.bytes() + ybar.bytes(); }
  };
  struct Chunk {
    Index first, count;                // samples
    std::unique_ptr<PointState> kept;  // null: evaluated again when needed
  };
  /// Working memory of one thread; `scratch` in the parameters of the network.
  struct Workspace {
    std::unique_ptr<PointState> point;
    Saved<S> tangent, adjoint;
    Batch<S> dy, dybar;
    Vectors<S> scratch;
  };
  class ChunkLoss;

  BlockView<const S> network_weights() const;
  BatchView<const S> inputs(Index first, Index count) const;
  /// What is kept of a chunk at the point, its adjoint, and two tangents of one vector should fit into memory
  /// for each thread.
  Context context(Index first, Index count) const;
  void evaluate(Index first, Index count, PointState& point) const;
  void evaluate_gradient(const Chunk& chunk, PointState& point, BlockView<S> ubar) const;
  const PointState& point_at(const Chunk& chunk, Workspace& work, bool with_gradient) const;
  Matrix<S> outputs_of(Index first_row, Index rows) const;  ///< of whole samples
  /// of(first row, F) for the outputs of all chunks, or of all rows at once if they are there.
  std::vector<double> over_outputs(const std::function<double(Index, ConstMatrixRef<S>)>& of) const;
  /// As many vectors as stay in cache with one chunk, or as there is memory for; where chunks are evaluated
  /// again, before chunks are kept.
  void choose_vectors_at_once(std::size_t chunk_bytes, std::size_t kept_bytes);

  /// Calls body(first vector, k) for blocks of at most vectors_at_once_ vectors.
  template <class Body>
  void for_blocks(Index vectors, const Body& body) const;
  /// out = J^T D J V: through(chunk, point, work) returns D times the tangents of its outputs, which are
  /// work.dy.
  template <class Through>
  void there_and_back(ConstVectorsRef<S> V, VectorsRef<S> out, const Through& through) const;
  /// The tangents of the network's parameters for V: what the rules take.
  BlockView<const S> network_tangent(ConstVectorsRef<S> V) const;
  /// out (P x k) += the adjoints of theta, for those of the network's parameters.
  void add_adjoint(ConstVectorsRef<S> ubar, VectorsRef<S> out) const;
  /// The sum over all chunks of what body(chunk, workspace, view) adds to the view, k vectors of adjoints of
  /// the network's parameters. Stays until the next sum.
  template <class Body>
  auto sum_over_chunks(Index k, const Body& body) const;

  ModelPoint<S> point_;
  DataLoss<S> loss_rule_;
  Vector<S> made_weights_;  // of the network's own parameters, where they are not the weights
  LinearizationOptions options_;
  std::vector<Chunk> chunks_;
  mutable std::vector<Workspace> workspaces_;
  mutable Vectors<S> moved_;  // tangents of the network's parameters
  mutable TreeSum<S> sum_;    // and their adjoints
  Index vectors_at_once_ = 1;
  S loss_ = 0;
  Index kinks_ = 0;
  mutable Matrix<S> outputs_;
  Vector<S> gradient_, network_gradient_;
};

template <class S>
Linearization<S> ModelPoint<S>::linearize(const LinearizationOptions& options) const {
  return Linearization<S>(*this, options);
}
template <class S>
Linearization<S> ModelPoint<S>::linearize() const {
  return Linearization<S>(*this);
}

}  // namespace basin
