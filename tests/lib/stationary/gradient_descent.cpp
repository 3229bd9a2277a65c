#include "basin/stationary/gradient_descent.h"

#include <catch2/catch.hpp>

#include "basin/linalg/statistics.h"
#include "basin/stationary/search.h"
#include "support/cases.h"
#include "support/loss.h"
#include "support/quadratic.h"

using namespace basin;
using namespace basin::test;

namespace {

/// A start with the targets of a teacher, which has the same fixed blocks. Attention is so sharp that 1 /
/// lambda_max at the start is often longer than the weights.
ModelPoint<double> steep(KernelKind kernel, const std::vector<std::string>& trained, std::uint64_t seed) {
  Case c = {"steep", 2, 4, 2, 2, 2, 2, kernel};
  c.score_scale = 4;
  c.trainable = trained;
  const ModelPoint<double> teacher = make_instance(c, seed), other = make_instance(c, seed + 1000);
  auto data = std::make_shared<Data<double>>(*teacher.data);
  data->Y = teacher.linearize().outputs();
  ModelPoint<double> start = teacher.at(other.theta());
  start.data = data;
  return start;
}

/// Where a start ends: gradient descent by a method, then the rest of the search.
Found end(const ModelPoint<double>& x, Index steps,
          const std::function<std::unique_ptr<const DescentMethod>(Objective&)>& method) {
  SearchOptions options;
  options.stopping = {.gradient = 1e-6, .steps = steps};
  options.method = [&](Objective& f, const Iterate&, double share) -> std::unique_ptr<const DescentMethod> {
    if (share < 1) return nullptr;
    return method(f);
  };
  return search(loss_of(x), x.theta(), Target::minima, options);
}

/// Starts that end with more than 1e-4 |Y|^2 / 2 above 0, and those whose end lies so far from that of 20 000
/// small steps: of steps along the flow, and of steps of 1 / lambda_max at the start.
struct Ends {
  Index starts = 0, small_stuck = 0, flow_stuck = 0, flow_elsewhere = 0, natural_elsewhere = 0;
};

Ends ends(KernelKind kernel, const std::vector<std::string>& trained, Index starts) {
  Ends all;
  for (Index seed = 1; seed <= starts; ++seed) {
    const ModelPoint<double> x = steep(kernel, trained, static_cast<std::uint64_t>(seed));
    const double far = 1e-4 * x.data->Y.squaredNorm() / 2;
    // small beside the weights, and beside what the curvature allows
    const Found small = end(x, 20000, [](Objective& f) {
      return std::make_unique<GradientDescent>([&f](const Iterate& p) {
        Vectors<double> Hg(f.size(), 1);
        f.hessian(p.gradient, Hg);
        const double slope = p.gradient.norm();
        return GuaranteedStep{0.02 * std::min(p.theta.norm() / slope, slope / Hg.norm())};
      });
    });
    const Found flow = end(x, 2000, [](Objective&) { return std::make_unique<FlowDescent>(); });
    const Found natural =
        end(x, 2000, [](Objective& f) { return std::make_unique<GradientDescent>(*natural_step(f)); });
    CHECK(flow.taken.first_share <= 0.1 * (1 + 1e-12));
    const auto elsewhere = [&](const Found& found) {
      return !(std::abs(found.point.at.loss - small.point.at.loss) <= far);
    };
    ++all.starts;
    all.small_stuck += small.point.at.loss > far, all.flow_stuck += flow.point.at.loss > far;
    all.flow_elsewhere += elsewhere(flow), all.natural_elsewhere += elsewhere(natural);
  }
  return all;
}

}  // namespace

TEST_CASE("gradient descent on a quadratic contracts every eigenvector by 1 - eta lambda") {
  const Vector<double> lambda = Vector<double>::LinSpaced(5, 0.5, 8);
  Quadratic f(Quadratic::diagonal(lambda), Vector<double>::Zero(5));
  for (const double eta : {0.01, 1 / 8.0, 0.24}) {
    Descent run = start(f, Vector<double>::Ones(5));
    descend(f, GradientDescent(eta), run, {.steps = 40});
    const Vector<double> expected = (1 - eta * lambda.array()).pow(40);
    CHECK((run.at.theta - expected).norm() <= 1e-13 * expected.norm());
  }
}

TEST_CASE("the rule sees the point, and its bound is handed on") {
  Quadratic f(Quadratic::diagonal(Vector<double>::Ones(2)), Vector<double>::Zero(2));
  Descent run = start(f, Vector<double>::Ones(2));
  std::vector<double> lengths;
  const GradientDescent method([](const Iterate& x) { return GuaranteedStep{0.5, x.loss / 4}; });
  descend(f, method, run, {.steps = 3}, [&](const Descent& at, const Move& move) {
    CHECK(move.step == 0.5);
    CHECK(at.at.loss <= move.loss_bound * (1 + 1e-15));  // on this function it is exact
    CHECK(at.at.loss == Approx(move.loss_bound));
    lengths.push_back(move.length);
  });
  CHECK(lengths == std::vector<double>{std::sqrt(0.5), std::sqrt(0.5) / 2, std::sqrt(0.5) / 4});
}

TEST_CASE(
    "the line search takes steps that lower the loss enough, from too large and too small a first one") {
  for (const double first : {1e-6, 1.0, 1e6}) {
    Rosenbrock f;
    Vector<double> theta(2);
    theta << -1.2, 1;
    Descent run = start(f, theta);
    double loss = run.at.loss, slope = run.at.gradient.norm();
    descend(f, LineSearchDescent(first), run, {.steps = 500}, [&](const Descent& at, const Move& move) {
      CHECK(at.at.loss <= loss - 1e-4 * move.step * slope * slope);
      loss = at.at.loss, slope = at.at.gradient.norm();
    });
    CHECK(run.at.loss < 1);
  }
}

