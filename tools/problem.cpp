/// basin-problem: writes problem files.
#include <sstream>

#include "basin/hdf5/minimum_file.h"
#include "basin/hdf5/problem_file.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/problem/constructions.h"
#include "basin/problem/npy.h"
#include "common/command/network_problems.h"
#include "common/command/problems.h"
#include "common/command/run.h"
#include "common/command/setup.h"
#include "common/problem/checkpoint.h"
#include "common/problem/files.h"
#include "common/problem/tasks.h"

using namespace basin;
using namespace basin::tools;

namespace {

const std::string kName = "basin-problem";

const char* const kOverview = R"(basin-problem: makes problem files: data, a kernel and initial weights

Usage: basin-problem KIND -o PROBLEM.h5 [options]

  teacher       Gaussian inputs; targets from a random network, or random
  text          labelled text in the layout of the Large Movie Review Dataset, as words or as bytes
  pathfinder    pictures of dashed curves: do they connect two dots?
  import        NumPy .npy arrays
  construct     stationary points that are not global minima, known exactly
  architecture  any network, described in JSON, on given or random data
  checkpoint    a trained Transformer: .safetensors of PyTorch, Hugging Face, nanoGPT, timm, ...
  export        the reverse: weights, or a vector over them, as .safetensors

basin-problem KIND --help explains each.

Example:
  basin-problem teacher -o problem.h5 -N 16 -n 8 -D 32 --target-kernel gaussian --gain W_O=2
)";

/// What every kind of problem offers besides its own options.
void add_weight_options(Command& command) {
  add_student_options(command.options);
  command.options.add_options()("no-weights", po::bool_switch(),
                                "leave the weights to the tools that read the file");
}

void add_weights(Command& command, Problem& problem) {
  if (!command.get<bool>("no-weights")) return draw_student(command, problem);
  refuse(command, {"init", "gain", "init-seed"}, "under --no-weights");
  if (!problem.teacher)
    refuse(command, {"heads", "head-dim"}, "under --no-weights");  // a teacher takes them over
}

void write(Command& command, hdf5::Writer& file, const Problem& problem, const hdf5::Provenance& provenance,
           const std::optional<KnownMinimum>& minimum = std::nullopt) {
  std::ostringstream line;
  line << command.output() << ": N = " << problem.data.samples << ", n = " << problem.tokens
       << ", D = " << problem.embedding() << ", D_out = " << problem.outputs() << "; "
       << kernel_name(problem.network.kernel) << " kernel, ";
  if (problem.network.weights)
    line << "weights with H = " << problem.network.weights->heads
         << ", d = " << problem.network.weights->head_dim;
  else
    line << "no weights";
  command.say(line.str());
  hdf5::write_problem(file, problem);
  if (minimum) hdf5::write_minimum(file, *minimum, problem.embedding(), problem.outputs());
  hdf5::write_provenance(file, "/provenance", provenance);
  file.commit();
}

void teacher(int argc, const char* const* argv) {
  Command command(
      {kName + " teacher", "Gaussian inputs; targets from a random network, or random",
       "-o PROBLEM.h5 [options]",
       R"(Inputs X are independent N(0, s^2). Targets are the outputs of a random attention layer, the teacher, of the same
or the other kernel (then a global minimum of loss 0 exists if the student is at least as wide and of the same
kernel), or independent normal numbers. The teacher is stored in /teacher; without noise, where it reaches the global
minimum 0, in /minimum, too, and the other tools use that.
)",
       R"(  basin-problem teacher -o problem.h5 -N 16 -n 8 -D 32 -H 2 -d 8 --outputs 8 --seed 1
)"},
      argc, argv, 2);
  add_teacher_options(command.options);
  add_weight_options(command);
  if (!command.parse()) return;
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  Problem problem = teacher_problem(command);
  add_weights(command, problem);
  std::optional<KnownMinimum> minimum;
  if (problem.teacher && command.get<double>("noise") == 0)
    minimum = teacher_minimum(problem, command.get<double>("target-scale"));
  write(command, file, problem, command.provenance(), minimum);
}

