/// basin-hessian: the spectrum of the Hessian of the loss, of its Gauss-Newton and residual parts, and of
/// their blocks.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "basin/curvature/operators.h"
#include "basin/curvature/symmetries.h"
#include "basin/curvature/symmetry_count.h"
#include "basin/curvature/underflow.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/model/perturbation.h"
#include "basin/stationary/rounding.h"
#include "common/command/run.h"
#include "common/command/run_output.h"
#include "common/command/setup.h"
#include "common/spectrum/file.h"
#include "common/spectrum/product_journal.h"
#include "common/spectrum/summary.h"

using namespace basin;
using namespace basin::tools;

namespace {

const Introduction kIntroduction = {
    "basin-hessian",
    "the spectrum of the Hessian of the loss: ends, counts, density, and where it comes from",
    "PROBLEM.h5 -o RESULT.h5 [--largest K] [--smallest K] [--counts] [--density] [--norms] [--full] "
    "[options]",
    R"(Eigenpairs come from exact Hessian-vector products by restarted Lanczos (Spectra), with their multiplicities:
what was found is deflated, and fresh random blocks look for the rest until they find nothing. Every eigenvalue has
its residual and an error bound that covers residual and rounding: the matrix has an eigenvalue within that
distance. A sign is claimed only beyond the bound. Smallest means algebraically smallest, the most negative. Up to
P = 1000, and where the matrix is assembled anyway, eigenvalues come from a dense solver instead.

All is said of the whole matrix, or with --modulo-symmetries of its restriction to the complement of the symmetry
directions of the model (in which it does not change; see lib/curvature/MATHEMATICS.md), and by its name.

--counts tells how many eigenvalues are negative, zero and positive, of both: exactly, by inertia, while the matrix
fits --memory (8 P^2 bytes, twice; P = 27000 in 12 GB) and P <= --dense-limit, else of the restriction, from the
smallest eigenvalues. --density is stochastic Lanczos quadrature with error bars, --norms the norms of all blocks and
traces. --operator all does the same for the parts of H = G + R, G = J^T J: negative curvature comes from R alone.
--full assembles the matrix and finds all eigenvalues (16 P^2 bytes, 36 P^2 with eigenvectors).

With --resume every product goes to RESULT.h5.journal (8 P bytes each); a run that was killed and is started again with
the same command goes on from there and ends with the same bits.
)",
    R"(  basin-problem teacher -o problem.h5
  basin-hessian problem.h5 -o hessian.h5 --largest 3 --smallest 3 --counts --density --norms --operator all
)"};

/// What was asked for.
struct Request {
  Index largest, smallest, probes, steps, norm_probes, dense_limit;
  bool full, with_vectors, counts, density, norms, modulo;
  double count_tolerance, density_width;
  std::vector<std::string> matrices;
  EigenOptions eigen;
};

void add_options(Command& command) {
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
       "hessian; gauss-newton: G = J^T J; residual: H - G; or all of them")  //
      ("block", po::value<std::string>()->value_name("BLOCK"),
       "the diagonal block of one trained block, e.g. W_Q")  //
      ("modulo-symmetries", po::bool_switch(),
       "eigenvalues and density of the restriction to the complement of the symmetry directions, instead of "
       "the "
       "whole matrix")                                                    //
      ("eigenvectors", po::bool_switch(), "write the eigenvectors, too")  //
      ("tolerance", po::value<double>()->default_value(1e-10, "1e-10")->value_name("T"),
       "converged when |A x - lambda x| <= T |A|")  //
      ("max-restarts", po::value<Index>()->default_value(300)->value_name("R"),
       "give up after so many restarts and say so");
  command.add_options(Identity::none)("resume", po::bool_switch(),
                                      "keep products in OUTPUT.journal, and go on with those that are there");
  add_model_options(command);
  command.add_memory_option(Identity::whole);  // which decides what is dense
  command.add_assert_option(
      {{"converged", "all eigenpairs that were asked for are"},
       {"no-negative-curvature",
        "excluded by exact --counts or --full, modulo symmetries where these are counted"}});
}

void refuse_without(const Command& command, const std::vector<const char*>& options, bool used,
                    const std::string& unless) {
  for (const char* option : options)
    if (!used && command.given(option))
      throw InputError("--" + std::string(option) + ": without effect unless with " + unless);
}

