// TensorFlow's stateless random ops, bit for bit (the CPU kernels; its GPU kernels give the same numbers): which words
// of the Philox stream make which element, and how. Keras 3 draws from nothing else. The numbers are made on the host
// and copied to the seed's device.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <cstring>

#include "libtorch/ops.h"
#include "libtorch/ops/philox.h"

namespace midstream {
namespace {

using at::Tensor;

Philox stream_of(const Tensor& seed) {
  TORCH_CHECK(seed.numel() == 2 && at::isIntegralType(seed.scalar_type(), false),
              "a stateless random seed has two integers, got ", seed.sizes(), " of ", seed.scalar_type());
  const Tensor host = seed.detach().to(at::kCPU, at::kLong).contiguous();
  return Philox::from_seed(host.const_data_ptr<int64_t>()[0], host.const_data_ptr<int64_t>()[1]);
}

// --- uniform bits as numbers in [0, 1): the low bits of a word become the mantissa of a number in [1, 2).
float unit_float(uint32_t x) {
  const uint32_t bits = 127u << 23 | (x & 0x7fffffu);
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f - 1.0f;
}
double unit_double(uint32_t high, uint32_t low) {
  const uint64_t bits = uint64_t{1023} << 52 | static_cast<uint64_t>(high & 0xfffffu) << 32 | low;
  double d;
  std::memcpy(&d, &bits, sizeof d);
  return d - 1.0;
}
c10::Half unit_half(uint32_t x) { return static_cast<float>(x & 0x3ffu) / 1024.0f; }
c10::BFloat16 unit_bfloat16(uint32_t x) { return static_cast<float>(x & 0x7fu) / 128.0f; }

// Two normal numbers (Box-Muller). The order of the roundings is TensorFlow's: the angle is a double product rounded to
// float, logarithm, root and sine are float.
void normal_pair(uint32_t x0, uint32_t x1, float* out) {
  const float u1 = std::max(unit_float(x0), 1.0e-7f);
  const float angle = static_cast<float>(2.0f * M_PI * unit_float(x1));
  const float radius = std::sqrt(-2.0f * std::log(u1));
  out[0] = std::sin(angle) * radius;
  out[1] = std::cos(angle) * radius;
}
void normal_pair(const std::array<uint32_t, 4>& x, double* out) {
  const double u1 = std::max(unit_double(x[0], x[1]), 1.0e-7);
  const double angle = 2 * M_PI * unit_double(x[2], x[3]);
  const double radius = std::sqrt(-2.0 * std::log(u1));
  out[0] = std::sin(angle) * radius;
  out[1] = std::cos(angle) * radius;
}

// Fills out[0, size) where every block of the stream gives `per_block` elements: make(block words, elements).
template <int per_block, class T, class F>
void fill(const Philox& stream, T* out, int64_t size, const F& make) {
  const int64_t groups = (size + per_block - 1) / per_block, grain = 4096;
  at::parallel_for(0, groups, grain, [&](int64_t begin, int64_t end) {
    Philox::Lanes lanes;
    for (int64_t first = begin; first < end; first += Philox::kLanes) {
      stream.blocks(static_cast<uint64_t>(first), lanes);
      const int64_t n = std::min<int64_t>(Philox::kLanes, end - first);
      for (int64_t i = 0; i < n; ++i) {
        T made[per_block];
        make({lanes[0][i], lanes[1][i], lanes[2][i], lanes[3][i]}, made);
        const int64_t offset = (first + i) * per_block;
        std::memcpy(out + offset, made, sizeof(T) * static_cast<size_t>(std::min<int64_t>(per_block, size - offset)));
      }
    }
  });
}

using Words = std::array<uint32_t, 4>;

void fill_uniform(const Philox& s, Tensor& t) {
  const int64_t n = t.numel();
  switch (t.scalar_type()) {
    case at::kFloat:
      return fill<4>(s, t.data_ptr<float>(), n, [](const Words& w, float* o) {
        for (int i = 0; i < 4; ++i) o[i] = unit_float(w[i]);
      });
    case at::kDouble:
      return fill<2>(s, t.data_ptr<double>(), n, [](const Words& w, double* o) {
        o[0] = unit_double(w[0], w[1]);
        o[1] = unit_double(w[2], w[3]);
      });
    case at::kHalf:
      return fill<4>(s, t.data_ptr<c10::Half>(), n, [](const Words& w, c10::Half* o) {
        for (int i = 0; i < 4; ++i) o[i] = unit_half(w[i]);
      });
    case at::kBFloat16:
      return fill<4>(s, t.data_ptr<c10::BFloat16>(), n, [](const Words& w, c10::BFloat16* o) {
        for (int i = 0; i < 4; ++i) o[i] = unit_bfloat16(w[i]);
      });
    default: TORCH_CHECK(false, "stateless_random_uniform gives no ", t.scalar_type());
  }
}

template <class T>
void fill_normal_narrow(const Philox& s, Tensor& t) {
  fill<4>(s, t.data_ptr<T>(), t.numel(), [](const Words& w, T* o) {
    float f[4];
    normal_pair(w[0], w[1], f);
    normal_pair(w[2], w[3], f + 2);
    for (int i = 0; i < 4; ++i) o[i] = static_cast<T>(f[i]);
  });
}

void fill_normal(const Philox& s, Tensor& t) {
  switch (t.scalar_type()) {
    case at::kFloat: return fill_normal_narrow<float>(s, t);
    case at::kHalf: return fill_normal_narrow<c10::Half>(s, t);
    case at::kBFloat16: return fill_normal_narrow<c10::BFloat16>(s, t);
    case at::kDouble:
      return fill<2>(s, t.data_ptr<double>(), t.numel(), [](const Words& w, double* o) { normal_pair(w, o); });
    default: TORCH_CHECK(false, "stateless_random_normal gives no ", t.scalar_type());
  }
}

// Normal numbers within (-2, 2). Every group of outputs owns 256 words of the stream per element and takes pairs from
// its start until the group is full.
template <class T, class Wide>
void fill_truncated(const Philox& s, Tensor& t) {
  constexpr int kGroup = sizeof(T) == 8 ? 2 : 4, kBlocksPerGroup = kGroup * 256 / 4;
  T* out = t.data_ptr<T>();
  const int64_t size = t.numel(), groups = (size + kGroup - 1) / kGroup;
  at::parallel_for(0, groups, 256, [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; ++g) {
      const int64_t wanted = std::min<int64_t>(kGroup, size - g * kGroup);
      int64_t found = 0;
      Philox::Lanes lanes;
      for (uint64_t b = 0; found < wanted; ++b) {
        if (b % Philox::kLanes == 0) s.blocks(static_cast<uint64_t>(g) * kBlocksPerGroup + b, lanes);
        const size_t i = b % Philox::kLanes;
        Wide pair[4];
        int made = 2;
        if constexpr (sizeof(T) == 8) {
          normal_pair({lanes[0][i], lanes[1][i], lanes[2][i], lanes[3][i]}, pair);
        } else {
          normal_pair(lanes[0][i], lanes[1][i], pair);
          normal_pair(lanes[2][i], lanes[3][i], pair + 2);
          made = 4;
        }
        for (int j = 0; j < made && found < wanted; ++j)
          if (std::abs(pair[j]) < 2) out[g * kGroup + found++] = static_cast<T>(pair[j]);
      }
    }
  });
}

void fill_truncated_normal(const Philox& s, Tensor& t) {
  switch (t.scalar_type()) {
    case at::kFloat: return fill_truncated<float, float>(s, t);
    case at::kHalf: return fill_truncated<c10::Half, float>(s, t);
    case at::kBFloat16: return fill_truncated<c10::BFloat16, float>(s, t);
    case at::kDouble: return fill_truncated<double, double>(s, t);
    default: TORCH_CHECK(false, "stateless_truncated_normal gives no ", t.scalar_type());
  }
}

// Integers in [low, high); without a range, any.
template <class U, class T>
void fill_int(const Philox& s, Tensor& t, std::optional<std::pair<int64_t, int64_t>> range) {
  const U low = range ? static_cast<U>(range->first) : 0, width = range ? static_cast<U>(range->second) - low : 0;
  auto place = [=](U bits) { return static_cast<T>(width ? low + bits % width : bits); };
  if constexpr (sizeof(U) == 4) {
    fill<4>(s, t.data_ptr<T>(), t.numel(), [&](const Words& w, T* o) {
      for (int i = 0; i < 4; ++i) o[i] = place(w[i]);
    });
  } else {
    fill<2>(s, t.data_ptr<T>(), t.numel(), [&](const Words& w, T* o) {
      o[0] = place(w[0] | static_cast<U>(w[1]) << 32);
      o[1] = place(w[2] | static_cast<U>(w[3]) << 32);
    });
  }
}

template <class F>
Tensor made(at::IntArrayRef size, const Tensor& seed, at::ScalarType dtype, const F& fill_with) {
  Tensor out = at::empty(size, at::TensorOptions().dtype(dtype));
  fill_with(stream_of(seed), out);
  return out.to(seed.device());
}

Tensor uniform(at::IntArrayRef size, const Tensor& seed, at::ScalarType dtype) {
  return made(size, seed, dtype, fill_uniform);
}
Tensor normal(at::IntArrayRef size, const Tensor& seed, at::ScalarType dtype) {
  return made(size, seed, dtype, fill_normal);
}
Tensor truncated_normal(at::IntArrayRef size, const Tensor& seed, at::ScalarType dtype) {
  return made(size, seed, dtype, fill_truncated_normal);
}
Tensor uniform_int(at::IntArrayRef size, const Tensor& seed, std::optional<int64_t> low, std::optional<int64_t> high,
                   at::ScalarType dtype) {
  TORCH_CHECK(low.has_value() == high.has_value(), "stateless_random_uniform_int wants both limits or none");
  TORCH_CHECK(!low || *low < *high, "stateless_random_uniform_int: low ", *low, " is not below high ", *high);
  std::optional<std::pair<int64_t, int64_t>> range;
  if (low) range = {*low, *high};
  return made(size, seed, dtype, [&](const Philox& s, Tensor& t) {
    if (t.scalar_type() == at::kInt) return fill_int<uint32_t, int32_t>(s, t, range);
    TORCH_CHECK(t.scalar_type() == at::kLong, "stateless_random_uniform_int gives no ", t.scalar_type());
    fill_int<uint64_t, int64_t>(s, t, range);
  });
}

// --- dropout: the mask is drawn as TensorFlow draws it, in the dtype of x (`uniform(x.dtype) >= rate`).
Tensor keep_mask(at::IntArrayRef size, const Tensor& seed, at::ScalarType dtype, double rate) {
  if (dtype != at::kFloat)
    return made(size, seed, dtype, fill_uniform)
        .ge(at::scalar_tensor(rate, at::TensorOptions().dtype(dtype).device(seed.device())));
  // uniform >= rate exactly when its 23 random bits, as an integer, are >= rate * 2^23.
  const auto least = static_cast<uint32_t>(std::ceil(static_cast<double>(static_cast<float>(rate)) * 8388608.0));
  Tensor mask = at::empty(size, at::TensorOptions().dtype(at::kBool));
  fill<4>(stream_of(seed), mask.data_ptr<bool>(), mask.numel(), [least](const Words& w, bool* o) {
    for (int i = 0; i < 4; ++i) o[i] = (w[i] & 0x7fffffu) >= least;
  });
  return mask.to(seed.device());
}

template <class T>
void masked_scale_kernel(const T* x, const bool* mask, T scale, T* out, int64_t n) {
  at::parallel_for(0, n, 32768, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = mask[i] ? x[i] * scale : T(0);
  });
}

