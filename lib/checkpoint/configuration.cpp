#include "basin/checkpoint/configuration.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"
#include "basin/network/strict_json.h"

namespace basin {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostConfiguration = std::size_t{1} << 24U;
constexpr std::int64_t kLargest = std::int64_t{1} << 31;

std::string listed(const std::vector<std::string>& keys) {
  std::string list;
  for (const std::string& key : keys) list += (list.empty() ? "'" : " or '") + key + "'";
  return list;
}

std::string value_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60);
}

Index whole_number(const Configuration& of, const std::string& key, const Json& value) {
  if (!value.is_number_integer() || value < 1 || value > kLargest)
    of.refuse(key, "found " + value_text(value) + "; expected a whole number from 1 to 2^31");
  return value.get<Index>();
}

}  // namespace

Configuration::Configuration()
    : json_(std::make_shared<Json>(Json::object())), asked_(std::make_shared<std::set<std::string>>()) {}

Configuration::Configuration(std::string path, const std::string& text) : Configuration() {
  path_ = std::move(path);
  try {
    auto json = std::make_shared<Json>(strict_json(text, kMostConfiguration));
    if (!json->is_object())
      throw InputError(std::string("found ") + json->type_name() + "; expected an object of JSON");
    json_ = json;
  } catch (const InputError& error) {
    throw InputError(path_ + ": " + error.what());
  }
}

const Json* Configuration::find(const std::string& key) const {
  asked_->insert(key);
  const auto found = json_->find(key);
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

bool Configuration::has(const std::string& key) const {
  return find(key) != nullptr;
}

void Configuration::refuse(const std::string& key, const std::string& what) const {
  throw InputError((path_.empty() ? "the configuration" : path_) + ": " + where_ + key + ": " + what);
}

Index Configuration::size(const std::vector<std::string>& keys, std::optional<Index> fallback) const {
  for (const std::string& key : keys)
    if (const Json* value = find(key)) return whole_number(*this, key, *value);
  if (fallback) return *fallback;
  throw InputError((path_.empty() ? "the configuration" : path_) + ": " + where_ + listed(keys) +
                   " is missing; expected a whole number from 1");
}

std::pair<Index, Index> Configuration::sides(const std::string& key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_array()) {
    const Index side = size({key});
    return {side, side};
  }
  if (value->size() != 2) refuse(key, "found " + value_text(*value) + "; expected one number or two");
  return {whole_number(*this, key, (*value)[0]), whole_number(*this, key, (*value)[1])};
}

double Configuration::number(const std::vector<std::string>& keys, double fallback) const {
  for (const std::string& key : keys)
    if (const Json* value = find(key)) {
      if (!value->is_number() || !std::isfinite(value->get<double>()))
        refuse(key, "found " + value_text(*value) + "; expected a number");
      return value->get<double>();
    }
  return fallback;
}

bool Configuration::flag(const std::string& key, bool fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) refuse(key, "found " + value_text(*value) + "; expected true or false");
  return value->get<bool>();
}

std::string Configuration::word(const std::vector<std::string>& keys,
                                const std::optional<std::string>& fallback) const {
  for (const std::string& key : keys)
    if (const Json* value = find(key)) {
      if (!value->is_string()) refuse(key, "found " + value_text(*value) + "; expected a string");
      return value->get<std::string>();
    }
  if (fallback) return *fallback;
  throw InputError((path_.empty() ? "the configuration" : path_) + ": " + where_ + listed(keys) +
                   " is missing; expected a string");
}

std::string Configuration::first_word(const std::string& key) const {
  const Json* value = find(key);
  if (value == nullptr || (value->is_array() && value->empty())) return "";
  if (!value->is_array() || !value->front().is_string())
    refuse(key, "found " + value_text(*value) + "; expected a list of strings");
  return value->front().get<std::string>();
}

Configuration Configuration::object(const std::string& key) const {
  Configuration inner;
  inner.path_ = path_;
  inner.where_ = where_ + key + ".";
  if (const Json* value = find(key)) {
    if (!value->is_object()) refuse(key, "found " + value_text(*value) + "; expected an object");
    inner.json_ = std::make_shared<Json>(*value);
  }
  return inner;
}

void Configuration::expect_flag(const std::string& key, bool value) const {
  if (flag(key, value) != value)
    refuse(key, std::string("found ") + (value ? "false" : "true") + ", which no layer here does; expected " +
                    (value ? "true" : "false"));
}

void Configuration::expect_word(const std::string& key, const std::string& value) const {
  if (const std::string found = word({key}, value); found != value)
    refuse(key, "found " + shown(found) + ", which no layer here does; expected '" + value + "'");
}

void Configuration::expect_absent(const std::string& key) const {
  if (const Json* value = find(key))
    refuse(key, "found " + value_text(*value) + ", which no layer here does; expected it null or left out");
}

void Configuration::pass(const std::vector<std::string>& keys) const {
  asked_->insert(keys.begin(), keys.end());
}

std::vector<std::string> Configuration::unread() const {
  const std::vector<std::string> known(asked_->begin(), asked_->end());
  std::vector<std::string> keys;
  for (const auto& [key, value] : json_->items()) {
    if (asked_->contains(key)) continue;
    if (const std::string slip = meant(key, known); slip.starts_with("; did you mean"))
      refuse(key, "unknown" + slip);
    keys.push_back(key);
  }
  return keys;
}

std::vector<std::string> Configuration::unread_with(const std::vector<std::string>& words) const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json_->items())
    if (!asked_->contains(key) && !value.is_null() &&
        std::any_of(words.begin(), words.end(), [&, &name = key](const std::string& word) {
          return name.find(word) != std::string::npos;
        }))
      keys.push_back(where_ + key);
  return keys;
}

}  // namespace basin
