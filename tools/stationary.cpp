/// basin-stationary: where descent ends, and what that point is.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "common/catalogue_file.h"
#include "common/catalogue_summary.h"
#include "common/catalogue_text.h"
#include "common/descent_options.h"
#include "common/given_weights.h"
#include "common/global_minimum.h"
#include "common/problems.h"
#include "common/run_output.h"
#include "common/words.h"
#include "hdf5/problem_file.h"
#include "linalg/errors.h"
#include "linalg/parallel.h"
#include "linalg/random.h"
#include "stationary/gradient_descent.h"
#include "stationary/known_minimum.h"

using namespace basin;
using namespace basin::tools;

namespace {

const std::string kName = "basin-stationary";

const Introduction kIntroduction = {
    kName, "where descent ends from many starts, and what these points are",
    "PROBLEM.h5 -o CATALOGUE.h5 [--starts K] [--from FILE] [--at FILE] [--search WHAT] [options]\n"
    "       basin-stationary merge A.h5 B.h5 ... -o CATALOGUE.h5",
    R"(From every start the loss is descended, then the point is polished by Newton steps to a gradient at rounding level,
and judged: global minimum, suboptimal strict local minimum, saddle with its index, degenerate, or a valley to
infinity; the Hessian is counted modulo the symmetries of the model. Points that are the same modulo symmetry are one
entry of the catalogue.

Start k draws the trained blocks with --init and --gain from a seed of its own, which depends on --seed and k alone;
the blocks that are held fixed are those of the file (or drawn once from --seed, if it has none). So both kernels
have the same starts. The default method is gradient descent (gd) in steps so short that it ends where the gradient flow
does: loss and gradient change over each as they do along the flow (--step flow). Where it has not converged after
--steps, trust-region Newton goes on in short steps, which do not raise the loss. A saddle that is met is left along
its negative curvature, and descended from.

--search saddles lowers |grad f|^2 instead (L-BFGS) and finds stationary points of any index; both does both.
--at FILE judges given weights: of a problem file, or FILE:DATASET, the rows of a dataset of all weights in order (say
CATALOGUE.h5:/entry/entries/weights), or FILE:DATASET:ROW, one of them. --from descends from given starts: the same, or
rows of the trained blocks alone. Without --starts nothing else is done. --escape FILE writes the problem at a
step from entry --entry (default: the first saddle) in the direction in which the loss falls, and follows it.

Finished starts are kept in OUTPUT.journal; a run that was stopped or killed goes on with --resume, to the same result.
merge joins catalogues of the same problem and options from different seeds.
)",
    R"(  basin-problem construct softmax-trap -o trap.h5
  basin-stationary trap.h5 -o catalogue.h5 --train W_Q --starts 20 --at trap.h5
)"};

const std::set<std::string> kWithoutEffect = {"problem", "output", "overwrite", "threads", "quiet",
                                              "verbose", "resume", "config",    "memory",  "help",
                                              "version", "escape", "entry",     "assert"};
/// Options in which catalogues that are merged may differ.
const std::set<std::string> kOfTheShare = {"seed", "starts", "at", "from"};

template <class Values>
std::string checksum(const Values& values) {
  return hexadecimal(fnv1a({reinterpret_cast<const char*>(values.data()),
                            static_cast<std::size_t>(values.size()) * sizeof(double)}));
}

/// What makes a catalogue what it is; with `share`, also which starts it has.
Specification specification_of(const Command& command, const Setup& setup, bool share) {
  const AttentionSpec layer = setup.spec();
  const Vector<double> frozen = setup.point.at(Vector<double>::Zero(setup.point.theta_size())).weights;
  Specification all = {{"version", version()},
                       {"format", hdf5::kFormatVersion},
                       {"inputs", checksum(setup.point.data->X)},
                       {"targets", checksum(setup.point.data->Y)},
                       {"fixed weights", checksum(frozen)}};
  for (const auto& [name, size] : {std::pair<const char*, Index>{"N", setup.point.data->samples},
                                   {"n", layer.tokens},
                                   {"D", layer.embedding},
                                   {"D_out", layer.outputs}})
    all.emplace_back(name, std::to_string(size));
  for (const auto& [name, value] : command.provenance().options)
    if (!kWithoutEffect.contains(name) && (share || !kOfTheShare.contains(name)))
      all.emplace_back(name, value);
  if (share) all.emplace_back("weights", checksum(setup.point.weights));
  return all;
}

