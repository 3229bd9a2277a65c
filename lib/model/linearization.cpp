#include "basin/model/linearization.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"

namespace basin {
namespace {

// Vectors that are multiplied together share what is computed again at the point, and what a thread holds for
// them should stay in cache, if it can.
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

/// The matrix j of a batch as a vector in C order.
template <class S>
auto flat(const Batch<S>& batch, Index j) {
  const auto matrix = batch[j];
  return Eigen::Map<const Vector<S>>(matrix.data(), matrix.size());
}

void check_ids(const char* what, const std::vector<std::int32_t>& ids, Index rows) {
  for (const std::int32_t id : ids)
    if (id < 0 || id >= rows)
      throw InputError(std::string(what) + " " + std::to_string(id) + ": the network takes " +
                       (rows > 0 ? "0 to " + std::to_string(rows - 1) : std::string("none")));
}

/// Of norms of parts that of the whole.
double norm_of(const std::vector<double>& parts) {
  const Eigen::Map<const Vector<double>> all(parts.data(), static_cast<Index>(parts.size()));
  return parts.size() == 1 ? parts[0] : all.stableNorm();
}

/// The first row that is not finite; past the last: there is none.
template <class Rows>
Index first_overflow(const Rows& outputs) {
  Index row = 0;
  while (row < outputs.rows() && outputs.row(row).allFinite()) ++row;
  return row;
}

}  // namespace

/// The loss on the rows of a chunk.
template <class S>
class Linearization<S>::ChunkLoss final : public RowRule<S> {
 public:
  ChunkLoss(const Linearization& at, Index first_sample)
      : loss_(at.loss_rule_), first_(first_sample * at.model().network().output().tokens) {}
  S value(ConstMatrixRef<S> y) const { return loss_.value(first_, y); }
  void gradient(Index first_row, ConstMatrixRef<S> y, MatrixRef<S> ybar) const override {
    loss_.gradient(first_ + first_row, y, ybar);
  }
  void curvature(Index first_row, ConstMatrixRef<S> y, ConstMatrixRef<S> dy,
                 MatrixRef<S> dybar) const override {
    loss_.curvature(first_ + first_row, y, dy, dybar);
  }

