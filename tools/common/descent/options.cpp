#include "common/descent/options.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/single_layer/certificate_input.h"
#include "basin/stationary/adam.h"
#include "basin/stationary/gradient_descent.h"
#include "basin/stationary/lbfgs.h"
#include "basin/stationary/momentum.h"
#include "basin/stationary/newton.h"
#include "basin/training/proven_steps.h"
#include "common/command/problems.h"
#include "common/command/words.h"

namespace basin::tools {
namespace {

/// Options that belong to some methods only.
const std::vector<std::pair<std::string, std::vector<std::string>>> kOptionsOf = {
    {"momentum", {"momentum"}}, {"beta1", {"adam"}},  {"beta2", {"adam"}},
    {"epsilon", {"adam"}},      {"pairs", {"lbfgs"}},
};

double number_option(const OptionValues& command, const std::string& option, double low, double high) {
  const auto value = command.get<double>(option);
  if (!(value >= low && value < high))
    throw InputError("--" + option + " " + number(value) + ": expected a number from " + number(low) +
                     " to below " + number(high));
  return value;
}

/// The step of the ball certificate at the start, and its rate.
GradientDescent::Rule certificate_option(OptionValues& command, const Setup& setup) {
  const Certificate c = certificate_at(setup.point, {.conditions = false});
  if (!c.passes)
    throw InputError("--step certificate: convergence from these weights is not proven: " +
                     (c.sigma_min > 0 ? "|r_0| = " + number(c.residual_norm, 4) +
                                            " is too large by a factor " + number(1 / c.margin, 4)
                                      : std::string("the NTK is not known to be positive definite")) +
                     "; --step guaranteed asks for one step at a time");
  if (!(c.step > 0)) throw InputError("--step certificate: no step is needed, the loss is zero");
  command.resolve("step", number(c.step, 17));
  return certified_rule(c);
}

/// A number from --step, or for auto 1 / lambda_max at the start (1 where the Hessian is zero).
double fixed_step(OptionValues& command, Objective& f) {
  const std::string text = command.get<std::string>("step");
  if (text == "auto") {
    const double step = natural_step(f).value_or(1);
    command.resolve("step", number(step, 17));
    return step;
  }
  const double value = parse_number(text).value_or(0);
  if (!(value > 0))
    throw InputError(
        "--step " + text + ": expected a positive number" +
        (command.get<std::string>("method") == "gd" ? ", flow, certificate, guaranteed or auto" : ""));
  return value;
}

double step_or(OptionValues& command, Objective& f, double otherwise) {
  if (command.get<std::string>("step") != "auto") return fixed_step(command, f);
  command.resolve("step", number(otherwise, 17));
  return otherwise;
}

}  // namespace

std::string known_of_last_layer(const Setup& setup) {
  return setup.point.model->loss().facts().attained
             ? "; of a last layer alone basin-ntk --train says which step is proven to converge"
             : "";
}

bool automatic_step(const OptionValues& command) {
  return command.get<std::string>("step") == "auto";
}

void add_descent_options(Command& command, const DescentDefaults& defaults) {
  command.options.add_options()  //
      ("method", po::value<std::string>()->default_value(defaults.method)->value_name("METHOD"),
       "gd, line-search, momentum, adam, lbfgs or newton")  //
      ("step", po::value<std::string>()->default_value("auto")->value_name("ETA"),
       "the step; the first one tried by line-search and lbfgs; the first radius of newton. For gd also: "
       "certificate (proven to reach zero loss, if the certificate passes at the start), guaranteed (in "
       "every "
       "step one after which the loss is proven to fall), flow (in every step one over which loss and "
       "gradient "
       "change as along the gradient flow). auto: flow for gd, 1 / lambda_max of the Hessian at the start "
       "for "
       "momentum, 0.001 for adam, for line-search the first step of flow, for lbfgs the minimum of the "
       "quadratic "
       "model along -grad f, for newton the length of the weights")                                //
      ("steps", po::value<Index>()->default_value(defaults.steps)->value_name("T"), "most steps")  //
      ("tolerance",
       po::value<double>()->default_value(defaults.tolerance, number(defaults.tolerance))->value_name("G"),
       "stop when |grad f| <= G |J| |Y| / sqrt(m), Frobenius norms, J at the start: relative to the gradient "
       "that "
       "residuals of the size of the targets have there")  //
      ("loss-tolerance", po::value<double>()->default_value(0)->value_name("F"),
       "stop when f <= F |Y|^2 / 2: relative to the loss of outputs 0")  //
      ("momentum", po::value<double>()->default_value(0.9, "0.9")->value_name("MU"),
       "momentum: the share of the last move that is kept")  //
      ("beta1", po::value<double>()->default_value(0.9, "0.9")->value_name("B"),
       "adam: decay of the mean")  //
      ("beta2", po::value<double>()->default_value(0.999, "0.999")->value_name("B"),
       "adam: decay of the mean square")  //
      ("epsilon", po::value<double>()->default_value(1e-8, "1e-8")->value_name("E"),
       "adam: added to the denominator")  //
      ("pairs", po::value<Index>()->default_value(10)->value_name("K"), "lbfgs: pairs that are kept");
}

DescentPlan make_descent_plan(OptionValues& command, const Setup& setup, Objective& f, double share) {
  DescentPlan plan;
  plan.method = command.get<std::string>("method");
  for (const auto& [option, methods] : kOptionsOf)
    if (std::find(methods.begin(), methods.end(), plan.method) == methods.end())
      refuse(command, {option}, "under --method " + plan.method);
  plan.stopping = {.gradient = number_option(command, "tolerance", 0, HUGE_VAL),
                   .loss = number_option(command, "loss-tolerance", 0, HUGE_VAL) * loss_scale(setup.point),
                   .steps = command.get<Index>("steps")};
  if (plan.stopping.steps < 0 || plan.stopping.steps > 1000000000)
    throw InputError("--steps " + std::to_string(plan.stopping.steps) + ": expected 0 to 1000000000");

  const std::string step = command.get<std::string>("step");
  if (plan.method == "gd" && (step == "certificate" || step == "guaranteed") && !setup.single_attention())
    throw InputError(
        "--step " + step +
        ": known of one attention layer under squared loss alone; expected flow, auto or a positive number" +
        known_of_last_layer(setup));
  if (plan.method == "gd" && step == "certificate") {
    plan.descent = std::make_unique<GradientDescent>(certificate_option(command, setup));
  } else if (plan.method == "gd" && step == "guaranteed") {
    plan.descent = std::make_unique<GradientDescent>(guaranteed_rule(setup.point));
  } else if (plan.method == "gd" && (step == "flow" || step == "auto")) {
    command.resolve("step", "flow");
    plan.descent = std::make_unique<FlowDescent>();
  } else if (plan.method == "gd") {
    plan.descent = std::make_unique<GradientDescent>(share * fixed_step(command, f));
    plan.step_may_be_too_large = true;
  } else if (plan.method == "momentum") {
    plan.descent =
        std::make_unique<Momentum>(share * fixed_step(command, f), number_option(command, "momentum", 0, 1));
    plan.step_may_be_too_large = true;
  } else if (plan.method == "line-search") {
    plan.descent = automatic_step(command) ? std::make_unique<LineSearchDescent>()
                                           : std::make_unique<LineSearchDescent>(fixed_step(command, f));
  } else if (plan.method == "adam") {
    AdamOptions options;
    options.eta = share * step_or(command, f, options.eta);
    options.beta1 = number_option(command, "beta1", 0, 1);
    options.beta2 = number_option(command, "beta2", 0, 1);
    options.epsilon = number_option(command, "epsilon", 0, HUGE_VAL);
    plan.descent = std::make_unique<Adam>(options);
    plan.step_may_be_too_large = true;
  } else if (plan.method == "lbfgs") {
    const auto pairs = command.get<Index>("pairs");
    if (pairs < 1 || pairs > 1000)
      throw InputError("--pairs " + std::to_string(pairs) + ": expected 1 to 1000");
    plan.descent = automatic_step(command) ? std::make_unique<Lbfgs>(pairs)
                                           : std::make_unique<Lbfgs>(pairs, fixed_step(command, f));
  } else if (plan.method == "newton") {
    plan.descent = std::make_unique<TrustRegionNewton>(step_or(command, f, f.length(setup.point.theta())));
  } else {
    throw InputError("--method " + plan.method +
                     ": expected gd, line-search, momentum, adam, lbfgs or newton");
  }
  return plan;
}

}  // namespace basin::tools
