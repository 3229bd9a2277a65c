/// A model: a network, a loss, and the choice of what is trained.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/architecture.h"
#include "model/folding.h"
#include "model/loss.h"
#include "model/parameters.h"

namespace basin {

/// Immutable; holds no parameter values and no data.
template <class S>
class Model {
 public:
  /// `network` and `folding` are what the architecture describes. `trainable` names parameter blocks; theta
  /// is their concatenation in the model's own order. The blocks are those of `folding`, or those of the
  /// network itself when there is none. Throws InputError (see ParameterLayout).
  Model(Architecture architecture, std::unique_ptr<const Layer<S>> network,
        std::unique_ptr<const Loss<S>> loss, const std::vector<std::string>& trainable,
        std::unique_ptr<const Folding<S>> folding = nullptr)
      : architecture_(std::move(architecture)),
        network_(std::move(network)),
        loss_(std::move(loss)),
        folding_(folding ? std::move(folding) : std::make_unique<NoFolding<S>>(network_->blocks())),
        parameters_(folding_->blocks(), trainable),
        network_parameters_(network_->blocks(), moving_blocks()) {}

  /// What it is, as data: `build` makes the same network of it, with other blocks trained or in another
  /// precision.
  const Architecture& architecture() const { return architecture_; }
  const Layer<S>& network() const { return *network_; }
  const Loss<S>& loss() const { return *loss_; }
  const Folding<S>& folding() const { return *folding_; }
  const ParameterLayout& parameters() const { return parameters_; }
  /// The blocks that the rules of the network take; trainable are those that depend on theta.
  const ParameterLayout& network_parameters() const { return network_parameters_; }

  /// What the network takes for these weights.
  Vector<S> fold(const Vector<S>& weights) const {
    Vector<S> u(network_parameters_.weight_count());
    folding_->value({weights.data(), 1, weights.size(), parameters_.weight_slots()},
                    {u.data(), 1, u.size(), network_parameters_.weight_slots()});
    return u;
  }

 private:
  std::vector<std::string> moving_blocks() const {
    const std::vector<ParameterBlock> blocks = network_->blocks();
    std::vector<std::string> names;
    for (std::size_t u = 0; u < blocks.size(); ++u)
      for (std::size_t w = 0; w < parameters_.entries().size(); ++w)
        if (parameters_.entries()[w].trainable() && folding_->depends(u, w)) {
          names.push_back(blocks[u].name);
          break;
        }
    return names;
  }

  Architecture architecture_;
  std::unique_ptr<const Layer<S>> network_;
  std::unique_ptr<const Loss<S>> loss_;
  std::unique_ptr<const Folding<S>> folding_;
  ParameterLayout parameters_, network_parameters_;
};

/// Inputs and targets of N samples, the rows ordered (sample, token).
template <class S>
struct Data {
  Index samples;  ///< N
  Matrix<S> X;    ///< N n x D
  Matrix<S> Y;    ///< (N tokens of an output) x D_out
};

}  // namespace basin
