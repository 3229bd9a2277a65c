#include "basin/model/attention_view.h"

#include "basin/linalg/errors.h"

namespace basin {

AttentionView::AttentionView(const ModelPoint<double>& point, const std::string& what) : point_(point) {
  const auto spec = single_attention(point);
  if (!spec)
    throw InputError(what +
                     " is known for a single attention layer under squared loss only; the network is "
                     "another one" +
                     (single_attention(point.model->architecture()) ? ": it has masked tokens" : ""));
  spec_ = *spec;
}

std::optional<AttentionSpec> single_attention(const ModelPoint<double>& point) {
  if (point.data && !point.data->mask.empty()) return std::nullopt;
  return single_attention(point.model->architecture());
}

}  // namespace basin
