#include "basin/single_layer/theory.h"

#include "basin/single_layer/attention_factors.h"
#include "basin/single_layer/attention_symmetries.h"
#include "basin/single_layer/attention_view.h"
#include "basin/single_layer/head_signatures.h"
#include "basin/single_layer/kernel_minima.h"
#include "basin/single_layer/natural_length.h"
#include "basin/single_layer/symmetry_count.h"
#include "basin/single_layer/underflow.h"

namespace basin {
namespace {

class AttentionTheory final : public NetworkTheory {
 public:
  using NetworkTheory::NetworkTheory;

  Symmetries symmetries(const ModelPoint<double>& point) const override {
    return attention_symmetries(point);
  }
  std::optional<Index> generic_modes(const ModelPoint<double>& point) const override {
    return symmetry_count(point, data_features(*point.data));
  }
  double product_underflow(const Linearization<double>& at) const override {
    return attention_underflow(at.point());
  }
  double natural_length(const ModelPoint<double>& point) const override { return attention_length(point); }
  /// From factors where these suffice.
  KernelMinimum trained_kernel(const Linearization<double>& at, double memory) const override {
    const ModelPoint<double>& point = at.point();
    MinimaOptions options;
    options.memory = memory;
    return kernel_minima(point, measured_factors(point), {point.parameters().trained()}, options)
        .minima.back();
  }
  /// In W_V alone, and in W_O alone.
  bool is_linear(const ModelPoint<double>& point) const override {
    const AttentionView at(point);
    return !at.trains(kQ) && !at.trains(kK) && at.trains(kV) != at.trains(kO);
  }
  PointSignature signature(const ModelPoint<double>& point) const override {
    return attention_signature(point);
  }
  Saturation saturation(const ModelPoint<double>& point) const override {
    SaturationOfRows rows;
    for (const HeadFactors& head : attention_factors(point).heads) rows.add(head.S);
    return rows.result();
  }
  std::vector<LayerSaturation> layer_saturation(const ModelPoint<double>& /*point*/) const override {
    return {};
  }
};

}  // namespace

std::shared_ptr<const NetworkTheory> theory_of(const ModelPoint<double>& point) {
  if (is_single_attention(point)) return std::make_shared<const AttentionTheory>(point);
  return std::make_shared<const NetworkTheory>(point);
}

}  // namespace basin
