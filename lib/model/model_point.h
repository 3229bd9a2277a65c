/// A model at a point: the one type for a network, its weights and its data.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "basin/model/model.h"

namespace basin {

struct LinearizationOptions;
template <class S>
class Linearization;

/// A loss and the length of its gradient in the outputs.
template <class S>
struct OutputScale {
  S loss, residual;
};

/// Where everything is asked: f, its derivatives, kernels, slices, whether it is a minimum. Cheap to copy but
/// for the weights.
template <class S>
struct ModelPoint {
  std::shared_ptr<const Model<S>> model;
  Vector<S> weights;  ///< of all blocks
  std::shared_ptr<const Data<S>> data;

  const ParameterLayout& parameters() const { return model->parameters(); }
  Index theta_size() const { return parameters().theta_size(); }                          ///< P
  Index output_size() const { return data->samples * model->network().output().size(); }  ///< m
  Vector<S> theta() const { return parameters().extract(weights); }

  /// The same at other trained weights (P), or at other weights of all blocks.
  ModelPoint at(const Vector<S>& theta) const {
    ModelPoint other = *this;
    parameters().insert(theta, other.weights);
    return other;
  }
  ModelPoint at_weights(Vector<S> all) const { return {model, std::move(all), data}; }

  /// The same point with other blocks trained. Throws InputError (see ParameterLayout).
  ModelPoint with_trainable(const std::vector<std::string>& names) const {
    return {build<S>(model->architecture(), names), weights, data};
  }

  /// The same point in another precision.
  template <class T>
  ModelPoint<T> cast() const {
    if constexpr (std::is_same_v<S, T>)
      return *this;
    else
      return {build<T>(model->architecture(), parameters().trained()), weights.template cast<T>(),
              std::make_shared<Data<T>>(Data<T>{data->samples, data->X.template cast<T>(),
                                                data->Y.template cast<T>(), data->ids, data->mask,
                                                data->types, data->labels})};
  }

  /// The same problem with other roundings (model/perturbation.h): another one for each index.
  ModelPoint perturbed(std::uint64_t index) const;

  /// The loss and |r| of outputs 0: what they are relative to.
  OutputScale<S> scale_at_zero() const;
  /// The size of the targets: |r| of outputs 0, |Y| for a quadratic loss.
  S target_size() const { return scale_at_zero().residual; }

  /// See model/linearization.h.
  Linearization<S> linearize() const;
  Linearization<S> linearize(const LinearizationOptions& options) const;
};

}  // namespace basin
