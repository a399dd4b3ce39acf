// Resizing images as TensorFlow does, where PyTorch has no function for it.
#include "emit/print_table.h"

namespace midstream::emit {
namespace {

constexpr std::string_view kResizeMatrix = R"(def resize_matrix(x: Tensor, dim: int, size: int, method: str, antialias: bool = False) -> Tensor:
    """The matrix [size, x.shape[dim]] that resizes one axis of an image as TensorFlow does, in float32."""
    scale = torch.tensor(x.shape[dim] / size, device=x.device)
    source = torch.arange(x.shape[dim], dtype=torch.float32, device=x.device)
    target = torch.arange(size, dtype=torch.float32, device=x.device)[:, None]
    if method == "area":
        covered = torch.minimum(source + 1, (target + 1) * scale) - torch.maximum(source, target * scale)
        return covered.clamp(min=0) / scale
    position = (target + 0.5) * scale
    if method == "bicubic" and not antialias:  # steps of 1 / 1024
        whole = (position - 0.5).floor()
        position = whole + ((position - 0.5 - whole) * 1024).round() / 1024 + 0.5
    d = (source + 0.5 - position).abs() / (scale.clamp(min=1) if antialias else 1)
    if method == "bilinear":
        weights = (1 - d).clamp(min=0)
    elif method == "bicubic":
        near, far = ((1.5 * d - 2.5) * d) * d + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2
        weights = torch.where(d < 1, near, far) * (d < 2)
    elif method == "mitchellcubic":
        near = (7 / 6 * d - 2) * d * d + 8 / 9
        far = ((-7 / 18 * d + 2) * d - 10 / 3) * d + 16 / 9
        weights = torch.where(d < 1, near, far) * (d < 2)
    elif method == "gaussian":
        weights = torch.exp(-2 * d * d) * (d < 1.5)
    else:  # "lanczos3", "lanczos5"
        radius = int(method[-1])
        weights = torch.sinc(d) * torch.sinc(d / radius) * (d <= radius)
    return weights / weights.sum(1, keepdim=True))";

}  // namespace

std::vector<HelperText> image_helpers() { return {{"resize_matrix", std::string(kResizeMatrix), {}}}; }

std::vector<OpRow> image_rows() {
  return {{"midstream::resize_matrix",
           {"resize_matrix({x}, {dim}, {size}, {method}{, antialias})"},
           kAtom,
           "resize_matrix"}};
}

}  // namespace midstream::emit
