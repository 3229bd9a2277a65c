#include "basin/hdf5/problem_file.h"

#include <algorithm>
#include <cmath>

#include "basin/checkpoint/checkpoint_map.h"
#include "basin/hdf5/provenance.h"
#include "basin/hdf5/result_file.h"
#include "basin/linalg/errors.h"
#include "basin/network/architecture_json.h"
#include "basin/problem/encoding.h"
#include "basin/problem/network_data.h"

namespace basin::hdf5 {
namespace {

void check_positive(const Reader& file, const std::string& dataset, const Extent& shape) {
  if (std::any_of(shape.begin(), shape.end(), [](Index size) { return size < 1; }))
    file.refuse(dataset, "found shape " + text(shape) + "; expected at least 1 everywhere");
}

[[noreturn]] void wrong_shape(const Reader& file, const std::string& dataset, const Extent& found,
                              const std::string& expected) {
  file.refuse(dataset, "found shape " + text(found) + "; expected " + expected);
}

Matrix<double> as_rows(const Array& array) {
  const Index width = array.shape.back();
  return Eigen::Map<const Matrix<double>>(array.values.data(), array.values.size() / width, width);
}

/// The four blocks, checked against each other and the data; none when all are absent.
std::optional<AttentionWeights> read_weights(const Reader& file, const std::string& group, Index D,
                                             Index D_out) {
  const std::vector<std::string> names = attention_blocks();
  const auto there = [&](const std::string& name) { return file.has(group + "/" + name); };
  if (std::none_of(names.begin(), names.end(), there)) return std::nullopt;

  AttentionWeights weights;
  std::vector<Vector<double>> blocks;
  for (const std::string& name : names) {
    const std::string path = group + "/" + name;
    const Array block = file.read_array(path, 3);
    check_positive(file, path, block.shape);
    if (blocks.empty()) {
      weights.heads = block.shape[0];
      weights.head_dim = block.shape[2];
    }
    const Extent expected = name == "W_O" ? Extent{weights.heads, weights.head_dim, D_out}
                                          : Extent{weights.heads, D, weights.head_dim};
    if (block.shape != expected)
      wrong_shape(file, path, block.shape,
                  text(expected) + (name == "W_O" ? " = (H, d, D_out)" : " = (H, D, d)") +
                      " to fit the data" + (blocks.empty() ? "" : " and W_Q"));
    blocks.push_back(block.values);
  }
  weights.values.resize(blocks[0].size() + blocks[1].size() + blocks[2].size() + blocks[3].size());
  weights.values << blocks[0], blocks[1], blocks[2], blocks[3];
  return weights;
}

Network read_network(const Reader& file, const std::string& group, Index D, Index D_out) {
  Network net;
  if (!file.has(group)) return net;
  check_names(file, group, attention_blocks(), {"kernel", "bandwidth"});
  const std::string kernel = file.string_attribute(group, "kernel");
  try {
    if (!kernel.empty()) net.kernel = kernel_from_name(kernel);
  } catch (const InputError& error) {
    throw InputError(file.path() + ": " + group + ": " + shortened(error.what(), 200));
  }
  net.bandwidth = read_bandwidth(file, group);
  net.weights = read_weights(file, group, D, D_out);
  return net;
}

void write_network(Writer& file, const std::string& group, const Network& net, Index D, Index D_out) {
  file.group(group);
  file.attribute(group, "kernel", kernel_name(net.kernel));
  if (net.bandwidth != 0) file.attribute(group, "bandwidth", net.bandwidth);
  if (!net.weights) return;
  const auto& [H, d, values] = *net.weights;
  Index offset = 0;
  for (const std::string& name : attention_blocks()) {
    const Extent shape = name == "W_O" ? Extent{H, d, D_out} : Extent{H, D, d};
    file.write(group + "/" + name, values.data() + offset, shape);
    offset += shape[0] * shape[1] * shape[2];
  }
}

/// The blocks of a described network, all or none.
std::optional<Vector<double>> read_described_weights(const Reader& file, const std::string& group,
                                                     const std::vector<ParameterBlock>& all) {
  if (!file.has(group)) return std::nullopt;
  const ParameterLayout layout(all, matching_blocks({"*"}, all));
  std::vector<std::string> names;
  for (const auto& e : layout.entries()) names.push_back(e.block.name);
  check_names(file, group, names, {});
  if (file.members(group).empty()) return std::nullopt;
  Vector<double> weights(layout.weight_count());
  for (const auto& e : layout.entries()) {
    const std::string path = group + "/" + e.block.name;
    if (!file.has(path)) file.refuse(path, "missing; expected all blocks of the network, or none");
    const Array block = file.read_array(path);
    if (block.shape != e.block.shape)
      wrong_shape(file, path, block.shape, text(e.block.shape) + ", as /model/architecture says");
    weights.segment(e.offset, e.block.size()) = block.values;
  }
  return weights;
}

constexpr const char* kLayout = "/model/checkpoint/layout";
const std::string kKept = "/model/checkpoint/kept";

/// What is kept of the checkpoint that the weights are from.
std::shared_ptr<const CheckpointLayout> read_checkpoint(const Reader& file,
                                                        const std::vector<ParameterBlock>& blocks) {
  if (!file.has("/model/checkpoint")) return nullptr;
  check_names(file, "/model/checkpoint", {"layout", "kept"}, {});
  auto layout = std::make_shared<CheckpointLayout>();
  try {
    *layout = checkpoint_layout_from_json(file.read_string(kLayout));
    if (file.has(kKept))
      for (const std::string& name : file.members(kKept)) {
        const Array bytes = file.read_numbers(kKept + "/" + name);
        std::string& kept = layout->kept[name];
        for (const double byte : bytes.values) {
          if (!(byte >= 0 && byte <= 255)) file.refuse(kKept + "/" + name, "expected bytes");
          kept.push_back(static_cast<char>(static_cast<unsigned char>(byte)));
        }
      }
    check_layout(*layout, blocks, kLayout);
    for (const StoredTensor& tensor : layout->tensors)
      if (const auto kept = layout->kept.find(tensor.name);
          kept != layout->kept.end() && kept->second.size() != tensor.end - tensor.begin)
        throw InputError("tensor " + tensor.name + ": found " + std::to_string(kept->second.size()) +
                         " bytes kept of it; expected " + std::to_string(tensor.end - tensor.begin));
  } catch (const InputError& error) {
    const std::string what = error.what();
    if (what.starts_with(file.path() + ": ")) throw;
    file.refuse(kLayout, shortened(what, 400));
  }
  return layout;
}

void write_checkpoint(Writer& file, const CheckpointLayout& layout) {
  file.write(kLayout, to_json(layout));
  for (const auto& [name, bytes] : layout.kept)
    file.write_bytes(kKept + "/" + name, {bytes.begin(), bytes.end()}, {static_cast<Index>(bytes.size())});
}

DescribedNetwork read_described(const Reader& file) {
  DescribedNetwork net;
  const std::string path = "/model/architecture";
  check_names(file, "/model", {"architecture", "checkpoint"}, {});
  const std::string description = file.read_string(path);
  try {
    net.architecture = described_network(description);
  } catch (const InputError& error) {
    throw InputError(file.path() + ": " + path + ": " + shortened(error.what(), 400));
  }
  const std::vector<ParameterBlock> all = blocks(net.architecture);
  net.weights = read_described_weights(file, "/parameters", all);
  net.checkpoint = read_checkpoint(file, all);
  for (const char* group : {"/teacher", "/minimum"})
    if (file.has(group))
      file.refuse(group,
                  "is of one attention layer; found beside /model/architecture, where nothing reads it");
  return net;
}

/// An array, and what takes it, whose errors are of that dataset.
template <class Take>
void taken(const Reader& file, const std::string& path, const Array& array, const Take& take) {
  try {
    take(array.shape, array.values);
  } catch (const InputError& error) {
    file.refuse(path, error.what());
  }
}

/// The data in a group, /data or /held_out.
Data<double> read_described_data(const Reader& file, const std::string& group, const Architecture& a) {
  NetworkData data(a);
  const std::string inputs = group + (a.vocabulary > 0 ? "/tokens" : a.channels > 0 ? "/images" : "/X");
  taken(file, inputs, a.vocabulary > 0 ? file.read_numbers(inputs) : file.read_array(inputs),
        [&](const auto&... array) { data.take_inputs(array...); });
  if (const std::string types = group + "/token_types"; file.has(types))
    taken(file, types, file.read_numbers(types),
          [&](const auto&... array) { data.take_token_types(array...); });
  if (const std::string mask = group + "/mask"; file.has(mask))
    taken(file, mask, file.read_numbers(mask), [&](const auto&... array) { data.take_mask(array...); });
  const std::string targets = group + (data.labels() ? "/labels" : "/Y"),
                    other = group + (data.labels() ? "/Y" : "/labels");
  if (file.has(other))
    file.refuse(other, file.has(targets)
                           ? "found beside " + targets + "; the loss " + a.loss.type + " reads that alone"
                           : "the loss " + a.loss.type + " takes " + targets + ", which is missing");
  taken(file, targets, data.labels() ? file.read_numbers(targets) : file.read_array(targets),
        [&](const auto&... array) { data.take_targets(array...); });
  return data.take();
}

void write_described_data(Writer& file, const std::string& group, const Architecture& a,
                          const Data<double>& data) {
  const Index N = data.samples, n = a.input.tokens;
  make_plot(file, group, a.vocabulary > 0 ? "tokens" : a.channels > 0 ? "images" : "X", {});
  if (a.vocabulary > 0)
    file.write_unsigned(group + "/tokens", std::vector<std::uint64_t>(data.ids.begin(), data.ids.end()),
                        {N, n});
  else if (a.channels > 0)
    file.write(group + "/images", data.X.data(), {N, a.channels, n / a.channels, a.input.width});
  else
    file.write(group + "/X", data.X.data(), {N, n, a.input.width});
  if (!data.types.empty())
    file.write_unsigned(group + "/token_types",
                        std::vector<std::uint64_t>(data.types.begin(), data.types.end()), {N, n});
  if (!data.mask.empty()) file.write_bytes(group + "/mask", data.mask, {N, n});
  if (data.labels.empty())
    file.write(group + "/Y", data.Y.data(), {N, data.Y.rows() / N, data.Y.cols()});
  else
    file.write(group + "/labels", std::vector<std::int64_t>(data.labels.begin(), data.labels.end()),
               {N, static_cast<Index>(data.labels.size()) / N});
}

void write_described(Writer& file, const DescribedNetwork& net) {
  file.write("/model/architecture", to_json(net.architecture));
  file.group("/parameters");
  if (net.checkpoint) write_checkpoint(file, *net.checkpoint);
  if (!net.weights) return;
  const auto all = blocks(net.architecture);
  const ParameterLayout layout(all, matching_blocks({"*"}, all));
  for (const auto& e : layout.entries())
    file.write("/parameters/" + e.block.name, net.weights->data() + e.offset, e.block.shape);
}

/// Attributes that programs put on groups by themselves, or that people read.
bool without_meaning(const std::string& attribute) {
  static const std::vector<std::string> kNames = {"NX_class", "default",  "CLASS", "TITLE",
                                                  "VERSION",  "FILTERS",  "title", "description",
                                                  "comment",  "long_name"};
  return std::find(kNames.begin(), kNames.end(), attribute) != kNames.end() || attribute.starts_with("_") ||
         attribute.starts_with("MATLAB_") || attribute.starts_with("rhdf5") || attribute.starts_with("SILX_");
}

}  // namespace

void check_names(const Reader& file, const std::string& group, const std::vector<std::string>& members,
                 const std::vector<std::string>& attributes) {
  const auto check = [&](const std::string& what, const std::string& name,
                         const std::vector<std::string>& known) {
    if (std::find(known.begin(), known.end(), name) != known.end()) return;
    std::string list;
    for (const std::string& one : known) list += (list.empty() ? "" : ", ") + one;
    file.refuse(group, "found " + what + " '" + shortened(name) +
                           "', which is no part of the model; expected nothing but " + list);
  };
  for (const std::string& name : file.members(group)) check("a member", name, members);
  for (const std::string& name : file.attributes(group))
    if (!without_meaning(name)) check("an attribute", name, attributes);
}

double read_bandwidth(const Reader& file, const std::string& group) {
  const auto bandwidth = file.number_attribute(group, "bandwidth");
  if (bandwidth && (!std::isfinite(*bandwidth) || *bandwidth <= 0))
    file.refuse(
        group, "attribute 'bandwidth': found " + std::to_string(*bandwidth) + ", expected a positive number");
  return bandwidth.value_or(0);
}

Problem read_problem(const Reader& file) {
  check_kind(file, "problem");
  Problem problem;
  if (file.has("/model/architecture")) {
    problem.described = read_described(file);
    const Architecture& network = problem.described->architecture;
    problem.tokens = network.input.tokens;
    problem.data = read_described_data(file, "/data", network);
    if (file.has("/held_out")) {
      check_names(file, "/held_out",
                  {"tokens", "X", "images", "token_types", "mask", "labels", "Y", "sources"},
                  {"signal", "axes", "picture"});
      problem.held_out =
          std::make_shared<const Data<double>>(read_described_data(file, "/held_out", network));
    }
    return problem;
  }
  if (file.has("/held_out"))
    file.refuse("/held_out",
                "found without /model/architecture; data are held out in files that describe their network");
  if (file.has("/data/mask"))
    file.refuse("/data/mask",
                "found without /model/architecture; masks are of files that describe their network");
  const Array X = file.read_array("/data/X", 3), Y = file.read_array("/data/Y", 3);
  check_positive(file, "/data/X", X.shape);
  check_positive(file, "/data/Y", Y.shape);
  if (X.shape[0] != Y.shape[0] || X.shape[1] != Y.shape[1])
    wrong_shape(file, "/data/Y", Y.shape,
                "(" + std::to_string(X.shape[0]) + ", " + std::to_string(X.shape[1]) +
                    ", D_out) = (N, n, D_out), as /data/X has shape " + text(X.shape));
  problem.tokens = X.shape[1];
  problem.data = {X.shape[0], as_rows(X), as_rows(Y)};

  problem.network = read_network(file, "/parameters", problem.embedding(), problem.outputs());
  return problem;
}

std::optional<Network> read_teacher(const Reader& file, const Problem& problem) {
  if (!file.has("/teacher")) return std::nullopt;
  return read_network(file, "/teacher", problem.embedding(), problem.outputs());
}

void write_problem(Writer& file, const Problem& problem) {
  mark_kind(file, "problem", problem.described ? kDescribedFormat : kFormatVersion);
  file.attribute("/", "default", std::string("data"));
  if (problem.described) {
    const auto write = [&](const std::string& group, const Data<double>& data,
                           const std::vector<std::string>& sources) {
      write_described_data(file, group, problem.described->architecture, data);
      if (problem.picture > 0) file.attribute(group, "picture", problem.picture);
      if (!sources.empty()) file.write(group + "/sources", sources, {static_cast<Index>(sources.size())});
    };
    write("/data", problem.data, problem.sources);
    if (problem.held_out) write("/held_out", *problem.held_out, problem.held_out_sources);
    write_described(file, *problem.described);
    return;
  }
  const Index N = problem.data.samples, n = problem.tokens, D = problem.embedding(),
              D_out = problem.outputs();
  make_plot(file, "/data", "X", {});  // what viewers open
  file.write("/data/X", problem.data.X.data(), {N, n, D});
  file.write("/data/Y", problem.data.Y.data(), {N, n, D_out});
  if (!problem.token_text.empty()) file.write("/data/tokens", problem.token_text, {N, n});
  if (!problem.sources.empty()) file.write("/data/sources", problem.sources, {N});
  write_network(file, "/parameters", problem.network, D, D_out);
  if (problem.teacher) write_network(file, "/teacher", *problem.teacher, D, D_out);
}

}  // namespace basin::hdf5
