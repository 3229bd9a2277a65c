#include "basin/model/cross_entropy.h"

#include <catch2/catch.hpp>

#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"
#include "basin/model/linearization.h"
#include "support/cases.h"
#include "support/quad.h"

// As expq. NOLINTNEXTLINE(readability-identifier-naming)
extern "C" __float128 log1pq(__float128);

using namespace basin;
using namespace basin::test;

namespace {

/// What the numbers of one row are, to 33 digits.
struct ExactRow {
  ExactRow(const Matrix<double>& F, Index row, Index y) : p(F.cols()) {
    Index most = 0;
    F.row(row).maxCoeff(&most);
    Quad rest = 0;
    for (Index c = 0; c < F.cols(); ++c) {
      p[c] = expq(Quad(F(row, c)) - Quad(F(row, most)));
      if (c != most) rest += p[c];
    }
    for (Quad& weight : p) weight /= 1 + rest;
    value = log1pq(rest) + (Quad(F(row, most)) - Quad(F(row, y)));
    for (Index c = 0; c < F.cols(); ++c) {
      Quad others = 0;
      for (Index o = 0; o < F.cols(); ++o)
        if (o != c) others += p[o];
      gradient.push_back(c == y ? -others : p[c]);
    }
  }
  /// H_l v, and the sum of the sizes of its terms: what a row of differences can be right to.
  QuadVector product(const Matrix<double>& v, Index row, QuadVector& size) const {
    QuadVector out;
    size.clear();
    for (std::size_t c = 0; c < p.size(); ++c) {
      Quad sum = 0, terms = 0;
      for (std::size_t o = 0; o < p.size(); ++o) {
        const Quad term = p[c] * p[o] * (Quad(v(row, c)) - Quad(v(row, o)));
        sum += term, terms += abs_of(p[c] * p[o]) * (abs_of(v(row, c)) + abs_of(v(row, o)));
      }
      out.push_back(sum), size.push_back(terms);
    }
    return out;
  }
  QuadVector p, gradient = {};
  Quad value;
};

double relative(double found, Quad expected, Quad size) {
  return static_cast<double>(abs_of(Quad(found) - expected) / (size > 0 ? size : Quad(1)));
}

}  // namespace

TEST_CASE("cross-entropy: value, gradient and products are right to the last digits, whatever the logits") {
  const CrossEntropy<double> loss(with_defaults(LossDescription{"cross-entropy"}));
  double worst_value = 0, worst_gradient = 0, worst_product = 0, worst_factor = 0;
  for (const double scale : {0.0, 1e-8, 1.0, 30.0, 300.0, 1e4})
    for (const Index classes : {1, 2, 3, 16, 17, 300}) {
      Matrix<double> F(8, classes), v(8, classes);
      Random random(7, "cross-entropy");
      random.fill_normal(F), random.fill_normal(v);
      F *= scale;
      F.row(0) = F.row(0).reverse().eval();
      F.row(1).setConstant(scale);  // all alike
      F.row(2).array() += 1e3;
      std::vector<std::int32_t> labels;
      for (Index row = 0; row < F.rows(); ++row) {
        Index most = 0;
        F.row(row).maxCoeff(&most);
        labels.push_back(static_cast<std::int32_t>(row % 2 == 0 ? most : row % classes));
      }
      const Targets<double> t = {Matrix<double>(0, 0), labels};
      Matrix<double> r(8, classes), Hv = r, Z = r, LZ = r;
      loss.gradient(F, t, r), loss.hessian_product(F, t, v, Hv);
      loss.factor_transposed(F, t, v, Z), loss.factor(F, t, Z, LZ);
      for (Index row = 0; row < F.rows(); ++row) {
        const ExactRow exact(F, row, labels[row]);
        const Targets<double> one = {Matrix<double>(0, 0), std::span(labels).subspan(row, 1)};
        // numbers below the least normal one have lost digits
        const auto known = [](Quad x) { return abs_of(x) > Quad(1e-290); };
        if (known(exact.value))
          worst_value =
              std::max(worst_value, relative(loss.value(F.row(row), one), exact.value, exact.value));
        QuadVector size;
        const QuadVector product = exact.product(v, row, size);
        Quad largest = 0;
        for (const Quad term : size) largest = std::max(largest, term);
        for (Index c = 0; c < classes; ++c) {
          if (known(exact.gradient[c]))
            worst_gradient =
                std::max(worst_gradient, relative(r(row, c), exact.gradient[c], abs_of(exact.gradient[c])));
          if (!known(size[c])) continue;
          worst_product = std::max(worst_product, relative(Hv(row, c), product[c], size[c]));
          worst_factor = std::max(worst_factor, relative(LZ(row, c), product[c], sqrtq(size[c] * largest)));
        }
      }
    }
  // exp(x) is right to some |x| eps, x up to 700 where it counts; sums of 300 terms in 8 lanes
  CHECK(worst_value < 4e-14);
  CHECK(worst_gradient < 4e-13);
  CHECK(worst_product < 4e-13);
  CHECK(worst_factor < 4e-13);
}