struct Request {
  Index starts = 0;
  bool minima = false, any = false;
  std::vector<Given> at, from;
  Index check_return = 0;
  double radius = 0;
  Index dense_limit = 0;
  Index most_escapes = 0, finish_steps = 0;
};

/// The global minimum, where it is given or known.
std::optional<GlobalMinimum> minimum_for(const Command& command, const Setup& setup) {
  if (!command.given("global-minimum")) return global_minimum(setup);
  const auto value = command.get<double>("global-minimum");
  if (!(value >= 0) || !std::isfinite(value))
    throw InputError("--global-minimum " + number(value) + ": expected a number from 0");
  return GlobalMinimum{value, "as given by --global-minimum"};
}

std::uint64_t start_seed(std::uint64_t base, Index start) {
  return fnv1a("basin-stationary seed=" + std::to_string(base) + " start=" + std::to_string(start)) >> 11U;
}

/// A catalogue in the making.
class Search {
 public:
  Search(Command& command, const Setup& setup, Request request, RunOutput output,
         std::optional<RunOutput> escape)
      : command_(command),
        setup_(setup),
        request_(std::move(request)),
        output_(std::move(output)),
        escape_file_(std::move(escape)) {
    data_.specification = specification_of(command, setup, false);
    require_representable(setup.point.data->Y.stableNorm(), setup.input + ": ");
    if (const auto known = minimum_for(command, setup)) {
      data_.known_minimum = known->loss;
      data_.minimum_source = known->source;
    }
    for (const auto* given : {&request_.at, &request_.from})
      for (const Given& g : *given)
        if (data_.sources.empty() || data_.sources.back() != g.source) data_.sources.push_back(g.source);
    data_.shape = record_shape(setup);
    init_.method = command.get<std::string>("init");
    init_.gains = parse_gains(command.get<std::vector<std::string>>("gain"));
    loss_ = {setup.point, command.memory() / static_cast<std::size_t>(2 * thread_slots()), command.status()};
    for (Index i = 0; i < static_cast<Index>(request_.at.size()); ++i) tasks_.push_back({Origin::given, i});
    for (Index i = 0; i < static_cast<Index>(request_.from.size()); ++i) tasks_.push_back({Origin::from, i});
    for (Index k = 0; k < request_.starts && request_.minima; ++k) tasks_.push_back({Origin::descent, k});
    for (Index k = 0; k < request_.starts && request_.any; ++k) tasks_.push_back({Origin::any, k});
    check_options();
    check_memory();
  }

  /// Looks from all starts, and judges the ends beside each other.
  void go() {
    specification_ = specification_of(command_, setup_, true);
    for (const auto& [name, given] :
         {std::pair{"given points", &request_.at}, {"given starts", &request_.from}}) {
      std::string all;
      for (const Given& g : *given) all += checksum(g.weights);
      specification_.emplace_back(name, std::to_string(given->size()) + ", " + hexadecimal(fnv1a(all)));
    }
    output_.check(specification_);
    if (escape_file_) escape_file_->check(specification_);
    Journal journal(journal_of(output_.path()), specification_, data_.shape.size(),
                    command_.get<bool>("resume"));
    if (output_.finished()) {
      journal.remove();
      command_.message(output_.path() + " is finished");
      return;
    }
    const auto count = static_cast<Index>(tasks_.size());
    data_.starts.resize(count);
    std::vector<Index> open;
    for (Index t = 0; t < count; ++t)
      if (const auto done = journal.records().find(t); done != journal.records().end())
        data_.starts[t] = from_flat(done->second, data_.shape);
      else
        open.push_back(t);
    if (static_cast<Index>(open.size()) < count)
      command_.message(std::to_string(count - open.size()) + " starts are in the journal");
    const Progress progress = command_.progress("starts");
    parallel_for(
        static_cast<Index>(open.size()),
        [&](Index i, Index) {
          StartRecord record = run(tasks_[open[i]]);
          journal.append(open[i], flat(record));
          data_.starts[open[i]] = std::move(record);
        },
        progress);
    use_convexity();
    catalogue_ = make_catalogue(data_);
    check_returns();
    const std::string refusal = escape_file_ ? leave() : "";
    catalogue_ = make_catalogue(data_);  // what was reached on the way may be the global minimum
    write();
    journal.remove();
    if (!refusal.empty()) throw InputError(refusal + "; the catalogue is in " + output_.path());
  }