TEST_CASE(
    "steps along the flow: the loss falls, the gradient turns little, theta moves little, from the first "
    "on") {
  for (const KernelKind kernel : {KernelKind::softmax, KernelKind::gaussian})
    for (const double gain : {0.1, 1.0, 20.0}) {
      ModelPoint<double> x = steep(kernel, {"W_Q", "W_K", "W_V", "W_O"}, 3);
      x.weights *= gain;
      ModelObjective f(x);
      Descent run = start(f, x.theta());
      Iterate before = run.at;
      const DescentStatus status =
          descend(f, FlowDescent(), run, {.steps = 300}, [&](const Descent& now, const Move& move) {
            const double slope = before.gradient.norm();
            CHECK(now.at.loss <=
                  before.loss - 0.5 * move.step * slope * slope + f.loss_rounding(before.loss));
            CHECK((now.at.gradient - before.gradient).norm() <= 0.1 * slope * (1 + 1e-12));
            CHECK((now.at.theta - before.theta).norm() <= 0.1 * before.theta.norm() * (1 + 1e-12));
            before = now.at;
          });
      CAPTURE(gain, status.text);
      CHECK(status.reason == DescentStatus::Reason::steps);
      CHECK(run.taken.largest_share <= 0.1 * (1 + 1e-12));
    }
}

TEST_CASE("steps along the flow from theta = 0, which has no size, and where the Hessian is zero") {
  Quadratic f(Quadratic::diagonal(Vector<double>::LinSpaced(4, 1, 100)), Vector<double>::Ones(4));
  Descent run = start(f, Vector<double>::Zero(4));
  CHECK(descend(f, FlowDescent(), run, {.gradient = 1e-6, .steps = 5000}).converged());
  // f = |theta|^4 / 4 + theta_1 + 2 at 0: H g = 0
  class Quartic final : public Objective {
   public:
    Quartic() : Objective(2) {}

   private:
    double do_loss(const Vector<double>& t) override {
      return t.squaredNorm() * t.squaredNorm() / 4 + t[0] + 2;
    }
    std::optional<Iterate> do_at(Vector<double> t) override {
      at_ = t;
      return Iterate{t, do_loss(t), t.squaredNorm() * t + Vector<double>::Unit(2, 0)};
    }
    void do_hessian(ConstVectorsRef<double> V, VectorsRef<double> HV) override {
      HV = at_.squaredNorm() * V + 2 * at_ * (at_.transpose() * V);
    }
    Vector<double> at_;
  } quartic;
  run = start(quartic, Vector<double>::Zero(2));
  CHECK(descend(quartic, FlowDescent(), run, {.gradient = 1e-8, .steps = 5000}).converged());
  CHECK(run.at.theta[0] == Approx(-1));
}

TEST_CASE("scaled by powers of two, steps along the flow are the same bits") {
  for (const KernelKind kernel : {KernelKind::softmax, KernelKind::gaussian})
    for (const int k : {-40, -3, 20}) {
      const ModelPoint<double> x = steep(kernel, {"W_Q", "W_K"}, 5);
      ModelPoint<double> scaled = x;
      auto data = std::make_shared<Data<double>>(*x.data);
      data->Y *= std::ldexp(1, k);
      scaled.data = data;
      for (const auto& e : x.model->parameters().entries())
        if (e.block.name == "W_O") scaled.weights.segment(e.offset, e.block.size()) *= std::ldexp(1, k);
      ModelObjective f(x), g(scaled);
      Descent run = start(f, x.theta()), other = start(g, scaled.theta());
      descend(f, FlowDescent(), run, {.steps = 500});
      descend(g, FlowDescent(), other, {.steps = 500});
      CAPTURE(k);
      CHECK(other.at.theta == run.at.theta);
      CHECK(other.at.loss == std::ldexp(run.at.loss, 2 * k));
      CHECK(other.taken.largest == std::ldexp(run.taken.largest, -2 * k));
      CHECK(other.taken.shortened == run.taken.shortened);
    }
}

TEST_CASE("starts end where small steps do, though 1 / lambda_max leads elsewhere", "[many]") {
  const Ends e = ends(KernelKind::softmax, {"W_Q"}, 8);
  CHECK(e.flow_elsewhere == 0);
  CHECK(e.natural_elsewhere >= 2);
}

TEST_CASE("shares of starts that are stuck are those of 20 000 small steps", "[.long]") {
  Index flow = 0, natural = 0;
  for (const KernelKind kernel : {KernelKind::softmax, KernelKind::gaussian})
    for (const std::vector<std::string>& trained :
         {std::vector<std::string>{"W_Q"}, {"W_Q", "W_K"}, {"W_Q", "W_K", "W_V", "W_O"}}) {
      const Ends e = ends(kernel, trained, 40);
      CAPTURE(kernel_name(kernel), trained.size(), e.small_stuck, e.flow_stuck, e.flow_elsewhere,
              e.natural_elsewhere);
      const Interval share = wilson_interval(e.small_stuck, e.starts);
      const double stuck = static_cast<double>(e.flow_stuck) / static_cast<double>(e.starts);
      CHECK(stuck >= share.lower);
      CHECK(stuck <= share.upper);
      // what is left are valleys to infinity, which no number of steps finishes
      CHECK(e.flow_elsewhere <= e.starts / 10);
      flow += e.flow_elsewhere, natural += e.natural_elsewhere;
    }
  CHECK(flow < natural);
}