// where(mask, x * scale, 0)
Tensor masked_scale(const Tensor& x, const Tensor& mask, double scale) {
  const bool simple = x.device().is_cpu() && x.is_contiguous() && mask.is_contiguous() && x.sizes() == mask.sizes() &&
                      (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble) &&
                      !(at::GradMode::is_enabled() && x.requires_grad());
  if (!simple) return at::where(mask, x * at::scalar_tensor(scale, x.options()), at::scalar_tensor(0, x.options()));
  Tensor out = at::empty_like(x);
  if (x.scalar_type() == at::kFloat)
    masked_scale_kernel(x.const_data_ptr<float>(), mask.const_data_ptr<bool>(), static_cast<float>(scale),
                        out.data_ptr<float>(), x.numel());
  else
    masked_scale_kernel(x.const_data_ptr<double>(), mask.const_data_ptr<bool>(), scale, out.data_ptr<double>(),
                        x.numel());
  return out;
}

class Dropout : public torch::autograd::Function<Dropout> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& x, double rate,
                        at::IntArrayRef noise_shape, const Tensor& seed) {
    const double scale = 1 / (1 - rate);
    Tensor mask = keep_mask(noise_shape, seed, x.scalar_type(), rate);
    ctx->save_for_backward({mask});
    ctx->saved_data["scale"] = scale;
    return masked_scale(x, mask, scale);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grads) {
    return {masked_scale(grads[0], ctx->get_saved_variables()[0], ctx->saved_data["scale"].toDouble()), Tensor(),
            Tensor(), Tensor()};
  }
};

