#include "basin/checkpoint/checkpoint.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "support/checkpoint.h"

using namespace basin;
using namespace basin::test;
using Catch::Contains;

namespace {

const NamedTensor kFirst = {"a", "F32", {2}, {1, 2}}, kSecond = {"b", "F64", {1, 3}, {3, 4, 5}};

std::string index(const std::string& map) {
  return R"({"metadata": {"total_size": 32}, "weight_map": )" + map + "}";
}

}  // namespace

TEST_CASE("a checkpoint is a file, an index of shards, or a folder with either") {
  const TemporaryFolder folder;
  write_checkpoint(folder / "one.safetensors", {kFirst, kSecond}, {{"format", "pt"}});
  std::filesystem::create_directories(folder / "shards");
  write_checkpoint(folder / "shards/x-1.safetensors", {kFirst}, {{"format", "pt"}});
  write_checkpoint(folder / "shards/x-2.safetensors", {kSecond});
  folder.write("shards/model.safetensors.index.json",
               index(R"({"a": "x-1.safetensors", "b": "x-2.safetensors"})"));
  const std::string in_shards = folder / "shards/model.safetensors.index.json";
  for (const std::string& path :
       {folder / "one.safetensors", std::string(folder / ""), in_shards, folder / "shards"}) {
    const Checkpoint checkpoint(path);
    REQUIRE(checkpoint.tensors().size() == 2);
    CHECK(checkpoint.metadata() == Metadata{{"format", "pt"}});
    CHECK(checkpoint.values("a") == Vector<double>(Eigen::Vector2d(1, 2)));
    CHECK(checkpoint.values("b") == Vector<double>(Eigen::Vector3d(3, 4, 5)));
    CHECK(checkpoint.bytes("a").size() == 8);
    // as if in one file
    CHECK(checkpoint.tensors()[1].begin == checkpoint.tensors()[0].end);
    CHECK(checkpoint.find("c") == nullptr);
    CHECK_THROWS_WITH(checkpoint.values("c"), Contains("there is no tensor 'c'"));
  }
  const Checkpoint shards(in_shards);
  CHECK(shards.files() == std::vector<std::string>{in_shards, folder / "shards/x-1.safetensors",
                                                   folder / "shards/x-2.safetensors"});
  CHECK(shards.folder() == folder / "shards/");
  CHECK(Checkpoint(folder / "one.safetensors").folder() == folder / "");
}

TEST_CASE("an index has to say exactly what is where") {
  const TemporaryFolder folder;
  write_checkpoint(folder / "x-1.safetensors", {kFirst});
  write_checkpoint(folder / "x-2.safetensors", {kSecond});
  const auto refused = [&](const std::string& text, const std::string& words) {
    folder.write("m.safetensors.index.json", text);
    CHECK_THROWS_WITH(Checkpoint(folder / "m.safetensors.index.json"), Contains(words));
  };
  refused(index(R"({"a": "x-1.safetensors", "b": "x-3.safetensors"})"), "shard 'x-3.safetensors' is missing");
  refused(index(R"({"a": "x-1.safetensors", "b": "../x-2.safetensors"})"), "shard '../x-2.safetensors'");
  refused(index(R"({"a": "/etc/passwd"})"), "expected a plain file name");
  refused(index(R"({"a": ".."})"), "expected a plain file name");
  refused(index(R"({"a": ""})"), "expected a plain file name");
  refused(index(R"({"a": 1})"), "the file of 'a' is number");
  refused(index(R"({"a": "x-1.safetensors", "c": "x-1.safetensors"})"), "has no tensor 'c'");
  refused(index(R"({"a": "x-1.safetensors", "c": "x-2.safetensors"})"), "has the tensor 'b'");
  refused(index(R"({"a": "x-1.safetensors", "a": "x-2.safetensors"})"), "twice");
  refused(index("[]"), "weight_map");
  refused(index("{}"), "weight_map");
  refused("{}", "weight_map");
  refused("[", "no JSON");
}

TEST_CASE("a folder has to have one checkpoint") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(Checkpoint(folder / ""), Contains("found no .safetensors file"));
  folder.write("pytorch_model.bin", "PK");
  CHECK_THROWS_WITH(Checkpoint(folder / ""), Contains("pytorch_model.bin") && Contains("torch.load"));
  write_checkpoint(folder / "a.safetensors", {kFirst});
  CHECK(Checkpoint(folder / "").path() == folder / "a.safetensors");
  write_checkpoint(folder / "b.safetensors", {kSecond});
  CHECK_THROWS_WITH(Checkpoint(folder / ""),
                    Contains("'a.safetensors', 'b.safetensors'") && Contains("name the one that is meant"));
  CHECK_THROWS_AS(Checkpoint(folder / "nothing.safetensors"), InputError);
  REQUIRE(mkfifo((folder / "pipe.safetensors.index.json").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(Checkpoint(folder / "pipe.safetensors.index.json"), Contains("not a regular file"));
}
