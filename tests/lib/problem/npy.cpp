#include "basin/problem/npy.h"

#include <sys/stat.h>

#include <algorithm>
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

TEST_CASE("headers of other writers are read") {
  const TemporaryFolder folder;
  const std::vector<double> values = {0, 1, 2, 3, 4, 5};
  const Vector<double> expected = Eigen::Map<const Vector<double>>(values.data(), 6);
  for (const char* header : {"{'shape': (2, 3), 'descr': '<f8', 'fortran_order': False}",
                             "{\"descr\": \"<f8\", \"fortran_order\": False, \"shape\": (2, 3)}",
                             "{ 'descr' :'<f8' ,\t'fortran_order' : False , 'shape' : ( 2,3 , ) , } \n",
                             "{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 3L), }",
                             "{u'descr': u'<f8', u'fortran_order': False, u'shape': (2, 3), }",
                             "{'descr': 'f8', 'fortran_order': False, 'shape': (2, 3)}",
                             "{'descr': '=f8', 'fortran_order': False, 'shape': (2, 3)}",
                             "{'descr': '<d', 'fortran_order': False, 'shape': (2, 3)}",
                             "{'descr': 'float64', 'fortran_order': False, 'shape': (2, 3)}"}) {
    INFO(header);
    folder.write("a.npy", npy(header, values));
    const NpyArray a = read_npy(folder / "a.npy");
    CHECK(a.shape == std::vector<Index>{2, 3});
    CHECK(a.values == expected);
  }
}

