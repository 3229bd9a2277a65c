#include "common/command/tensors.h"

#include "basin/hdf5/problem_file.h"

namespace basin::tools {

void write_by_tensor(hdf5::Writer& file, const std::string& group, const ParameterLayout& parameters,
                     const Vector<double>& vector) {
  for (const auto& e : parameters.entries())
    if (e.trainable()) file.write(group + "/" + e.block.name, vector.data() + e.theta_offset, e.block.shape);
}

Vector<double> read_by_tensor(const hdf5::Reader& file, const std::string& group,
                              const ParameterLayout& parameters) {
  hdf5::check_names(file, group, parameters.trained(), {});
  Vector<double> vector(parameters.theta_size());
  for (const auto& e : parameters.entries()) {
    if (!e.trainable()) continue;
    const std::string path = group + "/" + e.block.name;
    if (!file.has(path)) file.refuse(path, "missing; expected an array for each trained block");
    const hdf5::Array array = file.read_array(path);
    if (array.shape != e.block.shape)
      file.refuse(path, "found shape " + hdf5::text(array.shape) + "; expected " + hdf5::text(e.block.shape) +
                            ", that of the block");
    vector.segment(e.theta_offset, e.block.size()) = array.values;
  }
  return vector;
}

}  // namespace basin::tools
