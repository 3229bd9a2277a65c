/// A network as single steps between activations, with these at a point.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "basin/model/model_point.h"

namespace basin {

/// The activations of all samples between two steps.
struct GraphEdge {
  Shape shape{};          ///< of a sample
  Matrix<double> x = {};  ///< (N tokens) x width
  Mask mask = {};         ///< which rows are real; empty: all are
  Mask needed = {};       ///< which rows the loss can depend on, whatever the weights
};

/// One layer that is no container, or how branches are joined.
struct GraphStep {
  enum class Kind { layer, add, multiply };
  Kind kind;
  LayerDescription layer;  ///< with all its options
  std::string prefix;      ///< of the names of its blocks
  std::vector<Index> in;   ///< edges
  Index out;
};

struct NetworkGraph {
  std::vector<GraphEdge> edges;  ///< the first is the input
  std::vector<GraphStep> steps;  ///< each behind those that it takes its edges from
  Index output = 0;              ///< edge
};

/// The steps alone: edges have their shapes.
NetworkGraph network_steps(const Architecture& architecture);

/// With the activations at the point: some numbers for each row of each edge.
NetworkGraph network_graph(const ModelPoint<double>& point);

/// The same where these are at most 2^26 numbers, half a gigabyte, and all finite; else nothing.
std::optional<NetworkGraph> moderate_network_graph(const ModelPoint<double>& point);

/// The full name of a block of a step: of a tied one, that of the block it is.
std::string full_name(const GraphStep& step, const ParameterBlock& block);

}  // namespace basin
