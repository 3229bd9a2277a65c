#include "basin/checkpoint/safetensors.h"

#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <random>
#include <sstream>

#include "basin/linalg/errors.h"
#include "support/temporary_folder.h"

using namespace basin;
using namespace basin::test;

namespace {

std::string in_little_endian(std::uint64_t value, std::size_t bytes) {
  std::string text;
  for (std::size_t k = 0; k < bytes; ++k) text += static_cast<char>(value >> (8 * k) & 0xffU);
  return text;
}

std::string file_of(const std::string& header, const std::string& buffer) {
  return in_little_endian(header.size(), 8) + header + buffer;
}

/// The bits of numbers, one after another.
template <class T, class Bits>
std::string buffer_of(const std::vector<T>& values) {
  std::string buffer;
  for (const T value : values) buffer += in_little_endian(std::bit_cast<Bits>(value), sizeof(T));
  return buffer;
}
std::string doubles(const std::vector<double>& values) {
  return buffer_of<double, std::uint64_t>(values);
}
std::string floats(const std::vector<float>& values) {
  return buffer_of<float, std::uint32_t>(values);
}
std::string halves(const std::vector<std::uint16_t>& bits) {
  return buffer_of<std::uint16_t, std::uint16_t>(bits);
}

std::string entry(const std::string& name, const std::string& type, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}";
}

Vector<double> vector_of(const std::vector<double>& values) {
  return Eigen::Map<const Vector<double>>(values.data(), static_cast<Index>(values.size()));
}

bool same_bits(const Vector<double>& a, const Vector<double>& b) {
  return a.size() == b.size() &&
         (a.size() == 0 ||
          std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(double)) == 0);
}

/// What is said of a file, without its path; empty for one that is read.
class Reader {
 public:
  std::string said_of(const std::string& bytes) const {
    folder_.write("x.safetensors", bytes);
    try {
      const SafetensorsFile file(path());
      return "";
    } catch (const InputError& error) {
      const std::string message = error.what();
      REQUIRE(message.substr(0, path().size() + 2) == path() + ": ");
      return message.substr(path().size() + 2);
    }
  }
  std::string said_of_header(const std::string& header, std::size_t bytes = 24) const {
    return said_of(file_of(header, std::string(bytes, '\0')));
  }
  SafetensorsFile read(const std::string& bytes) const {
    folder_.write("x.safetensors", bytes);
    return SafetensorsFile(path());
  }
  /// That of the first tensor.
  std::string said_of_values(const std::string& bytes) const {
    const SafetensorsFile file = read(bytes);
    try {
      file.values(file.tensors().at(0));
      return "";
    } catch (const InputError& error) {
      return std::string(error.what()).substr(path().size() + 2);
    }
  }
  std::string path() const { return folder_ / "x.safetensors"; }

 private:
  TemporaryFolder folder_;
};

std::vector<StoredTensor> packed(std::vector<StoredTensor> tensors) {
  std::uint64_t end = 0;
  for (StoredTensor& tensor : tensors) {
    tensor.begin = end;
    end += static_cast<std::uint64_t>(tensor.size()) * type_size(tensor.type);
    tensor.end = end;
  }
  return tensors;
}

/// A number of 16 bits, by the definition of its format.
double by_definition(unsigned bits, int fraction_bits) {
  const int exponent_bits = 15 - fraction_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent =
      static_cast<int>(bits >> static_cast<unsigned>(fraction_bits)) & ((1 << exponent_bits) - 1);
  const int fraction = static_cast<int>(bits & ((1U << static_cast<unsigned>(fraction_bits)) - 1));
  const int significand = exponent > 0 ? fraction + (1 << fraction_bits) : fraction;
  const double size = std::ldexp(significand, std::max(exponent, 1) - bias - fraction_bits);
  return bits >= 0x8000U ? -size : size;
}

/// Neighbours below and above `low`, which is not negative, and what has to come of the numbers between.
struct Between {
  double low, high;
  std::uint64_t low_bits, high_bits;
};

/// Ties, what is next to them, and half-way from there to the neighbours; of either sign.
void check_rounding(const std::string& type, std::size_t width, const std::vector<Between>& all) {
  std::vector<double> values;
  std::string expected;
  const auto put = [&](double value, std::uint64_t bits) {
    values.push_back(value);
    expected += in_little_endian(bits, width);
    values.push_back(-value);
    expected += in_little_endian(bits | std::uint64_t{1} << (8 * width - 1), width);
  };
  for (const Between& b : all) {
    const double tie = b.low + (b.high - b.low) / 2;
    put(b.low, b.low_bits);
    put(b.high, b.high_bits);
    put(tie, b.low_bits % 2 == 0 ? b.low_bits : b.high_bits);
    put(std::nextafter(tie, b.low), b.low_bits);
    put(std::nextafter(tie, b.high), b.high_bits);
    put(b.low + (b.high - b.low) / 4, b.low_bits);
    put(b.low + (b.high - b.low) * 3 / 4, b.high_bits);
    put(std::nextafter(b.low, b.high), b.low_bits);
    put(std::nextafter(b.high, b.low), b.high_bits);
  }
  CHECK(encoded(vector_of(values), type, "w") == expected);
}

void check_overflow(const std::string& type, double largest, double step, const std::string& largest_text) {
  const double tie = largest + step / 2;
  for (const double sign : {1.0, -1.0}) {
    CHECK(encoded(vector_of({sign * std::nextafter(tie, 0.0)}), type, "w") ==
          encoded(vector_of({sign * largest}), type, "w"));
    for (const double value : {tie, std::nextafter(tie, HUGE_VAL), 1e300, DBL_MAX})
      CHECK_THROWS_AS(encoded(vector_of({sign * value}), type, "w"), WorkError);
  }
  CHECK_THROWS_WITH(encoded(vector_of({0, 1, -1e300}), type, "layer.weight"),
                    "layer.weight: entry 2 is -1.0000000000000001e+300, beyond the largest number of " +
                        type + ", " + largest_text);
}

const std::string kTwo =
    "{" + entry("a", "F32", "[2,2]", "[0,16]") + "," + entry("b", "F64", "[1]", "[16,24]");

}  // namespace