 private:
  struct Task {
    Origin origin;
    Index start;
  };
  bool descends() const { return request_.starts > 0 || !request_.from.empty(); }

  /// Refuses at once what the first start would refuse.
  void check_options() {
    // without starts there is no step to choose
    OptionValues values = descends() ? command_ : command_.with({{"step", "1"}});
    ModelObjective f = loss_.objective();
    const Vector<double> theta =
        request_.starts > 0 ? draw(start_seed(command_.seed(), 0))
                            : setup_.parameters().extract(request_.from.empty() ? setup_.point.weights
                                                                                : request_.from[0].weights);
    if (!f.at(theta)) return;
    stopping_ = make_descent_plan(values, with_theta(theta), f).stopping;
    if (!(stopping_.gradient > 0)) throw InputError("--tolerance 0: expected a positive number");
  }

  /// The dense Hessian with what its decomposition or inertia takes, for every thread; the rows of the
  /// catalogue.
  void check_memory() const {
    const auto allowed = static_cast<double>(command_.memory()),
               P = static_cast<double>(data_.shape.parameters);
    const double each = P <= static_cast<double>(std::min(request_.dense_limit, kDecompositionLimit)) ? 96
                        : P <= static_cast<double>(request_.dense_limit)                              ? 24
                                                                                                      : 0;
    const double rows = 8.0 * static_cast<double>(data_.shape.size()) * static_cast<double>(tasks_.size()),
                 dense = each * P * P * static_cast<double>(thread_slots());
    if (rows > allowed)
      throw InputError("the rows of the catalogue need " + bytes_text(rows) + ", --memory allows " +
                       bytes_text(allowed));
    if (dense > allowed)
      throw InputError("dense Hessians need " + bytes_text(dense) + ", --memory allows " +
                       bytes_text(allowed) + "; a smaller --dense-limit or less --threads need less");
  }

  Setup with_theta(const Vector<double>& theta) const {
    Setup there = setup_;
    there.point.weights = there.point.at(theta).weights;
    return there;
  }

  Vector<double> draw(std::uint64_t seed) const {
    Initialisation init = init_;
    init.seed = seed;
    return setup_.parameters().extract(draw_weights(setup_.spec(), init).values);
  }

  /// Gradient descent along the flow: for starts that are not those of the options.
  SearchOptions plain_options() const {
    SearchOptions options;
    options.stopping = stopping_;
    options.finish_steps = request_.finish_steps;
    options.escapes = request_.most_escapes;
    options.dense_limit = request_.dense_limit;
    options.method = [](Objective&, const Point&, double share) -> std::unique_ptr<const DescentMethod> {
      if (share < 1) return nullptr;
      return std::make_unique<FlowDescent>();
    };
    return options;
  }

  SearchOptions options_for(const Vector<double>& theta) const {
    SearchOptions options = plain_options();
    options.method = [this, theta](Objective& f, const Point&,
                                   double share) -> std::unique_ptr<const DescentMethod> {
      OptionValues values = command_;  // what --step stands for is each start's own
      DescentPlan plan = make_descent_plan(values, with_theta(theta), f, share);
      if (share < 1 && !plan.step_may_be_too_large) return nullptr;
      return std::move(plan.descent);
    };
    return options;
  }

  StartRecord run(const Task& task) const {
    if (task.origin == Origin::given) return judge(request_.at[static_cast<std::size_t>(task.start)]);
    if (task.origin == Origin::from) return follow(request_.from[static_cast<std::size_t>(task.start)]);
    const std::uint64_t seed = start_seed(command_.seed(), task.start);
    const Vector<double> theta = draw(seed);
    const Target target = task.origin == Origin::descent ? Target::minima : Target::any;
    try {
      return finished(loss_, search(loss_, theta, target, options_for(theta)), task.origin, seed);
    } catch (const InputError& error) {
      throw InputError("start " + std::to_string(task.start) + ", seed " + std::to_string(seed) + ": " +
                       error.what());
    }
  }

