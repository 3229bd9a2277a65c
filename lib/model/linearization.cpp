#include "model/linearization.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "linalg/errors.h"
#include "linalg/parallel.h"

namespace basin {
namespace {

// Vectors that are multiplied together: they share what is computed again at the point, and what a thread
// holds for them should stay in cache.
constexpr std::size_t kBlockBytes = std::size_t{16} << 20U;
constexpr Index kMaxVectors = 8;

void check_size(const char* what, Index found, Index expected) {
  if (found != expected)
    throw InputError(std::string(what) + ": expected " + std::to_string(expected) + ", found " +
                     std::to_string(found));
}

template <class S>
BlockView<const S> view(ConstVectorsRef<S> V, std::span<const BlockSlot> slots) {
  return {V.data(), V.cols(), V.outerStride(), slots};
}

template <class S>
BlockView<S> mutable_view(VectorsRef<S> V, std::span<const BlockSlot> slots) {
  return {V.data(), V.cols(), V.outerStride(), slots};
}

/// The first k columns of a matrix with `rows` rows, which grows to have them and never shrinks.
template <class S>
auto columns(Vectors<S>& memory, Index rows, Index k) {
  if (memory.rows() != rows || memory.cols() < k) memory.resize(rows, k);
  return memory.leftCols(k);
}

/// ybar = grad l(y) for the rows of a chunk with these targets.
template <class S, class Targets>
class LossGradient final : public RowRule<S> {
 public:
  LossGradient(const Loss<S>& loss, Targets targets) : loss_(loss), targets_(targets) {}
  void operator()(Index /*j*/, Index first, ConstMatrixRef<S> y, MatrixRef<S> ybar) const override {
    loss_.gradient(y, targets_.middleRows(first, y.rows()), ybar);
  }

 private:
  const Loss<S>& loss_;
  Targets targets_;
};

/// dybar = H_l dy
template <class S, class Targets>
class LossCurvature final : public RowRule<S> {
 public:
  LossCurvature(const Loss<S>& loss, const Batch<S>& y, Targets targets)
      : loss_(loss), y_(y), targets_(targets) {}
  void operator()(Index /*j*/, Index first, ConstMatrixRef<S> dy, MatrixRef<S> dybar) const override {
    loss_.hessian_product(y_.slice(0, first, dy.rows()), targets_.middleRows(first, dy.rows()), dy, dybar);
  }

