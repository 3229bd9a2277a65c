#include "basin/problem/teacher.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"
#include "basin/model/linearization.h"

namespace basin {
namespace {

void check(const TeacherOptions& o) {
  const auto positive = [](const char* name, Index size) {
    if (size < 1)
      throw InputError(std::string(name) + " = " + std::to_string(size) + "; expected at least 1");
  };
  positive("samples N", o.samples);
  positive("tokens n", o.tokens);
  positive("embedding dimension D", o.embedding);
  positive("outputs D_out", o.outputs);
  const double largest = std::max(static_cast<double>(o.embedding), static_cast<double>(o.outputs));
  if (static_cast<double>(o.samples) * static_cast<double>(o.tokens) * largest > 1e12)
    throw InputError("N n D = " + std::to_string(o.samples) + " x " + std::to_string(o.tokens) + " x " +
                     std::to_string(o.embedding) + " numbers are more than any machine holds");
  for (const double scale : {o.input_scale, o.target_scale, o.noise})
    if (!std::isfinite(scale) || scale < 0)
      throw InputError("scale " + std::to_string(scale) + "; expected a finite number, 0 or larger");
}

/// F(X) of the teacher.
Matrix<double> outputs_of(const Problem& problem, const Network& net) {
  const auto& weights = *net.weights;
  const ModelPoint<double> point = {
      build_single_attention<double>(problem.spec(net, weights.heads, weights.head_dim)), weights.values,
      std::make_shared<Data<double>>(problem.data)};
  return point.linearize({.keep = false}).outputs();
}

}  // namespace

Problem make_teacher_problem(const TeacherOptions& o) {
  check(o);
  Problem problem;
  problem.tokens = o.tokens;
  problem.data.samples = o.samples;
  problem.data.X.resize(o.samples * o.tokens, o.embedding);
  problem.data.Y.setZero(o.samples * o.tokens, o.outputs);
  Random(o.data_seed, "inputs").fill_normal(problem.data.X);
  problem.data.X *= o.input_scale;

  Matrix<double>& Y = problem.data.Y;
  if (o.random_targets) {
    Random(o.data_seed, "targets").fill_normal(Y);
  } else {
    Network teacher{o.teacher_kernel, o.teacher_bandwidth, std::nullopt};
    teacher.weights =
        draw_weights(problem.spec(teacher, o.teacher_heads, o.teacher_head_dim), o.teacher_initialisation);
    Y = outputs_of(problem, teacher);
    problem.teacher = std::move(teacher);
  }
  Y *= o.target_scale;
  if (o.noise > 0) {
    Matrix<double> noise(Y.rows(), Y.cols());
    Random(o.data_seed, "noise").fill_normal(noise);
    Y += o.noise * noise;
  }
  return problem;
}

}  // namespace basin