TEST_CASE("numbers in the other byte order, and arrays longer than a buffer") {
  const TemporaryFolder folder;
  const auto reversed = []<class T>(std::vector<T> values) {
    for (T& value : values) {
      auto* bytes = reinterpret_cast<unsigned char*>(&value);
      std::reverse(bytes, bytes + sizeof(T));
    }
    return values;
  };
  const std::vector<double> values = {0.1, -1, 2e300, 3, 4, 5};
  folder.write("d.npy", npy(std::string("{'descr': '>f8', 'fortran_order': False, 'shape': (6,), }"),
                            reversed(values)));
  CHECK(read_npy(folder / "d.npy").values == Eigen::Map<const Vector<double>>(values.data(), 6));
  folder.write("f.npy", npy(std::string("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }"),
                            reversed(std::vector<float>{0.5F, -3})));
  CHECK(read_npy(folder / "f.npy").values == Vector<double>{{0.5, -3}});
  std::vector<double> many(300000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<double>(i);
  folder.write("o.npy",
               npy(std::string("{'descr': '<f8', 'fortran_order': True, 'shape': (1000, 300), }"), many));
  const Vector<double> read = read_npy(folder / "o.npy").values;
  bool same = true;  // entry (i, j) is i + 1000 j
  for (Index i = 0; i < 1000; ++i)
    for (Index j = 0; j < 300; ++j) same = same && read[300 * i + j] == static_cast<double>(i + 1000 * j);
  CHECK(same);
}

TEST_CASE("an array that no memory holds is refused before it is read") {
  const TemporaryFolder folder;
  folder.write("x.npy",
               npy<double>("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }", {}));
  const std::size_t header = std::filesystem::file_size(folder / "x.npy");
  std::error_code error;
  std::filesystem::resize_file(folder / "x.npy", header + 4000000000000, error);  // a hole
  if (!error)
    CHECK_THROWS_WITH(read_npy(folder / "x.npy"),
                      Catch::Contains("x.npy: shape (1000000000000,) would take 8 TB of memory"));
}

TEST_CASE("anything else is refused with one line") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& bytes, const std::string& message) {
    folder.write("x.npy", bytes);
    CHECK_THROWS_WITH(read_npy(folder / "x.npy"), Catch::Contains("x.npy: ") && Catch::Contains(message));
  };
  const std::vector<double> six = {0, 1, 2, 3, 4, 5};
  refused("hello", "not a .npy file");
  refused("PK\x03\x04 and so on", "an .npz archive");
  refused(npy(kHeader, six).substr(0, 8), "truncated");
  refused(npy(kHeader, six).substr(0, 30), "truncated");
  refused(npy(kHeader, six, 9), "format version 9");
  refused(npy<double>(kHeader, {0, 1, 2}),
          "found 24 bytes after the header; expected 48, for shape (2, 3) of type '<f8'");
  refused(npy<double>(kHeader, {0, 1, 2, 3, 4, 5, 6}), "found 56 bytes after the header; expected 48");
  refused(npy(kHeader, six) + npy(kHeader, six), "bytes after the header; expected 48");  // two arrays
  refused(npy<double>(kHeader, {0, 1, 2, HUGE_VAL, 4, 5}), "found NaN or infinity at entry 3");
  const auto refused_header = [&](const std::string& header, const std::string& message) {
    refused(npy(header, six), message);
  };
  const auto with_type = [](const std::string& type) {
    return "{'descr': " + type + ", 'fortran_order': False, 'shape': (6,), }\n";
  };
  for (const char* type : {"'<i8'", "'<f2'", "'|b1'", "'<c16'", "'<f16'", "'<U4'", "''", "'<'"})
    refused_header(with_type(type), "found data of type " + std::string(type) + ", expected float64");
  refused_header(with_type("'|O'"), "found Python objects of type '|O'");
  refused_header(with_type("[('x', '<f8')]"), "found structured data");
  const auto with_shape = [](const std::string& shape) {
    return "{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + ", }\n";
  };
  refused_header(with_shape("(99999999999, 99999999999)"), "expected 8e+07 PB, for shape (99999999999, 9");
  refused_header(with_shape("(4294967296, 4294967296)"),
                 "48 bytes after the header; expected");  // 2^64 entries
  refused_header(with_shape("(9999999999999999999,)"), "more than any machine holds");
  refused_header(with_shape("(-6,)"), "'shape' has '-', expected whole numbers");
  refused_header(with_shape("(6.0,)"), "found '.' at byte");
  refused_header(with_shape("(6x,)"), "'shape' has '6x', expected whole numbers");
  refused_header(with_shape("6"), "found '6' at byte");
  refused_header(with_shape("(6,"), "in its header ");
  refused_header("{'descr': '<f8', 'fortran_order': False}", "it has no 'shape'");
  refused_header("{'descr': '<f8', 'shape': (6,)}", "it has no 'fortran_order'");
  refused_header("{'fortran_order': False, 'shape': (6,)}", "it has no 'descr'");
  refused_header("{'descr': '<f8', 'fortran_order': 0, 'shape': (6,)}", "'fortran_order' is '0'");
  refused_header("{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (6,)}", "there twice");
  refused_header("{'descr': '<f8', 'fortran_order': False, 'shape': (6,), 'x': 1}", "found 'x', expected");
  refused_header("{'descr': '<f8', 'fortran_order': False, 'shape': (6,)} 7", "something follows");
  refused_header("{'descr: <f8}", "in quotes at byte");
  refused_header("", "found its end at byte 0, expected '{'");
  const std::string long_header =
      "{'descr': '<f8', 'fortran_order': False, 'shape': (" + std::string(60000, ' ') + "6,), }\n";
  std::string file = std::string("\x93NUMPY\x02") + '\0';
  for (int i = 0; i < 4; ++i) file += static_cast<char>(long_header.size() >> (8 * i));
  folder.write("long.npy", file + long_header + std::string(48, '\0'));
  CHECK(read_npy(folder / "long.npy").shape == std::vector<Index>{6});
  CHECK_THROWS_WITH(read_npy(folder / ""), Catch::Contains("cannot be opened: not a regular file"));
  CHECK_THROWS_WITH(read_npy(folder / "nowhere.npy"),
                    Catch::EndsWith("cannot be opened: No such file or directory"));
  REQUIRE(mkfifo((folder / "pipe.npy").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(read_npy(folder / "pipe.npy"), Catch::Contains("not a regular file"));
}
