#include "basin/curvature/network_graph.h"

#include <algorithm>

#include "basin/network/layer_types.h"

namespace basin {
namespace {

class Builder {
 public:
  explicit Builder(const Architecture& a) {
    graph_.edges.push_back({.shape = a.input});
    const bool alone = a.layers.size() == 1 && a.layers[0].layers.empty();
    graph_.output = alone ? step(a.layers[0], "", 0) : chain(a.layers, "", 0);
  }
  NetworkGraph take() { return std::move(graph_); }

 private:
  Index edge(Shape shape) {
    graph_.edges.push_back({.shape = shape});
    return static_cast<Index>(graph_.edges.size()) - 1;
  }
  Shape shape(Index e) const { return graph_.edges[static_cast<std::size_t>(e)].shape; }

  Index join(GraphStep::Kind kind, std::vector<Index> in) {
    const Index out = edge(shape(in.front()));
    graph_.steps.push_back({kind, {}, "", std::move(in), out});
    return out;
  }
  Index chain(const std::vector<LayerDescription>& layers, const std::string& prefix, Index in) {
    const std::vector<std::string> names = block_prefixes(layers);
    for (std::size_t l = 0; l < layers.size(); ++l) in = step(layers[l], inside(prefix, names[l]), in);
    return in;
  }
  static std::string inside(const std::string& prefix, const std::string& name) {
    return prefix + name + (name.empty() ? "" : ".");
  }

  /// own: what the names of its blocks begin with.
  Index step(const LayerDescription& described, const std::string& own, Index in) {
    const LayerDescription layer = with_defaults(described);
    if (layer.type == "identity") return in;
    if (layer.type == "chain") return chain(layer.layers, own, in);
    if (layer.type == "repeat") {
      for (Index t = 0; t < option<Index>(layer, "times"); ++t)
        in = chain(layer.layers, own + std::to_string(t) + ".", in);
      return in;
    }
    if (layer.type == "residual") return join(GraphStep::Kind::add, {in, chain(layer.layers, own, in)});
    if (layer.type == "sum" || layer.type == "product") {
      const std::vector<std::string> names = block_prefixes(layer.layers);
      std::vector<Index> branches;
      for (std::size_t b = 0; b < names.size(); ++b)
        branches.push_back(step(layer.layers[b], inside(own, names[b]), in));
      return join(layer.type == "sum" ? GraphStep::Kind::add : GraphStep::Kind::multiply, branches);
    }
    const Index out = edge(make_layer<double>(layer, shape(in))->output());
    graph_.steps.push_back({GraphStep::Kind::layer, layer, own, {in}, out});
    return out;
  }

  NetworkGraph graph_;
};

/// Its slots in a vector of its blocks one after another; their length.
Index slots_of(const std::vector<ParameterBlock>& blocks, std::vector<BlockSlot>& slots) {
  Index size = 0;
  for (const ParameterBlock& block : blocks) {
    slots.push_back({size, block.rows(), block.cols()});
    size += block.size();
  }
  return size;
}

void evaluate(const ModelPoint<double>& point, const GraphStep& step, const GraphEdge& in, GraphEdge& out) {
  const auto layer = make_layer<double>(step.layer, in.shape);
  std::vector<BlockSlot> slots, made_slots;
  for (const ParameterBlock& block : own_blocks(step.layer, in.shape)) {
    const ParameterLayout::Entry& e = point.parameters().find(full_name(step, block));
    slots.push_back({e.offset, block.rows(), block.cols()});
  }
  BlockView<const double> w(point.weights.data(), 1, point.weights.size(), slots);
  Vector<double> made;
  if (layer->reparametrisation()) {
    made = Vector<double>::Zero(slots_of(layer->blocks(), made_slots));
    layer->reparametrisation()->value(w, {made.data(), 1, made.size(), made_slots});
    w = {made.data(), 1, made.size(), made_slots};
  }
  const Data<double>& data = *point.data;
  Saved<double> saved;
  saved.context = {data.ids, in.mask, data.types};
  Batch<double> y;
  layer->value(w, {in.x.data(), 1, in.x.rows(), in.x.cols()}, saved, y);
  out.x = y[0];
  out.mask = in.mask;
  if (!out.mask.empty()) layer->mask(out.mask);
}

void join(const NetworkGraph& graph, const GraphStep& step, GraphEdge& out) {
  const auto edge = [&](Index e) -> const GraphEdge& { return graph.edges[static_cast<std::size_t>(e)]; };
  out.x = edge(step.in.front()).x;
  out.mask = edge(step.in.back()).mask;
  for (std::size_t b = 1; b < step.in.size(); ++b)
    if (step.kind == GraphStep::Kind::add)
      out.x += edge(step.in[b]).x;
    else
      out.x.array() *= edge(step.in[b]).x.array();
}

/// From the last step to the first: rows that rows behind them depend on.
void find_needed(const ModelPoint<double>& point, NetworkGraph& graph) {
  for (GraphEdge& e : graph.edges)
    e.needed.assign(static_cast<std::size_t>(point.data->samples * e.shape.tokens), 0);
  GraphEdge& output = graph.edges[static_cast<std::size_t>(graph.output)];
  const Mask counting = counting_rows(point.model->network(), *point.data);
  if (counting.empty())
    std::fill(output.needed.begin(), output.needed.end(), 1);
  else
    output.needed = counting;
  for (std::size_t s = graph.steps.size(); s-- > 0;) {
    const GraphStep& step = graph.steps[s];
    const Mask& needed = graph.edges[static_cast<std::size_t>(step.out)].needed;
    for (const Index i : step.in) {
      GraphEdge& in = graph.edges[static_cast<std::size_t>(i)];
      Mask rows = needed;
      if (step.kind == GraphStep::Kind::layer) {
        const LayerType& type = layer_type(step.layer.type);
        rows = type.needs ? type.needs(step.layer, in.shape, in.mask, needed) : Mask(in.needed.size(), 1);
      }
      for (std::size_t row = 0; row < rows.size(); ++row) in.needed[row] |= rows[row];
    }
  }
}

}  // namespace

std::optional<NetworkGraph> moderate_network_graph(const ModelPoint<double>& point) {
  constexpr double kMostActivations = 1 << 26;
  double count = 0;
  for (const GraphEdge& e : network_steps(point.model->architecture()).edges)
    count += static_cast<double>(point.data->samples) * static_cast<double>(e.shape.size());
  if (count > kMostActivations) return std::nullopt;
  NetworkGraph graph = network_graph(point);
  for (const GraphEdge& e : graph.edges)
    if (!e.x.allFinite()) return std::nullopt;
  return graph;
}

std::string full_name(const GraphStep& step, const ParameterBlock& block) {
  return block.tied_to.empty() ? step.prefix + block.name : block.tied_to;
}

NetworkGraph network_steps(const Architecture& architecture) {
  return Builder(architecture).take();
}

NetworkGraph network_graph(const ModelPoint<double>& point) {
  NetworkGraph graph = network_steps(point.model->architecture());
  graph.edges.front().x = point.data->X;
  graph.edges.front().mask = point.data->mask;
  for (const GraphStep& step : graph.steps) {
    GraphEdge& out = graph.edges[static_cast<std::size_t>(step.out)];
    if (step.kind == GraphStep::Kind::layer)
      evaluate(point, step, graph.edges[static_cast<std::size_t>(step.in.front())], out);
    else
      join(graph, step, out);
  }
  find_needed(point, graph);
  return graph;
}

}  // namespace basin
