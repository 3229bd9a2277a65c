/// A model: a network, a loss, and the choice of what is trained.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "basin/model/loss.h"
#include "basin/network/architecture.h"
#include "basin/network/parameters.h"

namespace basin {

/// Immutable; holds no parameter values and no data.
template <class S>
class Model {
 public:
  /// `network` is what the architecture describes. `trainable` names parameter blocks, those of the network's
  /// reparametrisation if it has one; theta is their concatenation in the model's own order. Throws
  /// InputError (see ParameterLayout).
  Model(Architecture architecture, std::unique_ptr<const Layer<S>> network,
        std::unique_ptr<const Loss<S>> loss, const std::vector<std::string>& trainable)
      : architecture_(std::move(architecture)),
        network_(std::move(network)),
        loss_(std::move(loss)),
        parameters_(reparametrisation() ? reparametrisation()->blocks() : network_->blocks(), trainable),
        network_parameters_(network_->blocks(), reparametrisation() ? moving_blocks() : trainable) {}

  /// What it is, as data: `build` makes the same network of it, with other blocks trained or in another
  /// precision.
  const Architecture& architecture() const { return architecture_; }
  const Layer<S>& network() const { return *network_; }
  const Loss<S>& loss() const { return *loss_; }
  /// What makes the blocks that the rules take of those that are trained; null: they are the same.
  const Reparametrisation<S>* reparametrisation() const { return network_->reparametrisation(); }
  const ParameterLayout& parameters() const { return parameters_; }
  /// The blocks that the rules of the network take; trainable are those that depend on theta.
  const ParameterLayout& network_parameters() const { return network_parameters_; }

  /// What the rules take for these weights: the weights themselves, or what `made` then holds.
  const Vector<S>& network_weights(const Vector<S>& weights, Vector<S>& made) const {
    if (!reparametrisation()) return weights;
    made.resize(network_parameters_.weight_count());
    reparametrisation()->value({weights.data(), 1, weights.size(), parameters_.weight_slots()},
                               {made.data(), 1, made.size(), network_parameters_.weight_slots()});
    return made;
  }

 private:
  std::vector<std::string> moving_blocks() const {
    const std::vector<ParameterBlock> blocks = network_->blocks();
    const auto trained = parameters_.theta_slots();
    std::vector<std::string> names;
    for (std::size_t u = 0; u < blocks.size(); ++u)
      for (std::size_t w = 0; w < trained.size() && blocks[u].tied_to.empty(); ++w)
        if (trained[w].offset >= 0 && reparametrisation()->depends(u, w)) {
          names.push_back(blocks[u].name);
          break;
        }
    return names;
  }

  Architecture architecture_;
  std::unique_ptr<const Layer<S>> network_;
  std::unique_ptr<const Loss<S>> loss_;
  ParameterLayout parameters_, network_parameters_;
};

/// The network with a choice of trained blocks. Throws InputError as `blocks`, and for a wrong `trainable`
/// (ParameterLayout).
template <class S>
std::shared_ptr<const Model<S>> build(const Architecture& architecture,
                                      const std::vector<std::string>& trainable);

/// Inputs and targets of N samples, the rows ordered (sample, token).
template <class S>
struct Data {
  Index samples;                          ///< N
  Matrix<S> X;                            ///< N n x D
  Matrix<S> Y;                            ///< (N tokens of an output) x D_out; empty: there are labels
  std::vector<std::int32_t> ids = {};     ///< token ids, N n; empty: there are none
  Mask mask = {};                         ///< N n; masked rows of the outputs count in no loss
  std::vector<std::int32_t> types = {};   ///< token types, N n; empty: there are none
  std::vector<std::int32_t> labels = {};  ///< classes, N tokens of an output; negative: counts in no loss

  /// What samples first, ..., first + count - 1 have beside their numbers.
  Context context(Index first, Index count, Index tokens) const {
    const auto part = [&](const auto& of) {
      return of.empty() ? std::span(of) : std::span(of).subspan(first * tokens, count * tokens);
    };
    return {part(ids), part(mask), part(types)};
  }
};

/// Which rows of the outputs of a network count in its loss: those of no masked token and with a label, if
/// there are labels. Empty: all do.
template <class S>
Mask counting_rows(const Layer<S>& network, const Data<S>& data);

/// The loss on rows of the outputs of a model on data, over the rows that count and averaged as it says.
template <class S>
class DataLoss {
 public:
  /// Throws InputError where the targets are not what the loss takes, or do not fit the outputs, or no row
  /// counts.
  DataLoss(const Model<S>& model, const Data<S>& data);

  const LossFacts& facts() const { return loss_.facts(); }
  const Mask& counting() const { return counting_; }  ///< as counting_rows

  S value(Index first_row, ConstMatrixRef<S> F) const {
    S sum = 0;
    for_counting_rows(first_row, F.rows(), [&](Index row, Index count) {
      sum += loss_.value(F.middleRows(row, count), targets(first_row + row, count));
    });
    return scale_ * sum;
  }
  void gradient(Index first_row, ConstMatrixRef<S> F, MatrixRef<S> r) const {
    if (!counting_.empty()) r.setZero();
    for_counting_rows(first_row, F.rows(), [&](Index row, Index count) {
      loss_.gradient(F.middleRows(row, count), targets(first_row + row, count), r.middleRows(row, count));
      if (scale_ != 1) r.middleRows(row, count) *= scale_;
    });
  }
  void curvature(Index first_row, ConstMatrixRef<S> F, ConstMatrixRef<S> dF, MatrixRef<S> dr) const {
    if (!counting_.empty()) dr.setZero();
    for_counting_rows(first_row, F.rows(), [&](Index row, Index count) {
      loss_.hessian_product(F.middleRows(row, count), targets(first_row + row, count),
                            dF.middleRows(row, count), dr.middleRows(row, count));
      if (scale_ != 1) dr.middleRows(row, count) *= scale_;
    });
  }

 private:
  Targets<S> targets(Index row, Index count) const {
    if (labels_.empty()) return {Y_.middleRows(row, count)};
    return {Y_, labels_.subspan(static_cast<std::size_t>(row), static_cast<std::size_t>(count))};
  }
  /// body(row, count) for every run of counting rows among those from first_row.
  template <class Body>
  void for_counting_rows(Index first_row, Index rows, const Body& body) const {
    if (counting_.empty()) return body(0, rows);
    for (Index row = 0; row < rows; ++row) {
      Index end = row;
      while (end < rows && counting_[first_row + end]) ++end;
      if (end > row) body(row, end - row);
      row = end;
    }
  }

  const Loss<S>& loss_;
  const Matrix<S>& Y_;
  std::span<const std::int32_t> labels_;
  Mask counting_;
  S scale_ = 1;  // 1 over what the sum is divided by
};

}  // namespace basin
