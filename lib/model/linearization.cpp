#include "model/linearization.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "linalg/errors.h"
#include "linalg/parallel.h"

namespace basin {
namespace {

// Working memory of one thread for a block of vectors; blocks of more than 16 gain nothing measurable.
constexpr std::size_t kBlockBytes = std::size_t{64} << 20U;
constexpr Index kMaxVectors = 16;

void check_size(const char* what, Index found, Index expected) {
  if (found != expected)
    throw InputError(std::string(what) + ": expected " + std::to_string(expected) + ", found " +
                     std::to_string(found));
}

template <class S>
BlockView<const S> view(ConstVectorsRef<S> V, const ParameterLayout& layout) {
  return {V.data(), V.cols(), V.outerStride(), layout.theta_slots()};
}

template <class S>
BlockView<S> mutable_view(VectorsRef<S> V, const ParameterLayout& layout) {
  return {V.data(), V.cols(), V.outerStride(), layout.theta_slots()};
}

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

  const Index P = theta_size();
  outputs_.resize(data_->Y.rows(), data_->Y.cols());
  gradient_ = Vector<S>::Zero(P);
  workspaces_.resize(thread_slots());
  std::size_t kept_bytes = 0, largest = 1;
  ordered_parallel_for(
      static_cast<Index>(chunks_.size()),
      [&](Index c, Index slot) {
        Workspace& work = workspaces_[slot];
        if (!work.point) work.point = std::make_unique<PointState>();
        work.sum.setZero(P, 1);
        evaluate(chunks_[c].first, chunks_[c].count, *work.point);
        evaluate_gradient(chunks_[c], *work.point, mutable_view<S>(work.sum, parameters()));
      },
      [&](Index c, Index slot) {
        Workspace& work = workspaces_[slot];
        const Index rows = chunks_[c].count * out.tokens;
        const auto F = work.point->y[0];
        outputs_.middleRows(chunks_[c].first * out.tokens, rows) = F;
        loss_ += model_->loss().value(F, data_->Y.middleRows(chunks_[c].first * out.tokens, rows));
        gradient_ += work.sum.col(0);
        const std::size_t bytes = work.point->value.bytes() + work.point->adjoint.bytes();
        largest = std::max(largest, bytes);
        if (kept_bytes + bytes <= options_.memory) {
          kept_bytes += bytes;
          chunks_[c].kept = std::move(work.point);
        }
      });
  check_finite(outputs_, out.tokens, gradient_);
  const std::size_t per_vector = std::max(largest, static_cast<std::size_t>(P) * sizeof(S));
  vectors_at_once_ = std::clamp<Index>(static_cast<Index>(kBlockBytes / per_vector), 1, kMaxVectors);
}

template <class S>
BlockView<const S> Linearization<S>::weights() const {
  return {weights_.data(), 1, weights_.size(), parameters().weight_slots()};
}

template <class S>
BatchView<const S> Linearization<S>::inputs(Index first, Index count) const {
  const Shape in = model_->network().input();
  return {data_->X.data() + first * in.size(), 1, count * in.tokens, in.width};
}

template <class S>
void Linearization<S>::evaluate(Index first, Index count, PointState& point) const {
  model_->network().value(weights(), inputs(first, count), point.value, point.y);
}

template <class S>
void Linearization<S>::evaluate_gradient(const Chunk& chunk, PointState& point, BlockView<S> thetabar) const {
  const Shape out = model_->network().output();
  const Index rows = chunk.count * out.tokens;
  point.ybar.resize(1, rows, out.width);
  model_->loss().gradient(point.y[0], data_->Y.middleRows(chunk.first * out.tokens, rows), point.ybar[0]);
  model_->network().adjoint(weights(), point.value, point.ybar.view(), point.adjoint, thetabar, nullptr);
}

template <class S>
auto Linearization<S>::point_at(const Chunk& chunk, Workspace& work, bool with_gradient) const
    -> const PointState& {
  if (chunk.kept) return *chunk.kept;
  if (!work.point) work.point = std::make_unique<PointState>();
  evaluate(chunk.first, chunk.count, *work.point);
  if (with_gradient) {
    work.sum.setZero(theta_size(), 1);  // the gradient itself is known; only what the rule saves is wanted
    evaluate_gradient(chunk, *work.point, mutable_view<S>(work.sum, parameters()));
  }
  return *work.point;
}

template <class S>
void Linearization<S>::tangent(ConstVectorsRef<S> V, const PointState& point, Workspace& work) const {
  model_->network().tangent(weights(), point.value, {}, view<S>(V, parameters()), work.tangent, work.dy);
}

/// dybar = H_l dy
template <class S>
void Linearization<S>::loss_curvature(const Chunk& chunk, const PointState& point, Workspace& work) const {
  const Shape out = model_->network().output();
  const Index rows = chunk.count * out.tokens;
  const auto Y = data_->Y.middleRows(chunk.first * out.tokens, rows);
  work.dybar.resize(work.dy.count(), rows, out.width);
  for (Index j = 0; j < work.dy.count(); ++j)
    model_->loss().hessian_product(point.y[0], Y, work.dy[j], work.dybar[j]);
}

template <class S>
template <class Body>
void Linearization<S>::for_each_chunk(Index vectors, const Body& body) const {
  workspaces_.resize(std::max<std::size_t>(workspaces_.size(), thread_slots()));
  for (Index j = 0; j < vectors; j += vectors_at_once_) {
    const Index k = std::min(vectors_at_once_, vectors - j);
    parallel_for(static_cast<Index>(chunks_.size()),
                 [&](Index c, Index slot) { body(chunks_[c], j, k, workspaces_[slot]); });
  }
}

template <class S>
template <class Body>
void Linearization<S>::sum_over_chunks(VectorsRef<S> out, const Body& body) const {
  workspaces_.resize(std::max<std::size_t>(workspaces_.size(), thread_slots()));
  out.setZero();
  for (Index j = 0; j < out.cols(); j += vectors_at_once_) {
    const Index k = std::min(vectors_at_once_, out.cols() - j);
    ordered_parallel_for(
        static_cast<Index>(chunks_.size()),
        [&](Index c, Index slot) {
          Workspace& work = workspaces_[slot];
          body(chunks_[c], j, k, work);
        },
        [&](Index, Index slot) { out.middleCols(j, k) += workspaces_[slot].sum; });
  }
}

template <class S>
void Linearization<S>::jvp(ConstVectorsRef<S> V, VectorsRef<S> JV) const {
  check_size("jvp: length of the vectors", V.rows(), theta_size());
  check_size("jvp: length of the results", JV.rows(), output_size());
  check_size("jvp: number of results", JV.cols(), V.cols());
  const Index per_sample = model_->network().output().size();
  for_each_chunk(V.cols(), [&](const Chunk& chunk, Index j, Index k, Workspace& work) {
    tangent(V.middleCols(j, k), point_at(chunk, work, false), work);
    for (Index i = 0; i < k; ++i)
      JV.col(j + i).segment(chunk.first * per_sample, chunk.count * per_sample) = flat(work.dy, i);
  });
}

template <class S>
void Linearization<S>::vjp(ConstVectorsRef<S> U, VectorsRef<S> JtU) const {
  check_size("vjp: length of the vectors", U.rows(), output_size());
  check_size("vjp: length of the results", JtU.rows(), theta_size());
  check_size("vjp: number of results", JtU.cols(), U.cols());
  const Shape out = model_->network().output();
  sum_over_chunks(JtU, [&](const Chunk& chunk, Index j, Index k, Workspace& work) {
    const PointState& point = point_at(chunk, work, false);
    work.dybar.resize(k, chunk.count * out.tokens, out.width);
    for (Index i = 0; i < k; ++i)
      std::copy_n(U.col(j + i).data() + chunk.first * out.size(), chunk.count * out.size(),
                  work.dybar[i].data());
    work.sum.setZero(theta_size(), k);
    model_->network().adjoint(weights(), point.value, work.dybar.view(), work.adjoint,
                              mutable_view<S>(work.sum, parameters()), nullptr);
  });
}

template <class S>
void Linearization<S>::gauss_newton(ConstVectorsRef<S> V, VectorsRef<S> GV) const {
  check_size("gauss_newton: length of the vectors", V.rows(), theta_size());
  check_size("gauss_newton: length of the results", GV.rows(), theta_size());
  check_size("gauss_newton: number of results", GV.cols(), V.cols());
  sum_over_chunks(GV, [&](const Chunk& chunk, Index j, Index k, Workspace& work) {
    const PointState& point = point_at(chunk, work, false);
    tangent(V.middleCols(j, k), point, work);
    loss_curvature(chunk, point, work);
    work.sum.setZero(theta_size(), k);
    model_->network().adjoint(weights(), point.value, work.dybar.view(), work.adjoint,
                              mutable_view<S>(work.sum, parameters()), nullptr);
  });
}

template <class S>
void Linearization<S>::hessian(ConstVectorsRef<S> V, VectorsRef<S> HV) const {
  check_size("hessian: length of the vectors", V.rows(), theta_size());
  check_size("hessian: length of the results", HV.rows(), theta_size());
  check_size("hessian: number of results", HV.cols(), V.cols());
  sum_over_chunks(HV, [&](const Chunk& chunk, Index j, Index k, Workspace& work) {
    const PointState& point = point_at(chunk, work, true);
    tangent(V.middleCols(j, k), point, work);
    loss_curvature(chunk, point, work);
    work.sum.setZero(theta_size(), k);
    model_->network().tangent_of_adjoint(weights(), point.value, point.adjoint, work.tangent,
                                         view<S>(V.middleCols(j, k), parameters()), work.dybar.view(),
                                         mutable_view<S>(work.sum, parameters()), nullptr);
  });
}

template <class S>
void Linearization<S>::jacobian_of_sample(Index i, Index slot, VectorsRef<S> Jt) const {
  const Shape out = model_->network().output();
  Workspace& work = workspaces_.at(slot);
  if (!work.point) work.point = std::make_unique<PointState>();
  evaluate(i, 1, *work.point);
  Jt.setZero();
  for (Index row = 0; row < out.size(); row += kMaxVectors) {
    const Index k = std::min(kMaxVectors, out.size() - row);
    work.dybar.resize_zero(k, out.tokens, out.width);
    for (Index u = 0; u < k; ++u) work.dybar[u].data()[row + u] = 1;
    model_->network().adjoint(weights(), work.point->value, work.dybar.view(), work.adjoint,
                              mutable_view<S>(Jt.middleCols(row, k), parameters()), nullptr);
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