TEST_CASE("safetensors are read in the header's order, at any place in the buffer") {
  const Reader reader;
  // The buffer has b, s, z, a; none is aligned, since the header has 3 bytes too many.
  const std::string header =
      "{\"__metadata__\":{\"format\":\"pt\",\"a\":\"\\u00e9\"}," +
      entry("a.weight", "F32", "[2,3]", "[14,38]") + "," + entry("b", "U8", "[3,2]", "[0,6]") + "," +
      entry("z", "F16", "[4,0,2]", "[14,14]") + "," + entry("s", "F64", "[]", "[6,14]") + "}";
  const std::string buffer =
      "\x01\x02\x03\xff\x80\x7f" + doubles({-0.1}) + floats({1, -2, 0.1F, 4, 5, -0.0F});
  for (const char* blanks : {"", " ", "   ", " \n"}) {
    const SafetensorsFile file = reader.read(file_of(header + blanks, buffer));
    CHECK(file.path() == reader.path());
    CHECK(file.metadata() == Metadata{{"format", "pt"}, {"a", "\xc3\xa9"}});
    const std::vector<StoredTensor>& tensors = file.tensors();
    REQUIRE(tensors.size() == 4);
    CHECK(tensors[0].name == "a.weight");
    CHECK(tensors[0].type == "F32");
    CHECK(tensors[0].shape == std::vector<Index>{2, 3});
    CHECK(tensors[0].begin == 14);
    CHECK(tensors[0].end == 38);
    CHECK(tensors[0].size() == 6);
    CHECK(same_bits(file.values(tensors[0]), vector_of({1, -2, 0.1F, 4, 5, -0.0})));
    CHECK(tensors[1].name == "b");
    CHECK(file.bytes(tensors[1]) == buffer.substr(0, 6));
    CHECK(tensors[2].name == "z");
    CHECK(tensors[2].shape == std::vector<Index>{4, 0, 2});
    CHECK(tensors[2].size() == 0);
    CHECK(file.values(tensors[2]).size() == 0);
    CHECK(file.bytes(tensors[2]).empty());
    CHECK(tensors[3].shape.empty());
    CHECK(tensors[3].size() == 1);
    CHECK(same_bits(file.values(tensors[3]), vector_of({-0.1})));
  }
  CHECK(reader.read(file_of("{}", "")).tensors().empty());
  CHECK(reader.read(file_of("{\"__metadata__\":{}}", "")).metadata().empty());
  CHECK(reader.said_of(file_of("{" + entry("a", "F32", "[1099511627776,0]", "[0,0]") + "}", "")).empty());
  CHECK(reader
            .said_of(file_of(
                "{" +
                    entry("a", "U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2]",
                          "[0,2]") +
                    "}",
                "ab"))
            .empty());
}

TEST_CASE("tensors longer than what is read at once, and a file that is replaced while it is open") {
  const TemporaryFolder folder;
  std::vector<float> values(700'001);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const std::string header =
      "{" + entry("x", "U8", "[1]", "[0,1]") + "," + entry("a", "F32", "[700001]", "[1,2800005]") + "}";
  folder.write("a.safetensors", file_of(header, "x" + floats(values)));
  const SafetensorsFile file(folder / "a.safetensors");
  std::filesystem::rename(folder / "a.safetensors", folder / "b.safetensors");
  folder.write("a.safetensors", "something else");
  const Vector<double> read = file.values(file.tensors()[1]);
  CHECK(same_bits(read, Vector<double>::LinSpaced(700'001, 0, 700'000)));
  std::filesystem::resize_file(folder / "b.safetensors", 1'000'000);
  CHECK_THROWS_WITH(file.values(file.tensors()[1]),
                    (folder / "a.safetensors") + ": cannot be read: it ends at byte 1000000 by now");
}

TEST_CASE("every type has its size, and numbers of floating types are read") {
  const std::vector<std::pair<const char*, std::size_t>> sizes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
      {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4},     {"F64", 8},     {"I64", 8}, {"U64", 8}};
  const Reader reader;
  for (const auto& [type, size] : sizes) {
    CHECK(type_size(type) == size);
    const std::string file =
        file_of("{" + entry("a.b", type, "[3]", "[0," + std::to_string(3 * size) + "]") + "}",
                std::string(3 * size, '\0'));
    const std::string name = type;
    if (name == "F64" || name == "F32" || name == "F16" || name == "BF16")
      CHECK(same_bits(reader.read(file).values(reader.read(file).tensors()[0]), Vector<double>::Zero(3)));
    else
      CHECK(reader.said_of_values(file) == "a.b is stored as " + name + "; expected F64, F32, F16 or BF16");
    CHECK(reader.read(file).bytes(reader.read(file).tensors()[0]) == std::string(3 * size, '\0'));
  }
  for (const char* type : {"", "f32", "F128", "F32 ", "F4", "C64"}) CHECK(type_size(type) == 0);
}

TEST_CASE("all numbers of 16 bits are read as their format defines them, and written back") {
  const auto [type, fraction_bits] = GENERATE(table<std::string, int>({{"F16", 10}, {"BF16", 7}}));
  const unsigned infinity = 0x8000U - (1U << static_cast<unsigned>(fraction_bits));
  std::vector<std::uint16_t> finite, others;
  std::vector<double> expected;
  for (unsigned bits = 0; bits < 0x10000U; ++bits)
    if ((bits & 0x7fffU) < infinity) {
      finite.push_back(static_cast<std::uint16_t>(bits));
      expected.push_back(by_definition(bits, fraction_bits));
    } else {
      others.push_back(static_cast<std::uint16_t>(bits));
    }
  CHECK(finite.size() == 2 * infinity);
  CHECK(std::signbit(expected[infinity]));
  std::string header = "{" + entry("finite", type, "[" + std::to_string(finite.size()) + "]",
                                   "[0," + std::to_string(2 * finite.size()) + "]");
  std::size_t end = 2 * finite.size();
  for (const std::uint16_t bits : others) {
    header += "," + entry(std::to_string(bits), type, "[]",
                          "[" + std::to_string(end) + "," + std::to_string(end + 2) + "]");
    end += 2;
  }
  const Reader reader;
  const SafetensorsFile file = reader.read(file_of(header + "}", halves(finite) + halves(others)));
  CHECK(same_bits(file.values(file.tensors()[0]), vector_of(expected)));
  CHECK(encoded(vector_of(expected), type, "w") == halves(finite));
  REQUIRE(file.tensors().size() == 1 + others.size());
  std::size_t right = 0;
  for (std::size_t k = 0; k < others.size(); ++k) {
    const unsigned bits = others[k];
    const std::string what = (bits & 0x7fffU) > infinity ? "NaN"
                             : bits == infinity          ? "infinity"
                                                         : "-infinity";
    try {
      file.values(file.tensors()[k + 1]);
    } catch (const InputError& error) {
      right += error.what() == reader.path() + ": '" + std::to_string(bits) + "': its entry is " + what +
                                   "; expected finite numbers" ||
               error.what() == reader.path() + ": " + std::to_string(bits) + ": its entry is " + what +
                                   "; expected finite numbers";
    }
  }
  CHECK(right == others.size());
}

