#include "common/slice/directions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>

#include "basin/curvature/constant_symmetries.h"
#include "basin/curvature/operators.h"
#include "basin/landscape/trajectory.h"
#include "basin/linalg/errors.h"
#include "basin/model/perturbation.h"
#include "basin/problem/encoding.h"
#include "basin/single_layer/flat_direction.h"
#include "basin/single_layer/gauge.h"
#include "basin/single_layer/theory.h"
#include "basin/spectrum/eigenpairs.h"
#include "common/command/checksum.h"
#include "common/command/given_weights.h"
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

/// The blocks that may move, of those that are trained, where an option says so; nothing: all of them.
class MovingBlocks {
 public:
  MovingBlocks(const Command& command, const Setup& setup) : command_(command), setup_(setup) {
    if (command.given("ignore")) read_ignored(command.get<std::string>("ignore"));
  }

  /// u or v. Throws InputError.
  std::optional<std::vector<std::string>> of(const std::string& direction) const {
    const std::string option = direction + "-blocks";
    if (!command_.given(option) && ignored_.empty()) return std::nullopt;
    std::vector<std::string> moving = setup_.parameters().trained();
    if (command_.given(option)) moving = listed(option, command_.get<std::string>(option));
    std::erase_if(moving, [&](const std::string& name) { return ignored_.contains(name); });
    if (moving.empty())
      throw InputError("--ignore " + command_.get<std::string>("ignore") +
                       ": nothing is left to move along " + direction);
    return moving;
  }

 private:
  void read_ignored(const std::string& list) {
    const std::map<std::string, BlockRole> known = {{"biases", BlockRole::shift},
                                                    {"gains", BlockRole::scale}};
    for (const std::string& word : split(list, ',')) {
      const auto role = known.find(word);
      if (role == known.end())
        throw InputError("--ignore " + list + ": found '" + word + "'; expected biases, gains or both");
      for (const auto& e : setup_.parameters().entries())
        if (e.trainable() && e.block.role == role->second) ignored_.insert(e.block.name);
    }
    if (ignored_.empty()) throw InputError("--ignore " + list + ": there are none among the trained blocks");
  }
  /// Each pattern stands for one trained block at least.
  std::vector<std::string> listed(const std::string& option, const std::string& list) const {
    const std::vector<ParameterBlock> all = blocks(setup_.architecture());
    std::vector<std::string> moving;
    try {
      for (const std::string& pattern : parse_blocks(list)) {
        const std::size_t before = moving.size();
        const std::vector<std::string> names = listed_blocks(pattern, all, setup_.checkpoint.get());
        for (const std::string& name : names)
          if (setup_.parameters().find(name).trainable()) moving.push_back(name);
        if (moving.size() == before) throw InputError(pattern + " is not trained; add it to --train");
      }
    } catch (const InputError& error) {
      throw InputError("--" + option + " " + list + ": " + error.what());
    }
    if (moving.empty()) throw InputError("--" + option + ": expected names or patterns of blocks");
    std::sort(moving.begin(), moving.end());
    moving.erase(std::unique(moving.begin(), moving.end()), moving.end());
    return moving;
  }

  const Command& command_;
  const Setup& setup_;
  std::set<std::string> ignored_;
};

/// The same point with these blocks trained alone.
Setup with_trained(const Setup& setup, const std::vector<std::string>& names) {
  Setup part = setup;
  part.point = setup.point.with_trainable(names);
  part.theory = theory_of(part.point);
  return part;
}

class Maker {
 public:
  Maker(const Command& command, const Setup& setup, const Trajectory* trajectory)
      : command_(command),
        setup_(setup),
        trajectory_(trajectory),
        symmetries_(setup.theory->symmetries(setup.point)) {
    if (command.given("normalise")) given_ = normalisation_from_name(command.get<std::string>("normalise"));
    const MovingBlocks moving(command, setup);
    for (const char* direction : {"u", "v"})
      if (const auto blocks = moving.of(direction)) parts_.emplace(direction, with_trained(setup, *blocks));
  }

