#include "basin/curvature/symmetries.h"

#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"

namespace basin {

Index Symmetries::modes() const {
  Index sum = 0;
  for (const Named& f : families_) sum += f.family->dimension();
  return sum;
}

FamilyTable Symmetries::table() const {
  FamilyTable rows;
  for (const Named& f : families_)
    for (const auto& part : f.family->table(f.name)) add_row(rows, part.first, part.second);
  return rows;
}

void Symmetries::project(ConstVectorsRef<double> V, VectorsRef<double> out) const {
  if (V.rows() != parameters_ || out.rows() != parameters_ || V.cols() != out.cols())
    throw InputError("Symmetries: expected vectors of length " + std::to_string(parameters_) + ", found " +
                     std::to_string(V.rows()));
  parallel_for(V.cols(), [&](Index j, Index) {
    Vector<double> v = V.col(j), p = Vector<double>::Zero(parameters_);
    for (const Named& f : families_) f.family->add_projection(v.data(), p.data());
    out.col(j) = p;
  });
}

void Symmetries::remove(VectorsRef<double> V) const {
  if (families_.empty()) return;
  Vectors<double> P(V.rows(), V.cols());
  project(V, P);
  V -= P;
}

}  // namespace basin
