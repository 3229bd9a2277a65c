#include "basin/hdf5/problem_file.h"

#include <catch2/catch.hpp>

#include "basin/model/linearization.h"
#include "basin/problem/teacher.h"
#include "support/example_layers.h"
#include "support/logistic_loss.h"
#include "support/temporary_folder.h"

using namespace basin;
using namespace basin::test;
using hdf5::Extent;
using hdf5::Reader;
using hdf5::Writer;

namespace {

/// A file with D = 4, H = 2, d = 3, D_out = 2 whose datasets can be left out or misshaped one by one.
struct Parts {
  std::map<std::string, Extent> shapes = {{"/data/X", {2, 3, 4}},         {"/data/Y", {2, 3, 2}},
                                          {"/parameters/W_Q", {2, 4, 3}}, {"/parameters/W_K", {2, 4, 3}},
                                          {"/parameters/W_V", {2, 4, 3}}, {"/parameters/W_O", {2, 3, 2}}};
  std::string kernel = "gaussian";
  double bandwidth = 1.5;

  void write(const std::string& path) const {
    Writer file(path, true);
    for (const auto& [name, shape] : shapes) {
      Index size = 1;
      for (const Index s : shape) size *= s;
      const Vector<double> values = Vector<double>::LinSpaced(size, 0, static_cast<double>(size - 1));
      file.write(name, values.data(), shape);
    }
    file.group("/parameters");
    file.attribute("/parameters", "kernel", kernel);
    file.attribute("/parameters", "bandwidth", bandwidth);
    file.commit();
  }
};

}  // namespace

TEST_CASE("a problem is read with its shapes, weights in order and attributes") {
  const TemporaryFolder folder;
  Parts().write(folder / "p.h5");
  const Problem p = hdf5::read_problem(Reader(folder / "p.h5"));
  CHECK(p.data.samples == 2);
  CHECK(p.tokens == 3);
  CHECK(p.embedding() == 4);
  CHECK(p.outputs() == 2);
  CHECK(p.data.X(4, 1) == 17);  // sample 1, token 1, feature 1
  CHECK(p.network.kernel == KernelKind::gaussian);
  CHECK(p.network.bandwidth == 1.5);
  CHECK(p.network.weights->heads == 2);
  CHECK(p.network.weights->head_dim == 3);
  CHECK(p.network.weights->values.size() == 3 * 24 + 12);
  CHECK(p.network.weights->values[24] == 0);  // W_K starts
  CHECK(p.network.weights->values[23] == 23);
}

TEST_CASE("each defect of a problem file is named") {
  const TemporaryFolder folder;
  const auto refused = [&](const Parts& parts, const std::string& message) {
    parts.write(folder / "p.h5");
    CHECK_THROWS_WITH(hdf5::read_problem(Reader(folder / "p.h5")),
                      Catch::Contains("p.h5: ") && Catch::Contains(message));
  };
  Parts parts;
  SECTION("missing") {
    parts.shapes.erase("/data/Y");
    refused(parts, "/data/Y: dataset is missing; /data has X");
  }
  SECTION("misnamed weights") {
    parts.shapes.erase("/parameters/W_K");
    parts.shapes["/parameters/W_k"] = {2, 4, 3};
    refused(parts,
            "/parameters: found a member 'W_k', which is no part of the model; expected nothing but W_Q, "
            "W_K, W_V, W_O");
  }
  SECTION("all weights misnamed") {
    for (const std::string& block : attention_blocks()) parts.shapes.erase("/parameters/" + block);
    parts.shapes["/parameters/Q"] = {2, 4, 3};
    refused(parts, "/parameters: found a member 'Q', which is no part of the model");
  }
  SECTION("wrong rank") {
    parts.shapes["/data/X"] = {6, 4};
    refused(parts, "/data/X: found rank 2, shape (6, 4); expected rank 3");
  }
  SECTION("Y of other samples") {
    parts.shapes["/data/Y"] = {3, 3, 2};
    refused(parts, "/data/Y: found shape (3, 3, 2); expected (2, 3, D_out)");
  }
  SECTION("weights of another embedding") {
    parts.shapes["/parameters/W_Q"] = {2, 5, 3};
    refused(parts, "/parameters/W_Q: found shape (2, 5, 3); expected (2, 4, 3) = (H, D, d)");
  }
  SECTION("weights that do not fit each other") {
    parts.shapes["/parameters/W_O"] = {2, 2, 2};
    refused(parts, "/parameters/W_O: found shape (2, 2, 2); expected (2, 3, 2) = (H, d, D_out)");
  }
  SECTION("empty data") {
    parts.shapes["/data/X"] = {0, 3, 4};
    refused(parts, "/data/X: found shape (0, 3, 4); expected at least 1 everywhere");
  }
  SECTION("unknown kernel") {
    parts.kernel = "relu";
    refused(parts, "/parameters: unknown kernel 'relu'; expected softmax or gaussian");
  }
  SECTION("impossible bandwidth") {
    parts.bandwidth = std::nan("");
    refused(parts, "/parameters: attribute 'bandwidth': found nan, expected a positive number");
  }
}

