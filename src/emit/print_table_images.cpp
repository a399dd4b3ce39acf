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

constexpr std::string_view kProjective = R"(def projective_transform(
    x: Tensor, matrices: Tensor, interpolation: str, fill_mode: str, fill_value: float
) -> Tensor:
    """Each image moved by its matrix, as TensorFlow does it (channels last)."""

    def inside(at: Tensor, size: int) -> Tensor:
        if fill_mode == "constant":
            return at
        if fill_mode == "wrap":
            period = max(size - 1, 1)
            before, after = at + size * ((-at / period).trunc() + 1), at - size * (at / period).trunc()
            at = torch.where(at < 0, before, torch.where(at > size - 1, after, at))
        if fill_mode == "reflect":
            at = torch.remainder(at, 2 * size)
            at = torch.where(at > size - 0.5, 2 * size - 1 - at, at)
        return at.clamp(0, size - 1)

    n, height, width, _ = x.shape
    m = matrices.float().T[:, :, None, None]
    rows = torch.arange(height, dtype=torch.float32, device=x.device)[:, None]
    columns = torch.arange(width, dtype=torch.float32, device=x.device)
    depth = m[6] * columns + m[7] * rows + 1
    at_x = inside((m[0] * columns + m[1] * rows + m[2]) / depth, width)
    at_y = inside((m[3] * columns + m[4] * rows + m[5]) / depth, height)
    image = torch.arange(n, device=x.device)[:, None, None]

    def pixels(row: Tensor, column: Tensor) -> Tensor:
        there = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        found = x[image, row.clamp(0, height - 1).long(), column.clamp(0, width - 1).long()]
        return torch.where(there[..., None], found, fill_value)

    if interpolation == "nearest":
        return pixels((at_y + 0.5).floor(), (at_x + 0.5).floor())
    row, column = at_y.floor(), at_x.floor()
    down, right = (at_y - row)[..., None].to(x.dtype), (at_x - column)[..., None].to(x.dtype)
    above = (1 - right) * pixels(row, column) + right * pixels(row, column + 1)
    below = (1 - right) * pixels(row + 1, column) + right * pixels(row + 1, column + 1)
    return (1 - down) * above + down * below)";

constexpr std::string_view kRefused = R"(def refused(x: Tensor, why: str) -> Tensor:
    raise NotImplementedError(why))";

}  // namespace

std::vector<HelperText> image_helpers() { 
  return {{"resize_matrix", std::string(kResizeMatrix), {}},
          {"projective_transform", std::string(kProjective), {}},
          {"refused", std::string(kRefused), {}}};
}

std::vector<OpRow> image_rows() {
  return {{"midstream::resize_matrix",
           {"resize_matrix({x}, {dim}, {size}, {method}{, antialias})"},
           kAtom,
           "resize_matrix"},
          {"midstream::projective_transform",
           {"projective_transform({images}, {matrices}, {interpolation}, {fill_mode}, {fill_value})"},
           kAtom,
           "projective_transform"},
          {"midstream::refused", {"refused({x}, {why})"}, kAtom, "refused"}};
}

}  // namespace midstream::emit
