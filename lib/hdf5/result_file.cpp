#include "hdf5/result_file.h"

#include <limits>

namespace basin::hdf5 {

void write_entry(Writer& file, const std::string& tool, const std::string& title,
                 const std::string& default_group) {
  mark_kind(file, "result");
  file.attribute("/", "basin_tool", tool);
  file.attribute("/", "NX_class", std::string("NXroot"));
  file.attribute("/", "default", std::string("entry"));
  file.group("/entry", "NXentry");
  file.attribute("/entry", "default", default_group);
  file.write("/entry/title", title);
}

void make_plot(Writer& file, const std::string& group, const std::string& signal,
               const std::vector<std::string>& axes) {
  file.group(group, "NXdata");
  file.attribute(group, "signal", signal);
  if (axes.empty()) return;
  file.attribute(group, "axes", axes);
  for (std::size_t i = 0; i < axes.size(); ++i)
    if (axes[i] != ".") file.attribute(group, axes[i] + "_indices", static_cast<std::int64_t>(i));
}

void logarithmic_curve(Writer& file, const std::string& group, const std::string& axis) {
  const std::string axes = R"(":[")" + axis + R"("],)";
  file.attribute(
      group, "SILX_style",  // silx reads the plural, h5web the singular
      R"({"axes_scale_types)" + axes + R"("axes_scale_type)" + axes + R"("signal_scale_type":"log"})");
}

void logarithmic_image(Writer& file, const std::string& group) {
  file.attribute(group, "SILX_style", std::string(R"({"signal_scale_type":"log"})"));
}

void write_model(Writer& file, const ModelDescription& model) {
  const AttentionSpec& s = model.spec;
  const std::string group = "/entry/model/";
  file.group("/entry/model", "NXcollection");
  file.write(group + "kernel", kernel_name(s.kernel));
  file.write(group + "bandwidth",
             s.kernel == KernelKind::gaussian ? s.sigma() : std::numeric_limits<double>::quiet_NaN());
  file.write(group + "loss", std::string("1/2 |F - Y|^2"));
  file.write(group + "trainable", model.trainable);
  file.write(group + "weights", model.weights_origin);
  for (const auto& [name, size] : {std::pair<const char*, Index>{"N", model.samples},
                                   {"n", s.tokens},
                                   {"D", s.embedding},
                                   {"H", s.heads},
                                   {"d", s.head_dim},
                                   {"D_out", s.outputs},
                                   {"P", model.parameters},
                                   {"m", model.samples * s.tokens * s.outputs}})
    file.write(group + name, static_cast<std::int64_t>(size));
}

}  // namespace basin::hdf5
