#include "common/sweep/measures.h"

#include <algorithm>
#include <cmath>

#include "basin/curvature/hessian_parts.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"
#include "basin/spectrum/analysis.h"
#include "basin/stationary/separation.h"
#include "common/command/words.h"
#include "common/descent/global_minimum.h"
#include "common/descent/options.h"
#include "common/ntk/network.h"

namespace basin::tools {
namespace {

const std::vector<std::string> kMeasures = {"ntk",     "conditions", "certificate",
                                            "hessian", "negative",   "training"};
const std::string kLayerDefault = "ntk,conditions,certificate", kNetworkDefault = "ntk,hessian";
const std::vector<std::string> kDescentOptions = {"method",   "step",  "steps", "tolerance", "loss-tolerance",
                                                  "momentum", "beta1", "beta2", "epsilon",   "pairs"};
constexpr Index kLeastDescended = 8;  // vectors that a descent keeps, besides pairs

/// A loss this far above its minimum has reached it, relative to that of outputs 0: residuals of 1e-4 |Y|.
constexpr double kReached = 1e-8;

bool is_centred(const ModelPoint<double>& point) {
  return rows_of_loss(*point.model) == KernelRows::centred;
}

/// One end each, as of basin-hessian.
SpectrumRequest both_ends() {
  SpectrumRequest request;
  request.largest = request.smallest = 1;
  return request;
}

/// Whatever --memory is, so that the numbers do not depend on it.
SpectrumPlan plan_of_ends(Index P) {
  return plan_spectrum(both_ends(), P, kInfinity);
}

std::string joined_measures(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  return text;
}

/// In the order of kMeasures.
std::vector<std::string> parse_measures(const std::string& list) {
  std::vector<std::string> given = split(list, ','), found;
  for (const std::string& name : given)
    if (std::find(kMeasures.begin(), kMeasures.end(), name) == kMeasures.end())
      throw InputError("--measure " + list + ": unknown measure " + shown(name) + meant(name, kMeasures));
  for (const std::string& name : kMeasures) {
    const auto times = std::count(given.begin(), given.end(), name);
    if (times > 1) throw InputError("--measure " + list + ": found " + name + " twice");
    if (times == 1) found.push_back(name);
  }
  return found;
}

void measure_kernels(const Linearization<double>& at, const std::string& kernels,
                     std::vector<Quantity>& quantities) {
  const std::vector<KernelSet> sets = kernel_sets_of(at.parameters(), kernels);
  const TrainedJacobian J(at, kInfinity);
  const auto measure = [&](KernelRows rows, const std::string& prefix) {
    for (const KernelAnalysis& kernel : network_kernels(at, J, sets, rows).kernels)
      set_kernel(quantities, prefix + kernel.minimum.name, kernel.minimum);
  };
  measure(KernelRows::counting, "");
  if (is_centred(at.point())) measure(KernelRows::centred, "centred/");
}

void measure_ends(const MeasuredHessianParts& parts, std::vector<Quantity>& quantities) {
  const FarthestPerturbed farthest = parts.farthest(HessianPart::hessian);
  const SelfAdjointOperator& H = parts.get(HessianPart::hessian);
  const SpectrumAnalysis found =
      analyse_spectrum({.A = H, .perturbed = &farthest}, both_ends(), plan_of_ends(H.rows()));
  set(quantities, "hessian/largest", found.largest.value);
  set(quantities, "hessian/largest_error", found.largest.error);
  set(quantities, "hessian/smallest", found.smallest.value);
  set(quantities, "hessian/smallest_error", found.smallest.error);
  set(quantities, "hessian/negative_curvature", found.smallest.value < -found.smallest.error ? 1 : 0);
  set(quantities, "hessian/converged", found.all_converged() ? 1 : 0);
}

void measure_negative(const MeasuredHessianParts& parts, Index dense_limit,
                      std::vector<Quantity>& quantities) {
  const FarthestPerturbed farthest = parts.farthest(HessianPart::hessian);
  const SelfAdjointOperator& H = parts.get(HessianPart::hessian);
  Mass share{};
  const bool exact = H.rows() <= dense_limit;
  if (exact) {
    const EigenvalueCounts counts = dense_counts(assembled_matrix(H, &farthest), {}, 0);
    share.value = static_cast<double>(counts.negative) / static_cast<double>(counts.size);
    share.lower = share.upper = share.value;
  } else {
    QuadratureOptions options;
    options.perturbed = &farthest;
    const LanczosQuadrature quadrature = lanczos_quadrature(H, {}, 0, options);
    share = mass_below(quadrature, -zero_threshold(quadrature));
  }
  set(quantities, "negative/share", share.value);
  set(quantities, "negative/share_lower", share.lower);
  set(quantities, "negative/share_upper", share.upper);
  set(quantities, "negative/exact", exact ? 1 : 0);
}

/// Where the global minimum of a loss that attains it is, as far as that is known.
std::optional<double> known_minimum(const DrawnProblem& draw) {
  const ModelPoint<double>& point = draw.setup.point;
  const LossFacts& facts = point.model->loss().facts();
  if (draw.own_teacher && facts.quadratic && point.theta_size() == point.weights.size()) return facts.infimum;
  if (const auto known = global_minimum(draw.setup)) return known->loss;
  return std::nullopt;
}

/// The objective of a descent, at its start. Throws WorkError where that is not finite.
std::unique_ptr<ModelObjective> objective_of(const OptionValues& values, const Setup& setup,
                                             std::size_t memory, Descent& run) {
  auto f = std::make_unique<ModelObjective>(setup.point,
                                            values.get<std::string>("method") == "newton" ? memory : 0,
                                            setup.theory->natural_length(setup.point));
  std::optional<Iterate> start = f->at(setup.parameters().extract(setup.point.weights));
  if (!start) throw WorkError("the loss at the start is not finite: the weights or inputs are too large");
  run.at = std::move(*start);
  require_representable(std::max(setup.point.target_size(), f->here().outputs_norm()), "");
  return f;
}

void measure_training(OptionValues& values, const DrawnProblem& draw, std::size_t memory,
                      std::vector<Quantity>& quantities) {
  const Setup& setup = draw.setup;
  Descent run;
  const std::unique_ptr<ModelObjective> objective = objective_of(values, setup, memory, run);
  ModelObjective& f = *objective;
  const double scale = f.gradient_scale();
  DescentPlan plan = make_descent_plan(values, setup, f);
  plan.stopping.gradient_scale = scale;
  const DescentStatus status = descend(f, *plan.descent, run, plan.stopping);
  const bool lost = status.reason == DescentStatus::Reason::not_finite;
  set(quantities, "training/steps", static_cast<double>(run.step));
  set(quantities, "training/converged", status.converged() ? 1 : 0);
  if (!lost) {
    set(quantities, "training/loss", run.at.loss);
    set(quantities, "training/gradient_norm", run.at.gradient.stableNorm());
  }
  if (f.facts().centred) {
    const Separation s = lost || !f.at(run.at.theta) ? Separation{} : separation_at(f.here());
    if (lost || !std::isnan(s.margin))
      set(quantities, "training/all_margins_positive", !lost && s.holds() ? 1 : 0);
    return;
  }
  const std::optional<double> known = known_minimum(draw);
  const double least = known.value_or(f.facts().infimum);
  const bool reached = !lost && run.at.loss - least <= kReached * loss_scale(setup.point);
  if (reached || lost || known) set(quantities, "training/reaches_minimum", reached ? 1 : 0);
}

/// Bytes of the largest descent, besides the objective.
double descent_bytes(const OptionValues& values, Index P) {
  const Index pairs = values.get<std::string>("method") == "lbfgs" ? values.get<Index>("pairs") : 0;
  return 8 * static_cast<double>(P) * static_cast<double>(2 * std::max<Index>(pairs, 0) + kLeastDescended);
}

bool begins(const std::string& name, const char* group) {
  return name.starts_with(group);
}

}  // namespace

std::string certainty(const std::string& name) {
  const std::string what = name.substr(name.rfind('/') + 1);
  if (begins(name, "certificate/") || what.starts_with("proven")) return "proven, to rounding as measured";
  if (begins(name, "hessian/")) {
    if (what == "converged") return "whether the residuals of both ends are as small as was asked for";
    if (what == "negative_curvature") return "bounded: 1 where an eigenvalue is below 0 for certain";
    return "bounded: an eigenvalue lies within the error; that none lies further out is certain where the "
           "matrix is solved densely (up to " +
           std::to_string(kDecompositionLimit) +
           " parameters), else estimated, with probability 1 - 1e-6, if hessian/converged is 1";
  }
  if (begins(name, "negative/"))
    return "exact, by inertia, where negative/exact is 1; else estimated by stochastic Lanczos quadrature, "
           "share_lower to share_upper being a 95 % interval";
  if (begins(name, "training/")) return "computed: where this descent got";
  if (what.starts_with("lambda_min")) return "bounded: lambda_min_lower <= lambda_min <= lambda_min_upper";
  if (what == "rank") return "bounded from below: singular values that are certainly positive";
  if (what == "positive_definite" || what == "in_theory_only" || what == "singular")
    return "bounded: 1 where the bounds, or sizes and copies, decide so";
  return name.find('/') == std::string::npos || what == "lambda_max" ? "computed" : "";
}

void add_measure_options(Command& command, const std::string& kind) {
  const bool layer = kind == "teacher" || kind == "text";
  command.options.add_options()(
      "measure",
      po::value<std::string>()->default_value(layer ? kLayerDefault : kNetworkDefault)->value_name("LIST"),
      "what is measured besides loss and gradient: ntk, conditions, certificate (of one attention layer), "
      "hessian (both ends of its spectrum), negative (the share of its eigenvalues below 0), training (where "
      "descent gets)");
  if (!layer)
    command.options.add_options()(
        "kernels", po::value<std::string>()->default_value("sum")->value_name("WHICH"),
        "of ntk: sum, or patterns of trained blocks, a kernel each besides the sum: 'blocks.*.attention.*'");
  command.options.add_options()(
      "dense-limit", po::value<Index>()->default_value(kDenseLimit)->value_name("P"),
      "of negative: up to so many parameters eigenvalues are counted exactly, beyond it their share is "
      "estimated");
  add_descent_options(command);
}

Measures::Measures(const Command& command, const std::string& kind)
    : single_layer_(kind == "teacher" || kind == "text") {
  const std::vector<std::string> names = parse_measures(command.get<std::string>("measure"));
  const auto measured = [&](const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  names_ = joined_measures(names);
  kernels_ = measured("ntk");
  hessian_ = measured("hessian");
  negative_ = measured("negative");
  training_ = measured("training");
  layer_ = {kernels_ && single_layer_, measured("conditions"), measured("certificate")};
  sets_ = single_layer_ ? "blocks" : command.get<std::string>("kernels");
  if (!single_layer_ && (sets_ == "blocks" || sets_ == "unions"))
    throw InputError("--kernels " + sets_ +
                     ": expected sum, or patterns of blocks: which blocks there are may "
                     "differ from cell to cell");
  std::vector<std::string> kernels = split(sets_, ',');
  std::sort(kernels.begin(), kernels.end());
  if (const auto twice = std::adjacent_find(kernels.begin(), kernels.end()); twice != kernels.end())
    throw InputError("--kernels " + sets_ + ": found " + *twice + " twice");
  if (!single_layer_ && !kernels_) refuse(command, {"kernels"}, "unless --measure has ntk");
  dense_limit_ = command.get<Index>("dense-limit");
  if (dense_limit_ < 0)
    throw InputError("--dense-limit " + command.text("dense-limit") + ": expected a number of parameters");
  if (!negative_) refuse(command, {"dense-limit"}, "unless --measure has negative");
  if (!training_) {
    refuse(command, kDescentOptions, "unless --measure has training");
    return;
  }
  if (command.get<std::string>("step") == "certificate")
    throw InputError(
        "--step certificate: not every draw has a certificate; expected a number, flow, "
        "guaranteed or auto");
  for (const std::string& option : kDescentOptions) descent_.emplace_back(option, command.text(option));
}

Specification Measures::specification() const {
  if (single_layer_ && names_ == kLayerDefault) return {};
  Specification all = {{"quantities", names_}};
  if (kernels_ && !single_layer_) all.emplace_back("kernels", sets_);
  if (negative_) all.emplace_back("dense-limit", std::to_string(dense_limit_));
  all.insert(all.end(), descent_.begin(), descent_.end());
  return all;
}

void Measures::check_descent(OptionValues values, const DrawnProblem& draw) {
  if (!training_ || descent_checked_) return;
  try {
    Descent run;
    const std::unique_ptr<ModelObjective> f = objective_of(values, draw.setup, 0, run);
    static_cast<void>(make_descent_plan(values, draw.setup, *f));
    descent_checked_ = true;
  } catch (const WorkError&) {  // of this draw: it will be said when its turn comes
  }
}

double Measures::prepare(const OptionValues& values, const DrawnProblem& draw) {
  const ModelPoint<double>& point = draw.setup.point;
  if (layer_.any() && !draw.setup.single_attention())
    throw InputError("--measure " + names_ + ": " +
                     (layer_.conditions ? "conditions are" : "the certificate is") +
                     " known of one attention layer under squared loss alone");
  (is_centred(point) ? centred_ : uncentred_) = true;
  const Index P = point.theta_size();
  const auto numbers =
      static_cast<double>(point.weights.size() + point.data->X.size() + point.data->Y.size());
  double bytes = 0;
  if (layer_.any()) bytes = layer_bytes(point, draw.setup.parameters().trained());
  if (!generic()) return bytes;
  if (kernels_ && !single_layer_) {
    // refuses what fits no block
    static_cast<void>(kernel_sets_of(draw.setup.parameters(), sets_, "sum, or patterns"));
    bytes = std::max(bytes, trained_jacobian_bytes(point));
  }
  if (hessian_) bytes = std::max(bytes, plan_of_ends(P).bytes());
  if (negative_)
    bytes = std::max(bytes, P <= dense_limit_ ? 2 * dense_counts_bytes(P) : lanczos_quadrature_bytes(P, {}));
  if (training_) bytes = std::max(bytes, descent_bytes(values, P));
  check_descent(values, draw);
  constexpr double kPoints = 5;  // where a network is linearised: perturbed points, too
  return bytes + 8 * kPoints * numbers;
}

std::vector<std::string> Measures::kernel_names() const {
  std::vector<std::string> names = {"sum"};
  if (sets_ != "sum")
    for (const std::string& pattern : split(sets_, ',')) names.push_back(pattern);
  return names;
}

std::vector<Quantity> Measures::quantities_of(bool centred, bool uncentred) const {
  std::vector<Quantity> all = {{"loss", kNaN}, {"gradient_norm", kNaN}};
  const auto add = [&](const std::string& group, const std::vector<std::string>& numbers,
                       const std::vector<std::string>& verdicts) {
    for (const std::string& name : numbers) all.push_back({group + "/" + name, kNaN});
    for (const std::string& name : verdicts) all.push_back({group + "/" + name, kNaN, true});
  };
  if (kernels_ && !single_layer_)
    for (const bool on_residuals : {true, false})
      if (centred || !on_residuals)
        for (const std::string& name : kernel_names())
          add((on_residuals ? "centred/" : "") + name,
              {"lambda_min", "lambda_min_lower", "lambda_min_upper", "lambda_max", "rank"},
              {"positive_definite", "in_theory_only", "singular"});
  for (const Quantity& quantity : layer_quantities(layer_)) all.push_back(quantity);
  if (hessian_)
    add("hessian", {"largest", "largest_error", "smallest", "smallest_error"},
        {"negative_curvature", "converged"});
  if (negative_) add("negative", {"share", "share_lower", "share_upper", "exact"}, {});
  if (!training_) return all;
  add("training", {"loss", "gradient_norm", "steps"}, {});
  if (uncentred) add("training", {}, {"reaches_minimum"});
  if (centred) add("training", {}, {"all_margins_positive"});
  add("training", {}, {"converged"});
  return all;
}

std::vector<Quantity> Measures::measure(OptionValues values, const DrawnProblem& draw, double memory) const {
  const ModelPoint<double>& point = draw.setup.point;
  std::vector<Quantity> found = quantities();
  if (layer_.any())
    measure_layer(
        point,
        single_layer_ ? parse_blocks(values.get<std::string>("train")) : draw.setup.parameters().trained(),
        layer_, found);
  if (layer_.any() && !generic()) return found;
  const auto kept = static_cast<std::size_t>(std::max(memory, 0.0));
  {
    const Linearization<double> at(point, {.memory = kept, .keep = hessian_ || negative_});
    set(found, "loss", at.loss());
    set(found, "gradient_norm", at.gradient().norm());
    if (kernels_ && !single_layer_) measure_kernels(at, sets_, found);
    if (hessian_ || negative_) {
      const MeasuredHessianParts parts(at, draw.setup.theory->product_underflow(at));
      if (hessian_) measure_ends(parts, found);
      if (negative_) measure_negative(parts, dense_limit_, found);
    }
  }
  if (training_) measure_training(values, draw, kept, found);
  return found;
}

}  // namespace basin::tools
