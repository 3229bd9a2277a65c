#include "common/spectrum/options.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "common/command/given_weights.h"
#include "common/command/setup.h"

namespace basin::tools {
namespace {

std::vector<HessianPart> parts_option(const std::string& name) {
  std::vector<HessianPart> all = {HessianPart::hessian, HessianPart::gauss_newton, HessianPart::residual};
  if (name == "all") return all;
  for (const HessianPart part : all)
    if (name == to_string(part)) return {part};
  throw InputError("--operator " + name + ": expected hessian, gauss-newton, residual or all");
}

SpectrumRequest requested(const Command& command) {
  SpectrumRequest r;
  r.largest = command.get<Index>("largest");
  r.smallest = command.get<Index>("smallest");
  r.full = command.get<bool>("full");
  r.with_vectors = command.get<bool>("eigenvectors");
  r.counts = command.get<bool>("counts");
  r.count_tolerance = command.get<double>("count-tolerance");
  r.dense_limit = command.get<Index>("dense-limit");
  r.density = command.get<bool>("density");
  r.density_width = command.get<double>("density-width");
  r.quadrature.probes = r.quadrature.at_once = command.get<Index>("probes");
  r.quadrature.steps = command.get<Index>("steps");
  r.quadrature.seed = command.seed();
  r.norms = command.get<bool>("norms");
  r.norm_probes = command.get<Index>("norm-probes");
  r.restricted = command.get<bool>("modulo-symmetries");
  r.eigen.tolerance = command.get<double>("tolerance");
  r.eigen.max_restarts = command.get<Index>("max-restarts");
  r.eigen.seed = command.seed();
  return r;
}

void check_ranges(const Command& command, const SpectrumRequest& r) {
  const auto check = [&](const char* option, bool good, const char* expected) {
    if (!good)
      throw InputError("--" + std::string(option) + " " + command.text(option) + ": expected " + expected);
  };
  check("tolerance", r.eigen.tolerance > 0 && r.eigen.tolerance < 1, "a number in (0, 1)");
  check("max-restarts", r.eigen.max_restarts >= 1 && r.eigen.max_restarts <= 1000000, "1 to 1000000");
  check("count-tolerance", r.count_tolerance >= 0 && std::isfinite(r.count_tolerance),
        "a number above 0, or 0 for the default");
  check("dense-limit", r.dense_limit >= 0, "a number of parameters, 0 or more");
  check("density-width", r.density_width >= 0 && r.density_width <= 1e150,  // whose square is a number
        "a number above 0, up to 1e150, or 0 for the default");
  check("probes", r.quadrature.probes >= 1 && r.quadrature.probes <= 100000, "1 to 100000");
  check("steps", r.quadrature.steps >= 2 && r.quadrature.steps <= 100000, "2 to 100000");
  // A standard error from fewer says nothing.
  check("norm-probes", r.norm_probes >= 5 && r.norm_probes <= 100000, "5 to 100000");
}

void check_effects(const Command& command, const SpectrumRequest& r) {
  const bool pairs = r.largest != 0 || r.smallest != 0 || command.given("per-block");
  const auto needs = [&](bool used, const std::vector<std::string>& options, const std::string& others) {
    if (!used) refuse(command, options, "unless with " + others);
  };
  needs(pairs || r.counts, {"tolerance", "max-restarts", "dense-limit"},
        "--largest, --smallest, --counts or --per-block");
  needs(r.counts, {"count-tolerance"}, "--counts");
  needs(r.density, {"probes", "steps", "density-width"}, "--density");
  needs(r.norms || command.given("per-block"), {"norm-probes"}, "--norms or --per-block");
  needs(pairs || r.full || r.density, {"modulo-symmetries"},
        "--largest, --smallest, --full, --density or --per-block");
  needs(pairs || r.full, {"eigenvectors"}, "--largest, --smallest, --full or --per-block");
  const bool by_block = command.given("per-block");
  needs(r.with_vectors || r.norms || by_block, {"by-tensor"}, "--eigenvectors, --norms or --per-block");
  needs(by_block, {"by-head"}, "--per-block");
  if (by_block) refuse(command, {"full", "block"}, "with --per-block");
  if (by_block && command.get<bool>("by-head"))
    refuse(command, {"by-tensor", "modulo-symmetries"}, "with --by-head");
}

}  // namespace

void add_spectrum_options(Command& command) {
  command.options.add_options()                                                                        //
      ("largest", po::value<Index>()->default_value(0)->value_name("K"), "the K largest eigenvalues")  //
      ("smallest", po::value<Index>()->default_value(0)->value_name("K"),
       "the K smallest (most negative) eigenvalues")                                         //
      ("full", po::bool_switch(), "the whole spectrum, by dense assembly")                   //
      ("counts", po::bool_switch(), "how many eigenvalues are negative, zero and positive")  //
      ("count-tolerance", po::value<double>()->default_value(0, "0")->value_name("T"),
       "zero means |lambda| <= T; 0: the rounding at this point, as measured")  //
      ("dense-limit", po::value<Index>()->default_value(kDenseLimit)->value_name("P"),
       "most parameters for exact counts, and up to 1000 for eigenpairs by a dense solver")  //
      ("density", po::bool_switch(), "the spectral density, with error bars")                //
      ("probes", po::value<Index>()->default_value(10)->value_name("N"),
       "random vectors of the density")  //
      ("steps", po::value<Index>()->default_value(60)->value_name("M"),
       "Lanczos steps with each of them")  //
      ("density-width", po::value<double>()->default_value(0, "0")->value_name("W"),
       "standard deviation of the smoothing kernel, at least two grid spacings; 0: (largest - smallest "
       "node) / M")                                                                       //
      ("norms", po::bool_switch(), "trace, Frobenius norm, and the norms of all blocks")  //
      ("norm-probes", po::value<Index>()->default_value(20)->value_name("N"),
       "random vectors for each of these, where the matrix is not assembled")  //
      ("operator", po::value<std::string>()->default_value("hessian")->value_name("NAME"),
       "hessian; gauss-newton: G = J^T H_l J, J^T J for squared loss; residual: H - G; or all of them")  //
      ("block", po::value<std::string>()->value_name("BLOCK"),
       "the diagonal block of one trained block, e.g. W_Q")  //
      ("per-block",
       po::value<std::vector<std::string>>()->zero_tokens()->multitoken()->value_name("[PATTERN ...]"),
       "each diagonal block: of the trained blocks, or of those that these fit")                          //
      ("by-head", po::bool_switch(), "with --per-block: of blocks that have heads, a row for each head")  //
      ("modulo-symmetries", po::bool_switch(),
       "eigenvalues and density of the restriction to the complement of the symmetry directions, instead of "
       "the "
       "whole matrix")                                                    //
      ("eigenvectors", po::bool_switch(), "write the eigenvectors, too")  //
      ("by-tensor", po::bool_switch(),
       "eigenvectors also as groups with an array for each trained block, or for each tensor of the "
       "checkpoint "
       "that the problem came from; traces and norms also by these names, and the rows of --per-block");
  // With another value of these a run goes on with the same products.
  command.add_options(Identity::none)  //
      ("tolerance", po::value<double>()->default_value(1e-10, "1e-10")->value_name("T"),
       "converged when |A x - lambda x| <= T |A|")  //
      ("max-restarts", po::value<Index>()->default_value(300)->value_name("R"),
       "give up after so many restarts and say so")  //
      ("resume", po::bool_switch(), "keep products in OUTPUT.journal, and go on with those that are there");
  add_model_options(command);
  add_at_option(command);
  command.add_memory_option(Identity::whole);  // which decides what is dense
  command.add_assert_option(
      {{"converged", "all eigenpairs that were asked for are"},
       {"no-negative-curvature",
        "excluded by exact --counts or --full, modulo symmetries where these are counted"}});
}

HessianRequest read_spectrum_request(const Command& command) {
  const SpectrumRequest r = requested(command);
  const std::vector<HessianPart> parts = parts_option(command.get<std::string>("operator"));
  if (r.largest == 0 && r.smallest == 0 && !r.full && !r.counts && !r.density && !r.norms &&
      !command.given("per-block"))
    throw InputError(
        "nothing to compute: give --largest K, --smallest K, --counts, --density, --norms, --full or "
        "--per-block");
  check_ranges(command, r);
  check_effects(command, r);
  return {r, parts};
}

void check_numbers(const Command& command, Index P) {
  for (const char* option : {"largest", "smallest"})
    if (const Index k = command.get<Index>(option); k < 0 || k > P)
      throw InputError("--" + std::string(option) + " " + std::to_string(k) +
                       ": expected 1 to P = " + std::to_string(P));
}

SpectrumPlan spectrum_plan(const Command& command, const SpectrumRequest& request, Index P,
                           const std::string& block) {
  const auto memory = static_cast<double>(command.memory());
  SpectrumPlan plan = plan_spectrum(request, P, memory);
  if (const SpectrumPlan::Need* need = plan.beyond(memory))
    throw InputError("--" + need->of + (block.empty() ? "" : " of " + block) +
                     " with P = " + std::to_string(P) + " needs " + bytes_text(need->bytes) +
                     ", --memory allows " + bytes_text(memory) +
                     (need->of == "full" ? ": use --largest and --smallest, or train fewer blocks"
                                         : ": ask for fewer eigenvalues or probes, or train fewer blocks"));
  return plan;
}

}  // namespace basin::tools
