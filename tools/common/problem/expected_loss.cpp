#include "common/problem/expected_loss.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "basin/linalg/errors.h"
#include "basin/model/linearization.h"
#include "basin/network/attention_spec.h"
#include "common/command/numbers.h"
#include "common/command/setup.h"
#include "common/command/words.h"

namespace basin::tools {
namespace {

// Relative: what sums leave of float and double.
constexpr double kSinglePrecision = 1e-5, kDoublePrecision = 1e-12;

/// Half a unit of the last digit given.
double half_unit(const std::string& expected) {
  const std::size_t exponent = expected.find_first_of("eE"), point = expected.find('.');
  const std::string digits = expected.substr(0, exponent);
  double unit =
      point == std::string::npos ? 1 : std::pow(10.0, -static_cast<double>(digits.size() - point - 1));
  if (exponent != std::string::npos)
    unit *= std::pow(10.0, parse_number(expected.substr(exponent + 1)).value_or(0));
  return unit / 2;
}

/// The architecture with every layer changed.
Architecture changed(Architecture a, const std::function<void(LayerDescription&)>& change) {
  const std::function<void(LayerDescription&)> everywhere = [&](LayerDescription& layer) {
    change(layer);
    for (LayerDescription& inner : layer.layers) everywhere(inner);
  };
  for (LayerDescription& layer : a.layers) everywhere(layer);
  return a;
}

/// A way in which programs differ, and the point where it is done the other way.
struct Difference {
  std::string words;
  ModelPoint<double> point;
};

std::vector<Difference> differences(const ModelPoint<double>& point) {
  const Architecture& here = point.model->architecture();
  std::vector<Difference> all;
  const auto add = [&](const std::string& words, const Architecture& there) {
    if (there == here) return;
    all.push_back({words, {build<double>(there, point.parameters().trained()), point.weights, point.data}});
  };
  const LossFacts& facts = point.model->loss().facts();
  for (const char* average : {"sum", "rows", "samples", "elements"}) {
    if (facts.name == "cross-entropy" && std::string(average) == "elements") continue;
    for (const bool half : {true, false}) {
      if (facts.name != "squared" && !half) continue;
      Architecture there = here;
      there.loss.options["average"] = std::string(average);
      if (facts.name == "squared") there.loss.options["half"] = half;
      if (LossDescription now = with_defaults(here.loss); now == with_defaults(there.loss)) continue;
      const std::string formula = make_loss<double>(there.loss)->facts().formula;
      add("the loss " + formula, there);
    }
  }
  for (const double epsilon : {1e-5, 1e-6, 1e-8, 1e-12})
    add("epsilon = " + number(epsilon) + " in all norms", changed(here, [&](LayerDescription& layer) {
          if (layer.type == "layer-norm" || layer.type == "rms-norm") layer.options["epsilon"] = epsilon;
        }));
  for (const auto& [from, to] : {std::pair{"gelu", "gelu-tanh"},
                                 {"gelu-tanh", "gelu"},
                                 {"gelu-tanh", "relu"},
                                 {"gelu", "relu"},
                                 {"relu", "gelu"}})
    add(std::string(to) + " in the place of " + from, changed(here, [&, &from = from, &to = to](auto& layer) {
          if (layer.type == "activation" && layer.options["function"] == LayerOption(std::string(from)))
            layer.options["function"] = std::string(to);
        }));
  for (const bool causal : {true, false})
    add(causal ? "a causal mask" : "no causal mask", changed(here, [&](LayerDescription& layer) {
          if (layer.type != "attention") return;
          if (causal || layer.options.contains("causal")) layer.options["causal"] = causal;
        }));
  try {
    add("the other kernel of attention", with_kernel(here, other_kernel(here), 0));
  } catch (const InputError&) {  // there is no attention
  }
  const std::vector<std::int32_t>& ids = point.data->ids;
  if (point.data->mask.empty() && std::find(ids.begin(), ids.end(), 0) != ids.end()) {
    Difference padded = {"a mask, of tokens that are not 0", point};
    auto data = std::make_shared<Data<double>>(*point.data);
    for (const std::int32_t id : ids) data->mask.push_back(id != 0 ? 1 : 0);
    padded.point.data = data;
    all.push_back(std::move(padded));
  }
  if (!point.data->mask.empty()) {
    Difference without = {"no mask", point};
    auto data = std::make_shared<Data<double>>(*point.data);
    data->mask.clear();
    without.point.data = data;
    all.push_back(std::move(without));
  }
  return all;
}

}  // namespace

std::string expected_loss(const std::string& expected, const ModelPoint<double>& point, double loss) {
  const auto value = parse_number(expected);
  if (!value) throw InputError("--expect-loss " + expected + ": expected a number");
  // as written, and what double precision leaves of sums
  const double allowed = half_unit(expected) * (1 + 1e-9) + kDoublePrecision * std::abs(*value);
  const auto off = [&](double there) { return std::abs(there - *value); };
  if (off(loss) <= allowed) return "";
  std::string found;
  for (const Difference& other : differences(point)) {
    double there = 0;
    try {
      there = other.point.linearize({.keep = false}).loss();
    } catch (const std::runtime_error&) {
      continue;  // such a network there is not
    }
    // a whole digit nearer, where ours is as near as single precision
    if (off(there) <= std::max(allowed, kSinglePrecision * std::abs(*value)) && off(there) <= off(loss) / 10)
      found += (found.empty() ? "" : "; or ") + other.words + " (" + number(there, 10) + ")";
  }
  if (found.empty() && off(loss) <= kSinglePrecision * std::abs(*value))
    return " to single precision (" + number(off(loss), 2) + " off)";
  throw InputError(
      "--expect-loss " + expected + ": found " + number(loss, 12) +
      (found.empty()
           ? "; the usual reasons: a mean where it is a sum or over what (--loss), epsilon of the norms, "
             "GELU by "
             "tanh or by erf, norms before or after, targets that are not shifted, dropout that was on (call "
             "model.eval()), single or half precision, a mask, transposed square weights"
           : "; what would give the expected one: " + found));
}

}  // namespace basin::tools
