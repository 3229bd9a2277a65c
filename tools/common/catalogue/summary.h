/// What a catalogue says, in a few lines.
#pragma once

#include "common/catalogue/file.h"
#include "common/command/command.h"

namespace basin::tools {

/// The verdicts first, then the entries.
void say_catalogue(Command& command, const CatalogueData& data, const Catalogue& catalogue);

}  // namespace basin::tools
