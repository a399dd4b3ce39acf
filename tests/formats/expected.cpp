#include "expected.h"

#include <unistd.h>

#include <complex>
#include <fstream>
#include <sstream>

#include "formats/mapped_file.h"

namespace midstream::test {

const nlohmann::json& expected(const std::string& file) {
  static const nlohmann::json all = nlohmann::json::parse(file_text(kData + "expected.json"));
  return all.at(file);
}

void expect_equal(const Array& array, const nlohmann::json& wanted, const std::string& what) {
  SCOPED_TRACE(what);
  EXPECT_EQ(to_string(array.dtype()), wanted.at("dtype").get<std::string>());
  EXPECT_EQ(array.shape(), wanted.at("shape").get<Dims>());
  const auto& values = wanted.at("values");
  switch (array.dtype()) {
    case DType::String: EXPECT_EQ(array.strings(), values.get<std::vector<std::string>>()); break;
    case DType::Int64: EXPECT_EQ(array.to_int64(), values.get<std::vector<int64_t>>()); break;
    case DType::UInt64: EXPECT_EQ(array.copy<uint64_t>(), values.get<std::vector<uint64_t>>()); break;
    case DType::Complex64:
    case DType::Complex128: {
      std::vector<double> parts;
      auto add = [&](auto numbers) {
        for (auto c : numbers) parts.insert(parts.end(), {c.real(), c.imag()});
      };
      if (array.dtype() == DType::Complex64)
        add(array.copy<std::complex<float>>());
      else
        add(array.copy<std::complex<double>>());
      EXPECT_EQ(parts, values.get<std::vector<double>>());
      break;
    }
    default: EXPECT_EQ(array.to_double(), values.get<std::vector<double>>());
  }
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "midstream-test-XXXXXX").string();
  if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
  path_ = name;
}
TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string file_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot open " + path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

}  // namespace midstream::test
