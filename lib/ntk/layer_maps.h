/// The linear maps inside one layer of a network, and how the outputs depend on them (MATHEMATICS.md, "One
/// layer of a network").
#pragma once

#include <string>
#include <vector>

#include "basin/network/architecture_part.h"
#include "basin/ntk/trained_kernel.h"

namespace basin {

/// y_k = W x_k + b for every token k, by trained blocks of the layer: a linear layer, or the queries, keys,
/// values or outputs of an attention. With D_i the derivative of the outputs of sample i in its y, and X_i
/// its rows of X, the rows of J of that sample are
///
///     J_i = D_i (X_i (x) I)
struct TokenMap {
  std::vector<std::string> blocks;  ///< W and b, those of them that are trained: full names
  std::string name;                 ///< "W_Q,b_Q"
  Index parameters = 0;             ///< of these blocks
  Index width = 0;                  ///< of y
  bool of_scores = false;           ///< queries or keys
  bool gives_outputs = false;       ///< y is what comes out of the layer
  Matrix<double> X;                 ///< N n x (what W takes, and 1 for b)
  /// m x (n width), one token after another; rows as of the kernel. Empty: not asked for.
  Matrix<double> D{};
};

struct LayerMaps {
  std::string path;
  LayerPlace place;
  Mask mask;  ///< of the layer's tokens, N n; empty: all are real
  std::vector<TokenMap> maps;
  std::vector<Index> first_row;  ///< N + 1: where the rows of each sample begin in D

  Index tokens() const { return place.input.tokens; }  ///< n, of the layer
  Index samples() const { return static_cast<Index>(first_row.size()) - 1; }
};

/// Whether its maps are known: attention and linear layers with weights of their own.
bool has_token_maps(const LayerDescription& layer);

/// The maps of a layer with trained blocks. `derivatives`: D, too, from a Jacobian of the network in the y of
/// all tokens. Throws InputError as layer_at, for a layer of another type, one whose weights are tied, or one
/// of which nothing is trained; WorkError where a number is not finite.
LayerMaps layer_maps(const ModelPoint<double>& point, const std::string& path, KernelRows rows,
                     bool derivatives = true);

/// Bytes that D takes at its peak, at all points that measure its rounding.
double layer_maps_bytes(const ModelPoint<double>& point, const std::string& path);

/// The layer alone, on what it sees: its inputs as data, its own outputs under half of their square. The same
/// blocks are trained; they are called by `name`, "layer.W_Q", or without one "W_Q". Throws as layer_maps.
ModelPoint<double> layer_point(const ModelPoint<double>& point, const std::string& path,
                               const std::string& name = {});

}  // namespace basin
