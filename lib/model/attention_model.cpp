#include "basin/model/attention_model.h"

#include <algorithm>

#include "basin/network/attention_layers.h"

namespace basin {
namespace {

/// How to take derivatives of scores: by the products that a token takes for it in a Hessian product, here
/// and there. The scores of the Gaussian kernel are no scalar products.
ScoreRules score_rules(const AttentionSpec& s, const std::vector<std::string>& trainable) {
  const auto trains = [&](const char* block) {
    return std::find(trainable.begin(), trainable.end(), block) != trainable.end();
  };
  if (s.kernel != KernelKind::softmax || s.options != AttentionOptions{} || !trains("W_Q") || !trains("W_K"))
    return ScoreRules::factored;
  const Index n = s.tokens, D = s.embedding, d = s.head_dim;
  const Index factored = 7 * n * d + 4 * D * d, bilinear = n * (d + 2 * D) + 3 * D * d + D * D;
  return bilinear < factored ? ScoreRules::bilinear : ScoreRules::factored;
}

}  // namespace

template <class S>
std::shared_ptr<const Model<S>> build_single_attention(const AttentionSpec& spec,
                                                       const std::vector<std::string>& trainable) {
  return std::make_shared<const Model<S>>(single_attention(spec),
                                          make_attention<S>(spec, score_rules(spec, trainable)),
                                          std::make_unique<SquaredLoss<S>>(), trainable);
}

std::optional<AttentionSpec> single_attention(const ModelPoint<double>& point) {
  if (point.data && !point.data->mask.empty()) return std::nullopt;
  return single_attention(point.model->architecture());
}

template std::shared_ptr<const Model<double>> build_single_attention(const AttentionSpec&,
                                                                     const std::vector<std::string>&);
template std::shared_ptr<const Model<float>> build_single_attention(const AttentionSpec&,
                                                                    const std::vector<std::string>&);

}  // namespace basin
