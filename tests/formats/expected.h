// What the library that wrote a file in tests/data/formats/ reads back from it (expected.json; made by
// tests/data/make_formats.py), and small helpers of these tests.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/array.h"
#include "base/error.h"

namespace midstream::test {

inline const std::string kData = "data/formats/";

// The part of expected.json for one file.
const nlohmann::json& expected(const std::string& file);
// Dtype, shape and all values, exactly.
void expect_equal(const Array& array, const nlohmann::json& wanted, const std::string& what);

// A folder that is gone after the test.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string file_text(const std::string& path);

// The error's text; "" and a failure if `f` throws nothing or something else.
template <class F>
std::string error_of(ErrorKind kind, F f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(to_string(e.kind()), to_string(kind)) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace midstream::test
