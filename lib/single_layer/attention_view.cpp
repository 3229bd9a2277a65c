#include "basin/single_layer/attention_view.h"

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

}  // namespace basin
