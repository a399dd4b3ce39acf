// Reading entries of losses', metrics' and optimizers' configs: absent and null give the default.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/error.h"

namespace midstream::keras {

using json = nlohmann::json;

inline bool has(const json& config, const char* key) {
  auto it = config.find(key);
  return it != config.end() && !it->is_null();
}

namespace detail {
template <class T, class Check>
T entry(const json& config, const char* key, T otherwise, Check fits, const char* wanted) {
  if (!config.is_object() || !has(config, key)) return otherwise;
  const json& value = config.at(key);
  if (!fits(value))
    throw Error(ErrorKind::Mismatch, key, "has the value " + value.dump() + ", " + wanted + " is wanted.");
  return value.get<T>();
}
}  // namespace detail

inline double number(const json& config, const char* key, double otherwise) {
  return detail::entry<double>(config, key, otherwise, [](const json& v) { return v.is_number(); }, "a number");
}
inline int64_t integer(const json& config, const char* key, int64_t otherwise) {
  return detail::entry<int64_t>(
      config, key, otherwise, [](const json& v) { return v.is_number_integer(); }, "an integer");
}
inline bool flag(const json& config, const char* key, bool otherwise) {
  return detail::entry<bool>(config, key, otherwise, [](const json& v) { return v.is_boolean(); }, "true or false");
}
inline std::string text(const json& config, const char* key, std::string otherwise = {}) {
  return detail::entry<std::string>(
      config, key, std::move(otherwise), [](const json& v) { return v.is_string(); }, "a text");
}

}  // namespace midstream::keras
