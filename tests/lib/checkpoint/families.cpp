#include "basin/checkpoint/families.h"

#include <catch2/catch.hpp>

#include "basin/checkpoint/map_builder.h"
#include "basin/linalg/errors.h"
#include "support/checkpoint.h"

using namespace basin;
using namespace basin::test;
using Catch::Contains;

// What the maps give is held against PyTorch from outside (tests/tools/test_checkpoint.py).

TEST_CASE("the configuration chooses the family") {
  const TemporaryFolder folder;
  write_checkpoint(folder / "m.safetensors",
                   {{"_orig_mod.transformer.wte.weight", "F32", {3, 2}, {1, 2, 3, 4, 5, 6}}});
  const Checkpoint checkpoint(folder / "m.safetensors");
  const auto map = [&](const std::string& text, Index tokens = 0) {
    return family_map(Configuration("config.json", text), checkpoint, {tokens, false});
  };
  const std::string sizes = R"("n_layer": 1, "n_head": 1, "n_embd": 2, "block_size": 4, "vocab_size": 3)";
  const FamilyMap made = map(R"({"model_type": "nanogpt", "comment": 1, )" + sizes + "}");
  CHECK(made.family == "nanoGPT");
  CHECK(made.unread == std::vector<std::string>{"comment"});
  CHECK(made.map.architecture.input.tokens == 4);
  CHECK(made.map.blocks.front().parts.front().tensor == "_orig_mod.transformer.wte.weight");
  CHECK(map(R"({"model_type": "nanogpt", )" + sizes + "}", 3).map.architecture.input.tokens == 3);
  CHECK_THROWS_WITH(map(R"({"model_type": "nanogpt", )" + sizes + "}", 5),
                    Contains("block_size") && Contains("4 tokens"));
  CHECK_THROWS_WITH(map("{" + sizes + "}"), Contains("'model_type' is missing") && Contains("nanogpt"));
  CHECK_THROWS_WITH(map(R"({"model_type": "nanogtp"})"), Contains("did you mean 'nanogpt'"));
  CHECK_THROWS_WITH(map(R"({"model_type": "nanogpt", "biass": true, )" + sizes + "}"),
                    Contains("did you mean 'bias'"));
  CHECK_THROWS_WITH(map(R"({"model_type": "t5"})"), Contains("unknown family 't5'") && Contains("gpt_neox"));
  CHECK(made.padding == -1);
  for (const auto& [id, padding] : {std::pair{"0", 0}, {"2", 2}, {"-1", -1}, {"-7", -1}, {"null", -1}})
    CHECK(
        map(R"({"model_type": "nanogpt", "pad_token_id": )" + std::string(id) + ", " + sizes + "}").padding ==
        padding);
  for (const char* id : {"1e300", "0.5", "3000000000", "-1e300"})
    CHECK_THROWS_WITH(
        map(R"({"model_type": "nanogpt", "pad_token_id": )" + std::string(id) + ", " + sizes + "}"),
        Contains("pad_token_id") && Contains("expected the id of a token"));
  CHECK_THROWS_WITH(
      map(R"({"model_type": "nanogpt", "n_layer": 1000000000, "n_head": 1, "n_embd": 2, "block_size": 4, "vocab_size": 3})"),
      Contains("n_layer") && Contains("1 tensors"));
  CHECK_THROWS_WITH(
      map(R"({"model_type": "nanogpt", "n_layer": 1, "n_head": 3, "n_embd": 2, "block_size": 4, "vocab_size": 3})"),
      Contains("n_head") && Contains("does not divide n_embd = 2"));
  CHECK_THROWS_WITH(
      map(R"({"model_type": "gpt2", "activation_function": "gelu_fast", "n_positions": 4, )" + sizes + "}"),
      Contains("activation_function") && Contains("gelu_fast"));
}

TEST_CASE("names without what wrappers and surroundings put before them") {
  const TemporaryFolder folder;
  const auto names = [&](const std::vector<std::string>& all) {
    std::vector<NamedTensor> tensors;
    for (const std::string& name : all) tensors.push_back({name, "F32", {1}, {0}});
    write_checkpoint(folder / "m.safetensors", tensors);
    return TensorNames(Checkpoint(folder / "m.safetensors"));
  };
  const Checkpoint kept = [&] {
    static_cast<void>(names({"module.model._orig_mod.wte.weight", "module.model.ln._orig_mod.weight"}));
    return Checkpoint(folder / "m.safetensors");
  }();
  TensorNames found(kept);
  CHECK(found.find_prefix({"transformer.", ""}, {"wte.weight"}).empty());
  CHECK(found.prefix() == "model.");
  CHECK(found.has("ln.weight"));
  CHECK(found.stored("wte.weight") == "module.model._orig_mod.wte.weight");
  CHECK(found.stored("wpe.weight") == "model.wpe.weight");
  CHECK_THROWS_WITH(names({"a._orig_mod.b", "a.b"}),
                    Contains("a._orig_mod.b and a.b") || Contains("a.b and a._orig_mod.b"));

  write_checkpoint(folder / "two.safetensors",
                   {{"x.wte.weight", "F32", {1}, {0}}, {"y.wte.weight", "F32", {1}, {0}}});
  const Checkpoint two(folder / "two.safetensors");
  TensorNames both(two);
  CHECK_THROWS_WITH(both.find_prefix({""}, {"wte.weight"}), Contains("found two models"));
}
