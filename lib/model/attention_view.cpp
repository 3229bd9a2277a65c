#include "basin/model/attention_view.h"

#include "basin/linalg/errors.h"

namespace basin {

AttentionView::AttentionView(const ModelPoint<double>& point, const std::string& what) : point_(point) {
  const auto spec = single_attention(point.model->architecture());
  if (!spec)
    throw InputError(what +
                     " is known for a single attention layer under squared loss only; the network is "
                     "another one");
  spec_ = *spec;
}

bool is_single_attention(const ModelPoint<double>& point) {
  return single_attention(point.model->architecture()).has_value();
}

}  // namespace basin
