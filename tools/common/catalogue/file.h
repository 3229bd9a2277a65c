/// Files of catalogues of stationary points (lib/hdf5/FORMAT.md).
#pragma once

#include <string>
#include <vector>

#include "basin/hdf5/file.h"
#include "basin/stationary/perturbed_descents.h"
#include "common/command/journal.h"

namespace basin::tools {

/// A finished catalogue: what /entry/starts of its file holds, and what belongs to all of them.
struct CatalogueData : StartsFound {
  Specification specification;       ///< what points must share to stand in one catalogue
  std::vector<std::string> sources;  ///< of given points and starts: FILE:DATASET
};

/// /entry/starts, /entry/entries, /entry/shares, /entry/catalogue, /entry/losses.
void write_catalogue(hdf5::Writer& file, const CatalogueData& data, const Catalogue& catalogue);
/// /entry/escape: what a step from the saddle that represents an entry leads to.
void write_escape(hdf5::Writer& file, std::size_t entry, const StartRecord& saddle,
                  const FollowedEscape& followed);
/// Throws InputError for a file of something else.
CatalogueData read_catalogue(const hdf5::Reader& file);

}  // namespace basin::tools