TEST_CASE("cross-entropy: what is not finite stays so, and one class costs nothing") {
  const CrossEntropy<double> loss(with_defaults(LossDescription{"cross-entropy"}));
  const std::vector<std::int32_t> label = {0};
  const Targets<double> t = {Matrix<double>(0, 0), label};
  CHECK(std::isnan(loss.value(Matrix<double>{{1, std::nan(""), 2}}, t)));
  CHECK(std::isnan(loss.value(Matrix<double>{{1, HUGE_VAL, 2}}, t)));
  CHECK(loss.value(Matrix<double>{{-17}}, t) == 0);
  CHECK(loss.value(Matrix<double>{{0, -1e4}}, t) == 0);
  CHECK(loss.value(Matrix<double>{{-1e4, 0}}, t) == 1e4);
  CHECK_FALSE(loss.facts().quadratic);
  CHECK_FALSE(loss.facts().attained);
  CHECK(loss.facts().labels);
}

TEST_CASE("averages are over the rows that count, and every product follows") {
  // 3 samples of 4 tokens, a network of two layers before the logits
  const Architecture layers = {.input = {4, 3},
                               .layers = {{"attention", {{"heads", Index{2}}, {"head-dim", Index{2}}}},
                                          {"linear", {{"outputs", Index{5}}}}},
                               .loss = {}};
  auto data = std::make_shared<Data<double>>(Data<double>{3, random_vectors(12, 3, 5), Matrix<double>(0, 0)});
  data->mask = {1, 1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1};
  data->labels = {0, 4, -1, 2, 3, -7, 1, -1, -1, -1, -1, -1};  // the last sample has none
  const auto at = [&](const std::string& type, const std::string& average) {
    Architecture a = layers;
    a.loss = {type, {{"average", average}}};
    auto own = std::make_shared<Data<double>>(*data);
    if (type == "squared") {
      own->labels.clear();
      own->Y = random_vectors(12, 5, 6);
    }
    const auto model = build<double>(a, matching_blocks({"*"}, blocks(a)));
    return ModelPoint<double>{model, random_vectors(model->parameters().weight_count(), 1, 9), own};
  };
  const auto value = [&](const std::string& type, const std::string& average) {
    return at(type, average).linearize().loss();
  };
  const double sum = value("cross-entropy", "sum"), squares = value("squared", "sum");
  CHECK(value("cross-entropy", "rows") == Approx(sum / 5).epsilon(1e-15));
  CHECK(value("cross-entropy", "samples") == Approx(sum / 2).epsilon(1e-15));
  CHECK(value("squared", "rows") == Approx(squares / 10).epsilon(1e-15));
  CHECK(value("squared", "samples") == Approx(squares / 3).epsilon(1e-15));
  CHECK(value("squared", "elements") == Approx(squares / 50).epsilon(1e-15));
  CHECK_THROWS_WITH(value("cross-entropy", "elements"),
                    "loss.average: found 'elements'; expected one of sum, rows, samples");

  for (const char* type : {"cross-entropy", "squared"})
    for (const char* average : {"sum", "rows"}) {
      const ModelPoint<double> x = at(type, average);
      const Linearization<double> here = x.linearize();
      const Vector<double> theta = x.theta(), v = random_vectors(theta.size(), 1, 3).col(0);
      Vectors<double> Hv(theta.size(), 1), Gv = Hv, JtU = Hv, Jv(here.output_size(), 1);
      here.hessian(v, Hv), here.gauss_newton(v, Gv), here.jvp(v, Jv);
      const auto gradient = [&](double t) -> Vector<double> {
        return x.at(theta + t * v).linearize().gradient();
      };
      const auto loss = [&](double t) -> Vector<double> {
        return Vector<double>::Constant(1, x.at(theta + t * v).linearize().loss());
      };
      // truncation is some 1e-11, rounding 1e-16 / 3e-4
      CHECK(central_difference(loss, 3e-4)[0] == Approx(here.gradient().dot(v)).epsilon(1e-9));
      CHECK((central_difference(gradient, 3e-4) - Hv.col(0)).norm() <= 1e-9 * Hv.norm());
      const DataLoss<double> rule(*x.model, *x.data);
      Matrix<double> dF = Jv.col(0).reshaped<Eigen::RowMajor>(12, 5), dr = dF;
      rule.curvature(0, here.outputs(), dF, dr);
      here.vjp(Vectors<double>(dr.reshaped<Eigen::RowMajor>()), JtU);
      CHECK((JtU - Gv).norm() <= 1e-14 * Gv.norm());
      CHECK(rule.value(0, here.outputs()) == Approx(here.loss()).epsilon(1e-14));
      // rows that do not count have no residual
      const Mask counting = here.counting_rows();
      for (Index row = 0; row < 12; ++row)
        if (counting[row] == 0) CHECK(here.residual().row(row).isZero(0));
    }
}