Request read_request(const Command& command) {
  Request r{};
  r.largest = command.get<Index>("largest");
  r.smallest = command.get<Index>("smallest");
  r.full = command.get<bool>("full");
  r.with_vectors = command.get<bool>("eigenvectors");
  r.counts = command.get<bool>("counts");
  r.count_tolerance = command.get<double>("count-tolerance");
  r.dense_limit = command.get<Index>("dense-limit");
  r.density = command.get<bool>("density");
  r.probes = command.get<Index>("probes");
  r.steps = command.get<Index>("steps");
  r.density_width = command.get<double>("density-width");
  r.norms = command.get<bool>("norms");
  r.norm_probes = command.get<Index>("norm-probes");
  r.modulo = command.get<bool>("modulo-symmetries");
  r.eigen.tolerance = command.get<double>("tolerance");
  r.eigen.max_restarts = command.get<Index>("max-restarts");
  r.eigen.seed = command.seed();

  const auto name = command.get<std::string>("operator");
  if (name == "all")
    r.matrices = {"hessian", "gauss-newton", "residual"};
  else if (name == "hessian" || name == "gauss-newton" || name == "residual")
    r.matrices = {name};
  else
    throw InputError("--operator " + name + ": expected hessian, gauss-newton, residual or all");
  if (r.largest == 0 && r.smallest == 0 && !r.full && !r.counts && !r.density && !r.norms)
    throw InputError(
        "nothing to compute: give --largest K, --smallest K, --counts, --density, --norms or --full");
  if (!(r.eigen.tolerance > 0 && r.eigen.tolerance < 1))
    throw InputError("--tolerance " + command.text("tolerance") + ": expected a number in (0, 1)");
  if (r.eigen.max_restarts < 1 || r.eigen.max_restarts > 1000000)
    throw InputError("--max-restarts " + command.text("max-restarts") + ": expected 1 to 1000000");
  if (!(r.count_tolerance >= 0) || !std::isfinite(r.count_tolerance))
    throw InputError("--count-tolerance " + command.text("count-tolerance") +
                     ": expected a number above 0, or 0 for the default");
  if (r.dense_limit < 0)
    throw InputError("--dense-limit " + command.text("dense-limit") +
                     ": expected a number of parameters, 0 or more");
  r.eigen.dense_limit = std::min(r.eigen.dense_limit, r.dense_limit);
  if (!(r.density_width >= 0 && r.density_width <= 1e150))  // whose square is a number
    throw InputError("--density-width " + command.text("density-width") +
                     ": expected a number above 0, up to 1e150, or 0 for the default");
  if (r.probes < 1 || r.probes > 100000)
    throw InputError("--probes " + command.text("probes") + ": expected 1 to 100000");
  if (r.steps < 2 || r.steps > 100000)
    throw InputError("--steps " + command.text("steps") + ": expected 2 to 100000");
  // A standard error from fewer says nothing.
  if (r.norm_probes < 5 || r.norm_probes > 100000)
    throw InputError("--norm-probes " + command.text("norm-probes") + ": expected 5 to 100000");
  const bool pairs = r.largest != 0 || r.smallest != 0;
  refuse_without(command, {"tolerance", "max-restarts", "dense-limit"}, pairs || r.counts,
                 "--largest, --smallest or --counts");
  refuse_without(command, {"count-tolerance"}, r.counts, "--counts");
  refuse_without(command, {"probes", "steps", "density-width"}, r.density, "--density");
  refuse_without(command, {"norm-probes"}, r.norms, "--norms");
  refuse_without(command, {"modulo-symmetries"}, pairs || r.full || r.density,
                 "--largest, --smallest, --full or --density");
  refuse_without(command, {"eigenvectors"}, pairs || r.full, "--largest, --smallest or --full");
  return r;
}

/// The setup with one block of it trained: the Hessian of that is the diagonal block.
void restrict_to_block(const Command& command, Setup& setup) {
  const auto block = command.get<std::string>("block");
  const auto& entries = setup.parameters().entries();
  const auto found =
      std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return e.block.name == block; });
  if (found == entries.end() || !found->trainable())
    throw InputError("--block " + block + ": expected one of the trained blocks, " + setup.trainable());
  setup.point = setup.point.with_trainable({block});
}

