/// Spectra of any symmetric operator.
#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include <chrono>
#include <limits>
#include <optional>

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/linalg/orthogonal.h"
#include "basin/spectrum/counts.h"
#include "basin/spectrum/operator_noise.h"
#include "basin/spectrum/plan.h"
#include "basin/spectrum/trace.h"
#include "native/operators.h"

namespace basin::python {
namespace {

/// What every question about a spectrum says.
struct Question {
  std::shared_ptr<BoundOperator> of;
  std::optional<Rows> set_aside;  ///< directions, (m, size)
  std::shared_ptr<BoundOperator> reference;
  double relative_error = 0;
  double most_asymmetry = 0;
  std::uint64_t seed = 0;
  double memory = 0;    ///< bytes
  py::object progress;  ///< called with (done, total), or None
};

/// Progress of ours, told to Python a few times a second, if it wants to know; signals are looked at in any
/// case.
Progress told(const py::object& to) {
  using Clock = std::chrono::steady_clock;
  return [listener = py::handle(to), next = Clock::time_point()](Index done, Index total) mutable {
    if (done < total && Clock::now() < next) return;
    next = Clock::now() + std::chrono::milliseconds(200);
    raise_signals();
    if (listener.is_none()) return;
    const py::gil_scoped_acquire gil;
    const CallersThreads theirs;
    listener(done, total);
  };
}

/// The operator of a question, measured where somebody else computes it, and the space that is set aside.
class Subject {
 public:
  explicit Subject(const Question& asked)
      : asked_(asked), A_(asked.of->get()), products_before_(A_.products()) {
    if (A_.rows() < 1) throw InputError("size: found 0, expected at least 1");
    perturbed_ = asked.of->perturbed();
    if (perturbed_ == nullptr) {
      perturbed_ = &again_.emplace(A_, asked.seed);
      const OperatorNoise& noise = again_->noise();
      if (noise.nonlinearity > asked.most_asymmetry * noise.scale)
        throw InputError("the operator is not linear: A(x + y) and A x + A y differ by about " +
                         number(noise.nonlinearity / noise.scale) + " |A x|, expected at most " +
                         number(asked.most_asymmetry) +
                         "; if that is its precision, say symmetry_tolerance=");
      if (noise.asymmetry > asked.most_asymmetry * noise.scale)
        throw InputError("the operator is not symmetric: |A - A^T|_F is about " +
                         number(2 * noise.asymmetry / noise.scale) + " |A|_F, expected at most " +
                         number(2 * asked.most_asymmetry) +
                         "; if that is its precision, say symmetry_tolerance=");
    }
    if (asked.relative_error > 0) true_distance_ = asked.relative_error * 1.2 * norm_estimate(A_, asked.seed);
    if (asked.set_aside) {
      const auto V = block_of(*asked.set_aside, A_.rows(), "deflate");
      if (!V.allFinite()) throw InputError("deflate: found numbers that are not finite");
      Vectors<double> basis = V;
      const Index count = orthonormalise(Vectors<double>(A_.rows(), 0), basis).count;
      space_ = basis.leftCols(count);
      remove_ = removal_of(space_);
    }
  }
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  const SelfAdjointOperator& get() const { return A_; }
  const SelfAdjointOperator* perturbed() const { return perturbed_; }
  const Removal& remove() const { return remove_; }
  Index removed() const { return space_.cols(); }
  Index left() const { return A_.rows() - removed(); }
  Index products() const { return A_.products() - products_before_; }
  /// A bound on the norm of the difference to the true operator; 0: none is known.
  double true_distance() const { return true_distance_; }
  const OperatorNoise* noise() const { return again_ ? &again_->noise() : nullptr; }

  /// No residual goes below what products are off, in unit vectors and relative to |A|.
  double reachable(double tolerance) const {
    if (!again_ || again_->noise().scale == 0) return tolerance;
    const double norm = norm_estimate(A_, asked_.seed);
    const double off = again_->noise().total() / std::sqrt(static_cast<double>(A_.rows()));
    return std::max(tolerance, 10 * off / norm);
  }

  SpectrumPlan plan(const SpectrumRequest& request) const {
    SpectrumPlan plan = plan_spectrum(request, A_.rows(), asked_.memory);
    if (const SpectrumPlan::Need* need = plan.beyond(asked_.memory))
      throw InputError(need->of + " of " + std::to_string(A_.rows()) + " rows needs " +
                       bytes_text(need->bytes) + ", memory= allows " + bytes_text(asked_.memory));
    return plan;
  }

