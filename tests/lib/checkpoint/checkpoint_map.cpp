#include "basin/checkpoint/checkpoint_map.h"

#include <catch2/catch.hpp>
#include <sstream>

#include "basin/checkpoint/export.h"
#include "basin/linalg/errors.h"
#include "support/checkpoint.h"

using namespace basin;
using namespace basin::test;
using Catch::Contains;

namespace {

/// Two heads and a tied head: keys and the like in one tensor, the output map of each head in its own.
const std::string kMap = R"({
  "architecture": {"inputs": {"type": "tokens", "tokens": 2, "vocabulary": 3},
                   "layers": [{"type": "embedding", "width": 2},
                              {"type": "attention", "heads": 2, "head-dim": 1, "causal": true},
                              {"type": "linear", "name": "head", "bias": false, "weight": {"tied": "embedding.E"}}],
                   "loss": {"type": "cross-entropy"}},
  "blocks": {"embedding.E": {"tensor": "wte", "shape": [3, 2]},
             "attention.W_Q": {"tensor": "qkv", "reshape": [3, 2, 1, 2], "index": [0], "permute": [0, 2, 1]},
             "attention.W_K": {"tensor": "qkv", "reshape": [3, 2, 1, 2], "index": [1], "permute": [0, 2, 1]},
             "attention.W_V": {"tensor": "qkv", "reshape": [3, 2, 1, 2], "index": [2, ":"], "permute": [0, 2, 1]},
             "attention.W_O": [{"tensor": "o.0", "reshape": [1, 1, 2]}, {"tensor": "o.1", "reshape": [1, 1, 2]}]},
  "copies": {"lm_head": "wte"},
  "skipped": ["*.mask"]})";

std::vector<NamedTensor> tensors() {
  return {{"wte", "F32", {3, 2}, {1, 2, 3, 4, 5, 6}},
          {"qkv", "F64", {6, 2}, {10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33}},
          {"attn.mask", "BOOL", {2, 2}, {1, 1, 1, 1}},
          {"o.1", "F16", {2}, {42, 43}},
          {"o.0", "F16", {2}, {40, 41}},
          {"lm_head", "F32", {3, 2}, {1, 2, 3, 4, 5, 6}}};
}

ImportedCheckpoint imported(const TemporaryFolder& folder, const std::vector<NamedTensor>& all,
                            const std::string& map = kMap, const std::vector<std::string>& unused = {}) {
  write_checkpoint(folder / "m.safetensors", all, {{"format", "pt"}});
  return import_checkpoint(Checkpoint(folder / "m.safetensors"), checkpoint_map_from_json(map), unused,
                           "map.json");
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  REQUIRE(text.find(from) != std::string::npos);
  return text.replace(text.find(from), from.size(), to);
}

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("weights come from where the map says, and go back there") {
  const TemporaryFolder folder;
  const ImportedCheckpoint got = imported(folder, tensors());
  Vector<double> expected(22);
  // embedding.E; W_Q, W_K, W_V (2, 2, 1); W_O (2, 1, 2)
  expected << 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33, 40, 41, 42, 43;
  CHECK(got.weights == expected);
  CHECK(got.layout.kept.size() == 1);
  CHECK(got.layout.kept.at("attn.mask") == std::string(4, '\1'));
  CHECK(got.layout.copies.at("lm_head") == "wte");

  const std::vector<ParameterBlock> all = blocks(checkpoint_map_from_json(kMap).architecture);
  std::ostringstream back;
  write_weights(back, got.layout, all, got.weights);
  CHECK(back.str() == file_text(folder / "m.safetensors"));

  // through its text as well
  CheckpointLayout read = checkpoint_layout_from_json(to_json(got.layout));
  read.kept = got.layout.kept;
  CHECK_NOTHROW(check_layout(read, all, "text"));
  std::ostringstream again;
  write_weights(again, read, all, got.weights, {{"note", "x"}});
  folder.write("again.safetensors", again.str());
  const SafetensorsFile file(folder / "again.safetensors");
  CHECK(file.metadata() == Metadata{{"format", "pt"}, {"note", "x"}});
  CHECK(file.values(file.tensors()[3]) == Vector<double>(Eigen::Vector2d(42, 43)));

  std::ostringstream vector;
  write_vector(vector, got.layout, all, -got.weights, "F64");
  folder.write("vector.safetensors", vector.str());
  const SafetensorsFile written(folder / "vector.safetensors");
  REQUIRE(written.tensors().size() == 4);  // neither masks nor copies
  CHECK(written.tensors()[0].type == "F64");
  CHECK(written.values(written.tensors()[0])[5] == -6);
}

