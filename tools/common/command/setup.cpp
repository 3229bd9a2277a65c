#include "common/command/setup.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "basin/hdf5/minimum_file.h"
#include "basin/hdf5/problem_file.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/linalg/words.h"
#include "basin/model/row_copies.h"
#include "basin/network/layer_types.h"
#include "basin/problem/encoding.h"
#include "basin/single_layer/attention_view.h"
#include "basin/single_layer/theory.h"
#include "common/command/words.h"

namespace basin::tools {
namespace {

constexpr const char* kFromFile = "from the problem file";
constexpr const char* kWeightsOfFile = "file";  // --init

/// The file's network with the options applied.
Network resolve_network(const OptionValues& command, const Problem& problem) {
  Network net = problem.network;
  if (command.given("kernel")) net.kernel = checked_kernel(command);
  if (command.given("bandwidth")) net.bandwidth = checked_bandwidth(command, "bandwidth", net.kernel);
  return net;
}

/// Patterns of blocks; in the place of one that fits tensors of a checkpoint alone, the blocks in them.
std::vector<std::string> of_blocks(const std::vector<std::string>& patterns,
                                   const std::vector<ParameterBlock>& all,
                                   const CheckpointLayout* checkpoint) {
  std::vector<std::string> names;
  for (const std::string& pattern : patterns) {
    const bool block = std::any_of(all.begin(), all.end(),
                                   [&](const ParameterBlock& b) { return fits_pattern(pattern, b.name); });
    const std::size_t before = names.size();
    if (!block && checkpoint != nullptr)
      for (const BlockSource& source : checkpoint->blocks)
        if (std::any_of(source.parts.begin(), source.parts.end(),
                        [&](const TensorPart& part) { return fits_pattern(pattern, part.tensor); }) &&
            std::find(names.begin(), names.end(), source.block) == names.end())
          names.push_back(source.block);
    if (names.size() == before) names.push_back(pattern);
  }
  return names;
}

/// "gain W_O=2, ..."
std::string gains_text(const std::map<std::string, double>& gains) {
  std::string text;
  for (const auto& [block, gain] : gains) text += ", gain " + block + "=" + number(gain, 17);
  return text;
}

std::map<std::string, double> gains_of(const OptionValues& values) {
  return parse_gains(values.get<std::vector<std::string>>("gain"));
}

/// Refuses gains for blocks that there are none of.
void check_gains(const OptionValues& values, const std::vector<ParameterBlock>& blocks) {
  for (const auto& [block, gain] : gains_of(values)) try {
      matching_blocks({block}, blocks);
    } catch (const InputError& error) {
      throw InputError("--gain " + block + "=" + number(gain) + ": " + error.what());
    }
}

/// What the options of the initialisation say.
Initialisation initialisation_of(const OptionValues& values, std::string& origin) {
  Initialisation init;
  init.method = values.get<std::string>("init");
  init.gains = gains_of(values);
  init.seed = values.seed();
  origin = "drawn: " + init.method + ", seed " + std::to_string(init.seed) + gains_text(init.gains);
  return init;
}

/// Whether the weights of the file are those of the point. Refuses options that then have no effect.
bool takes_weights_of_file(const OptionValues& values, const std::string& path, bool has_weights, Draws draws,
                           const std::vector<const char*>& options) {
  const bool asked = draws == Draws::weights && values.given("init");
  const bool of_file = asked && values.get<std::string>("init") == kWeightsOfFile;
  if (of_file && !has_weights) throw InputError("--init file: " + path + " has no weights");
  if (!has_weights || (asked && !of_file)) return false;
  for (const std::string option : options) {
    if (!values.given(option) || (option == "gain" && (of_file || draws == Draws::starts))) continue;
    throw InputError("--" + option + ": " + path + " has weights" +
                     (draws == Draws::starts ? ", which fix it"
                      : option == "gain"
                          ? "; it takes effect only with --init file, or when they are drawn anew with --init"
                          : "; it takes effect only when they are drawn anew with --init"));
  }
  return true;
}

/// The weights of the file, times the gains that --init file has.
Vector<double> weights_of_file(const OptionValues& values, const Architecture& network,
                               Vector<double> weights, Draws draws, std::string& origin) {
  origin = kFromFile;
  if (draws == Draws::starts || !values.given("gain")) return weights;
  const std::map<std::string, double> gains = gains_of(values);
  check_gains(values, blocks(network));
  apply_gains(network, gains, weights);
  origin += gains_text(gains);
  return weights;
}

/// The weights of the file, or drawn ones; says which.
AttentionWeights resolve_weights(const OptionValues& values, const ProblemFile& file, const Network& net,
                                 std::string& origin, Draws draws) {
  const Problem& problem = file.problem;
  if (takes_weights_of_file(values, file.path, net.weights.has_value(), draws,
                            {"gain", "heads", "head-dim"})) {
    AttentionWeights weights = *net.weights;
    weights.values =
        weights_of_file(values, single_attention(problem.spec(net, weights.heads, weights.head_dim)),
                        std::move(weights.values), draws, origin);
    return weights;
  }
  if (!net.weights && !(values.given("heads") && values.given("head-dim")))
    throw InputError(file.path + ": the file has no weights; give --heads and --head-dim to draw some");
  const Index heads = values.given("heads") ? values.get<Index>("heads") : net.weights->heads;
  const Index head_dim = values.given("head-dim") ? values.get<Index>("head-dim") : net.weights->head_dim;
  const Initialisation init = initialisation_of(values, origin);
  check_weights_fit("--heads " + std::to_string(heads) + ", --head-dim " + std::to_string(head_dim),
                    problem.embedding(), problem.outputs(), heads, head_dim);
  const AttentionSpec spec = problem.spec(net, heads, head_dim);
  check_gains(values, attention_blocks(spec));
  return draw_weights(spec, init);
}

/// The point of a file with one attention layer that is said by kernel and blocks (format 1).
void set_attention_point(const OptionValues& values, const ProblemFile& file, Draws draws, Setup& setup) {
  const Network net = resolve_network(values, file.problem);
  AttentionWeights weights = resolve_weights(values, file, net, setup.weights_origin, draws);
  const AttentionSpec spec = file.problem.spec(net, weights.heads, weights.head_dim);
  const Architecture layer = single_attention(spec);
  setup.point.model = build<double>(layer, trained_blocks(values, blocks(layer)));
  setup.point.weights = std::move(weights.values);
}

/// The point of a file that describes its network (format 2).
void set_described_point(const OptionValues& values, ProblemFile& file, Draws draws, Setup& setup) {
  DescribedNetwork& net = *file.problem.described;
  for (const char* option : {"heads", "head-dim"})
    if (values.given(option))
      throw InputError("--" + std::string(option) + ": " + setup.input +
                       " describes its network, which fixes it");
  net.architecture = with_kernel_options(values, std::move(net.architecture), setup.input);
  setup.described = true;
  setup.checkpoint = net.checkpoint;
  const std::vector<ParameterBlock> all = blocks(net.architecture);
  setup.point.model = build<double>(net.architecture, trained_blocks(values, all, net.checkpoint.get()));
  if (takes_weights_of_file(values, file.path, net.weights.has_value(), draws, {"gain"})) {
    setup.point.weights =
        weights_of_file(values, net.architecture, std::move(*net.weights), draws, setup.weights_origin);
    return;
  }
  double count = 0;
  for (const ParameterBlock& block : all) count += static_cast<double>(block.size());
  require_memory(setup.input + ": drawing the weights of its network", 2 * 8 * count);
  check_gains(values, all);
  setup.point.weights = draw_weights(net.architecture, initialisation_of(values, setup.weights_origin));
}

}  // namespace

void add_initialisation_options(po::options_description& options, const std::string& init_default,
                                const std::string& more) {
  options.add_options()  //
      ("init", po::value<std::string>()->default_value("gaussian", init_default)->value_name("METHOD"),
       ("how weights are drawn, one of " + initialisation_methods() + "; gaussian is N(0, 1/fan-in)" + more)
           .c_str())  //
      ("gain",
       po::value<std::vector<std::string>>()->default_value({}, "")->composing()->value_name("BLOCK=G"),
       "factor on a block of drawn weights, e.g. W_O=2; repeatable");
}

void add_train_option(po::options_description& options) {
  options.add_options()(
      "train",
      po::value<std::string>()->default_value(joined(attention_blocks()), "all blocks")->value_name("BLOCKS"),
      "trainable blocks, e.g. W_Q,W_K or W_Q+W_K, or patterns, W_*, or tensors of the checkpoint that the "
      "problem "
      "came from; the others are held fixed");
}

std::vector<std::string> trained_blocks(const OptionValues& command, const std::vector<ParameterBlock>& all,
                                        const CheckpointLayout* checkpoint) {
  if (!command.given("train")) return matching_blocks({"*"}, all);
  const auto train = command.get<std::string>("train");
  try {
    std::vector<std::string> names = listed_blocks(train, all, checkpoint);
    static_cast<void>(ParameterLayout(all, names));  // refuses what cannot be trained
    return names;
  } catch (const InputError& error) {
    throw InputError("--train " + train + ": " + error.what());
  }
}

std::vector<std::string> listed_blocks(const std::string& list, const std::vector<ParameterBlock>& all,
                                       const CheckpointLayout* checkpoint) {
  return matching_blocks(of_blocks(parse_blocks(list), all, checkpoint), all);
}

std::vector<std::string> parse_blocks(const std::string& blocks) {
  std::string list = blocks;
  std::replace(list.begin(), list.end(), '+', ',');
  return list.empty() ? std::vector<std::string>() : split(list, ',');
}

void add_model_options(Command& command, Draws draws) {
  command.add_options(Identity::none)  //
      ("problem", po::value<std::string>()->required()->value_name("FILE"),
       "the problem file (first argument)");
  add_point_options(command.options, "the file's weights, or gaussian if it has none", draws);
  command.positional.add("problem", 1);
}

void add_point_options(po::options_description& options, const std::string& init_default, Draws draws) {
  add_train_option(options);
  add_kernel_options(options);
  add_initialisation_options(options, init_default,
                             draws == Draws::weights ? "; file: those of the file, times --gain" : "");
  options.add_options()                                                                                   //
      ("heads", po::value<Index>()->value_name("H"), "heads of drawn weights (default: as in the file)")  //
      ("head-dim", po::value<Index>()->value_name("d"), "their dimension (default: as in the file)");
}

void add_kernel_options(po::options_description& options) {
  options.add_options()  //
      ("kernel", po::value<std::string>()->value_name("KERNEL"),
       "softmax or gaussian, instead of the one in the file")  //
      ("bandwidth", po::value<double>()->value_name("SIGMA"),
       "sigma of the Gaussian kernel (default: the file's, or sigma^2 = sqrt(d))");
}

Architecture with_kernel_options(const OptionValues& values, Architecture architecture,
                                 const std::string& input) {
  if (!values.given("kernel") && !values.given("bandwidth")) return architecture;
  std::optional<KernelKind> kernel;
  if (values.given("kernel")) kernel = checked_kernel(values);
  double bandwidth = 0;
  if (values.given("bandwidth"))
    bandwidth = checked_bandwidth(values, "bandwidth", kernel.value_or(KernelKind::gaussian));
  try {
    return with_kernel(std::move(architecture), kernel, bandwidth);
  } catch (const InputError& error) {
    throw InputError((values.given("kernel") ? "--kernel: " : "--bandwidth: ") +
                     (input.empty() ? "" : input + ": ") + error.what());
  }
}

KernelKind checked_kernel(const OptionValues& values) {
  try {
    return kernel_from_name(values.get<std::string>("kernel"));
  } catch (const InputError& error) {
    throw InputError(std::string("--kernel: ") + error.what());
  }
}

double checked_bandwidth(const OptionValues& values, const std::string& option, KernelKind kernel) {
  const auto bandwidth = values.get<double>(option);
  if (kernel == KernelKind::softmax) throw InputError("--" + option + ": the softmax kernel has none");
  if (!(bandwidth > 0) || !std::isfinite(bandwidth))
    throw InputError("--" + option + " " + number(bandwidth) + ": expected a positive number");
  return bandwidth;
}

void check_weights_fit(const std::string& options, Index embedding, Index outputs, Index heads,
                       Index head_dim) {
  const double each =
      static_cast<double>(head_dim) * (3 * static_cast<double>(embedding) + static_cast<double>(outputs));
  require_memory(options + ": drawing the weights", 2 * 8 * static_cast<double>(heads) * each);
}

std::map<std::string, double> parse_gains(const std::vector<std::string>& gains, const std::string& option) {
  std::map<std::string, double> parsed;
  for (const std::string& gain : gains) {
    const auto parts = split(gain, '=');
    const auto factor = parse_number(parts.back());
    if (parts.size() == 2 && factor && parsed.emplace(parts[0], *factor).second) continue;
    throw InputError("--" + option + " " + gain + ": expected BLOCK=NUMBER, e.g. W_O=2, each block once");
  }
  return parsed;
}

AttentionSpec Setup::spec() const {
  return AttentionView(point).spec();
}

std::string Setup::text() const {
  std::ostringstream out;
  if (const auto s = single_attention()) {
    out << kernel_name(s->kernel) << " attention, N = " << point.data->samples << ", n = " << s->tokens
        << ", D = " << s->embedding << ", H = " << s->heads << ", d = " << s->head_dim
        << ", D_out = " << s->outputs;
  } else {
    const std::size_t count = architecture().layers.size();
    out << "network of " << count << (count == 1 ? " layer (" : " layers (") << summary(architecture())
        << "), ";
    if (const std::string kernels = kernels_text(architecture()); !kernels.empty())
      out << "attention: " << kernels << ", ";
    out << data_text(architecture(), point.data->samples);
    if (!point.data->mask.empty()) out << ", some tokens masked";
  }
  if (!weights_kernels.empty() && weights_kernels != kernels_text(architecture()))
    out << "; its weights are from a network with other attention: " << weights_kernels;
  out << "; P = " << point.theta_size() << " trained (" << shortened(trainable(), 60) << ")";
  return out.str();
}

hdf5::Extent Setup::output_extent() const {
  const Index N = point.data->samples;
  if (pools(architecture())) return {N, outputs().width};
  return {N, outputs().tokens, outputs().width};
}

std::vector<std::pair<const char*, Index>> Setup::sizes() const {
  std::vector<std::pair<const char*, Index>> all = {{"D", inputs().width}, {"D_out", outputs().width}};
  if (const auto layer = single_attention())
    all.insert(all.begin(), {{"H", layer->heads}, {"d", layer->head_dim}});
  return all;
}

std::optional<Vector<double>> Setup::weights_of(const Problem& problem) const {
  if (!problem.described) {
    const std::optional<AttentionWeights>& there = problem.network.weights;
    if (!there) return std::nullopt;
    const auto sizes = [](Index H, Index d, Index D, Index D_out) {
      return "H = " + std::to_string(H) + ", d = " + std::to_string(d) + ", D = " + std::to_string(D) +
             ", D_out = " + std::to_string(D_out);
    };
    const std::string found = sizes(there->heads, there->head_dim, problem.embedding(), problem.outputs());
    const auto here = single_attention();
    const std::string expected = here ? sizes(here->heads, here->head_dim, here->embedding, here->outputs)
                                      : "the blocks of a network of other layers";
    if (found != expected) throw InputError("of another model: found " + found + "; expected " + expected);
    return there->values;
  }
  if (!problem.described->weights) return std::nullopt;
  const auto text = [](const ParameterBlock& block) { return block.name + " " + hdf5::text(block.shape); };
  const std::vector<ParameterBlock> there = blocks(problem.described->architecture),
                                    here = blocks(architecture());
  for (std::size_t i = 0; i < std::max(here.size(), there.size()); ++i) {
    const std::string found = i < there.size() ? text(there[i]) : "no more blocks",
                      expected = i < here.size() ? text(here[i]) : "no more blocks";
    if (found != expected) throw InputError("of another model: found " + found + "; expected " + expected);
  }
  return problem.described->weights;
}

ProblemFile read_problem_file(const std::string& path) {
  const hdf5::Reader reader(path);
  ProblemFile file;
  file.path = path;
  file.problem = hdf5::read_problem(reader);
  if (!file.problem.described) {
    file.minimum = hdf5::read_minimum(reader, file.problem.embedding(), file.problem.outputs());
    file.problem.teacher = hdf5::read_teacher(reader, file.problem);
  }
  file.sha256 = hdf5::sha256_of(reader);
  return file;
}

Setup setup_of(OptionValues& values, ProblemFile file, Draws draws) {
  Setup setup;
  setup.input = file.path;
  setup.input_sha256 = file.sha256;
  setup.minimum = file.minimum;
  if (!setup.minimum && file.problem.teacher && file.problem.teacher->weights)
    setup.teacher = teacher_minimum(file.problem, 1);
  if (file.problem.described)
    set_described_point(values, file, draws, setup);
  else
    set_attention_point(values, file, draws, setup);
  setup.point.data = std::make_shared<Data<double>>(std::move(file.problem.data));
  setup.held_out = file.problem.held_out;
  setup.theory = theory_of(setup.point);

  if (const auto spec = setup.single_attention()) {
    values.resolve("kernel", kernel_name(spec->kernel));
    if (spec->kernel == KernelKind::gaussian) values.resolve("bandwidth", number(spec->sigma(), 17));
    values.resolve("heads", std::to_string(spec->heads));
    values.resolve("head-dim", std::to_string(spec->head_dim));
  }
  values.resolve("train", setup.trainable());
  if (setup.weights_origin == kFromFile && draws == Draws::weights)
    values.resolve("init", "weights of the problem file");
  return setup;
}

Setup setup_at(const OptionValues& values, Problem problem, std::optional<KnownMinimum> minimum) {
  Setup setup;
  setup.minimum = std::move(minimum);
  if (problem.described) {
    const Architecture& net = problem.described->architecture;
    setup.described = true;
    setup.point.model = build<double>(net, trained_blocks(values, blocks(net)));
    setup.point.weights = std::move(problem.described->weights.value());
  } else {
    const AttentionWeights& weights = problem.network.weights.value();
    const AttentionSpec spec = problem.spec(problem.network, weights.heads, weights.head_dim);
    setup.point.model = build_single_attention<double>(spec, parse_blocks(values.get<std::string>("train")));
    setup.point.weights = weights.values;
  }
  setup.point.data = std::make_shared<Data<double>>(std::move(problem.data));
  setup.held_out = problem.held_out;
  setup.theory = theory_of(setup.point);
  return setup;
}

Setup read_setup(Command& command, Draws draws) {
  return setup_of(command, read_problem_file(command.get<std::string>("problem")), draws);
}

std::string data_text(const Architecture& architecture, Index samples) {
  const Shape in = architecture.input, out = output_shape(architecture);
  const std::string width = architecture.vocabulary > 0
                                ? " token ids of " + std::to_string(architecture.vocabulary)
                                : " x " + std::to_string(in.width);
  return "N = " + std::to_string(samples) + ", inputs " + std::to_string(in.tokens) + width + ", outputs " +
         std::to_string(out.tokens) + " x " + std::to_string(out.width);
}

std::string kernels_text(const Architecture& architecture) {
  std::vector<std::string> kernels;
  for_each_layer(architecture, [&](const LayerDescription& layer, Shape input, const std::string&) {
    if (layer.type != "attention") return;
    const AttentionSpec spec = attention_spec(with_defaults(layer), input);
    std::string kernel = kernel_name(spec.kernel);
    if (spec.kernel == KernelKind::gaussian) kernel += ", sigma = " + number(spec.sigma(), 4);
    if (std::find(kernels.begin(), kernels.end(), kernel) == kernels.end()) kernels.push_back(kernel);
  });
  std::string text;
  for (const std::string& kernel : kernels) text += (text.empty() ? "" : "; ") + kernel;
  return text;
}

KernelKind other_kernel(const Architecture& architecture) {
  bool gaussian = false;
  for_each_layer(architecture, [&](const LayerDescription& layer, Shape, const std::string&) {
    const auto kernel = layer.options.find("kernel");
    if (layer.type == "attention" && kernel != layer.options.end())
      gaussian = gaussian || kernel->second == LayerOption(kernel_name(KernelKind::gaussian));
  });
  return gaussian ? KernelKind::softmax : KernelKind::gaussian;
}

std::string kinks_text(Index kinks) {
  return std::to_string(kinks) + (kinks == 1 ? " number is" : " numbers are") +
         " at the kink of ReLU, exactly 0: gradient and products are those of the piece where it is 0, on "
         "the "
         "other side they differ";
}

std::string contradictions_text(const Setup& setup) {
  const double least = least_loss_of_labels(setup.point);
  if (!(least > 0)) return "";
  return "the loss cannot be below " + number_below(least, 8) +
         ": rows of outputs that are copies, of equal inputs, have different labels";
}

void write_problem_at(hdf5::Writer& file, const hdf5::Provenance& provenance, const Setup& setup,
                      const Vector<double>& weights) {
  Problem problem;
  problem.tokens = setup.inputs().tokens;
  problem.data = *setup.point.data;
  problem.held_out = setup.held_out;
  if (const auto s = setup.described ? std::nullopt : setup.single_attention())
    problem.network = {s->kernel, s->bandwidth, AttentionWeights{s->heads, s->head_dim, weights}};
  else
    problem.described = {setup.architecture(), weights, setup.checkpoint};
  hdf5::write_problem(file, problem);
  if (setup.minimum) hdf5::write_minimum(file, *setup.minimum, problem.embedding(), problem.outputs());
  hdf5::write_provenance(file, "/provenance", provenance);
}

void write_frame(hdf5::Writer& file, const Command& command, const Setup& setup, const std::string& tool,
                 const std::string& title, const std::string& default_group) {
  hdf5::write_entry(file, tool, title, default_group);
  file.write("/entry/verdict", command.summary());
  hdf5::write_provenance(file, "/entry/provenance", command.provenance(setup.input, setup.input_sha256));
  hdf5::write_model(file, setup.point, setup.weights_origin);
}

}  // namespace basin::tools
