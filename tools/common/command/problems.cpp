#include "common/command/problems.h"

#include <algorithm>
#include <initializer_list>

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/problem/drawn_data.h"
#include "basin/problem/teacher.h"
#include "common/command/setup.h"

namespace basin::tools {
namespace {

std::uint64_t seed_or(OptionValues& values, const std::string& option) {
  const std::uint64_t seed = values.given(option) ? values.get<Seed>(option).value : values.seed();
  values.resolve(option, std::to_string(seed));
  return seed;
}

/// "--samples 16, --tokens 8"
std::string named(const OptionValues& values, const std::vector<std::string>& options) {
  std::string text;
  for (const std::string& option : options)
    text += (text.empty() ? "--" : ", --") + option + " " + std::to_string(values.get<Index>(option));
  return text;
}

/// Of numbers of which a negative one is refused elsewhere.
double product(std::initializer_list<Index> sizes) {
  double product = 1;
  for (const Index size : sizes) product *= static_cast<double>(std::max<Index>(size, 0));
  return product;
}

}  // namespace

void add_teacher_options(po::options_description& options) {
  options.add_options()("samples,N", po::value<Index>()->default_value(16)->value_name("N"), "samples")  //
      ("tokens,n", po::value<Index>()->default_value(8)->value_name("n"), "tokens per sample")           //
      ("embedding,D", po::value<Index>()->default_value(32)->value_name("D"), "embedding dimension")     //
      ("outputs", po::value<Index>()->default_value(8)->value_name("D_out"), "outputs per token")        //
      ("input-scale", po::value<double>()->default_value(1)->value_name("s"),
       "standard deviation of the inputs")  //
      ("targets", po::value<std::string>()->default_value("teacher")->value_name("KIND"),
       "teacher or random")                                                                              //
      ("target-scale", po::value<double>()->default_value(1)->value_name("s"), "factor on the targets")  //
      ("noise", po::value<double>()->default_value(0)->value_name("s"),
       "standard deviation of noise on the targets")  //
      ("target-kernel", po::value<std::string>()->default_value("same")->value_name("KERNEL"),
       "kernel of the teacher: same, softmax or gaussian")  //
      ("target-bandwidth", po::value<double>()->value_name("SIGMA"),
       "its bandwidth (default: the student's if the kernel is the same)")  //
      ("target-heads", po::value<Index>()->value_name("H"),
       "heads of the teacher (default: as the student)")  //
      ("target-head-dim", po::value<Index>()->value_name("d"),
       "their dimension (default: as the student)")  //
      ("target-init", po::value<std::string>()->default_value("gaussian")->value_name("METHOD"),
       ("how its weights are drawn, one of " + initialisation_methods()).c_str())  //
      ("target-gain",
       po::value<std::vector<std::string>>()->default_value({}, "")->composing()->value_name("BLOCK=G"),
       "factor on a block of the teacher; repeatable")  //
      ("data-seed", po::value<Seed>()->value_name("S"),
       "seed of inputs, random targets and noise (default --seed)")  //
      ("target-seed", po::value<Seed>()->value_name("S"), "seed of the teacher's weights (default --seed)");
}

void add_text_options(po::options_description& options) {
  options.add_options()("samples,N", po::value<Index>()->default_value(32)->value_name("N"),
                        "reviews; 0 takes all")                                                       //
      ("tokens,n", po::value<Index>()->default_value(16)->value_name("n"), "words per review")        //
      ("embedding,D", po::value<Index>()->default_value(64)->value_name("D"), "embedding dimension")  //
      ("word-scale", po::value<double>()->default_value(1)->value_name("s"),
       "standard deviation of word embeddings")  //
      ("position-scale", po::value<double>()->default_value(1)->value_name("s"),
       "factor on the positions")  //
      ("data-seed", po::value<Seed>()->value_name("S"), "seed of the embeddings (default --seed)");
}

void add_drawn_data_options(po::options_description& options) {
  options.add_options()("samples,N", po::value<Index>()->default_value(16)->value_name("N"),
                        "samples, where no inputs are given")  //
      ("input-scale", po::value<double>()->default_value(1)->value_name("s"),
       "standard deviation of drawn inputs")  //
      ("target-init", po::value<std::string>()->default_value("gaussian")->value_name("METHOD"),
       "how the weights of the teacher are drawn, where no targets are given: as --init")  //
      ("target-gain",
       po::value<std::vector<std::string>>()->default_value({}, "")->composing()->value_name("BLOCK=G"),
       "factor on a block of the teacher; repeatable")                                            //
      ("data-seed", po::value<Seed>()->value_name("S"), "seed of drawn inputs (default --seed)")  //
      ("target-seed", po::value<Seed>()->value_name("S"), "seed of the teacher's weights (default --seed)");
}

void add_student_options(po::options_description& options) {
  options.add_options()("kernel", po::value<std::string>()->default_value("softmax")->value_name("KERNEL"),
                        "softmax or gaussian")  //
      ("bandwidth", po::value<double>()->value_name("SIGMA"),
       "sigma of the Gaussian kernel (default sigma^2 = sqrt(d))")                                  //
      ("heads,H", po::value<Index>()->default_value(2)->value_name("H"), "heads")                   //
      ("head-dim,d", po::value<Index>()->default_value(8)->value_name("d"), "dimension of a head")  //
      ("init-seed", po::value<Seed>()->value_name("S"), "seed of the initial weights (default --seed)");
  add_initialisation_options(options, "gaussian");
}

Problem teacher_problem(OptionValues& values) {
  TeacherOptions o;
  o.samples = values.get<Index>("samples");
  o.tokens = values.get<Index>("tokens");
  o.embedding = values.get<Index>("embedding");
  o.outputs = values.get<Index>("outputs");
  o.input_scale = values.get<double>("input-scale");
  o.target_scale = values.get<double>("target-scale");
  o.noise = values.get<double>("noise");
  o.data_seed = seed_or(values, "data-seed");
  const std::string targets = values.get<std::string>("targets");
  if (targets != "teacher" && targets != "random")
    throw InputError("--targets " + targets + ": expected teacher or random");
  o.random_targets = targets == "random";
  if (o.random_targets)
    refuse(values,
           {"target-kernel", "target-bandwidth", "target-heads", "target-head-dim", "target-init",
            "target-gain", "target-seed"},
           "under --targets random");
  const std::string kernel = values.get<std::string>("kernel"),
                    target_kernel = values.get<std::string>("target-kernel");
  o.teacher_kernel = kernel_from_name(target_kernel == "same" ? kernel : target_kernel);
  const bool same_kernel = o.teacher_kernel == kernel_from_name(kernel);
  if (values.given("target-bandwidth"))
    o.teacher_bandwidth = checked_bandwidth(values, "target-bandwidth", o.teacher_kernel);
  else if (same_kernel && values.given("bandwidth"))
    o.teacher_bandwidth = checked_bandwidth(values, "bandwidth", o.teacher_kernel);
  o.teacher_heads = values.get<Index>(values.given("target-heads") ? "target-heads" : "heads");
  o.teacher_head_dim = values.get<Index>(values.given("target-head-dim") ? "target-head-dim" : "head-dim");
  o.teacher_initialisation = teacher_initialisation(values);
  require_memory(
      named(values, {"samples", "tokens", "embedding", "outputs"}) + ": the data, twice,",
      2 * 8 * (product({o.samples, o.tokens, o.embedding}) + product({o.samples, o.tokens, o.outputs})));
  if (!o.random_targets)
    check_weights_fit(named(values, {values.given("target-heads") ? "target-heads" : "heads",
                                     values.given("target-head-dim") ? "target-head-dim" : "head-dim"}),
                      o.embedding, o.outputs, o.teacher_heads, o.teacher_head_dim);
  Problem problem = make_teacher_problem(o);
  problem.network = student_network(values);
  return problem;
}

TextProblem text_problem(OptionValues& values, const Reviews& reviews) {
  TextOptions o;
  o.samples = values.get<Index>("samples");
  o.embedding = values.get<Index>("embedding");
  o.word_scale = values.get<double>("word-scale");
  o.position_scale = values.get<double>("position-scale");
  o.data_seed = seed_or(values, "data-seed");
  const auto there = static_cast<Index>(reviews.taken.size());  // fewer than asked for are refused as such
  const Index N = o.samples == 0 ? there : std::min(o.samples, there);
  require_memory(
      named(values, {"samples", "tokens", "embedding"}) + ": the data, with a vector for every word,",
      2 * 8 * product({N, reviews.tokens, o.embedding}));
  TextProblem made = make_text_problem(reviews, o);
  made.problem.network = student_network(values);
  return made;
}

std::string encoding_note(const Reviews& reviews) {
  if (reviews.guessed == 0) return "";
  return std::to_string(reviews.guessed) +
         " texts are not UTF-8 and are taken for Windows-1252, the first: " + reviews.first_guessed;
}

Network student_network(const OptionValues& values) {
  Network net;
  net.kernel = checked_kernel(values);
  if (values.given("bandwidth")) net.bandwidth = checked_bandwidth(values, "bandwidth", net.kernel);
  return net;
}

Initialisation student_initialisation(OptionValues& values) {
  return {.method = values.get<std::string>("init"),
          .gains = parse_gains(values.get<std::vector<std::string>>("gain")),
          .seed = seed_or(values, "init-seed")};
}

Initialisation teacher_initialisation(OptionValues& values) {
  return {.method = values.get<std::string>("target-init"),
          .gains = parse_gains(values.get<std::vector<std::string>>("target-gain"), "target-gain"),
          .seed = seed_or(values, "target-seed"),
          .stream = "teacher"};
}

void draw_inputs(OptionValues& values, NetworkData& data) {
  const auto samples = values.get<Index>("samples");
  const Shape in = data.network().input(), out = data.network().output();
  const Index numbers = data.architecture().vocabulary > 0 ? in.tokens : in.size();
  require_memory(named(values, {"samples"}) + ": the data, twice,",
                 2 * 8 * static_cast<double>(samples) *
                     static_cast<double>(numbers + (data.labels() ? out.tokens : out.size())));
  basin::draw_inputs(data, samples, values.get<double>("input-scale"), seed_or(values, "data-seed"));
}

void draw_student(OptionValues& values, Problem& problem) {
  const Initialisation init = student_initialisation(values);
  const auto heads = values.get<Index>("heads"), head_dim = values.get<Index>("head-dim");
  check_weights_fit(named(values, {"heads", "head-dim"}), problem.embedding(), problem.outputs(), heads,
                    head_dim);
  problem.network.weights = draw_weights(problem.spec(problem.network, heads, head_dim), init);
}

}  // namespace basin::tools
