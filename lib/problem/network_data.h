/// Arrays as the data of a described network: what any file may hold of inputs, masks and targets.
#pragma once

#include <string>
#include <vector>

#include "basin/model/model.h"
#include "basin/network/architecture_variables.h"

namespace basin {

/// A network from its JSON description (network/architecture_json.h), its variables with these values, layers
/// and loss checked. Throws InputError for what cannot be built.
Architecture described_network(const std::string& json, const VariableValues& variables = {});

/// The data of a network, taken from arrays in C order of any shape and whatever numbers, one after another:
/// inputs, then the mask, if there is one, then targets. Throws InputError, "found ...; expected ...", for
/// what does not fit.
class NetworkData {
 public:
  /// Throws InputError as `blocks`, and for an unknown loss.
  explicit NetworkData(const Architecture& architecture);

  /// X (N, tokens, width), whole numbers (N, tokens) below the vocabulary, or images (N, channels, height,
  /// width), as the architecture says.
  void take_inputs(const std::vector<Index>& shape, const Vector<double>& values);
  /// Whole numbers (N, tokens) below the number of token types; all 0 if none are taken.
  void take_token_types(const std::vector<Index>& shape, const Vector<double>& values);
  /// 0 or 1 (N, tokens); every sample has a real token.
  void take_mask(const std::vector<Index>& shape, const Vector<double>& values);
  /// Y (N, tokens, width) of the outputs, or (N, width) where tokens are one; or labels, (N, tokens), or (N)
  /// where that is one: whole numbers below the width, negative where a row counts for nothing, as a masked
  /// one has to.
  void take_targets(const std::vector<Index>& shape, const Vector<double>& values);

  const Architecture& architecture() const { return architecture_; }
  /// Whether the loss takes labels.
  bool labels() const { return labels_; }
  const Layer<double>& network() const { return *network_; }
  const Data<double>& data() const { return data_; }
  Data<double> take() { return std::move(data_); }

 private:
  void take_labels(std::vector<Index> shape, const Vector<double>& values);

  Architecture architecture_;
  std::unique_ptr<const Layer<double>> network_;
  bool labels_;
  Data<double> data_;
};

}  // namespace basin