TEST_CASE("targets that are not the loss's are refused") {
  const Architecture a = {
      .input = {1, 2}, .layers = {{"linear", {{"outputs", Index{3}}}}}, .loss = {"cross-entropy"}};
  const auto model = build<double>(a, {"W"});
  const auto at = [&](std::vector<std::int32_t> labels, Matrix<double> Y = {}) {
    Data<double> data = {2, Matrix<double>::Ones(2, 2), std::move(Y)};
    data.labels = std::move(labels);
    return ModelPoint<double>{model, Vector<double>::Ones(9), std::make_shared<Data<double>>(std::move(data))}
        .linearize();
  };
  CHECK(at({0, 2}).loss() == Approx(std::log(3.0)));
  CHECK(at({-1, 2}).loss() == Approx(std::log(3.0)));
  CHECK_THROWS_WITH(at({0, 3}), "label 3: the network has 3 outputs, for classes from 0");
  CHECK_THROWS_WITH(at({0}), "number of labels: expected 2, found 1");
  CHECK_THROWS_WITH(at({-1, -2}), "no row counts in the loss: all are masked or have no label");
  CHECK_THROWS_WITH(at({}, Matrix<double>::Ones(2, 3)),
                    "rows of Y, where targets are labels: expected 0, found 2");
}

TEST_CASE("outputs of a large vocabulary exist when they are asked for") {
  // 70 000 classes on 512 rows are 287 MB
  const Architecture a = {.input = {1, 1},
                          .layers = {{"linear", {{"outputs", Index{70000}}, {"bias", false}}}},
                          .loss = {"cross-entropy"}};
  const auto model = build<double>(a, {"W"});
  Data<double> data = {512, Matrix<double>::Ones(512, 1), Matrix<double>(0, 0)};
  data.labels.assign(512, 5);
  const ModelPoint<double> x = {model, Vector<double>::Zero(70000),
                                std::make_shared<Data<double>>(std::move(data))};
  const Linearization<double> at = x.linearize({.memory = 0});
  CHECK(at.loss() == Approx(std::log(70000.0)));
  CHECK(at.gradient()[5] == Approx(1 / 70000.0 - 1));
  CHECK(at.output_size() == 512 * 70000);
  CHECK(at.outputs().isZero(0));
}
