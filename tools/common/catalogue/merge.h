/// Catalogues of one problem, from different starts, as one.
#pragma once

#include <string>

#include "common/catalogue/file.h"

namespace basin::tools {

/// Adds a part to the whole. Throws InputError, which names the file of the part, if it is of another problem
/// than the whole, or of other options, or has a start that the whole has. first: the file that the whole is
/// from.
void join(CatalogueData& whole, CatalogueData part, const std::string& path, const std::string& first);

}  // namespace basin::tools