  static std::string number(double value) {
    std::ostringstream out;
    out.precision(3);
    out << value;
    return out.str();
  }

 private:
  const Question& asked_;
  const SelfAdjointOperator& A_;
  Index products_before_;
  const SelfAdjointOperator* perturbed_ = nullptr;
  std::optional<ReevaluatedOperator> again_;
  Vectors<double> space_;
  Removal remove_;
  double true_distance_ = 0;
};

void tell(py::dict& to, const Subject& subject) {
  to["size"] = subject.get().rows();
  to["removed"] = subject.removed();
  to["products"] = subject.products();
  if (const OperatorNoise* const noise = subject.noise()) {
    py::dict measured;
    measured["scale"] = noise->scale;
    measured["asymmetry"] = noise->asymmetry;
    measured["spread"] = noise->spread;
    measured["rounding"] = noise->rounding;
    measured["nonlinearity"] = noise->nonlinearity;
    to["noise"] = measured;
  } else {
    to["noise"] = py::none();
  }
}

py::object known(double value) {
  if (std::isfinite(value)) return py::float_(value);
  return py::none();
}

struct MeasuredPairs {
  EigenResult pairs;
  std::optional<Vector<double>> distances;  ///< of A x from that of the true operator
};

/// How far the products with the pairs' vectors are from those of the true operator.
std::optional<Vector<double>> distances_to_truth(const Question& asked, const Subject& subject,
                                                 const EigenResult& pairs) {
  std::optional<Vector<double>> distances;
  const Vectors<double>& X = pairs.eigenvectors;
  if (subject.true_distance() > 0) distances = Vector<double>::Constant(X.cols(), subject.true_distance());
  if (asked.reference && X.cols() > 0) {
    const SelfAdjointOperator& R = asked.reference->get();
    Vectors<double> AX(X.rows(), X.cols()), RX(X.rows(), X.cols());
    subject.get().apply(X, AX);
    R.apply(X, RX);
    const Vector<double> apart =
        column_norms(AX - RX) + product_rounding(R, asked.reference->perturbed(), X, RX);
    distances = distances ? apart.cwiseMin(*distances) : apart;
  }
  return distances;
}

py::dict told_pairs(MeasuredPairs&& end) {
  EigenResult& e = end.pairs;
  const auto count = static_cast<Index>(e.eigenvalues.size());
  Vector<double> values(count), residuals(count), bounds(count),
      truth = Vector<double>::Constant(count, kNaN);
  py::array_t<bool> converged(count);
  for (Index i = 0; i < count; ++i) {
    const Eigenvalue& of = e.eigenvalues[i];
    values[i] = of.value;
    residuals[i] = of.residual;
    bounds[i] = of.error_bound;
    if (end.distances) truth[i] = of.error_bound + (*end.distances)[i];
    converged.mutable_at(i) = of.converged;
  }
  py::dict d;
  d["values"] = numbers_of(values);
  d["residuals"] = numbers_of(residuals);
  d["error_bounds"] = numbers_of(bounds);
  d["true_error_bounds"] = numbers_of(truth);
  d["converged"] = converged;
  d["joint_bound"] = e.joint_bound;
  d["no_more_beyond"] = known(e.no_more_beyond);
  d["resolution"] = e.resolution;
  d["resolved"] = e.resolved;
  d["dense"] = e.dense;
  d["method"] = e.method;
  d["completeness"] = e.completeness;
  d["vectors"] = rows_of(std::move(e.eigenvectors));
  return d;
}

py::dict eigenpairs(const Question& asked, Index smallest, Index largest, double tolerance,
                    Index max_restarts, Index dense_limit) {
  MeasuredPairs low, high;
  py::dict result;
  std::optional<Subject> subject;
  {
    const Progress progress = told(asked.progress);
    const Working work(asked.of->lock(), (asked.reference ? asked.reference : asked.of)->lock());
    subject.emplace(asked);
    for (const Index count : {smallest, largest})
      if (count < 0 || count > subject->left() || smallest + largest == 0)
        throw InputError("smallest=, largest=: found " + std::to_string(count) + ", expected 0 to " +
                         std::to_string(subject->left()) + ", and not 0 of both");
    SpectrumRequest request;
    request.smallest = smallest;
    request.largest = largest;
    request.with_vectors = true;
    request.eigen.tolerance = subject->reachable(tolerance);
    request.eigen.max_restarts = max_restarts;
    request.eigen.dense_limit = dense_limit;
    request.eigen.seed = asked.seed;
    EigenOptions options = subject->plan(request).eigen;
    options.perturbed = subject->perturbed();
    ExtremeEigenpairs found = restricted_eigenpairs(subject->get(), subject->remove(), subject->removed(),
                                                    smallest, largest, options, progress);
    low.pairs = std::move(found.smallest);
    high.pairs = std::move(found.largest);
    low.distances = distances_to_truth(asked, *subject, low.pairs);
    high.distances = distances_to_truth(asked, *subject, high.pairs);
  }
  tell(result, *subject);
  if (smallest > 0) result["smallest"] = told_pairs(std::move(low));
  if (largest > 0) result["largest"] = told_pairs(std::move(high));
  return result;
}

/// A bound on the norm of the difference to the true operator; without one its estimate, from the reference.
double distance_or_estimate(const Question& asked, const Subject& subject) {
  if (subject.true_distance() > 0 || !asked.reference) return subject.true_distance();
  constexpr double kAllowance = 1.5;  // the power method comes from below
  return kAllowance * norm_estimate(DifferenceOperator(subject.get(), asked.reference->get()), asked.seed);
}

py::dict counts(const Question& asked, double tolerance, Index pairs, Index max_restarts, Index dense_limit) {
  EigenvalueCounts c;
  std::optional<Subject> subject;
  {
    const Progress progress = told(asked.progress);
    const Working work(asked.of->lock(), (asked.reference ? asked.reference : asked.of)->lock());
    subject.emplace(asked);
    if (subject->left() < 1)
      throw InputError("deflate: the directions span the space; nothing is left to count");
    SpectrumRequest request;
    request.counts = true;
    request.dense_limit = dense_limit;
    request.smallest = std::min(std::max(pairs, kFewestToCount), subject->left());
    request.eigen.tolerance = subject->reachable(1e-10);
    request.eigen.max_restarts = max_restarts;
    request.eigen.seed = asked.seed;
    const SpectrumPlan plan = subject->plan(request);
    const double distance = distance_or_estimate(asked, *subject);
    if (plan.dense_counts) {
      AssembledMatrix matrix = assembled_matrix(subject->get(), subject->perturbed(), asked.seed, progress);
      matrix.rounding += distance;
      c = dense_counts(std::move(matrix), subject->remove(), subject->removed(), tolerance);
    } else {
      EigenOptions options = plan.eigen;
      options.perturbed = subject->perturbed();
      EigenResult smallest = restricted_eigenpairs(subject->get(), subject->remove(), subject->removed(),
                                                   request.smallest, 0, options, progress)
                                 .smallest;
      for (Eigenvalue& e : smallest.eigenvalues) e.error_bound += distance;
      smallest.resolution += distance;
      const double reach =
          subject->removed() > 0 ? space_reach(subject->get(), subject->remove(), asked.seed) : 0;
      c = krylov_counts(smallest, subject->get().rows(), subject->removed(), tolerance, reach);
    }
  }
  py::dict result;
  tell(result, *subject);
  result["negative"] = c.negative;
  result["zero"] = c.zero;
  result["positive"] = c.positive;
  result["negative_exact"] = c.negative_exact;
  result["zero_exact"] = c.zero_exact;
  result["tolerance"] = c.tolerance;
  result["tolerance_reason"] = c.tolerance_reason;
  result["rounding"] = c.rounding;
  result["reach"] = c.reach;
  result["method"] = c.method;
  result["completeness"] = c.completeness;
  return result;
}

py::dict told_curve(const DensityCurve& curve) {
  py::dict d;
  d["eigenvalue"] = numbers_of(curve.eigenvalue);
  d["density"] = numbers_of(curve.density);
  d["noise"] = numbers_of(curve.noise);
  d["truncation"] = numbers_of(curve.truncation);
  d["width"] = curve.width;
  d["scale"] = curve.scale;
  return d;
}

py::tuple told_mass(const Mass& mass) {
  return py::make_tuple(mass.value, mass.lower, mass.upper);
}

py::dict density(const Question& asked, Index probes, Index steps, double width) {
  LanczosQuadrature q;
  std::optional<Subject> subject;
  {
    const Progress progress = told(asked.progress);
    const Working work(asked.of->lock(), (asked.reference ? asked.reference : asked.of)->lock());
    subject.emplace(asked);
    SpectrumRequest request;
    request.density = true;
    request.quadrature.probes = probes;
    request.quadrature.steps = steps;
    request.quadrature.seed = asked.seed;
    QuadratureOptions options = subject->plan(request).quadrature;
    options.perturbed = subject->perturbed();
    q = lanczos_quadrature(subject->get(), subject->remove(), subject->removed(), options, progress);
  }
  py::dict result;
  tell(result, *subject);
  py::list nodes, weights;
  for (const ProbeRule& rule : q.probes) {
    nodes.append(numbers_of(rule.nodes));
    weights.append(numbers_of(rule.weights));
  }
  result["nodes"] = nodes;
  result["weights"] = weights;
  result["rounding"] = q.rounding;
  // Of the zero operator all is zero, and no number is beyond that.
  const double zero = std::max(resolved_threshold(q), std::numeric_limits<double>::min());
  result["threshold"] = zero;
  result["negative"] = told_mass(mass_below(q, -zero));
  const Mass below = mass_below(q, zero);
  result["positive"] = py::make_tuple(1 - below.value, 1 - below.upper, 1 - below.lower);
  result["linear"] = told_curve(density_curve(q, DensityAxis::linear, 400, width));
  result["symmetric_log"] = told_curve(density_curve(q, DensityAxis::symmetric_log));
  return result;
}

py::dict trace(const Question& asked, Index probes, Index dense_limit) {
  TraceEstimates t;
  std::optional<Subject> subject;
  {
    const Progress progress = told(asked.progress);
    const Working work(asked.of->lock(), (asked.reference ? asked.reference : asked.of)->lock());
    subject.emplace(asked);
    if (subject->removed() > 0) throw InputError("deflate: a trace is that of the whole operator");
    const bool dense = subject->get().rows() <= std::max<Index>(dense_limit, 4);  // too few for estimates
    const double bytes = dense ? full_spectrum_bytes(subject->get().rows(), false)
                               : estimated_traces_bytes(subject->get().rows(), probes);
    if (bytes > asked.memory)
      throw InputError("the trace needs " + bytes_text(bytes) + ", memory= allows " +
                       bytes_text(asked.memory));
    if (dense)
      t = traces_of(assembled_matrix(subject->get(), subject->perturbed(), asked.seed, progress));
    else
      t = estimated_traces(subject->get(), row_rounding(subject->get(), subject->perturbed(), asked.seed),
                           probes, asked.seed, progress);
  }
  py::dict result;
  tell(result, *subject);
  result["trace"] = py::make_tuple(t.trace.value, t.trace.error);
  result["frobenius"] = py::make_tuple(t.frobenius.value, t.frobenius.error);
  result["estimated"] = t.estimated;
  return result;
}

}  // namespace

void define_spectra(py::module_& m) {
  py::class_<Question>(m, "Question")
      .def(py::init([](std::shared_ptr<BoundOperator> of, const py::object& deflate,
                       std::shared_ptr<BoundOperator> reference, double relative_error, double most_asymmetry,
                       std::uint64_t seed, std::optional<double> memory, py::object progress) {
             if (reference && reference->size() != of->size())
               throw InputError("reference=: found an operator of size " + std::to_string(reference->size()) +
                                ", expected " + std::to_string(of->size()));
             return Question{
                 std::move(of),
                 deflate.is_none() ? std::nullopt : std::optional<Rows>(rows_from(deflate, "deflate")),
                 std::move(reference),
                 relative_error,
                 most_asymmetry,
                 seed,
                 memory.value_or(available_memory() / 2),
                 std::move(progress)};
           }),
           py::arg("of"), py::kw_only(), py::arg("deflate"), py::arg("reference"), py::arg("relative_error"),
           py::arg("most_asymmetry"), py::arg("seed"), py::arg("memory"), py::arg("progress"));
  m.def("eigenpairs", &eigenpairs, py::arg("question"), py::kw_only(), py::arg("smallest"),
        py::arg("largest"), py::arg("tolerance"), py::arg("max_restarts"), py::arg("dense_limit"));
  m.def("counts", &counts, py::arg("question"), py::kw_only(), py::arg("tolerance"), py::arg("pairs"),
        py::arg("max_restarts"), py::arg("dense_limit"));
  m.def("density", &density, py::arg("question"), py::kw_only(), py::arg("probes"), py::arg("steps"),
        py::arg("width"));
  m.def("trace", &trace, py::arg("question"), py::kw_only(), py::arg("probes"), py::arg("dense_limit"));
}

}  // namespace basin::python