  /// A given point.
  StartRecord judge(const Given& given) const {
    ModelLoss loss = loss_;
    loss.point.weights = given.weights;
    try {
      const Found found = examine(loss, setup_.parameters().extract(given.weights), request_.dense_limit);
      return placed(finished(loss, found, Origin::given, 0), given);
    } catch (const WorkError& error) {
      throw WorkError("--at " + text_of(given) + ": " + error.what());
    }
  }

  /// The descent from a given start.
  StartRecord follow(const Given& given) const {
    const Vector<double> theta = setup_.parameters().extract(given.weights);
    const std::string_view bytes(reinterpret_cast<const char*>(theta.data()),
                                 static_cast<std::size_t>(theta.size()) * sizeof(double));
    try {
      const Found found = search(loss_, theta, Target::minima, options_for(theta));
      return placed(finished(loss_, found, Origin::from, fnv1a(bytes) >> 11U), given);
    } catch (const InputError& error) {
      throw InputError("--from " + text_of(given) + ": " + error.what());
    }
  }

  static std::string text_of(const Given& given) {
    return given.source + (given.row < 0 ? "" : ": row " + std::to_string(given.row));
  }

  StartRecord placed(StartRecord record, const Given& given) const {
    record.source = static_cast<double>(std::find(data_.sources.begin(), data_.sources.end(), given.source) -
                                        data_.sources.begin());
    record.row = static_cast<double>(given.row);
    return record;
  }

  /// f = 0 to rounding, wherever it was reached, is the global minimum.
  void note_zero(const std::string& where) {
    if (catalogue_.lowest_known) return;
    data_.known_minimum = 0;
    data_.minimum_source = where;
  }

  StartRecord finished(const ModelLoss& loss, const Found& found, Origin origin, std::uint64_t seed) const {
    StartRecord record = make_record(found, origin, seed, data_.shape);
    if (found.point.kind == PointKind::saddle) {
      ModelObjective f = loss.objective();
      const PointCurvature& c = found.point.curvature;
      if (const auto away = escape(f, found.point.at, c.direction, c.smallest, found.point.rounding.loss)) {
        record.escape_step = away->step;
        record.escape_fall = away->fall;
      }
    }
    return record;
  }

  /// F is linear in W_V alone and in W_O alone: f is convex, and a stationary point a global minimum.
  void use_convexity() {
    if (data_.known_minimum || !is_convex(loss_)) return;
    for (const StartRecord& r : data_.starts)
      if ((r.kind == PointKind::strict_minimum || r.kind == PointKind::degenerate) &&
          r.residual_norm > r.residual_rounding && r.loss < data_.known_minimum.value_or(HUGE_VAL)) {
        data_.known_minimum = r.loss;
        data_.minimum_source = "as f is convex in " + setup_.parameters().trained()[0];
      }
  }

  /// Descent from points around each strict minimum: back to it?
  void check_returns() {
    std::vector<Index> firsts;
    for (const CatalogueEntry& e : catalogue_.entries)
      if (data_.starts[e.members[0]].kind == PointKind::strict_minimum) firsts.push_back(e.members[0]);
    if (request_.check_return == 0 || firsts.empty()) return;
    const Index count = static_cast<Index>(firsts.size()) * request_.check_return;
    struct Return {
      bool same, zero;
    };
    std::vector<Return> returns(count);
    parallel_for(
        count,
        [&](Index i, Index) {
          const StartRecord& r = data_.starts[firsts[i / request_.check_return]];
          ModelLoss loss = loss_;
          loss.point.weights = r.weights;
          const Vector<double> theta = setup_.parameters().extract(r.weights);
          Vector<double> move(theta.size());
          Random(static_cast<std::uint64_t>(i % request_.check_return), "return").fill_normal(move);
          move *= request_.radius * loss.objective().length(theta) / move.norm();
          const Vector<double> start = theta + move;
          const Found found = search(loss, start, Target::minima, plain_options());
          const StartRecord end = make_record(found, Origin::descent, 0, data_.shape);
          returns[i] = {same_point(item_of(r, data_.shape), item_of(end, data_.shape)),
                        end.kind == PointKind::zero_loss};
        },
        command_.progress("returns"));
    for (Index i = 0; i < count; ++i) {
      StartRecord& r = data_.starts[firsts[i / request_.check_return]];
      r.perturbed += 1, r.returned += returns[i].same ? 1 : 0;
      if (returns[i].zero) note_zero("reached from near a minimum");
    }
  }

