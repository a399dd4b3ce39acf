// Training data in an .npz file: arrays `x` and `y`, or `x:<input name>` and `y:<output name>` where there are several,
// optionally `sample_weight`. What Keras' fit would be given. Arrays stay in the mapped file where it stores them
// uncompressed.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "data/batch.h"
#include "formats/npz.h"

namespace midstream::data {

class Npz final : public Dataset {
 public:
  // Throws Error(BadFile) for a broken file, Error(BadData) for arrays of different lengths or unknown names.
  explicit Npz(const std::string& path);

  std::string name() const override { return path_; }
  int64_t samples() const override { return samples_; }
  std::vector<Column> inputs() const override { return describe(x_); }
  std::vector<Column> targets() const override { return describe(y_); }
  bool has_sample_weight() const override { return weight_.defined(); }
  Batch take(const std::vector<int64_t>& rows) const override;
  Batch slice(int64_t first, int64_t last) const override;
  at::Tensor column(bool target, size_t index) const override { return (target ? y_ : x_).at(index).tensor; }

 private:
  struct Named {
    std::string name;
    at::Tensor tensor;
  };
  static std::vector<Column> describe(const std::vector<Named>& arrays);
  void add(const std::string& name, const Array& array);

  std::string path_;
  std::vector<Named> x_, y_;
  at::Tensor weight_;
  int64_t samples_ = -1;
};

}  // namespace midstream::data
