/// basin-hessian: eigenvalues of the Hessian or Gauss-Newton matrix.
#include <algorithm>
#include <cmath>
#include <memory>

#include "common/setup.h"
#include "curvature/operators.h"
#include "linalg/errors.h"
#include "spectrum/eigenpairs.h"

using namespace basin;
using namespace basin::tools;

namespace {

const Introduction kIntroduction = {
    "basin-hessian", "extreme eigenvalues, or the whole spectrum, of the Hessian of the loss",
    "PROBLEM.h5 -o RESULT.h5 [--largest K] [--smallest K] [--full] [options]",
    R"(Extreme eigenpairs come from exact Hessian-vector products by restarted Lanczos (Spectra); --full assembles the
matrix and finds all eigenvalues (memory: 16 P^2 bytes, 36 P^2 with eigenvectors). Every eigenvalue has its residual
and an error bound that covers residual and rounding: the matrix has an eigenvalue within that distance. A sign is
claimed only beyond the bound. Smallest means algebraically smallest, the most negative.
)",
    R"(  basin-problem teacher -o problem.h5
  basin-hessian problem.h5 -o hessian.h5 --largest 3 --smallest 3
)"};

void write_eigenvalues(hdf5::Writer& file, const std::string& name, const std::string& matrix,
                       const EigenResult& r) {
  const std::string group = "/entry/" + name;
  hdf5::make_plot(file, group, "eigenvalue", {"index"});
  file.attribute(group, "operator", matrix);
  file.attribute(group, "method", r.method);
  file.attribute(group, "completeness", r.completeness);
  file.attribute(group, "products", static_cast<std::int64_t>(r.products));
  file.attribute(group, "requested", static_cast<std::int64_t>(r.requested));
  std::vector<double> index, value, error, residual;
  std::vector<std::uint8_t> converged;
  for (const Eigenvalue& e : r.eigenvalues) {
    index.push_back(static_cast<double>(index.size() + 1));
    value.push_back(e.value);
    error.push_back(e.error_bound);
    residual.push_back(e.residual);
    converged.push_back(e.converged ? 1 : 0);
  }
  file.write(group + "/index", index);
  file.write(group + "/eigenvalue", value);
  file.write(group + "/eigenvalue_errors", error);
  if (residual.empty() || !std::isnan(residual.front())) file.write(group + "/residual", residual);
  file.write_bytes(group + "/converged", converged, {static_cast<Index>(converged.size())});
  file.write(group + "/title", name + " eigenvalues of the " + matrix + " matrix");
}

void write_eigenvectors(hdf5::Writer& file, const std::string& name, const EigenResult& r) {
  file.write("/entry/" + name + "/eigenvectors", r.eigenvectors.data(),
             {r.eigenvectors.cols(), r.eigenvectors.rows()});
}

std::string signed_text(const Eigenvalue& e) {
  return number(e.value, 10) + " +- " + number(e.error_bound, 2) + (e.converged ? "" : " (not converged)");
}

void say_eigenvalues(Command& command, const std::string& name, const EigenResult& r) {
  command.say(name + " (" + std::to_string(r.products) + " products):");
  for (const Eigenvalue& e : r.eigenvalues) command.say("  " + signed_text(e));
}

/// What backs the results, each sentence once.
void say_completeness(Command& command, const std::vector<std::pair<std::string, EigenResult>>& results) {
  std::vector<std::string> said;
  for (const auto& [which, r] : results)
    if (std::find(said.begin(), said.end(), r.completeness) == said.end()) {
      command.say(r.completeness);
      said.push_back(r.completeness);
    }
}

/// What the smallest known eigenvalue says of the curvature.
std::string curvature_verdict(const std::string& matrix, const EigenResult& r) {
  const Eigenvalue& e = r.eigenvalues.front();
  const std::string smallest =
      std::string(r.dense ? "the smallest eigenvalue is " : "the smallest eigenvalue found is ") +
      signed_text(e);
  if (e.value < -e.error_bound) return "negative curvature in the " + matrix + ": " + smallest;
  if (!e.converged)
    return "no negative curvature found in the " + matrix + ", but not converged: " + smallest;
  if (e.value <= e.error_bound)
    return "no negative curvature beyond the error bound in the " + matrix + ": " + smallest;
  return (r.dense ? "the " + matrix + " is positive definite: "
                  : "no negative curvature found in the " + matrix + ": ") +
         smallest;
}

void say_counts(Command& command, const EigenResult& all) {
  Index negative = 0, zero = 0;
  for (const Eigenvalue& e : all.eigenvalues) {
    negative += e.value < -e.error_bound ? 1 : 0;
    zero += std::abs(e.value) <= e.error_bound ? 1 : 0;
  }
  const auto total = static_cast<Index>(all.eigenvalues.size());
  command.say(
      std::to_string(negative) + " negative, " + std::to_string(zero) +
      " not distinguishable from zero (|lambda| <= " + number(all.eigenvalues.front().error_bound, 2) +
      "), " + std::to_string(total - negative - zero) + " positive, of P = " + std::to_string(total));
}