  void write();
  /// Writes the problem at a step from a saddle, and follows it; says why if there is none.
  std::string leave();
  void write_escape(hdf5::Writer& file);

  struct Escaped {
    std::size_t entry;
    double loss;             ///< after the step
    Vector<double> weights;  ///< there
    StartRecord followed;    ///< where descent from there ends
  };

  Command& command_;
  const Setup& setup_;
  Request request_;
  RunOutput output_;
  std::optional<RunOutput> escape_file_;
  Specification specification_;
  ModelLoss loss_;
  Initialisation init_;
  Stopping stopping_;
  std::vector<Task> tasks_;
  CatalogueData data_;
  Catalogue catalogue_;
  std::optional<Escaped> escaped_;
};

void Search::write() {
  say_catalogue(command_, data_, catalogue_);
  command_.verdict("global", std::all_of(catalogue_.verdicts.begin(), catalogue_.verdicts.end(),
                                         [](Verdict v) { return v == Verdict::global_minimum; }));
  hdf5::Writer file(output_.path(), output_.may_replace());
  if (escaped_) write_escape(file);
  const Symmetries symmetries(setup_.point);
  if (!symmetries.left_out().empty())
    command_.say("symmetries left out: " + symmetries.left_out() + "; zero modes may be theirs");
  command_.say(setup_.text());
  write_catalogue(file, data_, catalogue_);
  file.write("/entry/catalogue/left_out", symmetries.left_out());
  write_frame(file, command_, setup_, kName, "Stationary points", "losses");
  write_specification(file, "/entry/provenance", specification_);
  file.commit();
}

std::string Search::leave() {
  const auto is_saddle = [&](const CatalogueEntry& e) { return data_.starts[e.members[0]].escape_fall < 0; };
  const auto& entries = catalogue_.entries;
  std::size_t which = 0;
  if (command_.given("entry")) {
    const auto entry = command_.get<Index>("entry");
    if (entry < 0 || entry >= static_cast<Index>(entries.size()))
      return "--entry " + std::to_string(entry) + ": found " + std::to_string(entries.size()) + " entries";
    which = static_cast<std::size_t>(entry);
    if (!is_saddle(entries[which]))
      return "--entry " + std::to_string(entry) +
             ": is no saddle, no direction is known in which the loss falls";
  } else {
    which =
        static_cast<std::size_t>(std::find_if(entries.begin(), entries.end(), is_saddle) - entries.begin());
    if (which == entries.size()) return "--escape: there is no saddle to leave";
  }
  const StartRecord& r = data_.starts[entries[which].members[0]];
  ModelLoss loss = loss_;
  loss.point.weights = r.weights;
  ModelObjective f = loss.objective();
  const Vector<double> start = setup_.parameters().extract(r.weights) + r.escape_step * r.direction;
  const Vector<double> weights = f.point_at(start).weights;
  const double there = f.loss(start);
  const Found end = search(loss, start, Target::minima, plain_options());
  escaped_ = Escaped{which, there, weights, make_record(end, Origin::given, 0, data_.shape)};
  if (escaped_->followed.kind == PointKind::zero_loss)
    note_zero("reached by descent from entry " + std::to_string(which));
  hdf5::Writer problem_file(escape_file_->path(), escape_file_->may_replace());
  write_problem_at(problem_file, command_, setup_, weights);
  write_specification(problem_file, "/provenance", specification_);
  problem_file.commit();
  return "";
}

void Search::write_escape(hdf5::Writer& file) {
  const auto& [which, there, weights, followed] = *escaped_;
  const StartRecord& r = data_.starts[catalogue_.entries[which].members[0]];
  command_.say(
      "entry " + std::to_string(which) + " left: f = " + number(r.loss, 10) + " -> " + number(there, 10) +
      " by a step of " + number(std::abs(r.escape_step), 4) + " along the curvature " +
      number(r.smallest_eigenvalue, 4) + "; descent from there ends at f = " +
      (followed.kind == PointKind::zero_loss ? "0"
                                             : number(followed.loss, 10) + ": " + name_of(followed.kind)));
  const std::string group = "/entry/escape/";
  file.group("/entry/escape", "NXcollection");
  file.write(group + "entry", static_cast<std::int64_t>(which));
  file.write(group + "step", r.escape_step);
  file.write(group + "predicted_fall", r.escape_step * r.escape_step * r.smallest_eigenvalue / 2);
  file.write(group + "fall", there - r.loss);
  file.write(group + "loss", there);
  file.write(group + "weights", weights);
  file.write(group + "followed_loss", followed.loss);
  file.write(group + "followed_kind", name_of(followed.kind));
  file.write(group + "followed_weights", followed.weights);
}