TEST_CASE("numbers are rounded once, to the nearest, in ties to the even one") {
  for (const auto& [type, fraction_bits] : {std::pair{"F16", 10}, std::pair{"BF16", 7}}) {
    const unsigned infinity = 0x8000U - (1U << static_cast<unsigned>(fraction_bits));
    std::vector<Between> all;
    for (unsigned bits = 0; bits + 1 < infinity; ++bits)
      all.push_back(
          {by_definition(bits, fraction_bits), by_definition(bits + 1, fraction_bits), bits, bits + 1});
    check_rounding(type, 2, all);
  }
  check_overflow("F16", 65504, 32, "65504");
  check_overflow("BF16", by_definition(0x7f7f, 7), 0x1p120, "3.3895313892515355e+38");

  std::vector<Between> all;
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const std::uint32_t bits = i < 5    ? static_cast<std::uint32_t>(i)
                               : i < 10 ? 0x7ffffbU + i
                                        : random() % 0x7f7fffffU;
    const auto number = [](std::uint32_t b) { return static_cast<double>(std::bit_cast<float>(b)); };
    all.push_back({number(bits), number(bits + 1), bits, bits + 1});
  }
  check_rounding("F32", 4, all);
  check_overflow("F32", FLT_MAX, 0x1p104, "3.4028234663852886e+38");

  // By way of a float this would be a tie.
  CHECK(encoded(vector_of({1 + 0x1p-11 + 0x1p-40}), "F16", "w") == halves({0x3c01}));
  CHECK(encoded(vector_of({1 + 0x1p-8 + 0x1p-40}), "BF16", "w") == halves({0x3f81}));
  CHECK(encoded(vector_of({1e-300, -1e-300, 5e-324, -5e-324}), "F16", "w") == halves({0, 0x8000, 0, 0x8000}));
  CHECK(encoded(vector_of({1e-300, -1e-300, 5e-324, -5e-324}), "BF16", "w") ==
        halves({0, 0x8000, 0, 0x8000}));

  const std::vector<double> wide = {0.1, -0.0, 5e-324, -DBL_MAX, DBL_MIN, 1e308};
  CHECK(encoded(vector_of(wide), "F64", "w") == doubles(wide));
  CHECK(encoded({}, "F64", "w").empty());
  for (const char* type : {"F64", "F32", "F16", "BF16"})
    for (const double value : {HUGE_VAL, -HUGE_VAL, kNaN})
      CHECK_THROWS_AS(encoded(vector_of({0, value}), type, "w"), WorkError);
  CHECK_THROWS_WITH(encoded(vector_of({0, kNaN}), "F32", "w\n"),
                    R"('w\x0a': entry 1 is NaN; expected finite numbers)");
  CHECK_THROWS_WITH(encoded(vector_of({0}), "I64", "w"),
                    "w cannot be written as I64; expected F64, F32, F16 or BF16");
}