void text(int argc, const char* const* argv) {
  Command command(
      {kName + " text", "a problem from labelled text", "FOLDER -o PROBLEM.h5 [options]",
       R"(FOLDER holds {pos,neg}/*.txt, one review a file (the Large Movie Review Dataset, Maas et al., ACL 2011, is laid
out so). Reviews are taken from both classes in turn, in the order of their names; the first n lower-cased words of
each are its tokens, shorter reviews are skipped and counted. Blanks and punctuation separate words, those beyond
ASCII, too; texts that are not UTF-8, nor UTF-16 or UTF-32 with a byte order mark, are taken for Windows-1252, and
it is said how many. A token is a random vector of its word (the same for
the same word, seed and D) plus a sinusoidal position. Targets are +1 (pos) and -1 (neg) at every token.

With --bytes, tokens are the bytes of the texts as they are, byte + 1, for the network that --network describes, in JSON
as for `architecture`: token ids with a vocabulary of 257 or more. Texts are cut to its number of tokens, or padded with
token 0, which is masked; labels are 1 (pos) and 0 (neg). Reviews of another folder may be held out.
)",
       R"(  basin-problem text aclImdb/train -o reviews.h5 -N 32 -n 16 -D 512 -H 4 -d 16
  basin-problem text aclImdb/train -o bytes.h5 --bytes --network data/classifier.json --set tokens=256 -N 1600 --held-out aclImdb/test
)"},
      argc, argv, 2);
  command.options.add_options()  //
      ("folder", po::value<std::string>()->required()->value_name("FOLDER"), "the folder (first argument)");
  add_text_options(command.options);
  command.positional.add("folder", 1);
  add_byte_options(command);
  add_weight_options(command);
  if (!command.parse()) return;
  if (command.get<bool>("bytes")) return write_byte_problem(command);
  refuse_byte_options(command);
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  const auto n = command.get<Index>("tokens");
  const auto folder = command.get<std::string>("folder");
  const Reviews reviews = read_reviews(folder, n);
  const std::string sha256 = hdf5::sha256_of_files(folder, review_names(folder));
  TextProblem made = text_problem(command, reviews);
  add_weights(command, made.problem);
  command.say(std::to_string(made.problem.data.samples) + " reviews, " + std::to_string(made.words) +
              " different words; " + std::to_string(made.too_short) +
              " reviews skipped as shorter than n = " + std::to_string(n) + " words, " +
              std::to_string(made.unused) + " left over");
  if (const std::string note = encoding_note(reviews); !note.empty()) command.say(note);
  write(command, file, made.problem, command.provenance(folder, sha256));
}

void architecture(int argc, const char* const* argv) {
  Command command(
      {kName + " architecture", "a problem of any network, described in JSON",
       "NETWORK.json -o PROBLEM.h5 [options]",
       R"(NETWORK.json says inputs, layers and loss; lib/hdf5/FORMAT.md has the table of layers, data/classifier.json is an
example. Data are .npy files: --inputs (N, tokens, width), token ids (N, tokens) or images (N, channels, height,
width), --mask (N, tokens) of 0 and 1, --targets (N, tokens, width) of what comes out, or labels (N, tokens) or (N)
under cross-entropy, negative where a row counts for nothing. Without inputs, numbers are N(0, s^2) and token ids
uniform; without targets they are the outputs of a teacher, a network of the same architecture with weights of its
own, or the class of its largest output. Weights are drawn by --init. Where the description declares variables,
--set gives them other values; --kernel replaces the kernel of every attention.
)",
       R"(  basin-problem architecture data/classifier.json -o classifier.h5 -N 32 --set depth=3
  basin-problem architecture network.json -o network.h5 --inputs X.npy --targets labels.npy --init pytorch
)"},
      argc, argv, 2);
  command.options.add_options()("network", po::value<std::string>()->required()->value_name("FILE"),
                                "the network (first argument)");
  add_network_file_options(command.options);
  command.positional.add("network", 1);
  add_network_problem_options(command.options);
  command.options.add_options()("no-weights", po::bool_switch(),
                                "leave the weights to the tools that read the file");
  if (!command.parse()) return;

  NetworkFiles files(command.get<std::string>("network"));
  Problem problem = network_problem(command, files);
  DescribedNetwork& net = *problem.described;
  const std::vector<std::string> read = network_files(command, files);
  const std::string sha256 = hdf5::sha256_of_files("", read);
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  if (command.get<bool>("no-weights"))
    refuse(command, {"init", "gain", "init-seed"}, "under --no-weights");
  else
    draw_network_weights(command, files.path(), net);
  command.say(command.output() + ": " + summary(net.architecture) + "; " +
              std::to_string(parameter_count(net.architecture)) +
              (net.weights ? " weights" : " parameters, no weights") + "; " +
              data_text(net.architecture, problem.data.samples));
  hdf5::write_problem(file, problem);
  hdf5::write_provenance(file, "/provenance", command.provenance(lines(read), sha256));
  file.commit();
}

