/// What a catalogue says, in a few lines.
#pragma once

#include "common/catalogue_file.h"
#include "common/command.h"

namespace basin::tools {

/// The verdicts first, then the entries.
void say_catalogue(Command& command, const CatalogueData& data, const Catalogue& catalogue);

}  // namespace basin::tools
