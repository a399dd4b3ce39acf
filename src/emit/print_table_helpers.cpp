// Python definitions for what PyTorch has no spelling for; each is printed once, in files that use it.
#include <map>

#include "emit/print_table.h"

namespace midstream::emit {
namespace {

constexpr std::string_view kListSet = R"(def list_set(items: list, index: int, item: Tensor) -> list:
    """The list with one element replaced."""
    return [*items[:index], item, *items[index + 1 :]])";

constexpr std::string_view kBatchNorm = R"(class BatchNorm@(nn.BatchNorm@):
    """nn.BatchNorm@ that keeps the biased variance in running_var, as Keras does (PyTorch: the unbiased one)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        y = F.batch_norm(x, mean, var, self.weight, self.bias, training=True, momentum=1.0, eps=self.eps)
        n = x.numel() // x.shape[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * ((n - 1) / n), self.momentum)
        return y)";

// Keras 2's plain rule: n / (n - 1 - epsilon) of the biased variance.
constexpr std::string_view kSampleBatchNorm = R"(class SampleBatchNorm@(nn.BatchNorm@):
    """nn.BatchNorm@ with the variance that Keras 2 keeps: the biased one times n / (n - 1 - eps)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        y = F.batch_norm(x, mean, var, self.weight, self.bias, training=True, momentum=1.0, eps=self.eps)
        n = x.numel() // x.shape[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * ((n - 1) / (n - 1 - self.eps)), self.momentum)
        return y)";

constexpr std::string_view kFrozenBatchNorm = R"(class FrozenBatchNorm@(nn.BatchNorm@):
    """Stays in inference mode: TensorFlow does not update the statistics of a frozen BatchNormalization."""

    def train(self, mode: bool = True) -> "FrozenBatchNorm@":
        return super().train(False))";

constexpr std::string_view kChannelDropout = R"(class ChannelDropout(nn.Dropout):
    """Drops whole channels of a channels-last tensor."""

    def forward(self, x: Tensor) -> Tensor:
        keep = x.new_ones(x.shape[0], *[1] * (x.dim() - 2), x.shape[-1])
        return x * F.dropout(keep, self.p, self.training))";

constexpr std::string_view kDropout = R"(def dropout(x: Tensor, p: float, shape: tuple[int, ...]) -> Tensor:
    """Dropout with one decision for all elements along an axis where `shape` is 1."""
    return x * F.dropout(x.new_ones(shape), p))";

std::vector<HelperText> own_helpers() {
  std::vector<HelperText> out{
      {"list_set", std::string(kListSet), {}},
      {"ChannelDropout", std::string(kChannelDropout), {}},
      {"dropout", std::string(kDropout), {}},
  };
  const std::vector<std::pair<std::string, std::string_view>> per_rank{
      {"BatchNorm", kBatchNorm}, {"SampleBatchNorm", kSampleBatchNorm}, {"FrozenBatchNorm", kFrozenBatchNorm}};
  for (const std::string rank : {"1d", "2d", "3d"})
    for (const auto& [name, text] : per_rank) {
      std::string source(text);
      for (size_t at = source.find('@'); at != std::string::npos; at = source.find('@')) source.replace(at, 1, rank);
      out.push_back({name + rank, source, {}});
    }
  return out;
}

}  // namespace

std::vector<OpRow> own_rows() {
  return {
      {"midstream::stateless_dropout", {"dropout({x}, {rate}, {noise_shape}{-seed})"}, kAtom, "dropout"},
      {"midstream::stateless_random_normal", {"torch.randn({size}, dtype={dtype}, device={device}{-seed})"}},
      {"midstream::stateless_random_uniform", {"torch.rand({size}, dtype={dtype}, device={device}{-seed})"}},
      {"aten::randn", {"torch.randn({size}{, dtype}, device={device})"}},
      {"aten::rand", {"torch.rand({size}{, dtype}, device={device})"}},
      {"aten::dropout", {"F.dropout({input}, {p}{, training=train})"}},
      {"midstream::scalar_pow", {"{self} ** {exponent}"}, kPower},
      {"midstream::scalar_cos", {"torch.cos({self})"}},
      {"midstream::scalar_log", {"torch.log({self})"}},
  };
}

const HelperText* find_helper(const std::string& name) {
  static const auto* helpers = [] {
    auto* out = new std::map<std::string, HelperText>;
    for (const auto& list : {own_helpers(), recurrent_helpers()})
      for (const HelperText& helper : list) out->emplace(helper.name, helper);
    return out;
  }();
  const auto it = helpers->find(name);
  return it == helpers->end() ? nullptr : &it->second;
}

}  // namespace midstream::emit