TEST_CASE("vectors over some blocks, tensor by tensor") {
  const TemporaryFolder folder;
  const ImportedCheckpoint got = imported(folder, tensors());
  const ParameterLayout trained(blocks(checkpoint_map_from_json(kMap).architecture),
                                {"attention.W_K", "attention.W_O"});
  const TensorVectors vectors(got.layout, trained);
  REQUIRE(vectors.tensors().size() == 3);
  Vector<double> theta(8);
  theta << 1, 2, 3, 4, 5, 6, 7, 8;
  Vector<double> qkv(12);
  qkv << 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0;
  CHECK(vectors.tensor(0, theta) == qkv);
  CHECK(vectors.tensors()[1].name == "o.1");
  CHECK(vectors.tensor(1, theta) == Vector<double>(Eigen::Vector2d(7, 8)));
  Vector<double> back = Vector<double>::Zero(8);
  for (std::size_t k = 0; k < 3; ++k) vectors.insert(k, vectors.tensor(k, theta), back);
  CHECK(back == theta);
  qkv[11] = 1e-300;
  CHECK_THROWS_WITH(vectors.insert(0, qkv, back),
                    Contains("tensor qkv: its entry 11") && Contains("expected 0"));
}

TEST_CASE("maps are written as they are read") {
  const CheckpointMap map = checkpoint_map_from_json(kMap);
  const CheckpointMap again = checkpoint_map_from_json(to_json(map));
  CHECK(again.blocks == map.blocks);
  CHECK(again.copies == map.copies);
  CHECK(again.skipped == map.skipped);
  CHECK(to_json(again) == to_json(map));
}

TEST_CASE("what a map says wrongly is refused with its place") {
  const auto refused = [](const std::string& from, const std::string& to, const std::string& words) {
    CHECK_THROWS_WITH(checkpoint_map_from_json(replaced(kMap, from, to)), Contains(words));
  };
  refused("\"skipped\"", "\"skiped\"", "unknown member 'skiped'; did you mean 'skipped'");
  refused("\"index\": [0]", "\"index\": [-1]", "blocks.attention.W_Q.index: found -1");
  refused("\"index\": [0]", "\"index\": [\"\"]", "whole axes");
  refused("\"index\": [0]", "\"index\": 0", "expected a list");
  refused("\"reshape\": [3, 2, 1, 2], \"index\": [0]", "\"reshap\": []", "did you mean 'reshape'");
  refused("{\"tensor\": \"wte\", \"shape\": [3, 2]}", "{}", "blocks.embedding.E: 'tensor' is missing");
  refused("{\"tensor\": \"wte\", \"shape\": [3, 2]}", "[]", "empty list");
  refused("\"lm_head\": \"wte\"", "\"lm_head\": 1", "copies.lm_head");
  refused("\"heads\": 2", "\"heads\": \"2\"", "layers[1].heads");
  CHECK_THROWS_WITH(checkpoint_map_from_json("{}"), Contains("'architecture' is missing"));
  CHECK_THROWS_WITH(checkpoint_map_from_json("[]"), Contains("expected an object"));
}

