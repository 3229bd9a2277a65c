#include "common/slice/directions.h"

#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>

#include "basin/curvature/operators.h"
#include "basin/hdf5/problem_file.h"
#include "basin/landscape/trajectory.h"
#include "basin/linalg/errors.h"
#include "basin/model/perturbation.h"
#include "basin/single_layer/flat_direction.h"
#include "basin/single_layer/gauge.h"
#include "basin/spectrum/eigenpairs.h"
#include "common/command/checksum.h"
#include "common/command/tensors.h"
#include "common/command/words.h"

namespace basin::tools {
namespace {

/// "largest:2" -> {"largest", "2"}
std::pair<std::string, std::string> split_kind(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return {text, ""};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

Index parse_count(const std::string& option, const std::string& text) {
  if (text.empty()) return 1;
  const Index k = parse_index(text).value_or(0);
  if (k < 1) throw InputError(option + ": found '" + text + "'; expected a number from 1");
  return k;
}

/// The weights of all blocks that a file has: a problem, tensors of the checkpoint, or FILE:/GROUP of either.
Vector<double> weights_at(const std::string& path, const Setup& setup) {
  if (is_safetensors(path)) return NamedVectors(setup).read_weights(path);
  std::error_code error;
  if (const auto colon = path.rfind(":/");
      colon != std::string::npos && !std::filesystem::exists(path, error))
    return NamedVectors(setup).read_weights(hdf5::Reader(path.substr(0, colon)), path.substr(colon + 1));
  const Problem problem = hdf5::read_problem(hdf5::Reader(path));
  std::optional<Vector<double>> weights;
  try {
    weights = setup.weights_of(problem);
  } catch (const InputError& refused) {
    throw InputError(path + ": " + refused.what());
  }
  if (!weights) throw InputError(path + ": the file has no weights; expected a point to go to");
  return *weights;
}

/// theta of another file minus theta here.
Vector<double> towards(const std::string& path, const Setup& setup) {
  const Vector<double> there = weights_at(path, setup);
  for (const auto& e : setup.parameters().entries())
    if (!e.trainable() &&
        there.segment(e.offset, e.block.size()) != setup.point.weights.segment(e.offset, e.block.size()))
      throw InputError(path + ": its " + e.block.name + " differs from that of " + setup.input +
                       ", but is not trained; add it to --train");
  return setup.parameters().extract(there) - setup.point.theta();
}

class Maker {
 public:
  Maker(const Command& command, const Setup& setup, const Trajectory* trajectory)
      : command_(command),
        setup_(setup),
        trajectory_(trajectory),
        symmetries_(setup.theory->symmetries(setup.point)) {
    if (command.given("normalise")) given_ = normalisation_from_name(command.get<std::string>("normalise"));
  }

  /// What an option asks for; `stream` names the random numbers.
  Direction make(const std::string& option, const std::string& text, std::string stream) const {
    const auto [kind, rest] = split_kind(text);
    const Index P = setup_.parameters().theta_size();
    Direction d;
    Normalisation normalisation = given_.value_or(Normalisation::none);
    if (kind == "random") {
      normalisation = given_.value_or(Normalisation::filter);
      if (!rest.empty()) stream = "line " + std::to_string(parse_count("--" + option + " " + text, rest));
      Random random(command_.seed(), stream);
      d.vector = random_direction(setup_.point, normalisation, random, canonical_gauge);
      d.origin = "random";
    } else if (kind == "none") {
      return {"none", "none", Vector<double>::Zero(P), 0};
    } else if (kind == "to") {
      if (given_) throw InputError("--normalise: without effect on a direction towards a point");
      if (rest.empty()) throw InputError("--" + option + " to: expected to:FILE");
      d.vector = towards(rest, setup_);
      d.origin = "to " + rest;
    } else {
      if (normalisation == Normalisation::gauge)
        throw InputError("--normalise gauge: of random directions only; found --" + option + " " + text);
      d = computed(option, text, kind, rest, stream);
      normalise(setup_.point, normalisation, d.vector);
    }
    d.normalisation = normalisation_name(normalisation);
    if (!(d.vector.stableNorm() > 0))
      throw InputError("--" + option + " " + text + ": the direction is zero" +
                       (kind == "random" ? ": all trained weights are zero" : ""));
    const double square = d.vector.squaredNorm();
    if (!std::isfinite(square))
      throw InputError("--" + option + " " + text + ": the direction is too large: its norm overflows");
    if (square < std::numeric_limits<double>::min())
      throw InputError("--" + option + " " + text + ": the direction is too small: its norm underflows");
    return d;
  }

  /// NaN where no symmetries are known.
  double symmetry_share(const Vector<double>& v) const {
    if (symmetries_.modes() == 0 && !symmetries_.left_out().empty()) return kNaN;
    Vectors<double> inside(v.size(), 1);
    symmetries_.project(v, inside);
    return v.norm() > 0 ? inside.squaredNorm() / v.squaredNorm() : 0;
  }

 private:
  /// Its vector and where that is from. what: the option and its text.
  Direction computed(const std::string& option, const std::string& text, const std::string& kind,
                     const std::string& rest, const std::string& stream) const {
    const std::string what = "--" + option + " " + text;
    if (kind == "gradient")
      return of(setup_.point.linearize({.memory = command_.memory()}).gradient(), "gradient");
    if (kind == "symmetry") return symmetric(what, stream);
    if (kind == "largest" || kind == "smallest") return eigenvector(what, kind, parse_count(what, rest));
    if (kind == "pca") {
      if (!trajectory_) throw InputError(what + ": give --trajectory FILE");
      return principal(parse_count(what, rest));
    }
    if (is_safetensors(text)) return of(NamedVectors(setup_).read_safetensors(text), text);
    if (rest.empty())
      throw InputError(what +
                       ": expected random[:LINE], none, gradient, largest[:K], smallest[:K], symmetry, "
                       "pca:K, to:FILE, FILE:DATASET or FILE.safetensors");
    return of(vector_from(setup_, kind, rest), text);
  }

  static Direction of(Vector<double> vector, std::string origin) {
    Direction d;
    d.vector = std::move(vector);
    d.origin = std::move(origin);
    return d;
  }

  Direction symmetric(const std::string& what, const std::string& stream) const {
    if (symmetries_.modes() == 0)
      throw InputError(what + (symmetries_.left_out().empty()
                                   ? ": there is no symmetry with these trained blocks"
                                   : ": symmetries left out: " + symmetries_.left_out()));
    Random random(command_.seed(), stream);
    Direction d = of(flat_direction(setup_.point, random), "symmetry: the loss is constant along it");
    if (d.vector.norm() == 0) {
      const Index P = setup_.parameters().theta_size();
      Vectors<double> noise(P, 1), inside(P, 1);
      random.fill_normal(noise);
      symmetries_.project(noise, inside);
      d = of(inside.col(0), "symmetry: flat to first order only");
    }
    d.vector *= setup_.point.theta().norm() / d.vector.norm();
    return d;
  }

  /// The k-th of the Hessian from that end.
  Direction eigenvector(const std::string& what, const std::string& end, Index k) const {
    if (const Index P = setup_.parameters().theta_size(); k > P)
      throw InputError(what + ": expected at most P = " + std::to_string(P));
    const Linearization<double> at = setup_.point.linearize({.memory = command_.memory()});
    const std::vector<Linearization<double>> perturbed = linearize_perturbed(setup_.point);
    const HessianOperator H(at);
    const PerturbedHessians at_perturbed(H, perturbed);
    EigenOptions options;
    options.seed = command_.seed();
    options.perturbed = &at_perturbed.farthest();
    const EigenResult found = extreme_eigenpairs(H, end == "largest" ? End::largest : End::smallest, k,
                                                 options, command_.progress(end + " eigenvector, products"));
    const Eigenvalue& e = found.eigenvalues.at(k - 1);
    return of(found.eigenvectors.col(k - 1),
              "Hessian eigenvector, " + end + (k > 1 ? " " + std::to_string(k) : "") + ": " +
                  with_error(e.value, e.error_bound) + (e.converged ? "" : " (not converged)"));
  }

  /// The k-th principal direction of the trajectory.
  Direction principal(Index k) const {
    Vectors<double> path(setup_.parameters().theta_size(), trajectory_->weights.cols());
    for (Index t = 0; t < path.cols(); ++t)
      path.col(t) = setup_.parameters().extract<double>(trajectory_->weights.col(t));
    const Vector<double> direction = principal_directions(path, k).directions.col(k - 1);
    const double share =
        project_path(trajectory_->weights, setup_.point.weights, over_all_blocks(setup_, direction),
                     Vector<double>::Zero(setup_.point.weights.size()))
            .u_share;
    return of(direction, "principal direction " + std::to_string(k) + " of the trajectory: " +
                             number(100 * share, 4) + " % of the variance of all its weights");
  }

  const Command& command_;
  const Setup& setup_;
  const Trajectory* trajectory_;
  Symmetries symmetries_;
  std::optional<Normalisation> given_;
};

}  // namespace

void add_direction_options(Command& command) {
  command.options.add_options()  //
      ("u", po::value<std::string>()->default_value("random")->value_name("DIRECTION"),
       "first direction: random (random:LINE: one of --lines), gradient, largest[:K] or smallest[:K] "
       "(Hessian "
       "eigenvectors), symmetry, pca:K (of --trajectory), to:FILE (another point, at a = 1), or "
       "FILE:DATASET[:ROW], FILE:/GROUP of arrays by name, or FILE.safetensors")  //
      ("v", po::value<std::string>()->default_value("random")->value_name("DIRECTION"),
       "second direction, likewise, or none for a line")  //
      ("to", po::value<std::vector<std::string>>()->composing()->value_name("FILE"),
       "towards the weights of another problem file, or of a .safetensors file with the tensors of the "
       "checkpoint: a line; given twice, the plane through three points")  //
      ("normalise", po::value<std::string>()->value_name("NAME"),
       "none, filter, block, vector or gauge (default: filter for random directions, none for others)")     //
      ("orthogonalise", po::bool_switch(), "remove the component along u from v")                           //
      ("lines", po::value<Index>()->value_name("R"), "R random lines instead of a plane: for error bands")  //
      ("trajectory", po::value<std::string>()->value_name("FILE"),
       "the path of a training run, to be projected on the plane");
}

std::string Directions::checksum() const {
  std::uint64_t hash = 0;
  for (const Vector<double>* direction : {&u.vector, &v.vector})
    hash = hash * 31 + fnv1a(bytes_of(*direction));
  return hexadecimal(hash);
}

Directions make_directions(const Command& command, const Setup& setup, const Trajectory* trajectory) {
  std::string u = command.get<std::string>("u"), v = command.get<std::string>("v");
  if (command.given("to")) {
    const auto files = command.get<std::vector<std::string>>("to");
    if (command.given("u") || files.size() > 2 || (files.size() == 2 && command.given("v")))
      throw InputError("--to: expected once or twice, in place of --u (and --v)");
    u = "to:" + files[0];
    if (files.size() == 2) v = "to:" + files[1];
    if (files.size() == 1 && !command.given("v")) v = "none";
  }
  Index lines = 0;
  if (command.given("lines")) {
    lines = command.get<Index>("lines");
    if (lines < 1 || lines > 100000)
      throw InputError("--lines " + std::to_string(lines) + ": expected 1 to 100000");
    for (const char* option : {"u", "v", "to", "y", "orthogonalise", "trajectory"})
      if (command.given(option))
        throw InputError("--" + std::string(option) + ": without effect with --lines, which are random");
    u = "random:1", v = "none";
  }
  if (u == "none") throw InputError("--u none: expected a direction");
  const auto maker = std::make_shared<const Maker>(command, setup, trajectory);
  Directions directions{
      maker->make("u", u, "x direction"), maker->make("v", v, "y direction"), std::max<Index>(lines, 1),
      [maker](Index line) { return maker->make("u", "random:" + std::to_string(line + 1), "").vector; }};
  if (directions.v.origin != "none") {
    const Vector<double> orthogonal = orthogonalised(directions.v.vector, directions.u.vector);
    if (command.get<bool>("orthogonalise")) {
      directions.v.vector = orthogonal;
      directions.v.origin += ", made orthogonal to u";
    }
  } else if (command.get<bool>("orthogonalise")) {
    throw InputError("--orthogonalise: without effect on a line");
  }
  for (Direction* d : {&directions.u, &directions.v}) d->symmetry_share = maker->symmetry_share(d->vector);
  return directions;
}

void write_directions(hdf5::Writer& file, const Directions& directions) {
  const std::string group = "/entry/directions/";
  file.group("/entry/directions", "NXcollection");
  const auto write = [&](const std::string& name, const Direction& d) {
    file.write(group + name, d.vector);
    file.write(group + name + "_norm", d.vector.norm());
    file.write(group + name + "_origin", d.origin);
    file.write(group + name + "_normalisation", d.normalisation);
    file.write(group + name + "_symmetry_share", d.symmetry_share);
  };
  write("x", directions.u);
  write("y", directions.v);
  file.write(group + "cosine", directions.cosine());
  file.write(group + "normalisation", directions.u.normalisation);
}

}  // namespace basin::tools
