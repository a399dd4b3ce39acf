#include "data/npz.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "base/error.h"
#include "libtorch/convert.h"

namespace midstream::data {

Npz::Npz(const std::string& path) : path_(path) {
  if (path.ends_with(".npy"))
    throw Error(ErrorKind::BadData, path, "is one array; a .npz archive with the arrays x and y is wanted.",
                "Write it with numpy.savez(path, x=..., y=...).");
  NpzFile file = NpzFile::open(path);
  for (const std::string& name : file.names()) add(name, file.read(name));
  if (x_.empty())
    throw Error(ErrorKind::BadData, path, "holds no array 'x'.",
                "Name the inputs 'x', or 'x:<input name>' where there are several.");
}

void Npz::add(const std::string& name, const Array& array) {
  const bool text = array.dtype() == DType::String;
  if (text && name != "x" && !name.starts_with("x:"))
    throw Error(ErrorKind::BadData, path_ + ": " + name, "holds strings; only inputs may be strings.",
                "Save labels as the numbers of their classes.");
  if (array.shape().empty())
    throw Error(ErrorKind::BadData, path_ + ": " + name, "is a single number, not one for each sample.");
  const int64_t rows = array.shape()[0];
  if (samples_ < 0) samples_ = rows;
  if (rows != samples_)
    throw Error(ErrorKind::BadData, path_ + ": " + name,
                fmt::format("has {} samples, the arrays before it have {}.", rows, samples_));
  at::Tensor tensor = text ? text_tensor(array) : to_tensor(array);
  if (name == "sample_weight") {
    weight_ = tensor;
  } else if (name == "x" || name == "y") {
    (name == "x" ? x_ : y_).push_back({"", tensor});
  } else if (name.starts_with("x:") || name.starts_with("y:")) {
    (name[0] == 'x' ? x_ : y_).push_back({name.substr(2), tensor});
  } else {
    throw Error(ErrorKind::BadData, path_ + ": " + name, "is an array of an unknown name.",
                "Known are x, y, x:<input name>, y:<output name> and sample_weight.");
  }
}

std::vector<Dataset::Column> Npz::describe(const std::vector<Named>& arrays) {
  std::vector<Column> out;
  for (const Named& a : arrays) {
    Dims dims = a.tensor.sizes().vec();
    dims.erase(dims.begin());
    out.push_back({a.name, from_scalar_type(a.tensor.scalar_type()), std::move(dims)});
  }
  return out;
}

Batch Npz::take(const std::vector<int64_t>& rows) const {
  at::Tensor index = at::tensor(rows, at::TensorOptions().dtype(at::kLong));
  Batch batch;
  for (const Named& a : x_) batch.x.push_back(a.tensor.index_select(0, index));
  for (const Named& a : y_) batch.y.push_back(a.tensor.index_select(0, index));
  if (weight_.defined()) batch.sample_weight = {weight_.index_select(0, index)};
  return batch;
}

Batch Npz::slice(int64_t first, int64_t last) const {
  Batch batch;
  for (const Named& a : x_) batch.x.push_back(a.tensor.slice(0, first, last));
  for (const Named& a : y_) batch.y.push_back(a.tensor.slice(0, first, last));
  if (weight_.defined()) batch.sample_weight = {weight_.slice(0, first, last)};
  return batch;
}

}  // namespace midstream::data
