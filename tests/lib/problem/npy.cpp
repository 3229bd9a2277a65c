#include "problem/npy.h"

#include <catch2/catch.hpp>
#include <cstring>

#include "support/temporary_folder.h"

using namespace basin;
using namespace basin::test;

namespace {

template <class T>
std::string npy(const std::string& header, const std::vector<T>& values, int version = 1) {
  std::string file = std::string("\x93NUMPY") + static_cast<char>(version) + '\0';
  file += static_cast<char>(header.size());
  file += '\0';
  if (version > 1) file += std::string(2, '\0');
  file += header;
  file.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return file;
}

const std::string kHeader = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }\n";

}  // namespace

TEST_CASE("npy arrays of both precisions, orders and all versions") {
  const TemporaryFolder folder;
  const std::vector<double> values = {0, 1, 2, 3, 4, 5};
  const Vector<double> expected = Eigen::Map<const Vector<double>>(values.data(), 6);
  for (const int version : {1, 2, 3}) {
    folder.write("a.npy", npy(kHeader, values, version));
    const NpyArray a = read_npy(folder / "a.npy");
    CHECK(a.shape == std::vector<Index>{2, 3});
    CHECK(a.values == expected);
  }
  folder.write("f.npy",
               npy<float>("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }\n", {0, 1, 2, 3, 4, 5}));
  CHECK(read_npy(folder / "f.npy").values == expected);
  CHECK(read_npy(folder / "f.npy").shape == std::vector<Index>{6});
  // (2, 3) in Fortran order: 0 3 | 1 4 | 2 5
  folder.write("o.npy", npy<double>("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }\n",
                                    {0, 3, 1, 4, 2, 5}));
  CHECK(read_npy(folder / "o.npy").values == expected);
  folder.write("s.npy", npy<double>("{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n", {7}));
  CHECK(read_npy(folder / "s.npy").shape.empty());
}

TEST_CASE("anything else is refused with one line") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& bytes, const std::string& message) {
    folder.write("x.npy", bytes);
    CHECK_THROWS_WITH(read_npy(folder / "x.npy"), Catch::Contains("x.npy: ") && Catch::Contains(message));
  };
  const std::vector<double> six = {0, 1, 2, 3, 4, 5};
  refused("hello", "not a .npy file");
  refused(npy(kHeader, six).substr(0, 30), "truncated");
  refused(npy(kHeader, six, 9), "format version 9");
  refused(npy<double>(kHeader, {0, 1, 2}), "damaged");
  refused(npy<double>(kHeader, {0, 1, 2, 3, 4, 5, 6}), "damaged");
  refused(npy<double>(kHeader, {0, 1, 2, HUGE_VAL, 4, 5}), "found NaN or infinity at entry 3");
  refused(npy<std::int64_t>("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }\n", {1}),
          "found data of type '<i8'");
  refused(npy(std::string("{'descr': '>f8', 'fortran_order': False, 'shape': (6,), }\n"), six),
          "found data of type '>f8'");
  refused(
      npy(std::string("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 99999999999), }\n"),
          six),
      "damaged");
  const std::string long_header =
      "{'descr': '<f8', 'fortran_order': False, 'shape': (" + std::string(60000, ' ') + "6,), }\n";
  std::string file = std::string("\x93NUMPY\x02") + '\0';
  for (int i = 0; i < 4; ++i) file += static_cast<char>(long_header.size() >> (8 * i));
  folder.write("long.npy", file + long_header + std::string(48, '\0'));
  CHECK(read_npy(folder / "long.npy").shape == std::vector<Index>{6});
  CHECK_THROWS_WITH(read_npy(folder / ""), Catch::EndsWith("cannot be opened"));
  CHECK_THROWS_WITH(read_npy(folder / "nowhere.npy"), Catch::EndsWith("cannot be opened"));
}