TEST_CASE("numbers that are not finite are refused with their place") {
  const Reader reader;
  const auto said = [&](const std::string& shape, const std::vector<float>& values) {
    return reader.said_of_values(file_of(
        "{" + entry("h.0.weight", "F32", shape, "[0," + std::to_string(4 * values.size()) + "]") + "}",
        floats(values)));
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(said("[4,2]", {0, 0, 0, 0, 0, 0, 0, nan}) ==
        "h.0.weight: entry [3, 1] is NaN; expected finite numbers");
  CHECK(said("[2,2,2]", {0, 0, 0, 0, HUGE_VALF, nan, 0, 0}) ==
        "h.0.weight: entry [1, 0, 0] is infinity; expected finite numbers");
  CHECK(said("[3]", {0, -HUGE_VALF, 0}) == "h.0.weight: entry [1] is -infinity; expected finite numbers");
  CHECK(said("[]", {nan}) == "h.0.weight: its entry is NaN; expected finite numbers");
  CHECK(reader.said_of_values(file_of("{" + entry("d", "F64", "[1]", "[0,8]") + "}", doubles({kNaN}))) ==
        "d: entry [0] is NaN; expected finite numbers");
}

TEST_CASE("what is not a file of safetensors is refused, and nothing waits") {
  const TemporaryFolder folder;
  const auto said = [&](const std::string& name) {
    try {
      const SafetensorsFile file(folder / name);
      return std::string();
    } catch (const InputError& error) {
      return std::string(error.what()).substr((folder / name).size());
    }
  };
  CHECK(said("nowhere") == ": cannot be opened: No such file or directory");
  CHECK(said("") == ": cannot be opened: not a regular file; expected a .safetensors file");
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(said("pipe") == ": cannot be opened: not a regular file; expected a .safetensors file");

  const Reader reader;
  CHECK(reader.said_of("") == "the file is empty; expected a .safetensors file");
  CHECK(reader.said_of("\x10\0\0") == "found 1 bytes; expected 8 with the length of the header");
  CHECK(reader.said_of("1234567") == "found 7 bytes; expected 8 with the length of the header");
  CHECK(reader.said_of(std::string(8, '\0')) == "found a header length of 0; expected a .safetensors file");
  CHECK(
      reader.said_of(in_little_endian(1099511627776, 8) + "{}") ==
      "found a header length of 1099511627776 bytes; expected at most 100000000, and the 2 bytes of the file "
      "after it");
  CHECK(reader.said_of(in_little_endian(100'000'001, 8) + "{}") ==
        "found a header length of 100000001 bytes; expected at most 100000000, and the 2 bytes of the file "
        "after it");
  CHECK(reader.said_of(std::string(8, '\xff')) ==
        "found a header length of 18446744073709551615 bytes; expected at most 100000000, and the 0 bytes of "
        "the "
        "file after it");
  CHECK(reader.said_of(in_little_endian(100'000'000, 8) + "{}") ==
        "found a header length of 100000000 bytes; expected at most the 2 bytes of the file after it");
  CHECK(reader.said_of(in_little_endian(3, 8) + "{}") ==
        "found a header length of 3 bytes; expected at most the 2 bytes of the file after it");
  CHECK(reader.said_of("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n") ==
        "a pointer of Git LFS, not the file itself; expected what 'git lfs pull' puts there");
  CHECK(reader.said_of(in_little_endian(2, 8) + "[]") == "its header begins with '['; expected '{'");
  CHECK(reader.said_of(in_little_endian(3, 8) + "\xef{}") ==
        R"(its header begins with '\xef'; expected '{')");
}

TEST_CASE("a header longer than the format allows is refused where the file has it") {
  const TemporaryFolder folder;
  for (const std::uint64_t length : {100'000'001U, 100'000'000U}) {
    folder.write("a", in_little_endian(length, 8) + "[");
    std::filesystem::resize_file(folder / "a", 100'000'030);  // a hole
    CHECK_THROWS_WITH(SafetensorsFile(folder / "a"),
                      length > 100'000'000
                          ? Catch::EndsWith("found a header length of 100000001 bytes; expected at most "
                                            "100000000, and the 100000022 bytes of the file after it")
                          : Catch::EndsWith("its header begins with '['; expected '{'"));
  }
}

TEST_CASE("the archives of PyTorch are told apart, with Python that converts them") {
  const Reader reader;
  const std::string zip = std::string("PK\x03\x04\0\0\x08\x08", 8) + std::string(100, '\0');
  const std::string legacy =
      "\x80\x02\x8a\nl\xfc\x9c"
      "F\xf9 j\xa8P\x19.";
  const std::string framed = std::string("\x80\x04\x95\x05\0\0\0\0\0\0\0}", 12);
  for (const std::string& bytes : {zip, legacy, framed, std::string("\x80\x03"), std::string("PK\x03\x04")}) {
    CHECK(looks_like_pickle(bytes));
    const std::string message = reader.said_of(bytes);
    CHECK(message == pickle_recipe(reader.path()));
    CHECK(std::count(message.begin(), message.end(), '\n') == 4);
  }
  for (const std::string& bytes : {std::string("\x80\x01"), std::string("\x80\x06"), std::string("\x80"),
                                   std::string("PK\x03"), std::string(), std::string("\x02\x80")})
    CHECK_FALSE(looks_like_pickle(bytes));
  CHECK(pickle_recipe("/data/it's \"x\".v2.bin") ==
        "a PyTorch archive (zip, pickle), not safetensors; this Python converts it:\n"
        "    import torch, safetensors.torch\n"
        "    state = torch.load(\"/data/it's \\\"x\\\".v2.bin\", map_location=\"cpu\", weights_only=True)\n"
        "    for key in (\"model\", \"state_dict\", \"model_state_dict\"): state = state.get(key, state)\n"
        "    safetensors.torch.save_file({k: v.clone().contiguous() for k, v in state.items()}, "
        "\"/data/it's \\\"x\\\".v2.safetensors\")");
  CHECK_THAT(pickle_recipe("a/model.safetensors"), Catch::EndsWith("\"a/model-converted.safetensors\")"));
  CHECK_THAT(pickle_recipe("a.b/m\n\xff"),
             Catch::Contains(R"("a.b/m\n\ufffd")") && Catch::EndsWith(R"("a.b/m\n\ufffd.safetensors"))"));

  // Headers whose length has the first bytes of a pickle.
  for (const std::size_t length : {0x280U, 0x380U, 0x480U, 0x580U, 0x10280U}) {
    const std::string file = file_of("{}" + std::string(length - 2, ' '), "");
    CHECK(reader.said_of(file).empty());
    CHECK(looks_like_pickle(file.substr(0, 8)));
  }
}

TEST_CASE("headers that are no JSON are refused") {
  const Reader reader;
  for (const char* header :
       {"{", "{]", "{\"a\"", "{\"a\":", "{} {}", "{},", "{}x", "{\"a\":tru}", "{,}", "{1:2}", "{\"\xff\":1}",
        "{\"\\ud800\":1}", "{\"a\":{\"shape\":[01]}}", "{} // x"})
    CHECK_THAT(reader.said_of_header(header),
               Catch::StartsWith("its header is no JSON: parse error at line 1, column "));
  CHECK(reader.said_of_header(std::string("{}\0\0", 4)) ==
        "its header has a zero byte at byte 2; expected JSON");
  CHECK(reader.said_of_header(kTwo + "]") ==
        "its header is no JSON: parse error at line 1, column " + std::to_string(kTwo.size() + 1) +
            ": syntax error while parsing object - unexpected ']'; expected '}'");
  CHECK(reader.said_of_header("{\"" + std::string(1'000'000, 'x')).size() < 300);
  CHECK_THAT(reader.said_of_header("{\"a\x1b[2J\xff"), !Catch::Contains("\x1b") && !Catch::Contains("\xff"));
  CHECK_THAT(reader.said_of_header("{\"a\":" + std::string(1'000'000, '[')),
             Catch::Equals("a: found an array; expected an object"));
  CHECK(reader.said_of_header("{\"a\":{\"shape\":[" + std::string(1'000'000, '[')) ==
        "a: 'shape': found an array; expected a list of at most 32 integers from 0 to 2^40");
}

TEST_CASE("names that stand twice are refused at every level") {
  const Reader reader;
  CHECK(reader.said_of_header(kTwo + "}").empty());
  CHECK(reader.said_of_header(kTwo + "," + entry("a", "F32", "[2,2]", "[0,16]") + "}") ==
        "a stands twice in the header");
  CHECK(reader.said_of_header(kTwo + "," + entry("\\u0061", "F32", "[2,2]", "[0,16]") + "}") ==
        "a stands twice in the header");
  CHECK(reader.said_of_header(R"({"__metadata__":{},"__metadata__":{}})") ==
        "__metadata__ stands twice in the header");
  CHECK(reader.said_of_header(R"({"__metadata__":{"k":"1","l":"2","k":"1"}})") ==
        "__metadata__: 'k' stands twice");
  CHECK(reader.said_of_header(R"({"a":{"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4) ==
        "a: 'dtype' stands twice");
  CHECK(reader.said_of_header(R"({"a":{"shape":[1],"dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4) ==
        "a: 'shape' stands twice");
  CHECK(reader.said_of_header(R"({"a":{"data_offsets":[0,4],"data_offsets":[0,4],"dtype":"F32"}})", 4) ==
        "a: 'data_offsets' stands twice");
}

TEST_CASE("members of other kinds are refused with the name of the tensor") {
  const Reader reader;
  const std::vector<std::pair<const char*, const char*>> kinds = {
      {"null", "null"},   {"true", "true"},
      {"false", "false"}, {"-1", "-1"},
      {"-0", "-0"},       {"1.0", "1.0"},
      {"1e2", "1e2"},     {"\"x\"", "a string"},
      {"[]", "an array"}, {"{}", "an object"},
      {"5", "5"},         {"99999999999999999999", "99999999999999999999"}};
  for (const auto& [value, kind_text] : kinds) {
    const std::string found = kind_text;
    const auto check = [&](const std::string& header, const std::string& where, const std::string& expected) {
      CHECK(reader.said_of_header(header) == where + ": found " + found + "; expected " + expected);
    };
    if (found != "an object") {
      check(std::string(R"({"a.b":)") + value + "}", "a.b", "an object");
      check(std::string(R"({"__metadata__":)") + value + "}", "__metadata__", "an object");
    }
    if (found != "a string") {
      check(std::string(R"({"__metadata__":{"k":)") + value + "}}", "__metadata__: 'k'", "a string");
      check(std::string(R"({"a":{"dtype":)") + value + "}}", "a: 'dtype'", "a string");
    }
    if (found != "an array") {
      check(std::string(R"({"a":{"shape":)") + value + "}}", "a: 'shape'",
            "a list of at most 32 integers from 0 to 2^40");
      check(std::string(R"({"a":{"data_offsets":)") + value + "}}", "a: 'data_offsets'",
            "two integers from 0, [begin, end]");
    }
    if (found != "5") {
      check(std::string(R"({"a":{"shape":[2,)") + value + "]}}", "a: 'shape'",
            "a list of at most 32 integers from 0 to 2^40");
      check(std::string(R"({"a":{"data_offsets":[0,)") + value + "]}}", "a: 'data_offsets'",
            "two integers from 0, [begin, end]");
    }
  }
  CHECK_THAT(reader.said_of_header("{\"a\":1e999}"),
             Catch::Equals("its header is no JSON: number overflow parsing '1e999'"));
  CHECK(reader.said_of_header(R"({"a":{"shape":[1099511627777]}})") ==
        "a: 'shape': found 1099511627777; expected a list of at most 32 integers from 0 to 2^40");
  CHECK(reader.said_of_header(
            R"({"a":{"shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}})") ==
        "a: 'shape': found more numbers; expected a list of at most 32 integers from 0 to 2^40");
  for (const auto& [offsets, found] :
       {std::pair{"[]", "0 numbers"}, std::pair{"[4]", "1 numbers"}, std::pair{"[0,4,8]", "more numbers"}})
    CHECK(reader.said_of_header(R"({"a":{"data_offsets":)" + std::string(offsets) + "}}") ==
          "a: 'data_offsets': found " + std::string(found) + "; expected two integers from 0, [begin, end]");
  CHECK(reader.said_of_header(R"({"a":{"offsets":[0,4]}})") ==
        "a: unknown member 'offsets'; expected 'dtype', 'shape' and 'data_offsets'");
  CHECK(reader.said_of_header(R"({"a":{"dtype":"F32","shape":[]}})") == "a: 'data_offsets' is missing");
  CHECK(reader.said_of_header(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})") == "a: 'shape' is missing");
  CHECK(reader.said_of_header(R"({"a":{"shape":[],"data_offsets":[0,4]}})") == "a: 'dtype' is missing");
  CHECK(reader.said_of_header("{" + entry("a", "F4\\u001b", "[]", "[0,4]") + "}") ==
        R"(a: unknown type 'F4\x1b'; expected one of BOOL, U8, I8, F8_E5M2, F8_E4M3, I16, U16, F16, )"
        "BF16, I32, U32, F32, F64, I64, U64");
}