/// Decides what is dense and how much memory is left for what the products keep.
class MemoryPlan {
 public:
  MemoryPlan(const Command& command, Request& r, Index P)
      : memory_(static_cast<double>(command.memory())), P_(P) {
    const auto size = static_cast<double>(P);
    if (r.full) need("full", full_spectrum_bytes(P, r.with_vectors));
    dense_counts = r.counts && P <= r.dense_limit && 2 * dense_counts_bytes(P) <= memory_;
    if (dense_counts) need("counts", 2 * dense_counts_bytes(P));
    const double beside_matrix = full_spectrum_bytes(P, r.with_vectors) + 8 * size * size;
    if (dense_counts && r.full) need("full", beside_matrix);
    // Where all eigenvectors would have to be computed for those of the ends, products are cheaper.
    ends_from_matrix = (dense_counts || r.full) && (r.smallest > 0 || r.largest > 0) &&
                       beside_matrix <= memory_ && (r.full || !r.with_vectors || P <= r.eigen.dense_limit);
    if (ends_from_matrix) need("full", beside_matrix);
    const Index count_pairs =
        r.counts && !dense_counts ? std::min<Index>(std::max<Index>(r.smallest, 6), P) : 0;
    const Index smallest = std::max(r.smallest, count_pairs);
    if (!ends_from_matrix && (smallest > 0 || r.largest > 0)) {
      const auto bytes = [&] { return extreme_eigenpairs_bytes(P, smallest, r.largest, r.eigen); };
      if (bytes() > memory_) r.eigen.dense_limit = 0;
      while (r.eigen.krylov_vectors > 24 && bytes() > memory_ / 2) r.eigen.krylov_vectors -= 8;
      while (r.eigen.probe_steps > 6 && bytes() > memory_) --r.eigen.probe_steps;
      need(r.largest > 0 ? "largest" : r.smallest > 0 ? "smallest" : "counts", bytes());
    }
    if (r.norms && !(r.full || dense_counts))
      need("norms", estimated_traces_bytes(P, std::min(P, r.norm_probes)));
    if (r.density) {
      quadrature = {r.probes, r.steps, r.eigen.seed, r.probes};
      while (quadrature.at_once > 1 && lanczos_quadrature_bytes(P, quadrature) > memory_ / 2)
        quadrature.at_once = (quadrature.at_once + 1) / 2;
      need("density", lanczos_quadrature_bytes(P, quadrature));
    }
  }
  bool dense_counts = false;
  bool ends_from_matrix = false;  ///< the matrix is assembled anyway
  QuadratureOptions quadrature;
  std::size_t left() const { return static_cast<std::size_t>(memory_ - most_); }

 private:
  void need(const std::string& option, double bytes) {
    if (bytes > memory_)
      throw InputError("--" + option + " with P = " + std::to_string(P_) + " needs " + bytes_text(bytes) +
                       ", --memory allows " + bytes_text(memory_) +
                       (option == "full" ? ": use --largest and --smallest, or train fewer blocks"
                                         : ": ask for fewer eigenvalues or probes, or train fewer blocks"));
    most_ = std::max(most_, bytes);
  }
  double memory_, most_ = 0;
  Index P_;
};

/// H, G and H - G at a point, their products in the journal if there is one.
class Operators {
 public:
  Operators(const Linearization<double>& at, double underflow, ProductJournal* journal, std::uint64_t number)
      : hessian_(at, underflow), gauss_newton_(at, underflow) {
    if (journal != nullptr) {
      recorded_.push_back(std::make_unique<RecordedOperator>(hessian_, *journal, number));
      recorded_.push_back(std::make_unique<RecordedOperator>(gauss_newton_, *journal, number + 1));
    }
    residual_ = std::make_unique<DifferenceOperator>(get("hessian"), get("gauss-newton"));
  }
  const SelfAdjointOperator& get(const std::string& matrix) const {
    if (matrix == "residual") return *residual_;
    const bool hessian = matrix == "hessian";
    if (!recorded_.empty()) return *recorded_[hessian ? 0 : 1];
    if (hessian) return hessian_;
    return gauss_newton_;
  }

