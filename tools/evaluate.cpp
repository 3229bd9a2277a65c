/// basin-evaluate: loss, outputs, gradient, and products with the Jacobian and Hessian.
#include <algorithm>
#include <cmath>
#include <optional>

#include "basin/curvature/self_check.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/linalg/random.h"
#include "basin/model/labels.h"
#include "basin/stationary/rounding.h"
#include "common/command/given_weights.h"
#include "common/command/held_out.h"
#include "common/command/run.h"
#include "common/command/setup.h"
#include "common/command/tensors.h"
#include "common/command/words.h"

using namespace basin;
using namespace basin::tools;

namespace {

const Introduction kIntroduction = {
    "basin-evaluate", "loss, outputs, gradient, and exact products with J, J^T, Gauss-Newton and Hessian",
    "PROBLEM.h5 -o RESULT.h5 [options]",
    R"(With f(theta) the loss of the outputs F(X; theta), J the Jacobian of vec F, G = J^T H_l J the Gauss-Newton matrix
(J^T J for 1/2 |F - Y|^2) and H the Hessian of f, writes
  loss, gradient                                 always
  outputs                                        up to 2^25 numbers, or with --outputs
  accuracy                                       where targets are labels: the share of the rows that count
  J v, G v, H v    for every direction v         (--direction or --random)
  J^T u            for every cotangent u         (--cotangent or --random)
to /entry/evaluation. theta holds the trained blocks in the order of the network (of one
attention layer W_Q, W_K, W_V, W_O), each in C order; vec runs over (sample, token, output) in C order.
)",
    R"(  basin-problem teacher -o problem.h5
  basin-evaluate problem.h5 -o values.h5 --train W_Q,W_K --random 3
)"};

/// Outputs of a large vocabulary, for all rows at once, are written on demand: beyond 256 MB.
constexpr Index kLargeOutputs = Index{1} << 25U;

/// What vectors are read from besides datasets of their length.
struct OtherForms {
  hdf5::Extent shape;                   ///< the same numbers in other axes
  const NamedVectors* names = nullptr;  ///< by name: a group, or a .safetensors file
};

/// k vectors as columns, from "FILE:/path": shape (length) or (k, length), or in another form.
Vectors<double> read_vectors(const std::string& option, const std::string& place, Index length,
                             const char* symbol, const OtherForms& other) {
  if (other.names && is_safetensors(place)) return other.names->read_safetensors(place);
  const auto colon = place.rfind(":/");
  if (colon == std::string::npos || colon == 0)
    throw InputError("--" + option + " " + place + ": expected FILE:/path");
  const std::string path = place.substr(0, colon);
  std::string dataset = place.substr(colon + 1);
  std::optional<Index> row;  // of a matrix, from 1
  if (const auto last = dataset.rfind(':'); last != std::string::npos) {
    row = parse_index(dataset.substr(last + 1)).value_or(0);
    dataset.resize(last);
  }
  const hdf5::Reader file(path);
  if (other.names && file.has_group(dataset)) return other.names->read(file, dataset);
  const hdf5::Array array = file.read_array(dataset);
  const auto& shape = array.shape;
  const auto ends_in = [&](const hdf5::Extent& end) {
    return shape.size() >= end.size() && shape.size() <= end.size() + 1 &&
           std::equal(end.rbegin(), end.rend(), shape.rbegin());
  };
  if (!(ends_in({length}) || (!other.shape.empty() && ends_in(other.shape))) || shape.front() < 1)
    throw InputError(path + ": " + dataset + ": found shape " + hdf5::text(shape) + "; expected (" +
                     std::to_string(length) + ",) or (k, " + std::to_string(length) + "), as " + symbol +
                     " = " + std::to_string(length));
  const Index count = array.values.size() / length;
  if (!row) return Eigen::Map<const Vectors<double>>(array.values.data(), length, count);
  if (*row < 1 || *row > count)
    throw InputError("--" + option + " " + place + ": expected a row from 1 to " + std::to_string(count));
  return array.values.segment((*row - 1) * length, length);
}

