#include "common/problem/tasks.h"

#include <string>
#include <vector>

#include "basin/hdf5/problem_file.h"
#include "basin/hdf5/provenance.h"
#include "basin/problem/pathfinder.h"
#include "basin/problem/text.h"
#include "common/command/network_problems.h"
#include "common/command/setup.h"
#include "common/problem/files.h"

namespace basin::tools {
namespace {

/// Data of such a network; errors in them are the network's, which does not fit the task.
template <class Fill>
Data<double> data_of(const std::string& network, const Architecture& architecture, const Fill& fill) {
  try {
    NetworkData data(architecture);
    fill(data);
    return data.take();
  } catch (const InputError& error) {
    throw InputError(network + ": " + error.what());
  }
}

/// Draws the weights unless --no-weights, says what was made, and writes the file.
void finish(Command& command, const std::string& network, Problem& problem,
            const std::vector<std::string>& files, const std::string& sha256, const std::string& held_out) {
  DescribedNetwork& net = *problem.described;
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  if (command.get<bool>("no-weights"))
    refuse(command, {"init", "gain", "init-seed"}, "under --no-weights");
  else
    draw_network_weights(command, network, net);
  command.say(command.output() + ": " + summary(net.architecture) + "; " +
              std::to_string(parameter_count(net.architecture)) +
              (net.weights ? " weights" : " parameters, no weights") + "; " +
              data_text(net.architecture, problem.data.samples) + held_out);
  hdf5::write_problem(file, problem);
  hdf5::write_provenance(file, "/provenance", command.provenance(lines(files), sha256));
  file.commit();
}

std::string share_text(const char* what, Index some, Index all) {
  return std::to_string(some) + " of " + std::to_string(all) + what;
}

/// The reviews of a folder as data; says how many were cut and padded.
Data<double> byte_data(Command& command, const std::string& network, const Architecture& architecture,
                       const std::string& folder, Index samples, std::vector<std::string>& sources) {
  const Index n = architecture.input.tokens;
  ByteReviews reviews = read_byte_reviews(folder, n, samples);
  const Index N = reviews.samples;
  command.say(folder + ": " + std::to_string(N) + " reviews, " + share_text(" cut to ", reviews.cut, N) +
              std::to_string(n) + " bytes, " + std::to_string(reviews.padded) + " padded; " +
              (reviews.empty > 0 ? std::to_string(reviews.empty) + " without any byte skipped, " : "") +
              std::to_string(reviews.unused) + " left over");
  sources = std::move(reviews.sources);
  return data_of(network, architecture, [&](NetworkData& data) {
    data.take_inputs({N, n}, reviews.ids);
    data.take_mask({N, n}, reviews.mask);
    data.take_targets({N}, reviews.labels);
  });
}

/// Refuses a network whose inputs are not what --bytes makes.
void check_byte_network(const std::string& path, const Architecture& architecture) {
  if (architecture.vocabulary < kByteVocabulary)
    throw InputError(path + ": found " +
                     (architecture.vocabulary > 0
                          ? "a vocabulary of " + std::to_string(architecture.vocabulary)
                          : std::string("inputs that are no token ids")) +
                     "; expected token ids with a vocabulary of " + std::to_string(kByteVocabulary) +
                     " or more, 256 bytes and the padding");
}

}  // namespace

void add_byte_options(Command& command) {
  command.options.add_options()  //
      ("bytes", po::bool_switch(),
       "tokens are bytes: ids for a network of your own, cut and padded to its length")               //
      ("network", po::value<std::string>()->value_name("NETWORK.json"), "with --bytes: the network")  //
      ("set",
       po::value<std::vector<std::string>>()->default_value({}, "")->composing()->value_name("NAME=VALUE"),
       "with --bytes: a variable of its description; repeatable")  //
      ("held-out", po::value<std::string>()->value_name("FOLDER"),
       "with --bytes: reviews that are held out, in a folder like FOLDER")  //
      ("held-out-samples", po::value<Index>()->default_value(0)->value_name("M"),
       "so many of them; 0 takes all");
}

void refuse_byte_options(const Command& command) {
  refuse(command, {"network", "set", "held-out", "held-out-samples"}, "without --bytes");
}

void write_byte_problem(Command& command) {
  refuse(command, {"tokens", "embedding", "word-scale", "position-scale", "data-seed", "heads", "head-dim"},
         "under --bytes, where the network says it");
  if (!command.given("network"))
    throw InputError("--bytes: expected --network with it, say data/classifier.json");
  const auto folder = command.get<std::string>("folder"), network = command.get<std::string>("network");
  NetworkFiles files(network);
  Problem problem;
  problem.described = DescribedNetwork{network_of(command, files), {}};
  const Architecture& architecture = problem.described->architecture;
  check_byte_network(network, architecture);
  problem.tokens = architecture.input.tokens;
  problem.data =
      byte_data(command, network, architecture, folder, command.get<Index>("samples"), problem.sources);
  std::vector<std::string> read = {network, folder};
  std::string sha256 = hdf5::sha256_of_files("", {network}) + " " +
                       hdf5::sha256_of_files(folder, review_names(folder)),
              held;
  if (command.given("held-out")) {
    const auto other = command.get<std::string>("held-out");
    problem.held_out = std::make_shared<const Data<double>>(byte_data(command, network, architecture, other,
                                                                      command.get<Index>("held-out-samples"),
                                                                      problem.held_out_sources));
    read.push_back(other);
    sha256 += " " + hdf5::sha256_of_files(other, review_names(other));
    held = "; " + std::to_string(problem.held_out->samples) + " held out";
  } else {
    refuse(command, {"held-out-samples"}, "without --held-out");
  }
  finish(command, network, problem, read, sha256, held);
}

void pathfinder_problem(int argc, const char* const* argv) {
  Command command(
      {"basin-problem pathfinder", "pictures: do dashed curves connect two dots?",
       "NETWORK.json -o PROBLEM.h5 [options]",
       R"(The task of Linsley et al. (NeurIPS 2018) that the Long Range Arena has: each picture has some dashed curves, which touch
neither each other nor themselves, and two dots. Label 1: the dots are at both ends of one curve; label 0: at ends of two
curves. Both kinds have as many curves, dashes and dots; half of the pictures are of each. Pixels are anti-aliased greys.
What the network takes: token ids, one a pixel, row by row (0 to 255: a vocabulary of 256 or more), numbers of width 1
(0 to 1), or images of one channel. Its tokens say the size, tokens = size^2. A picture depends on the seed and its number
alone, and the held-out ones are others.
)",
       R"(  basin-problem pathfinder data/pathfinder.json -o pathfinder.h5 -N 2000 --held-out 500 --seed 1
)"},
      argc, argv, 2);
  const PathfinderOptions by_default;
  command.options.add_options()  //
      ("network", po::value<std::string>()->required()->value_name("FILE"),
       "the network (first argument)")  //
      ("set",
       po::value<std::vector<std::string>>()->default_value({}, "")->composing()->value_name("NAME=VALUE"),
       "a variable of its description, e.g. size=16; repeatable")                          //
      ("samples,N", po::value<Index>()->default_value(1000)->value_name("N"), "pictures")  //
      ("held-out", po::value<Index>()->default_value(0)->value_name("M"),
       "further ones that are held out")                                                          //
      ("data-seed", po::value<Seed>()->value_name("S"), "seed of the pictures (default --seed)")  //
      ("curves", po::value<Index>()->value_name("K"),
       "curves in each, at least 2 (default: 3, below 24 pixels 2)")  //
      ("dashes", po::value<Index>()->value_name("K"),
       "dashes of a curve (default: 6 at 32 pixels, in proportion)")  //
      ("dash", po::value<double>()->value_name("PIXELS"),
       "length of a dash (default: 3, below 24 pixels 2)")  //
      ("gap", po::value<double>()->value_name("PIXELS"),
       "between dashes (default: 2, below 24 pixels 1.2)")  //
      ("turn", po::value<double>()->default_value(by_default.turn)->value_name("RADIANS"),
       "the most that a curve turns at a dash")                                                           //
      ("width", po::value<double>()->default_value(by_default.width)->value_name("PIXELS"), "of a dash")  //
      ("dot", po::value<double>()->value_name("PIXELS"),
       "radius of a dot (default: 1.7, below 24 pixels 1.4)")  //
      ("clearance", po::value<double>()->value_name("PIXELS"),
       "between curves (default: 3, below 24 pixels 2.5)");
  add_kernel_options(command.options);
  command.options.add_options()("init-seed", po::value<Seed>()->value_name("S"),
                                "seed of the initial weights (default --seed)");
  add_initialisation_options(command.options, "gaussian");
  command.options.add_options()("no-weights", po::bool_switch(),
                                "leave the weights to the tools that read the file");
  command.positional.add("network", 1);
  if (!command.parse()) return;

