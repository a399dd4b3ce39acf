// keras.ops in functional models that move elements about: reshape, transpose, slicing, joining; and matmul.
#include <fmt/format.h>

#include "lower/keras/operations.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

int64_t axis_of(Layer& l, Value v, int64_t otherwise = 0) {
  const int64_t axis = l.integer("axis", otherwise);
  return axis < 0 ? axis + l.b.rank(v) : axis;
}

Values values_of(const Tensors& tensors) {
  Values out;
  for (const Tensor& t : tensors) out.push_back(t.value);
  return out;
}

Tensors reshape(Layer& l, const Call& call) {
  l.expect_config({"newshape"});
  Ints shape;
  for (int64_t n : l.ints("newshape")) shape.push_back(n);
  return {{l.b.reshape(call.one().value, shape), {}}};
}

Tensors transpose(Layer& l, const Call& call) {
  l.expect_config({"axes"});
  std::vector<int64_t> axes = l.ints("axes");
  if (axes.empty())
    for (int64_t i = l.b.rank(call.one().value); i-- > 0;) axes.push_back(i);
  return {{l.b.permute(call.one().value, axes), {}}};
}

Tensors swapaxes(Layer& l, const Call& call) {
  l.expect_config({"axis1", "axis2"});
  return {{l.b.call("aten::transpose.int",
                    {{"self", call.one().value}, {"dim0", l.integer("axis1")}, {"dim1", l.integer("axis2")}}),
           {}}};
}

Tensors expand_dims(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  Value v = call.one().value;
  for (int64_t axis : l.ints("axis")) v = l.b.unsqueeze(v, axis);
  return {{v, {}}};
}

Tensors squeeze(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  if (!l.has("axis")) l.b.fail(ErrorKind::Unsupported, "ops.squeeze without an axis has no lowering.");
  return {{l.b.squeeze(call.one().value, l.integer("axis")), {}}};
}

Tensors concatenate(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  return {{l.b.concat(values_of(call.inputs), axis_of(l, call.one().value)), {}}};
}

Tensors stack(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  const int64_t axis = l.integer("axis");
  return {{l.b.stack(values_of(call.inputs), axis), {}}};
}

Tensors split(Layer& l, const Call& call) {
  l.expect_config({"indices_or_sections", "axis"});
  const Value v = call.one().value;
  const int64_t axis = axis_of(l, v);
  Ints edges{0};
  if (l.config.at("indices_or_sections").is_number_integer()) {
    const int64_t n = l.integer("indices_or_sections");
    const Int part = floor_div(l.b.size(v, axis), n);
    for (int64_t i = 1; i < n; ++i) edges.push_back(part * i);
  } else {
    for (int64_t i : l.ints("indices_or_sections")) edges.push_back(i);
  }
  edges.push_back(l.b.size(v, axis));
  Tensors out;
  for (size_t i = 0; i + 1 < edges.size(); ++i) out.push_back({l.b.slice(v, axis, edges[i], edges[i + 1]), {}});
  return out;
}

Tensors matmul(Layer& l, const Call& call) {
  return {{l.b.matmul(call.arg(0, "x1").value, call.arg(1, "x2").value), {}}};
}

Tensors einsum(Layer& l, const Call& call) {
  l.expect_config({"subscripts"});
  Values operands;
  for (const Tensors& arg : call.args)
    for (const Tensor& t : arg) operands.push_back(t.value);
  return {{l.b.call("aten::einsum", {{"equation", l.text("subscripts")}, {"tensors", operands}}), {}}};
}

// x[...]: NumPy's basic indexing, from front to back; `axis` is where in the result we are.
class Indexing {
 public:
  Indexing(Layer& l, Value v) : l_(l), v_(v) {}

  Value apply(const json& key) {
    const json items = key.is_array() ? key : json::array({key});
    int64_t consumed = 0;
    for (const json& item : items)
      if (!item.is_null() && !is(item, "__ellipsis__")) ++consumed;
    const int64_t left_out = l_.b.rank(v_) - consumed;
    for (const json& item : items) {
      if (is(item, "__ellipsis__"))
        axis_ += left_out;
      else
        one(item);
    }
    return v_;
  }

 private:
  static bool is(const json& item, const char* name) {
    return item.is_object() && item.contains("class_name") && item.at("class_name") == name;
  }

  void one(const json& item) {
    Builder& b = l_.b;
    if (item.is_null()) {
      v_ = b.unsqueeze(v_, axis_++);
    } else if (item.is_number_integer()) {
      v_ = b.select(v_, axis_, item.get<int64_t>());
    } else if (is(item, "__slice__")) {
      slice(item.at("config"));
      ++axis_;
    } else {
      b.fail(ErrorKind::Unsupported, fmt::format("indexing with {} has no lowering.", item.dump()));
    }
  }

  void slice(const json& s) {
    Builder& b = l_.b;
    const json start = s.value("start", json()), stop = s.value("stop", json()), step = s.value("step", json());
    if (start.is_null() && stop.is_null() && step.is_null()) return;
    const int64_t by = step.is_null() ? 1 : step.get<int64_t>();
    if (by == -1 && start.is_null() && stop.is_null()) {
      v_ = b.flip(v_, {axis_});
      return;
    }
    if (by < 1) b.fail(ErrorKind::Unsupported, "a slice with a negative step and bounds has no lowering.");
    v_ = b.slice(v_, axis_, start.is_null() ? Int(0) : Int(start.get<int64_t>()),
                 stop.is_null() ? b.size(v_, axis_) : Int(stop.get<int64_t>()), by);
  }

  Layer& l_;
  Value v_;
  int64_t axis_ = 0;
};

Tensors get_item(Layer& l, const Call& call) {
  for (const char* key : {"1", "key"})
    if (call.options.contains(key)) return {{Indexing(l, call.one().value).apply(call.options.at(key)), {}}};
  l.b.fail(ErrorKind::Unsupported, "indexing with tensors has no lowering.");
}

}  // namespace

void register_operations_shape(Registry& r) {
  register_operation(r, "Concatenate", concatenate);
  register_operation(r, "Einsum", einsum);
  register_operation(r, "ExpandDims", expand_dims);
  register_operation(r, "GetItem", get_item);
  register_operation(r, "Matmul", matmul);
  register_operation(r, "Reshape", reshape);
  register_operation(r, "Split", split);
  register_operation(r, "Squeeze", squeeze);
  register_operation(r, "Stack", stack);
  register_operation(r, "Swapaxes", swapaxes);
  register_operation(r, "Transpose", transpose);
}

}  // namespace midstream::keras
