/// Problems at a point: loss, gradient, products, and the operators they are products with.
#include <pybind11/stl.h>

#include <deque>
#include <optional>

#include "basin/curvature/operators.h"
#include "basin/hdf5/problem_file.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/linalg/words.h"
#include "basin/model/perturbation.h"
#include "basin/network/architecture_json.h"
#include "common/command/setup.h"
#include "native/operators.h"

namespace basin::python {
namespace {

namespace po = boost::program_options;

/// A problem at a point, linearised when that is first needed.
class Point : public std::enable_shared_from_this<Point> {
 public:
  /// changed: the point is not that of a file that is there.
  Point(tools::Setup setup, std::size_t memory, bool changed)
      : setup_(std::move(setup)), memory_(memory), changed_(changed) {}

  const tools::Setup& setup() const { return setup_; }
  const ModelPoint<double>& at() const { return setup_.point; }
  std::recursive_mutex& lock() { return *lock_; }
  const std::shared_ptr<std::recursive_mutex>& shared_lock() const { return lock_; }
  bool changed() const { return changed_; }

  /// Under the lock only.
  const Linearization<double>& linearization() {
    if (!linearization_)
      linearization_ = std::make_unique<Linearization<double>>(at().linearize({.memory = memory_}));
    return *linearization_;
  }
  /// The same of points that are perturbed.
  const std::vector<Linearization<double>>& perturbed() {
    if (perturbed_.empty()) perturbed_ = linearize_perturbed(at());
    return perturbed_;
  }
  double underflow() { return setup_.theory->product_underflow(linearization()); }

  std::shared_ptr<Point> with(ModelPoint<double> point, bool changed) const {
    tools::Setup other = setup_;
    other.point = std::move(point);
    return std::make_shared<Point>(std::move(other), memory_, changed_ || changed);
  }
  std::shared_ptr<Point> with_trainable(const std::string& blocks) const {
    return with(at().with_trainable(tools::listed_blocks(blocks, basin::blocks(setup_.architecture()),
                                                         setup_.checkpoint.get())),
                false);
  }

 private:
  tools::Setup setup_;
  std::size_t memory_;
  bool changed_;
  std::shared_ptr<std::recursive_mutex> lock_ = std::make_shared<std::recursive_mutex>();
  std::unique_ptr<Linearization<double>> linearization_;
  std::vector<Linearization<double>> perturbed_;
};

/// Operators that take what is lost below the range of double precision, and one that does not.
template <class Operator>
Operator operator_at(const Linearization<double>& at, double underflow) {
  if constexpr (std::is_constructible_v<Operator, const Linearization<double>&, double>)
    return Operator(at, underflow);
  else
    return Operator(at);
}

template <class Operator>
class PointOperator final : public BoundOperator {
 public:
  /// Linearises, under the lock.
  explicit PointOperator(std::shared_ptr<Point> point)
      : BoundOperator(point->shared_lock()),
        point_(std::move(point)),
        operator_(operator_at<Operator>(point_->linearization(), point_->underflow())) {}
  const SelfAdjointOperator& get() const override { return operator_; }
  const SelfAdjointOperator* perturbed() override {
    if (!farthest_) {
      std::vector<const SelfAdjointOperator*> others;
      for (const Linearization<double>& at : point_->perturbed()) others.push_back(&others_.emplace_back(at));
      farthest_.emplace(operator_, std::move(others));
    }
    return &*farthest_;
  }

 private:
  std::shared_ptr<Point> point_;
  Operator operator_;
  std::deque<Operator> others_;
  std::optional<FarthestPerturbed> farthest_;
};

template <class Operator>
std::shared_ptr<BoundOperator> bound(const std::shared_ptr<Point>& point) {
  const Working work(point->lock());
  return std::make_shared<PointOperator<Operator>>(point);
}

/// A product of the linearisation with rows.
using Product = void (Linearization<double>::*)(ConstVectorsRef<double>, VectorsRef<double>) const;
py::array multiply(Point& point, const py::object& vectors, const char* what, Index from, Index to,
                   Product product) {
  const Rows V = rows_from(vectors, what);
  const auto block = block_of(V, from, what);
  Vectors<double> out(to, block.cols());
  {
    constexpr Index kTogether = 16;  // vectors, between two looks at signals
    const Working work(point.lock());
    for (Index j = 0; j < block.cols(); j += kTogether) {
      const Index k = std::min(kTogether, block.cols() - j);
      (point.linearization().*product)(block.middleCols(j, k), out.middleCols(j, k));
      raise_signals();
    }
  }
  const py::array rows = rows_of(std::move(out));
  return V.ndim() == 1 ? rows.attr("reshape")(to).cast<py::array>() : rows;
}

/// The file at the point that the options, words of a command line, stand for. lasts: the file is there later
/// on.
std::shared_ptr<Point> load(const std::string& path, const std::vector<std::string>& words,
                            std::optional<double> memory, bool lasts) {
  const OurThreads threads;  // with the GIL: HDF5 takes one thread at a time
  po::options_description options;
  tools::add_point_options(options, "");
  options.add_options()("seed", po::value<tools::Seed>()->default_value(tools::Seed{}));
  po::variables_map values;
  try {
    po::store(po::command_line_parser(words).options(options).run(), values);
    po::notify(values);
  } catch (const po::error& error) {
    throw InputError(error.what());
  }
  tools::OptionValues given(std::move(values));
  tools::Setup setup = tools::setup_of(given, tools::read_problem_file(path));
  const bool changed = !lasts || std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return word.rfind("--train=", 0) != 0;
  }) || setup.weights_origin.rfind("drawn", 0) == 0;
  constexpr double kShare = 8;  // of the machine's memory, for each of the point and two perturbed ones
  return std::make_shared<Point>(
      std::move(setup), static_cast<std::size_t>(memory.value_or(available_memory() / kShare)), changed);
}