  /// What an option asks for; `stream` names the random numbers. Where some blocks alone may move, the
  /// direction is that of the point with these trained.
  Direction make(const std::string& option, const std::string& text, std::string stream) const {
    const auto [kind, rest] = split_kind(text);
    const auto part = parts_.find(option);
    const Setup& at = part == parts_.end() ? setup_ : part->second;
    Direction d;
    Normalisation normalisation = given_.value_or(Normalisation::none);
    if (kind == "random") {
      normalisation = given_.value_or(Normalisation::filter);
      if (normalisation == Normalisation::gauge && !setup_.single_attention())
        throw InputError(
            "--normalise gauge: a canonical gauge is known for a single attention layer under squared loss "
            "alone; found another network");
      if (!rest.empty()) stream = "line " + std::to_string(parse_count("--" + option + " " + text, rest));
      Random random(command_.seed(), stream);
      d.vector = random_direction(at.point, normalisation, random, canonical_gauge);
      d.origin = "random";
    } else if (kind == "none") {
      return {"none", "none", Vector<double>::Zero(setup_.parameters().theta_size()), 0};
    } else if (kind == "to") {
      if (given_) throw InputError("--normalise: without effect on a direction towards a point");
      d = towards(at, option, rest);
    } else {
      if (normalisation == Normalisation::gauge)
        throw InputError("--normalise gauge: of random directions only; found --" + option + " " + text);
      d = computed(at, option, text, kind, rest, stream);
      normalise(at.point, normalisation, d.vector);
    }
    if (&at != &setup_) {
      d.vector = setup_.parameters().extract(over_all_blocks(at, d.vector));
      d.origin += restriction(option);
    }
    d.normalisation = normalisation_name(normalisation);
    if (!(d.vector.stableNorm() > 0))
      throw InputError("--" + option + " " + text + ": the direction is zero" +
                       (kind != "random" ? ""
                        : &at == &setup_ ? ": all trained weights are zero"
                                         : ": all weights that it moves are zero"));
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
  /// In words, which blocks alone move.
  std::string restriction(const std::string& option) const {
    std::string text;
    if (command_.given(option + "-blocks"))
      text += ", in " + shortened(command_.get<std::string>(option + "-blocks"), 60) + " alone";
    if (command_.given("ignore")) {
      std::string ignored = command_.get<std::string>("ignore");
      if (const auto comma = ignored.find(','); comma != std::string::npos)
        ignored.replace(comma, 1, " and ");
      text += ", without " + ignored;
    }
    return text;
  }

  /// theta of another point minus theta here.
  Direction towards(const Setup& at, const std::string& option, const std::string& where) const {
    if (where.empty()) throw InputError("--" + option + " to: expected to:FILE");
    const Given point = read_point("--" + option + " to:", where, setup_);
    const Vector<double>& there = point.weights;
    for (const auto& e : setup_.parameters().entries())
      if (&at == &setup_ && !e.trainable() &&
          there.segment(e.offset, e.block.size()) != setup_.point.weights.segment(e.offset, e.block.size()))
        throw InputError(where + ": its " + e.block.name + " differs from that of " + setup_.input +
                         ", but is not trained; add it to --train");
    return of(at.parameters().extract(there) - at.point.theta(),
              "to " + where + (point.row < 0 ? "" : ", row " + std::to_string(point.row)));
  }

  /// Its vector and where that is from. what: the option and its text.
  Direction computed(const Setup& at, const std::string& option, const std::string& text,
                     const std::string& kind, const std::string& rest, const std::string& stream) const {
    const std::string what = "--" + option + " " + text;
    if (kind == "gradient")
      return of(at.point.linearize({.memory = command_.memory()}).gradient(), "gradient");
    if (kind == "symmetry") return symmetric(at, what, stream);
    if (kind == "largest" || kind == "smallest") return eigenvector(at, what, kind, parse_count(what, rest));
    if (kind == "pca") {
      if (!trajectory_) throw InputError(what + ": give --trajectory FILE");
      return principal(at, parse_count(what, rest));
    }
    const auto given = [&](const Vector<double>& vector) {
      return of(at.parameters().extract(over_all_blocks(setup_, vector)), text);
    };
    if (is_safetensors(text)) return given(NamedVectors(setup_).read_safetensors(text));
    if (rest.empty())
      throw InputError(what +
                       ": expected random[:LINE], none, gradient, largest[:K], smallest[:K], symmetry, "
                       "pca:K, to:FILE, FILE:DATASET or FILE.safetensors");
    return given(vector_from(setup_, kind, rest));
  }

  static Direction of(Vector<double> vector, std::string origin) {
    Direction d;
    d.vector = std::move(vector);
    d.origin = std::move(origin);
    return d;
  }

  Direction symmetric(const Setup& at, const std::string& what, const std::string& stream) const {
    const Symmetries symmetries = at.theory->symmetries(at.point);
    if (symmetries.modes() == 0)
      throw InputError(what + (symmetries.left_out().empty()
                                   ? ": there is no symmetry with these trained blocks"
                                   : ": symmetries left out: " + symmetries.left_out()));
    Random random(command_.seed(), stream);
    const bool one_layer = at.single_attention().has_value();
    Direction d;
    if (one_layer) d = of(flat_direction(at.point, random), "symmetry: the loss is constant along it");
    const auto within = [&](const Symmetries& space, const std::string& origin) {
      Vectors<double> noise(space.parameters(), 1), inside(space.parameters(), 1);
      random.fill_normal(noise);
      space.project(noise, inside);
      return of(inside.col(0), origin);
    };
    if (!one_layer)  // shifts, which change nothing however long they are
      if (const Symmetries straight(symmetries.parameters(), constant_symmetries(at.point));
          straight.modes() > 0)
        d = within(straight, "symmetry: weights move together, the loss is constant along it");
    if (d.vector.size() == 0 || d.vector.norm() == 0)
      d = within(symmetries, "symmetry: flat to first order only");
    d.vector *= at.point.theta().norm() / d.vector.norm();
    return d;
  }

  /// The k-th of the Hessian from that end.
  Direction eigenvector(const Setup& setup, const std::string& what, const std::string& end, Index k) const {
    if (const Index P = setup.parameters().theta_size(); k > P)
      throw InputError(what + ": expected at most P = " + std::to_string(P));
    const Linearization<double> at = setup.point.linearize({.memory = command_.memory()});
    const std::vector<Linearization<double>> perturbed = linearize_perturbed(setup.point);
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
  Direction principal(const Setup& at, Index k) const {
    Vectors<double> path(at.parameters().theta_size(), trajectory_->weights.cols());
    for (Index t = 0; t < path.cols(); ++t)
      path.col(t) = at.parameters().extract<double>(trajectory_->weights.col(t));
    const Vector<double> direction = principal_directions(path, k).directions.col(k - 1);
    const double share = project_path(trajectory_->weights, at.point.weights, over_all_blocks(at, direction),
                                      Vector<double>::Zero(at.point.weights.size()))
                             .u_share;
    return of(direction, "principal direction " + std::to_string(k) + " of the trajectory: " +
                             number(100 * share, 4) + " % of the variance of all its weights");
  }

  const Command& command_;
  const Setup& setup_;
  const Trajectory* trajectory_;
  Symmetries symmetries_;
  std::optional<Normalisation> given_;
  std::map<std::string, Setup> parts_;  // of u and v, where some blocks alone move
};

}  // namespace

void add_direction_options(Command& command) {
  command.options.add_options()  //
      ("u", po::value<std::string>()->default_value("random")->value_name("DIRECTION"),
       "first direction: random (random:LINE: one of --lines), gradient, largest[:K] or smallest[:K] "
       "(Hessian "
       "eigenvectors), symmetry, pca:K (of --trajectory), to:FILE[:DATASET[:ROW]] (another point, at a = 1, "
       "as "
       "basin-stationary --at has it, rows from 0; of a run its last), or FILE:DATASET[:ROW] (rows from 1), "
       "FILE:/GROUP of arrays by name, or FILE.safetensors")  //
      ("v", po::value<std::string>()->default_value("random")->value_name("DIRECTION"),
       "second direction, likewise, or none for a line")  //
      ("to", po::value<std::vector<std::string>>()->composing()->value_name("FILE"),
       "towards the weights of another problem file, of a run, or of a .safetensors file with the tensors of "
       "the checkpoint, as to:FILE: a line; given twice, the plane through three points")  //
      ("u-blocks", po::value<std::string>()->value_name("BLOCKS"),
       "the trained blocks that u moves, as --train has them; the direction is as if they alone were "
       "trained")                                                                    //
      ("v-blocks", po::value<std::string>()->value_name("BLOCKS"), "likewise of v")  //
      ("ignore", po::value<std::string>()->value_name("WHAT"),
       "biases, gains or biases,gains (those of LayerNorm and the like): neither direction moves them; both "
       "are the biasbn of tomgoldstein/loss-landscape")  //
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
    for (const char* option : {"u", "v", "v-blocks", "to", "y", "orthogonalise", "trajectory"})
      if (command.given(option))
        throw InputError("--" + std::string(option) + ": without effect with --lines, which are random");
    u = "random:1", v = "none";
  }
  if (u == "none") throw InputError("--u none: expected a direction");
  if (v == "none" && command.given("v-blocks")) throw InputError("--v-blocks: without effect on a line");
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