Request read_request(Command& command, const Setup& setup) {
  Request r;
  const bool given = command.given("at") || command.given("from");
  r.starts = command.given("starts") || !given ? command.get<Index>("starts") : 0;
  if (r.starts < 0 || r.starts > 10000000)
    throw InputError("--starts " + std::to_string(r.starts) + ": expected 0 to 10000000");
  if (r.starts == 0 && !given) throw InputError("--starts 0: nothing to do without --at or --from");
  command.resolve("starts", std::to_string(r.starts));
  const std::string what = command.get<std::string>("search");
  if (what != "minima" && what != "saddles" && what != "both")
    throw InputError("--search " + what + ": expected minima, saddles or both");
  r.minima = what != "saddles", r.any = what != "minima";
  if (!r.minima && !command.given("from"))
    refuse(command, {"method", "step", "loss-tolerance", "escapes", "finish-steps"},
           "under --search saddles");
  if (r.starts == 0) refuse(command, {"search", "init", "gain"}, "without --starts");
  if (r.starts == 0 && !command.given("from"))
    refuse(command, {"method", "step"}, "without --starts or --from");
  r.at = read_given(command, "at", setup, false), r.from = read_given(command, "from", setup, true);
  r.check_return = command.get<Index>("check-return");
  if (r.check_return < 0 || r.check_return > 1000)
    throw InputError("--check-return " + command.text("check-return") + ": expected 0 to 1000");
  r.radius = command.get<double>("return-radius");
  if (!(r.radius > 0 && r.radius < 1))
    throw InputError("--return-radius " + command.text("return-radius") + ": expected a number in (0, 1)");
  r.dense_limit = command.get<Index>("dense-limit");
  if (r.dense_limit < 0)
    throw InputError("--dense-limit " + command.text("dense-limit") + ": expected a number from 0");
  r.finish_steps = command.get<Index>("finish-steps");
  if (r.finish_steps < 0)
    throw InputError("--finish-steps " + command.text("finish-steps") + ": expected a number from 0");
  r.most_escapes = command.get<Index>("escapes");
  if (r.most_escapes < 0)
    throw InputError("--escapes " + command.text("escapes") + ": expected a number from 0");
  return r;
}

void body(Command& command) {
  command.options.add_options()  //
      ("starts", po::value<Index>()->default_value(100)->value_name("K"),
       "starts (default with --at or --from: none)")  //
      ("search", po::value<std::string>()->default_value("minima")->value_name("WHAT"),
       "minima, saddles or both")  //
      ("at", po::value<std::vector<std::string>>()->composing()->value_name("FILE[:DATASET[:ROW]]"),
       "judge these weights; repeatable")  //
      ("from", po::value<std::vector<std::string>>()->composing()->value_name("FILE[:DATASET[:ROW]]"),
       "descend from these weights; repeatable")  //
      ("global-minimum", po::value<double>()->value_name("F"),
       "the global minimum of the loss, if known (default: what the problem file says in /minimum, where "
       "that "
       "holds; of W_V or W_O alone the least-squares minimum)")  //
      ("finish-steps", po::value<Index>()->default_value(300)->value_name("T"),
       "most steps of trust-region Newton after the descent")  //
      ("escapes", po::value<Index>()->default_value(10)->value_name("K"),
       "saddles that a descent may leave along negative curvature")  //
      ("check-return", po::value<Index>()->default_value(3)->value_name("K"),
       "perturbed starts around each strict minimum that must return to it")  //
      ("return-radius", po::value<double>()->default_value(0.01, "0.01")->value_name("R"),
       "how far they are, relative to the length of theta (MATHEMATICS.md, Units)")  //
      ("dense-limit", po::value<Index>()->default_value(kDenseLimit)->value_name("P"),
       "most parameters for which the Hessian is assembled, and all its eigenvalues are counted")           //
      ("entry", po::value<Index>()->value_name("K"), "the entry for --escape (default: the first saddle)")  //
      ("resume", po::bool_switch(), "go on with the journal of a run that did not finish");
  command.add_output_option(
      "escape", "write the problem at a step from a saddle, in the direction in which the loss falls");
  command.add_assert_option({{"global", "every start, and the given point, is a global minimum"}});
  add_descent_options(command, {"gd", 2000, 1e-6});
  add_model_options(command);
  command.add_memory_option();
  if (!command.parse()) return;
  RunOutput output(command, command.output(), "/entry/provenance");
  std::optional<RunOutput> escape;
  if (command.given("escape"))
    escape.emplace(command, command.get<std::string>("escape"), "/provenance");
  else if (command.given("entry"))
    throw InputError("--entry: without effect unless with --escape");
  const Setup setup = read_setup(command, Draws::starts);
  if (setup.weights_origin == "from the problem file")
    for (const auto& [block, gain] : parse_gains(command.get<std::vector<std::string>>("gain")))
      if (const auto& entry = setup.parameters().find(block); !entry.trainable())
        throw InputError("--gain " + block + "=" + number(gain) + ": " + block +
                         " is held fixed at the weights of the file");
  Search(command, setup, read_request(command, setup), std::move(output), std::move(escape)).go();
}