void save(const Point& point, const std::string& path, bool overwrite) {
  hdf5::Writer file(path, overwrite);
  hdf5::Provenance from;
  from.program = "basin (Python)";
  from.version = tools::version();
  from.input_file = point.setup().input;
  from.input_sha256 = point.setup().input_sha256;
  tools::write_problem_at(file, from, point.setup(), point.at().weights);
  file.commit();
}

std::shared_ptr<Point> at_theta(Point& point, const py::object& vector) {
  const Rows theta = rows_from(vector, "theta");
  const auto values = block_of(theta, point.at().theta_size(), "theta");
  if (theta.ndim() != 1) throw InputError("theta: found an array of two dimensions, expected one");
  if (!values.allFinite()) throw InputError("theta: found numbers that are not finite");
  return point.with(point.at().at(values.col(0)), true);
}

py::dict weights_of(const Point& point, const Vector<double>& of, bool trained) {
  py::dict d;
  for (const ParameterLayout::Entry& e : point.at().parameters().entries()) {
    if (trained && !e.trainable()) continue;
    d[py::str(e.block.name)] =
        py::array_t<double>(e.block.shape, of.data() + (trained ? e.theta_offset : e.offset));
  }
  return d;
}

py::list blocks_of(const Point& point) {
  py::list list;
  for (const ParameterLayout::Entry& e : point.at().parameters().entries()) {
    py::dict d;
    d["name"] = e.block.name;
    d["shape"] = py::tuple(py::cast(e.block.shape));
    d["trained"] = e.trainable();
    d["first"] = e.theta_offset;
    list.append(d);
  }
  return list;
}

}  // namespace

void define_points(py::module_& m) {
  using Self = std::shared_ptr<Point>;
  py::class_<Point, Self>(m, "Point")
      .def_property_readonly("text", [](const Point& p) { return p.setup().text(); })
      .def_property_readonly("changed", &Point::changed)
      .def_property_readonly("trained", [](const Point& p) { return p.at().parameters().trained(); })
      .def_property_readonly("size", [](const Point& p) { return p.at().theta_size(); })
      .def_property_readonly("output_size", [](const Point& p) { return p.at().output_size(); })
      .def_property_readonly("output_shape",
                             [](const Point& p) { return py::tuple(py::cast(p.setup().output_extent())); })
      .def_property_readonly("architecture", [](const Point& p) { return to_json(p.setup().architecture()); })
      .def_property_readonly("theta", [](const Point& p) { return numbers_of(p.at().theta()); })
      .def("blocks", &blocks_of)
      .def("weights", [](const Point& p) { return weights_of(p, p.at().weights, false); })
      .def("by_block",
           [](const Point& p, const py::object& v) {
             const Rows vector = rows_from(v, "vector");
             if (vector.ndim() != 1)
               throw InputError("vector: found an array of two dimensions, expected (P,)");
             return weights_of(p, block_of(vector, p.at().theta_size(), "vector").col(0), true);
           })
      .def("loss",
           [](Point& p) {
             const Working work(p.lock());
             return p.linearization().loss();
           })
      .def("gradient",
           [](Point& p) {
             Vector<double> gradient;
             {
               const Working work(p.lock());
               gradient = p.linearization().gradient();
             }
             return numbers_of(gradient);
           })
      .def("outputs",
           [](Point& p) {
             Vectors<double> outputs;
             {
               const Working work(p.lock());
               outputs = p.linearization().outputs().transpose();
             }
             return rows_of(std::move(outputs));
           })
      .def("hvp",
           [](Point& p, const py::object& V) {
             const Index P = p.at().theta_size();
             return multiply(p, V, "V", P, P, &Linearization<double>::hessian);
           })
      .def("gauss_newton_product",
           [](Point& p, const py::object& V) {
             const Index P = p.at().theta_size();
             return multiply(p, V, "V", P, P, &Linearization<double>::gauss_newton);
           })
      .def("jvp",
           [](Point& p, const py::object& V) {
             return multiply(p, V, "V", p.at().theta_size(), p.at().output_size(),
                             &Linearization<double>::jvp);
           })
      .def("vjp",
           [](Point& p, const py::object& U) {
             return multiply(p, U, "U", p.at().output_size(), p.at().theta_size(),
                             &Linearization<double>::vjp);
           })
      .def("hessian", &bound<HessianOperator>)
      .def("gauss_newton", &bound<GaussNewtonOperator>)
      .def("ntk", &bound<NtkOperator>)
      .def("with_trainable", &Point::with_trainable, py::arg("blocks"))
      .def("at", &at_theta, py::arg("theta"))
      .def("save", &save, py::arg("path"), py::arg("overwrite"));
  m.def("load", &load, py::arg("path"), py::arg("options"), py::arg("memory"), py::arg("lasts"));
}

}  // namespace basin::python
