#include "basin/network/activation.h"

#include "support/check_layer.h"
#include "support/check_precision.h"

using namespace basin;
using namespace basin::test;

namespace {

const std::vector<std::string> kNames = {"relu", "gelu", "gelu-tanh", "silu", "tanh"};

template <class S>
struct Value {
  S value, first, second;
};

template <class S>
Value<S> at(const std::string& name, S x) {
  const auto of = [&](const auto& function) -> Value<S> {
    const ActivationValue<S> g = function(Numbers<S>{} + x);
    if constexpr (std::is_same_v<S, long double>)
      return {g.value, g.first, g.second};
    else
      return {g.value[0], g.first[0], g.second[0]};
  };
  switch (activation_from_name(name)) {
    case ActivationFunction::relu:
      return of(relu<S>);
    case ActivationFunction::gelu:
      return of(gelu<S>);
    case ActivationFunction::gelu_tanh:
      return of(gelu_tanh<S>);
    case ActivationFunction::silu:
      return of(silu<S>);
    default:
      return of(tanh_activation<S>);
  }
}

}  // namespace

TEST_CASE("activations obey the four rules, and keep their digits") {
  for (const std::string& name : kNames) {
    if (name == "relu") continue;  // no difference quotient may cross its kink
    CAPTURE(name);
    const auto function = activation_from_name(name);
    for (const Shape shape : {Shape{4, 5}, Shape{1, 1}}) {
      check_layer(Activation<double>(shape, function), 3, true, {});
      check_precision(Activation<double>(shape, function), Activation<long double>(shape, function), 3);
    }
  }
}

TEST_CASE("ReLU lets pass what is positive, by all four rules") {
  const Activation<double> layer({1, 4}, ActivationFunction::relu);
  const Vector<double> x{{-1, 0, 2, 3e-300}}, v{{5, 6, 7, 8}}, passed{{0, 0, 7, 8}};
  const BlockView<const double> none(nullptr, 1, 0, {});
  const BatchView<const double> in(x.data(), 1, 1, 4), moved(v.data(), 1, 1, 4);
  Saved<double> value, tangent, adjoint;
  Batch<double> y, dy, xbar, dxbar;
  layer.value(none, in, value, y);
  layer.tangent(none, value, moved, none, tangent, dy);
  layer.adjoint(none, value, moved, adjoint, {nullptr, 1, 0, {}}, &xbar);
  layer.tangent_of_adjoint(none, value, adjoint, tangent, none, moved, {nullptr, 1, 0, {}}, &dxbar);
  CHECK(y[0] == Matrix<double>{{0, 0, 2, 3e-300}});
  for (Batch<double>* b : {&dy, &xbar, &dxbar}) CHECK((*b)[0] == passed.transpose());
}

TEST_CASE("activations are right to their last digits in the tails") {
  for (const char* name : {"gelu", "gelu-tanh", "silu", "tanh"})
    for (const double x :
         {-37.0, -20.0, -8.2, -3.0, -1.0, -1e-3, -1e-200, 0.0, 1e-9, 0.5, 4.0, 9.0, 30.0, 40.0}) {
      CAPTURE(name, x);
      const Value<double> found = at(name, x);
      const Value<long double> exact = at(name, static_cast<long double>(x));
      // the exponent of GPT-2's GELU has as many roundings as it is large; where terms cancel, of the larger
      // one
      const double eps = std::string(name) == "gelu-tanh" ? 4e-16 * (4 + x * x) : 4e-15,
                   size = 1 + std::abs(x);
      const auto near = [&](double a, long double b, double scale) {
        CHECK(std::abs(a - static_cast<double>(b)) <= eps * scale + 1e-320);
      };
      const bool tail = x < -2;
      near(found.value, exact.value, std::abs(static_cast<double>(exact.value)));
      near(found.first, exact.first, tail ? size * std::abs(static_cast<double>(exact.first)) : 1);
      near(found.second, exact.second, tail ? size * size * std::abs(static_cast<double>(exact.second)) : 1);
    }
  // numbers of sixty digits by mpmath: x Phi(x) and its derivatives
  CHECK(at("gelu", -8.2).value == Approx(-9.855868265043402831e-16).epsilon(4e-15));
  CHECK(at("gelu", -37.5).value < 0);
  CHECK(at("gelu", -40.0).value <= 0);
}

TEST_CASE("nothing overflows where the activation does not, and NaN is not hidden") {
  for (const std::string& name : kNames)
    for (const double x : {-1e300, -1e160, -1e5, 1e5, 1e160, 1e300}) {
      CAPTURE(name, x);
      const Value<double> found = at(name, x);
      const bool linear = x > 0 && name != "tanh";
      CHECK(found.value == (linear ? x : name == "tanh" ? (x > 0 ? 1 : -1) : 0));
      CHECK(found.first == (linear ? 1 : 0));
      CHECK(found.second == 0);
    }
  for (const std::string& name : kNames) CHECK(std::isnan(at(name, std::nan("")).value));
  CHECK_THROWS_WITH(activation_from_name("GELU"),
                    "unknown activation function 'GELU'; expected relu, gelu, gelu-tanh, silu or tanh");
}