TEST_CASE("checkpoints that are not what the map says are refused by tensor or block") {
  const TemporaryFolder folder;
  // the map is blamed for what it says, the checkpoint for what it has
  const auto refused = [&](const auto& change, const std::string& words, const std::string& map = kMap) {
    std::vector<NamedTensor> all = tensors();
    change(all);
    CHECK_THROWS_WITH(imported(folder, all, map),
                      Contains(map == kMap && words.find("reshape") == std::string::npos ? "m.safetensors: "
                                                                                         : "map.json: ") &&
                          Contains(words));
  };
  const auto nothing = [](std::vector<NamedTensor>&) {};
  using All = std::vector<NamedTensor>;
  refused([](All& all) { all[0].name = "wtf"; }, "tensor wte is missing, which map.json implies");
  refused([](All& all) { all[0].shape = {2, 3}; }, "tensor wte has shape (2, 3); expected (3, 2)");
  refused([](All& all) { all[0].shape = {2, 3}; }, "transposed");
  refused([](All& all) { all[0].type = "I64"; }, "tensor wte is stored as I64");
  refused([](All& all) { all[4].shape = {1}, all[4].values = {1}; },
          "tensor o.0 of shape (1,): reshape (1, 1, 2)");
  refused([](All& all) { all.push_back({"more", "F32", {1}, {0}}); }, "tensor more (1,) is not used");
  refused([](All& all) { all[5].values[4] = 7; },
          "tensor lm_head is tied to wte, but they differ, first in entry 4");
  refused([](All& all) { all[5].values[0] = -0.0, all[0].values[0] = 0; }, "bit for bit");
  refused([](All& all) { all[5].type = "F64"; }, "expected the same type and shape");
  refused(nothing, "is in attention.W_Q and in attention.W_K",
          replaced(kMap, "\"index\": [1]", "\"index\": [0]"));
  refused(nothing, "block attention.W_O of the network has no tensor",
          replaced(kMap, R"(,
             "attention.W_O": [{"tensor": "o.0", "reshape": [1, 1, 2]}, {"tensor": "o.1", "reshape": [1, 1, 2]}])",
                   ""));
  refused(nothing, "block 'attention.W_P' is none of the network; the nearest is attention.W_",
          replaced(kMap, "attention.W_O", "attention.W_P"));
  refused(nothing, "block attention.W_O: its parts have shapes (1, 1, 2) and (1, 2)",
          replaced(kMap, "\"o.1\", \"reshape\": [1, 1, 2]", "\"o.1\", \"reshape\": [1, 2]"));
  refused(nothing, "block attention.W_Q: what the map takes of qkv has shape (2, 1, 2); expected (2, 2, 1)",
          replaced(kMap, "\"index\": [0], \"permute\": [0, 2, 1]", "\"index\": [0], \"permute\": [0, 1, 2]"));
  refused(
      [](All& all) {
        all.push_back({"v", "F32", {4}, {1, 2, 3, 4}});
      },
      "tensor qkv: 4 of its 12 entries are in no block, the first 8",
      replaced(kMap, R"({"tensor": "qkv", "reshape": [3, 2, 1, 2], "index": [2, ":"], "permute": [0, 2, 1]})",
               R"({"tensor": "v", "reshape": [2, 2, 1]})"));
}

TEST_CASE("tensors may be named as unused, and come back") {
  const TemporaryFolder folder;
  std::vector<NamedTensor> all = tensors();
  all.push_back({"adapter.A", "BF16", {2}, {1, 2}});
  CHECK_THROWS_WITH(imported(folder, all), Contains("adapter.A"));
  const ImportedCheckpoint got = imported(folder, all, kMap, {"adapter.*"});
  CHECK(got.layout.kept.contains("adapter.A"));
  std::ostringstream back;
  write_weights(back, got.layout, blocks(checkpoint_map_from_json(kMap).architecture), got.weights);
  CHECK(back.str() == file_text(folder / "m.safetensors"));
  // a copy that is left out may differ
  all[5].values[4] = 7;
  CHECK_THROWS_WITH(imported(folder, all, kMap, {"adapter.*"}), Contains("lm_head is tied to wte"));
  CHECK(imported(folder, all, kMap, {"adapter.*", "lm_head"}).weights == got.weights);
}