/// Refuses what --memory does not hold; returns what is left of it.
std::size_t check_memory(const Command& command, const std::string& option, Index P, double needed) {
  const auto memory = static_cast<double>(command.memory());
  if (needed > memory)
    throw InputError("--" + option + " with P = " + std::to_string(P) + " needs " + bytes_text(needed) +
                     ", --memory allows " + bytes_text(memory) +
                     (option == "full" ? ": use --largest and --smallest, or train fewer blocks"
                                       : ": ask for fewer eigenvalues, or train fewer blocks"));
  return static_cast<std::size_t>(memory - needed);
}

void body(Command& command) {
  command.options.add_options()                                                                        //
      ("largest", po::value<Index>()->default_value(0)->value_name("K"), "the K largest eigenvalues")  //
      ("smallest", po::value<Index>()->default_value(0)->value_name("K"),
       "the K smallest (most negative) eigenvalues")                        //
      ("full", po::bool_switch(), "the whole spectrum, by dense assembly")  //
      ("operator", po::value<std::string>()->default_value("hessian")->value_name("NAME"),
       "hessian, or gauss-newton: G = J^T J")                             //
      ("eigenvectors", po::bool_switch(), "write the eigenvectors, too")  //
      ("tolerance", po::value<double>()->default_value(1e-10, "1e-10")->value_name("T"),
       "converged when |A x - lambda x| <= T |A|")  //
      ("max-restarts", po::value<Index>()->default_value(300)->value_name("R"),
       "give up after so many restarts and say so");
  add_model_options(command);
  command.add_memory_option();
  if (!command.parse()) return;
  const Index largest = command.get<Index>("largest"), smallest = command.get<Index>("smallest");
  const bool full = command.get<bool>("full"), with_vectors = command.get<bool>("eigenvectors");
  const std::string name = command.get<std::string>("operator");
  if (name != "hessian" && name != "gauss-newton")
    throw InputError("--operator " + name + ": expected hessian or gauss-newton");
  if (largest == 0 && smallest == 0 && !full)
    throw InputError("nothing to compute: give --largest K, --smallest K or --full");
  EigenOptions options;
  options.tolerance = command.get<double>("tolerance");
  options.max_restarts = command.get<Index>("max-restarts");
  options.seed = command.seed();
  if (!(options.tolerance > 0 && options.tolerance < 1))
    throw InputError("--tolerance: expected a number in (0, 1)");
  if (options.max_restarts < 1 || options.max_restarts > 1000000)
    throw InputError("--max-restarts: expected 1 to 1000000");
  for (const char* option : {"tolerance", "max-restarts"})
    if (largest == 0 && smallest == 0 && command.given(option))
      throw InputError("--" + std::string(option) + ": without effect unless with --largest or --smallest");

  const Setup setup = read_setup(command);
  const Index P = setup.description.parameters;
  for (const char* option : {"largest", "smallest"})
    if (const Index k = command.get<Index>(option); k < 0 || k > P)
      throw InputError("--" + std::string(option) + " " + std::to_string(k) +
                       ": expected 1 to P = " + std::to_string(P));
  std::size_t left = command.memory();  // for what the products keep
  if (full) left = std::min(left, check_memory(command, "full", P, full_spectrum_bytes(P, with_vectors)));
  for (const auto& [option, k] : {std::pair<const char*, Index>{"largest", largest}, {"smallest", smallest}})
    if (k > 0) left = std::min(left, check_memory(command, option, P, extreme_eigenpairs_bytes(P, k)));
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));

  const Linearization<double> at = setup.linearize(left), twin_at = setup.linearize_twin();
  const auto make_operator =
      [&](const Linearization<double>& point) -> std::unique_ptr<const SelfAdjointOperator> {
    if (name == "hessian") return std::make_unique<HessianOperator>(point);
    return std::make_unique<GaussNewtonOperator>(point);
  };
  const auto A = make_operator(at), twin = make_operator(twin_at);
  options.twin = twin.get();

  std::vector<std::pair<std::string, EigenResult>> results;
  if (full)
    results.emplace_back("spectrum", full_spectrum(*A, with_vectors, options, command.progress("columns")));
  if (smallest > 0)
    results.emplace_back("smallest", extreme_eigenpairs(*A, End::smallest, smallest, options,
                                                        command.progress("smallest, products")));
  if (largest > 0)
    results.emplace_back("largest", extreme_eigenpairs(*A, End::largest, largest, options,
                                                       command.progress("largest, products")));

  // The verdict first: from the whole spectrum if it is there, else from the smallest.
  const EigenResult& first = results.front().second;
  const std::string matrix = name == "hessian" ? "Hessian" : "Gauss-Newton matrix";
  command.say(results.front().first == "largest"
                  ? "the largest eigenvalue found is " + signed_text(first.eigenvalues.front())
                  : curvature_verdict(matrix, first));
  for (const auto& [which, result] : results) {
    if (which == "spectrum")
      say_counts(command, result);
    else
      say_eigenvalues(command, which, result);
    write_eigenvalues(file, which, name, result);
    if (with_vectors) write_eigenvectors(file, which, result);
  }
  say_completeness(command, results);
  command.say("at loss f = " + number(at.loss(), 10) + ", |gradient| = " + number(at.gradient().norm(), 6));
  command.say(setup.text());
  write_frame(file, command, setup, kIntroduction.name, "Eigenvalues of the " + matrix,
              results.front().first);
  file.commit();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(kIntroduction, argc, argv, body);
}
