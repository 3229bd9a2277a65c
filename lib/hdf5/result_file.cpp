#include "basin/hdf5/result_file.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "basin/model/attention_model.h"
#include "basin/network/architecture_json.h"

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

void name_dimensions(Writer& file, const std::string& group, const std::vector<std::string>& arrays,
                     const std::vector<std::string>& axes) {
  std::vector<std::string> scales;
  for (const std::string& axis : axes) scales.push_back(group + "/" + axis);
  for (const std::string& array : arrays)
    if (std::find(axes.begin(), axes.end(), array) == axes.end())
      file.dimensions(group + "/" + array, scales);
}

std::string legend(const std::string& axis, const std::vector<std::string>& values) {
  constexpr std::size_t kWhole = 75, kBeginning = 50;  // characters, of what fits below a picture
  const auto entry = [&](std::size_t i) { return std::to_string(i) + " = " + values[i]; };
  std::string all, beginning;
  for (std::size_t i = 0; i < values.size(); ++i) {
    all += (i > 0 ? ", " : ": ") + entry(i);
    if (all.size() <= kBeginning) beginning = all;
  }
  return axis + (all.size() <= kWhole ? all : beginning + ", ..., " + entry(values.size() - 1));
}

bool wants_logarithm(const std::vector<double>& values) {
  constexpr double kLargeRatio = 30;
  double low = HUGE_VAL, high = 0;
  for (const double value : values)
    if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
  return low > 0 && high / kLargeRatio > low;
}

void curve_scales(Writer& file, const std::string& group, const std::string& values,
                  const std::string& axis) {
  // silx reads the plural and knows no symlog, h5web reads the singular
  file.attribute(group, "SILX_style",
                 R"({"axes_scale_types":[")" + (axis == "symlog" ? "linear" : axis) +
                     R"("],"axes_scale_type":[")" + axis + R"("],"signal_scale_type":")" + values + R"("})");
}

void logarithmic_image(Writer& file, const std::string& group) {
  file.attribute(group, "SILX_style", std::string(R"({"signal_scale_type":"log"})"));
}

void write_model(Writer& file, const ModelPoint<double>& point, const std::string& weights_origin) {
  const std::string group = "/entry/model/";
  file.group("/entry/model", "NXcollection");
  const auto layer = single_attention(point);
  const Shape in = point.model->network().input(), out = point.model->network().output();
  if (layer) {
    file.write(group + "kernel", kernel_name(layer->kernel));
    file.write(group + "bandwidth", layer->kernel == KernelKind::gaussian
                                        ? layer->sigma()
                                        : std::numeric_limits<double>::quiet_NaN());
  } else {
    file.write(group + "architecture", to_json(point.model->architecture()));
  }
  file.write(group + "loss", point.model->loss().facts().formula);
  file.write(group + "trainable", joined(point.parameters().trained()));
  file.write(group + "weights", weights_origin);
  const auto size = [&](const char* name, Index value) {
    file.write(group + name, static_cast<std::int64_t>(value));
  };
  size("N", point.data->samples);
  size("n", in.tokens);
  size("D", in.width);
  if (layer) size("H", layer->heads), size("d", layer->head_dim);
  if (!layer) size("n_out", out.tokens);
  size("D_out", out.width);
  size("P", point.theta_size());
  size("m", point.output_size());
}

}  // namespace basin::hdf5