  const auto network = command.get<std::string>("network");
  NetworkFiles files(network);
  Problem problem;
  problem.described = DescribedNetwork{network_of(command, files), {}};
  const Architecture& net = problem.described->architecture;
  problem.tokens = net.input.tokens;
  PathfinderOptions options;
  const Index pixels =
      net.channels > 0 ? net.input.tokens / net.channels * net.input.width : net.input.tokens;
  while (options.size * options.size > pixels) --options.size;
  while (options.size * options.size < pixels) ++options.size;
  if (options.size * options.size != pixels ||
      (net.vocabulary == 0 && net.channels == 0 && net.input.width != 1) || net.channels > 1 ||
      (net.channels == 1 && net.input.width != options.size) || (net.vocabulary > 0 && net.vocabulary < 256))
    throw InputError(
        network +
        ": its inputs are no pictures; expected size^2 tokens with a vocabulary of 256 or more or "
        "of width 1, or square images of one channel");
  const bool small = options.size < 24;
  const auto chosen = [&]<class T>(const std::string& option, T by_size) {
    const T value = command.given(option) ? command.get<T>(option) : by_size;
    command.resolve(option, number(static_cast<double>(value)));
    return value;
  };
  options.paths = chosen("curves", Index{small ? 2 : 3});
  options.dashes = chosen("dashes", std::max<Index>(2, 6 * options.size / 32));
  options.dash = chosen("dash", small ? 2.0 : 3.0);
  options.gap = chosen("gap", small ? 1.2 : 2.0);
  options.turn = command.get<double>("turn");
  options.width = command.get<double>("width");
  options.dot = chosen("dot", small ? 1.4 : 1.7);
  options.clearance = chosen("clearance", small ? 2.5 : 3.0);
  check_pathfinder(options);
  const Index N = command.get<Index>("samples"), M = command.get<Index>("held-out");
  if (N < 1 || M < 0)
    throw InputError("--samples " + std::to_string(N) + ", --held-out " + std::to_string(M) +
                     ": expected at least 1, and at least 0");
  const std::uint64_t seed =
      command.given("data-seed") ? command.get<Seed>("data-seed").value : command.seed();
  command.resolve("data-seed", std::to_string(seed));