 private:
  HessianOperator hessian_;
  GaussNewtonOperator gauss_newton_;
  std::vector<std::unique_ptr<RecordedOperator>> recorded_;
  std::unique_ptr<DifferenceOperator> residual_;
};

/// The same, and those of perturbed points.
class PerturbedOperators {
 public:
  PerturbedOperators(const ModelPoint<double>& point, const Linearization<double>& at,
                     ProductJournal* journal)
      : perturbed_at_(linearize_perturbed(point)),
        underflow_(product_underflow(point)),
        here_(at, underflow_, journal, 0),
        uncounted_(at, underflow_, nullptr, 0) {
    for (const Linearization<double>& other : perturbed_at_)
      perturbed_.push_back(
          std::make_unique<const Operators>(other, underflow_, journal, 2 * perturbed_.size() + 2));
  }
  const SelfAdjointOperator& get(const std::string& matrix) const { return here_.get(matrix); }
  FarthestPerturbed farthest(const std::string& matrix) const {
    std::vector<const SelfAdjointOperator*> others;
    for (const auto& other : perturbed_) others.push_back(&other->get(matrix));
    return {uncounted_.get(matrix), std::move(others)};
  }

 private:
  std::vector<Linearization<double>> perturbed_at_;
  double underflow_;
  Operators here_, uncounted_;
  std::vector<std::unique_ptr<const Operators>> perturbed_;
};

/// All that was asked for, of one matrix.
class Analysis {
 public:
  Analysis(const Command& command, const Request& request, const MemoryPlan& plan,
           const Symmetries* symmetries, const SelfAdjointOperator& A, const SelfAdjointOperator& perturbed,
           const ParameterLayout& parameters)
      : command_(command),
        request_(request),
        plan_(plan),
        symmetries_(symmetries),
        A_(A),
        perturbed_(perturbed),
        parameters_(parameters) {}

  SpectrumResults run(const std::string& matrix) {
    results_.matrix = matrix;
    if (command_.given("block")) results_.block = command_.get<std::string>("block");
    title_ = matrix_title(results_, removed());
    const Request& r = request_;
    ExtremeEigenpairs found;
    if (r.full || plan_.dense_counts) found = from_matrix();
    if (!plan_.ends_from_matrix) found = pairs(r.smallest, r.largest, removed());
    if (r.counts && results_.counts.empty()) count_by_pairs(r.smallest > 0 ? &found.smallest : nullptr);
    if (r.smallest > 0) results_.eigenvalues.emplace_back("smallest", std::move(found.smallest));
    if (r.largest > 0) results_.eigenvalues.emplace_back("largest", std::move(found.largest));
    if (r.density) {
      results_.quadrature = quadrature(removed(), plan_.quadrature);
      results_.density = density_curve(*results_.quadrature, DensityAxis::linear, 400, r.density_width);
    }
    if (r.norms && !results_.norms) estimated_norms();
    find_ends();
    return std::move(results_);
  }

 private:
  Index modes() const { return symmetries_ != nullptr ? symmetries_->modes() : 0; }
  /// Directions that are set aside in eigenvalues and density.
  Index removed() const { return request_.modulo ? modes() : 0; }
  Removal removal() const {
    return [s = symmetries_](VectorsRef<double> V) {
      if (s != nullptr) s->remove(V);
    };
  }

  /// What the assembled matrix tells, and the ends where it does.
  ExtremeEigenpairs from_matrix() {
    const Request& r = request_;
    AssembledMatrix assembled =
        assembled_matrix(A_, &perturbed_, r.eigen.seed, command_.progress(title_ + ", columns"));
    if (r.norms) {
      results_.traces = traces_of(assembled);
      results_.norms = block_norms_of(assembled, blocks());
    }
    ExtremeEigenpairs ends;
    if (r.full || plan_.ends_from_matrix) {
      EigenResult spectrum = full_spectrum(assembled, r.with_vectors, removal(), removed());
      const Index left = A_.rows() - removed();
      if (plan_.ends_from_matrix)
        ends = ends_of_spectrum(spectrum, std::min(r.smallest, left), std::min(r.largest, left));
      spectrum_ = ends_of_spectrum(spectrum, 1, 1);
      if (r.full) results_.eigenvalues.emplace_back("spectrum", std::move(spectrum));
    }
    if (plan_.dense_counts) count_densely(std::move(assembled));
    return ends;
  }