Tensor dropout(const Tensor& x, double rate, at::IntArrayRef noise_shape, const Tensor& seed) {
  TORCH_CHECK(rate >= 0 && rate < 1, "stateless_dropout: rate is ", rate, ", wanted one in [0, 1)");
  return Dropout::apply(x, rate, noise_shape, seed);
}

}  // namespace

void register_random_ops(torch::Library& m, ShapeRules& rules) {
  m.def("stateless_random_uniform(int[] size, Tensor seed, ScalarType dtype) -> Tensor", uniform);
  m.def("stateless_random_normal(int[] size, Tensor seed, ScalarType dtype) -> Tensor", normal);
  m.def("stateless_truncated_normal(int[] size, Tensor seed, ScalarType dtype) -> Tensor", truncated_normal);
  m.def("stateless_random_uniform_int(int[] size, Tensor seed, int? low, int? high, ScalarType dtype) -> Tensor",
        uniform_int);
  m.def("stateless_dropout(Tensor x, float rate, int[] noise_shape, Tensor seed) -> Tensor", dropout);

  auto sized = [](const std::vector<SampleArg>& a) {
    return std::vector<SampleOutput>{output(std::get<DType>(a.back()), ints(a[0]))};
  };
  for (const char* op : {"stateless_random_uniform", "stateless_random_normal", "stateless_truncated_normal",
                         "stateless_random_uniform_int"})
    rules.add(std::string("midstream::") + op, sized);
  rules.add("midstream::stateless_dropout", [](const std::vector<SampleArg>& a) {
    return std::vector<SampleOutput>{output(tensor(a[0]).dtype, tensor(a[0]).dims)};
  });
}

}  // namespace midstream