/// Reads a .npy file of rank 3.
NpyArray read_rank_3(const std::string& option, const std::string& path, const char* axes) {
  NpyArray array = read_npy(path);
  bool good = array.shape.size() == 3;
  for (const Index size : array.shape) good = good && size > 0;
  if (!good)
    throw InputError(path + ": found shape " + hdf5::text(array.shape) + "; expected " + axes + " for --" +
                     option);
  return array;
}

/// Data from --X and --Y.
void read_data(const std::string& X_path, const std::string& Y_path, Problem& problem) {
  const NpyArray X = read_rank_3("X", X_path, "(N, n, D)"), Y = read_rank_3("Y", Y_path, "(N, n, D_out)");
  if (X.shape[0] != Y.shape[0] || X.shape[1] != Y.shape[1])
    throw InputError(Y_path + ": found shape " + hdf5::text(Y.shape) +
                     "; expected (N, n, D_out) with N, n of X, which has " + hdf5::text(X.shape));
  problem.tokens = X.shape[1];
  const Index rows = X.shape[0] * X.shape[1];
  problem.data = {X.shape[0], Eigen::Map<const Matrix<double>>(X.values.data(), rows, X.shape[2]),
                  Eigen::Map<const Matrix<double>>(Y.values.data(), rows, Y.shape[2])};
}

/// Weights from the files of the four blocks, which must fit each other and the data; none where none is
/// given. Adds the files to `read`.
std::optional<AttentionWeights> read_weights(const Command& command, const Problem& problem,
                                             std::vector<std::string>& read) {
  std::vector<Vector<double>> blocks;
  AttentionWeights weights;
  for (const std::string& block : attention_blocks()) {
    if (!command.given(block)) continue;
    const std::string path = command.get<std::string>(block);
    read.push_back(path);
    const NpyArray array = read_rank_3(block, path, block == "W_O" ? "(H, d, D_out)" : "(H, D, d)");
    if (blocks.empty()) {
      weights.heads = array.shape[0];
      weights.head_dim = array.shape[2];
    }
    const hdf5::Extent expected = block == "W_O"
                                      ? hdf5::Extent{weights.heads, weights.head_dim, problem.outputs()}
                                      : hdf5::Extent{weights.heads, problem.embedding(), weights.head_dim};
    if (!blocks.empty() || block != "W_O")
      if (array.shape != expected)
        throw InputError(path + ": found shape " + hdf5::text(array.shape) + "; expected " +
                         hdf5::text(expected) + " to fit the data and the other blocks");
    blocks.push_back(array.values);
  }
  if (blocks.empty()) return std::nullopt;
  if (blocks.size() != 4) throw InputError("give all of --W_Q, --W_K, --W_V, --W_O, or none");
  weights.values.resize(blocks[0].size() + blocks[1].size() + blocks[2].size() + blocks[3].size());
  weights.values << blocks[0], blocks[1], blocks[2], blocks[3];
  return weights;
}