  ExtremeEigenpairs pairs(Index smallest, Index largest, Index removed) const {
    if (smallest == 0 && largest == 0) return {};
    EigenOptions options = request_.eigen;
    options.perturbed = &perturbed_;
    return restricted_eigenpairs(A_, removal(), removed, smallest, largest, options,
                                 command_.progress(title_ + ", eigenpairs, products (more if restarted)"));
  }

  LanczosQuadrature quadrature(Index removed, QuadratureOptions options) const {
    options.perturbed = &perturbed_;
    return lanczos_quadrature(A_, removal(), removed, options, command_.progress(title_ + ", density"));
  }

  void count_densely(AssembledMatrix assembled) {
    constexpr Index kTakesLong = 2000;
    const double tolerance = request_.count_tolerance;
    const auto factorise = [&](const std::string& of) {
      if (assembled.size() > kTakesLong)
        command_.message(title_ + ": two factorisations of the assembled matrix" + of +
                         ", P = " + std::to_string(assembled.size()) + " ...");
    };
    factorise("");
    results_.counts.push_back(dense_counts(assembled, removal(), 0, tolerance));
    if (modes() == 0) return;
    factorise(" modulo symmetries");
    results_.counts.push_back(dense_counts(std::move(assembled), removal(), modes(), tolerance));
  }

  void count_by_pairs(const EigenResult* smallest) {
    if (smallest == nullptr || smallest->requested < 6 || smallest->removed != modes()) {
      const Index count = std::min<Index>(std::max<Index>(request_.smallest, 6), A_.rows() - modes());
      counted_ = pairs(count, 0, modes()).smallest;
      smallest = &counted_;
    }
    results_.counts.push_back(krylov_counts(*smallest, A_.rows(), modes(), request_.count_tolerance));
  }

  /// Both ends of the matrix that was asked for, as far as they are known, for the verdict. What is not comes
  /// from some Lanczos steps.
  void find_ends() {
    SpectrumResults& r = results_;
    const bool only_counts =
        r.eigenvalues.empty() && !r.quadrature && !r.norms && !counted_.eigenvalues.empty();
    r.removed = only_counts ? counted_.removed : removed();
    if (r.removed == A_.rows()) {  // symmetry leaves nothing
      r.smallest.value = r.smallest.error = r.largest.value = r.largest.error = std::nan("");
      return;
    }
    bool have_smallest = false, have_largest = false;
    const auto take = [&](const EigenResult* from, SpectrumEnd& end, bool& have) {
      if (have || from == nullptr || from->eigenvalues.empty() || from->removed != r.removed) return;
      const Eigenvalue& e = from->eigenvalues.front();
      end = {e.value, e.error_bound, true, e.converged};
      have = true;
    };
    take(&spectrum_.smallest, r.smallest, have_smallest);
    take(&spectrum_.largest, r.largest, have_largest);
    take(find(r, "smallest"), r.smallest, have_smallest);
    take(find(r, "largest"), r.largest, have_largest);
    take(&counted_, r.smallest, have_smallest);
    if (have_smallest && have_largest) return;
    constexpr Index kSteps = 40;
    const bool known = r.quadrature && r.quadrature->removed == r.removed;
    const LanczosQuadrature q =
        known ? *r.quadrature : quadrature(r.removed, {1, kSteps, request_.eigen.seed, 1});
    if (!have_smallest) r.smallest = {q.lowest(), q.rounding, false, true};
    if (!have_largest) r.largest = {q.highest(), q.rounding, false, true};
  }

  std::vector<BlockRange> blocks() const {
    std::vector<BlockRange> ranges;
    for (const auto& e : parameters_.entries())
      if (e.trainable()) ranges.push_back({e.block.name, e.theta_offset, e.block.size()});
    return ranges;
  }
  void estimated_norms() {
    const Request& r = request_;
    const Vector<double> rounding = row_rounding(A_, &perturbed_, r.eigen.seed);
    results_.traces =
        estimated_traces(A_, rounding, r.norm_probes, r.eigen.seed, command_.progress(title_ + ", trace"));
    results_.norms = estimated_block_norms(A_, rounding, blocks(), r.norm_probes, r.eigen.seed,
                                           command_.progress(title_ + ", norms of blocks"));
  }

