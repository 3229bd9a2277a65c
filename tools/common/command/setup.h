/// From a problem file and the model options to a model at a point.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "basin/hdf5/result_file.h"
#include "basin/model/attention_model.h"
#include "basin/model/linearization.h"
#include "basin/problem/initialisation.h"
#include "basin/problem/known_minimum.h"
#include "basin/problem/problem.h"
#include "basin/stationary/network_theory.h"
#include "common/command/command.h"

namespace basin::tools {

/// What the options of the initialisation draw.
enum class Draws {
  weights,  ///< those of the point, unless the file has some
  starts,   ///< starts elsewhere too: weights of the file stay, whatever the options say
};

/// The positional PROBLEM.h5 and the options --train, --kernel, --bandwidth, --init, --gain, --heads,
/// --head-dim.
void add_model_options(Command& command, Draws draws = Draws::weights);

/// The same without the file. `init_default` is shown in the help.
void add_point_options(po::options_description& options, const std::string& init_default,
                       Draws draws = Draws::weights);

/// --kernel and --bandwidth, in the place of what a file says.
void add_kernel_options(po::options_description& options);
/// The network with that kernel in every attention layer. Throws InputError, naming the input if that has a
/// name, where there is none that it could be for.
Architecture with_kernel_options(const OptionValues& values, Architecture architecture,
                                 const std::string& input);

/// --init and --gain alone. `init_default` is shown in the help, and what --init takes `more`.
void add_initialisation_options(po::options_description& options, const std::string& init_default,
                                const std::string& more = "");

/// What --kernel says. Throws InputError.
KernelKind checked_kernel(const OptionValues& values);

/// The value of a bandwidth option. Throws InputError unless it is positive and the kernel is Gaussian.
double checked_bandwidth(const OptionValues& values, const std::string& option, KernelKind kernel);

/// Refuses weights that memory does not hold, before they are drawn; `options`: those that say so.
void check_weights_fit(const std::string& options, Index embedding, Index outputs, Index heads,
                       Index head_dim);

/// Adds --train.
void add_train_option(po::options_description& options);

/// The blocks that --train names, by name or pattern ("blocks.*.W_Q"), or by tensors of the checkpoint that
/// they are in; all of them without it. Throws InputError.
std::vector<std::string> trained_blocks(const OptionValues& values, const std::vector<ParameterBlock>& all,
                                        const CheckpointLayout* checkpoint = nullptr);

/// The blocks that a list of names, patterns or tensors stands for, likewise.
std::vector<std::string> listed_blocks(const std::string& list, const std::vector<ParameterBlock>& all,
                                       const CheckpointLayout* checkpoint);

/// Reads a list of blocks, "W_Q,W_K" or "W_Q+W_K".
std::vector<std::string> parse_blocks(const std::string& blocks);

/// Reads "W_O=2" and the like, values of the option. Throws InputError.
std::map<std::string, double> parse_gains(const std::vector<std::string>& gains,
                                          const std::string& option = "gain");

struct Setup {
  std::string input, input_sha256;  ///< the problem file, and its checksum when it was read
  ModelPoint<double> point;
  std::shared_ptr<const Data<double>> held_out;        ///< data that are not trained on; null: none
  std::shared_ptr<const NetworkTheory> theory;         ///< what is known of the network
  bool described = false;                              ///< the file describes its network (format 2)
  std::shared_ptr<const CheckpointLayout> checkpoint;  ///< where its weights are from, if that is known
  std::string weights_origin;                          ///< where the weights are from, one line
  std::string weights_kernels;  ///< kernels_text of the network that they were trained in, if that is known
  std::optional<KnownMinimum> minimum;  ///< what the file says of the global minimum, of whatever model
  std::optional<KnownMinimum> teacher;  ///< where its teacher is, in files that say nothing of a minimum

  const ParameterLayout& parameters() const { return point.parameters(); }
  const Architecture& architecture() const { return point.model->architecture(); }
  Shape inputs() const { return point.model->network().input(); }    ///< n x D
  Shape outputs() const { return point.model->network().output(); }  ///< of a sample
  /// Shapes and kernel of the layer, if it is a point of which more is known (AttentionView).
  std::optional<AttentionSpec> single_attention() const { return basin::single_attention(point); }
  /// The same for what is known of it alone. Throws InputError for another network.
  AttentionSpec spec() const;
  std::string trainable() const { return joined(parameters().trained()); }  ///< "W_Q,W_K"
  /// (N, n, D_out), or (N, D_out) behind a pool.
  hdf5::Extent output_extent() const;
  /// Sizes by which trajectories are told apart: H and d of one attention layer, D, D_out.
  std::vector<std::pair<const char*, Index>> sizes() const;
  /// The weights of all blocks that another problem has, if it has some. Throws InputError, "of another
  /// model:
  /// ...", unless they are for blocks of the same names and shapes.
  std::optional<Vector<double>> weights_of(const Problem& other) const;
  /// "softmax attention, N = 16, n = 8, ...": one line for people.
  std::string text() const;
};

/// A problem file that was read.
struct ProblemFile {
  std::string path, sha256;
  Problem problem;  ///< with its teacher
  std::optional<KnownMinimum> minimum;
};
/// Throws InputError, naming the file and dataset.
ProblemFile read_problem_file(const std::string& path);

/// What the model options say of such a file. Throws InputError, naming the file or the option.
Setup setup_of(OptionValues& values, ProblemFile file, Draws draws = Draws::weights);

/// A problem that was made, at the weights that it has, with the blocks that --train names trained; minimum:
/// what is known of its global minimum. Throws InputError for what cannot be trained.
Setup setup_at(const OptionValues& values, Problem problem, std::optional<KnownMinimum> minimum = {});

/// The file that --problem names. Throws InputError, naming the file and dataset or the option.
Setup read_setup(Command& command, Draws draws = Draws::weights);

/// Writes the problem with other weights: the second result of a tool. What was read of the
/// input is what it has, whatever became of the input.
void write_problem_at(hdf5::Writer& file, const hdf5::Provenance& provenance, const Setup& setup,
                      const Vector<double>& weights);

/// "N = 16, inputs 4 token ids of 6, outputs 4 x 6": the data of a described network.
std::string data_text(const Architecture& architecture, Index samples);

/// "softmax", "gaussian, sigma = 1.4": the kernels of attention in a network, each once; empty without any.
std::string kernels_text(const Architecture& architecture);

/// The kernel that attention does not have there: softmax where some layer is Gaussian.
KernelKind other_kernel(const Architecture& architecture);

/// "3 numbers are at the kink of ReLU, exactly 0: ...", of a point where some are.
std::string kinks_text(Index kinks);

/// "the loss cannot be below 0.3: ...", of labels that contradict each other; empty where none do.
std::string contradictions_text(const Setup& setup);

/// Everything a result file holds besides the results.
void write_frame(hdf5::Writer& file, const Command& command, const Setup& setup, const std::string& tool,
                 const std::string& title, const std::string& default_group);

}  // namespace basin::tools