TEST_CASE("problems survive writing and reading, teacher and words included") {
  const TemporaryFolder folder;
  TeacherOptions options;
  options.teacher_kernel = KernelKind::gaussian;
  Problem p = make_teacher_problem(options);
  p.sources = std::vector<std::string>(16, "pos/1.txt");
  {
    Writer file(folder / "p.h5", false);
    hdf5::write_problem(file, p);
    file.commit();
  }
  const Reader file(folder / "p.h5");
  const Problem q = hdf5::read_problem(file);
  CHECK(q.data.X == p.data.X);
  CHECK(q.data.Y == p.data.Y);
  CHECK_FALSE(q.network.weights);
  CHECK(file.string_attribute("/teacher", "kernel") == "gaussian");
  CHECK(file.read_array("/teacher/W_O").shape == Extent{2, 8, 8});
  CHECK(file.has("/data/sources"));
}

TEST_CASE("result files and newer formats are not taken for problems") {
  const TemporaryFolder folder;
  for (const auto& [kind, version, message] :
       {std::tuple{"result", "1.0", "a Basin result file; expected a problem file"},
        {"problem", "3.0", "format version 3.0; this program reads up to 2.0"}}) {
    Writer file(folder / "p.h5", true);
    file.attribute("/", "basin_file", std::string(kind));
    file.attribute("/", "basin_format", std::string(version));
    file.commit();
    CHECK_THROWS_WITH(hdf5::read_problem(Reader(folder / "p.h5")), Catch::Contains(message));
  }
}

TEST_CASE("layers and losses that are not the library's own are reached from a file") {
  test::add_example_layers();
  test::add_logistic_loss();
  const TemporaryFolder folder;
  {
    Writer file(folder / "p.h5", false);
    file.write("/model/architecture", std::string(R"({"inputs": {"type": "vectors", "tokens": 2, "width": 1},
                               "layers": [{"type": "linear", "name": "in", "outputs": 1, "bias": false},
                                          {"type": "test-reversed", "factor": 3}],
                               "loss": {"type": "logistic"}})"));
    file.write("/data/X", Vector<double>{{1, 2}}.data(), {1, 2, 1});
    file.write("/data/Y", Vector<double>{{1, -1}}.data(), {1, 2, 1});
    file.write("/parameters/in.W", Vector<double>{{0.5}}.data(), {1, 1});
    file.commit();
  }
  const Problem problem = hdf5::read_problem(Reader(folder / "p.h5"));
  REQUIRE(problem.described);
  const ModelPoint<double> point = {build<double>(problem.described->architecture, {"in.W"}),
                                    *problem.described->weights,
                                    std::make_shared<Data<double>>(problem.data)};
  const Linearization<double> at = point.linearize();
  CHECK(at.outputs() == Matrix<double>{{3.0}, {1.5}});  // 3 w (x_2, x_1)
  CHECK(at.loss() == Approx(std::log1p(std::exp(-3.0)) + std::log1p(std::exp(1.5))).epsilon(1e-14));
  CHECK(at.gradient()[0] == Approx(-6 / (1 + std::exp(3.0)) + 3 / (1 + std::exp(-1.5))).epsilon(1e-14));
  {
    Writer file(folder / "q.h5", false);
    hdf5::write_problem(file, problem);
    file.commit();
  }
  const Reader again(folder / "q.h5");
  CHECK(again.string_attribute("/", "basin_format") == "2.0");
  CHECK(hdf5::read_problem(again).described->architecture.loss.type == "logistic");
}
