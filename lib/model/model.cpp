#include "basin/model/model.h"

#include <algorithm>

#include "basin/linalg/errors.h"
#include "basin/model/attention_model.h"

namespace basin {

template <class S>
std::shared_ptr<const Model<S>> build(const Architecture& architecture,
                                      const std::vector<std::string>& trainable) {
  if (const auto spec = single_attention(architecture)) return build_single_attention<S>(*spec, trainable);
  return std::make_shared<const Model<S>>(architecture, make_network<S>(architecture),
                                          make_loss<S>(architecture.loss), trainable);
}

template <class S>
Mask counting_rows(const Layer<S>& network, const Data<S>& data) {
  Mask mask = data.mask;
  network.mask(mask);
  const auto ignored = [](std::int32_t label) { return label < 0; };
  if (std::none_of(data.labels.begin(), data.labels.end(), ignored)) return mask;
  if (mask.empty()) mask.assign(data.labels.size(), 1);
  for (std::size_t row = 0; row < std::min(mask.size(), data.labels.size()); ++row)
    if (data.labels[row] < 0) mask[row] = 0;
  return mask;
}

template <class S>
DataLoss<S>::DataLoss(const Model<S>& model, const Data<S>& data)
    : loss_(model.loss()), Y_(data.Y), labels_(data.labels), counting_(counting_rows(model.network(), data)) {
  const Shape out = model.network().output();
  const auto check = [](const char* what, Index found, Index expected) {
    if (found != expected)
      throw InputError(std::string(what) + ": expected " + std::to_string(expected) + ", found " +
                       std::to_string(found));
  };
  const Index rows = data.samples * out.tokens;
  if (facts().labels) {
    check("rows of Y, where targets are labels", data.Y.rows(), 0);
    check("number of labels", static_cast<Index>(labels_.size()), rows);
    for (const std::int32_t label : labels_)
      if (label >= out.width)
        throw InputError("label " + std::to_string(label) + ": the network has " + std::to_string(out.width) +
                         " outputs, for classes from 0");
  } else {
    check("number of labels, where targets are numbers", static_cast<Index>(labels_.size()), 0);
    check("rows of Y", data.Y.rows(), rows);
    check("columns of Y", data.Y.cols(), out.width);
  }
  const auto counts = [&](Index row) { return counting_.empty() || counting_[row] != 0; };
  Index counting = 0, samples = 0;
  for (Index sample = 0; sample < data.samples; ++sample) {
    const Index before = counting;
    for (Index row = sample * out.tokens; row < (sample + 1) * out.tokens; ++row)
      if (counts(row)) ++counting;
    if (counting > before) ++samples;
  }
  if (counting == 0) throw InputError("no row counts in the loss: all are masked or have no label");
  Index terms = 1;
  switch (facts().average) {
    case Average::rows:
      terms = counting;
      break;
    case Average::samples:
      terms = samples;
      break;
    case Average::elements:
      terms = counting * out.width;
      break;
    case Average::sum:
      break;
  }
  scale_ = 1 / static_cast<S>(terms);
}

template class DataLoss<double>;
template class DataLoss<float>;
template Mask counting_rows(const Layer<double>&, const Data<double>&);
template Mask counting_rows(const Layer<float>&, const Data<float>&);
template std::shared_ptr<const Model<double>> build(const Architecture&, const std::vector<std::string>&);
template std::shared_ptr<const Model<float>> build(const Architecture&, const std::vector<std::string>&);

}  // namespace basin
