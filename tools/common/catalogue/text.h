/// Points of a catalogue in words.
#pragma once

#include <string>

#include "common/catalogue/file.h"

namespace basin::tools {

/// "FILE:DATASET:ROW" of what is given.
std::string place_of(const StartRecord& r, const CatalogueData& data);

/// The verdict on a start in a few words, with its loss.
std::string brief(const StartRecord& r, Verdict verdict, const Catalogue& catalogue);

/// The verdict on a start in words, with the numbers that carry it.
std::string describe(const StartRecord& r, Verdict verdict, const Catalogue& catalogue,
                     const std::string& minimum_source);

/// What a step from the saddle that represents an entry leads to.
std::string escape_text(std::size_t entry, const StartRecord& saddle, const FollowedEscape& followed);

}  // namespace basin::tools