Vectors<double> vectors_for(const Command& command, const std::string& option, Index length,
                            const char* symbol, const OtherForms& other) {
  if (command.given(option)) {
    Vectors<double> all(length, 0);
    for (const std::string& place : command.texts(option)) {
      const Vectors<double> more = read_vectors(option, place, length, symbol, other);
      all.conservativeResize(Eigen::NoChange, all.cols() + more.cols());
      all.rightCols(more.cols()) = more;
    }
    return all;
  }
  Vectors<double> random(length, command.get<Index>("random"));
  Random(command.seed(), option).fill_normal(random);
  return random;
}

void write_vectors(hdf5::Writer& file, const std::string& name, const Vectors<double>& V) {
  file.write("/entry/evaluation/" + name, V.data(), {V.cols(), V.rows()});
}

void write_over_parameters(hdf5::Writer& file, const std::string& name, const Vectors<double>& V) {
  write_vectors(file, name, V);
  file.dimensions("/entry/evaluation/" + name, {"", "/entry/evaluation/parameter"});
}

/// What the numbers of a gradient are of: where each trained block begins.
void write_parameters(hdf5::Writer& file, const ParameterLayout& parameters) {
  const std::string group = "/entry/evaluation/";
  std::string blocks;
  Index count = 0;
  for (const auto& e : parameters.entries())
    if (e.trainable()) {
      blocks += (blocks.empty() ? ": " : ", ") + e.block.name + " from " + std::to_string(e.theta_offset);
      count += e.block.size();
    }
  file.write(group + "parameter", Vector<double>::LinSpaced(count, 0, static_cast<double>(count - 1)));
  file.write(group + "title", "gradient of the loss" + blocks);
  hdf5::name_dimensions(file, "/entry/evaluation", {"gradient"}, {"parameter"});
}

/// A number with its rounding, if that was measured.
std::string text(double value, double rounding, int digits) {
  return std::isnan(rounding) ? number(value, digits) : with_error(value, rounding);
}

/// What was asked for, whatever it was computed in.
struct Evaluation {
  double loss;
  Matrix<double> outputs;  ///< none where they are left out
  Vector<double> gradient;
  Vectors<double> JV, GV, HV, JtU;
  double accuracy = std::nan("");  ///< where targets are labels
  Index kinks = 0;
  std::optional<SelfCheck> self_check = {};
  Rounding rounding = {std::nan(""), std::nan(""), std::nan(""), {}};  ///< measured in double precision only
};

template <class S>
Evaluation evaluate(const Setup& setup, const Command& command, bool outputs, const Vectors<double>& V,
                    const Vectors<double>& U) {
  const Linearization<S> at(setup.point.cast<S>(), {.memory = command.memory()});
  Evaluation e = {static_cast<double>(at.loss()), {}, at.gradient().template cast<double>(), {}, {}, {}, {}};
  if (outputs) e.outputs = at.outputs().template cast<double>();
  const auto product = [&](auto multiply, const Vectors<double>& in, Index rows, Vectors<double>& result) {
    if (in.cols() == 0) return;
    Vectors<S> out(rows, in.cols());
    (at.*multiply)(in.cast<S>(), out);
    result = out.template cast<double>();
  };
  if (labelled(*setup.point.data)) e.accuracy = accuracy(at, *setup.point.data);
  e.kinks = at.kinks();
  if constexpr (std::is_same_v<S, double>) {
    e.rounding = rounding_at(at, *setup.theory);
    if (command.get<bool>("self-check")) e.self_check = self_check(at, command.seed());
  }
  if (outputs) product(&Linearization<S>::jvp, V, at.output_size(), e.JV);
  product(&Linearization<S>::gauss_newton, V, at.theta_size(), e.GV);
  product(&Linearization<S>::hessian, V, at.theta_size(), e.HV);
  product(&Linearization<S>::vjp, U, at.theta_size(), e.JtU);
  return e;
}