  const Command& command_;
  const Request& request_;
  const MemoryPlan& plan_;
  const Symmetries* symmetries_;
  const SelfAdjointOperator &A_, &perturbed_;
  const ParameterLayout& parameters_;
  SpectrumResults results_;
  ExtremeEigenpairs spectrum_;  ///< the outermost eigenvalues, where all were computed
  EigenResult counted_;         ///< the smallest ones that were computed to be counted
  std::string title_;
};

/// What makes a run what it is.
Specification specification_of(const Command& command, const Setup& setup) {
  const hdf5::Provenance p = command.provenance(setup.input, setup.input_sha256);
  Specification s = {{"program", p.program + " " + p.version}, {"problem", p.input_sha256}};
  const Specification options = command.identity();
  s.insert(s.end(), options.begin(), options.end());
  return s;
}

std::unique_ptr<ProductJournal> open_journal(const Command& command, const Specification& specification) {
  const std::string path = journal_of(command.output());
  if (command.get<bool>("resume")) return std::make_unique<ProductJournal>(path, specification);
  if (access(path.c_str(), F_OK) == 0)
    throw InputError(path + ": an unfinished run has left its journal; go on with --resume, or delete it");
  return nullptr;
}

void write_symmetries(hdf5::Writer& file, const Symmetries& symmetries, const Setup& setup) {
  std::vector<std::string> names;
  std::vector<std::int64_t> dimensions;
  for (const auto& [name, dimension] : symmetries.table()) {
    names.push_back(name);
    dimensions.push_back(dimension);
  }
  const std::string group = "/entry/symmetries";
  file.group(group, "NXcollection");
  file.write(group + "/family", names, {static_cast<Index>(names.size())});
  file.write(group + "/modes", dimensions);
  file.write(group + "/total", static_cast<std::int64_t>(symmetries.modes()));
  file.write(group + "/generic_count",
             static_cast<std::int64_t>(symmetry_count(setup.point, data_features(*setup.point.data))));
  file.write(group + "/left_out", symmetries.left_out());
}

std::string symmetry_text(const Symmetries& symmetries) {
  std::string text = std::to_string(symmetries.modes()) + " symmetry modes";
  std::string separator = ": ";
  for (const auto& [name, dimension] : symmetries.table()) {
    text += separator + name + " " + std::to_string(dimension);
    separator = ", ";
  }
  return text + (symmetries.left_out().empty() ? "" : "; left out: " + symmetries.left_out());
}

/// Whether the point is stationary. `rounding`: of loss and gradient, with what underflows.
Stationarity stationarity_at(const Setup& setup, const Linearization<double>& at,
                             const SelfAdjointOperator& gauss_newton, std::uint64_t seed,
                             Rounding& rounding) {
  const Matrix<double>& Y = setup.point.data->Y;
  rounding = rounding_at(at);
  rounding.loss += gauss_newton.underflow();
  rounding.gradient += gauss_newton.underflow();
  Stationarity s;
  s.gradient = at.gradient().stableNorm();
  s.gradient_error = rounding.gradient;
  s.residual = at.residual().stableNorm();
  s.residual_error = rounding.residual;
  const double J_square = at.loss_facts().quadratic ? norm_estimate(gauss_newton, seed)  // J^T J
                                                    : norm_estimate(NtkOperator(at), seed);
  s.largest_gradient = std::sqrt(J_square) * s.residual;
  s.attainable = at.loss_facts().attained;
  s.quadratic = at.loss_facts().quadratic;
  s.targets = Y.stableNorm();
  s.theta = setup.point.theta().stableNorm();
  return s;
}

void check_numbers(const Command& command, Index P) {
  for (const char* option : {"largest", "smallest"})
    if (const Index k = command.get<Index>(option); k < 0 || k > P)
      throw InputError("--" + std::string(option) + " " + std::to_string(k) +
                       ": expected 1 to P = " + std::to_string(P));
}

/// Those that are set aside or counted; nothing where they are not asked for.
std::unique_ptr<const Symmetries> symmetries_for(const Request& request, const Setup& setup) {
  if (!request.counts && !request.modulo) return nullptr;
  const Index P = setup.point.theta_size();
  auto symmetries = std::make_unique<const Symmetries>(setup.point);
  if (request.modulo && symmetries->modes() >= P)
    throw InputError("--modulo-symmetries: all " + std::to_string(P) + " directions are symmetries");
  return symmetries;
}

