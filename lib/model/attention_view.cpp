#include "basin/model/attention_view.h"

#include "basin/linalg/errors.h"

namespace basin {

AttentionView::AttentionView(const ModelPoint<double>& point, const std::string& what) : point_(point) {
  if (!is_single_attention(point))
    throw InputError(what +
                     " is known for a single attention layer under squared loss only; the network is "
                     "another one" +
                     (single_attention(point.model->architecture()) ? ": it has masked tokens" : ""));
  spec_ = *single_attention(point.model->architecture());
}

bool is_single_attention(const ModelPoint<double>& point) {
  return single_attention(point.model->architecture()).has_value() &&
         (!point.data || point.data->mask.empty());
}

}  // namespace basin
