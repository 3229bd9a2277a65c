/// A point of the network that is one attention layer under squared loss, in the layer's own terms.
#pragma once

#include <optional>
#include <string>

#include "basin/model/attention_model.h"
#include "basin/model/model_point.h"

namespace basin {

/// What is written for the single layer reaches its blocks through this: it is where head h of W_V stands.
/// Refers to the point, which must outlive it.
class AttentionView {
  template <class T>
  static auto of(T& vector, std::span<const BlockSlot> slots) {
    using S = std::remove_pointer_t<decltype(vector.data())>;
    return BlockView<S>(vector.data(), 1, vector.size(), slots);
  }

 public:
  using Block = BlockView<const double>::Map;

  /// The blocks inside a vector of all weights, or one over theta, which has the trained ones:
  /// of_theta(v)(kV, 0, h) is head h of W_V.
  template <class T>
  auto of_weights(T& vector) const {
    return of(vector, point_.parameters().weight_slots());
  }
  template <class T>
  auto of_theta(T& vector) const {
    return of(vector, point_.parameters().theta_slots());
  }

  /// `what` needs the single layer, in words for the message. Throws InputError for another network.
  explicit AttentionView(const ModelPoint<double>& point, const std::string& what = "this");
  explicit AttentionView(ModelPoint<double>&&, const std::string& what = "this") = delete;

  const ModelPoint<double>& point() const { return point_; }
  const AttentionSpec& spec() const { return spec_; }
  const Data<double>& data() const { return *point_.data; }
  bool softmax() const { return spec_.kernel == KernelKind::softmax; }

  Block W_Q(Index h) const { return block(kQ, h); }  ///< D x d
  Block W_K(Index h) const { return block(kK, h); }  ///< D x d
  Block W_V(Index h) const { return block(kV, h); }  ///< D x d
  Block W_O(Index h) const { return block(kO, h); }  ///< d x D_out
  Block block(AttentionBlock b, Index h) const { return of_weights(point_.weights)(b, 0, h); }
  const ParameterLayout::Entry& entry(AttentionBlock b) const { return point_.parameters().entries()[b]; }
  bool trains(AttentionBlock b) const { return entry(b).trainable(); }

 private:
  const ModelPoint<double>& point_;
  AttentionSpec spec_;
};

}  // namespace basin
