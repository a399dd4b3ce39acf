#include "emit/emit.h"

#include "emit/blocks.h"
#include "emit/names.h"
#include "emit/nest.h"
#include "emit/raise.h"
#include "emit/writer.h"

namespace midstream {

EmittedModule emit_module(const Graph& graph, const EmitOptions& options) {
  emit::Program program = emit::raise(graph, options);
  emit::nest(program);
  emit::find_blocks(program);
  emit::join_rows(program);
  emit::find_params(program);
  emit::name_everything(program, !options.class_name.empty() ? options.class_name
                                 : graph.name.empty()        ? "Model"
                                                             : graph.name);
  return emit::write(program, options);
}

}  // namespace midstream