  const auto draw = [&](Index count, const std::string& name) {
    Vector<double> greys(count * pixels), labels(count);
    parallel_for(
        count,
        [&](Index i, Index) {
          const bool connected = i % 2 == 1;
          const PathfinderPicture picture =
              pathfinder_picture(options, connected, seed, name + " " + std::to_string(i));
          const Eigen::Map<const Vector<double>> grey(picture.grey.data(), pixels);
          greys.segment(i * pixels, pixels) = grey;
          if (net.vocabulary > 0) greys.segment(i * pixels, pixels) = (255 * grey.array()).round();
          labels[i] = connected ? 1 : 0;
        },
        command.progress("pictures"));
    return data_of(network, net, [&](NetworkData& data) {
      if (net.vocabulary > 0)
        data.take_inputs({count, pixels}, greys);
      else if (net.channels > 0)
        data.take_inputs({count, 1, options.size, options.size}, greys);
      else
        data.take_inputs({count, pixels, 1}, greys);
      data.take_targets({count}, labels);
    });
  };
  problem.picture = options.size;
  problem.data = draw(N, "train");
  if (M > 0) problem.held_out = std::make_shared<const Data<double>>(draw(M, "held out"));
  finish(command, network, problem, {network}, hdf5::sha256_of_files("", {network}),
         M > 0 ? "; " + std::to_string(M) + " held out" : "");
}

}  // namespace basin::tools
