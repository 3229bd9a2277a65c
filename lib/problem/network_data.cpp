#include "basin/problem/network_data.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"
#include "basin/network/architecture_json.h"

namespace basin {
namespace {

using Extent = std::vector<Index>;

[[noreturn]] void wrong_shape(const Extent& found, const std::string& expected) {
  throw InputError("found shape " + shape_text(found) + "; expected " + expected);
}

void check_positive(const Extent& shape) {
  if (std::any_of(shape.begin(), shape.end(), [](Index size) { return size < 1; }))
    wrong_shape(shape, "at least 1 everywhere");
}

/// "found 7 at (1, 2)", of an array with rows of n numbers.
std::string place(double value, Index k, Index n) {
  std::ostringstream text;
  text << "found " << value << " at (" << k / n << ", " << k % n << ")";
  return text.str();
}

/// Numbers of shape (N, n) that are whole and from 0 to `most`.
void check_whole(const Extent& shape, const Vector<double>& values, Index most) {
  for (Index k = 0; k < values.size(); ++k)
    if (!(values[k] >= 0 && values[k] <= static_cast<double>(most) && values[k] == std::floor(values[k])))
      throw InputError(place(values[k], k, shape[1]) + "; expected whole numbers from 0 to " +
                       std::to_string(most));
}

/// Token ids of shape (N, n).
void check_ids(const Extent& shape, const Vector<double>& values, Index vocabulary) {
  for (Index k = 0; k < values.size(); ++k)
    if (!(values[k] >= 0 && values[k] < static_cast<double>(vocabulary) &&
          values[k] == std::floor(values[k]))) {
      std::ostringstream text;
      text.precision(values[k] == std::floor(values[k]) ? 20 : 6);
      text << "token " << values[k] << " at sample " << k / shape[1] << ", position " << k % shape[1]
           << "; the vocabulary has " << vocabulary << ", expected whole numbers from 0 to "
           << vocabulary - 1;
      throw InputError(text.str());
    }
}

Matrix<double> as_rows(const Vector<double>& values, Index width) {
  return Eigen::Map<const Matrix<double>>(values.data(), values.size() / width, width);
}

}  // namespace

Architecture described_network(const std::string& json, const VariableValues& variables) {
  Architecture architecture = architecture_from_json(json, variables);
  static_cast<void>(blocks(architecture));
  static_cast<void>(make_loss<double>(architecture.loss));
  return architecture;
}

NetworkData::NetworkData(const Architecture& architecture)
    : architecture_(architecture),
      network_(make_network<double>(architecture)),
      labels_(make_loss<double>(architecture.loss)->facts().labels),
      data_{} {}

void NetworkData::take_inputs(const Extent& shape, const Vector<double>& values) {
  const Architecture& a = architecture_;
  const Index n = a.input.tokens, N = shape.empty() ? 0 : shape[0];
  Extent expected = {N, n, a.input.width};
  if (a.vocabulary > 0) expected = {N, n};
  if (a.channels > 0) expected = {N, a.channels, n / a.channels, a.input.width};
  if (shape != expected) wrong_shape(shape, shape_text(expected) + ", the inputs that the architecture says");
  check_positive(shape);
  data_.samples = N;
  if (a.vocabulary > 0) {
    check_ids(shape, values, a.vocabulary);
    data_.ids.assign(values.begin(), values.end());
    data_.X.resize(N * n, 0);
    if (a.token_types > 0) data_.types.assign(static_cast<std::size_t>(N * n), 0);
  } else {
    data_.X = as_rows(values, a.input.width);
  }
}

void NetworkData::take_token_types(const Extent& shape, const Vector<double>& values) {
  if (architecture_.token_types == 0)
    throw InputError("found token types; the architecture has inputs without them");
  const Extent expected = {data_.samples, architecture_.input.tokens};
  if (shape != expected) wrong_shape(shape, shape_text(expected) + ", one for each token of the inputs");
  check_whole(shape, values, architecture_.token_types - 1);
  data_.types.assign(values.begin(), values.end());
}

void NetworkData::take_mask(const Extent& shape, const Vector<double>& values) {
  const Index N = data_.samples, n = architecture_.input.tokens;
  if (shape != Extent{N, n}) wrong_shape(shape, shape_text({N, n}) + ", one for each token of the inputs");
  check_whole(shape, values, 1);
  data_.mask.assign(values.begin(), values.end());
  for (Index i = 0; i < N; ++i)
    if (values.segment(i * n, n).isZero(0))
      throw InputError("sample " + std::to_string(i) + " has no real token");
}

void NetworkData::take_targets(const Extent& shape, const Vector<double>& values) {
  if (labels_) return take_labels(shape, values);
  const Shape out = network_->output();
  const Extent expected = {data_.samples, out.tokens, out.width}, pooled = {data_.samples, out.width};
  if (shape != expected && !(out.tokens == 1 && shape == pooled))
    wrong_shape(shape, shape_text(expected) + ", the outputs of the architecture");
  data_.Y = as_rows(values, out.width);
}

void NetworkData::take_labels(Extent shape, const Vector<double>& values) {
  const Shape out = network_->output();
  const Index N = data_.samples;
  if (shape == Extent{N} && out.tokens == 1) shape.push_back(1);
  if (shape != Extent{N, out.tokens})
    wrong_shape(shape,
                shape_text({N, out.tokens}) + ", a label for each row of the outputs of the architecture");
  const Mask real = counting_rows(*network_, data_);
  bool any = false;
  data_.labels.reserve(static_cast<std::size_t>(values.size()));
  for (Index k = 0; k < values.size(); ++k) {
    const double label = values[k];
    if (!(label == std::floor(label) && label < static_cast<double>(out.width) &&
          label >= std::numeric_limits<std::int32_t>::min()))
      throw InputError(place(label, k, out.tokens) + "; expected whole numbers below " +
                       std::to_string(out.width) +
                       ", the classes that there are outputs for, negative where a row counts for nothing");
    if (label >= 0 && !real.empty() && real[k] == 0)
      throw InputError(place(label, k, out.tokens) +
                       ", where the mask says that there is no token; expected a negative number");
    any = any || label >= 0;
    data_.labels.push_back(static_cast<std::int32_t>(label));
  }
  if (!any)
    throw InputError("no target counts: all are " +
                     (values.minCoeff() == values.maxCoeff()
                          ? std::to_string(static_cast<long long>(values[0]))
                          : std::string("negative")) +
                     ", so that the mean is 0/0; expected at least one label from 0");
}

}  // namespace basin