TEST_CASE("names that cannot be names of HDF5 objects are refused, and all are safe to show") {
  const Reader reader;
  const auto said = [&](const std::string& name) {
    return reader.said_of_header("{" + entry(name, "F32", "[2]", "[0,4]") + "}");
  };
  CHECK(said("") == "a tensor has an empty name");
  CHECK(reader.said_of_header(R"({"":5})") == "a tensor has an empty name");  // before what it has
  CHECK(said(".") == "a tensor has the name '.'; expected a word");
  CHECK(said("..") == "a tensor has the name '..'; expected a word");
  CHECK(said("a/b") == "a tensor has the name 'a/b'; expected one without '/' and zero bytes");
  CHECK(said("a\\u0000b") == R"(a tensor has the name 'a\x00b'; expected one without '/' and zero bytes)");
  CHECK(said(std::string(5000, 'x')) ==
        "the name '" + std::string(200, 'x') + "...' has 5000 bytes; expected at most 4096");
  const std::string rest = ": data_offsets [0, 4] hold 4 bytes; expected 8, for shape (2,) of type F32";
  CHECK(said("...") == "..." + rest);
  CHECK(said(std::string(200, 'x')) == std::string(200, 'x') + rest);
  CHECK(said(std::string(201, 'x')) == "'" + std::string(200, 'x') + "...'" + rest);
  CHECK(said("a b") == "'a b'" + rest);
  CHECK(said("\\u001b[2J\\n\\u202e") == R"('\x1b[2J\x0a\xe2\x80\xae')" + rest);
}