void give_verdicts(Command& command, const std::vector<SpectrumResults>& all, const Stationarity& point) {
  command.say(curvature_verdict(all.front(), &point));
  command.verdict("no-negative-curvature", has_no_negative_curvature(all.front()));
  command.verdict("converged", std::all_of(all.begin(), all.end(), [](const SpectrumResults& r) {
                    return std::all_of(r.eigenvalues.begin(), r.eigenvalues.end(),
                                       [](const auto& e) { return e.second.all_converged(); });
                  }));
}

/// What viewers show of a matrix: the name of a group.
std::string picture_of(const SpectrumResults& r) {
  return r.quadrature             ? "density"
         : !r.eigenvalues.empty() ? r.eigenvalues.front().first
         : r.norms                ? "block_norms"
                                  : "signs";
}

void write_point(hdf5::Writer& file, const SpectrumResults& first, double loss, double loss_error,
                 const Stationarity& point) {
  file.write("/entry/matrix", first.matrix);
  file.write("/entry/block", first.block);
  file.write("/entry/loss", loss);
  file.write("/entry/loss_error", loss_error);
  file.write("/entry/gradient_norm", point.gradient);
  file.write("/entry/gradient_error", point.gradient_error);
  file.write("/entry/largest_gradient", point.largest_gradient);
}

void body(Command& command) {
  add_options(command);
  if (!command.parse()) return;
  Request request = read_request(command);
  RunOutput output(command, command.output(), "/entry/provenance");
  Setup setup = read_setup(command);
  if (command.given("block")) restrict_to_block(command, setup);
  check_numbers(command, setup.point.theta_size());
  const MemoryPlan plan(command, request, setup.point.theta_size());
  const Specification specification = specification_of(command, setup);
  output.check(specification);
  const std::unique_ptr<ProductJournal> journal = open_journal(command, specification);
  if (output.finished()) {
    journal->remove();
    return command.message(output.path() + " is finished");
  }

  const Linearization<double> at = setup.point.linearize({.memory = plan.left()});
  const PerturbedOperators operators(setup.point, at, journal.get());
  const std::unique_ptr<const Symmetries> symmetries = symmetries_for(request, setup);
  std::vector<SpectrumResults> all;
  for (const std::string& matrix : request.matrices) {
    const FarthestPerturbed farthest = operators.farthest(matrix);
    Analysis analysis(command, request, plan, symmetries.get(), operators.get(matrix), farthest,
                      setup.parameters());
    all.push_back(analysis.run(matrix));
    all.back().gauss_newton = at.loss_facts().quadratic ? "J^T J" : "J^T H_l J";
    all.back().convex = at.loss_facts().convex;
  }

  Rounding rounding;
  const Stationarity point =
      stationarity_at(setup, at, operators.get("gauss-newton"), command.seed(), rounding);
  give_verdicts(command, all, point);
  if (symmetries) command.say(symmetry_text(*symmetries));
  hdf5::Writer file(output.path(), output.may_replace());
  for (const SpectrumResults& r : all) {
    if (&r != &all.front()) command.say("-- " + curvature_verdict(r));
    say_results(command, r);
    write_results(file, &r == &all.front() ? "/entry" : "/entry/parts/" + r.matrix, r, request.with_vectors);
  }
  if (symmetries) write_symmetries(file, *symmetries, setup);
  write_point(file, all.front(), at.loss(), rounding.loss, point);
  if (journal && journal->replayed() > 0)
    command.message(std::to_string(journal->replayed()) + " products were in the journal, " +
                    std::to_string(journal->computed()) + " were computed");
  command.say("at loss f = " + with_error(at.loss(), rounding.loss) +
              ", |grad f| = " + with_error(point.gradient, point.gradient_error));
  command.say(setup.text());
  write_frame(file, command, setup, kIntroduction.name,
              "Spectrum of the " + matrix_title(all.front(), all.front().removed), picture_of(all.front()));
  write_specification(file, "/entry/provenance", specification);
  file.commit();
  if (journal) journal->remove();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(kIntroduction, argc, argv, body);
}