 private:
  const DataLoss<S>& loss_;
  Index first_;
};

template <class S>
Linearization<S>::Linearization(ModelPoint<S> where, const LinearizationOptions& options)
    : point_(std::move(where)), loss_rule_(model(), *point_.data), options_(options) {
  const Shape in = model().network().input(), out = model().network().output();
  check_size("number of weights", weights().size(), parameters().weight_count());
  check_size("rows of X", point_.data->X.rows(), point_.data->samples * in.tokens);
  check_size("columns of X", point_.data->X.cols(), in.width);
  for (const auto& [name, size] : {std::pair{"number of token ids", point_.data->ids.size()},
                                   {"number of token types", point_.data->types.size()},
                                   {"length of the mask", point_.data->mask.size()}})
    if (size > 0) check_size(name, static_cast<Index>(size), point_.data->X.rows());
  check_ids("token id", point_.data->ids, model().architecture().vocabulary);
  check_ids("token type", point_.data->types, model().architecture().token_types);
  if (model().architecture().token_types > 0)
    check_size("number of token types", static_cast<Index>(point_.data->types.size()), point_.data->X.rows());
  if (point_.data->samples < 1) throw InputError("number of samples: expected at least 1, found 0");

  const Index per_chunk = std::max<Index>(1, options_.chunk_rows / in.tokens);
  for (Index first = 0; first < point_.data->samples; first += per_chunk)
    chunks_.push_back({first, std::min(per_chunk, point_.data->samples - first), nullptr});

  const ParameterLayout& network = model().network_parameters();
  model().network_weights(weights(), made_weights_);
  const bool keep_outputs = static_cast<std::size_t>(output_size()) * sizeof(S) <= options_.outputs;
  if (keep_outputs) outputs_.resize(point_.data->samples * out.tokens, out.width);
  std::size_t kept_bytes = 0, largest = 1;
  std::vector<S> losses(chunks_.size());
  std::vector<Index> overflows(chunks_.size()), kinks(chunks_.size());
  workspaces_.resize(thread_slots());
  network_gradient_ =
      sum_(static_cast<Index>(chunks_.size()), network.theta_size(), 1,
           [&](Index c, Index slot, VectorsRef<S> sum) {
             std::unique_ptr<PointState>& point = workspaces_[slot].point;
             if (!point) point = std::make_unique<PointState>();
             evaluate_gradient(chunks_[c], *point, mutable_view<S>(sum, network.theta_slots()));
             const Index first = chunks_[c].first * out.tokens, rows = chunks_[c].count * out.tokens;
             if (keep_outputs) outputs_.middleRows(first, rows) = point->y[0];
             overflows[c] = first_overflow(point->y[0]);
             if (overflows[c] < rows) return;
             kinks[c] = model().network().kinks(point->value);
             losses[c] = ChunkLoss(*this, chunks_[c].first).value(point->y[0]);
#pragma omp critical(basin_linearization)
             {
               const std::size_t bytes = point->bytes();
               largest = std::max(largest, bytes);
               if (options_.keep && kept_bytes + bytes <= options_.memory) {
                 kept_bytes += bytes;
                 chunks_[c].kept = std::move(point);
               }
             }
           });
  loss_ = tree_sum<S>(losses);
  kinks_ = std::accumulate(kinks.begin(), kinks.end(), Index{0});
  sum_ = {};  // a point of which no products are asked holds no memory for them
  gradient_ = Vector<S>::Zero(theta_size());
  add_adjoint(network_gradient_, gradient_);
  for (std::size_t c = 0; c < chunks_.size(); ++c)
    if (const Index row = overflows[c]; row < chunks_[c].count * out.tokens)
      throw WorkError("the output of sample " + std::to_string(chunks_[c].first + row / out.tokens) +
                      ", token " + std::to_string(row % out.tokens) +
                      " (counted from 0) is not finite: the weights or inputs are too large for this "
                      "arithmetic");
  if (!gradient_.allFinite())
    throw WorkError("the gradient is not finite: the weights or inputs are too large for this arithmetic");
  choose_vectors_at_once(largest, kept_bytes);
}

template <class S>
void Linearization<S>::choose_vectors_at_once(std::size_t chunk_bytes, std::size_t kept_bytes) {
  const std::size_t sum = static_cast<std::size_t>(model().network_parameters().theta_size()) * sizeof(S);
  const bool all_kept = std::all_of(chunks_.begin(), chunks_.end(), [](const Chunk& c) { return !!c.kept; });
  const std::size_t in_cache = kBlockBytes / std::max(chunk_bytes, sum);
  // A vector takes a sum and two chunks for each thread, sums that wait for others, tangents and the total.
  const std::size_t each = static_cast<std::size_t>(thread_slots()) * (sum + 2 * chunk_bytes) + 8 * sum;
  std::size_t vectors = in_cache;
  if (all_kept)
    vectors = std::max(in_cache, (options_.memory - kept_bytes) / each);
  else if (in_cache == 0)  // k vectors at once evaluate a k-th of the chunks again: more than kept ones save
    vectors = (options_.keep ? options_.memory : 0) / each;
  vectors_at_once_ = std::clamp<Index>(static_cast<Index>(vectors), 1, kMaxVectors);
  if (all_kept || in_cache > 0 || vectors_at_once_ == 1) return;
  for (auto c = chunks_.rbegin();
       c != chunks_.rend() &&
       kept_bytes + static_cast<std::size_t>(vectors_at_once_) * each > options_.memory;
       ++c)
    if (c->kept) {
      kept_bytes -= c->kept->bytes();
      c->kept.reset();
    }
}

template <class S>
BlockView<const S> Linearization<S>::network_weights() const {
  const Vector<S>& w = model().reparametrisation() ? made_weights_ : weights();
  return {w.data(), 1, w.size(), model().network_parameters().weight_slots()};
}

template <class S>
BatchView<const S> Linearization<S>::inputs(Index first, Index count) const {
  const Shape in = model().network().input();
  return {point_.data->X.data() + first * in.size(), 1, count * in.tokens, in.width};
}

template <class S>
Context Linearization<S>::context(Index first, Index count) const {
  Context of = point_.data->context(first, count, model().network().input().tokens);
  of.memory = options_.memory / (4 * static_cast<std::size_t>(thread_slots()));
  return of;
}

template <class S>
void Linearization<S>::evaluate(Index first, Index count, PointState& point) const {
  point.value.context = context(first, count);
  model().network().value(network_weights(), inputs(first, count), point.value, point.y);
}

template <class S>
void Linearization<S>::evaluate_gradient(const Chunk& chunk, PointState& point, BlockView<S> ubar) const {
  point.value.context = context(chunk.first, chunk.count);
  model().network().gradient(network_weights(), inputs(chunk.first, chunk.count),
                             ChunkLoss(*this, chunk.first), point.value, point.y, point.ybar, point.adjoint,
                             ubar, nullptr);
}

template <class S>
auto Linearization<S>::point_at(const Chunk& chunk, Workspace& work, bool with_gradient) const
    -> const PointState& {
  if (chunk.kept) return *chunk.kept;
  if (!work.point) work.point = std::make_unique<PointState>();
  if (with_gradient) {
    const ParameterLayout& network = model().network_parameters();
    auto scratch = columns(work.scratch, network.theta_size(), 1);  // only what the rules save is wanted
    scratch.setZero();
    evaluate_gradient(chunk, *work.point, mutable_view<S>(scratch, network.theta_slots()));
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
BlockView<const S> Linearization<S>::network_tangent(ConstVectorsRef<S> V) const {
  const ParameterLayout& network = model().network_parameters();
  if (!model().reparametrisation()) return view<S>(V, network.theta_slots());
  auto moved = columns(moved_, network.theta_size(), V.cols());
  model().reparametrisation()->tangent(view<S>(weights(), parameters().weight_slots()),
                                       view<S>(V, parameters().theta_slots()),
                                       mutable_view<S>(moved, network.theta_slots()));
  return view<S>(moved, network.theta_slots());
}

template <class S>
void Linearization<S>::add_adjoint(ConstVectorsRef<S> ubar, VectorsRef<S> out) const {
  if (const Reparametrisation<S>* of = model().reparametrisation())
    of->adjoint(view<S>(weights(), parameters().weight_slots()),
                view<S>(ubar, model().network_parameters().theta_slots()),
                mutable_view<S>(out, parameters().theta_slots()));
  else
    out += ubar;
}

template <class S>
template <class Body>
auto Linearization<S>::sum_over_chunks(Index k, const Body& body) const {
  const ParameterLayout& network = model().network_parameters();
  workspaces_.resize(std::max<std::size_t>(workspaces_.size(), thread_slots()));
  return sum_(static_cast<Index>(chunks_.size()), network.theta_size(), k,
              [&](Index c, Index slot, VectorsRef<S> sum) {
                body(chunks_[c], workspaces_[slot], mutable_view<S>(sum, network.theta_slots()));
              });
}

template <class S>
void Linearization<S>::jvp(ConstVectorsRef<S> V, VectorsRef<S> JV) const {
  check_size("jvp: length of the vectors", V.rows(), theta_size());
  check_size("jvp: length of the results", JV.rows(), output_size());
  check_size("jvp: number of results", JV.cols(), V.cols());
  const Index per_sample = model().network().output().size();
  workspaces_.resize(std::max<std::size_t>(workspaces_.size(), thread_slots()));
  for_blocks(V.cols(), [&](Index j, Index k) {
    const BlockView<const S> du = network_tangent(V.middleCols(j, k));
    parallel_for(static_cast<Index>(chunks_.size()), [&](Index c, Index slot) {
      Workspace& work = workspaces_[slot];
      const Chunk& chunk = chunks_[c];
      model().network().tangent(network_weights(), point_at(chunk, work, false).value, {}, du, work.tangent,
                                work.dy);
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
  const Shape out = model().network().output();
  JtU.setZero();
  for_blocks(U.cols(), [&](Index j, Index k) {
    const auto sum = sum_over_chunks(k, [&](const Chunk& chunk, Workspace& work, BlockView<S> wbar) {
      const PointState& point = point_at(chunk, work, false);
      work.dybar.resize(k, chunk.count * out.tokens, out.width);
      for (Index i = 0; i < k; ++i)
        std::copy_n(U.col(j + i).data() + chunk.first * out.size(), chunk.count * out.size(),
                    work.dybar[i].data());
      model().network().adjoint(network_weights(), point.value, work.dybar.view(), work.adjoint, wbar,
                                nullptr);
    });
    add_adjoint(sum, JtU.middleCols(j, k));
  });
}

template <class S>
template <class Through>
void Linearization<S>::there_and_back(ConstVectorsRef<S> V, VectorsRef<S> out, const Through& through) const {
  out.setZero();
  for_blocks(V.cols(), [&](Index j, Index k) {
    const BlockView<const S> du = network_tangent(V.middleCols(j, k));
    const auto sum = sum_over_chunks(k, [&](const Chunk& chunk, Workspace& work, BlockView<S> wbar) {
      const PointState& point = point_at(chunk, work, false);
      model().network().tangent(network_weights(), point.value, {}, du, work.tangent, work.dy);
      const Batch<S>& back = through(chunk, point, work);
      model().network().adjoint(network_weights(), point.value, back.view(), work.adjoint, wbar, nullptr);
    });
    add_adjoint(sum, out.middleCols(j, k));
  });
}

template <class S>
void Linearization<S>::gauss_newton(ConstVectorsRef<S> V, VectorsRef<S> GV) const {
  check_size("gauss_newton: length of the vectors", V.rows(), theta_size());
  check_size("gauss_newton: length of the results", GV.rows(), theta_size());
  check_size("gauss_newton: number of results", GV.cols(), V.cols());
  there_and_back(V, GV, [&](const Chunk& chunk, const PointState& point, Workspace& work) -> const Batch<S>& {
    const ChunkLoss loss(*this, chunk.first);
    work.dybar.resize(work.dy.count(), work.dy.rows(), work.dy.cols());
    for (Index i = 0; i < work.dy.count(); ++i) loss.curvature(0, point.y[0], work.dy[i], work.dybar[i]);
    return work.dybar;
  });
}

template <class S>
void Linearization<S>::gram(ConstVectorsRef<S> V, VectorsRef<S> JtJV) const {
  check_size("gram: length of the vectors", V.rows(), theta_size());
  check_size("gram: length of the results", JtJV.rows(), theta_size());
  check_size("gram: number of results", JtJV.cols(), V.cols());
  there_and_back(V, JtJV,
                 [](const Chunk&, const PointState&, Workspace& work) -> const Batch<S>& { return work.dy; });
}

template <class S>
void Linearization<S>::hessian(ConstVectorsRef<S> V, VectorsRef<S> HV) const {
  check_size("hessian: length of the vectors", V.rows(), theta_size());
  check_size("hessian: length of the results", HV.rows(), theta_size());
  check_size("hessian: number of results", HV.cols(), V.cols());
  HV.setZero();
  for_blocks(V.cols(), [&](Index j, Index k) {
    const BlockView<const S> du = network_tangent(V.middleCols(j, k));
    const auto sum = sum_over_chunks(k, [&](const Chunk& chunk, Workspace& work, BlockView<S> wbar) {
      const PointState& point = point_at(chunk, work, true);
      model().network().hessian(network_weights(), point.value, point.adjoint, point.y.view(), {}, du,
                                ChunkLoss(*this, chunk.first), work.tangent, work.dy, work.dybar, wbar,
                                nullptr);
    });
    if (const Reparametrisation<S>* of = model().reparametrisation()) {
      const auto network = model().network_parameters().theta_slots();
      of->tangent_of_adjoint(view<S>(weights(), parameters().weight_slots()),
                             view<S>(network_gradient_, network),
                             view<S>(V.middleCols(j, k), parameters().theta_slots()), view<S>(sum, network),
                             mutable_view<S>(HV.middleCols(j, k), parameters().theta_slots()));
    } else {
      HV.middleCols(j, k) += sum;
    }
  });
}

template <class S>
const Matrix<S>& Linearization<S>::outputs() const {
  if (outputs_.size() > 0) return outputs_;
  const Shape out = model().network().output();
  outputs_.resize(point_.data->samples * out.tokens, out.width);
  workspaces_.resize(std::max<std::size_t>(workspaces_.size(), thread_slots()));
  parallel_for(static_cast<Index>(chunks_.size()), [&](Index c, Index slot) {
    const Chunk& chunk = chunks_[c];
    outputs_.middleRows(chunk.first * out.tokens, chunk.count * out.tokens) =
        point_at(chunk, workspaces_[slot], false).y[0];
  });
  return outputs_;
}

template <class S>
Matrix<S> Linearization<S>::residual() const {
  const Matrix<S>& F = outputs();
  Matrix<S> r(F.rows(), F.cols());
  loss_rule_.gradient(0, F, r);
  return r;
}

template <class S>
std::vector<double> Linearization<S>::over_outputs(
    const std::function<double(Index, ConstMatrixRef<S>)>& of) const {
  if (outputs_.size() > 0) return {of(0, outputs_)};
  const Index tokens = model().network().output().tokens;
  std::vector<double> all(chunks_.size());
  workspaces_.resize(std::max<std::size_t>(workspaces_.size(), thread_slots()));
  parallel_for(static_cast<Index>(chunks_.size()), [&](Index c, Index slot) {
    all[c] = of(chunks_[c].first * tokens, point_at(chunks_[c], workspaces_[slot], false).y[0]);
  });
  return all;
}

template <class S>
double Linearization<S>::sum_over_outputs(const std::function<double(Index, ConstMatrixRef<S>)>& of) const {
  return tree_sum<double>(over_outputs(of));
}

template <class S>
double Linearization<S>::outputs_norm() const {
  return norm_of(
      over_outputs([](Index, ConstMatrixRef<S> F) { return static_cast<double>(F.stableNorm()); }));
}

template <class S>
double Linearization<S>::residual_norm() const {
  return norm_of(over_outputs([&](Index first, ConstMatrixRef<S> F) {
    Matrix<S> r(F.rows(), F.cols());
    loss_rule_.gradient(first, F, r);
    return static_cast<double>(r.stableNorm());
  }));
}

template <class S>
double Linearization<S>::residual_distance(const Linearization& other) const {
  check_size("residual_distance: number of outputs", other.output_size(), output_size());
  return norm_of(over_outputs([&](Index first, ConstMatrixRef<S> F) {
    const Matrix<S> elsewhere = other.outputs_of(first, F.rows());
    Matrix<S> r(F.rows(), F.cols()), r_other(F.rows(), F.cols());
    loss_rule_.gradient(first, F, r);
    other.loss_rule_.gradient(first, elsewhere, r_other);
    return static_cast<double>((r_other - r).stableNorm());
  }));
}

template <class S>
Matrix<S> Linearization<S>::outputs_of(Index first_row, Index rows) const {
  if (outputs_.size() > 0) return outputs_.middleRows(first_row, rows);
  const Index tokens = model().network().output().tokens;
  PointState point;  // of the calling thread, whatever slot it has elsewhere
  evaluate(first_row / tokens, rows / tokens, point);
  return point.y[0];
}

template <class S>
void Linearization<S>::jacobian_of_sample(Index i, Index slot, VectorsRef<S> Jt) const {
  const Shape out = model().network().output();
  Workspace& work = workspaces_.at(slot);
  if (!work.point) work.point = std::make_unique<PointState>();
  evaluate(i, 1, *work.point);
  const ParameterLayout& network = model().network_parameters();
  Jt.setZero();
  for (Index row = 0; row < out.size(); row += kMaxVectors) {
    const Index k = std::min(kMaxVectors, out.size() - row);
    work.dybar.resize_zero(k, out.tokens, out.width);
    for (Index u = 0; u < k; ++u) work.dybar[u].data()[row + u] = 1;
    auto sum = columns(work.scratch, network.theta_size(), k);
    sum.setZero();
    model().network().adjoint(network_weights(), work.point->value, work.dybar.view(), work.adjoint,
                              mutable_view<S>(sum, network.theta_slots()), nullptr);
    add_adjoint(sum, Jt.middleCols(row, k));
  }
}

template <class S>
Vectors<S> Linearization<S>::jacobian_transposed(const Progress& progress) const {
  const Index columns = model().network().output().size();
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
