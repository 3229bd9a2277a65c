/// A model: layers, a loss, and the choice of what is trained.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/loss.h"
#include "model/parameters.h"
#include "model/sequential.h"

namespace basin {

/// Immutable; holds no parameter values and no data.
template <class S>
class Model {
 public:
  /// `trainable` names parameter blocks; theta is their concatenation in the model's own order.
  /// Throws InputError (see Sequential and ParameterLayout).
  Model(typename Sequential<S>::Layers layers, std::unique_ptr<const Loss<S>> loss,
        const std::vector<std::string>& trainable)
      : network_(std::move(layers)), loss_(std::move(loss)), parameters_(network_.blocks(), trainable) {}

  const Layer<S>& network() const { return network_; }
  const Loss<S>& loss() const { return *loss_; }
  const ParameterLayout& parameters() const { return parameters_; }

 private:
  Sequential<S> network_;
  std::unique_ptr<const Loss<S>> loss_;
  ParameterLayout parameters_;
};

/// Inputs and targets of N samples, the rows ordered (sample, token).
template <class S>
struct Data {
  Index samples;  ///< N
  Matrix<S> X;    ///< N n x D
  Matrix<S> Y;    ///< (N tokens of an output) x D_out
};

}  // namespace basin
