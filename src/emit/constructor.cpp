// What stands in __init__: constructors of modules, parameters and buffers.
#include <fmt/format.h>

#include <algorithm>

#include "emit/names.h"
#include "emit/structure.h"
#include "emit/writer.h"

namespace midstream::emit {
namespace {

constexpr int64_t kInlineConstant = 32;  // elements that are printed as a list

std::string torch_dtype(DType dtype) { return "torch." + std::string(to_string(dtype)); }

std::string arguments(Program& program, const Class& around, int id) {
  const Module& m = program.modules[static_cast<size_t>(id)];
  std::string out;
  const auto add = [&](const std::string& text) { out += (out.empty() ? "" : ", ") + text; };
  const auto param = [&](int p) { return around.params[static_cast<size_t>(p)].name; };
  for (const CtorArg& a : m.args) {
    if (a.param < 0 && a.text.empty() && a.has_default && a.literal == a.default_value) continue;
    const std::string text = !a.text.empty() ? a.text : a.param >= 0 ? param(a.param) : to_python(a.literal);
    add(a.positional ? text : a.name + "=" + text);
  }
  if (m.cls < 0) return out;
  const std::vector<Slot> all = slots(program, id);
  const std::vector<Param>& params = program.classes[static_cast<size_t>(m.cls)].params;
  for (size_t i = 0; i < params.size(); ++i) {
    const auto given = m.slot_params.find(params[i].slot);
    const std::string text = given != m.slot_params.end() ? param(given->second) : to_python(all[params[i].slot].value);
    add(i < 2 ? text : params[i].name + "=" + text);
  }
  return out;
}

std::string sequence(Program& program, const Class& around, const Module& m) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < m.children.size();) {
    const std::string one = constructed(program, around, m.children[i]);
    size_t same = 1;
    while (i + same < m.children.size() && constructed(program, around, m.children[i + same]) == one) ++same;
    parts.push_back(same == 1 ? one : fmt::format("*[{} for _ in range({})]", one, same));
    i += same;
  }
  return fmt::format("nn.Sequential({})", fmt::join(parts, ", "));
}

std::string array_text(const Array& array) {
  const std::vector<double> numbers = array.to_double();
  const auto number = [&](size_t i) {
    if (array.dtype() == DType::Bool) return std::string(numbers[i] != 0 ? "True" : "False");
    return is_integral(array.dtype()) ? std::to_string(array.to_int64()[i]) : to_python(numbers[i]);
  };
  size_t at = 0;
  const std::function<std::string(size_t)> nested = [&](size_t axis) -> std::string {
    if (axis == array.shape().size()) return number(at++);
    std::string out = "[";
    for (int64_t i = 0; i < array.shape()[axis]; ++i) out += (i ? ", " : "") + nested(axis + 1);
    return out + "]";
  };
  return nested(0);
}

std::string buffer_line(Program& program, const Class& around, const std::string& name, const Module& m) {
  const ModuleTensor& t = m.tensors.at(0);
  if (t.constant >= 0) {
    const Array& array = program.graph->constants[static_cast<size_t>(t.constant)];
    if (array.size() <= kInlineConstant)
      return fmt::format("self.register_buffer(\"{}\", torch.tensor({}, dtype={}), persistent=False)", name,
                         array_text(array), torch_dtype(array.dtype()));
    return fmt::format("self.register_buffer(\"{}\", torch.zeros({}, dtype={}))", name,
                       to_python(Literal(array.shape())), torch_dtype(array.dtype()));
  }
  const Variable& v = program.graph->variables->at(static_cast<size_t>(t.variable));
  const CtorArg& shape = m.args.at(0);
  const std::string size =
      shape.param >= 0 ? around.params[static_cast<size_t>(shape.param)].name : to_python(shape.literal);
  const std::string dtype =
      v.dtype == DType::Float32 || v.dtype == DType::Float64 ? "" : ", dtype=" + torch_dtype(v.dtype);
  if (m.type == "buffer") return fmt::format("self.register_buffer(\"{}\", torch.zeros({}{}))", name, size, dtype);
  return fmt::format("self.{} = nn.Parameter(torch.zeros({}{}))", name, size, dtype);
}

}  // namespace

std::string constructed(Program& program, const Class& around, int id) {
  const Module& m = program.modules[static_cast<size_t>(id)];
  if (m.is_sequential()) return sequence(program, around, m);
  const std::string type = m.cls >= 0 ? program.classes[static_cast<size_t>(m.cls)].name : m.type;
  return type + "(" + arguments(program, around, id) + ")" + (m.frozen ? ".requires_grad_(False)" : "");
}

std::string attribute_line(Program& program, const Class& around, const std::string& name, int id) {
  const Module& m = program.modules[static_cast<size_t>(id)];
  if (m.is_tensor()) return buffer_line(program, around, name, m);
  return "self." + name + " = " + constructed(program, around, id);
}

std::string shape_text(Program& program, const Class& cls, size_t position, bool output) {
  static const char* const kImage[] = {"batch", "channels", "height", "width"};
  static const char* const kSequence[] = {"batch", "length", "features"};
  std::vector<Dims> all;
  for (const int id : cls.instances) {
    const Module& m = program.modules[static_cast<size_t>(id)];
    const Type& type = program.graph->type((output ? m.outputs : m.inputs).at(position));
    if (type.kind != Kind::Tensor) return {};
    all.push_back(type.dims);
  }
  std::vector<std::vector<Literal>> params;  // what each argument is in each instance
  for (const Param& p : cls.params) {
    params.emplace_back();
    for (const int id : cls.instances) params.back().push_back(slots(program, id)[p.slot].value);
  }
  std::string out;
  const size_t rank = all[0].size();
  for (size_t axis = 0; axis < rank; ++axis) {
    std::vector<Literal> sizes;
    for (const Dims& dims : all) sizes.push_back(dims.size() == rank ? dims[axis] : kUnknown);
    std::string text;
    const bool same = std::all_of(sizes.begin(), sizes.end(), [&](const Literal& s) { return s == sizes[0]; });
    if (same && sizes[0] != Literal(kUnknown))
      text = to_python(sizes[0]);
    else if (const auto it = std::find(params.begin(), params.end(), sizes); it != params.end())
      text = cls.params[static_cast<size_t>(it - params.begin())].name;
    else if (rank == 4)
      text = kImage[axis];
    else if (rank == 3)
      text = kSequence[axis];
    else
      text = axis == 0 ? "batch" : "n";
    out += (axis ? ", " : "") + text;
  }
  return "[" + out + "]";
}

}  // namespace midstream::emit