TEST_CASE("shapes and offsets that do not go together are refused") {
  const Reader reader;
  const auto said = [&](const std::string& type, const std::string& shape, const std::string& offsets) {
    return reader.said_of_header("{" + entry("a", type, shape, offsets) + "}");
  };
  CHECK(said("F32", "[2,3]", "[0,24]").empty());
  CHECK(said("F32", "[2,3]", "[0,20]") ==
        "a: data_offsets [0, 20] hold 20 bytes; expected 24, for shape (2, 3) of type F32");
  CHECK(said("F64", "[2,3]", "[0,24]") ==
        "a: data_offsets [0, 24] hold 24 bytes; expected 48, for shape (2, 3) of type F64");
  CHECK(said("F64", "[]", "[0,0]") ==
        "a: data_offsets [0, 0] hold 0 bytes; expected 8, for shape () of type F64");
  CHECK(said("F32", "[6]", "[24,0]") == "a: data_offsets [24, 0] end before they begin");
  CHECK(said("F32", "[6]", "[18446744073709551615,23]") ==
        "a: data_offsets [18446744073709551615, 23] end before they begin");
  CHECK(said("F32", "[1048576,1048577]", "[0,24]") ==
        "a: shape (1048576, 1048577) has more than 2^40 numbers");
  // Products that are 6 and 0 modulo 2^64.
  CHECK(said("F32", "[4294967296,4294967296]", "[0,24]") ==
        "a: shape (4294967296, 4294967296) has more than 2^40 numbers");
  CHECK(said("U8", "[1099511627776,1099511627776,0]", "[0,0]") ==
        "a: shape (1099511627776, 1099511627776, 0) has more than 2^40 numbers");
  CHECK(said("U8", "[274177,67280421310721]", "[0,24]") ==
        "a: 'shape': found 67280421310721; expected a list of at most 32 integers from 0 to 2^40");
  CHECK(said("U8", "[1099511627776]", "[0,1099511627776]") ==
        "the data end early: expected 1099511627776 bytes, found 24 (1099511627752 missing); a is cut");
}

TEST_CASE("tensors have to fill the buffer without holes and overlaps") {
  const Reader reader;
  const auto said = [&](const std::string& a, const std::string& b, std::size_t bytes = 24) {
    return reader.said_of_header(
        "{" + entry("a", "F32", "[2,2]", a) + "," + entry("b", "F64", "[1]", b) + "}", bytes);
  };
  CHECK(said("[0,16]", "[16,24]").empty());
  CHECK(said("[8,24]", "[0,8]").empty());
  CHECK(said("[0,16]", "[12,20]") == "the data of a and b overlap: data_offsets [0, 16] and [12, 20]");
  CHECK(said("[4,20]", "[0,8]") == "the data of b and a overlap: data_offsets [0, 8] and [4, 20]");
  CHECK(said("[0,16]", "[0,8]") == "the data of b and a overlap: data_offsets [0, 8] and [0, 16]");
  CHECK(said("[0,16]", "[4,12]") == "the data of a and b overlap: data_offsets [0, 16] and [4, 12]");
  CHECK(said("[0,16]", "[20,28]", 28) ==
        "bytes 16 to 20 of the data belong to no tensor: a hole between a and b");
  CHECK(said("[12,28]", "[0,8]", 28) ==
        "bytes 8 to 12 of the data belong to no tensor: a hole between b and a");
  CHECK(said("[12,28]", "[4,12]", 28) == "bytes 0 to 4 of the data belong to no tensor: a hole before b");
  CHECK(said("[0,16]", "[18446744073709551600,18446744073709551608]") ==
        "bytes 16 to 18446744073709551600 of the data belong to no tensor: a hole between a and b");
  CHECK(said("[0,16]", "[16,24]", 23) ==
        "the data end early: expected 24 bytes, found 23 (1 missing); b is cut");
  CHECK(said("[0,16]", "[16,24]", 16) ==
        "the data end early: expected 24 bytes, found 16 (8 missing); b is cut");
  CHECK(said("[0,16]", "[16,24]", 15) ==
        "the data end early: expected 24 bytes, found 15 (9 missing); a is cut");
  CHECK(said("[8,24]", "[0,8]", 0) ==
        "the data end early: expected 24 bytes, found 0 (24 missing); b is cut");
  CHECK(said("[0,16]", "[16,24]", 27) ==
        "the data are too long: expected 24 bytes, found 27; 3 follow the last tensor, b");
  CHECK(said("[8,24]", "[0,8]", 25) ==
        "the data are too long: expected 24 bytes, found 25; 1 follow the last tensor, a");
  CHECK(reader.said_of_header("{}", 5) ==
        "the data are too long: expected 0 bytes, found 5; 5 follow a header without tensors");

  // Tensors without numbers stand between others, not inside.
  const auto with_empty = [&](const std::string& at) {
    return reader.said_of_header("{" + entry("a", "F32", "[2,2]", "[0,16]") + "," +
                                 entry("none", "F32", "[0]", "[" + at + "," + at + "]") + "," +
                                 entry("b", "F64", "[1]", "[16,24]") + "}");
  };
  for (const char* at : {"0", "16", "24"}) CHECK(with_empty(at).empty());
  CHECK(with_empty("8") == "the data of a and none overlap: data_offsets [0, 16] and [8, 8]");
  CHECK(with_empty("25") == "bytes 24 to 25 of the data belong to no tensor: a hole between b and none");
}

TEST_CASE("tensors of another file are refused") {
  const Reader reader;
  const SafetensorsFile file = reader.read(file_of(kTwo + "}", std::string(24, '\0')));
  for (const StoredTensor& tensor :
       {StoredTensor{"c", "F32", {2}, 20, 28}, StoredTensor{"c", "F32", {1}, 1ULL << 60U, (1ULL << 60U) + 4},
        StoredTensor{"c", "F32", {3}, 0, 4}, StoredTensor{"c", "F32", {-1}, 4, 0}}) {
    const bool beyond = tensor.end > 24;
    const auto message = beyond ? Catch::EndsWith(": c is not a tensor of this file") : Catch::EndsWith("");
    CHECK_THROWS_WITH(file.values(tensor), message);
    CHECK_THROWS_WITH(file.bytes(tensor), message);
  }
}

TEST_CASE("a tensor that no memory holds is refused before it is allocated") {
  const TemporaryFolder folder;
  const std::string header = "{" + entry("a", "BF16", "[1000000,1000000]", "[0,2000000000000]") + "}";
  folder.write("a", file_of(header, ""));
  std::error_code error;
  std::filesystem::resize_file(folder / "a", 8 + header.size() + 2'000'000'000'000, error);  // a hole
  if (error) return;
  const SafetensorsFile file(folder / "a");
  CHECK_THROWS_WITH(file.values(file.tensors()[0]),
                    Catch::Contains("a: a: shape (1000000, 1000000) would take 8 TB of memory"));
  CHECK_THROWS_WITH(file.bytes(file.tensors()[0]),
                    Catch::Contains("a: a: shape (1000000, 1000000) would take 2 TB of memory"));
}

