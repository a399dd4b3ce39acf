#include "formats/saved_model.h"

#include "expected.h"
#include "formats/tensor_bundle.h"

namespace midstream {
namespace {

using namespace test;
using Names = std::vector<std::string>;

TEST(SavedModel, ReadsGraphAndSignatures) {
  SavedModel model = read_saved_model(kData + "saved_model");
  ASSERT_EQ(model.meta_graphs.size(), 1u);
  const MetaGraphDef& meta = model.meta_graphs[0];
  EXPECT_EQ(model.schema_version, 1);
  EXPECT_TRUE(meta.has_tag("serve"));
  EXPECT_EQ(meta.tensorflow_version.substr(0, 2), "2.");
  const SignatureDef& serving = meta.signatures.at("serving_default");
  EXPECT_EQ(serving.inputs.at("x").name, "serving_default_x:0");
  EXPECT_EQ(serving.inputs.at("x").shape, (Dims{kUnknown, 3}));
  EXPECT_EQ(serving.outputs.at("y").dtype, TfType::Float);
  EXPECT_EQ(serving.method_name, "tensorflow/serving/predict");
  EXPECT_EQ(meta.saver.restore_op_name, "StatefulPartitionedCall_2");
  EXPECT_EQ(meta.saver.version, 2);
}

TEST(SavedModel, ReadsFunctions) {
  SavedModel model = read_saved_model(kData + "saved_model/saved_model.pb");
  const GraphDef& graph = model.meta_graphs[0].graph;
  const NodeDef* branch = nullptr;
  for (const FunctionDef& f : graph.functions) {
    EXPECT_EQ(f.ret.size(), f.outputs.size()) << f.name;
    for (const NodeDef& n : f.nodes)
      if (n.op == "If" || n.op == "StatelessIf") branch = &n;
  }
  ASSERT_TRUE(branch);
  const FunctionDef* taken = graph.find_function(branch->attr("then_branch").func().name);
  ASSERT_TRUE(taken);
  ASSERT_EQ(taken->outputs.size(), 1u);
  EXPECT_EQ(taken->outputs[0].type, TfType::Float);
  EXPECT_EQ(taken->inputs.size(), branch->attr("Tin").types().size());
  EXPECT_TRUE(taken->ret.contains(taken->outputs[0].name));
}

TEST(SavedModel, ReadsTheObjectGraph) {
  SavedModel model = read_saved_model(kData + "saved_model");
  const SavedObjectGraph& objects = model.meta_graphs[0].objects;
  auto kernel = objects.find({"kernel"}), steps = objects.find({"steps"}), call = objects.find({"__call__"});
  ASSERT_TRUE(kernel && steps && call);
  EXPECT_FALSE(objects.find({"kernel", "absent"}));
  const auto& variable = std::get<SavedVariable>(objects.nodes[static_cast<size_t>(*kernel)].kind);
  EXPECT_EQ(variable.name, "kernel");
  EXPECT_EQ(variable.shape, (Dims{3, 2}));
  EXPECT_EQ(variable.dtype, TfType::Float);
  EXPECT_TRUE(variable.trainable);
  EXPECT_FALSE(std::get<SavedVariable>(objects.nodes[static_cast<size_t>(*steps)].kind).trainable);
  const auto& function = std::get<SavedFunction>(objects.nodes[static_cast<size_t>(*call)].kind);
  ASSERT_EQ(function.concrete_functions.size(), 1u);
  const SavedConcreteFunction& concrete = objects.concrete_functions.at(function.concrete_functions[0]);
  EXPECT_EQ(concrete.bound_inputs, std::vector<int>{*kernel});
  const StructuredValue& inputs = *concrete.canonicalized_input_signature;  // (args, kwargs)
  ASSERT_EQ(inputs.kind, StructuredValue::Kind::Tuple);
  const StructuredValue& x = inputs.items.at(0).items.at(0);
  EXPECT_EQ(x.kind, StructuredValue::Kind::TensorSpec);
  EXPECT_EQ(x.text, "x");
  EXPECT_EQ(x.shape, (Dims{kUnknown, 3}));
  EXPECT_EQ(concrete.output_signature->fields.at(0).first, "y");
}

TEST(SavedModel, ReadsKerasMetadata) {
  std::vector<KerasMetadata> nodes = read_keras_metadata(kData + "keras_metadata.pb");
  ASSERT_GE(nodes.size(), 2u);
  EXPECT_EQ(nodes[0].node_path, "root");
  EXPECT_EQ(nodes[0].identifier, "_tf_keras_sequential");
  EXPECT_EQ(nlohmann::json::parse(nodes[0].metadata).at("name"), "tiny");
}

TEST(SavedModel, ReadsTf1MetaGraphs) {
  MetaGraphDef meta = read_meta_graph(kData + "checkpoints/graph.meta");
  auto trainable = meta.variables("trainable_variables"), all = meta.variables("variables");
  ASSERT_EQ(trainable.size(), 1u);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(trainable[0].variable_name, "layer/w:0");
  EXPECT_EQ(trainable[0].snapshot_name, "layer/w/read:0");
  EXPECT_FALSE(all[1].trainable);
  EXPECT_EQ(meta.graph.find("layer/w")->op, "VariableV2");
  EXPECT_EQ(meta.saver.filename_tensor_name, "save/Const:0");
  EXPECT_TRUE(meta.variables("absent").empty());
}

TEST(SavedModel, ReadsTheObjectGraphOfCheckpoints) {
  TensorBundle bundle = TensorBundle::open(kData + "checkpoints/objects");
  TrackableObjectGraph graph = parse_object_graph("objects", share(bundle.read(kObjectGraphKey).strings()[0]));
  auto kernel = graph.find({"kernel"}), optimizer = graph.find({"optimizer"});
  ASSERT_TRUE(kernel && optimizer);
  const auto& attributes = graph.nodes[static_cast<size_t>(*kernel)].attributes;
  ASSERT_EQ(attributes.size(), 1u);
  EXPECT_EQ(attributes[0].name, "VARIABLE_VALUE");
  EXPECT_EQ(attributes[0].full_name, "kernel");
  EXPECT_TRUE(bundle.contains(attributes[0].checkpoint_key));
  Names slots;
  for (const SlotVariable& s : graph.nodes[static_cast<size_t>(*optimizer)].slot_variables) {
    EXPECT_EQ(s.original_variable_node_id, *kernel);
    slots.push_back(s.slot_name);
    EXPECT_TRUE(
        bundle.contains(graph.nodes[static_cast<size_t>(s.slot_variable_node_id)].attributes[0].checkpoint_key));
  }
  EXPECT_EQ(slots, (Names{"m", "v"}));
}

TEST(SavedModel, RefusesWhatItIsNot) {
  TemporaryFolder folder;
  error_of(ErrorKind::BadFile, [&] { read_saved_model(folder.path().string()); });
  atomic_write(folder / "saved_model.cpb", as_bytes("x"));
  error_of(ErrorKind::Unsupported, [&] { read_saved_model(folder.path().string()); });
  error_of(ErrorKind::BadFile, [&] { parse_saved_model("empty", {}); });
  // A child that is no node.
  error_of(ErrorKind::BadFile, [] { parse_object_graph("o", share(std::string("\x0a\x04\x0a\x02\x08\x07"))); });
}

}  // namespace
}  // namespace midstream