void add_options(Command& command) {
  command.options.add_options()  //
      ("direction", po::value<std::vector<std::string>>()->composing()->value_name("FILE:/PATH"),
       "directions v: a dataset of length P, or (k, P), or a group with an array for each trained block, or "
       "for "
       "each tensor of the checkpoint; or a .safetensors file with these; repeatable")  //
      ("cotangent", po::value<std::vector<std::string>>()->composing()->value_name("FILE:/PATH"),
       "cotangents u: a dataset of length m = N n D_out, or (k, m), or of the shape of the outputs; "
       "repeatable")  //
      ("by-tensor", po::bool_switch(),
       "write gradient and products also as groups with an array for each trained block, or for each tensor "
       "of "
       "the checkpoint that the problem came from, in its name and shape")  //
      ("random", po::value<Index>()->default_value(0)->value_name("K"),
       "K standard normal directions and cotangents, where none are given")  //
      ("self-check", po::bool_switch(),
       "test the second derivatives of this network here: along tangents t of its symmetries g . t = 0 and "
       "H t = -(D t)^T g, D t the derivative of t; exit code 1 where they fail")  //
      ("outputs", po::bool_switch(),
       "write outputs, J v and random cotangents even where they are large (more than 2^25 numbers)");
  add_model_options(command);
  add_at_option(command);
  command.add_memory_option();
  command.add_precision_option();
}

/// Refuses more random vectors than there is memory for, them and their products; m: 0 without outputs.
void check_random(const Command& command, Index P, Index m) {
  const auto k = static_cast<double>(command.get<Index>("random"));
  if (!(k > 0)) return;
  const double directions =
                   command.given("direction") ? 0 : 3 * static_cast<double>(P) + static_cast<double>(m),
               cotangents = command.given("cotangent") || m == 0 ? 0 : static_cast<double>(P + m);
  require_memory(
      "--random " + std::to_string(command.get<Index>("random")) + ": the vectors and their products",
      8 * k * (directions + cotangents));
}

/// Loss, outputs and gradient, with their rounding.
void write_point(Command& command, hdf5::Writer& file, const Setup& setup, const Evaluation& at) {
  const std::string group = "/entry/evaluation/";
  hdf5::make_plot(file, "/entry/evaluation", "gradient", {"parameter"});
  file.write(group + "loss", at.loss);
  file.write(group + "loss_error", at.rounding.loss);
  file.write(group + "outputs_error", at.rounding.residual);
  file.write(group + "gradient_error", at.rounding.gradient);
  if (at.outputs.size() > 0) file.write(group + "outputs", at.outputs.data(), setup.output_extent());
  if (!std::isnan(at.accuracy)) file.write(group + "accuracy", at.accuracy / 100);
  file.write(group + "gradient", at.gradient);
  write_parameters(file, setup.parameters());
  for (const auto& e : setup.parameters().entries())
    if (e.trainable()) {
      const Vector<double> block = at.gradient.segment(e.theta_offset, e.block.size());
      file.write(group + "gradient_blocks/" + e.block.name, block.data(), e.block.shape);
      command.say("  |gradient| in " + e.block.name + ": " +
                  text(block.stableNorm(), at.rounding.gradient, 6));
    }
}

void write_products(Command& command, hdf5::Writer& file, const Evaluation& at, const Vectors<double>& V,
                    const Vectors<double>& U) {
  if (V.cols() > 0) {
    const bool outputs = at.JV.size() > 0;
    if (outputs) write_vectors(file, "jvp", at.JV);
    write_over_parameters(file, "directions", V);
    write_over_parameters(file, "gauss_newton_products", at.GV);
    write_over_parameters(file, "hessian_products", at.HV);
    command.say(std::to_string(V.cols()) + (V.cols() == 1 ? " direction: " : " directions: ") +
                (outputs ? "J v, G v" : "G v") + " and H v written");
  }
  if (U.cols() > 0) {
    write_vectors(file, "cotangents", U);
    write_over_parameters(file, "vjp", at.JtU);
    command.say(std::to_string(U.cols()) + (U.cols() == 1 ? " cotangent" : " cotangents") +
                ": J^T u written");
  }
}

