"""What is in a SavedModel, as TensorFlow's own protobufs say."""

from __future__ import annotations

FUNCTION = "call_and_return_all_conditional_losses"


def function_of(path, training: bool) -> str:
    """The concrete function of the whole model that takes a plain tensor, in this mode."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    objects = saved.meta_graphs[0].object_graph_def
    (child,) = [c for c in objects.nodes[0].children if c.local_name == FUNCTION]
    for name in objects.nodes[child.node_id].function.concrete_functions:
        text = str(objects.concrete_functions[name].canonicalized_input_signature)
        if (f"bool_value: {str(training).lower()}" in text) and (
            'name: "inputs"' in text or len(objects.nodes[child.node_id].function.concrete_functions) == 2
        ):
            return name
    raise AssertionError("no such function")
