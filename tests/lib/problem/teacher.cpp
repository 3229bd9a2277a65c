#include "basin/problem/teacher.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/model/linearization.h"
#include "basin/problem/known_minimum.h"

using namespace basin;

namespace {

double loss_at_teacher(const Problem& p) {
  const auto& weights = *p.teacher->weights;
  const auto model = build_single_attention<double>(p.spec(*p.teacher, weights.heads, weights.head_dim));
  return Linearization<double>({model, weights.values, std::make_shared<Data<double>>(p.data)}).loss();
}

}  // namespace

TEST_CASE("the loss at the teacher is zero, and the noise and target scale are as asked for") {
  TeacherOptions o;
  o.samples = 40;
  o.teacher_kernel = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Problem exact = make_teacher_problem(o);
  CHECK(exact.data.Y.norm() > 1);
  CHECK(loss_at_teacher(exact) == 0);
  o.noise = 0.1;
  const Problem noisy = make_teacher_problem(o);
  CHECK(noisy.data.X == exact.data.X);
  const auto count = static_cast<double>(noisy.data.Y.size());
  CHECK(loss_at_teacher(noisy) == Approx(0.005 * count).epsilon(5 * std::sqrt(2 / count)));
  o.noise = 0;
  o.target_scale = 3;
  CHECK(make_teacher_problem(o).data.Y.isApprox(3 * exact.data.Y, 1e-15));
}

TEST_CASE("inputs have their scale and depend on the data seed only") {
  TeacherOptions o;
  o.samples = 100;
  o.input_scale = 0.5;
  const Problem p = make_teacher_problem(o);
  const auto count = static_cast<double>(p.data.X.size());
  CHECK(p.data.X.squaredNorm() / count == Approx(0.25).epsilon(5 * std::sqrt(2 / count)));
  o.teacher_initialisation.seed = 5;
  const Problem q = make_teacher_problem(o);
  CHECK(q.data.X == p.data.X);
  CHECK_FALSE(q.data.Y.isApprox(p.data.Y));
  o.data_seed = 1;
  CHECK_FALSE(make_teacher_problem(o).data.X.isApprox(p.data.X));
}

TEST_CASE("random targets have no teacher; impossible sizes are refused") {
  TeacherOptions o;
  o.random_targets = true;
  CHECK_FALSE(make_teacher_problem(o).teacher.has_value());
  o.tokens = 0;
  CHECK_THROWS_WITH(make_teacher_problem(o), "tokens n = 0; expected at least 1");
  o.tokens = o.samples = Index{1} << 32U;
  CHECK_THROWS_WITH(make_teacher_problem(o), Catch::EndsWith("numbers are more than any machine holds"));
  o.tokens = o.samples = 1;
  o.noise = -1;
  CHECK_THROWS_AS(make_teacher_problem(o), InputError);
}

TEST_CASE("the teacher's minimum is attained for scaled targets, too") {
  TeacherOptions o;
  o.samples = 3;
  o.target_scale = 3;
  Problem p = make_teacher_problem(o);
  const KnownMinimum minimum = teacher_minimum(p, o.target_scale);
  CHECK(minimum.loss == 0);
  Index offset = 0;
  for (const std::string& name : attention_blocks()) {
    const Vector<double>& block = minimum.blocks.at(name);
    p.teacher->weights->values.segment(offset, block.size()) = block;
    offset += block.size();
  }
  CHECK(loss_at_teacher(p) <= 1e-28 * p.data.Y.squaredNorm());
}