TEST_CASE("files are written to the byte as other writers do") {
  std::ostringstream out;
  write_safetensors(out, {{"b", "F32", {2}, 2, 10}, {"a\"\xc3\xa9", "U8", {1, 2}, 0, 2}},
                    {{"format", "pt"}, {"k\n", ""}}, [](std::size_t k) {
                      return k == 0 ? floats({1, -2}) : std::string("xy");
                    });
  const std::string header =
      R"({"__metadata__":{"format":"pt","k\n":""},"b":{"dtype":"F32","shape":[2],"data_offsets":[2,10]},)"
      "\"a\\\"\xc3\xa9\":{\"dtype\":\"U8\",\"shape\":[1,2],\"data_offsets\":[0,2]}}";
  const std::string padded = header + std::string(7 - (header.size() + 7) % 8, ' ');
  CHECK(padded.size() % 8 == 0);
  CHECK(out.str() == file_of(padded, "xy" + floats({1, -2})));

  std::ostringstream none;
  write_safetensors(none, {}, {}, [](std::size_t) { return std::string(); });
  CHECK(none.str() == file_of("{}      ", ""));
}

TEST_CASE("what is written is read again, in the same order and to the same bits") {
  std::mt19937_64 random(7);
  const std::vector<std::string> types = {"F64", "F32", "F16", "BF16"};
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<StoredTensor> tensors;
    for (std::size_t k = 0; k < 1 + random() % 6; ++k) {
      StoredTensor tensor{"block." + std::to_string(k) + (random() % 2 == 0 ? ".weight" : ".b \xc3\xa9"),
                          types[random() % 4],
                          {}};
      for (std::size_t axis = random() % 4; axis > 0; --axis)
        tensor.shape.push_back(static_cast<Index>(random() % 4));
      tensors.push_back(tensor);
    }
    tensors = packed(tensors);
    std::shuffle(tensors.begin(), tensors.end(), random);
    std::vector<std::string> bytes;
    for (const StoredTensor& tensor : tensors) {
      Vector<double> values(tensor.size());
      for (double& value : values)
        value = std::ldexp(static_cast<double>(random() % 2001) - 1000, static_cast<int>(random() % 20) - 15);
      bytes.push_back(encoded(values, tensor.type, tensor.name));
    }
    const Metadata metadata = {{"trial", std::to_string(trial)}, {"a", "b"}};
    std::ostringstream out;
    write_safetensors(out, tensors, metadata, [&](std::size_t k) { return bytes[k]; });
    const Reader reader;
    const SafetensorsFile file = reader.read(out.str());
    CHECK(file.metadata() == metadata);
    REQUIRE(file.tensors().size() == tensors.size());
    for (std::size_t k = 0; k < tensors.size(); ++k) {
      const StoredTensor& read = file.tensors()[k];
      CHECK(read.name == tensors[k].name);
      CHECK(read.type == tensors[k].type);
      CHECK(read.shape == tensors[k].shape);
      CHECK(read.begin == tensors[k].begin);
      CHECK(read.end == tensors[k].end);
      CHECK(file.bytes(read) == bytes[k]);
      CHECK(encoded(file.values(read), read.type, read.name) == bytes[k]);
    }
    std::ostringstream again;
    write_safetensors(again, file.tensors(), file.metadata(),
                      [&](std::size_t k) { return file.bytes(file.tensors()[k]); });
    CHECK(again.str() == out.str());
  }
}

TEST_CASE("nothing is written that the reader would refuse") {
  const auto said = [](const std::vector<StoredTensor>& tensors, const Metadata& metadata = {}) {
    std::ostringstream out;
    try {
      write_safetensors(out, tensors, metadata, [](std::size_t) { return std::string(4, 'x'); });
    } catch (const InputError& error) {
      CHECK(out.str().empty());
      return std::string(error.what());
    } catch (const WorkError& error) {
      return "work: " + std::string(error.what());
    }
    return std::string();
  };
  CHECK(said({{"a", "F32", {1}, 0, 4}}).empty());
  CHECK(said({{"a", "F32", {1}, 0, 4}, {"a", "F32", {1}, 4, 8}}) == "a: the name is taken");
  CHECK(said({{"__metadata__", "F32", {1}, 0, 4}}) == "__metadata__: the name is taken");
  CHECK(said({{"", "F32", {1}, 0, 4}}) == "a tensor has an empty name");
  CHECK(said({{"a/b", "F32", {1}, 0, 4}}) ==
        "a tensor has the name 'a/b'; expected one without '/' and zero bytes");
  CHECK(said({{"\xff", "F32", {1}, 0, 4}}) == R"('\xff' is not UTF-8)");
  CHECK(said({{"a", "F32", {1}, 0, 4}}, {{"k", "\xff"}}) == R"('\xff' is not UTF-8)");
  CHECK(said({{"a", "F32", {1}, 0, 4}}, {{"k", "1"}, {"k", "2"}}) == "__metadata__: 'k' stands twice");
  CHECK_THAT(said({{"a", "F4", {1}, 0, 4}}),
             Catch::StartsWith("a: unknown type 'F4'; expected one of BOOL, "));
  CHECK(said({{"a", "F32", {-1}, 0, 4}}) == "a: 'shape' has -1; expected at least 0");
  CHECK(said({{"a", "F32", std::vector<Index>(33, 1), 0, 4}}) == "a: 'shape' has more than 32 sizes");
  CHECK(said({{"a", "F32", {2}, 0, 4}}) ==
        "a: data_offsets [0, 4] hold 4 bytes; expected 8, for shape (2,) of type F32");
  CHECK(said({{"a", "F32", {1}, 0, 4}, {"b", "F32", {1}, 0, 4}}) ==
        "the data of a and b overlap: data_offsets [0, 4] and [0, 4]");
  CHECK(said({{"a", "F32", {1}, 4, 8}}) == "bytes 0 to 4 of the data belong to no tensor: a hole before a");
  CHECK(said({{"a", "F64", {1}, 0, 8}}) == "work: a: 4 bytes to write; expected 8");
  if (std::ofstream full("/dev/full", std::ios::binary); full)
    CHECK_THROWS_AS(write_safetensors(full, {{"a", "F32", {1}, 0, 4}}, {},
                                      [](std::size_t) { return std::string(4, 'x'); }),
                    WorkError);
}

