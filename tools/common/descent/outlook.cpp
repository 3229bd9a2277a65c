#include "common/descent/outlook.h"

#include <algorithm>

#include "common/command/numbers.h"

namespace basin::tools {
namespace {

constexpr double kMostRows = 0.5;  // of a layer: that many saturated ones are worth a line

std::string change(double before, double now) {
  return number(before, 4) + " -> " + number(now, 4);
}

/// What it is that has a limit at infinity.
std::string limit_text(const Outlook& o) {
  std::string text;
  if (o.valley == Valley::saturated || o.valley == Valley::vanished) {
    text = std::string("attention ") + (o.valley == Valley::saturated ? "saturates" : "vanishes");
    for (std::size_t l = 0; l < o.extent.layers.size(); ++l)
      if (o.extent.layers[l].left < o.before.layers[l].left)
        text += ", in a row of " + o.extent.layers[l].layer + " to " + number(o.extent.layers[l].left, 2) +
                " that is left";
    text += "; ";
  }
  return text + "|theta| " + change(o.norm_before, o.growth.now);
}

}  // namespace

std::string attention_text(const LayerSaturation& l) {
  if (!(l.saturated >= kMostRows)) return "";
  return "attention of " + l.layer +
         (l.kernel == KernelKind::softmax
              ? " is saturated: " + percent(l.saturated) + " of its rows put more than " +
                    number(1 - kSaturatedRow) + " on one token"
              : " has vanished: in " + percent(l.saturated) +
                    " of its rows all weights add up to less than " + number(kSaturatedRow));
}

std::vector<std::string> attention_lines(const std::vector<LayerSaturation>& layers) {
  constexpr std::size_t kMost = 6;
  std::vector<const LayerSaturation*> order;
  for (const LayerSaturation& l : layers)
    if (!attention_text(l).empty()) order.push_back(&l);
  std::stable_sort(order.begin(), order.end(), [](const LayerSaturation* a, const LayerSaturation* b) {
    return a->saturated > b->saturated;
  });
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < order.size() && i < kMost; ++i) lines.push_back(attention_text(*order[i]));
  if (order.size() > kMost)
    lines.push_back("... and so is that of " + std::to_string(order.size() - kMost) + " more layers");
  if (!lines.empty()) lines.back() += ": next to nothing of the gradient reaches its queries and keys";
  return lines;
}

std::string outlook_text(const Outlook& o, double least, Index steps) {
  const std::string over = "over the last " + std::to_string(steps) + " steps ";
  if (o.valley == Valley::none)
    return o.along_symmetries
               ? over + "weights grew, |theta| " + change(o.norm_before, o.growth.now) +
                     ", along symmetries alone: nothing changes along these, and it is no valley"
               : "";
  return "bad valley, if it goes on like this: " + over + "the loss fell by " +
         number(o.loss_before - o.loss, 3) + " and is still " + number(o.loss - least, 5) + " above " +
         (least > 0 ? "the least that these labels allow" : "0, the least it could be") + ", while " +
         limit_text(o) + ", |grad f| " + change(o.gradient_before, o.gradient) +
         "; no point is reached on such a way: start elsewhere (--seed), or descend from many starts with "
         "basin-stationary" +
         (o.left_out.empty() ? "" : " (growth along symmetries that are not known would look the same)");
}

}  // namespace basin::tools
