#include "common/catalogue/search_options.h"

#include <algorithm>
#include <cmath>

#include "basin/hdf5/problem_file.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"
#include "basin/network/architecture_json.h"
#include "common/command/checksum.h"
#include "common/command/given_weights.h"
#include "common/command/problems.h"
#include "common/descent/global_minimum.h"
#include "common/descent/options.h"

namespace basin::tools {
namespace {

/// What makes a catalogue what it is; with `share`, also which starts it has.
Specification specification_of(const Command& command, const Setup& setup, bool share) {
  const Vector<double> frozen = setup.point.at(Vector<double>::Zero(setup.point.theta_size())).weights;
  Specification all = {
      {"version", version()},
      {"format", hdf5::kFormatVersion},
      {"inputs", checksum(bytes_of(setup.point.data->X))},
      {"targets", setup.point.data->labels.empty() ? checksum(bytes_of(setup.point.data->Y))
                                                   : checksum(bytes_of(setup.point.data->labels))},
      {"fixed weights", checksum(bytes_of(frozen))}};
  for (const auto& [name, size] : {std::pair<const char*, Index>{"N", setup.point.data->samples},
                                   {"n", setup.inputs().tokens},
                                   {"D", setup.inputs().width},
                                   {"D_out", setup.outputs().width}})
    all.emplace_back(name, std::to_string(size));
  if (!setup.point.data->types.empty())
    all.emplace_back("token-types", checksum(bytes_of(setup.point.data->types)));
  if (!setup.point.data->ids.empty()) all.emplace_back("tokens", checksum(bytes_of(setup.point.data->ids)));
  if (!setup.point.data->mask.empty()) all.emplace_back("mask", checksum(bytes_of(setup.point.data->mask)));
  if (!setup.single_attention()) all.emplace_back("network", checksum(to_json(setup.architecture())));
  const Specification options = share ? command.identity() : command.shared_identity();
  all.insert(all.end(), options.begin(), options.end());
  if (share) all.emplace_back("weights", checksum(bytes_of(setup.point.weights)));
  return all;
}

Setup with_theta(const Setup& setup, const Vector<double>& theta) {
  Setup there = setup;
  there.point.weights = there.point.at(theta).weights;
  return there;
}

/// The method of the options; what --step stands for is each start's own.
decltype(SearchOptions::method) method_of(const Command& command, const Setup& setup) {
  return [&](Objective& f, const Iterate& start, double share) -> std::unique_ptr<const DescentMethod> {
    OptionValues values = command;
    DescentPlan plan = make_descent_plan(values, with_theta(setup, start.theta), f, share);
    if (share < 1 && !plan.step_may_be_too_large) return nullptr;
    return std::move(plan.descent);
  };
}

/// How start k is drawn.
void set_draws(const Command& command, const Setup& setup, Starts& starts) {
  Initialisation init;
  init.method = command.get<std::string>("init");
  init.gains = parse_gains(command.get<std::vector<std::string>>("gain"));
  starts.seed = command.seed();
  starts.draw = [&setup, init](std::uint64_t seed) {
    Initialisation of_start = init;
    of_start.seed = seed;
    return setup.parameters().extract(draw_weights(setup.architecture(), of_start));
  };
}

void read_given_starts(const Command& command, const Setup& setup, SearchRequest& request) {
  const std::vector<Given> at = read_given(command, "at", setup, false),
                           from = read_given(command, "from", setup, true);
  std::vector<std::string>& sources = request.sources;
  for (const auto* given : {&at, &from})
    for (const Given& g : *given)
      if (sources.empty() || sources.back() != g.source) sources.push_back(g.source);
  const auto as_start = [&](const std::string& option, const Given& g) {
    return GivenWeights{g.weights,
                        "--" + option + " " + g.source + (g.row < 0 ? "" : ": row " + std::to_string(g.row)),
                        std::find(sources.begin(), sources.end(), g.source) - sources.begin(), g.row};
  };
  for (const Given& g : at) request.starts.points.push_back(as_start("at", g));
  for (const Given& g : from) request.starts.from.push_back(as_start("from", g));
}

}  // namespace

void add_search_options(Command& command) {
  command.add_options(Identity::run)  //
      ("starts", po::value<Index>()->default_value(100)->value_name("K"),
       "starts (default with --at or --from: none)");
  command.options.add_options()  //
      ("search", po::value<std::string>()->default_value("minima")->value_name("WHAT"),
       "minima, saddles or both");
  command.add_options(Identity::run)  //
      ("at", po::value<std::vector<std::string>>()->composing()->value_name("FILE[:DATASET[:ROW]]"),
       "judge these weights; repeatable")  //
      ("from", po::value<std::vector<std::string>>()->composing()->value_name("FILE[:DATASET[:ROW]]"),
       "descend from these weights; repeatable");
  command.options.add_options()  //
      ("global-minimum", po::value<double>()->value_name("F"),
       "the global minimum of the loss, if known (default: what the problem file says in /minimum, where "
       "that holds; of W_V or W_O alone the least-squares minimum)")  //
      ("finish-steps", po::value<Index>()->default_value(300)->value_name("T"),
       "most steps of trust-region Newton after the descent")  //
      ("escapes", po::value<Index>()->default_value(10)->value_name("K"),
       "saddles that a descent may leave along negative curvature")  //
      ("check-return", po::value<Index>()->default_value(3)->value_name("K"),
       "perturbed starts around each strict minimum that must return to it")  //
      ("return-radius", po::value<double>()->default_value(0.01, "0.01")->value_name("R"),
       "how far they are, relative to the length of theta (MATHEMATICS.md, Units)")  //
      ("dense-limit", po::value<Index>()->default_value(kDenseLimit)->value_name("P"),
       "most parameters for which the Hessian is assembled, and all its eigenvalues are counted");
  command.add_options(Identity::none)                                                                       //
      ("entry", po::value<Index>()->value_name("K"), "the entry for --escape (default: the first saddle)")  //
      ("resume", po::bool_switch(), "go on with the journal of a run that did not finish");
  command.add_output_option(
      "escape", "write the problem at a step from a saddle, in the direction in which the loss falls");
}

SearchRequest read_search_request(Command& command, const Setup& setup) {
  SearchRequest r;
  r.loss = {setup.point, setup.theory, command.memory() / static_cast<std::size_t>(2 * thread_slots()),
            command.status()};
  const bool given = command.given("at") || command.given("from");
  Index& drawn = r.starts.drawn;
  drawn = command.given("starts") || !given ? command.get<Index>("starts") : 0;
  if (drawn < 0 || drawn > 10000000)
    throw InputError("--starts " + std::to_string(drawn) + ": expected 0 to 10000000");
  if (drawn == 0 && !given) throw InputError("--starts 0: nothing to do without --at or --from");
  command.resolve("starts", std::to_string(drawn));
  const std::string what = command.get<std::string>("search");
  if (what != "minima" && what != "saddles" && what != "both")
    throw InputError("--search " + what + ": expected minima, saddles or both");
  r.starts.minima = what != "saddles", r.starts.any = what != "minima";
  if (!r.starts.minima && !command.given("from"))
    refuse(command, {"method", "step", "loss-tolerance", "escapes", "finish-steps"},
           "under --search saddles");
  if (drawn == 0) refuse(command, {"search", "init", "gain"}, "without --starts");
  if (drawn == 0 && !command.given("from")) refuse(command, {"method", "step"}, "without --starts or --from");
  read_given_starts(command, setup, r);
  set_draws(command, setup, r.starts);
  r.returns.starts = command.get<Index>("check-return");
  if (r.returns.starts < 0 || r.returns.starts > 1000)
    throw InputError("--check-return " + command.text("check-return") + ": expected 0 to 1000");
  r.returns.radius = command.get<double>("return-radius");
  if (!(r.returns.radius > 0 && r.returns.radius < 1))
    throw InputError("--return-radius " + command.text("return-radius") + ": expected a number in (0, 1)");
  r.search.dense_limit = command.get<Index>("dense-limit");
  if (r.search.dense_limit < 0)
    throw InputError("--dense-limit " + command.text("dense-limit") + ": expected a number from 0");
  r.search.finish_steps = command.get<Index>("finish-steps");
  if (r.search.finish_steps < 0)
    throw InputError("--finish-steps " + command.text("finish-steps") + ": expected a number from 0");
  r.search.escapes = command.get<Index>("escapes");
  if (r.search.escapes < 0)
    throw InputError("--escapes " + command.text("escapes") + ": expected a number from 0");
  r.search.method = method_of(command, setup);
  return r;
}

Stopping stopping_of(const Command& command, const Setup& setup, const SearchRequest& request) {
  // without starts there is no step to choose
  OptionValues values = command;
  if (!request.descends()) values = command.with({{"step", "1"}});
  const Starts& starts = request.starts;
  const Vector<double> theta =
      starts.drawn > 0
          ? starts.draw(start_seed(starts.seed, 0))
          : setup.parameters().extract(starts.from.empty() ? setup.point.weights : starts.from[0].weights);
  ModelObjective f = request.loss.objective();
  if (!f.at(theta)) return {};
  const Stopping stopping = make_descent_plan(values, with_theta(setup, theta), f).stopping;
  if (!(stopping.gradient > 0)) throw InputError("--tolerance 0: expected a positive number");
  return stopping;
}

std::optional<GlobalMinimum> minimum_for(const Command& command, const Setup& setup) {
  if (!command.given("global-minimum")) return global_minimum(setup);
  const auto value = command.get<double>("global-minimum");
  if (!(value >= 0) || !std::isfinite(value))
    throw InputError("--global-minimum " + number(value) + ": expected a number from 0");
  return GlobalMinimum{value, "as given by --global-minimum"};
}

Specification shared_specification(const Command& command, const Setup& setup) {
  return specification_of(command, setup, false);
}

Specification whole_specification(const Command& command, const Setup& setup, const SearchRequest& request) {
  Specification whole = specification_of(command, setup, true);
  for (const auto& [name, given] :
       {std::pair{"given points", &request.starts.points}, {"given starts", &request.starts.from}}) {
    std::string all;
    for (const GivenWeights& g : *given) all += checksum(bytes_of(g.weights));
    whole.emplace_back(name, std::to_string(given->size()) + ", " + checksum(all));
  }
  return whole;
}

}  // namespace basin::tools
