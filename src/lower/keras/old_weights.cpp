// See old_weights.h.
#include "lower/keras/old_weights.h"

#include <algorithm>

namespace midstream::keras {
namespace {

bool is_kernel(const std::string& name) { return name == "kernel" || name == "recurrent_kernel"; }

// From the file's layout of a kernel to [spatial axes..., input channels, filters] (transposed convolutions: filters,
// input channels).
Transforms of_kernel(const WantedWeight& w, const Array& array) {
  Transforms chain;
  const int64_t rank = static_cast<int64_t>(array.shape().size());
  const std::string layout = w.config.value("kernel_layout", std::string());
  if (layout == "oihw") {
    // Keras 1 for dim_ordering "th". Its transposed convolution has filters first too.
    Permute p;
    for (int64_t i = 2; i < rank; ++i) p.perm.push_back(i);
    const bool transposed = w.class_name.ends_with("Transpose");
    p.perm.insert(p.perm.end(), {transposed ? 0 : 1, transposed ? 1 : 0});
    if (rank > 2) chain.push_back(std::move(p));
  } else if (layout == "hwio" && rank == 4) {
    chain.push_back(Permute{{0, 1, 3, 2}});
  } else if (layout == "k1io" && rank == 4) {
    // Keras 1's Conv1D is a Conv2D of one column; the first versions had its filters in front.
    Dims dims = array.shape();
    const json filters = w.config.value("filters", json());
    const bool today = dims[1] == 1 && filters == dims[3];
    if (!today && dims[3] == 1 && filters == dims[0]) {
      chain.push_back(Permute{{2, 3, 1, 0}});
      dims = {dims[2], dims[3], dims[1], dims[0]};
    }
    if (dims[1] == 1) chain.push_back(Reshape{dims, {dims[0], dims[2], dims[3]}});
  }
  if (w.config.value("kernel_flipped", false)) {
    const int64_t now = static_cast<int64_t>(midstream::apply(chain, array.shape()).size());
    Flip flip;
    for (int64_t i = 0; i < now - 2; ++i) flip.axes.push_back(i);
    if (!flip.axes.empty()) chain.push_back(std::move(flip));
  }
  return chain;
}

// Keras 1's order of the gates in the file, for each gate of today's kernel: LSTM has i, c, f, o there and i, f, c, o
// today; GRU z, r, h in both.
std::vector<size_t> gate_order(const std::string& class_name) {
  return class_name.find("LSTM") != std::string::npos ? std::vector<size_t>{0, 2, 1, 3} : std::vector<size_t>{0, 1, 2};
}

// W, U, b of each gate -> kernel, recurrent_kernel, bias. `first`: the first array of the layer.
BoundArray of_gates(const WantedWeight& w, size_t which, const FileArray* first) {
  FileLayout layout;
  std::vector<Array> parts;
  for (size_t gate : gate_order(w.class_name)) {
    const FileArray& part = first[3 * gate + which];
    layout.sources.push_back(part.source);
    layout.names.push_back(part.name);
    parts.push_back(part.array);
  }
  if (is_kernel(w.name)) layout.from_file = of_kernel(w, parts[0]);
  layout.axis = static_cast<int64_t>(midstream::apply(layout.from_file, parts[0].shape()).size()) - 1;
  return {{layout.sources[0], layout.names[0], layout.join(parts)}, layout};
}

BoundArray of_one(const WantedWeight& w, const FileArray& file) {
  Transforms chain = is_kernel(w.name) ? of_kernel(w, file.array) : Transforms{};
  if (chain.empty()) return {file, std::nullopt};
  FileLayout layout{{file.source}, {file.name}, 0, std::move(chain)};
  return {{file.source, file.name, layout.join({file.array})}, layout};
}

bool gates_apart(const WantedWeight& w) { return w.config.value("gates_apart", false); }

}  // namespace

std::vector<BoundArray> as_today(const std::vector<WantedWeight>& weights, const std::vector<FileArray>& arrays) {
  size_t apart = 0, together = 0;
  for (const WantedWeight& w : weights) {
    apart += gates_apart(w) ? gate_order(w.class_name).size() : 1;
    ++together;
  }
  // With consume_less="gpu" Keras 1 has the gates side by side, as today.
  const bool in_parts = arrays.size() == apart && apart != together;
  std::vector<BoundArray> out;
  size_t next = 0;
  for (size_t i = 0; i < weights.size() && next < arrays.size(); ++i) {
    if (!in_parts || !gates_apart(weights[i])) {
      out.push_back(of_one(weights[i], arrays[next++]));
      continue;
    }
    // Such a layer has always three weights, one after the other.
    for (size_t which = 0; which < 3; ++which) out.push_back(of_gates(weights[i + which], which, &arrays[next]));
    next += 3 * gate_order(weights[i].class_name).size();
    i += 2;
  }
  for (; next < arrays.size(); ++next) out.push_back({arrays[next], std::nullopt});
  return out;
}

}  // namespace midstream::keras