void merge(int argc, const char* const* argv) {
  Command command(
      {kName + " merge", "joins catalogues of the same problem", "A.h5 B.h5 ... -o CATALOGUE.h5",
       "The catalogues must be of one problem, model and choice of options, from other seeds. Points are\n"
       "matched again and verdicts taken anew, beside the lowest loss of all.\n",
       "  basin-stationary merge seed1.h5 seed2.h5 -o catalogue.h5\n"},
      argc, argv, 2);
  command.options.add_options()("catalogues",
                                po::value<std::vector<std::string>>()->required()->value_name("CATALOGUE.h5"),
                                "the files to join (all arguments)");
  command.positional.add("catalogues", -1);
  if (!command.parse()) return;
  const auto paths = command.get<std::vector<std::string>>("catalogues");
  CatalogueData whole = read_catalogue(hdf5::Reader(paths[0]));
  std::set<std::pair<std::uint64_t, int>> seen;
  const auto key = [](const StartRecord& r) { return std::pair(r.seed, static_cast<int>(r.origin)); };
  for (const StartRecord& r : whole.starts) seen.insert(key(r));
  for (std::size_t p = 1; p < paths.size(); ++p) {
    CatalogueData part = read_catalogue(hdf5::Reader(paths[p]));
    const std::string difference = first_difference(part.specification, whole.specification);
    if (!difference.empty())
      throw InputError(paths[p] + ": of another problem or with other options than " + paths[0] + " (" +
                       difference + ")");
    if (part.shape.size() != whole.shape.size() || part.shape.function() != whole.shape.function() ||
        part.shape.rows != whole.shape.rows || part.shape.heads != whole.shape.heads)
      throw InputError(paths[p] + ": /entry/catalogue: found other sizes than in " + paths[0]);
    for (const StartRecord& r : part.starts)
      if (r.origin != Origin::given && seen.contains(key(r)))
        throw InputError(
            paths[p] + ": the start " +
            (r.origin == Origin::from ? place_of(r, part) : "with seed " + std::to_string(r.seed)) +
            " is in a file before it, too; expected other " +
            (r.origin == Origin::from ? "starts" : "seeds"));
    for (StartRecord& r : part.starts) {
      seen.insert(key(r));
      if (r.source >= 0) r.source += static_cast<double>(whole.sources.size());
      whole.starts.push_back(std::move(r));
    }
    whole.sources.insert(whole.sources.end(), part.sources.begin(), part.sources.end());
  }
  const Catalogue catalogue = make_catalogue(whole);
  say_catalogue(command, whole, catalogue);
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  write_catalogue(file, whole, catalogue);
  hdf5::write_entry(file, kName, "Stationary points", "losses");
  file.write("/entry/verdict", command.summary());
  hdf5::write_provenance(file, "/entry/provenance", command.provenance());
  file.copy(hdf5::Reader(paths[0]), "/entry/model");
  file.commit();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "merge") return run(kName, [&] { merge(argc, argv); });
  return run_tool(kIntroduction, argc, argv, body);
}
