#include "common/catalogue/merge.h"

#include <set>
#include <utility>

#include "basin/linalg/errors.h"
#include "common/catalogue/text.h"
#include "common/command/shares.h"

namespace basin::tools {

void join(CatalogueData& whole, CatalogueData part, const std::string& path, const std::string& first) {
  check_same_work(path, part.specification, first, whole.specification,
                  "another problem or with other options");
  if (part.shape.size() != whole.shape.size() || part.shape.function() != whole.shape.function() ||
      part.shape.rows != whole.shape.rows || part.shape.heads != whole.shape.heads)
    throw InputError(path + ": /entry/catalogue: found other sizes than in " + first);
  std::set<std::pair<std::uint64_t, Origin>> seen;
  for (const StartRecord& r : whole.starts) seen.insert({r.seed, r.origin});
  for (const StartRecord& r : part.starts)
    if (r.origin != Origin::given && seen.contains({r.seed, r.origin}))
      throw InputError(
          path + ": the start " +
          (r.origin == Origin::from ? place_of(r, part) : "with seed " + std::to_string(r.seed)) +
          " is in a file before it, too; expected other " + (r.origin == Origin::from ? "starts" : "seeds"));
  for (StartRecord& r : part.starts) {
    if (r.source >= 0) r.source += static_cast<double>(whole.sources.size());
    whole.starts.push_back(std::move(r));
  }
  whole.sources.insert(whole.sources.end(), part.sources.begin(), part.sources.end());
}

}  // namespace basin::tools