 private:
  const Loss<S>& loss_;
  const Batch<S>& y_;
  Targets targets_;
};

/// The matrix j of a batch as a vector in C order.
template <class S>
auto flat(const Batch<S>& batch, Index j) {
  const auto matrix = batch[j];
  return Eigen::Map<const Vector<S>>(matrix.data(), matrix.size());
}

template <class S>
void check_finite(const Matrix<S>& outputs, Index tokens, const Vector<S>& gradient) {
  for (Index row = 0; row < outputs.rows(); ++row)
    if (!outputs.row(row).allFinite())
      throw WorkError(
          "the output of sample " + std::to_string(row / tokens) + ", token " + std::to_string(row % tokens) +
          " (counted from 0) is not finite: the weights or inputs are " + "too large for this arithmetic");
  if (!gradient.allFinite())
    throw WorkError("the gradient is not finite: the weights or inputs are too large for this arithmetic");
}

}  // namespace

template <class S>
Linearization<S>::Linearization(std::shared_ptr<const Model<S>> model, Vector<S> weights,
                                std::shared_ptr<const Data<S>> data, LinearizationOptions options)
    : model_(std::move(model)), weights_(std::move(weights)), data_(std::move(data)), options_(options) {
  const Shape in = model_->network().input(), out = model_->network().output();
  check_size("number of weights", weights_.size(), parameters().weight_count());
  check_size("rows of X", data_->X.rows(), data_->samples * in.tokens);
  check_size("columns of X", data_->X.cols(), in.width);
  check_size("rows of Y", data_->Y.rows(), data_->samples * out.tokens);
  check_size("columns of Y", data_->Y.cols(), out.width);
  if (data_->samples < 1) throw InputError("number of samples: expected at least 1, found 0");

  const Index per_chunk = std::max<Index>(1, options_.chunk_rows / in.tokens);
  for (Index first = 0; first < data_->samples; first += per_chunk)
    chunks_.push_back({first, std::min(per_chunk, data_->samples - first), nullptr});

  const ParameterLayout& network = model_->network_parameters();
  network_weights_ = model_->fold(weights_);
  outputs_.resize(data_->Y.rows(), data_->Y.cols());
  network_gradient_ = Vector<S>::Zero(network.theta_size());
  workspaces_.resize(thread_slots());
  std::size_t kept_bytes = 0, largest = 1;
  ordered_parallel_for(
      static_cast<Index>(chunks_.size()),
      [&](Index c, Index slot) {
        Workspace& work = workspaces_[slot];
        if (!work.point) work.point = std::make_unique<PointState>();
        auto sum = columns(work.sum, network.theta_size(), 1);
        sum.setZero();
        evaluate_gradient(chunks_[c], *work.point, mutable_view<S>(sum, network.theta_slots()));
      },
      [&](Index c, Index slot) {
        Workspace& work = workspaces_[slot];
        const Index rows = chunks_[c].count * out.tokens;
        const auto F = work.point->y[0];
        outputs_.middleRows(chunks_[c].first * out.tokens, rows) = F;
        loss_ += model_->loss().value(F, data_->Y.middleRows(chunks_[c].first * out.tokens, rows));
        network_gradient_ += work.sum.col(0);
        const std::size_t bytes = work.point->bytes();
        largest = std::max(largest, bytes);
        if (kept_bytes + bytes <= options_.memory) {
          kept_bytes += bytes;
          chunks_[c].kept = std::move(work.point);
        }
      });
  gradient_ = Vector<S>::Zero(theta_size());
  fold_adjoint(view<S>(network_gradient_, network.theta_slots()), gradient_);
  check_finite(outputs_, out.tokens, gradient_);
  const std::size_t per_vector =
      std::max(largest, static_cast<std::size_t>(network.theta_size()) * sizeof(S));
  vectors_at_once_ = std::clamp<Index>(static_cast<Index>(kBlockBytes / per_vector), 1, kMaxVectors);
}

template <class S>
BlockView<const S> Linearization<S>::weights() const {
  return {network_weights_.data(), 1, network_weights_.size(), model_->network_parameters().weight_slots()};
}

template <class S>
BatchView<const S> Linearization<S>::inputs(Index first, Index count) const {
  const Shape in = model_->network().input();
  return {data_->X.data() + first * in.size(), 1, count * in.tokens, in.width};
}

template <class S>
auto Linearization<S>::targets(const Chunk& chunk) const {
  const Index tokens = model_->network().output().tokens;
  return data_->Y.middleRows(chunk.first * tokens, chunk.count * tokens);
}

template <class S>
void Linearization<S>::evaluate(Index first, Index count, PointState& point) const {
  model_->network().value(weights(), inputs(first, count), point.value, point.y);
}

template <class S>
void Linearization<S>::evaluate_gradient(const Chunk& chunk, PointState& point, BlockView<S> ubar) const {
  model_->network().gradient(weights(), inputs(chunk.first, chunk.count),
                             LossGradient<S, decltype(targets(chunk))>(model_->loss(), targets(chunk)),
                             point.value, point.y, point.ybar, point.adjoint, ubar, nullptr);
}

template <class S>
auto Linearization<S>::point_at(const Chunk& chunk, Workspace& work, bool with_gradient) const
    -> const PointState& {
  if (chunk.kept) return *chunk.kept;
  if (!work.point) work.point = std::make_unique<PointState>();
  if (with_gradient) {
    const ParameterLayout& network = model_->network_parameters();
    auto sum = columns(work.sum, network.theta_size(), 1);  // only what the rules save is wanted
    sum.setZero();
    evaluate_gradient(chunk, *work.point, mutable_view<S>(sum, network.theta_slots()));
  } else {
    evaluate(chunk.first, chunk.count, *work.point);
  }
  return *work.point;
}

template <class S>
template <class Body>
void Linearization<S>::for_blocks(Index vectors, const Body& body) const {
  for (Index j = 0; j < vectors; j += vectors_at_once_) body(j, std::min(vectors_at_once_, vectors - j));
}

template <class S>
BlockView<const S> Linearization<S>::fold_tangent(ConstVectorsRef<S> V) const {
  const ParameterLayout& network = model_->network_parameters();
  auto moved = columns(moved_, network.theta_size(), V.cols());
  model_->folding().tangent(view<S>(weights_, parameters().weight_slots()),
                            view<S>(V, parameters().theta_slots()),
                            mutable_view<S>(moved, network.theta_slots()));
  return view<S>(moved, network.theta_slots());
}

template <class S>
void Linearization<S>::fold_adjoint(BlockView<const S> ubar, VectorsRef<S> out) const {
  model_->folding().adjoint(view<S>(weights_, parameters().weight_slots()), ubar,
                            mutable_view<S>(out, parameters().theta_slots()));
}

template <class S>
BlockView<const S> Linearization<S>::summed(Index k) const {
  return view<S>(sum_.leftCols(k), model_->network_parameters().theta_slots());
}

template <class S>
template <class Body>
void Linearization<S>::sum_over_chunks(Index k, const Body& body) const {
  const ParameterLayout& network = model_->network_parameters();
  workspaces_.resize(std::max<std::size_t>(workspaces_.size(), thread_slots()));
  auto total = columns(sum_, network.theta_size(), k);
  total.setZero();
  ordered_parallel_for(
      static_cast<Index>(chunks_.size()),
      [&](Index c, Index slot) {
        Workspace& work = workspaces_[slot];
        body(chunks_[c], work, [&] {
          auto sum = columns(work.sum, network.theta_size(), k);
          sum.setZero();
          return mutable_view<S>(sum, network.theta_slots());
        });
      },
      [&](Index, Index slot) { total += workspaces_[slot].sum.leftCols(k); });
}

template <class S>
void Linearization<S>::jvp(ConstVectorsRef<S> V, VectorsRef<S> JV) const {
  check_size("jvp: length of the vectors", V.rows(), theta_size());
  check_size("jvp: length of the results", JV.rows(), output_size());
  check_size("jvp: number of results", JV.cols(), V.cols());
  const Index per_sample = model_->network().output().size();
  workspaces_.resize(std::max<std::size_t>(workspaces_.size(), thread_slots()));
  for_blocks(V.cols(), [&](Index j, Index k) {
    const BlockView<const S> du = fold_tangent(V.middleCols(j, k));
    parallel_for(static_cast<Index>(chunks_.size()), [&](Index c, Index slot) {
      Workspace& work = workspaces_[slot];
      const Chunk& chunk = chunks_[c];
      model_->network().tangent(weights(), point_at(chunk, work, false).value, {}, du, work.tangent, work.dy);
      for (Index i = 0; i < k; ++i)
        JV.col(j + i).segment(chunk.first * per_sample, chunk.count * per_sample) = flat(work.dy, i);
    });
  });
}

template <class S>
void Linearization<S>::vjp(ConstVectorsRef<S> U, VectorsRef<S> JtU) const {
  check_size("vjp: length of the vectors", U.rows(), output_size());
  check_size("vjp: length of the results", JtU.rows(), theta_size());
  check_size("vjp: number of results", JtU.cols(), U.cols());
  const Shape out = model_->network().output();
  JtU.setZero();
  for_blocks(U.cols(), [&](Index j, Index k) {
    sum_over_chunks(k, [&](const Chunk& chunk, Workspace& work, const auto& sum) {
      const PointState& point = point_at(chunk, work, false);
      work.dybar.resize(k, chunk.count * out.tokens, out.width);
      for (Index i = 0; i < k; ++i)
        std::copy_n(U.col(j + i).data() + chunk.first * out.size(), chunk.count * out.size(),
                    work.dybar[i].data());
      model_->network().adjoint(weights(), point.value, work.dybar.view(), work.adjoint, sum(), nullptr);
    });
    fold_adjoint(summed(k), JtU.middleCols(j, k));
  });
}

template <class S>
void Linearization<S>::gauss_newton(ConstVectorsRef<S> V, VectorsRef<S> GV) const {
  check_size("gauss_newton: length of the vectors", V.rows(), theta_size());
  check_size("gauss_newton: length of the results", GV.rows(), theta_size());
  check_size("gauss_newton: number of results", GV.cols(), V.cols());
  GV.setZero();
  for_blocks(V.cols(), [&](Index j, Index k) {
    const BlockView<const S> du = fold_tangent(V.middleCols(j, k));
    sum_over_chunks(k, [&](const Chunk& chunk, Workspace& work, const auto& sum) {
      const PointState& point = point_at(chunk, work, false);
      const LossCurvature<S, decltype(targets(chunk))> curvature(model_->loss(), point.y, targets(chunk));
      model_->network().tangent(weights(), point.value, {}, du, work.tangent, work.dy);
      work.dybar.resize(k, work.dy.rows(), work.dy.cols());
      for (Index i = 0; i < k; ++i) curvature(i, 0, work.dy[i], work.dybar[i]);
      model_->network().adjoint(weights(), point.value, work.dybar.view(), work.adjoint, sum(), nullptr);
    });
    fold_adjoint(summed(k), GV.middleCols(j, k));
  });
}

template <class S>
void Linearization<S>::hessian(ConstVectorsRef<S> V, VectorsRef<S> HV) const {
  check_size("hessian: length of the vectors", V.rows(), theta_size());
  check_size("hessian: length of the results", HV.rows(), theta_size());
  check_size("hessian: number of results", HV.cols(), V.cols());
  HV.setZero();
  for_blocks(V.cols(), [&](Index j, Index k) {
    const BlockView<const S> du = fold_tangent(V.middleCols(j, k));
    sum_over_chunks(k, [&](const Chunk& chunk, Workspace& work, const auto& sum) {
      const PointState& point = point_at(chunk, work, true);
      const LossCurvature<S, decltype(targets(chunk))> curvature(model_->loss(), point.y, targets(chunk));
      model_->network().hessian(weights(), point.value, point.adjoint, {}, du, curvature, work.tangent,
                                work.dy, work.dybar, sum(), nullptr);
    });
    model_->folding().tangent_of_adjoint(
        view<S>(weights_, parameters().weight_slots()),
        view<S>(network_gradient_, model_->network_parameters().theta_slots()),
        view<S>(V.middleCols(j, k), parameters().theta_slots()), summed(k),
        mutable_view<S>(HV.middleCols(j, k), parameters().theta_slots()));
  });
}

template <class S>
void Linearization<S>::jacobian_of_sample(Index i, Index slot, VectorsRef<S> Jt) const {
  const Shape out = model_->network().output();
  Workspace& work = workspaces_.at(slot);
  if (!work.point) work.point = std::make_unique<PointState>();
  evaluate(i, 1, *work.point);
  const ParameterLayout& network = model_->network_parameters();
  Jt.setZero();
  for (Index row = 0; row < out.size(); row += kMaxVectors) {
    const Index k = std::min(kMaxVectors, out.size() - row);
    work.dybar.resize_zero(k, out.tokens, out.width);
    for (Index u = 0; u < k; ++u) work.dybar[u].data()[row + u] = 1;
    auto sum = columns(work.sum, network.theta_size(), k);
    sum.setZero();
    model_->network().adjoint(weights(), work.point->value, work.dybar.view(), work.adjoint,
                              mutable_view<S>(sum, network.theta_slots()), nullptr);
    fold_adjoint(view<S>(sum, network.theta_slots()), Jt.middleCols(row, k));
  }
}

template <class S>
Vectors<S> Linearization<S>::jacobian_transposed(const Progress& progress) const {
  const Index columns = model_->network().output().size();
  Vectors<S> Jt(theta_size(), output_size());
  workspaces_.resize(std::max<std::size_t>(workspaces_.size(), thread_slots()));
  parallel_for(
      samples(),
      [&](Index i, Index slot) { jacobian_of_sample(i, slot, Jt.middleCols(i * columns, columns)); },
      progress);
  return Jt;
}

template class Linearization<double>;
template class Linearization<float>;

}  // namespace basin
