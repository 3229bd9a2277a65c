/// The families of models whose checkpoints are known: what a configuration says of a network, and where its
/// blocks are.
#pragma once

#include <string>
#include <vector>

#include "basin/checkpoint/checkpoint_map.h"
#include "basin/checkpoint/configuration.h"

namespace basin {

/// What the data say of a network.
struct DataFacts {
  Index tokens = 0;     ///< of a sample; 0 where there are no data: as many as the model can have
  bool masked = false;  ///< some tokens may be none
};

/// A network of a known family, with the loss left as it is, and where its blocks are.
struct FamilyMap {
  CheckpointMap map;
  std::string family;               ///< "nanoGPT"
  std::vector<std::string> unread;  ///< keys of the configuration that say nothing here, but look as if
  Index padding = -1;               ///< the token id that stands for no token; below 0: none is named
};

/// Chooses the family by the configuration (`model_type`; `architecture` of timm). Throws InputError, naming
/// the file and the key or tensor, for a model that no layers here are.
FamilyMap family_map(const Configuration& config, const Checkpoint& checkpoint, const DataFacts& data);

/// The values of `model_type` that there are families for.
std::vector<std::string> model_types();

}  // namespace basin