namespace {

std::string good_file() {
  const std::vector<StoredTensor> tensors = packed({{"transformer.wte.weight", "F32", {5, 4}},
                                                    {"transformer.h.0.attn.c_attn.weight", "BF16", {4, 3}},
                                                    {"transformer.h.0.attn.bias", "BOOL", {1, 1, 4, 4}},
                                                    {"none", "F16", {0, 4}},
                                                    {"scale", "F64", {}},
                                                    {"caf\xc3\xa9 \x1b", "F16", {7}}});
  std::ostringstream out;
  write_safetensors(out, tensors, {{"format", "pt"}, {"source", "\xe2\x82\xac\n"}}, [&](std::size_t k) {
    const Vector<double> values = Vector<double>::LinSpaced(tensors[k].size(), -1, 2);
    return tensors[k].type == "BOOL" ? std::string(16, '\1') : encoded(values, tensors[k].type, "w");
  });
  return out.str();
}

class Mutations {
 public:
  explicit Mutations(std::uint64_t seed) : random_(seed) {}

  std::string of(std::string file) {
    for (std::size_t times = 1 + below(3); times > 0; --times) mutate(file);
    // Most go through the check of the length, so that what follows is tried.
    if (below(4) != 0 && file.size() > 8) {
      const std::size_t end = file.rfind('}');
      const std::size_t length = end == std::string::npos || end < 8 ? below(file.size() - 7) : end - 7;
      file.replace(0, 8, in_little_endian(length, 8));
    }
    return file;
  }

 private:
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  void mutate(std::string& file) {
    static const std::vector<std::string> pieces = {
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "null",
        "true",
        "-1",
        "-0",
        "1.5",
        "1e999",
        "0",
        "4",
        "18446744073709551615",
        "18446744073709551616",
        "4294967296",
        "1099511627776",
        "\"a\"",
        "\"dtype\":\"F32\",",
        "\"shape\":[]",
        "\"data_offsets\":[0,4]",
        "[0,0]",
        "\"F16\"",
        "\"I64\"",
        "\"__metadata__\":{},",
        "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},",
        "\\u0000",
        "\\ud800",
        "\\u001b",
        "/",
        ".",
        std::string(1, '\0'),
        "\xff",
        "\xc3",
        "\x1b[2J",
        "\n",
        "[[[[[[[[",
        "{\"a\":{\"a\":",
        "PK\x03\x04"};
    const std::size_t at = below(file.size()), length = 1 + below(below(2) == 0 ? 8 : 80);
    const std::string run = file.substr(std::min(at, file.size()), length);
    switch (below(9)) {
      case 0:  // any bit
        if (!file.empty()) file[at] = static_cast<char>(file[at] ^ (1 << below(8)));
        return;
      case 1:
        if (!file.empty()) file[at] = static_cast<char>(below(256));
        return;
      case 2:
        file.erase(std::min(at, file.size()), length);
        return;
      case 3:  // a run once more, there or elsewhere
        file.insert(below(2) == 0 ? std::min(at, file.size()) : below(file.size()), run);
        return;
      case 4:
        file.resize(below(8) == 0 ? below(12) : at);
        return;
      case 5: {  // a digit
        const std::size_t digit = file.find_first_of("0123456789", at);
        if (digit != std::string::npos) file[digit] = static_cast<char>('0' + below(10));
        return;
      }
      case 6: {  // bytes anywhere
        std::string some;
        for (std::size_t k = 0; k < length; ++k) some += static_cast<char>(below(256));
        file.insert(std::min(at, file.size()), some);
        return;
      }
      case 7: {  // instead of a word
        const std::size_t word = file.find_first_of("{}[],:\"", at);
        if (word != std::string::npos) file.replace(word, below(3), pieces[below(pieces.size())]);
        return;
      }
      default:
        file.insert(std::min(at, file.size()), pieces[below(pieces.size())]);
    }
  }

  std::mt19937_64 random_;
};

struct Outcomes {
  std::size_t read = 0, refused = 0, refused_values = 0, recipes = 0;
  std::vector<std::string> wrong;
};

bool is_one_line(const std::string& message) {
  return message.size() < 1000 &&
         std::all_of(message.begin(), message.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
}

Outcomes outcomes_of(std::size_t count, std::uint64_t seed) {
  const std::string good = good_file();
  const TemporaryFolder folder;
  const std::string path = folder / "x.safetensors";
  Mutations mutations(seed);
  Outcomes outcomes;
  for (std::size_t i = 0; i < count; ++i) {
    std::filesystem::remove(
        path);  // some file systems write to the disk at once what replaces a file's bytes
    folder.write("x.safetensors", mutations.of(good));
    const auto check = [&](const std::string& message) {
      if (message == path + ": " + pickle_recipe(path))
        ++outcomes.recipes;
      else if (!is_one_line(message) || message.rfind(path + ": ", 0) != 0)
        outcomes.wrong.push_back(message);
    };
    try {
      const SafetensorsFile file(path);
      ++outcomes.read;
      for (const StoredTensor& tensor : file.tensors()) {
        if (file.bytes(tensor).size() != tensor.end - tensor.begin) outcomes.wrong.emplace_back("bytes");
        try {
          if (file.values(tensor).size() != tensor.size()) outcomes.wrong.emplace_back("values");
        } catch (const InputError& error) {
          ++outcomes.refused_values;
          check(error.what());
        }
      }
    } catch (const InputError& error) {
      ++outcomes.refused;
      check(error.what());
    } catch (const std::exception& error) {
      outcomes.wrong.push_back(std::string("of another kind: ") + error.what());
    }
  }
  return outcomes;
}

}  // namespace

TEST_CASE("files with any damage are read or refused with one line") {
  const Outcomes outcomes = outcomes_of(2000, 1);
  CHECK(outcomes.wrong == std::vector<std::string>());
  CHECK(outcomes.read + outcomes.refused == 2000);
  CHECK(outcomes.read > 100);
  CHECK(outcomes.refused > 1000);
}

TEST_CASE("files with any damage, many of them", "[.long]") {
  const Outcomes outcomes = outcomes_of(200'000, 2);
  CHECK(outcomes.wrong == std::vector<std::string>());
  CHECK(outcomes.read + outcomes.refused == 200'000);
  CHECK(outcomes.recipes > 0);
}