void import(int argc, const char* const* argv) {
  Command command(
      {kName + " import", "a problem from NumPy arrays", "--X X.npy --Y Y.npy -o PROBLEM.h5 [options]",
       R"(X.npy has shape (N, n, D), Y.npy (N, n, D_out); weights, if given, W_Q, W_K, W_V (H, D, d) and W_O (H, d, D_out);
float64 or float32. Without weights they are drawn (--init). With h5py at hand a problem file is as quickly
written directly: see lib/hdf5/FORMAT.md.
)",
       R"(  basin-problem import --X X.npy --Y Y.npy -o problem.h5 --kernel gaussian -H 4 -d 16
)"},
      argc, argv, 2);
  command.options.add_options()                                                            //
      ("X", po::value<std::string>()->required()->value_name("FILE"), "inputs (N, n, D)")  //
      ("Y", po::value<std::string>()->required()->value_name("FILE"), "targets (N, n, D_out)");
  for (const std::string& block : attention_blocks())
    command.options.add_options()(block.c_str(), po::value<std::string>()->value_name("FILE"),
                                  "weights; all four blocks or none");
  add_weight_options(command);
  if (!command.parse()) return;

  const std::string X_path = command.get<std::string>("X"), Y_path = command.get<std::string>("Y");
  Problem problem;
  read_data(X_path, Y_path, problem);
  std::vector<std::string> read = {X_path, Y_path};
  std::optional<AttentionWeights> weights = read_weights(command, problem, read);
  const std::string sha256 = hdf5::sha256_of_files("", read);
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  problem.network = student_network(command);
  if (weights) {
    refuse(command, {"heads", "head-dim", "init", "gain", "init-seed", "no-weights"},
           "when weights are given");
    problem.network.weights = std::move(weights);
  } else {
    add_weights(command, problem);
  }
  write(command, file, problem, command.provenance(lines(read), sha256));
}

void construct(int argc, const char* const* argv) {
  std::string names;
  for (const Construction& c : constructions())
    names += "  " + c.name + std::string(c.name.size() < 14 ? 14 - c.name.size() : 0, ' ') + "  train " +
             c.trained + "\n";
  Command command(
      {kName + " construct", "an exact stationary point that is not a global minimum",
       "NAME -o PROBLEM.h5 [--kernel KERNEL]",
       "One sample of n = D tokens, X = I, one head with d = 1, one output. The names, and the blocks in\n"
       "which each point is stationary (give the other tools the same --train):\n" +
           names + "What each is: lib/stationary/MATHEMATICS.md.\n",
       R"(  basin-problem construct softmax-trap -o trap.h5
  basin-hessian trap.h5 -o hessian.h5 --full --train W_Q
)"},
      argc, argv, 2);
  command.options.add_options()                                                                            //
      ("name", po::value<std::string>()->default_value("")->value_name("NAME"), "which (first argument)")  //
      ("kernel", po::value<std::string>()->value_name("KERNEL"),
       "softmax or gaussian, at the same weights and targets (default: the one it is made for)");
  command.positional.add("name", 1);
  if (!command.parse()) return;
  Construction made = construction(command.get<std::string>("name"));
  if (command.given("kernel"))
    made.problem.network.kernel = kernel_from_name(command.get<std::string>("kernel"));
  command.resolve("kernel", kernel_name(made.problem.network.kernel));
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  command.say(made.name + ", in " + made.trained + ": " + made.description);
  file.write("/description", made.description);
  write(command, file, made.problem, command.provenance(), made.minimum(made.problem.network.kernel));
}

}  // namespace

int main(int argc, char** argv) {
  return run_kinds(kName, "kind of problem", kOverview,
                   {{"teacher", teacher},
                    {"text", text},
                    {"pathfinder", pathfinder_problem},
                    {"import", import},
                    {"construct", construct},
                    {"architecture", architecture},
                    {"checkpoint", checkpoint_problem},
                    {"export", export_checkpoint}},
                   argc, argv);
}