/// What the test by symmetries gave, in words and as numbers; whether it holds.
bool report_self_check(Command& command, hdf5::Writer& file, const SelfCheck& check) {
  if (check.tangents == 0) {
    command.say("self-check: nothing to test, as no symmetry of the trained blocks is known here");
    return true;
  }
  std::string families;
  for (const auto& [name, count] : check.families)
    families += (families.empty() ? "" : ", ") + name + " " + std::to_string(count);
  const std::string found = "along a random combination of " + std::to_string(check.tangents) +
                            " tangents of symmetries |H t + (D t)^T g| is " + number(check.identity, 2) +
                            " and |g . t| " + number(check.orthogonality, 2) +
                            ", both relative; rounding explains at most " + number(SelfCheck::kTolerance, 2);
  command.say((check.holds() ? "self-check passed: " : "self-check FAILED: ") + found + " (" + families +
              ")");
  const std::string group = "/entry/evaluation/self_check/";
  file.write(group + "tangents", std::int64_t{check.tangents});
  file.write(group + "identity", check.identity);
  file.write(group + "orthogonality", check.orthogonality);
  return check.holds();
}

/// Gradient and products once more, one array a block or tensor.
void write_by_tensor(hdf5::Writer& file, const NamedVectors& names, const Evaluation& at) {
  const std::string group = "/entry/evaluation/by_tensor/";
  names.write(file, group + "gradient", at.gradient);
  for (const auto& [name, vectors] :
       {std::pair{"hessian_products", &at.HV}, {"gauss_newton_products", &at.GV}, {"vjp", &at.JtU}})
    for (Index k = 0; k < vectors->cols(); ++k)
      names.write(file, group + name + "/" + std::to_string(k), vectors->col(k));
}

void body(Command& command) {
  add_options(command);
  if (!command.parse()) return;
  if (const auto k = command.get<Index>("random"); k < 0)
    throw InputError("--random " + std::to_string(k) + ": expected 0 or more");

  const Setup setup = read_setup_at(command);
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  const Index P = setup.point.theta_size(), m = setup.point.output_size();
  const bool outputs = command.get<bool>("outputs") || m <= kLargeOutputs;
  check_random(command, P, outputs ? m : 0);
  const NamedVectors names(setup);
  const Vectors<double> V = vectors_for(command, "direction", P, "P", {{}, &names}),
                        U = outputs || command.given("cotangent")
                                ? vectors_for(command, "cotangent", m, "m", {setup.output_extent()})
                                : Vectors<double>(m, 0);

  const bool single = command.single_precision();
  if (single && command.get<bool>("self-check"))
    throw InputError("--self-check: is a test of double precision, not with --precision float");
  const Evaluation at = single ? evaluate<float>(setup, command, outputs, V, U)
                               : evaluate<double>(setup, command, outputs, V, U);
  const bool holds = !at.self_check || report_self_check(command, file, *at.self_check);
  command.say("loss f = " + text(at.loss, at.rounding.loss, 8) +
              ", |gradient| = " + text(at.gradient.stableNorm(), at.rounding.gradient, 6) +
              (std::isnan(at.accuracy) ? "" : ", accuracy " + number(at.accuracy, 4) + " %") +
              (single ? " (single precision: about 6 digits)" : ""));
  if (at.kinks > 0) {
    command.say(kinks_text(at.kinks));
    file.write("/entry/evaluation/kinks", std::int64_t{at.kinks});
  }
  if (setup.held_out) {
    HeldOut held_out(setup);
    const HeldOut::Values there = held_out.at(setup.point.weights);
    command.say("on the " + std::to_string(held_out.samples()) + " samples held out: " + text(there));
    file.write("/entry/evaluation/held_out_loss", there.loss);
    if (!std::isnan(there.accuracy)) file.write("/entry/evaluation/held_out_accuracy", there.accuracy / 100);
  }
  command.say(setup.text());
  if (!outputs)
    command.say("left out, as the outputs are " + std::to_string(m) + " numbers: outputs" +
                (V.cols() > 0 ? ", J v" : "") +
                (U.cols() == 0 && command.get<Index>("random") > 0 ? ", J^T u" : "") +
                "; --outputs writes them");
  write_point(command, file, setup, at);
  write_products(command, file, at, V, U);
  if (command.get<bool>("by-tensor")) write_by_tensor(file, names, at);
  write_frame(file, command, setup, kIntroduction.name, "Loss, gradient and products", "evaluation");
  file.commit();
  if (!holds) throw WorkError("--self-check failed: see above");
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(kIntroduction, argc, argv, body);
}
