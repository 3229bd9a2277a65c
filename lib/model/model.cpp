#include "basin/model/model.h"

#include "basin/model/attention_model.h"

namespace basin {

template <class S>
std::shared_ptr<const Model<S>> build(const Architecture& architecture,
                                      const std::vector<std::string>& trainable) {
  if (const auto spec = single_attention(architecture)) return build_single_attention<S>(*spec, trainable);
  return std::make_shared<const Model<S>>(architecture, make_network<S>(architecture),
                                          make_loss<S>(architecture.loss), trainable);
}

template std::shared_ptr<const Model<double>> build(const Architecture&, const std::vector<std::string>&);
template std::shared_ptr<const Model<float>> build(const Architecture&, const std::vector<std::string>&);

}  // namespace basin
